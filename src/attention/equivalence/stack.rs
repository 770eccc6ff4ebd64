//! Heads as rows of four tall matrices over one token, `[x^1; x^2; ...; 1]`: all streams and a 1.
//!
//! On that token a head is `T_abce = scale W_O W_V [a,b] (W_K^T W_Q)[c,e]` with biases in the last column and zeros for the
//! streams that it does not read. What follows needs no cases: a swap of key and value streams is seen, and so is
//! that a key which is only a bias reads no stream at all.

use crate::attention::{Head, Residual};
use nalgebra::{DMatrix, DVector};
use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::ops::Range;

/// `W x^stream + b`.
#[derive(Clone, Debug)]
pub(super) struct Affine<'h> {
    pub stream: Cow<'h, str>,
    pub w: Cow<'h, DMatrix<f64>>,
    pub b: Cow<'h, DVector<f64>>,
}

/// One head, `coefficient * O v (k . q)`.
#[derive(Clone, Debug)]
pub(super) struct Term<'h> {
    pub o: Cow<'h, DMatrix<f64>>,
    pub v: Affine<'h>,
    pub k: Affine<'h>,
    pub q: Affine<'h>,
    pub coefficient: f64,
}

impl<'h> Affine<'h> {
    fn of(stream: &'h str, w: &'h DMatrix<f64>, b: &'h DVector<f64>) -> Self {
        Self { stream: Cow::Borrowed(stream), w: Cow::Borrowed(w), b: Cow::Borrowed(b) }
    }

    fn owned(stream: &str, w: DMatrix<f64>, b: DVector<f64>) -> Self {
        Self { stream: Cow::Owned(stream.to_owned()), w: Cow::Owned(w), b: Cow::Owned(b) }
    }

    fn largest(&self) -> f64 {
        largest(self.w.as_slice()).max(largest(self.b.as_slice()))
    }

    pub fn apply(&self, token: &BTreeMap<String, DVector<f64>>) -> DVector<f64> {
        match token.get(&*self.stream) {
            Some(x) if x.len() == self.w.ncols() => &*self.w * x + &*self.b,
            _ => self.b.clone().into_owned(),
        }
    }
}

impl<'h> Term<'h> {
    pub fn of(head: &'h Head, factor: f64) -> Self {
        Self {
            o: Cow::Borrowed(&head.w_o),
            v: Affine::of(&head.value_stream, &head.w_v, &head.b_v),
            k: Affine::of(&head.context_stream, &head.w_k, &head.b_k),
            q: Affine::of(&head.query_stream, &head.w_q, &head.b_q),
            coefficient: head.scale * factor,
        }
    }

    /// A residual path and the output bias, as a head whose score is always 1.
    pub fn path(path: &Residual, bias: &DVector<f64>, factor: f64) -> Self {
        let d = path.matrix.nrows();
        let columns = path.matrix.ncols();
        let one = Affine::owned(&path.stream, DMatrix::zeros(1, columns), DVector::from_element(1, 1.0));
        Self {
            o: Cow::Owned(DMatrix::identity(d, d)),
            v: Affine::owned(&path.stream, path.matrix.clone(), bias.clone()),
            k: one.clone(),
            q: one,
            coefficient: factor,
        }
    }

    /// The largest number of O, V, K and Q, and the coefficient.
    fn sizes(&self) -> [f64; 5] {
        let [v, k, q] = [&self.v, &self.k, &self.q].map(Affine::largest);
        [largest(self.o.as_slice()), v, k, q, self.coefficient.abs()]
    }

    /// The same with keys and queries exchanged.
    pub fn flipped(&self) -> Self {
        Self { k: self.q.clone(), q: self.k.clone(), ..self.clone() }
    }

    /// Whether the inner product with `other` can be other than zero.
    pub fn touches(&self, other: &Term<'_>) -> bool {
        let meets =
            |x: &Affine<'_>, y: &Affine<'_>| x.stream == y.stream || (x.b.amax() > 0.0 && y.b.amax() > 0.0);
        let straight = meets(&self.v, &other.v) && meets(&self.k, &other.k);
        let crossed = meets(&self.v, &other.k) && meets(&self.k, &other.v);
        meets(&self.q, &other.q) && (straight || crossed)
    }
}

