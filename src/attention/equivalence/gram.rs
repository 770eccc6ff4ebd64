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
use super::stack::{Stack, Term};
use nalgebra::DMatrix;

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
}

/// The terms and their flipped copies, for [`Slots::Own`] (twice what the average would be).
pub(super) fn own_token(terms: &[Term]) -> Vec<Term> {
    terms.iter().cloned().chain(terms.iter().map(Term::flipped)).collect()
}

/// Direct and crossed products of every pair; cost O(H^2 r^2 D).
pub(super) fn gram<N: Number>(stack: &Stack) -> Gram<N> {
    let oo = N::outer(&stack.o, &stack.o);
    let vv = N::outer(&stack.v, &stack.v);
    let kk = N::outer(&stack.k, &stack.k);
    let qq = N::outer(&stack.q, &stack.q);
    let vk = N::outer(&stack.v, &stack.k);
    let n = stack.heads.len();
    let mut out = Gram {
        direct: DMatrix::from_element(n, n, N::zero()),
        crossed: DMatrix::from_element(n, n, N::zero()),
    };
    let block = |m: &DMatrix<N>, r: &std::ops::Range<usize>, c: &std::ops::Range<usize>| {
        m.view((r.start, c.start), (r.len(), c.len())).into_owned()
    };
    for (i, f) in stack.heads.iter().enumerate() {
        for (j, g) in stack.heads.iter().enumerate().skip(i) {
            let weight = N::from_f64(f.coefficient).times(N::from_f64(g.coefficient));
            let out_out = block(&oo, &f.values, &g.values);
            let query = block(&qq, &f.keys, &g.keys);
            let values = N::dot(&out_out, &block(&vv, &f.values, &g.values));
            let scores = N::dot(&block(&kk, &f.keys, &g.keys), &query);
            let left = N::product(&out_out, &block(&vk, &g.values, &f.keys));
            let all = N::product(&left, &query);
            let crossed = N::dot(&all, &block(&vk, &f.values, &g.keys));
            out.direct[(i, j)] = weight.times(values.times(scores));
            out.crossed[(i, j)] = weight.times(crossed);
            (out.direct[(j, i)], out.crossed[(j, i)]) = (out.direct[(i, j)], out.crossed[(i, j)]);
        }
    }
    out
}

/// `(sum_hk w_hk <f_h, f_k>, the sum of the sizes of its terms)` of `n` heads, in units of `4^exponent`.
pub(super) fn form<N: Number>(
    gram: &Gram<N>,
    slots: Slots,
    n: usize,
    weight: &dyn Fn(usize, usize) -> f64,
) -> (Wide, f64) {
    let [direct, crossed] = whole_fractions(slots).map(N::from_f64);
    let (mut sum, mut size) = (N::zero(), 0.0);
    let weights = DMatrix::from_fn(n, n, weight);
    for i in 0..gram.direct.nrows() {
        for j in 0..gram.direct.ncols() {
            let weight = N::from_f64(weights[(i % n, j % n)]);
            for (m, fraction) in [(&gram.direct, direct), (&gram.crossed, crossed)] {
                let term = m[(i, j)].times(fraction).times(weight);
                sum = sum.plus(term);
                size += term.to_f64().abs() / TWELVE;
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
const CANCELLED: f64 = 1e-9;

/// Squared norms of several weighted sums of the heads of a stack, and whether double-doubles were needed.
pub(super) fn norms(stack: &Stack, slots: Slots, weights: &[Vec<f64>]) -> (Vec<f64>, bool) {
    let all = |w: &[f64], plain: &Gram<f64>| form(plain, slots, w.len(), &|i, j| w[i] * w[j]);
    let plain = gram::<f64>(stack);
    let sums: Vec<(Wide, f64)> = weights.iter().map(|w| all(w, &plain)).collect();
    if sums.iter().all(|(sum, size)| sum.to_f64() >= CANCELLED * size) {
        return (sums.into_iter().map(|(sum, _)| sum.to_f64()).collect(), false);
    }
    let wide = gram::<Wide>(stack);
    let exact = |w: &Vec<f64>| form(&wide, slots, w.len(), &|i, j| w[i] * w[j]).0.to_f64().max(0.0);
    (weights.iter().map(exact).collect(), true)
}
