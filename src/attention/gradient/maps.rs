//! Slopes of the elementwise maps, and small products that several files need.

use crate::attention::FeatureMap;
use crate::attention::forward::blocks::for_each_block_of;
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::{DMatrix, DVector};

/// Columns of a product that one thread makes.
const PANEL: usize = 128;

/// `d map(z) / dz`, written as a function of `map(z)`: a slope never needs `z` itself.
///
/// At the kinks: relu has slope 0 at `z = 0`, sign has slope 0 everywhere. `elu + 1` has none (1 from both sides).
pub(super) fn slope<T: Real>(map: FeatureMap, value: T) -> T {
    match map {
        FeatureMap::Identity => T::one(),
        FeatureMap::Relu => {
            if value > T::zero() {
                T::one()
            } else {
                T::zero()
            }
        }
        FeatureMap::Exp => value,
        FeatureMap::EluPlusOne => {
            if value > T::one() {
                T::one()
            } else {
                value
            }
        }
        FeatureMap::Sigmoid => value * (T::one() - value),
        FeatureMap::Sign => T::zero(),
    }
}

/// Multiplies `d` by the slopes at `values`.
pub(super) fn times_slopes<T: Real>(d: &mut DMatrix<T>, map: FeatureMap, values: &DMatrix<T>) {
    if map != FeatureMap::Identity {
        for (d, value) in d.iter_mut().zip(values.iter()) {
            *d *= slope(map, *value);
        }
    }
}

/// `sum_i a_i b_i^T` over tokens, `[a.rows, b.rows]`.
pub(super) fn outer<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, parallel: bool) -> DMatrix<T> {
    let rows = a.nrows();
    let mut out = DMatrix::zeros(rows, b.nrows());
    for_each_block_of(PANEL, &mut out, parallel, |first, panel| {
        let b = Operand::of(b).rows(first, panel.len() / rows);
        gemm_into(panel, T::one(), Operand::of(a), b.t(), T::zero());
    });
    out
}

/// `W^T x_i` for every token, `[w.cols, n]`.
pub(super) fn transposed<T: Real>(w: &DMatrix<T>, x: &DMatrix<T>, parallel: bool) -> DMatrix<T> {
    let rows = w.ncols();
    let mut out = DMatrix::zeros(rows, x.ncols());
    for_each_block_of(BLOCK, &mut out, parallel, |first, block| {
        let x = Operand::columns(x, first, block.len() / rows);
        gemm_into(block, T::one(), Operand::of(w).t(), x, T::zero());
    });
    out
}

/// Tokens per block of [`transposed`].
const BLOCK: usize = crate::attention::forward::blocks::BLOCK;

/// `sum_i d_i` over tokens.
pub(super) fn sum_tokens<T: Real>(d: &DMatrix<T>) -> DVector<T> {
    let mut sum = DVector::zeros(d.nrows());
    for token in d.column_iter() {
        sum += token;
    }
    sum
}

/// `sum_b a_b b_b`, in four interleaved sums.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    const LANES: usize = 4;
    let mut sums = [T::zero(); LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest = rest.fold(T::zero(), |sum, (x, y)| sum + *x * *y);
    for (x, y) in a_chunks.zip(b_chunks) {
        for l in 0..LANES {
            sums[l] += x[l] * y[l];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}