/// Where a head is in a [`Stack`]: its rows of each matrix.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub o: Range<usize>,
    pub v: Range<usize>,
    pub k: Range<usize>,
    pub q: Range<usize>,
    pub coefficient: f64,
}

/// All heads of a comparison, one below the other; each number is the true one times a power of two.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// `W_O^T`, `[values, d_model]`
    pub o: DMatrix<f64>,
    /// `[values, token]`
    pub v: DMatrix<f64>,
    /// `[keys, token]`
    pub k: DMatrix<f64>,
    /// `[keys, token]`
    pub q: DMatrix<f64>,
    pub heads: Vec<Place>,
    /// what every head is really to be multiplied with: 2 to this power
    pub exponent: i32,
}

impl Stack {
    /// Each matrix times a power of two that makes its largest number about 1, so that nothing overflows.
    pub fn balanced<'h, T: Borrow<Term<'h>>>(terms: &[T]) -> Self {
        let terms: Vec<&Term<'h>> = terms.iter().map(Borrow::borrow).collect();
        let sizes: Vec<[f64; 5]> = terms.iter().map(|t| t.sizes()).collect();
        let powers: Vec<[i32; 5]> = sizes.iter().map(|s| s.map(exponent_of)).collect();
        let top = sizes
            .iter()
            .zip(&powers)
            .filter(|(s, _)| s.iter().all(|x| *x > 0.0))
            .map(|(_, p)| p.iter().sum::<i32>())
            .max()
            .unwrap_or(0);
        let coefficient = |t: &Term<'_>, p: &[i32; 5]| {
            shifted(shifted(t.coefficient, -p[4]), (p.iter().sum::<i32>() - top).max(-2000))
        };
        let shifts: Vec<[i32; 4]> = powers.iter().map(|p| [-p[0], -p[1], -p[2], -p[3]]).collect();
        let coefficients = terms.iter().zip(&powers).map(|(t, p)| coefficient(t, p)).collect();
        Self::build(&terms, &shifts, coefficients, top)
    }

    /// Each head with a power of two of its own, for what does not depend on its size; coefficients are 1, -1 or 0.
    pub fn unit(terms: &[Term<'_>]) -> Self {
        let shift = |t: &Term<'_>| {
            let [o, v, k, q, _] = t.sizes().map(exponent_of);
            [-o, -v, -k, -q]
        };
        let sign = |t: &Term<'_>| if t.coefficient == 0.0 { 0.0 } else { t.coefficient.signum() };
        let shifts: Vec<[i32; 4]> = terms.iter().map(shift).collect();
        Self::build(&terms.iter().collect::<Vec<_>>(), &shifts, terms.iter().map(sign).collect(), 0)
    }

    /// Every matrix of a role, and every coefficient, times one power of two that leaves whole numbers; nothing when
    /// it would take more than `bits`.
    pub fn whole(terms: &[Term<'_>], bits: i32) -> Option<Self> {
        let mut shift = [0; 5];
        for t in terms {
            let numbers = |a: &Affine<'_>| a.w.iter().chain(a.b.iter()).copied().collect::<Vec<f64>>();
            let roles = [
                t.o.iter().copied().collect(),
                numbers(&t.v),
                numbers(&t.k),
                numbers(&t.q),
                vec![t.coefficient],
            ];
            for (most, role) in shift.iter_mut().zip(roles) {
                for x in role {
                    *most = (*most).max((0..=bits).find(|s| shifted(x, *s).fract() == 0.0)?);
                }
            }
        }
        let coefficients = terms.iter().map(|t| shifted(t.coefficient, shift[4])).collect();
        let shifts = vec![[shift[0], shift[1], shift[2], shift[3]]; terms.len()];
        Some(Self::build(
            &terms.iter().collect::<Vec<_>>(),
            &shifts,
            coefficients,
            -shift.iter().sum::<i32>(),
        ))
    }

    fn build(terms: &[&Term<'_>], shifts: &[[i32; 4]], coefficients: Vec<f64>, exponent: i32) -> Self {
        let (first, width) = columns(terms);
        let (n_v, n_k) = terms.iter().fold((0, 0), |(v, k), t| (v + t.v.w.nrows(), k + t.k.w.nrows()));
        let d = terms.first().map_or(0, |t| t.o.nrows());
        let mut stack = Self {
            o: DMatrix::zeros(n_v, d),
            v: DMatrix::zeros(n_v, width + 1),
            k: DMatrix::zeros(n_k, width + 1),
            q: DMatrix::zeros(n_k, width + 1),
            heads: Vec::new(),
            exponent,
        };
        let (mut at_v, mut at_k) = (0, 0);
        for ((t, [o, v, k, q]), coefficient) in terms.iter().zip(shifts).zip(coefficients) {
            let (values, keys) = (at_v..at_v + t.v.w.nrows(), at_k..at_k + t.k.w.nrows());
            let place = |to: &mut DMatrix<f64>, rows: usize, a: &Affine<'_>, shift: i32| {
                let from = first[&*a.stream].start;
                for (j, column) in a.w.column_iter().enumerate() {
                    copy(to.view_mut((rows, from + j), (column.len(), 1)).iter_mut(), column.iter(), shift);
                }
                copy(to.view_mut((rows, width), (a.b.len(), 1)).iter_mut(), a.b.iter(), shift);
            };
            for (j, row) in t.o.row_iter().enumerate() {
                copy(stack.o.view_mut((at_v, j), (row.len(), 1)).iter_mut(), row.iter(), *o);
            }
            place(&mut stack.v, at_v, &t.v, *v);
            place(&mut stack.k, at_k, &t.k, *k);
            place(&mut stack.q, at_k, &t.q, *q);
            (at_v, at_k) = (values.end, keys.end);
            stack.heads.push(Place { o: values.clone(), v: values, k: keys.clone(), q: keys, coefficient });
        }
        stack
    }
}

