//! Functional inner products of all pairs of heads of a stack.
//!
//! ```text
//! direct  = <OO, VV> <KK, QQ> = <P, P'> <B, B'>         OO = W_O^T W_O'  VV = W_V W_V'^T  KK = W_K W_K'^T
//! crossed = tr(OO VK QQ KV) = tr(P^T P' B B'^T)         QQ = W_Q W_Q'^T  VK = W_V' W_K^T  KV = W_K' W_V^T
//! <f, f'> = (direct + crossed) / 2                      symmetric in the two slots of x_j
//! ```
//!
//! On the token itself, `x_j = x_i`, all three slots are symmetric: with `f + f^T` (keys and queries exchanged, each
//! half) for `f`, the inner product is `direct / 3 + 2 crossed / 3`: of the six orders of three slots two leave the
//! value's slot where it is, and four move it.
//!
//! # Source
//! Our own derivation; closest prior work arXiv 2408.17221 and 2410.10101.

use super::number::{Number, Wide};
use super::stack::{Place, Stack, Term};
use nalgebra::DMatrix;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::borrow::Borrow;
use std::ops::Range;

/// What two slots the same token goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slots {
    /// key and value
    Pair,
    /// key, value and query; the stack holds every head and then every flipped head, see [`own_token`]
    Own,
}

/// Inner products of all pairs of heads.
#[derive(Clone, Debug)]
pub(super) struct Gram<N: Number> {
    pub direct: DMatrix<N>,
    pub crossed: DMatrix<N>,
    /// `<P, P'>`, without coefficients
    pub ov: DMatrix<N>,
    /// `<B, B'>`, without coefficients
    pub qk: DMatrix<N>,
    /// what rounding of `direct` and of `crossed` is relative to: the norms of their four factors
    pub sizes: [DMatrix<f64>; 2],
}

/// The terms and their flipped copies, for [`Slots::Own`] (twice what the average would be).
pub(super) fn own_token<'h, T: Borrow<Term<'h>>>(terms: &[T]) -> Vec<Term<'h>> {
    let terms = terms.iter().map(Borrow::borrow);
    terms.clone().cloned().chain(terms.map(Term::flipped)).collect()
}

/// Products of every pair; cost O(H^2 r^2 D).
///
/// Panels of heads are worked on by several threads; each entry is summed by one.
pub(super) fn gram<N: Number>(stack: &Stack) -> Gram<N> {
    let n = stack.heads.len();
    let rows = [&stack.o, &stack.v, &stack.k, &stack.q].map(|m| N::rows(m));
    let panels = panels(&stack.heads);
    let entries: Vec<Vec<Entry<N>>> =
        panels.into_par_iter().map(|heads| panel(&stack.heads, &rows, &heads)).collect();
    let zero = || DMatrix::from_element(n, n, N::zero());
    let sizes = [DMatrix::zeros(n, n), DMatrix::zeros(n, n)];
    let mut out = Gram { direct: zero(), crossed: zero(), ov: zero(), qk: zero(), sizes };
    for e in entries.into_iter().flatten() {
        let weight = stack.heads[e.i].coefficient * stack.heads[e.j].coefficient;
        let exact =
            N::from_f64(stack.heads[e.i].coefficient).times(N::from_f64(stack.heads[e.j].coefficient));
        for at in [(e.i, e.j), (e.j, e.i)] {
            (out.ov[at], out.qk[at]) = (e.ov, e.qk);
            out.direct[at] = exact.times(e.ov.times(e.qk));
            out.crossed[at] = exact.times(e.crossed);
            for (sizes, size) in out.sizes.iter_mut().zip(e.sizes) {
                sizes[at] = weight.abs() * size;
            }
        }
    }
    out
}

/// One pair of heads, `i <= j`.
struct Entry<N> {
    i: usize,
    j: usize,
    ov: N,
    qk: N,
    crossed: N,
    sizes: [f64; 2],
}

/// Rows that make a product of matrices worth packing.
const PANEL: usize = 192;

/// Heads that follow each other, each time enough for [`PANEL`] rows.
fn panels(heads: &[Place]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut first, mut rows) = (0, 0);
    for (h, place) in heads.iter().enumerate() {
        rows += place.v.len().max(place.k.len());
        if rows >= PANEL || h + 1 == heads.len() {
            out.push(first..h + 1);
            (first, rows) = (h + 1, 0);
        }
    }
    out
}

/// The rows of a role that some heads take, and what lies between.
fn hull<'h>(heads: &'h [Place], role: impl Fn(&'h Place) -> &'h Range<usize>) -> Range<usize> {
    let start = heads.iter().map(|h| role(h).start).min().unwrap_or(0);
    start..heads.iter().map(|h| role(h).end).max().unwrap_or(0)
}

