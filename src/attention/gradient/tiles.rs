//! Back through heads whose weights are functions of scores: scores again in tiles, never the whole matrix.
//!
//! With weights `w_ij = f(s_ij) g^age`, `s_ij = k_j . q_i` and `e_i = dL/du_i`:
//!
//! ```text
//! dL/ds_ij = f'(s_ij) g^age (e_i . v_j)
//! dL/dq_i = sum_j dL/ds_ij k_j     dL/dk_j = sum_i dL/ds_ij q_i     dL/dv_j = sum_i w_ij e_i
//! ```
//!
//! Where `f` is a chain of functions, `f'` is gone through link by link.
//!
//! Softmax needs no formula of its own: the sum of scores is one more value row, and the maximum that the forward
//! pass subtracted is a constant that cancels. Weights are computed a second time from that maximum (Dao et al.
//! 2022, arXiv 2205.14135).

use super::Back;
use crate::attention::forward::View;
use crate::attention::forward::blocks::powers;
use crate::attention::forward::spare::Spare;
use crate::attention::forward::tiles::{CONTEXT, QUERIES, Scoring, age, fade_exponents, seen};
use crate::attention::{Kernel, function};
use crate::linalg::{Operand, Real, count, exp_nonpositive, gemm_into, real};
use rayon::prelude::*;

/// Queries are cut into this many parts; each has sums of its own for keys and values, added in order.
const PARTS: usize = 4;

/// Derivatives by keys, scaled queries, values and decay, from `read = dL/du` `[value rows, n_query]` and the maxima of
/// the forward pass.
pub(super) fn backward<T: Real>(
    x: View<'_, T>,
    read: Operand<'_, T>,
    how: Scoring<'_, T>,
    maxima: &[T],
    spare: &Spare<T>,
    parallel: bool,
) -> Back<T> {
    let mut back = Back::zeros(&x, spare);
    let (d_k, n) = x.keys.shape();
    let n_query = x.queries.shape().1;
    if d_k * n * n_query == 0 {
        return back;
    }
    let fade = powers(how.decay, if how.decay.is_some() { n } else { 0 });
    let pass = Pass { x, read, how, maxima, fade };
    let size = n_query.div_ceil(QUERIES).div_ceil(PARTS) * QUERIES;
    let queries = back.queries.as_mut_slice();
    let parts: Vec<Part<T>> = if parallel {
        queries.par_chunks_mut(size * d_k).enumerate().map(|(p, part)| pass.part(p * size, part)).collect()
    } else {
        queries.chunks_mut(size * d_k).enumerate().map(|(p, part)| pass.part(p * size, part)).collect()
    };
    for part in parts {
        back.decay += part.decay;
        add_pairs(&mut back.function, &part.function);
        add(back.keys.as_mut_slice(), &part.keys);
        add(back.values.as_mut_slice(), &part.values);
    }
    if let Some(g) = how.decay {
        back.decay /= g;
    }
    back
}

/// What some of the queries add to the keys and values that they see, which are always the first ones.
struct Part<T> {
    keys: Vec<T>,
    values: Vec<T>,
    /// `sum age dL/ds s'`, not yet divided by `g`
    decay: T,
    /// by gain and bias of every link
    function: Vec<[T; 2]>,
}

struct Pass<'a, T: Real> {
    x: View<'a, T>,
    read: Operand<'a, T>,
    how: Scoring<'a, T>,
    maxima: &'a [T],
    /// `g^0, g^1, ...`; only `g^0` without decay
    fade: Vec<T>,
}

