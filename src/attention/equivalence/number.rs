//! Numbers of three kinds for one formula: `f64`, double-double and checked integers.
//!
//! Double-double: `a + b = s + e` and `a b = p + e` exactly, with `e` a second `f64` (Knuth 1969; Dekker 1971). Products of
//! matrices are cut into slices of so few bits that every product of slices is exact in `f64` whatever the order of
//! the sum (Ozaki, Ogita, Oishi & Rump 2012, "Error-free transformations of matrix multiplication"), so they run
//! through [`gemm`] and lose nothing above 2^-104.

use crate::linalg::{count, gemm};
use nalgebra::DMatrix;

/// What the sums of the certificate are made of.
pub(super) trait Number: nalgebra::Scalar + Copy {
    fn zero() -> Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn widen(self) -> Wide {
        Wide::from_f64(self.to_f64())
    }

    /// `A B^T` of matrices given in `f64`.
    fn outer(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<Self> {
        let (a, b) = (a.map(Self::from_f64), b.map(Self::from_f64));
        DMatrix::from_fn(a.nrows(), b.nrows(), |i, j| {
            (0..a.ncols()).fold(Self::zero(), |sum, k| sum.plus(a[(i, k)].times(b[(j, k)])))
        })
    }

    /// `A B`.
    fn product(a: &DMatrix<Self>, b: &DMatrix<Self>) -> DMatrix<Self> {
        DMatrix::from_fn(a.nrows(), b.ncols(), |i, j| {
            (0..a.ncols()).fold(Self::zero(), |sum, k| sum.plus(a[(i, k)].times(b[(k, j)])))
        })
    }

    /// `sum_ij A_ij B_ij`.
    fn dot(a: &DMatrix<Self>, b: &DMatrix<Self>) -> Self {
        a.iter().zip(b.iter()).fold(Self::zero(), |sum, (x, y)| sum.plus(x.times(*y)))
    }
}

impl Number for f64 {
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
    fn outer(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(a.nrows(), b.nrows());
        gemm(&mut out, 1.0, a, false, b, true, 0.0);
        out
    }
    fn product(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(a.nrows(), b.ncols());
        gemm(&mut out, 1.0, a, false, b, false, 0.0);
        out
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
    fn outer(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<Self> {
        let (left, right) = (slices(a), slices(b));
        let mut out = DMatrix::from_element(a.nrows(), b.nrows(), Self::zero());
        let mut exact = DMatrix::zeros(a.nrows(), b.nrows());
        for (p, x) in left.iter().enumerate() {
            for (_, y) in right.iter().enumerate().filter(|(q, _)| p + q < MOST_SLICES) {
                gemm(&mut exact, 1.0, x, false, y, true, 0.0);
                for (sum, term) in out.iter_mut().zip(exact.iter()) {
                    *sum = sum.plus(Self::from_f64(*term));
                }
            }
        }
        out
    }
}

/// Five slices of 21 or more bits hold more than 104 bits below the largest entry of a row.
const MOST_SLICES: usize = 6;

/// `A` as a sum of matrices whose rows are multiples of a power of two, small enough for exact inner products.
#[allow(clippy::cast_possible_truncation)]
fn slices(a: &DMatrix<f64>) -> Vec<DMatrix<f64>> {
    let bits = (53 - count(a.ncols().max(1)).log2().ceil() as i32) / 2;
    let mut rest = a.clone();
    let mut out = Vec::new();
    let tops: Vec<i32> = a
        .row_iter()
        .map(|r| {
            let largest = r.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            if largest > 0.0 { largest.log2().floor() as i32 + 1 } else { 0 }
        })
        .collect();
    while out.len() < MOST_SLICES && rest.iter().any(|x| *x != 0.0) {
        let step = i32::try_from(out.len() + 1).unwrap_or(1) * bits;
        let mut slice = rest.clone();
        for (i, top) in tops.iter().enumerate() {
            // Adding 1.5 * 2^52 units rounds to a whole number of units.
            let shift = 1.5 * 2f64.powi(top - step + 52);
            for j in 0..a.ncols() {
                let head = (rest[(i, j)] + shift) - shift;
                slice[(i, j)] = head;
                rest[(i, j)] -= head;
            }
        }
        out.push(slice);
    }
    out
}

/// An integer, or nothing once a sum or a product did not fit or an input was no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked(pub(super) Option<i128>);

impl Number for Checked {
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
            let fast = Wide::outer(&a, &b);
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
