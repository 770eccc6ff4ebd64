//! `C = alpha op(A) op(B) + beta C`, always through the packed kernel when that pays.
//!
//! nalgebra reaches its packed kernel only when every dimension is above [`SMALL`], and never for `A^T B`.
//! Here a transposed operand is a view with swapped strides, a dimension of 2 to 5 is padded with zeros when the
//! product is large, and what is left (tiny products, vectors) runs in plain loops over contiguous columns.

use super::Real;
use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, Dyn};

/// The packed kernel needs more than this in every dimension.
const SMALL: usize = 5;
/// Below this many multiplications padding costs more than it gains.
const WORTH_PADDING: usize = 4096;

/// A read-only view of a column-major matrix; [`Operand::t`] transposes it by swapping strides.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
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

    fn at(self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Column-major copy with zeros up to `[rows, cols]`.
    fn padded(self, rows: usize, cols: usize) -> Vec<T> {
        let mut out = vec![T::zero(); rows * cols];
        for (j, column) in out.chunks_exact_mut(rows).take(self.cols).enumerate() {
            for (i, x) in column.iter_mut().take(self.rows).enumerate() {
                *x = self.at(i, j);
            }
        }
        out
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
pub fn gemm_into<T: Real>(c: &mut [T], alpha: T, a: Operand<'_, T>, b: Operand<'_, T>, beta: T) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "gemm: ({m}, {k}) does not fit ({}, {n})", b.rows);
    assert_eq!(c.len(), m * n, "gemm: C holds {} numbers, not {m} x {n}", c.len());
    if m.min(n).min(k) > SMALL {
        packed(c, alpha, a, b, beta);
    } else if m.min(n).min(k) > 1 && m * n * k >= WORTH_PADDING {
        padded(c, alpha, a, b, beta);
    } else if m > 0 {
        loops(c, alpha, a, b, beta);
    }
}

/// nalgebra's packed kernel on strided views.
fn packed<T: Real>(c: &mut [T], alpha: T, a: Operand<'_, T>, b: Operand<'_, T>, beta: T) {
    let view = |x: Operand<'_, T>| (Dyn(x.rows), Dyn(x.cols), Dyn(x.row_stride), Dyn(x.col_stride));
    let (ar, ac, ars, acs) = view(a);
    let (br, bc, brs, bcs) = view(b);
    let left = DMatrixView::<T, Dyn, Dyn>::from_slice_with_strides_generic(a.data, ar, ac, ars, acs);
    let right = DMatrixView::<T, Dyn, Dyn>::from_slice_with_strides_generic(b.data, br, bc, brs, bcs);
    DMatrixViewMut::from_slice_generic(c, ar, bc).gemm(alpha, &left, &right, beta);
}

/// The packed kernel after zero padding of the small dimensions.
fn padded<T: Real>(c: &mut [T], alpha: T, a: Operand<'_, T>, b: Operand<'_, T>, beta: T) {
    let wide = |d: usize| d.max(SMALL + 1);
    let (m, n, k) = (wide(a.rows), wide(b.cols), wide(a.cols));
    let copy = |x: Operand<'_, T>, rows: usize, cols: usize| {
        if x.shape() == (rows, cols) { Vec::new() } else { x.padded(rows, cols) }
    };
    let (store_a, store_b) = (copy(a, m, k), copy(b, k, n));
    let left = if store_a.is_empty() { a } else { Operand::from_columns(&store_a, m, k) };
    let right = if store_b.is_empty() { b } else { Operand::from_columns(&store_b, k, n) };
    if (m, n) == (a.rows, b.cols) {
        packed(c, alpha, left, right, beta);
        return;
    }
    let mut product = vec![T::zero(); m * n];
    packed(&mut product, alpha, left, right, T::zero());
    for (to, from) in c.chunks_exact_mut(a.rows).zip(product.chunks_exact(m)) {
        scale(to, beta);
        for (x, y) in to.iter_mut().zip(from) {
            *x += *y;
        }
    }
}

/// Plain loops: sums of columns of `a`, or inner products when the rows of `a` are the contiguous ones.
fn loops<T: Real>(c: &mut [T], alpha: T, a: Operand<'_, T>, b: Operand<'_, T>, beta: T) {
    for (j, column) in c.chunks_exact_mut(a.rows).enumerate() {
        scale(column, beta);
        if a.row_stride == 1 {
            for p in 0..a.cols {
                let factor = alpha * b.at(p, j);
                let from = &a.data[p * a.col_stride..][..a.rows];
                for (x, y) in column.iter_mut().zip(from) {
                    *x += factor * *y;
                }
            }
        } else {
            for (i, x) in column.iter_mut().enumerate() {
                let mut sum = T::zero();
                for p in 0..a.cols {
                    sum += a.at(i, p) * b.at(p, j);
                }
                *x += alpha * sum;
            }
        }
    }
}

fn scale<T: Real>(column: &mut [T], beta: T) {
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
    fn columns_are_a_view() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let (a, b): (DMatrix<f64>, DMatrix<f64>) = (random(9, 20, rng), random(9, 30, rng));
        let mut c = vec![0.0; 7 * 8];
        gemm_into(&mut c, 1.0, Operand::columns(&a, 3, 7).t(), Operand::columns(&b, 5, 8), 0.0);
        let want = a.columns(3, 7).transpose() * b.columns(5, 8);
        assert!(c.iter().zip(want.iter()).all(|(x, y)| (x - y).abs() < 1e-14));
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
