//! Exponential and power heads: scores in tiles, never the whole matrix.
//!
//! For softmax (exponential kernel, divided by the sum) each query keeps the maximum `m` of its scores so far;
//! the accumulated values are rescaled by `exp(m_old - m_new)` when it grows, so that no exponent is positive
//! (Milakov & Gimelshein 2018, arXiv 1805.02867).

use super::blocks::chunks_with;
use super::{View, decay_of, is_softmax};
use crate::attention::{Head, Kernel, Mask};
use crate::linalg::{Operand, Real, count, exp_nonpositive, gemm_into, maximum, real};

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

/// Read-outs `[value rows, n_query]` of the queries from `first_query` on, not yet divided, and the maximum that was
/// subtracted from each query's scores. `fade` are the powers of the decay, `g^0 .. g^n`, only `g^0` without one.
pub(super) fn read<T: Real>(
    x: View<'_, T>,
    first_query: usize,
    how: Scoring<T>,
    fade: &[T],
    parallel: bool,
    out: &mut [T],
    maxima: &mut [T],
) {
    let (rows, n) = x.values.shape();
    chunks_with(out, maxima, rows, QUERIES, parallel, |at, block, maxima| {
        let count = maxima.len();
        let first = first_query + at;
        block.fill(T::zero());
        let queries = x.queries.cols(at, count);
        let mut top = vec![None; count];
        let mut tile = vec![T::zero(); CONTEXT * count];
        let end = seen(how.mask, first + count - 1, n);
        for start in (0..end).step_by(CONTEXT) {
            let height = CONTEXT.min(end - start);
            let tile = &mut tile[..height * count];
            gemm_into(tile, x.scale, x.keys.cols(start, height).t(), queries, T::zero());
            for (a, scores) in tile.chunks_exact_mut(height).enumerate() {
                let visible = seen(how.mask, first + a, n).saturating_sub(start).min(height);
                let (scores, hidden) = scores.split_at_mut(visible);
                hidden.fill(T::zero());
                if scores.is_empty() {
                    continue;
                }
                if how.softmax {
                    let values = &mut block[a * rows..(a + 1) * rows];
                    let age = |j| age(how.mask, first + a, start + j, n);
                    exponentials(scores, &mut top[a], values, age, how);
                } else {
                    for (j, s) in scores.iter_mut().enumerate() {
                        let age =
                            if how.decay.is_some() { age(how.mask, first + a, start + j, n) } else { 0 };
                        *s = weight(how.kernel, *s) * fade[age];
                    }
                }
            }
            let weights = Operand::from_columns(tile, height, count);
            gemm_into(block, T::one(), x.values.cols(start, height), weights, T::one());
        }
        for (maximum, top) in maxima.iter_mut().zip(top) {
            *maximum = top.unwrap_or_default();
        }
    });
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
    exp_nonpositive(scores, new);
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
