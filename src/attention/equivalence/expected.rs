//! Expected squared difference of two blocks on tokens `x ~ N(0, I)`, independent, from factors.
//!
//! With `Delta` symmetric in `(b, c)`, `tau_ae = Delta_abbe`, `F` symmetric in all three slots, `f_ae = F_abbe`, no decay, no biases:
//!
//! ```text
//! E|dy_i|^2 = 2 n |Delta|^2 + n^2 |tau|^2 + 6 |F|^2 + 9 |f|^2 + 6 n <f, tau>     n other tokens: N - 1, causal i - 1
//! E|dy_i|^2 = 2 n |Delta|^2 + n^2 |tau|^2                                       strict i - 1; cross N of the context
//! ```
//!
//! In general, given `x_i` the other tokens add `sum_j w_j^2 2 (|Delta|^2 - |Delta with constant key and value|^2)` of variance and
//! `sum_j w_j tau x_i` of mean (`E z z^T = I` also with the 1 appended), and the mean and the token's own term are a cubic
//! polynomial of `x_i`, whose parts of odd and even degree are orthogonal:
//! `E (C xxx + l x)^2 = 6 |C|^2 + |3 tr C + l|^2`, `E (x^T Q x + k)^2 = 2 |Q|^2 + |tr Q + k|^2`.

use super::gram::{Gram, Slots, form, gram, own_token};
use super::groups::{heads, path_terms};
use super::number::{Number, Wide};
use super::scope::{OutOfScope, Side, check, decay};
use super::stack::{Place, Stack, Term, shifted};
use crate::attention::{Block, Mask};
use crate::linalg::{count, gemm};
use nalgebra::DMatrix;

/// Mean squared differences for Gaussian tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedGap {
    /// `E |y_i - y'_i|^2` for each output token
    pub per_token: Vec<f64>,
    /// their mean
    pub mean: f64,
}

/// How a head weighs the tokens that it reads.
struct Reads {
    mask: Mask,
    decay: f64,
    /// none for a residual path, which reads its own token only
    clock: Option<String>,
    /// its context has another clock than its queries
    cross: bool,
}

/// What a head adds to the polynomial of its own token, and to the mean over other tokens.
struct Means {
    /// `[d_model, token]`: linear part of the own token, traces included; last column: constant
    own: DMatrix<f64>,
    /// the same without traces
    bare: DMatrix<f64>,
    tau: DMatrix<f64>,
}

/// `E |y_i - y'_i|^2` where every stream has `n_tokens` tokens with independent N(0, 1) entries.
///
/// # Errors
/// [`OutOfScope`] names the head that is not linear, or the widths that do not fit.
pub fn expected_squared_gap(a: &Block, b: &Block, n_tokens: usize) -> Result<ExpectedGap, OutOfScope> {
    let (clocks, _) = check(a, b)?;
    let home = clocks.root(&a.clock_stream);
    let (mut terms, mut reads) = (Vec::new(), Vec::new());
    for (side, _, h) in heads(a, b) {
        terms.push(Term::of(h, if side == Side::A { 1.0 } else { -1.0 }));
        let clock = clocks.root(&h.context_stream);
        let cross = clock != home;
        reads.push(Reads { mask: h.mask, decay: decay(h), clock: Some(clock), cross });
    }
    for path in path_terms(a, 1.0).into_iter().chain(path_terms(b, -1.0)) {
        terms.push(path);
        reads.push(Reads { mask: Mask::Full, decay: 1.0, clock: None, cross: false });
    }

    let stack = Stack::balanced(&terms);
    let own = Stack::balanced(&own_token(&terms));
    let pair = gram::<Wide>(&stack);
    let constant = gram::<Wide>(&constant_context(&stack));
    let (cubic_and_less, cubic) = (gram::<Wide>(&own), gram::<Wide>(&without_biases(&own)));
    let means: Vec<Means> = stack.heads.iter().map(|p| means(&stack, p)).collect();

    let per_token = (0..n_tokens).map(|i| {
        let weights: Vec<(Vec<f64>, f64)> = reads.iter().map(|r| r.weights(i, n_tokens)).collect();
        let overlap = |h: usize, k: usize| {
            if reads[h].clock != reads[k].clock {
                return 0.0;
            }
            weights[h].0.iter().zip(&weights[k].0).map(|(x, y)| x * y).sum()
        };
        let n = reads.len();
        let sum = |g: &Gram<Wide>, slots| form(g, slots, n, &|h, k| weights[h].1 * weights[k].1).0;
        let variance =
            minus(form(&pair, Slots::Pair, n, &overlap).0, form(&constant, Slots::Pair, n, &overlap).0);
        let third = sum(&cubic, Slots::Own).to_f64().max(0.0);
        let lower = minus(sum(&cubic_and_less, Slots::Own), sum(&cubic, Slots::Own));

        let (d, width) = means[0].own.shape();
        let (mut mean, mut bare) = (DMatrix::<f64>::zeros(d, width), DMatrix::<f64>::zeros(d, width));
        for (m, (others, itself)) in means.iter().zip(&weights) {
            mean += &m.own * *itself + &m.tau * others.iter().sum::<f64>();
            bare += &m.bare * *itself;
        }
        // |F|^2 = |C|^2 + 3 |F_bc1|^2 + 3 |F_b11|^2 + |F_111|^2 and Q = 3 F_bc1, l = 3 F_b11.
        let constant = bare.column(width - 1).norm_squared();
        let linear = bare.columns(0, width - 1).norm_squared() / 3.0;
        let square = 3.0 * (lower - constant - linear).max(0.0);
        let total = 2.0 * variance.max(0.0) + 6.0 * third + 2.0 * square + mean.norm_squared();
        shifted(total, 2 * stack.exponent)
    });
    let per_token: Vec<f64> = per_token.collect();
    let mean = per_token.iter().sum::<f64>() / count(n_tokens.max(1));
    Ok(ExpectedGap { per_token, mean })
}

