//! Which head of one block is which of the other, whatever their gauge and order.
//!
//! `cos(f, g) = <f, g> / (|f| |g|)` with the functional inner product; head by head the two products
//! `<P, P'> = tr(OO VV^T)` and `<B, B'> = tr(KK QQ^T)` say which half agrees. Pairs are taken by `|cos|`, largest first.

use super::gram::gram;
use super::groups::heads;
use super::scope::{OutOfScope, Side, widths};
use super::stack::{Stack, Term};
use crate::attention::{Block, Head};
use crate::linalg::gemm;
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

/// Pairs of heads, most alike first; the larger block keeps heads without a partner.
///
/// For heads that are not linear the numbers compare their QK and OV matrices.
///
/// # Errors
/// [`OutOfScope::Widths`] and [`OutOfScope::NotFinite`].
pub fn matched_heads(a: &Block, b: &Block) -> Result<Vec<HeadMatch>, OutOfScope> {
    widths(a, b)?;
    let terms: Vec<Term> = heads(a, b).map(|(_, _, h)| Term::of(h, 1.0)).collect();
    let place = |side, i| if side == Side::A { i } else { a.heads.len() + i };
    // One head at a time has its own power of two: cosines do not care.
    let scaled: Vec<Term> = terms.into_iter().map(normalised).collect();
    let stack = Stack::balanced(&scaled);
    let all = gram::<f64>(&stack);
    let inner = |i: usize, j: usize| all.direct[(i, j)] + all.crossed[(i, j)];
    let [qk, ov] = halves(&stack);
    let cosine = |f: &dyn Fn(usize, usize) -> f64, i: usize, j: usize| {
        let size = (f(i, i).max(0.0) * f(j, j).max(0.0)).sqrt();
        if size > 0.0 { (f(i, j) / size).clamp(-1.0, 1.0) } else { 0.0 }
    };
    let mut pairs = Vec::new();
    for (i, f) in a.heads.iter().enumerate() {
        for (j, g) in b.heads.iter().enumerate() {
            let (x, y) = (place(Side::A, i), place(Side::B, j));
            pairs.push(HeadMatch {
                a: i,
                b: j,
                cosine: cosine(&inner, x, y),
                qk: cosine(&|x, y| qk[(x, y)], x, y),
                ov: cosine(&|x, y| ov[(x, y)], x, y),
                same_kind: same_kind(f, g),
            });
        }
    }
    let rank = |m: &HeadMatch| (m.cosine.abs(), m.qk.abs() + m.ov.abs());
    pairs.sort_by(|x, y| {
        let (x, y) = (rank(x), rank(y));
        y.0.total_cmp(&x.0).then(y.1.total_cmp(&x.1))
    });
    let (mut free_a, mut free_b) = (vec![true; a.heads.len()], vec![true; b.heads.len()]);
    pairs.retain(|m| {
        let taken = free_a[m.a] && free_b[m.b];
        if taken {
            (free_a[m.a], free_b[m.b]) = (false, false);
        }
        taken
    });
    Ok(pairs)
}

fn same_kind(f: &Head, g: &Head) -> bool {
    let memory = |h: &Head| if h.memory.name() == "none" { "hebbian" } else { h.memory.name() };
    let decays = [f, g].map(super::scope::decay);
    memory(f) == memory(g)
        && (decays[0] - decays[1]).abs() <= 1e-14
        && (f.mask, f.kernel, f.normalisation) == (g.mask, g.kernel, g.normalisation)
        && f.query_stream == g.query_stream
        && f.context_stream == g.context_stream
        && f.value_stream == g.value_stream
}

/// The head with its matrices at about size 1.
fn normalised(mut t: Term) -> Term {
    let scale = |m: &mut DMatrix<f64>, top: f64| *m /= if top > 0.0 { top } else { 1.0 };
    let top = t.o.amax();
    scale(&mut t.o, top);
    for part in [&mut t.v, &mut t.k, &mut t.q] {
        let top = part.w.amax().max(part.b.amax());
        scale(&mut part.w, top);
        part.b /= if top > 0.0 { top } else { 1.0 };
    }
    t.coefficient = if t.coefficient < 0.0 { -1.0 } else { f64::from(t.coefficient > 0.0) };
    t
}

/// `<B, B'>` and `<P, P'>` of every pair; the sign of the scale counts with `B`.
fn halves(stack: &Stack) -> [DMatrix<f64>; 2] {
    let outer = |m: &DMatrix<f64>| {
        let mut out = DMatrix::zeros(m.nrows(), m.nrows());
        gemm(&mut out, 1.0, m, false, m, true, 0.0);
        out
    };
    let (kk, qq, oo, vv) = (outer(&stack.k), outer(&stack.q), outer(&stack.o), outer(&stack.v));
    let n = stack.heads.len();
    let pair = |x: &DMatrix<f64>, y: &DMatrix<f64>, keys: bool| {
        DMatrix::from_fn(n, n, |i, j| {
            let rows = |h: usize| {
                let place = &stack.heads[h];
                if keys { place.keys.clone() } else { place.values.clone() }
            };
            let (r, c) = (rows(i), rows(j));
            let view = |m: &DMatrix<f64>| m.view((r.start, c.start), (r.len(), c.len())).into_owned();
            let sign = stack.heads[i].coefficient.signum() * stack.heads[j].coefficient.signum();
            view(x).dot(&view(y)) * if keys { sign } else { 1.0 }
        })
    };
    [pair(&kk, &qq, true), pair(&oo, &vv, false)]
}
