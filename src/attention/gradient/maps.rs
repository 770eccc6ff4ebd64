//! Slopes of the elementwise maps, and small products that several files need.

use crate::attention::FeatureMap;
use crate::attention::forward::blocks::{BLOCK, chunks};
use crate::attention::forward::spare::Spare;
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

/// Columns of a sum that one thread adds up.
const PANEL: usize = 128;

/// Multiplies `d` by the slopes of a map at `z`, of which the values are known; `z` is made only where slopes need it.
pub(super) fn times_slopes<T: Real>(
    d: &mut DMatrix<T>,
    map: FeatureMap,
    values: Operand<'_, T>,
    z: impl FnOnce() -> DMatrix<T>,
) {
    if map == FeatureMap::Identity {
        return;
    }
    if map.slope_reads_argument() {
        let z = z();
        for (j, (mut d, z)) in d.column_iter_mut().zip(z.column_iter()).enumerate() {
            let both = z.iter().zip(values.column(j));
            d.iter_mut().zip(both).for_each(|(d, (z, value))| *d *= map.slope_at(*z, *value));
        }
        return;
    }
    for (j, mut d) in d.column_iter_mut().enumerate() {
        d.iter_mut().zip(values.column(j)).for_each(|(d, value)| *d *= map.slope_at(*value, *value));
    }
}

/// `sum_i a_i b_i^T` over tokens, `[a rows, b rows]`; in [`PARTS`] sums over some of the tokens each, added in order.
pub(super) fn outer<T: Real>(
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    spare: &Spare<T>,
    parallel: bool,
) -> DMatrix<T> {
    let (rows, n) = a.shape();
    let columns = b.shape().0;
    let mut out = spare.matrix(rows, columns);
    let sum = |first: usize, count: usize, out: &mut [T]| {
        gemm_into(out, T::one(), a.cols(first, count), b.cols(first, count).t(), T::zero());
    };
    if !parallel || n < 2 * PARTS * BLOCK {
        sum(0, n, out.as_mut_slice());
        return out;
    }
    let size = n.div_ceil(PARTS);
    let mut parts = spare.take((PARTS - 1) * rows * columns);
    let all = std::iter::once(out.as_mut_slice()).chain(parts.chunks_mut((rows * columns).max(1)));
    all.collect::<Vec<_>>().into_par_iter().enumerate().for_each(|(p, part)| {
        let first = (p * size).min(n);
        sum(first, size.min(n - first), part);
    });
    chunks(out.as_mut_slice(), rows, PANEL, parallel, |first, out| {
        for part in parts.chunks_exact(rows * columns) {
            out.iter_mut().zip(&part[first * rows..]).for_each(|(a, b)| *a += *b);
        }
    });
    spare.give(parts);
    out
}

/// Sums over tokens that [`outer`] adds up.
const PARTS: usize = 4;

/// `sum_i d_i` over tokens; like [`outer`] in parts.
pub(super) fn sum_tokens<T: Real>(d: &DMatrix<T>, parallel: bool) -> DVector<T> {
    let n = d.ncols();
    let sum = |first: usize, count: usize| {
        let mut sum = DVector::zeros(d.nrows());
        for token in d.columns(first, count).column_iter() {
            sum += token;
        }
        sum
    };
    if !parallel || n < 2 * PARTS * BLOCK {
        return sum(0, n);
    }
    let size = n.div_ceil(PARTS);
    let part = |p: usize| {
        let first = (p * size).min(n);
        sum(first, size.min(n - first))
    };
    let parts: Vec<_> = (0..PARTS).into_par_iter().map(part).collect();
    parts.iter().fold(DVector::zeros(d.nrows()), |sum, part| sum + part)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_parts_are_the_sum() {
        let (least, spare) = (2 * PARTS * BLOCK, Spare::new());
        spare.give(vec![7.0; 10_000]);
        for (rows, columns, n) in [
            (3, 5, least - 1),
            (3, 5, least),
            (7, 2, least + 1),
            (1, 200, 2503),
            (0, 3, least),
            (3, 0, least),
        ] {
            let number = |i: usize, j: usize, salt: usize| ((i * 31 + j * 17 + salt) % 23) as f64 - 11.0;
            let a = DMatrix::from_fn(rows, n, |i, j| number(i, j, 1));
            let b = DMatrix::from_fn(columns, n, |i, j| number(i, j, 2));
            // Whole numbers: every order of the sum gives the same.
            let want = DMatrix::from_fn(rows, columns, |i, j| a.row(i).dot(&b.row(j)));
            for parallel in [false, true] {
                let got = outer(Operand::of(&a), Operand::of(&b), &spare, parallel);
                assert_eq!(got, want, "{rows} x {columns}, {n} tokens, {parallel}");
                assert_eq!(sum_tokens(&a, parallel), a.column_sum(), "{rows}, {n} tokens, {parallel}");
            }
        }
    }
}
