//! Which of its four matrices makes a head differ from another one.
//!
//! A head acts through `B = scale W_K^T W_Q` and `P = W_O W_V`, biases in a last column, and both are products
//! `M = s L^T R`. To change `L` alone so that the whole head `P x B` comes nearest to `P' x B'` is a problem of least squares:
//! with `c = <N, N'> / |N|^2` of the other half `N`,
//!
//! ```text
//! s L*^T R = c M' R^+ R        L* = L + (c M' R^+ / s - L^T R R^+)^T, of all solutions the nearest to L
//! residual^2 = (|c N| |M' - M' R^+ R|)^2 + (|N' - c N| |M'|)^2        over (|N'| |M'|)^2
//! ```
//!
//! `c` is the factor that can move between the halves of a linear head. Scores of other kernels have a size, so there c = 1;
//! under a softmax key biases add the same to all scores of a token and are left out.
//!
//! **Deliberately absent:** what two changed matrices explain together, and the exchange of keys and values at rank one.
//!
//! # Source
//! Our own derivation.

use super::matched::same_kind;
use super::scope::OutOfScope;
use crate::attention::{FeatureMap, Head, Kernel, Memory, Normalisation};
use crate::linalg::{gemm, svd};
use nalgebra::{DMatrix, DVector};

/// A matrix of a head, with its bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Factor {
    /// `[W_Q b_Q]`
    Query,
    /// `[W_K b_K]`
    Key,
    /// `[W_V b_V]`
    Value,
    /// `W_O`
    Output,
}

/// What a change of one factor alone can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blame {
    pub factor: Factor,
    /// the smallest change that brings the head nearest to the other, over the size of the factor (Frobenius norms)
    pub change: f64,
    /// how far they are apart then, over the size of the other head
    pub residual: f64,
}

impl Factor {
    /// `W_Q`, `W_K`, `W_V` or `W_O`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "W_Q",
            Self::Key => "W_K",
            Self::Value => "W_V",
            Self::Output => "W_O",
        }
    }
}

/// Residuals below this count as none, and the change decides.
const EXPLAINED: f64 = 1e-9;
/// Singular values below this part of the largest count as zero.
const RANK_TOLERANCE: f64 = 1e-12;

/// For each factor of `f` the smallest change of it alone that makes `f` the same function as `g`, and what remains;
/// the factor that explains the difference best comes first.
///
/// Gauges do not matter: `g` may be written in any. Cost O(r^2 D).
///
/// # Errors
/// [`OutOfScope`] for heads of different streams, widths or kinds, for numbers that are not finite, and for kernels with
/// feature maps and memories of the delta or gated kind, which P and B do not determine.
pub fn blame(f: &Head, g: &Head) -> Result<[Blame; 4], OutOfScope> {
    check(f, g)?;
    let linear = is_linear(f);
    let softmax = f.kernel == Kernel::Exp && f.normalisation == Normalisation::Sum && f.sink.is_none();
    let ([qk, ov], [qk2, ov2]) = (halves(f, softmax), halves(g, softmax));
    if [&qk, &ov, &qk2, &ov2].iter().any(|h| !h.norm().is_finite()) {
        return Err(OutOfScope::NotFinite { what: "a product of the weights of a head".into() });
    }
    let with = |factor, half: &Half, half2: &Half, other: &Half, other2: &Half| {
        let square = other.inner(other);
        let c = if !linear {
            1.0
        } else if square > 0.0 {
            other.inner(other2) / square
        } else {
            0.0
        };
        let (change, missed) = half.change_left(half2, c);
        let kept = if missed > 0.0 { ratio((c * other.norm()).abs(), other2.norm()) * missed } else { 0.0 };
        Blame { factor, change, residual: kept.hypot(other.gap(other2, c)) }
    };
    let mut out = [
        with(Factor::Query, &qk.swapped(), &qk2.swapped(), &ov, &ov2),
        with(Factor::Key, &qk, &qk2, &ov, &ov2),
        with(Factor::Value, &ov.swapped(), &ov2.swapped(), &qk, &qk2),
        with(Factor::Output, &ov, &ov2, &qk, &qk2),
    ];
    let rank = |b: &Blame| (if b.residual <= EXPLAINED { 0.0 } else { b.residual }, b.change);
    out.sort_by(|x, y| {
        let (x, y) = (rank(x), rank(y));
        x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1))
    });
    Ok(out)
}

fn is_linear(h: &Head) -> bool {
    let identity = Kernel::Feature { key: FeatureMap::Identity, query: FeatureMap::Identity };
    (h.kernel == Kernel::Linear || h.kernel == identity) && h.normalisation == Normalisation::None
}

fn check(f: &Head, g: &Head) -> Result<(), OutOfScope> {
    let bad = |what: String| Err(OutOfScope::Widths { what });
    let shapes = |h: &Head| [h.w_q.ncols(), h.w_k.ncols(), h.w_v.ncols(), h.w_o.nrows()];
    if shapes(f) != shapes(g) {
        let [x, y] = [shapes(f), shapes(g)];
        return bad(format!("the heads are {x:?} and {y:?} wide (queries, keys, values, output)"));
    }
    for h in [f, g] {
        let (d_k, d_v) = (h.d_key(), h.d_value());
        let fits = h.w_q.nrows() == d_k && h.b_q.len() == d_k && h.b_k.len() == d_k && h.b_v.len() == d_v;
        if !fits || h.w_o.ncols() != d_v {
            return bad("the matrices of a head do not fit each other".into());
        }
        if matches!(h.kernel, Kernel::Feature { .. }) && !is_linear(h) {
            return bad("the heads have feature maps, so W_K^T W_Q does not decide".into());
        }
        if matches!(h.memory, Memory::Delta(_) | Memory::Gated { .. }) {
            return bad(format!("the memory is {}, so W_K^T W_Q does not decide", h.memory.name()));
        }
    }
    if !same_kind(f, g) {
        return bad("the heads differ in streams, mask, memory or kernel, so no weight explains it".into());
    }
    Ok(())
}

