//! Unit tokens `z` and `x` that make `|sum_h u_h O V z (K z . Q x) + w_h O V x (K x . Q x)|` large.
//!
//! Steps change one token at a time, along conjugate gradients on the sphere (Polak & Ribiere 1969): on the circle
//! `cos(t) z + sin(t) d` the sum is a polynomial of `cos(t)` and `sin(t)` with at most ten vectors as coefficients, so that the
//! best `t` of the whole circle is found from their inner products alone. No step goes down.

use super::stack::Stack;
use crate::linalg::gemm;
use nalgebra::{DMatrix, DVector};
use std::f64::consts::TAU;

/// What is to be made large.
pub(super) struct Sum<'s> {
    pub stack: &'s Stack,
    /// `u_h`, beside the coefficients of the stack
    pub pair: Vec<f64>,
    /// `w_h`
    pub own: Vec<f64>,
    /// columns that `z` and `x` may use; the last one, that of the biases, is used by neither
    pub free: [Vec<bool>; 2],
}

/// Two tokens, what the heads read of them, and the way they came.
#[derive(Clone)]
pub(super) struct Climber {
    /// the square of the size of the sum, in units of `4^exponent`
    pub square: f64,
    tokens: [Token; 2],
}

#[derive(Clone)]
struct Token {
    at: DVector<f64>,
    /// `V`, `K` and `Q` of it, without biases
    read: [DVector<f64>; 3],
    /// last slope and last direction
    way: Option<(DVector<f64>, DVector<f64>)>,
}

/// Which token is read in the slots of value, key and query: 0 is `z`, 1 is `x`.
const PAIR: [usize; 3] = [0, 0, 1];
const OWN: [usize; 3] = [1, 1, 1];

/// A direction below this part of the slope is rounding.
const NOISE: f64 = 1e-13;
/// Points of a circle that are looked at before the best is refined.
const POINTS: u32 = 48;
/// Each halves what is left of the circle, about.
const REFINEMENTS: usize = 40;

impl Climber {
    /// At two tokens of any length.
    pub fn at(sum: &Sum, z: DVector<f64>, x: DVector<f64>) -> Self {
        let token = |mut at: DVector<f64>, free: &[bool]| {
            at.iter_mut().zip(free).filter(|(_, free)| !**free).for_each(|(x, _)| *x = 0.0);
            let length = at.norm();
            if length > 0.0 {
                at /= length;
            }
            Token { read: sum.read(&at), at, way: None }
        };
        let tokens = [token(z, &sum.free[0]), token(x, &sum.free[1])];
        Self { square: 0.0, tokens }
    }

    /// `(z, x)`
    pub fn tokens(&self) -> [&DVector<f64>; 2] {
        [&self.tokens[0].at, &self.tokens[1].at]
    }

    /// A step of each token.
    pub fn step(&mut self, sum: &Sum) {
        for which in [0, 1] {
            self.step_of(sum, which);
        }
    }

    fn step_of(&mut self, sum: &Sum, which: usize) {
        let slope = self.slope(sum, which);
        let noise = NOISE * slope.norm();
        let token = &self.tokens[which];
        let tangent = |v: &DVector<f64>| v - &token.at * v.dot(&token.at);
        let slope = tangent(&slope);
        let mut direction = slope.clone();
        if let Some((before, last)) = &token.way
            && before.norm_squared() > 0.0
        {
            let beta = (slope.dot(&(&slope - before)) / before.norm_squared()).max(0.0);
            direction += tangent(last) * beta;
        }
        let length = direction.norm();
        if length <= noise || !length.is_finite() {
            return;
        }
        direction /= length;
        // What rounding left of the token in it.
        direction = tangent(&direction).normalize();
        let along = sum.read(&direction);
        let squares = self.circle(sum, which, Some(&along));
        let (square, angle) = highest(|angle| squares.at(angle));
        self.square = square;
        let (s, c) = angle.sin_cos();
        let token = &mut self.tokens[which];
        for (now, along) in token.read.iter_mut().zip(&along) {
            *now = &*now * c + along * s;
        }
        // Where the step leads on.
        let onward = (&direction * c - &token.at * s) * length;
        token.at = &token.at * c + &direction * s;
        token.way = Some((slope, onward));
    }

    /// The sum on the circle through a token, as a polynomial; at the token itself without a direction.
    fn circle(&self, sum: &Sum, which: usize, along: Option<&[DVector<f64>; 3]>) -> Polynomial {
        let mut parts = DMatrix::zeros(sum.stack.o.nrows(), MONOMIALS.len());
        for (reads, weights) in [(PAIR, &sum.pair), (OWN, &sum.own)] {
            for (place, weight) in sum.stack.heads.iter().zip(weights) {
                if *weight == 0.0 {
                    continue;
                }
                let rows = [&place.v, &place.k, &place.q];
                // Coefficients of 1, cos and sin of each slot.
                let slot = |s: usize| {
                    let pick = |v: &DVector<f64>| v.rows(rows[s].start, rows[s].len()).into_owned();
                    let (bias, now) = (pick(&sum.bias(s)), pick(&self.tokens[reads[s]].read[s]));
                    match along {
                        Some(along) if reads[s] == which => vec![bias, now, pick(&along[s])],
                        _ => vec![bias + now],
                    }
                };
                let (values, keys, queries) = (slot(0), slot(1), slot(2));
                for (j, key) in keys.iter().enumerate() {
                    for (k, query) in queries.iter().enumerate() {
                        let score = key.dot(query) * weight * place.coefficient;
                        for (i, value) in values.iter().enumerate() {
                            let column = monomial([i, j, k]);
                            let mut to = parts.view_mut((place.o.start, column), (place.o.len(), 1));
                            to += value * score;
                        }
                    }
                }
            }
        }
        let mut coefficients = DMatrix::zeros(sum.stack.o.ncols(), MONOMIALS.len());
        gemm(&mut coefficients, 1.0, &sum.stack.o, true, &parts, false, 0.0);
        let mut inner = DMatrix::zeros(MONOMIALS.len(), MONOMIALS.len());
        gemm(&mut inner, 1.0, &coefficients, true, &coefficients, false, 0.0);
        Polynomial { value: coefficients.column(0).into_owned(), inner }
    }

