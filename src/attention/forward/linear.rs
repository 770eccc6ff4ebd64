//! Linear and feature heads: one memory matrix, cost linear in the number of tokens.
//!
//! With `M_t = g M_{t-1} + v_t k_t^T` (g = 1 without decay), `u_i = M_i q_i` (causal), `M_{i-1} q_i` (strict) or
//! `M_N q_i` (full). Causal and strict heads run in chunks: tokens of earlier chunks through the carried state,
//! tokens of the same chunk through a small masked matrix of scores. Small memories go token by token (`recurrent`).

use super::View;
use super::carried::{State, write};
use super::recurrent::Rule;
use crate::attention::Mask;
use crate::linalg::{Operand, Real, gemm_into};

/// Tokens to a chunk when nothing is read.
const ABSORBED: usize = 256;

/// Fades the columns of `x` into `out`: the last by `g^0`, the one before by `g^1`.
fn fade<T: Real>(x: Operand<'_, T>, weights: &[T], out: &mut Vec<T>) {
    let (_, count) = x.shape();
    out.clear();
    for j in 0..count {
        let weight = weights[count - 1 - j];
        out.extend(x.column(j).iter().map(|k| *k * weight));
    }
}

/// `M = g^n M + sum_j g^(n-1-j) v_j k_j^T` for `n` keys; `weights` are the powers of the decay, empty without one.
pub(super) fn absorb<T: Real>(
    keys: Operand<'_, T>,
    values: Operand<'_, T>,
    weights: &[T],
    state: &mut State<T>,
) {
    let (d_k, n) = keys.shape();
    let State { memory, total, room: [_, faded, product], .. } = state;
    let chunk = match weights.len() {
        0 if total.is_empty() => n.max(1),
        0 => ABSORBED,
        powers => powers - 1,
    };
    for first in (0..n).step_by(chunk) {
        let count = chunk.min(n - first);
        let (mut keys, values) = (keys.cols(first, count), values.cols(first, count));
        if !weights.is_empty() {
            fade(keys, weights, faded);
            keys = Operand::from_columns(faded, d_k, count);
        }
        write(memory, total, product, values, keys, weights);
    }
}

/// How many powers of the decay a head needs.
pub(super) fn powers_needed(chunk: Option<usize>) -> usize {
    chunk.unwrap_or(ABSORBED)
}

/// Tokens to a chunk of a causal or strict head.
pub(super) fn chunk_of(d_k: usize, rows: usize) -> usize {
    d_k.max(rows).clamp(16, 64)
}

/// Causal (`lag` 0) and strict (`lag` 1) read-outs `[value rows, n]`; `memory` moves on.
pub(super) fn scan<T: Real>(x: View<'_, T>, lag: usize, weights: &[T], state: &mut State<T>, out: &mut [T]) {
    let (d_k, n) = x.keys.shape();
    let rows = x.values.shape().0;
    let size = chunk_of(d_k, rows);
    let mask = if lag == 0 { Mask::Causal } else { Mask::Strict };
    if weights.is_empty() && state.trickle(x, mask, Rule::Plain(T::one()), &[], out) {
        return;
    }
    let State { memory, total, room: [scores, faded, product], .. } = state;
    scores.resize(size * size, T::zero());
    for (c, block) in out.chunks_mut((size * rows).max(1)).enumerate() {
        let first = c * size;
        let count = size.min(n - first);
        let keys = x.keys.cols(first, count);
        let queries = x.queries.cols(first, count);
        let values = x.values.cols(first, count);

        // Earlier chunks: the state after token first - 1, faded by g^(i - first + 1 - lag).
        gemm_into(block, x.scale, Operand::from_columns(memory, rows, d_k), queries, T::zero());
        if !weights.is_empty() {
            for (i, token) in block.chunks_exact_mut(rows).enumerate() {
                token.iter_mut().for_each(|u| *u *= weights[i + 1 - lag]);
            }
        }

        // This chunk: scores of j <= i - lag, faded by g^(i - j - lag).
        let scores = &mut scores[..count * count];
        gemm_into(scores, x.scale, keys.t(), queries, T::zero());
        for (i, column) in scores.chunks_exact_mut(count).enumerate() {
            let seen = i + 1 - lag;
            column[seen..].fill(T::zero());
            if !weights.is_empty() {
                for (s, w) in column[..seen].iter_mut().zip(weights[..seen].iter().rev()) {
                    *s *= *w;
                }
            }
        }
        gemm_into(block, T::one(), values, Operand::from_columns(scores, count, count), T::one());

        // The state after this chunk.
        let mut keys = keys;
        if !weights.is_empty() {
            fade(keys, weights, faded);
            keys = Operand::from_columns(faded, d_k, count);
        }
        write(memory, total, product, values, keys, weights);
    }
}