/// A product of rows of two roles, and which rows they are.
struct Piece<N: Number> {
    product: DMatrix<N>,
    rows: usize,
    columns: usize,
}

impl<N: Number> Piece<N> {
    fn of(a: &N::Rows<'_>, of_a: &Range<usize>, b: &N::Rows<'_>, of_b: &Range<usize>) -> Self {
        Self { product: N::outer(a, of_a, b, of_b), rows: of_a.start, columns: of_b.start }
    }

    fn block(&self, r: &Range<usize>, c: &Range<usize>) -> DMatrix<N> {
        self.product.view((r.start - self.rows, c.start - self.columns), (r.len(), c.len())).into_owned()
    }
}

/// All pairs whose second head is one of `heads`.
fn panel<N: Number>(all: &[Place], [o, v, k, q]: &[N::Rows<'_>; 4], heads: &Range<usize>) -> Vec<Entry<N>> {
    let (earlier, here, upto) = (&all[..heads.start], &all[heads.clone()], &all[..heads.end]);
    let oo = Piece::<N>::of(o, &hull(upto, |h| &h.o), o, &hull(here, |h| &h.o));
    let vv = Piece::<N>::of(v, &hull(upto, |h| &h.v), v, &hull(here, |h| &h.v));
    let kk = Piece::<N>::of(k, &hull(upto, |h| &h.k), k, &hull(here, |h| &h.k));
    let qq = Piece::<N>::of(q, &hull(upto, |h| &h.q), q, &hull(here, |h| &h.q));
    let vk = Piece::<N>::of(v, &hull(upto, |h| &h.v), k, &hull(here, |h| &h.k));
    let kv = Piece::<N>::of(k, &hull(earlier, |h| &h.k), v, &hull(here, |h| &h.v));
    let mut out = Vec::new();
    for j in heads.clone() {
        let g = &all[j];
        for (i, f) in all.iter().enumerate().take(j + 1) {
            let (oo, qq) = (oo.block(&f.o, &g.o), qq.block(&f.q, &g.q));
            let (vv, kk) = (vv.block(&f.v, &g.v), kk.block(&f.k, &g.k));
            let vk_fg = vk.block(&f.v, &g.k);
            let kv_fg = if i < heads.start { kv.block(&f.k, &g.v) } else { vk.block(&g.v, &f.k).transpose() };
            // tr(OO VK QQ KV) = <KV^T QQ, OO^T VK>, each of its own two heads
            let crossed = N::dot(&N::product(&kv_fg, &qq), &N::product(&oo, &vk_fg));
            let [oo_size, vv_size, kk_size, qq_size] = [&oo, &vv, &kk, &qq].map(N::norm);
            let outside = oo_size * qq_size;
            let sizes = [outside * vv_size * kk_size, outside * N::norm(&vk_fg) * N::norm(&kv_fg)];
            out.push(Entry { i, j, ov: N::dot(&oo, &vv), qk: N::dot(&kk, &qq), crossed, sizes });
        }
    }
    out
}

/// `sum_hk w_hk <f_h, f_k>` of `n` heads, in units of `4^exponent`, and what its rounding is relative to.
pub(super) fn form<N: Number>(
    gram: &Gram<N>,
    slots: Slots,
    n: usize,
    weight: &dyn Fn(usize, usize) -> f64,
) -> (Wide, f64) {
    let fractions = whole_fractions(slots);
    let (mut sum, mut size) = (N::zero(), 0.0);
    let weights = DMatrix::from_fn(n, n, weight);
    for i in 0..gram.direct.nrows() {
        for j in 0..gram.direct.ncols() {
            let weight = weights[(i % n, j % n)];
            let products = [&gram.direct, &gram.crossed];
            for ((m, sizes), fraction) in products.iter().zip(&gram.sizes).zip(fractions) {
                sum = sum.plus(m[(i, j)].times(N::from_f64(fraction)).times(N::from_f64(weight)));
                size += weight.abs() * fraction * sizes[(i, j)] / TWELVE;
            }
        }
    }
    (sum.widen().times(Wide::inverse_of(TWELVE)), size)
}

/// The common denominator of [`whole_fractions`].
const TWELVE: f64 = 12.0;

/// What direct and crossed products count, in twelfths; an own-token stack holds each head twice, so that its
/// products count a quarter.
pub(super) fn whole_fractions(slots: Slots) -> [f64; 2] {
    match slots {
        Slots::Pair => [6.0, 6.0],
        Slots::Own => [1.0, 2.0],
    }
}

/// Below this part of the sum of sizes a plain sum does not decide.
pub(super) const CANCELLED: f64 = 1e-9;
