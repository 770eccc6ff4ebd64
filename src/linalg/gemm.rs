//! `C = alpha op(A) op(B) + beta C`: every product of the crate, on one thread.
//!
//! A transposed operand is a view with swapped strides. Large products in double precision and those with a small result run
//! in nalgebra's packed kernel (matrixmultiply), all others in gemmkit's, which is faster for thin shapes and in single precision; those
//! of up to some thousand multiplications in `small`, which packs nothing. nalgebra is asked for no more than that: with a dimension of 5 or less it reads swapped
//! strides beyond the end of the slice (0.35), and it never takes `A^T B` to its packed kernel.

use super::{Real, small};
use gemmkit::{MatMut, MatRef, Parallelism};
use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, Dyn};

/// nalgebra's packed kernel needs more than this in every dimension.
const THIN: usize = 5;
/// It is the faster one for results of at most so many rows and columns.
const FEW: usize = 16;
/// From so many multiplications on its packed kernel is the faster one in double precision.
const LARGE: usize = 1 << 20;

/// A read-only view of a column-major matrix; [`Operand::t`] transposes it by swapping strides.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// one of the two strides is 1
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a, T: Real> Operand<'a, T> {
    /// The whole matrix.
    #[must_use]
    pub fn of(m: &'a DMatrix<T>) -> Self {
        Self::columns(m, 0, m.ncols())
    }

    /// Columns `first .. first + count`.
    ///
    /// # Panics
    /// If the matrix has fewer columns.
    #[must_use]
    pub fn columns(m: &'a DMatrix<T>, first: usize, count: usize) -> Self {
        let rows = m.nrows();
        Self::from_columns(&m.as_slice()[first * rows..(first + count) * rows], rows, count)
    }

    /// A `[rows, cols]` matrix stored column after column.
    ///
    /// # Panics
    /// If the length is not `rows * cols`.
    #[must_use]
    pub fn from_columns(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "operand: {} numbers for ({rows}, {cols})", data.len());
        Self { data, rows, cols, row_stride: 1, col_stride: rows }
    }

    /// The transpose; moves no number.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Rows `first .. first + count`; moves no number.
    ///
    /// # Panics
    /// If there are fewer rows.
    #[must_use]
    pub fn rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "operand: rows {first} to {} of {}", first + count, self.rows);
        let data = self.data.get(first * self.row_stride..).unwrap_or_default();
        Self { data, rows: count, ..self }
    }

    /// Columns `first .. first + count`; moves no number.
    ///
    /// # Panics
    /// If there are fewer columns.
    #[must_use]
    pub fn cols(self, first: usize, count: usize) -> Self {
        self.t().rows(first, count).t()
    }

    /// Column `j`, where columns are contiguous.
    ///
    /// # Panics
    /// If there is no such column, or if it is not contiguous.
    #[must_use]
    pub fn column(self, j: usize) -> &'a [T] {
        assert!(self.row_stride == 1 && j < self.cols, "operand: column {j} of {}", self.cols);
        &self.data[j * self.col_stride..][..self.rows]
    }

    /// `(rows, cols)`.
    #[must_use]
    pub fn shape(self) -> (usize, usize) {
        (self.rows, self.cols)
    }
}

/// `C = alpha op(A) op(B) + beta C` on whole matrices; `op` transposes where asked.
///
/// With `beta = 0` the old numbers in `c` are not read. One thread.
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm<T: Real>(
    c: &mut DMatrix<T>,
    alpha: T,
    a: &DMatrix<T>,
    trans_a: bool,
    b: &DMatrix<T>,
    trans_b: bool,
    beta: T,
) {
    let op = |m, transposed| if transposed { Operand::of(m).t() } else { Operand::of(m) };
    let (a, b) = (op(a, trans_a), op(b, trans_b));
    assert_eq!(c.shape(), (a.rows, b.cols), "gemm: C does not fit ({}, {})", a.rows, b.cols);
    gemm_into(c.as_mut_slice(), alpha, a, b, beta);
}

