//! A two-token input on which two blocks visibly differ.
//!
//! Tokens `(z, x)` with `|z| = |x| = 1` that maximise `|Delta(z, z, x)|`, what the earlier token makes of the later one. At the
//! later token the blocks differ by `|Delta(z, z, x)|` (strict, cross) or `|Delta(z, z, x) + Delta(x, x, x)|` (full, causal), with biases
//! and residual paths added, and running both gives that number. A full and a causal head agree there and differ at the
//! earlier token, which is looked at next; blocks with equal pair parts are told apart by their whole output.
//!
//! The search alternates between `x` (linear in it: one step of the power method of an SVD) and `z` (a quadratic form:
//! a shifted power step, Kolda & Mayo 2011, "Shifted power method for computing tensor eigenpairs"), from several
//! starts. Each step goes up; the best of them is a local maximum.

use super::groups::{heads, path_terms};
use super::scope::{Clocks, OutOfScope, Side, check, decay};
use super::stack::{Affine, Term};
use crate::attention::{Block, Mask, Streams, forward};
use crate::seed;
use nalgebra::{DMatrix, DVector};
use std::collections::BTreeMap;

/// One token of every stream.
type Token = BTreeMap<String, DVector<f64>>;

/// Two tokens, and what the blocks make of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// the token that the other one reads, of every stream; contexts of another clock have this one alone
    pub z: Token,
    /// the token that the blocks differ at, of the streams on the clock of the output
    pub x: Token,
    /// where `x` is: 1, or 0 when only a look at a later token tells the blocks apart
    pub at: usize,
    /// `|Delta(z, z, x)|`
    pub pair: f64,
    /// `|y - y'|` at `x`, by the formula
    pub predicted: f64,
    /// the same by running both blocks on `streams`
    pub measured: f64,
    /// the input
    pub streams: Streams,
}

const STARTS: usize = 6;
const STEPS: usize = 80;
/// Steps end when they gain less than this part.
const GAIN: f64 = 1e-12;
/// A pair part below this part of its terms counts as nothing, and the whole output is maximised.
const NOTHING: f64 = 1e-13;

/// Which token value, key and query of a term read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// `(z, z, x)`
    Pair,
    /// `(x, x, x)`
    Own,
}

struct Piece {
    term: Term,
    reads: Reads,
}

/// The input of two tokens on which `a` and `b` differ most; zero gaps where they are the same function.
///
/// # Errors
/// [`OutOfScope`] names the head that is not linear, or the widths that do not fit.
pub fn witness(a: &Block, b: &Block) -> Result<Witness, OutOfScope> {
    let (clocks, mut widths) = check(a, b)?;
    let home = clocks.root(&a.clock_stream);
    for clock in [&a.clock_stream, &b.clock_stream] {
        widths.entry(clock.clone()).or_insert(1);
    }
    // The later token, then the earlier one, where a full mask shows beside a causal one; then all there is.
    let later = pieces(a, b, &clocks, &home, false);
    let earlier = pieces(a, b, &clocks, &home, true);
    let rounds = [(&later, true, 1), (&earlier, true, 0), (&later, false, 1)];
    let mut best: Option<(f64, Token, Token)> = None;
    let (mut of, mut at) = (&later, 1);
    for (all, pairs_only, token) in rounds {
        let objective: Vec<&Piece> = all.iter().filter(|p| !pairs_only || p.reads == Reads::Pair).collect();
        (of, at, best) = (all, token, None);
        for start in 0..STARTS {
            let rng = &mut seed::stream(start as u64, "witness");
            let mut draw = |width: &usize| DVector::from_fn(*width, |_, _| seed::normal(rng));
            let z: Token = widths.iter().map(|(s, w)| (s.clone(), draw(w))).collect();
            let x = widths.iter().filter(|(s, _)| clocks.root(s) == home);
            let x: Token = x.map(|(s, w)| (s.clone(), draw(w))).collect();
            let found = climb(&objective, normalised(z), normalised(x));
            if best.as_ref().is_none_or(|(most, ..)| found.0 > *most) {
                best = Some(found);
            }
        }
        if best.as_ref().is_some_and(|(gap, z, x)| *gap > NOTHING * size(&objective, z, x)) {
            break;
        }
    }
    let (_, z, x) = best.unwrap_or_default();

    let streams: Streams = z
        .iter()
        .map(|(s, first)| {
            let columns = match x.get(s) {
                None => vec![first.clone()],
                Some(x) if at == 1 => vec![first.clone(), x.clone()],
                Some(x) => vec![x.clone(), first.clone()],
            };
            (s.clone(), DMatrix::from_columns(&columns))
        })
        .collect();
    let run = |block: &Block| {
        let y =
            forward(block, &streams).map_err(|e| OutOfScope::NotFinite { what: format!("a run ({e})") })?;
        Ok(y.column(at).into_owned())
    };
    let measured = (run(a)? - run(b)?).norm();
    let all: Vec<&Piece> = of.iter().collect();
    let pairs: Vec<&Piece> = of.iter().filter(|p| p.reads == Reads::Pair).collect();
    let (pair, predicted) = (value(&pairs, &z, &x).norm(), value(&all, &z, &x).norm());
    Ok(Witness { z, x, at, pair, predicted, measured, streams })
}

