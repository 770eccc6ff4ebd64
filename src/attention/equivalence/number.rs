//! Numbers of three kinds for one formula: `f64`, double-double and checked integers.
//!
//! Double-double: `a + b = s + e` and `a b = p + e` exactly, with `e` a second `f64` (Knuth 1969; Dekker 1971). Products of
//! matrices are cut into slices of so few bits that every product of slices is exact in `f64` whatever the order of
//! the sum (Ozaki, Ogita, Oishi & Rump 2012, "Error-free transformations of matrix multiplication"), so they run
//! through [`gemm`] and lose nothing above 2^-104.

use crate::linalg::{Operand, count, gemm, gemm_into};
use nalgebra::DMatrix;
use std::ops::Range;

/// What the sums of the certificate are made of.
pub(super) trait Number: nalgebra::Scalar + Copy + Send + Sync {
    /// A matrix made ready for inner products of its rows.
    type Rows<'m>: Sync;

    fn zero() -> Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn widen(self) -> Wide {
        Wide::from_f64(self.to_f64())
    }

    fn rows(m: &DMatrix<f64>) -> Self::Rows<'_>;

    /// `A B^T` of some rows of either.
    fn outer(
        a: &Self::Rows<'_>,
        of_a: &Range<usize>,
        b: &Self::Rows<'_>,
        of_b: &Range<usize>,
    ) -> DMatrix<Self>;

    /// `A^T B`.
    fn product(a: &DMatrix<Self>, b: &DMatrix<Self>) -> DMatrix<Self> {
        DMatrix::from_fn(a.ncols(), b.ncols(), |i, j| inner(a.column(i).iter(), b.column(j).iter()))
    }

    /// `sum_ij A_ij B_ij`.
    fn dot(a: &DMatrix<Self>, b: &DMatrix<Self>) -> Self {
        inner(a.iter(), b.iter())
    }

    /// `sqrt(sum_ij A_ij^2)`.
    fn norm(a: &DMatrix<Self>) -> f64 {
        a.map(Self::to_f64).norm()
    }
}

fn inner<'n, N: Number>(a: impl Iterator<Item = &'n N>, b: impl Iterator<Item = &'n N>) -> N {
    a.zip(b).fold(N::zero(), |sum, (x, y)| sum.plus(x.times(*y)))
}

impl Number for f64 {
    type Rows<'m> = &'m DMatrix<f64>;

    fn zero() -> Self {
        0.0
    }
    fn from_f64(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn times(self, other: Self) -> Self {
        self * other
    }
    fn rows(m: &DMatrix<f64>) -> &DMatrix<f64> {
        m
    }
    fn outer(a: &&DMatrix<f64>, of_a: &Range<usize>, b: &&DMatrix<f64>, of_b: &Range<usize>) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(of_a.len(), of_b.len());
        let left = Operand::of(a).rows(of_a.start, of_a.len());
        let right = Operand::of(b).rows(of_b.start, of_b.len());
        gemm_into(out.as_mut_slice(), 1.0, left, right.t(), 0.0);
        out
    }
    fn product(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(a.ncols(), b.ncols());
        gemm(&mut out, 1.0, a, true, b, false, 0.0);
        out
    }
    fn dot(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
        a.dot(b)
    }
    fn norm(a: &DMatrix<f64>) -> f64 {
        a.norm()
    }
}

/// A sum of two `f64` that do not overlap: about 32 digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wide {
    hi: f64,
    lo: f64,
}

fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let from_b = s - a;
    (s, (a - (s - from_b)) + (b - from_b))
}

fn two_prod(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    (p, a.mul_add(b, -p))
}

impl Wide {
    /// Requires `|hi| >= |lo|`.
    fn of(hi: f64, lo: f64) -> Self {
        let s = hi + lo;
        Self { hi: s, lo: lo - (s - hi) }
    }

    /// `1 / x` to about 2^-104.
    pub fn inverse_of(x: f64) -> Self {
        let first = 1.0 / x;
        let (p, e) = two_prod(first, x);
        Self::of(first, ((1.0 - p) - e) / x)
    }
}

impl Number for Wide {
    type Rows<'m> = Slices;

