//! `C = alpha A B + beta C` for products so small that a packed kernel spends its time on being called.
//!
//! A tile of rows and columns of `C` stays in registers while it runs over the inner dimension; nothing is packed but a
//! transposed `A`.

use super::{Operand, Real};
use multiversion::multiversion;
use multiversion::target::target_cfg_f;

/// Most numbers of a transposed `A`.
const TRANSPOSED: usize = 1024;
/// A transposed `A` of at most so many numbers costs less to make room for.
const FEW: usize = 256;
/// Bytes of numbers to multiply with each other, up to which this is the faster way.
const BYTES: usize = 3 << 15;

/// Whether `a` times `n` columns is a small product.
pub(super) fn is_small<T>(a: Operand<'_, T>, n: usize) -> bool {
    a.rows * a.cols * n * size_of::<T>() <= BYTES && (a.row_stride == 1 || a.rows * a.cols <= TRANSPOSED)
}

/// Into the first `a.rows` of `c_rows` rows.
pub(super) fn multiply<T: Real>(
    c: &mut [T],
    c_rows: usize,
    alpha: T,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    beta: T,
) {
    if a.cols == 0 {
        c.chunks_exact_mut(c_rows.max(1)).for_each(|column| super::gemm::scale(&mut column[..a.rows], beta));
    } else if a.row_stride == 1 {
        columns(c, c_rows, alpha, a, b, beta);
    } else if a.rows * a.cols <= FEW {
        transposed::<T, FEW>(c, c_rows, alpha, a, b, beta);
    } else {
        transposed::<T, TRANSPOSED>(c, c_rows, alpha, a, b, beta);
    }
}

fn transposed<T: Real, const ROOM: usize>(
    c: &mut [T],
    c_rows: usize,
    alpha: T,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    beta: T,
) {
    let mut room = [T::zero(); ROOM];
    for i in 0..a.rows {
        for (p, to) in room.iter_mut().skip(i).step_by(a.rows.max(1)).take(a.cols).enumerate() {
            *to = a.data[i * a.row_stride + p * a.col_stride];
        }
    }
    let a = Operand { data: &room, row_stride: 1, col_stride: a.rows, ..a };
    columns(c, c_rows, alpha, a, b, beta);
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn columns<T: Real>(c: &mut [T], c_rows: usize, alpha: T, a: Operand<'_, T>, b: Operand<'_, T>, beta: T) {
    let fused = target_cfg_f!(target_feature = "fma");
    let out = Out { c_rows, alpha, beta };
    let mut j = 0;
    while j + 4 <= b.cols {
        rows::<T, 4>(c, out, a, b, j, fused);
        j += 4;
    }
    while j < b.cols {
        rows::<T, 1>(c, out, a, b, j, fused);
        j += 1;
    }
}

/// Where a product goes.
#[derive(Clone, Copy)]
struct Out<T> {
    c_rows: usize,
    alpha: T,
    beta: T,
}

/// `N` columns of `C` from `j` on.
#[inline(always)]
fn rows<T: Real, const N: usize>(
    c: &mut [T],
    out: Out<T>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    j: usize,
    fused: bool,
) {
    let mut i = 0;
    while N == 1 && i + 64 <= a.rows {
        tile::<T, 64, N>(c, out, a, b, [i, j], fused);
        i += 64;
    }
    while size_of::<T>() < size_of::<f64>() && i + 16 <= a.rows {
        tile::<T, 16, N>(c, out, a, b, [i, j], fused);
        i += 16;
    }
    while i + 8 <= a.rows {
        tile::<T, 8, N>(c, out, a, b, [i, j], fused);
        i += 8;
    }
    while i + 4 <= a.rows {
        tile::<T, 4, N>(c, out, a, b, [i, j], fused);
        i += 4;
    }
    while i < a.rows {
        tile::<T, 1, N>(c, out, a, b, [i, j], fused);
        i += 1;
    }
}

/// `R` rows and `N` columns of `C` from `i, j` on.
#[inline(always)]
fn tile<T: Real, const R: usize, const N: usize>(
    c: &mut [T],
    Out { c_rows, alpha, beta }: Out<T>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    [i, j]: [usize; 2],
    fused: bool,
) {
    let mut sums = [[T::zero(); R]; N];
    let mut add = |x: &[T; R], y: &[T; N]| {
        for (sums, y) in sums.iter_mut().zip(y) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = if fused { (*x).mul_add(*y, *sum) } else { *sum + *x * *y };
            }
        }
    };
    if b.row_stride == 1 {
        let columns: [&[T]; N] = std::array::from_fn(|q| &b.data[(j + q) * b.col_stride..][..b.rows]);
        for p in 0..b.rows {
            let Some(x) = a.data[p * a.col_stride + i..].first_chunk() else { return };
            add(x, &columns.map(|column| column[p]));
        }
    } else {
        for p in 0..b.rows {
            let Some(x) = a.data[p * a.col_stride + i..].first_chunk() else { return };
            let Some(y) = b.data[p * b.row_stride + j..].first_chunk() else { return };
            add(x, y);
        }
    }
    for (q, sums) in sums.iter().enumerate() {
        let Some(to) = c[(j + q) * c_rows + i..].first_chunk_mut::<R>() else { return };
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = if beta.is_zero() { alpha * *sum } else { beta * *to + alpha * *sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{real, small};

    /// Every way through the tiles, against a plain sum; whole numbers, so that every order of it gives the same.
    fn check<T: Real>() {
        let number = |i: usize, salt: usize| real::<T>(((i * 37 + salt) % 11) as f64 - 5.0);
        for (m, n, k) in
            [(0, 3, 2), (3, 0, 2), (1, 1, 1), (2, 3, 0), (29, 9, 5), (16, 4, 7), (93, 1, 6), (5, 14, 40)]
        {
            for (turn_a, turn_b, beta) in
                [(false, false, 0.0), (true, false, 1.0), (false, true, 2.0), (true, true, 0.0)]
            {
                let (a, b): (Vec<T>, Vec<T>) =
                    ((0..m * k).map(|i| number(i, 3)).collect(), (0..k * n).map(|i| number(i, 8)).collect());
                let a = if turn_a {
                    Operand::from_columns(&a, k, m).t()
                } else {
                    Operand::from_columns(&a, m, k)
                };
                let b = if turn_b {
                    Operand::from_columns(&b, n, k).t()
                } else {
                    Operand::from_columns(&b, k, n)
                };
                let c_rows = m + 2;
                let mut c: Vec<T> = (0..c_rows * n).map(|i| number(i, 1)).collect();
                let at = |x: Operand<'_, T>, i: usize, j: usize| x.data[i * x.row_stride + j * x.col_stride];
                let mut want = c.clone();
                for (j, column) in want.chunks_exact_mut(c_rows).enumerate() {
                    for (i, x) in column[..m].iter_mut().enumerate() {
                        let sum = (0..k).fold(T::zero(), |sum, p| sum + at(a, i, p) * at(b, p, j));
                        *x = real::<T>(3.0) * sum + real::<T>(beta) * *x;
                    }
                }
                assert!(small::is_small(a, n), "{m} {n} {k}");
                small::multiply(&mut c, c_rows, real(3.0), a, b, real(beta));
                assert_eq!(c, want, "({m}, {k}) x ({k}, {n}), {turn_a} {turn_b}");
            }
        }
    }

    #[test]
    fn tiles_of_every_shape_are_the_sum() {
        check::<f64>();
        check::<f32>();
    }
}
