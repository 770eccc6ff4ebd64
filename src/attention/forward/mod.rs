//! Runs a block: `y_i = b_O + sum_s R_s x^s_i + sum_h W_O^h u^h_i`.
//!
//! 1. `inputs` checks every shape and projects the streams to keys, queries and values.
//! 2. One of three evaluators makes the read-outs `u`: `linear` (linear and feature kernels; cost linear in the
//!    number of tokens), `tiles` (exponential and power kernels) or `recurrent` (delta and gated memories).
//! 3. The read-outs are divided by the sum of the scores where the head says so, and summed in head order.
//!
//! A pass above about 3 Mflop uses rayon's current pool. Blocks have constant sizes and sums a fixed order: the
//! bytes do not depend on the number of threads. For looking at a head there is [`attention_map`].
//!
//! **Deliberately absent:** gradients, files, circuits.

pub(super) mod blocks;
mod error;
pub(super) mod inputs;
mod linear;
mod map;
mod recurrent;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod tiles;

pub use error::{ForwardError, Shape};
pub use map::attention_map;

use super::block::{Block, GateSide, Head, Kernel, Mask, Memory, Normalisation, Streams};
use crate::linalg::{Operand, Real, gemm_into};
use blocks::for_each_block;
use inputs::{Inputs, Reader, find};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Below this many floating-point operations a fork costs more than a second thread gains.
const PARALLEL_FLOP: usize = 3_000_000;

/// Output of a block, `[d_model, n_tokens of block.clock_stream]`, one token per column.
///
/// An empty sum is 0 and so is 0/0. Softmax subtracts the running maximum and never overflows; an exponential
/// kernel that is not divided by its sum can, and says so.
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
    run(block, streams, false).map(|(y, _)| y)
}

/// What one head read, for whoever goes back through it.
pub(super) struct Read<T: Real> {
    /// keys, scaled queries, values (with the row of ones where normalised)
    pub inputs: Inputs<T>,
    /// write strengths or gains, `[1 or rows, n_context]`, of a delta or gated memory
    pub rates: Option<(DMatrix<T>, GateSide)>,
    /// read-outs `[d_v, n_query]`
    pub output: DMatrix<T>,
    /// the sum of scores of each query (over `exp(maximum)` for softmax); empty where nothing is divided
    pub sums: Vec<T>,
    /// the largest score of each query; 0 for other than softmax heads, empty for linear ones
    pub maxima: Vec<T>,
}

/// Output of a block, and what its heads read; without `keep` their inputs are dropped as soon as they are read.
pub(super) fn run<T: Real>(
    block: &Block<T>,
    streams: &Streams<T>,
    keep: bool,
) -> Result<(DMatrix<T>, Vec<Read<T>>), ForwardError> {
    let n = find(streams, &block.clock_stream, || "the clock of the output".into())?.ncols();
    check_output(block, streams, n)?;
    let parallel = is_parallel(block, streams);
    let one = |(index, head)| {
        let mut read = read_out(&Reader { head, index, streams, parallel })?;
        if !keep {
            read.inputs = Inputs::empty();
        }
        Ok(read)
    };
    let read: Vec<Result<Read<T>, ForwardError>> = if parallel {
        block.heads.par_iter().enumerate().map(one).collect()
    } else {
        block.heads.iter().enumerate().map(one).collect()
    };
    let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;

    let rows = block.d_model;
    let mut out = DMatrix::zeros(rows, n);
    for_each_block(&mut out, parallel, |first, y| {
        let count = y.len() / rows;
        for token in y.chunks_exact_mut(rows) {
            token.copy_from_slice(block.b_o.as_slice());
        }
        for path in &block.residual {
            let x = Operand::columns(&streams[&path.stream], first, count);
            gemm_into(y, T::one(), Operand::of(&path.matrix), x, T::one());
        }
        for (head, read) in block.heads.iter().zip(&read) {
            let u = Operand::columns(&read.output, first, count);
            gemm_into(y, T::one(), Operand::of(&head.w_o), u, T::one());
        }
    });
    match first_not_finite(&out) {
        Some(token) => Err(ForwardError::OutputNotFinite { token }),
        None => Ok((out, read)),
    }
}

/// Whether a pass over the block is long enough for threads.
pub(super) fn is_parallel<T: Real>(block: &Block<T>, streams: &Streams<T>) -> bool {
    flop(block, streams) > PARALLEL_FLOP
}

/// Runs one head.
fn read_out<T: Real>(reader: &Reader<'_, T>) -> Result<Read<T>, ForwardError> {
    let head = reader.head;
    let inputs = reader.inputs()?;
    let rates = reader.rates()?;
    let mut maxima = Vec::new();
    let mut output = match (&rates, head.kernel) {
        (Some((rates, side)), _) => {
            let delta = matches!(head.memory, Memory::Delta(_));
            let rule = if delta { recurrent::Rule::Delta } else { recurrent::Rule::Gated(*side) };
            recurrent::read(&inputs, head.mask, rule, rates)
        }
        (None, Kernel::Linear | Kernel::Feature { .. }) => {
            linear::read(&inputs, head.mask, decay_of(head), reader.parallel)
        }
        (None, Kernel::Exp | Kernel::Power(_)) => {
            let (u, top) = tiles::read(&inputs, tiles::Scoring::of(head), reader.parallel);
            maxima = top;
            u
        }
    };
    if let Some(token) = first_not_finite(&output) {
        return Err(ForwardError::NotFinite { head: reader.index, token });
    }
    let mut sums = Vec::new();
    if head.normalisation == Normalisation::Sum {
        sums = output.row(output.nrows() - 1).iter().copied().collect();
        output =
            divide(&output).map_err(|token| ForwardError::DivisionByZero { head: reader.index, token })?;
        if let Some(token) = first_not_finite(&output) {
            return Err(ForwardError::NotFinite { head: reader.index, token });
        }
    }
    Ok(Read { inputs, rates, output, sums, maxima })
}

/// Divides each token by its last row and drops that row; the error is the token at which x/0 was met.
fn divide<T: Real>(u: &DMatrix<T>) -> Result<DMatrix<T>, usize> {
    let rows = u.nrows() - 1;
    let mut out = DMatrix::zeros(rows, u.ncols());
    for (i, token) in u.column_iter().enumerate() {
        let sum = token[rows];
        for a in 0..rows {
            if !sum.is_zero() {
                out[(a, i)] = token[a] / sum;
            } else if !token[a].is_zero() {
                return Err(i);
            }
        }
    }
    Ok(out)
}

fn first_not_finite<T: Real>(m: &DMatrix<T>) -> Option<usize> {
    let bad = m.as_slice().iter().position(|x| !x.is_finite())?;
    Some(bad / m.nrows())
}

pub(super) fn decay_of<T: Real>(head: &Head<T>) -> Option<T> {
    if let Memory::Decay(g) = head.memory { Some(g) } else { None }
}

fn is_softmax<T: Real>(head: &Head<T>) -> bool {
    head.kernel == Kernel::Exp && head.normalisation == Normalisation::Sum
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
            Kernel::Exp | Kernel::Power(_) => n_q * n_c * (per_pair + 10),
            _ if h.mask == Mask::Full => (n_q + n_c) * h.d_key() * h.d_value(),
            _ => n_q * (2 * h.d_key() * h.d_value() + 64 * per_pair),
        };
        2 * (projections + read)
    });
    residual + heads.sum::<usize>()
}
