//! Runs a block: `y_i = b_O + sum_s R_s x^s_i + sum_h W_O^h u^h_i`.
//!
//! 1. Every shape is checked (`inputs`), and `plan` says which projections stand together and how each head is read.
//! 2. `algebra` turns linear heads that see every token into one matrix, where that takes fewer operations.
//! 3. Tokens pass in windows of constant size, first those of contexts that must be known before the first query,
//!    then those of queries. In a window: projections of blocks of tokens; then read-outs `u` of each head (`room`), by
//!    one of four evaluators, `linear` (linear and feature kernels; cost linear in the number of tokens), `recurrent`
//!    (gated and small memories, token by token), `delta` (large delta memories, in chunks) or `tiles` (exponential and
//!    power kernels); then outputs of blocks of tokens.
//!
//! A pass above about 3 Mflop uses rayon's current pool. Blocks have constant sizes and sums a fixed order: the
//! bytes do not depend on the number of threads. Beyond input and output a pass holds the weights, one window and one
//! memory matrix for each head; exponential and power heads also hold their keys and values. For looking at a head there is
//! [`attention_map`].
//!
//! **Deliberately absent:** gradients, files, circuits.

pub(super) mod algebra;
pub(super) mod blocks;
pub(super) mod carried;
mod delta;
mod error;
pub(super) mod inputs;
mod linear;
mod map;
mod pass;
pub(super) mod plan;
pub(super) mod recurrent;
pub(super) mod room;
pub(super) mod sink;
pub(super) mod spare;
mod stream;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod tiles;

pub use error::{ForwardError, Shape};
pub use map::attention_map;
pub use pass::Workspace;
pub use stream::Stream;

use super::block::{Block, Head, Kernel, Mask, Memory, Normalisation, Streams};
use super::function;
use crate::linalg::{Operand, Real};
use inputs::{Reader, find};
use nalgebra::DMatrix;

/// Below this many floating-point operations a fork costs more than a second thread gains.
pub(super) const PARALLEL_FLOP: usize = 3_000_000;

/// Output of a block, `[d_model, n_tokens of block.clock_stream]`, one token per column.
///
/// An empty sum is 0 and so is 0/0. Softmax subtracts the running maximum and never overflows; an exponential
/// kernel that is not divided by its sum can, and says so. [`Workspace::forward`] does the same in memory that is used
/// again.
///
/// # Errors
/// - [`ForwardError::MissingStream`], [`ForwardError::Shape`], [`ForwardError::TokenCounts`]: the streams do not
///   fit the block;
/// - [`ForwardError::Unsupported`]: a delta or gated memory with a sum of scores or a kernel of scores, or a
///   decay outside (0, 1];
/// - [`ForwardError::DivisionByZero`]: a sum of scores is 0 where the read-out is not;
/// - [`ForwardError::NotFinite`], [`ForwardError::OutputNotFinite`]: overflow, or tokens that are not finite.
///
/// # Source
/// Granier & Senn 2025 (arXiv 2504.06354) for the linear head; Katharopoulos et al. 2020 (arXiv 2006.16236) for
/// linear cost through feature maps.
pub fn forward<T: Real>(block: &Block<T>, streams: &Streams<T>) -> Result<DMatrix<T>, ForwardError> {
    let mut output = DMatrix::zeros(0, 0);
    Workspace::new().forward(block, streams, &mut output)?;
    Ok(output)
}

/// Keys, queries and values of some tokens, and the scale of their scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a, T> {
    pub queries: Operand<'a, T>,
    pub keys: Operand<'a, T>,
    pub values: Operand<'a, T>,
    pub scale: T,
    /// whether a memory meets the last token first
    pub backwards: bool,
}

/// Whether a pass over the block is long enough for threads.
pub(super) fn is_parallel<T: Real>(block: &Block<T>, streams: &Streams<T>) -> bool {
    flop(block, streams) > PARALLEL_FLOP
}