    /// Gradient of the size of the sum.
    fn slope(&self, sum: &Sum, which: usize) -> DVector<f64> {
        let stack = sum.stack;
        let value = self.circle(sum, which, None).value;
        let size = value.norm();
        let mut out = DVector::zeros(stack.v.ncols());
        if size == 0.0 {
            return out;
        }
        let seen = &stack.o * (value / size);
        let mut towards = [stack.v.nrows(), stack.k.nrows(), stack.q.nrows()].map(DVector::<f64>::zeros);
        for (reads, weights) in [(PAIR, &sum.pair), (OWN, &sum.own)] {
            for (place, weight) in stack.heads.iter().zip(weights) {
                let rows = [&place.v, &place.k, &place.q];
                let slot = |s: usize| {
                    let pick = |v: &DVector<f64>| v.rows(rows[s].start, rows[s].len()).into_owned();
                    pick(&self.tokens[reads[s]].read[s]) + pick(&sum.bias(s))
                };
                let (v, k, q) = (slot(0), slot(1), slot(2));
                let seen = seen.rows(place.o.start, place.o.len());
                let factor = weight * place.coefficient;
                let (score, along) = (factor * k.dot(&q), factor * seen.dot(&v));
                let slopes = [seen * score, q * along, k * along];
                for (s, slope) in slopes.into_iter().enumerate().filter(|(s, _)| reads[*s] == which) {
                    let mut to = towards[s].rows_mut(rows[s].start, rows[s].len());
                    to += slope;
                }
            }
        }
        for (m, towards) in [&stack.v, &stack.k, &stack.q].into_iter().zip(&towards) {
            if towards.amax() > 0.0 {
                out.gemv_tr(1.0, m, towards, 1.0);
            }
        }
        out.iter_mut().zip(&sum.free[which]).filter(|(_, free)| !**free).for_each(|(x, _)| *x = 0.0);
        out
    }
}

impl Sum<'_> {
    fn read(&self, token: &DVector<f64>) -> [DVector<f64>; 3] {
        [&self.stack.v, &self.stack.k, &self.stack.q].map(|m| m * token)
    }

    /// Biases of values, keys or queries.
    fn bias(&self, slot: usize) -> DVector<f64> {
        let m = [&self.stack.v, &self.stack.k, &self.stack.q][slot];
        m.column(m.ncols() - 1).into_owned()
    }
}

/// Powers of cos and sin.
const MONOMIALS: [(i32, i32); 10] =
    [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)];

/// Which monomial a product of three of 1, cos and sin is.
fn monomial(parts: [usize; 3]) -> usize {
    let power = |of: usize| parts.iter().filter(|p| **p == of).count();
    let (c, s) = (power(1), power(2));
    (c + s) * (c + s + 1) / 2 + s
}

/// A vector that depends on an angle.
struct Polynomial {
    /// the coefficient of 1
    value: DVector<f64>,
    /// inner products of the coefficients
    inner: DMatrix<f64>,
}

impl Polynomial {
    /// The square of its size.
    fn at(&self, angle: f64) -> f64 {
        let (s, c) = angle.sin_cos();
        let m =
            DVector::from_iterator(MONOMIALS.len(), MONOMIALS.iter().map(|(i, j)| c.powi(*i) * s.powi(*j)));
        m.dot(&(&self.inner * &m))
    }
}

/// The largest value on a circle and where it is; at 0 if nowhere more.
fn highest(f: impl Fn(f64) -> f64) -> (f64, f64) {
    let step = TAU / f64::from(POINTS);
    let mut best = (f(0.0), 0.0);
    for angle in (1..POINTS).map(|n| f64::from(n) * step) {
        let found = (f(angle), angle);
        best = if found.0 > best.0 { found } else { best };
    }
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let (mut low, mut high) = (best.1 - step, best.1 + step);
    for _ in 0..REFINEMENTS {
        let width = golden * (high - low);
        for angle in [high - width, low + width] {
            let found = (f(angle), angle);
            best = if found.0 > best.0 { found } else { best };
        }
        if f(high - width) > f(low + width) { high = low + width } else { low = high - width }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monomials_are_counted_as_they_are_listed() {
        for i in 0..3 {
            for j in 0..3 {
                for k in 0..3 {
                    let power = |of| [i, j, k].iter().map(|p| i32::from(*p == of)).sum::<i32>();
                    assert_eq!(MONOMIALS[monomial([i, j, k])], (power(1), power(2)));
                }
            }
        }
    }

    #[test]
    fn the_highest_point_of_a_circle_is_found() {
        let (value, angle) = highest(|t| (t - 4.0).cos() + 0.3 * (3.0 * t).sin());
        let want = (0..100_000).map(|n| f64::from(n) * 1e-4).map(|t| (t - 4.0).cos() + 0.3 * (3.0 * t).sin());
        let want = want.fold(0.0, f64::max);
        assert!((value - want).abs() < 1e-8, "{value} {want} {angle}");
        assert_eq!(highest(|_| 1.0).1.to_bits(), 0.0f64.to_bits());
    }
}
