//! The compiled blocks on tokens that come piece by piece, in memory that does not grow with the number of tokens.
//!
//! Heads with a causal or strict mask read each token once. A block with a head that has a full mask needs one more
//! pass over the tokens before its first output, in which that head reads its context; the blocks before it run again.

use super::algebraic::diverged;
use super::inputs::{Overrides, check_width, gather, in_circuit, whole};
use super::positions;
use crate::attention::{Block, ForwardError, Mask, Stream, Streams};
use crate::circuit::{self, Circuit};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::files::NpyRows;
use crate::linalg::{Real, real};
use crate::spec::{InputSpec, PositionsSpec};
use nalgebra::DMatrix;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Tokens of a piece: as many windows of a forward pass, so that the bytes are those of all tokens at once.
pub const PIECE: usize = 4096;

/// Where the tokens of a stream come from, `[d_model, n_tokens]` in all.
#[derive(Debug)]
pub enum Feed {
    /// a file of any length
    Rows(NpyRows),
    /// of as many tokens: their numbers go on from piece to piece
    Positions(PositionsSpec, usize),
    Whole(DMatrix<f64>),
}

/// By name of the stream.
pub type Feeds = BTreeMap<String, Feed>;

impl Feed {
    /// Number of tokens.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.shape().0,
            Self::Positions(_, n) => *n,
            Self::Whole(tokens) => tokens.ncols(),
        }
    }

    /// Numbers of a token.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.shape().1,
            Self::Positions(spec, _) => spec.width(),
            Self::Whole(tokens) => tokens.nrows(),
        }
    }

    /// Tokens from `first` on; pieces are asked for in their order.
    fn read<T: Real>(&mut self, first: usize, tokens: &mut DMatrix<T>) -> Result<(), Diagnostic> {
        match self {
            Self::Rows(rows) => {
                if first == 0 {
                    rows.rewind()?;
                }
                rows.read(PIECE, tokens)
            }
            Self::Positions(spec, n) => {
                let first = first.min(*n);
                *tokens = positions::tokens(spec, first, PIECE.min(*n - first)).map(real);
                Ok(())
            }
            Self::Whole(all) => {
                let count = PIECE.min(all.ncols().saturating_sub(first));
                *tokens = all.columns(first.min(all.ncols()), count).map(real);
                Ok(())
            }
        }
    }
}

/// The feeds of every stream that the compiled part of the circuit needs: `.npy` files stay where they are, everything else is
/// small enough to hold.
///
/// # Errors
/// As [`super::inputs()`].
pub fn feeds(circuit: &Circuit, folder: &Path, overrides: &Overrides) -> Result<Feeds, Diagnostics> {
    let one = |stream: &circuit::Stream, given: Option<&PathBuf>| {
        let rows = match (given, &stream.input) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(InputSpec::File { path, array: None })) => Some(folder.join(path)),
            _ => None,
        };
        match rows.filter(|file| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))) {
            Some(file) => {
                let own = |e| if given.is_none() { in_circuit(circuit, stream, e) } else { e };
                let rows = NpyRows::open(&file).map_err(own)?;
                check_width(circuit, stream, rows.shape().1)?;
                Ok(Feed::Rows(rows))
            }
            None => whole(circuit, stream, folder, given).map(Feed::Whole),
        }
    };
    let numbered = |stream: &circuit::Stream, spec: &PositionsSpec, n: usize| {
        positions::fit(stream, spec, n, n.min(PIECE))?;
        Ok(Feed::Positions(spec.clone(), n))
    };
    gather(circuit, overrides, one, numbered, Feed::n_tokens)
}

/// How often the tokens are gone through.
#[must_use]
pub fn n_passes<T: Real>(blocks: &[Block<T>]) -> usize {
    1 + blocks.iter().filter(|block| has_full_mask(block)).count()
}

/// Pieces of one pass.
#[must_use]
pub fn n_pieces(feeds: &Feeds) -> usize {
    feeds.values().map(Feed::n_tokens).max().unwrap_or(0).div_ceil(PIECE)
}

