//! Stages of a compiled circuit: maps of single tokens and blocks of heads, each making one stream.

use super::{Block, TokenMap};
use crate::linalg::Real;

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
        match self {
            Self::Map(map) => &map.name,
            Self::Block(block) => &block.relay,
        }
    }

    /// Width of that stream.
    #[must_use]
    pub fn d_model(&self) -> usize {
        match self {
            Self::Map(map) => map.d_model(),
            Self::Block(block) => block.d_model,
        }
    }

    /// The stream whose clock it has.
    #[must_use]
    pub fn clock_stream(&self) -> &str {
        match self {
            Self::Map(map) => &map.clock_stream,
            Self::Block(block) => &block.clock_stream,
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