/// `C = alpha A B + beta C`, where `c` holds `[a.rows, b.cols]` column after column.
///
/// With `beta = 0` the old numbers in `c` are not read. One thread.
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm_into<'a, T: Real>(c: &mut [T], alpha: T, a: Operand<'a, T>, b: Operand<'a, T>, beta: T) {
    gemm_rows(c, a.rows, alpha, a, b, beta);
}

/// [`gemm_into`] the first `a.rows` of `c_rows` rows.
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm_rows<'a, T: Real>(
    c: &mut [T],
    c_rows: usize,
    alpha: T,
    a: Operand<'a, T>,
    b: Operand<'a, T>,
    beta: T,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "gemm: ({m}, {k}) does not fit ({}, {n})", b.rows);
    assert!(
        m <= c_rows && c.len() == c_rows * n,
        "gemm: C holds {} numbers, not {c_rows} x {n} with {m} rows or more",
        c.len()
    );
    let work = m * n * k;
    if small::is_small(a, n) {
        small::multiply(c, c_rows, alpha, a, b, beta);
    } else if m.min(n).min(k) > THIN
        && (m.max(n) <= FEW || size_of::<T>() == size_of::<f64>() && work >= LARGE)
    {
        packed(c, c_rows, alpha, a, b, beta);
    } else {
        let view = |x: Operand<'a, T>| {
            MatRef::new(x.data, x.rows, x.cols, x.row_stride.cast_signed(), x.col_stride.cast_signed())
        };
        let to = MatMut::new(c, m, n, 1, c_rows.cast_signed());
        gemmkit::gemm(alpha, view(a), view(b), beta, to, Parallelism::Serial);
    }
}

/// nalgebra's packed kernel on strided views.
fn packed<T: Real>(c: &mut [T], c_rows: usize, alpha: T, a: Operand<'_, T>, b: Operand<'_, T>, beta: T) {
    let view = |x: Operand<'_, T>| (Dyn(x.rows), Dyn(x.cols), Dyn(x.row_stride), Dyn(x.col_stride));
    let (ar, ac, ars, acs) = view(a);
    let (br, bc, brs, bcs) = view(b);
    let left = DMatrixView::<T, Dyn, Dyn>::from_slice_with_strides_generic(a.data, ar, ac, ars, acs);
    let right = DMatrixView::<T, Dyn, Dyn>::from_slice_with_strides_generic(b.data, br, bc, brs, bcs);
    let mut to = DMatrixViewMut::from_slice_with_strides_generic(c, ar, bc, Dyn(1), Dyn(c_rows));
    to.gemm(alpha, &left, &right, beta);
}