/// `(n_tokens, d_model)` of the last block's output.
#[must_use]
pub fn output_shape<T: Real>(blocks: &[Block<T>], feeds: &Feeds) -> (usize, usize) {
    let mut lengths: BTreeMap<&str, usize> =
        feeds.iter().map(|(name, f)| (name.as_str(), f.n_tokens())).collect();
    let mut shape = (0, 0);
    for block in blocks {
        shape = (lengths.get(block.clock_stream.as_str()).copied().unwrap_or(0), block.d_model);
        lengths.insert(&block.relay, shape.0);
    }
    shape
}

/// Runs all blocks; `output` gets what the last one says of each piece, `[d_model, tokens of the piece]`, and `done` is called after
/// every piece of every pass. Either ends the run with an error.
///
/// Causal and strict circuits give the bytes of [`super::run`]; a full mask gives the same up to rounding.
///
/// # Errors
/// `U005` for heads that keep all tokens, `R001` and `R003` as [`super::run`], what the files say, and what `output` and `done`
/// say.
pub fn run<T: Real, E: From<Diagnostic>>(
    blocks: &[Block<T>],
    feeds: &mut Feeds,
    mut output: impl FnMut(&DMatrix<T>) -> Result<(), E>,
    mut done: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let streams: Result<Vec<_>, Diagnostic> =
        blocks.iter().map(|block| block.stream_in_passes().map_err(|e| keeps_all(block, &e))).collect();
    let mut streams = streams?;
    let mut tokens: Streams<T> = feeds.keys().map(|name| (name.clone(), DMatrix::zeros(0, 0))).collect();
    tokens.extend(blocks.iter().map(|block| (block.relay.clone(), DMatrix::zeros(0, 0))));
    let absorbing = (0..blocks.len()).filter(|b| has_full_mask(&blocks[*b])).map(Some);
    for goal in absorbing.chain([None]) {
        streams.iter_mut().for_each(Stream::rewind);
        for piece in 0..n_pieces(feeds) {
            let first = piece * PIECE;
            for (name, feed) in feeds.iter_mut() {
                if let Some(tokens) = tokens.get_mut(name) {
                    feed.read(first, tokens)?;
                }
            }
            let y = one_piece(blocks, &mut streams, &mut tokens, goal)
                .map_err(|(relay, error)| diverged(relay, &later(error, first)))?;
            if let Some(y) = y {
                output(&tokens[y])?;
            }
            done()?;
        }
    }
    Ok(())
}

/// Runs the blocks on one piece, up to the one that absorbs; the name of the last output where none does.
fn one_piece<'a, T: Real>(
    blocks: &'a [Block<T>],
    streams: &mut [Stream<'_, T>],
    tokens: &mut Streams<T>,
    goal: Option<usize>,
) -> Result<Option<&'a str>, (&'a str, ForwardError)> {
    for (b, (block, stream)) in blocks.iter().zip(streams).enumerate() {
        let at = |e| (block.relay.as_str(), e);
        if goal == Some(b) {
            stream.absorb(tokens).map_err(at)?;
            return Ok(None);
        }
        let mut y = tokens.remove(&block.relay).unwrap_or_default();
        stream.push(tokens, &mut y).map_err(at)?;
        tokens.insert(block.relay.clone(), y);
    }
    Ok(blocks.last().map(|block| block.relay.as_str()))
}

fn has_full_mask<T: Real>(block: &Block<T>) -> bool {
    block.heads.iter().any(|head| head.mask == Mask::Full)
}

fn keeps_all<T: Real>(block: &Block<T>, error: &ForwardError) -> Diagnostic {
    Diagnostic::error(
        codes::U005,
        "",
        format!("block `{}` cannot read its tokens piece by piece: {error}", block.relay),
    )
    .help("leave `--stream` out; all tokens are then held in memory")
}

/// An error whose tokens are counted from the first of all.
fn later(error: ForwardError, first: usize) -> ForwardError {
    match error {
        ForwardError::NotFinite { head, token } => ForwardError::NotFinite { head, token: first + token },
        ForwardError::DivisionByZero { head, token } => {
            ForwardError::DivisionByZero { head, token: first + token }
        }
        ForwardError::Underflow { head, token } => ForwardError::Underflow { head, token: first + token },
        ForwardError::OutputNotFinite { token } => ForwardError::OutputNotFinite { token: first + token },
        other => other,
    }
}
