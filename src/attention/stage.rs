//! Stages of a compiled circuit: maps of single tokens and blocks of heads, each making one stream.

use super::token_map::forward::{Runner, is_parallel as is_long};
use super::{Block, ForwardError, Stream, Streams, TokenMap, Workspace, forward};
use crate::linalg::Real;
use nalgebra::DMatrix;

/// One step of a compiled circuit, from earlier streams to one stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage<T: Real = f64> {
    /// a function of single tokens
    Map(TokenMap<T>),
    /// heads, direct paths and a bias
    Block(Block<T>),
}

impl<T: Real> Stage<T> {
    /// The stream that it makes: the relay of a block, or the name of a map.
    #[must_use]
    pub fn name(&self) -> &str {
        self.as_stage().name()
    }

    /// Width of that stream.
    #[must_use]
    pub fn d_model(&self) -> usize {
        self.as_stage().d_model()
    }

    /// The stream whose clock it has.
    #[must_use]
    pub fn clock_stream(&self) -> &str {
        self.as_stage().clock_stream()
    }

    /// Its output, `[d_model, n_tokens of its clock]`, one token per column.
    ///
    /// A map of a token does not depend on other tokens; it gives the limit where exponentials that it pools leave the range of
    /// the precision.
    ///
    /// # Errors
    /// - [`ForwardError::InBlock`] with whatever [`crate::attention::forward()`] says;
    /// - [`ForwardError::InMap`] with [`ForwardError::Shape`], [`ForwardError::BadMap`], [`ForwardError::MissingStream`] or
    ///   [`ForwardError::TokenCounts`] where streams or arrows do not fit, [`ForwardError::CellsDivideByZero`],
    ///   [`ForwardError::CellsNotFinite`] or [`ForwardError::Unsettled`] where a token has no value.
    pub fn forward(&self, streams: &Streams<T>) -> Result<DMatrix<T>, ForwardError> {
        let mut output = DMatrix::zeros(0, 0);
        self.as_stage().run(&mut Workspace::new(), streams, false, &mut output)?;
        Ok(output)
    }

    /// The stage before its first token, for tokens that come one by one or in pieces of any length.
    ///
    /// # Errors
    /// As [`Block::stream`]; [`ForwardError::BadMap`] and [`ForwardError::Shape`] of a map.
    pub fn stream(&self) -> Result<StageStream<'_, T>, ForwardError> {
        match self {
            Self::Map(map) => Ok(StageStream::Map(MapStream(Runner::new(map)?))),
            Self::Block(block) => Ok(StageStream::Block(Box::new(block.stream()?))),
        }
    }

    /// The same for tokens that can be gone through twice.
    ///
    /// # Errors
    /// As [`Block::stream_in_passes`]; [`ForwardError::BadMap`] and [`ForwardError::Shape`] of a map.
    pub fn stream_in_passes(&self) -> Result<StageStream<'_, T>, ForwardError> {
        match self {
            Self::Map(_) => self.stream(),
            Self::Block(block) => Ok(StageStream::Block(Box::new(block.stream_in_passes()?))),
        }
    }

    /// The block, where it is one.
    #[must_use]
    pub fn block(&self) -> Option<&Block<T>> {
        match self {
            Self::Map(_) => None,
            Self::Block(block) => Some(block),
        }
    }

    /// The same stage in precision `U`; every number is rounded to nearest.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Stage<U> {
        match self {
            Self::Map(map) => Stage::Map(map.cast()),
            Self::Block(block) => Stage::Block(block.cast()),
        }
    }
}

impl<T: Real> From<Block<T>> for Stage<T> {
    fn from(block: Block<T>) -> Self {
        Self::Block(block)
    }
}

impl<T: Real> From<TokenMap<T>> for Stage<T> {
    fn from(map: TokenMap<T>) -> Self {
        Self::Map(map)
    }
}

