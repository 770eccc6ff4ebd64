//! A two-token input on which two blocks visibly differ.
//!
//! Tokens `(z, x)` with `|z| = |x| = 1` that maximise `|Delta(z, z, x)|`, what the earlier token makes of the later one. At the
//! later token the blocks differ by `|Delta(z, z, x)|` (strict, cross) or `|Delta(z, z, x) + Delta(x, x, x)|` (full, causal), with biases
//! and residual paths added, and running both gives that number. A full and a causal head agree there and differ at the
//! earlier token, which is looked at next; blocks with equal pair parts are told apart by their whole output.
//!
//! The search climbs from several starts ([`climb`](super::climb)), for a few steps each, and goes on from the best until
//! nothing is gained: a local maximum.

use super::climb::{Climber, Sum};
use super::groups::{heads, path_terms};
use super::scope::{Clocks, OutOfScope, Side, check, decay};
use super::stack::{Stack, Term, columns};
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

const STARTS: u64 = 6;
/// Steps of every start.
const FIRST_STEPS: usize = 6;
/// More steps of the best.
const STEPS: usize = 80;
/// Steps end when they gain less than this part of the square.
const GAIN: f64 = 1e-10;
/// A pair part below this part of its terms counts as nothing, and the whole output is maximised.
const NOTHING: f64 = 1e-13;

/// One head or path in the difference at a token, with the weights of `(z, z, x)` and of `(x, x, x)`.
struct Piece<'h> {
    term: Term<'h>,
    pair: f64,
    own: f64,
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
    let (mut of, mut at, mut best) = (&later, 1, (Token::new(), Token::new()));
    for (all, pairs_only, token) in rounds {
        let found = search(all, pairs_only, &widths, |s| clocks.root(s) == home);
        let gap = value(all, pairs_only, &found.0, &found.1).norm();
        let decided = gap > NOTHING * size(all, pairs_only, &found.0, &found.1);
        (of, at, best) = (all, token, found);
        if decided {
            break;
        }
    }
    let (z, x) = best;

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
    let (pair, predicted) = (value(of, true, &z, &x).norm(), value(of, false, &z, &x).norm());
    Ok(Witness { z, x, at, pair, predicted, measured, streams })
}

/// The terms of `a - b` at the later of two tokens, or at the earlier one; `x` is the token that the output is at.
fn pieces<'h>(a: &'h Block, b: &'h Block, clocks: &Clocks, home: &str, earlier: bool) -> Vec<Piece<'h>> {
    let mut out = Vec::new();
    for (side, _, h) in heads(a, b) {
        let sign = if side == Side::A { 1.0 } else { -1.0 };
        let cross = clocks.root(&h.context_stream) != home;
        let g = decay(h);
        // Weights of the other token and of the token itself; a full mask fades towards the last token.
        let (other, itself) = match h.mask.whole() {
            Mask::Full if cross => (1.0, 0.0),
            Mask::Full if earlier => (1.0, g),
            Mask::Causal if earlier => (0.0, 1.0),
            Mask::Strict if earlier => (0.0, 0.0),
            Mask::Full | Mask::Causal => (g, 1.0),
            _ => (1.0, 0.0),
        };
        out.push(Piece { term: Term::of(h, sign), pair: other, own: itself });
    }
    let paths = path_terms(a, 1.0).into_iter().chain(path_terms(b, -1.0));
    out.extend(paths.map(|term| Piece { term, pair: 0.0, own: 1.0 }));
    out
}

/// The best `(z, x)` of all starts; streams that nothing reads are zero.
fn search(
    pieces: &[Piece<'_>],
    pairs_only: bool,
    widths: &BTreeMap<String, usize>,
    at_home: impl Fn(&str) -> bool,
) -> (Token, Token) {
    let terms: Vec<&Term<'_>> = pieces.iter().map(|p| &p.term).collect();
    let stack = Stack::balanced(&terms);
    let (streams, width) = columns(&terms);
    let mut free = [vec![false; width + 1], vec![false; width + 1]];
    for (stream, columns) in &streams {
        free[0][columns.clone()].fill(true);
        free[1][columns.clone()].fill(at_home(stream));
    }
    let own = pieces.iter().map(|p| if pairs_only { 0.0 } else { p.own });
    let sum = Sum { stack: &stack, pair: pieces.iter().map(|p| p.pair).collect(), own: own.collect(), free };
    let mut best: Option<Climber> = None;
    for start in 0..STARTS {
        let rng = &mut seed::stream(start, "witness");
        let mut draw = || DVector::from_fn(width + 1, |_, _| seed::normal(rng));
        let mut climber = Climber::at(&sum, draw(), draw());
        (0..FIRST_STEPS).for_each(|_| climber.step(&sum));
        if best.as_ref().is_none_or(|best| climber.square > best.square) {
            best = Some(climber);
        }
    }
    let token = |at: &DVector<f64>, home_only: bool| {
        let part = |(stream, width): (&String, &usize)| {
            let columns = streams.get(stream.as_str()).cloned().unwrap_or(0..0);
            let zeros = DVector::zeros(*width);
            (
                stream.clone(),
                if columns.len() == *width { at.rows_range(columns).into_owned() } else { zeros },
            )
        };
        widths.iter().filter(|(s, _)| !home_only || at_home(s)).map(part).collect()
    };
    let Some(mut climber) = best else { return Default::default() };
    for _ in 0..STEPS {
        let before = climber.square;
        climber.step(&sum);
        if climber.square <= before * (1.0 + GAIN) {
            break;
        }
    }
    let [z, x] = climber.tokens();
    (token(z, false), token(x, true))
}

/// What a piece makes of `(z, z, x)` and of `(x, x, x)`.
fn parts(piece: &Piece<'_>, pairs_only: bool, z: &Token, x: &Token) -> [DVector<f64>; 2] {
    let t = &piece.term;
    let part = |weight: f64, [v, k, q]: [&Token; 3]| {
        if weight == 0.0 {
            return DVector::zeros(t.o.nrows());
        }
        let score = t.k.apply(k).dot(&t.q.apply(q));
        &*t.o * t.v.apply(v) * (weight * t.coefficient * score)
    };
    let own = if pairs_only { 0.0 } else { piece.own };
    [part(piece.pair, [z, z, x]), part(own, [x, x, x])]
}

/// The difference at `x`.
fn value(pieces: &[Piece<'_>], pairs_only: bool, z: &Token, x: &Token) -> DVector<f64> {
    let rows = pieces.first().map_or(0, |p| p.term.o.nrows());
    let all = pieces.iter().flat_map(|p| parts(p, pairs_only, z, x));
    all.fold(DVector::zeros(rows), |sum, part| sum + part)
}

/// The sum of the sizes of its terms.
fn size(pieces: &[Piece<'_>], pairs_only: bool, z: &Token, x: &Token) -> f64 {
    pieces.iter().flat_map(|p| parts(p, pairs_only, z, x)).map(|part| part.norm()).sum()
}