impl<T: Real> Pass<'_, T> {
    /// Queries from `first` on, as many as `d_queries` has room for.
    fn part(&self, first: usize, d_queries: &mut [T]) -> Part<T> {
        let (rows, d_k, n) = (self.x.values.shape().0, self.x.keys.shape().0, self.x.keys.shape().1);
        let last = first + d_queries.len() / d_k - 1;
        let end = seen(self.how.mask, last, n);
        let zeros = |n| vec![T::zero(); n];
        let function = vec![[T::zero(); 2]; self.how.function.len()];
        let mut part = Part { keys: zeros(d_k * end), values: zeros(rows * end), decay: T::zero(), function };
        let tile = CONTEXT.min(end) * QUERIES.min(last + 1 - first);
        let (mut weights, mut slopes) = (zeros(tile), zeros(tile));
        for (t, d_queries) in d_queries.chunks_mut(QUERIES * d_k).enumerate() {
            let first = first + t * QUERIES;
            let count = d_queries.len() / d_k;
            let end = seen(self.how.mask, first + count - 1, n);
            for start in (0..end).step_by(CONTEXT) {
                let height = CONTEXT.min(end - start);
                let (weights, slopes) = (&mut weights[..height * count], &mut slopes[..height * count]);
                self.tile(first, start, height, weights, slopes, &mut part);
                let keys = self.x.keys.cols(start, height);
                let queries = self.x.queries.cols(first, count);
                let read = self.read.cols(first, count);
                let weights = Operand::from_columns(weights, height, count);
                let slopes = Operand::from_columns(slopes, height, count);
                gemm_into(d_queries, T::one(), keys, slopes, T::one());
                let d_keys = &mut part.keys[start * d_k..(start + height) * d_k];
                gemm_into(d_keys, self.x.scale, queries, slopes.t(), T::one());
                let d_values = &mut part.values[start * rows..(start + height) * rows];
                gemm_into(d_values, T::one(), read, weights.t(), T::one());
            }
        }
        part
    }

    /// Fills a tile of weights `w` and of `dL/ds`, each `[height, queries]`.
    fn tile(
        &self,
        first: usize,
        start: usize,
        height: usize,
        weights: &mut [T],
        slopes: &mut [T],
        part: &mut Part<T>,
    ) {
        let how = self.how;
        let n = self.x.keys.shape().1;
        let queries = weights.len() / height;
        let keys = self.x.keys.cols(start, height);
        let values = self.x.values.cols(start, height);
        gemm_into(weights, self.x.scale, keys.t(), self.x.queries.cols(first, queries), T::zero());
        gemm_into(slopes, T::one(), values.t(), self.read.cols(first, queries), T::zero());
        let is_chain = how.kernel == Kernel::Function;
        let mut scores = Vec::new();
        let columns = weights.chunks_exact_mut(height).zip(slopes.chunks_exact_mut(height));
        for (a, (weights, slopes)) in columns.enumerate() {
            let visible = seen(how.mask, first + a, n).saturating_sub(start).min(height);
            let (weights, hidden) = weights.split_at_mut(visible);
            hidden.fill(T::zero());
            let (slopes, hidden) = slopes.split_at_mut(visible);
            hidden.fill(T::zero());
            let age = |j: usize| age(how.mask, first + a, start + j, n);
            let mut faded = T::zero();
            if is_chain {
                scores.clear();
                scores.extend_from_slice(weights);
                weights.iter_mut().for_each(|s| *s = how.weight(*s));
            }
            if how.softmax {
                fade_exponents(weights, age, how.decay);
                exp_nonpositive(weights, self.maxima[first + a]);
                for (j, (w, d)) in weights.iter().zip(&mut *slopes).enumerate() {
                    *d *= *w;
                    if how.decay.is_some() {
                        faded += real::<T>(count(age(j))) * *d;
                    }
                }
            } else {
                for (j, (w, d)) in weights.iter_mut().zip(&mut *slopes).enumerate() {
                    let age = if how.decay.is_some() { age(j) } else { 0 };
                    let (weight, slope) =
                        if is_chain { (*w, T::one()) } else { weight_and_slope(how.kernel, *w) };
                    *w = weight * self.fade[age];
                    faded += real::<T>(count(age)) * *w * *d;
                    *d *= slope * self.fade[age];
                }
            }
            part.decay += faded;
            for (score, d) in scores.iter().zip(slopes) {
                *d = function::back(how.function, *score, *d, how.softmax, &mut part.function);
            }
        }
    }
}

/// `f(s)` and `f'(s)`.
fn weight_and_slope<T: Real>(kernel: Kernel, score: T) -> (T, T) {
    match kernel {
        Kernel::Exp => {
            let e = score.exp();
            (e, e)
        }
        Kernel::Power(n) => {
            let lower = (1..n).fold(T::one(), |product, _| product * score);
            if n == 0 { (T::one(), T::zero()) } else { (lower * score, real::<T>(f64::from(n)) * lower) }
        }
        Kernel::Linear | Kernel::Feature { .. } | Kernel::Function => (score, T::one()),
    }
}

fn add_pairs<T: Real>(to: &mut Vec<[T; 2]>, from: &[[T; 2]]) {
    to.resize(from.len(), [T::zero(); 2]);
    for (a, b) in to.iter_mut().zip(from) {
        *a = [a[0] + b[0], a[1] + b[1]];
    }
}

fn add<T: Real>(to: &mut [T], from: &[T]) {
    for (a, b) in to.iter_mut().zip(from) {
        *a += *b;
    }
}
