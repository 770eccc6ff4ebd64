//! Which head of one block is which of the other, whatever their gauge and order.
//!
//! `cos(f, g) = <f, g> / (|f| |g|)` with the functional inner product; head by head the two products
//! `<P, P'> = tr(OO VV^T)` and `<B, B'> = tr(KK QQ^T)` say which half agrees. The pairing is the one with the largest sum of
//! `|cos|`.

use super::assignment::assignment;
use super::gram::{Gram, gram};
use super::groups::heads;
use super::scope::{OutOfScope, widths};
use super::stack::{Stack, Term};
use crate::attention::{Block, Head};
use nalgebra::DMatrix;

/// A pair of heads; cosines are 1 for the same function and -1 for its negative.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadMatch {
    /// head of the first block
    pub a: usize,
    /// head of the second block
    pub b: usize,
    /// of the two heads as functions
    pub cosine: f64,
    /// of `W_K^T W_Q`
    pub qk: f64,
    /// of `W_O W_V`
    pub ov: f64,
    /// whether streams, mask, memory and kernel agree too
    pub same_kind: bool,
}

/// Beside `|cos|` of 0 to 1: decides between pairings that are otherwise as good.
const TIE: f64 = 1e-9;

/// Pairs of heads, most alike first; the larger block keeps heads without a partner.
///
/// Among pairings with the same sum of `|cos|` to a part in 1e9, the one whose halves and kinds agree best. For heads
/// that are not linear the numbers compare their QK and OV matrices.
///
/// # Errors
/// [`OutOfScope::Widths`] and [`OutOfScope::NotFinite`].
pub fn matched_heads(a: &Block, b: &Block) -> Result<Vec<HeadMatch>, OutOfScope> {
    widths(a, b)?;
    let terms: Vec<Term<'_>> = heads(a, b).map(|(_, _, h)| Term::of(h, 1.0)).collect();
    let stack = Stack::unit(&terms);
    let all = Cosines::of(&stack, &gram::<f64>(&stack));
    let pairs = DMatrix::from_fn(a.heads.len(), b.heads.len(), |i, j| {
        let at = (i, a.heads.len() + j);
        let same_kind = same_kind(&a.heads[i], &b.heads[j]);
        HeadMatch { a: i, b: j, cosine: all.whole[at], qk: all.qk[at], ov: all.ov[at], same_kind }
    });
    let best = assignment(
        &pairs.map(|m| m.cosine.abs() + TIE * (m.qk.abs() + m.ov.abs() + f64::from(u8::from(m.same_kind)))),
    );
    let mut best: Vec<HeadMatch> = best.into_iter().map(|at| pairs[at].clone()).collect();
    let rank = |m: &HeadMatch| (m.cosine.abs(), m.qk.abs() + m.ov.abs());
    best.sort_by(|x, y| {
        let (x, y) = (rank(x), rank(y));
        y.0.total_cmp(&x.0).then(y.1.total_cmp(&x.1))
    });
    Ok(best)
}

/// Cosines of all pairs of heads of a stack; 0 beside a head that is nothing.
pub(super) struct Cosines {
    pub whole: DMatrix<f64>,
    /// the sign of the scale counts here
    pub qk: DMatrix<f64>,
    pub ov: DMatrix<f64>,
}

impl Cosines {
    pub fn of(stack: &Stack, gram: &Gram<f64>) -> Self {
        let cosine = |m: &DMatrix<f64>| {
            DMatrix::from_fn(m.nrows(), m.ncols(), |i, j| {
                let size = (m[(i, i)].max(0.0) * m[(j, j)].max(0.0)).sqrt();
                if size > 0.0 { (m[(i, j)] / size).clamp(-1.0, 1.0) } else { 0.0 }
            })
        };
        let mut qk = cosine(&gram.qk);
        for i in 0..qk.nrows() {
            for j in 0..qk.ncols() {
                qk[(i, j)] *= stack.heads[i].coefficient.signum() * stack.heads[j].coefficient.signum();
            }
        }
        Self { whole: cosine(&(&gram.direct + &gram.crossed)), qk, ov: cosine(&gram.ov) }
    }
}

/// Whether streams, mask, memory and kernel agree.
pub(super) fn same_kind(f: &Head, g: &Head) -> bool {
    let memory = |h: &Head| if h.memory.name() == "none" { "hebbian" } else { h.memory.name() };
    let decays = [f, g].map(super::scope::decay);
    memory(f) == memory(g)
        && (decays[0] - decays[1]).abs() <= 1e-14
        && (f.mask, f.kernel, f.normalisation) == (g.mask, g.kernel, g.normalisation)
        && (&f.function, &f.sink) == (&g.function, &g.sink)
        && f.query_stream == g.query_stream
        && f.context_stream == g.context_stream
        && f.value_stream == g.value_stream
}