    fn zero() -> Self {
        Self { hi: 0.0, lo: 0.0 }
    }
    fn from_f64(x: f64) -> Self {
        Self { hi: x, lo: 0.0 }
    }
    fn to_f64(self) -> f64 {
        self.hi + self.lo
    }
    fn widen(self) -> Wide {
        self
    }
    fn plus(self, other: Self) -> Self {
        let (s, e) = two_sum(self.hi, other.hi);
        let (t, f) = two_sum(self.lo, other.lo);
        let first = Self::of(s, e + t);
        Self::of(first.hi, first.lo + f)
    }
    fn times(self, other: Self) -> Self {
        let (p, e) = two_prod(self.hi, other.hi);
        Self::of(p, e + (self.hi * other.lo + self.lo * other.hi))
    }
    fn rows(m: &DMatrix<f64>) -> Slices {
        Slices::of(m, |_| 0.0)
    }
    fn outer(a: &Slices, of_a: &Range<usize>, b: &Slices, of_b: &Range<usize>) -> DMatrix<Self> {
        fn pick<'m>(m: &'m DMatrix<f64>, of: &Range<usize>, first: usize, count: usize) -> Operand<'m, f64> {
            Operand::columns(m, first, count).rows(of.start, of.len())
        }
        let mut out = DMatrix::from_element(of_a.len(), of_b.len(), Self::zero());
        let mut exact = DMatrix::<f64>::zeros(of_a.len(), of_b.len());
        for level in 0..SLICES {
            // Slices p of the one with level - p of the other: p falls to the right in the one, rises in the other.
            let width = a.width;
            let (from, to) =
                (level.saturating_sub(b.count.saturating_sub(1)), level.min(a.count.saturating_sub(1)));
            if a.count == 0 || b.count == 0 || from > to {
                continue;
            }
            let columns = (to + 1 - from) * width;
            let left = pick(&a.rising, of_a, from * width, columns);
            let right = pick(&b.falling, of_b, (b.count - 1 - (level - from)) * width, columns);
            gemm_into(exact.as_mut_slice(), 1.0, left, right.t(), 0.0);
            for (sum, term) in out.iter_mut().zip(exact.iter()) {
                let (hi, lo) = two_sum(sum.hi, *term);
                *sum = Self::of(hi, sum.lo + lo);
            }
        }
        out
    }
    fn product(a: &DMatrix<Self>, b: &DMatrix<Self>) -> DMatrix<Self> {
        let rows = |m: &DMatrix<Self>| {
            let m = m.transpose();
            Slices::of(&m.map(|x| x.hi), |at| m[at].lo)
        };
        Self::outer(&rows(a), &(0..a.ncols()), &rows(b), &(0..b.ncols()))
    }
}

/// Five slices of 20 or more bits hold more than 100 bits below the largest entry of a row.
const SLICES: usize = 5;

/// `A` as a sum of matrices whose rows are multiples of a power of two, small enough for exact inner products.
///
/// They stand side by side, so that all products of slices of one level `p + q` are one inner product.
pub(super) struct Slices {
    /// `[rows, count * width]`, the largest slice first
    rising: DMatrix<f64>,
    /// the same, the largest slice last
    falling: DMatrix<f64>,
    width: usize,
    count: usize,
}

impl Slices {
    /// Of the entries of `high`, with what `low` says is missing in each.
    #[allow(clippy::cast_possible_truncation)]
    fn of(high: &DMatrix<f64>, low: impl Fn((usize, usize)) -> f64) -> Self {
        let (rows, width) = high.shape();
        let bits = (53 - count((SLICES * width).max(1)).log2().ceil() as i32) / 2;
        let top = |r: nalgebra::MatrixView<
            '_,
            f64,
            nalgebra::Const<1>,
            nalgebra::Dyn,
            nalgebra::Const<1>,
            nalgebra::Dyn,
        >| {
            let largest = r.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            if largest > 0.0 { largest.log2().floor() as i32 + 1 } else { 0 }
        };
        // Adding 1.5 * 2^52 units rounds to a whole number of units.
        let first: Vec<f64> = high.row_iter().map(|r| 1.5 * 2f64.powi(top(r) - bits + 52)).collect();
        let step = 2f64.powi(-bits);
        let mut all = DMatrix::zeros(rows, SLICES * width);
        let mut count = 0;
        for j in 0..width {
            for i in 0..rows {
                let (mut hi, mut lo, mut shift) = (high[(i, j)], low((i, j)), first[i]);
                let mut slice = 0;
                while slice < SLICES && hi != 0.0 {
                    let head = (hi + shift) - shift;
                    all[(i, slice * width + j)] = head;
                    (hi, lo) = two_sum(hi - head, lo);
                    shift *= step;
                    slice += 1;
                }
                count = count.max(slice);
            }
        }
        let rising = all.columns_range(..count * width).into_owned();
        let mut falling = rising.clone();
        for slice in 0..count {
            let from = rising.columns_range(slice * width..(slice + 1) * width);
            falling.columns_range_mut((count - 1 - slice) * width..(count - slice) * width).copy_from(&from);
        }
        Self { rising, falling, width, count }
    }
}