pub(super) fn decay_of<T: Real>(head: &Head<T>) -> Option<T> {
    if let Memory::Decay(g) = head.memory { Some(g) } else { None }
}

/// Whether weights are taken as exponentials from which the maximum is subtracted.
fn is_softmax<T: Real>(head: &Head<T>) -> bool {
    let has_logs = head.kernel == Kernel::Exp || function::is_positive(&head.function);
    has_logs && head.normalisation == Normalisation::Sum
}

/// Whether the weights of a head are functions of scores, which need all keys.
fn is_scored<T: Real>(head: &Head<T>) -> bool {
    matches!(head.kernel, Kernel::Exp | Kernel::Power(_) | Kernel::Function)
}

/// Whether the streams fit the block; the number of tokens of its output.
fn check<T: Real>(block: &Block<T>, streams: &Streams<T>) -> Result<usize, ForwardError> {
    let n = find(streams, &block.clock_stream, || "the clock of the output".into())?.ncols();
    check_output(block, streams, n)?;
    for (index, head) in block.heads.iter().enumerate() {
        Reader { head, index, streams }.check()?;
    }
    Ok(n)
}

/// Shapes that belong to the block and not to one head.
fn check_output<T: Real>(block: &Block<T>, streams: &Streams<T>, n: usize) -> Result<(), ForwardError> {
    let output = (block.d_model, n);
    let misfit = |what: String, shape: Shape, other: &str, other_shape: Shape| {
        Err(ForwardError::Shape { what, shape, other: other.into(), other_shape })
    };
    let late = |what: String, stream: &str, tokens: usize| {
        let (stream, clock) = (stream.to_string(), block.clock_stream.clone());
        Err(ForwardError::TokenCounts { what, stream, tokens, clock, expected: n })
    };
    if block.b_o.len() != block.d_model {
        return misfit("b_O".into(), block.b_o.shape(), "the output", output);
    }
    for (r, path) in block.residual.iter().enumerate() {
        let what = || format!("residual {r}");
        let x = find(streams, &path.stream, what)?;
        let shape = path.matrix.shape();
        if x.ncols() != n {
            return late(what(), &path.stream, x.ncols());
        }
        if shape.1 != x.nrows() {
            return misfit(what(), shape, "its stream", x.shape());
        }
        if shape.0 != block.d_model {
            return misfit(what(), shape, "the output", output);
        }
    }
    for (h, head) in block.heads.iter().enumerate() {
        let x = find(streams, &head.query_stream, || format!("head {h}: the query"))?;
        if x.ncols() != n {
            return late(format!("head {h}: queries"), &head.query_stream, x.ncols());
        }
        if head.w_o.nrows() != block.d_model {
            return misfit(format!("head {h}: W_O"), head.w_o.shape(), "the output", output);
        }
    }
    Ok(())
}

/// Rough count of floating-point operations; only decides whether threads pay.
fn flop<T: Real>(block: &Block<T>, streams: &Streams<T>) -> usize {
    let tokens = |name: &str| streams.get(name).map_or(0, DMatrix::ncols);
    let residual: usize = block.residual.iter().map(|r| 2 * r.matrix.len() * tokens(&r.stream)).sum();
    let heads = block.heads.iter().map(|h| {
        let (n_q, n_c) = (tokens(&h.query_stream), tokens(&h.context_stream));
        let projections = n_q * (h.w_q.len() + h.w_o.len()) + n_c * (h.w_k.len() + h.w_v.len());
        let per_pair = h.d_key() + h.d_value();
        let read = match h.kernel {
            _ if is_scored(h) => n_q * n_c * (per_pair + 10),
            _ if h.mask == Mask::Full => (n_q + n_c) * h.d_key() * h.d_value(),
            _ => n_q * (2 * h.d_key() * h.d_value() + 64 * per_pair),
        };
        2 * (projections + read)
    });
    residual + heads.sum::<usize>()
}