pub(super) fn scale<T: Real>(column: &mut [T], beta: T) {
    if beta.is_zero() {
        column.fill(T::zero());
    } else if beta != T::one() {
        for x in column {
            *x *= beta;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::real;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn random<T: Real>(rows: usize, cols: usize, rng: &mut ChaCha8Rng) -> DMatrix<T> {
        DMatrix::from_fn(rows, cols, |_, _| real::<T>(rng.random_range(-1.0..1.0)))
    }

    fn check<T: Real>(m: usize, n: usize, k: usize, tolerance: f64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(7);
        for (trans_a, trans_b, beta) in
            [(false, false, 0.0), (true, false, 1.0), (false, true, -0.5), (true, true, 0.0)]
        {
            let a: DMatrix<T> = if trans_a { random(k, m, rng) } else { random(m, k, rng) };
            let b: DMatrix<T> = if trans_b { random(n, k, rng) } else { random(k, n, rng) };
            let mut c: DMatrix<T> = random(m, n, rng);
            let want = DMatrix::from_fn(m, n, |i, j| {
                let product: f64 = (0..k)
                    .map(|p| {
                        let x = if trans_a { a[(p, i)] } else { a[(i, p)] };
                        let y = if trans_b { b[(j, p)] } else { b[(p, j)] };
                        x.to_f64() * y.to_f64()
                    })
                    .sum();
                0.75 * product + beta * c[(i, j)].to_f64()
            });
            if beta == 0.0 {
                c.fill(real::<T>(f64::NAN)); // must not be read
            }
            gemm(&mut c, real::<T>(0.75), &a, trans_a, &b, trans_b, real::<T>(beta));
            for (x, y) in c.iter().zip(want.iter()) {
                let gap = (x.to_f64() - y).abs();
                assert!(gap <= tolerance, "({m}, {k}) x ({k}, {n}), {trans_a} {trans_b}: gap {gap}");
            }
        }
    }

    #[test]
    fn agrees_with_loops_at_every_size() {
        for m in [0, 1, 2, 5, 6, 7, 64] {
            for n in [0, 1, 2, 5, 6, 7, 64] {
                for k in [0, 1, 2, 5, 6, 7, 64] {
                    check::<f64>(m, n, k, 1e-13);
                    check::<f32>(m, n, k, 2e-5);
                }
            }
        }
    }

    #[test]
    fn agrees_with_loops_at_large_sizes() {
        for (m, n, k) in
            [(101, 103, 107), (127, 64, 129), (256, 3, 512), (1, 300, 257), (300, 1, 257), (16, 17, 999)]
        {
            check::<f64>(m, n, k, 1e-12);
            check::<f32>(m, n, k, 5e-4);
        }
    }

    #[test]
    fn columns_are_a_view() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let (a, b): (DMatrix<f64>, DMatrix<f64>) = (random(9, 20, rng), random(9, 30, rng));
        let mut c = vec![0.0; 7 * 8];
        gemm_into(&mut c, 1.0, Operand::columns(&a, 3, 7).t(), Operand::columns(&b, 5, 8), 0.0);
        let want = a.columns(3, 7).transpose() * b.columns(5, 8);
        assert!(c.iter().zip(want.iter()).all(|(x, y)| (x - y).abs() < 1e-14));
    }

    #[test]
    fn rows_below_the_product_stay() {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        for (m, n, k) in [(1, 1, 1), (3, 4, 5), (7, 8, 20), (64, 33, 40), (120, 100, 90), (0, 3, 2)] {
            let (a, b): (DMatrix<f64>, DMatrix<f64>) = (random(m, k, rng), random(k, n, rng));
            let mut c = vec![7.0; (m + 2) * n];
            gemm_rows(&mut c, m + 2, 1.0, Operand::of(&a), Operand::of(&b), 0.0);
            let want = a * b;
            for (column, want) in c.chunks_exact(m + 2).zip(want.column_iter()) {
                assert_eq!(column[m..], [7.0, 7.0], "({m}, {n}, {k})");
                assert!(
                    column.iter().zip(want.iter()).all(|(x, y)| (x - y).abs() < 1e-12),
                    "({m}, {n}, {k})"
                );
            }
        }
    }

    #[test]
    fn rows_are_a_view() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        for (m, n, k) in [(7, 8, 20), (1, 8, 20), (3, 9, 300), (7, 8, 1), (4, 4, 0)] {
            let (a, b): (DMatrix<f64>, DMatrix<f64>) = (random(10, k, rng), random(12, k, rng));
            let mut c = vec![0.0; m * n];
            gemm_into(&mut c, 1.0, Operand::of(&a).rows(3, m), Operand::of(&b).rows(3, n).t(), 0.0);
            let want = a.rows(3, m) * b.rows(3, n).transpose();
            assert!(c.iter().zip(want.iter()).all(|(x, y)| (x - y).abs() < 1e-13), "({m}, {n}, {k})");
        }
    }

    #[test]
    #[should_panic(expected = "gemm: (2, 3) does not fit (4, 2)")]
    fn shapes_must_fit() {
        let (a, b) = (DMatrix::<f64>::zeros(2, 3), DMatrix::zeros(4, 2));
        gemm(&mut DMatrix::zeros(2, 2), 1.0, &a, false, &b, false, 0.0);
    }
}