impl Reads {
    /// Weights of the other context tokens, and of token `i` itself.
    fn weights(&self, i: usize, n: usize) -> (Vec<f64>, f64) {
        let power = |m: usize| self.decay.powi(i32::try_from(m).unwrap_or(i32::MAX));
        if self.clock.is_none() {
            return (vec![0.0; n], 1.0);
        }
        let weight = |j: usize| match self.mask {
            Mask::Full => power(n - 1 - j),
            Mask::Causal if j <= i => power(i - j),
            Mask::Strict if j < i => power(i - 1 - j),
            _ => 0.0,
        };
        let mut all: Vec<f64> = (0..n).map(weight).collect();
        let itself = if self.cross { 0.0 } else { std::mem::take(&mut all[i]) };
        (all, itself)
    }
}

fn minus(x: Wide, y: Wide) -> f64 {
    x.plus(y.times(Wide::from_f64(-1.0))).to_f64()
}

fn constant_context(stack: &Stack) -> Stack {
    let mut out = stack.clone();
    let width = out.v.ncols() - 1;
    out.v.columns_mut(0, width).fill(0.0);
    out.k.columns_mut(0, width).fill(0.0);
    out
}

fn without_biases(stack: &Stack) -> Stack {
    let mut out = stack.clone();
    for m in [&mut out.v, &mut out.k, &mut out.q] {
        m.column_mut(m.ncols() - 1).fill(0.0);
    }
    out
}

/// The linear maps of one head, in units of the stack.
fn means(stack: &Stack, place: &Place) -> Means {
    let rows = |m: &DMatrix<f64>, r: &std::ops::Range<usize>| m.rows(r.start, r.len()).into_owned();
    let o = rows(&stack.o, &place.o) * place.coefficient;
    let (v, k, q) = (rows(&stack.v, &place.v), rows(&stack.k, &place.k), rows(&stack.q, &place.q));
    let last = v.ncols() - 1;
    let bias = |m: &DMatrix<f64>| m.column(last).into_owned();
    let linear = |m: &DMatrix<f64>| {
        let mut out = m.clone();
        out.column_mut(last).fill(0.0);
        out
    };
    let (v0, k0, q0) = (linear(&v), linear(&k), linear(&q));
    let (v1, k1, q1) = (bias(&v), bias(&k), bias(&q));

    // One slot reads the token, the others the 1; last column: no slot does.
    let mut bare = &v0 * k1.dot(&q1);
    bare += &v1 * (k0.transpose() * &q1 + q0.transpose() * &k1).transpose();
    bare.column_mut(last).copy_from(&(&v1 * k1.dot(&q1)));
    // Two slots read it and are traced over; the third reads it too, or (last column) the 1.
    let (vk, vq) = (outer(&v0, &k0), outer(&v0, &q0));
    let own = &bare + product(&vk, false, &q) + product(&vq, false, &k) + &v * k0.dot(&q0);
    let tau = product(&outer(&v, &k), false, &q);
    let out = |m: &DMatrix<f64>| product(&o, true, m);
    Means { own: out(&own), bare: out(&bare), tau: out(&tau) }
}

fn outer(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
    f64::outer(&a, &(0..a.nrows()), &b, &(0..b.nrows()))
}

fn product(a: &DMatrix<f64>, transposed: bool, b: &DMatrix<f64>) -> DMatrix<f64> {
    let mut c = DMatrix::zeros(if transposed { a.ncols() } else { a.nrows() }, b.ncols());
    gemm(&mut c, 1.0, a, transposed, b, false, 0.0);
    c
}
