//! Exponential and power heads: scores in tiles, never the whole matrix.
//!
//! For softmax (exponential kernel, divided by the sum) each query keeps the maximum `m` of its scores so far;
//! the accumulated values are rescaled by `exp(m_old - m_new)` when it grows, so that no exponent is positive
//! (Milakov & Gimelshein 2018, arXiv 1805.02867).

use super::blocks::{for_each_block_with, powers};
use super::inputs::Inputs;
use super::{decay_of, is_softmax};
use crate::attention::{Head, Kernel, Mask};
use crate::linalg::{Operand, Real, count, exp_nonpositive, gemm_into, maximum, real};
use nalgebra::DMatrix;

/// Queries per tile.
pub(in crate::attention) const QUERIES: usize = 128;
/// Context tokens per tile.
pub(in crate::attention) const CONTEXT: usize = 256;

/// Which weights a tile turns its scores into.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Scoring<T> {
    pub kernel: Kernel,
    /// subtract the maximum: the read-out will be divided by the sum
    pub softmax: bool,
    pub mask: Mask,
    pub decay: Option<T>,
}

impl<T: Real> Scoring<T> {
    pub fn of(head: &Head<T>) -> Self {
        let (kernel, mask, decay) = (head.kernel, head.mask, decay_of(head));
        Self { kernel, softmax: is_softmax(head), mask, decay }
    }
}

/// Read-outs `[value rows, n_query]`, not yet divided, and the maximum that was subtracted from each query's scores.
pub(super) fn read<T: Real>(x: &Inputs<T>, how: Scoring<T>, parallel: bool) -> (DMatrix<T>, Vec<T>) {
    let rows = x.values.nrows();
    let n = x.keys.ncols();
    let fade = powers(how.decay, n);
    let mut out = DMatrix::zeros(rows, x.queries.ncols());
    let mut maxima = vec![T::zero(); out.ncols()];
    for_each_block_with(QUERIES, &mut out, &mut maxima, parallel, |first, block, maxima| {
        let count = block.len() / rows;
        let queries = Operand::columns(&x.queries, first, count);
        let mut top = vec![None; count];
        let mut tile = vec![T::zero(); CONTEXT * count];
        let end = seen(how.mask, first + count - 1, n);
        for start in (0..end).step_by(CONTEXT) {
            let height = CONTEXT.min(end - start);
            let tile = &mut tile[..height * count];
            let keys = Operand::columns(&x.keys, start, height);
            gemm_into(tile, T::one(), keys.t(), queries, T::zero());
            for (a, scores) in tile.chunks_exact_mut(height).enumerate() {
                let visible = seen(how.mask, first + a, n).saturating_sub(start).min(height);
                let (scores, hidden) = scores.split_at_mut(visible);
                hidden.fill(T::zero());
                if scores.is_empty() {
                    continue;
                }
                if how.softmax {
                    let values = &mut block[a * rows..(a + 1) * rows];
                    exponentials(
                        scores,
                        &mut top[a],
                        values,
                        |j| age(how.mask, first + a, start + j, n),
                        how,
                    );
                } else {
                    for (j, s) in scores.iter_mut().enumerate() {
                        *s = weight(how.kernel, *s) * fade[age(how.mask, first + a, start + j, n)];
                    }
                }
            }
            let values = Operand::columns(&x.values, start, height);
            gemm_into(block, T::one(), values, Operand::from_columns(tile, height, count), T::one());
        }
        for (maximum, top) in maxima.iter_mut().zip(top) {
            *maximum = top.unwrap_or_default();
        }
    });
    (out, maxima)
}

/// Turns one query's scores into `exp(s - maximum)` and rescales what it has accumulated.
fn exponentials<T: Real>(
    scores: &mut [T],
    top: &mut Option<T>,
    values: &mut [T],
    age: impl Fn(usize) -> usize,
    how: Scoring<T>,
) {
    fade_exponents(scores, age, how.decay);
    let new = maximum(scores, top.unwrap_or(scores[0]));
    if let Some(old) = *top
        && old != new
    {
        let factor = (old - new).exp();
        values.iter_mut().for_each(|v| *v *= factor);
    }
    *top = Some(new);
    scores.iter_mut().for_each(|s| *s -= new);
    exp_nonpositive(scores);
}

/// `s + age ln g`: the exponent of `exp(s) g^age`.
pub(in crate::attention) fn fade_exponents<T: Real>(
    scores: &mut [T],
    age: impl Fn(usize) -> usize,
    decay: Option<T>,
) {
    if let Some(g) = decay {
        let log = g.to_f64().ln();
        for (j, s) in scores.iter_mut().enumerate() {
            *s += real::<T>(count(age(j)) * log);
        }
    }
}

/// What a kernel makes of a score.
pub(in crate::attention) fn weight<T: Real>(kernel: Kernel, score: T) -> T {
    match kernel {
        Kernel::Exp => score.exp(),
        Kernel::Power(n) => (0..n).fold(T::one(), |product, _| product * score),
        Kernel::Linear | Kernel::Feature { .. } => score,
    }
}

/// How many context tokens query `i` sees: they are always the first ones.
pub(in crate::attention) fn seen(mask: Mask, i: usize, n_context: usize) -> usize {
    match mask {
        Mask::Full => n_context,
        Mask::Causal => i + 1,
        Mask::Strict => i,
    }
}

/// How often token `j` has faded when query `i` reads.
pub(in crate::attention) fn age(mask: Mask, i: usize, j: usize, n_context: usize) -> usize {
    seen(mask, i, n_context) - 1 - j
}