/// The terms of `a - b` at the later of two tokens, or at the earlier one; `x` is the token that the output is at.
fn pieces(a: &Block, b: &Block, clocks: &Clocks, home: &str, earlier: bool) -> Vec<Piece> {
    let mut out = Vec::new();
    for (side, _, h) in heads(a, b) {
        let sign = if side == Side::A { 1.0 } else { -1.0 };
        let cross = clocks.root(&h.context_stream) != home;
        let g = decay(h);
        // Weights of the other token and of the token itself; a full mask fades towards the last token.
        let (other, itself) = match h.mask {
            Mask::Full if cross => (1.0, 0.0),
            Mask::Full if earlier => (1.0, g),
            Mask::Causal if earlier => (0.0, 1.0),
            Mask::Strict if earlier => (0.0, 0.0),
            Mask::Full | Mask::Causal => (g, 1.0),
            Mask::Strict => (1.0, 0.0),
        };
        for (weight, reads) in [(other, Reads::Pair), (itself, Reads::Own)] {
            if weight > 0.0 {
                out.push(Piece { term: Term::of(h, sign * weight), reads });
            }
        }
    }
    let paths = path_terms(a, 1.0).into_iter().chain(path_terms(b, -1.0));
    out.extend(paths.map(|term| Piece { term, reads: Reads::Own }));
    out
}

/// Alternating steps up; `(objective, z, x)`.
fn climb(pieces: &[&Piece], mut z: Token, mut x: Token) -> (f64, Token, Token) {
    let mut gap = value(pieces, &z, &x).norm();
    for _ in 0..STEPS {
        let before = gap;
        for of_z in [false, true] {
            let slope = slope(pieces, &z, &x, of_z);
            let now = if of_z { &z } else { &x };
            let length = slope.values().map(DVector::norm_squared).sum::<f64>().sqrt();
            for shift in [0.0, 0.5, 2.0, 8.0, 32.0, 128.0] {
                let step = |(s, t): (&String, &DVector<f64>)| (s.clone(), t * (shift * length) + &slope[s]);
                let next = normalised(now.iter().map(step).collect());
                let (next_z, next_x) = if of_z { (&next, &x) } else { (&z, &next) };
                let found = value(pieces, next_z, next_x).norm();
                if found > gap {
                    gap = found;
                    *(if of_z { &mut z } else { &mut x }) = next;
                    break;
                }
            }
        }
        if gap <= before * (1.0 + GAIN) {
            break;
        }
    }
    (gap, z, x)
}

/// What a piece reads, `(value, key, query)`.
fn tokens<'t>(piece: &Piece, z: &'t Token, x: &'t Token) -> [&'t Token; 3] {
    if piece.reads == Reads::Pair { [z, z, x] } else { [x, x, x] }
}

/// One term of the sum.
fn part(piece: &Piece, z: &Token, x: &Token) -> DVector<f64> {
    let t = &piece.term;
    let [v, k, q] = tokens(piece, z, x);
    let score = t.k.apply(k).dot(&t.q.apply(q));
    &t.o * t.v.apply(v) * (t.coefficient * score)
}

/// The difference at the later token.
fn value(pieces: &[&Piece], z: &Token, x: &Token) -> DVector<f64> {
    let rows = pieces.first().map_or(0, |p| p.term.o.nrows());
    pieces.iter().fold(DVector::zeros(rows), |sum, p| sum + part(p, z, x))
}

/// The sum of the sizes of its terms.
fn size(pieces: &[&Piece], z: &Token, x: &Token) -> f64 {
    pieces.iter().map(|p| part(p, z, x).norm()).sum()
}

/// Gradient of half the squared value over its norm, with respect to one of the tokens.
fn slope(pieces: &[&Piece], z: &Token, x: &Token, of_z: bool) -> Token {
    let y = value(pieces, z, x);
    let y = if y.norm() > 0.0 { &y / y.norm() } else { y };
    let token = if of_z { z } else { x };
    let mut out: Token = token.iter().map(|(s, t)| (s.clone(), DVector::zeros(t.len()))).collect();
    for piece in pieces {
        let t = &piece.term;
        let at = tokens(piece, z, x);
        let (v, k, q) = (t.v.apply(at[0]), t.k.apply(at[1]), t.q.apply(at[2]));
        let seen = t.o.transpose() * &y;
        let along = seen.dot(&v);
        let (score, c) = (k.dot(&q), t.coefficient);
        let mut add = |slot: usize, affine: &Affine, direction: DVector<f64>| {
            if std::ptr::eq(at[slot], token)
                && let Some(sum) = out.get_mut(&affine.stream)
                && sum.len() == affine.w.ncols()
            {
                *sum += affine.w.transpose() * direction;
            }
        };
        add(0, &t.v, seen * (c * score));
        add(1, &t.k, &q * (c * along));
        add(2, &t.q, &k * (c * along));
    }
    out
}

/// Unit length over all streams together; nothing stays nothing.
fn normalised(mut token: Token) -> Token {
    let length = token.values().map(DVector::norm_squared).sum::<f64>().sqrt();
    if length > 0.0 {
        token.values_mut().for_each(|t| *t /= length);
    }
    token
}
