//! Delta and gated memories, token by token.
//!
//! delta: `M_t = M_{t-1} + diag(b_t) (v_t - M_{t-1} k_t) k_t^T` (Widrow & Hoff 1960; Schlag et al. 2021,
//! arXiv 2102.11174); gated: `M_t = diag(g_t) M_{t-1} + v_t k_t^T`, or with the gains on the columns.

use super::inputs::Inputs;
use crate::attention::{GateSide, Mask};
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::DMatrix;

/// How a token changes the memory.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Delta,
    Gated(GateSide),
}

/// Read-outs `[d_v, n_query]`; `rates` is `[1 or rows, n_context]`.
pub(super) fn read<T: Real>(x: &Inputs<T>, mask: Mask, rule: Rule, rates: &DMatrix<T>) -> DMatrix<T> {
    let (d_v, d_k, n) = (x.values.nrows(), x.keys.nrows(), x.keys.ncols());
    let mut out = DMatrix::zeros(d_v, x.queries.ncols());
    if d_v == 0 {
        return out;
    }
    let mut memory = vec![T::zero(); d_v * d_k];
    let mut error = vec![T::zero(); d_v];
    for t in 0..n {
        if mask == Mask::Strict {
            multiply(&memory, x.queries.column(t).as_slice(), out.column_mut(t).as_mut_slice());
        }
        let (key, value) = (x.keys.column(t), x.values.column(t));
        let rate = |row: usize| rates[(if rates.nrows() == 1 { 0 } else { row }, t)];
        match rule {
            Rule::Delta => {
                multiply(&memory, key.as_slice(), &mut error);
                for (a, e) in error.iter_mut().enumerate() {
                    *e = rate(a) * (value[a] - *e);
                }
            }
            Rule::Gated(side) => {
                for (b, column) in memory.chunks_exact_mut(d_v).enumerate() {
                    for (a, m) in column.iter_mut().enumerate() {
                        *m *= rate(if side == GateSide::Value { a } else { b });
                    }
                }
                error.copy_from_slice(value.as_slice());
            }
        }
        for (column, k) in memory.chunks_exact_mut(d_v).zip(key.iter()) {
            for (m, e) in column.iter_mut().zip(&error) {
                *m += *e * *k;
            }
        }
        if mask == Mask::Causal {
            multiply(&memory, x.queries.column(t).as_slice(), out.column_mut(t).as_mut_slice());
        }
    }
    if mask == Mask::Full {
        let memory = Operand::from_columns(&memory, d_v, d_k);
        gemm_into(out.as_mut_slice(), T::one(), memory, Operand::of(&x.queries), T::zero());
    }
    out
}

/// `out = M x`.
fn multiply<T: Real>(memory: &[T], x: &[T], out: &mut [T]) {
    out.fill(T::zero());
    for (column, b) in memory.chunks_exact(out.len()).zip(x) {
        for (u, m) in out.iter_mut().zip(column) {
            *u += *m * *b;
        }
    }
}
