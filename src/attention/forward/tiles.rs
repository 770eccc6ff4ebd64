//! Heads whose weights are functions of scores: scores in tiles, never the whole matrix.
//!
//! For softmax (an exponential or another positive function of the score, divided by the sum) each query keeps the maximum `m` of its scores so far;
//! the accumulated values are rescaled by `exp(m_old - m_new)` when it grows, so that no exponent is positive
//! (Milakov & Gimelshein 2018, arXiv 1805.02867).

use super::blocks::chunks_with;
use super::{View, decay_of, is_softmax};
use crate::attention::{Head, Kernel, Link, Mask, Normalisation, function};
use crate::linalg::{Operand, Real, count, exp_nonpositive, gemm_into, gemm_rows, maximum, real, sum};

/// Queries per tile.
pub(in crate::attention) const QUERIES: usize = 128;
/// Context tokens per tile.
pub(in crate::attention) const CONTEXT: usize = 256;

/// Which weights a tile turns its scores into.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Scoring<'a, T: Real> {
    pub kernel: Kernel,
    /// of a [`Kernel::Function`]
    pub function: &'a [Link<T>],
    /// subtract the maximum: the read-out will be divided by the sum
    pub softmax: bool,
    /// the last value row is 1 everywhere
    pub summed: bool,
    pub mask: Mask,
    pub decay: Option<T>,
}

impl<'a, T: Real> Scoring<'a, T> {
    pub fn of(head: &'a Head<T>) -> Self {
        let (kernel, mask, decay) = (head.kernel, head.mask, decay_of(head));
        let summed = head.normalisation == Normalisation::Sum;
        Self { kernel, function: &head.function, softmax: is_softmax(head), summed, mask, decay }
    }

    /// What a score becomes; under [`Scoring::softmax`] its logarithm.
    pub fn weight(&self, score: T) -> T {
        match self.kernel {
            Kernel::Function if self.softmax => function::log_value(self.function, score),
            Kernel::Function => function::value(self.function, score),
            Kernel::Exp if !self.softmax => score.exp(),
            Kernel::Power(n) => (0..n).fold(T::one(), |product, _| product * score),
            Kernel::Exp | Kernel::Linear | Kernel::Feature { .. } => score,
        }
    }
}

/// Read-outs `[value rows, n_query]` of the queries from `first_query` on, not yet divided, and the maximum that was
/// subtracted from each query's scores. `fade` are the powers of the decay, `g^0 .. g^n`, only `g^0` without one; `turned`
/// holds keys and values as [`turn`] leaves them.
#[allow(clippy::too_many_arguments)]
pub(super) fn read<T: Real>(
    x: View<'_, T>,
    first_query: usize,
    how: Scoring<'_, T>,
    fade: &[T],
    parallel: bool,
    turned: &[T],
    out: &mut [T],
    maxima: &mut [T],
) {
    let (rows, n) = x.values.shape();
    let d_k = x.keys.shape().0;
    // The sum of scores, which is the last row where there is one, is left to a sweep: one row more would be half a product more.
    let d_v = if how.summed { rows - 1 } else { rows };
    let (keys, values) = turned.split_at(d_k * n);
    chunks_with(out, maxima, rows, QUERIES, parallel, |at, block, maxima| {
        let count = maxima.len();
        let first = first_query + at;
        block.fill(T::zero());
        let queries: Vec<T> = (at..at + count).flat_map(|i| x.queries.column(i)).copied().collect();
        let queries = Operand::from_columns(&queries, d_k, count);
        let mut top = vec![None; count];
        let mut tile = vec![T::zero(); CONTEXT * count];
        let end = seen(how.mask, first + count - 1, n);
        for start in (0..end).step_by(CONTEXT) {
            // of all keys of the tile, where the mask ends within it
            let width = CONTEXT.min(n - start);
            let height = CONTEXT.min(end - start);
            let tile = &mut tile[..height * count];
            let keys = Operand::from_columns(&keys[start * d_k..(start + width) * d_k], width, d_k);
            let values = Operand::from_columns(&values[start * d_v..(start + height) * d_v], d_v, height);
            gemm_into(tile, x.scale, keys.rows(0, height), queries, T::zero());
            for (a, scores) in tile.chunks_exact_mut(height).enumerate() {
                let visible = seen(how.mask, first + a, n).saturating_sub(start).min(height);
                let (scores, hidden) = scores.split_at_mut(visible);
                hidden.fill(T::zero());
                if scores.is_empty() {
                    continue;
                }
                let read = &mut block[a * rows..(a + 1) * rows];
                if how.softmax {
                    let age = |j| age(how.mask, first + a, start + j, n);
                    exponentials(scores, &mut top[a], read, age, how);
                } else {
                    for (j, s) in scores.iter_mut().enumerate() {
                        let age =
                            if how.decay.is_some() { age(how.mask, first + a, start + j, n) } else { 0 };
                        *s = how.weight(*s) * fade[age];
                    }
                }
                if how.summed {
                    read[rows - 1] += sum(scores);
                }
            }
            let weights = Operand::from_columns(tile, height, count);
            gemm_rows(block, rows, T::one(), values, weights, T::one());
        }
        for (maximum, top) in maxima.iter_mut().zip(top) {
            *maximum = top.unwrap_or_default();
        }
    });
}

/// Keys `[d_k, n]` as `[tokens, d_k]`, tile after tile, then the first `d_v` rows of the values: next to each other, as
/// products take them fastest.
pub(super) fn turn<T: Real>(keys: Operand<'_, T>, values: Operand<'_, T>, d_v: usize, turned: &mut Vec<T>) {
    let (d_k, n) = keys.shape();
    turned.clear();
    for start in (0..n).step_by(CONTEXT) {
        let columns = start..n.min(start + CONTEXT);
        turned.extend((0..d_k).flat_map(|p| columns.clone().map(move |j| keys.column(j)[p])));
    }
    turned.extend((0..n).flat_map(|j| &values.column(j)[..d_v]));
}

/// Turns one query's scores into `exp(s - maximum)` and rescales what it has accumulated.
fn exponentials<T: Real>(
    scores: &mut [T],
    top: &mut Option<T>,
    values: &mut [T],
    age: impl Fn(usize) -> usize,
    how: Scoring<'_, T>,
) {
    if how.kernel == Kernel::Function {
        scores.iter_mut().for_each(|s| *s = how.weight(*s));
    }
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

/// How many context tokens query `i` sees: they are always the first ones.
pub(in crate::attention) fn seen(mask: Mask, i: usize, n_context: usize) -> usize {
    match mask.whole() {
        Mask::Causal => i + 1,
        Mask::Strict => i,
        _ => n_context,
    }
}

/// How often token `j` has faded when query `i` reads.
pub(in crate::attention) fn age(mask: Mask, i: usize, j: usize, n_context: usize) -> usize {
    seen(mask, i, n_context) - 1 - j
}