/// A stage, or what can be one.
#[derive(Clone, Copy, Debug)]
pub enum StageRef<'a, T: Real = f64> {
    Map(&'a TokenMap<T>),
    Block(&'a Block<T>),
}

/// What can be a stage by itself: a slice of blocks is a stack as well as one of stages.
pub trait AsStage<T: Real> {
    /// The stage.
    fn as_stage(&self) -> StageRef<'_, T>;
}

impl<T: Real> AsStage<T> for Stage<T> {
    fn as_stage(&self) -> StageRef<'_, T> {
        match self {
            Self::Map(map) => StageRef::Map(map),
            Self::Block(block) => StageRef::Block(block),
        }
    }
}

impl<T: Real> AsStage<T> for Block<T> {
    fn as_stage(&self) -> StageRef<'_, T> {
        StageRef::Block(self)
    }
}

impl<T: Real> AsStage<T> for TokenMap<T> {
    fn as_stage(&self) -> StageRef<'_, T> {
        StageRef::Map(self)
    }
}

impl<'a, T: Real> StageRef<'a, T> {
    /// The stream that it makes.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Map(map) => &map.name,
            Self::Block(block) => &block.relay,
        }
    }

    pub(super) fn d_model(self) -> usize {
        match self {
            Self::Map(map) => map.d_model(),
            Self::Block(block) => block.d_model,
        }
    }

    pub(super) fn clock_stream(self) -> &'a str {
        match self {
            Self::Map(map) => &map.clock_stream,
            Self::Block(block) => &block.clock_stream,
        }
    }

    /// Whether a pass is long enough for threads.
    pub(super) fn is_parallel(self, streams: &Streams<T>) -> bool {
        match self {
            Self::Map(map) => is_long(map, streams),
            Self::Block(block) => forward::is_parallel(block, streams),
        }
    }

    /// Its output in the memory of a workspace, which keeps what the way back needs where asked.
    pub(super) fn run(
        self,
        workspace: &mut Workspace<T>,
        streams: &Streams<T>,
        keep: bool,
        output: &mut DMatrix<T>,
    ) -> Result<(), ForwardError> {
        match self {
            Self::Block(block) => {
                workspace.run(block, streams, keep, output).map_err(|e| e.in_block(&block.relay))
            }
            Self::Map(map) => {
                let run = |runner: Runner<'_, T>| {
                    let parallel = is_long(map, streams);
                    runner.run(streams, parallel, output, keep.then_some(&mut workspace.traces))
                };
                Runner::new(map).and_then(run).map_err(|e| e.in_map(&map.name))
            }
        }
    }
}

/// A stage that reads its tokens as they come; a map has no memory.
#[derive(Clone, Debug)]
pub enum StageStream<'a, T: Real = f64> {
    Map(MapStream<'a, T>),
    Block(Box<Stream<'a, T>>),
}

/// A map that reads its tokens as they come.
#[derive(Clone, Debug)]
pub struct MapStream<'a, T: Real>(Runner<'a, T>);

impl<T: Real> StageStream<'_, T> {
    /// As [`Stream::absorb`]; maps take no notice.
    ///
    /// # Errors
    /// As [`Stream::absorb`].
    pub fn absorb(&mut self, streams: &Streams<T>) -> Result<(), ForwardError> {
        match self {
            Self::Map(_) => Ok(()),
            Self::Block(stream) => stream.absorb(streams),
        }
    }

    /// Outputs of the next tokens, as [`Stream::push`].
    ///
    /// # Errors
    /// As [`Stream::push`] and [`Stage::forward`], tokens counted from the first of this piece.
    pub fn push(&mut self, streams: &Streams<T>, output: &mut DMatrix<T>) -> Result<(), ForwardError> {
        match self {
            Self::Map(MapStream(runner)) => {
                let parallel = is_long(runner.map, streams);
                runner.run(streams, parallel, output, None).map_err(|e| e.in_map(&runner.map.name))
            }
            Self::Block(stream) => stream.push(streams, output),
        }
    }

    /// Before the first token again, as [`Stream::rewind`].
    pub fn rewind(&mut self) {
        if let Self::Block(stream) = self {
            stream.rewind();
        }
    }
}