/// Columns of each stream that is read, by name, and how many there are before that of the biases.
///
/// A path that only carries a bias reads no column of its stream.
pub(super) fn columns<'t>(terms: &[&'t Term<'_>]) -> (BTreeMap<&'t str, Range<usize>>, usize) {
    let mut widths: BTreeMap<&str, usize> = BTreeMap::new();
    for part in terms.iter().flat_map(|t| [&t.v, &t.k, &t.q]) {
        let most = widths.entry(&part.stream).or_default();
        *most = (*most).max(part.w.ncols());
    }
    let mut all = 0;
    let columns = widths.into_iter().map(|(stream, width)| {
        all += width;
        (stream, all - width..all)
    });
    let columns = columns.collect();
    (columns, all)
}

/// The largest absolute value, several at a time.
fn largest(xs: &[f64]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let chunks = xs.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        for (most, x) in lanes.iter_mut().zip(chunk) {
            *most = if x.abs() > *most { x.abs() } else { *most };
        }
    }
    lanes.iter().chain(rest).fold(0.0, |most, x| most.max(x.abs()))
}

/// `x 2^e`, in two steps so that only the result can overflow.
pub(super) fn shifted(x: f64, e: i32) -> f64 {
    let [first, second] = steps(e);
    x * first * second
}

/// `2^e` as a product.
fn steps(e: i32) -> [f64; 2] {
    let half = e / 2;
    [2f64.powi(half), 2f64.powi(e - half)]
}

/// `to = from 2^e`.
fn copy<'m>(to: impl Iterator<Item = &'m mut f64>, from: impl Iterator<Item = &'m f64>, e: i32) {
    let [first, second] = steps(e);
    to.zip(from).for_each(|(to, from)| *to = from * first * second);
}

/// `e` with `2^e` about `x`; 0 for 0.
#[allow(clippy::cast_possible_truncation)]
fn exponent_of(x: f64) -> i32 {
    if x > 0.0 { x.log2().floor() as i32 } else { 0 }
}