/// An integer, or nothing once a sum or a product did not fit or an input was no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked(pub(super) Option<i128>);

impl Number for Checked {
    type Rows<'m> = DMatrix<Self>;

    fn rows(m: &DMatrix<f64>) -> DMatrix<Self> {
        m.map(Self::from_f64)
    }
    fn outer(
        a: &DMatrix<Self>,
        of_a: &Range<usize>,
        b: &DMatrix<Self>,
        of_b: &Range<usize>,
    ) -> DMatrix<Self> {
        DMatrix::from_fn(of_a.len(), of_b.len(), |i, j| {
            inner(a.row(of_a.start + i).iter(), b.row(of_b.start + j).iter())
        })
    }
    fn zero() -> Self {
        Self(Some(0))
    }
    #[allow(clippy::cast_possible_truncation)]
    fn from_f64(x: f64) -> Self {
        let whole = x.fract() == 0.0 && x.abs() < 2f64.powi(126);
        Self(whole.then_some(x as i128))
    }
    #[allow(clippy::cast_precision_loss)]
    fn to_f64(self) -> f64 {
        self.0.map_or(f64::NAN, |x| x as f64)
    }
    fn plus(self, other: Self) -> Self {
        Self(self.0.zip(other.0).and_then(|(x, y)| x.checked_add(y)))
    }
    fn times(self, other: Self) -> Self {
        Self(self.0.zip(other.0).and_then(|(x, y)| x.checked_mul(y)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn what_one_double_loses_two_keep() {
        let (one, tiny) = (Wide::from_f64(1.0), Wide::from_f64(1e-25));
        let sum = one.plus(tiny).plus(Wide::from_f64(-1.0));
        assert!((sum.to_f64() / 1e-25 - 1.0).abs() < 1e-6, "{sum:?}");
        let x = Wide::from_f64(1.0 + 2f64.powi(-40));
        let square = x.times(x).plus(Wide::from_f64(-1.0)).plus(Wide::from_f64(-2f64.powi(-39)));
        assert!((square.to_f64() - 2f64.powi(-80)).abs() <= 0.0, "{square:?}");
    }

    #[test]
    fn sliced_products_are_those_of_double_doubles() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for (m, n, k) in [(1, 1, 1), (3, 4, 5), (7, 2, 400), (2, 2, 0)] {
            let mut random = |r: usize| {
                DMatrix::from_fn(r, k, |_, _| {
                    rng.random_range(-1.0..1.0) * 10f64.powi(rng.random_range(-9..9))
                })
            };
            let (a, b) = (random(m), random(n));
            let fast = Wide::outer(&Wide::rows(&a), &(0..m), &Wide::rows(&b), &(0..n));
            for i in 0..m {
                for j in 0..n {
                    let term = |l| Wide::from_f64(a[(i, l)]).times(Wide::from_f64(b[(j, l)]));
                    let want = (0..k).fold(Wide::zero(), |s, l| s.plus(term(l)));
                    let size = a.row(i).amax() * b.row(j).amax();
                    let gap = fast[(i, j)].plus(want.times(Wide::from_f64(-1.0))).to_f64();
                    assert!(gap.abs() <= 1e-28 * size, "({m}, {n}, {k}): {gap:e} of {size:e}");
                }
            }
        }
    }

    #[test]
    fn integers_say_when_they_do_not_fit() {
        let big = Checked::from_f64(2f64.powi(100));
        assert_eq!(big.times(big), Checked(None));
        assert_eq!(Checked::from_f64(0.5), Checked(None));
        assert_eq!(Checked::from_f64(-3.0).times(Checked::from_f64(4.0)), Checked(Some(-12)));
    }
}
