//! Linear and feature heads: one memory matrix, cost linear in the number of tokens.
//!
//! With `M_t = g M_{t-1} + v_t k_t^T` (g = 1 without decay), `u_i = M_i q_i` (causal), `M_{i-1} q_i` (strict) or
//! `M_N q_i` (full). Causal and strict heads run in chunks: tokens of earlier chunks through the carried state,
//! tokens of the same chunk through a small masked matrix of scores.

use super::blocks::{for_each_block, powers};
use super::inputs::Inputs;
use crate::attention::Mask;
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::DMatrix;

/// Read-outs `[value rows, n_query]`.
pub(super) fn read<T: Real>(x: &Inputs<T>, mask: Mask, decay: Option<T>, parallel: bool) -> DMatrix<T> {
    match mask {
        Mask::Full => full(x, decay, parallel),
        Mask::Causal => chunked(x, decay, 0),
        Mask::Strict => chunked(x, decay, 1),
    }
}

/// `u_i = (sum_j g^(N-j) v_j k_j^T) q_i`.
fn full<T: Real>(x: &Inputs<T>, decay: Option<T>, parallel: bool) -> DMatrix<T> {
    let (rows, d_k, n) = (x.values.nrows(), x.keys.nrows(), x.keys.ncols());
    let mut memory = vec![T::zero(); rows * d_k];
    if decay.is_some() {
        let weights = powers(decay, n);
        let faded = DMatrix::from_fn(d_k, n, |b, j| x.keys[(b, j)] * weights[n - 1 - j]);
        gemm_into(&mut memory, T::one(), Operand::of(&x.values), Operand::of(&faded).t(), T::zero());
    } else {
        gemm_into(&mut memory, T::one(), Operand::of(&x.values), Operand::of(&x.keys).t(), T::zero());
    }
    let memory = Operand::from_columns(&memory, rows, d_k);
    let mut out = DMatrix::zeros(rows, x.queries.ncols());
    for_each_block(&mut out, parallel, |first, block| {
        let count = block.len() / rows;
        gemm_into(block, T::one(), memory, Operand::columns(&x.queries, first, count), T::zero());
    });
    out
}

/// Causal (`lag` 0) and strict (`lag` 1) read-outs.
fn chunked<T: Real>(x: &Inputs<T>, decay: Option<T>, lag: usize) -> DMatrix<T> {
    let (rows, d_k, n) = (x.values.nrows(), x.keys.nrows(), x.keys.ncols());
    let size = d_k.max(rows).clamp(16, 64);
    let weights = powers(decay, size);
    let mut out = DMatrix::zeros(rows, n);
    let mut memory = vec![T::zero(); rows * d_k];
    let mut scores = vec![T::zero(); size * size];
    if rows == 0 {
        return out;
    }
    for first in (0..n).step_by(size) {
        let count = size.min(n - first);
        let keys = Operand::columns(&x.keys, first, count);
        let queries = Operand::columns(&x.queries, first, count);
        let values = Operand::columns(&x.values, first, count);
        let block = &mut out.as_mut_slice()[first * rows..(first + count) * rows];

        // Earlier chunks: the state after token first - 1, faded by g^(i - first + 1 - lag).
        gemm_into(block, T::one(), Operand::from_columns(&memory, rows, d_k), queries, T::zero());
        if decay.is_some() {
            for (i, token) in block.chunks_exact_mut(rows).enumerate() {
                token.iter_mut().for_each(|u| *u *= weights[i + 1 - lag]);
            }
        }

        // This chunk: scores of j <= i - lag, faded by g^(i - j - lag).
        let scores = &mut scores[..count * count];
        gemm_into(scores, T::one(), keys.t(), queries, T::zero());
        for (i, column) in scores.chunks_exact_mut(count).enumerate() {
            let seen = i + 1 - lag;
            column[seen..].fill(T::zero());
            if decay.is_some() {
                for (s, w) in column[..seen].iter_mut().zip(weights[..seen].iter().rev()) {
                    *s *= *w;
                }
            }
        }
        gemm_into(block, T::one(), values, Operand::from_columns(scores, count, count), T::one());

        // The state after this chunk.
        if decay.is_some() {
            let faded = DMatrix::from_fn(d_k, count, |b, j| x.keys[(b, first + j)] * weights[count - 1 - j]);
            gemm_into(&mut memory, T::one(), values, Operand::of(&faded).t(), weights[count]);
        } else {
            gemm_into(&mut memory, T::one(), values, keys.t(), T::one());
        }
    }
    out
}