/// `M = scale * left^T right`.
#[derive(Clone)]
struct Half {
    /// `[cells, rows of M]`
    left: DMatrix<f64>,
    /// `[cells, columns of M]`
    right: DMatrix<f64>,
    scale: f64,
}

/// QK and OV, each matrix at about size 1.
fn halves(h: &Head, softmax: bool) -> [Half; 2] {
    let affine = |w: &DMatrix<f64>, b: &DVector<f64>| {
        let mut out = w.clone().insert_column(w.ncols(), 0.0);
        out.set_column(w.ncols(), b);
        out
    };
    let half = |left: DMatrix<f64>, right: DMatrix<f64>, scale: f64| {
        let size = |m: &DMatrix<f64>| if m.amax() > 0.0 { m.amax() } else { 1.0 };
        let (x, y) = (size(&left), size(&right));
        Half { left: left / x, right: right / y, scale: scale * x * y }
    };
    let b_k = if softmax { DVector::zeros(h.b_k.len()) } else { h.b_k.clone() };
    [
        half(affine(&h.w_k, &b_k), affine(&h.w_q, &h.b_q), h.scale),
        half(h.w_o.transpose(), affine(&h.w_v, &h.b_v), 1.0),
    ]
}

impl Half {
    fn swapped(&self) -> Self {
        Self { left: self.right.clone(), right: self.left.clone(), scale: self.scale }
    }

    /// `<M, M'>`.
    fn inner(&self, other: &Self) -> f64 {
        let left = product(&self.left, false, &other.left, true);
        let right = product(&self.right, false, &other.right, true);
        self.scale * other.scale * left.dot(&right)
    }

    /// `|M|`.
    fn norm(&self) -> f64 {
        self.scale.abs() * product(&triangle(&self.left), false, &self.right, false).norm()
    }

    /// `|M' - c M| / |M'|`.
    fn gap(&self, other: &Self, c: f64) -> f64 {
        let both = |x: &DMatrix<f64>, y: DMatrix<f64>| {
            let mut out = DMatrix::zeros(x.nrows() + y.nrows(), x.ncols());
            out.rows_mut(0, x.nrows()).copy_from(x);
            out.rows_mut(x.nrows(), y.nrows()).copy_from(&y);
            out
        };
        let right = both(&(&other.right * other.scale), &self.right * (-c * self.scale));
        let left = triangle(&both(&other.left, self.left.clone()));
        ratio(product(&left, false, &right, false).norm(), other.norm())
    }

    /// The smallest change of `left` that brings `M` nearest to `c M'`, over its size, and how much of `M'` it misses, over
    /// the size of that.
    fn change_left(&self, other: &Self, c: f64) -> (f64, f64) {
        let inverse = pseudo_inverse(&self.right);
        let seen = product(&other.right, false, &inverse, false);
        let mut rest = other.right.clone();
        gemm(&mut rest, -1.0, &seen, false, &self.right, false, 1.0);
        let missed = other.scale.abs() * product(&triangle(&other.left), false, &rest, false).norm();

        let wanted = c * other.scale;
        let factor = if self.scale == 0.0 { wanted } else { wanted / self.scale };
        let own = product(&self.right, false, &inverse, false);
        let change =
            product(&seen, true, &other.left, false) * factor - product(&own, true, &self.left, false);
        let change = match (self.scale == 0.0, wanted == 0.0) {
            (true, true) => 0.0,
            (true, false) => f64::INFINITY,
            _ => ratio(change.norm(), self.left.norm()),
        };
        (change, ratio(missed, other.norm()))
    }
}

/// `x / y`; 0 where both are, infinite where only `y` is.
fn ratio(x: f64, y: f64) -> f64 {
    if x > 0.0 { x / y } else { 0.0 }
}

/// `[min(n, m), n]` with the inner products of the rows of `a [n, m]` as inner products of its columns.
fn triangle(a: &DMatrix<f64>) -> DMatrix<f64> {
    if a.is_empty() { DMatrix::zeros(0, a.nrows()) } else { a.transpose().qr().unpack_r() }
}

/// `A^+` of a matrix that is wide, through its triangle.
fn pseudo_inverse(a: &DMatrix<f64>) -> DMatrix<f64> {
    if a.is_empty() {
        return DMatrix::zeros(a.ncols(), a.nrows());
    }
    let (q, r) = a.transpose().qr().unpack();
    // A = R^T Q^T, A^+ = Q (R^T)^+
    let parts = svd(&r.transpose());
    let most = parts.singular.first().copied().unwrap_or(0.0) * RANK_TOLERANCE;
    let kept = parts.singular.iter().filter(|s| **s > most).count();
    let mut v = parts.v.columns(0, kept).into_owned();
    for (mut column, s) in v.column_iter_mut().zip(&parts.singular) {
        column /= *s;
    }
    let inverse = product(&v, false, &parts.u.columns(0, kept).into_owned(), true);
    product(&q, false, &inverse, false)
}

fn product(a: &DMatrix<f64>, trans_a: bool, b: &DMatrix<f64>, trans_b: bool) -> DMatrix<f64> {
    let rows = if trans_a { a.ncols() } else { a.nrows() };
    let columns = if trans_b { b.nrows() } else { b.ncols() };
    let mut out = DMatrix::zeros(rows, columns);
    gemm(&mut out, 1.0, a, trans_a, b, trans_b, 0.0);
    out
}
