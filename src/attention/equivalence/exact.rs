//! The squared distance as a fraction, for weights that are whole numbers times a power of two.
//!
//! `12 dist^2 = sum of 6 (direct + crossed)` over the heads and a power of two, all in integers of 128 bits with every sum
//! and product checked. Equal blocks give a true zero.

use super::distance::{Distance, distance};
use super::gram::{Slots, gram, own_token, whole_fractions};
use super::groups::{Group, parts};
use super::number::{Checked, Number};
use super::scope::{OutOfScope, Side, check};
use super::stack::{Stack, Term, shifted};
use crate::attention::Block;

/// `numerator / (denominator * 2^halvings)` in lowest terms; `halvings` may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    pub numerator: i128,
    /// 1 or 3
    pub denominator: i128,
    pub halvings: i32,
}

/// An exact squared distance, or why there is none and what is known instead.
#[derive(Clone, Debug, PartialEq)]
pub enum ExactDistance {
    /// the squared distance of everything, residual paths and bias included
    Exact(Fraction),
    /// the weights do not fit 128-bit integers
    Rounded { why: &'static str, distance: Box<Distance> },
}

impl Fraction {
    const ZERO: Self = Self { numerator: 0, denominator: 1, halvings: 0 };

    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.numerator == 0
    }

    #[allow(clippy::cast_precision_loss)]
    #[must_use]
    pub fn to_f64(self) -> f64 {
        shifted(self.numerator as f64 / self.denominator as f64, -self.halvings)
    }

    fn new(mut numerator: i128, twelfths: bool, mut halvings: i32) -> Self {
        let mut denominator = 1;
        if numerator == 0 {
            return Self::ZERO;
        }
        if twelfths {
            halvings += 2;
            denominator = 3;
            if numerator % 3 == 0 {
                (numerator, denominator) = (numerator / 3, 1);
            }
        }
        while numerator % 2 == 0 {
            (numerator, halvings) = (numerator / 2, halvings - 1);
        }
        Self { numerator, denominator, halvings }
    }

    fn plus(self, other: Self) -> Option<Self> {
        if self.is_zero() || other.is_zero() {
            return Some(if self.is_zero() { other } else { self });
        }
        let halvings = self.halvings.max(other.halvings);
        let thirds = self.denominator == 3 || other.denominator == 3;
        let numerator = |f: Self| {
            let shift = u32::try_from(halvings - f.halvings).ok().filter(|s| *s < 120)?;
            let whole = f.numerator.checked_mul(1i128 << shift)?;
            if thirds && f.denominator == 1 { whole.checked_mul(3) } else { Some(whole) }
        };
        let sum = numerator(self)?.checked_add(numerator(other)?)?;
        Some(if thirds {
            Self::new(sum.checked_mul(4)?, true, halvings)
        } else {
            Self::new(sum, false, halvings)
        })
    }
}

/// Bits after the point that a weight may have.
const MOST_BITS: i32 = 60;

/// The squared distance of [`distance`] without rounding; weights that need more than 128 bits fall back to it.
///
/// # Errors
/// As [`distance`].
pub fn exact_distance(a: &Block, b: &Block) -> Result<ExactDistance, OutOfScope> {
    let (clocks, _) = check(a, b)?;
    let mut total = Some(Fraction::ZERO);
    let mut own = false;
    for part in parts(a, b, &clocks) {
        let slots = if part.group == Group::Own { Slots::Own } else { Slots::Pair };
        own |= slots == Slots::Own;
        let mut terms: Vec<Term<'_>> = part.members.iter().map(|m| m.term.clone()).collect();
        for (term, member) in terms.iter_mut().zip(&part.members) {
            term.coefficient *= if member.side == Side::A { 1.0 } else { -1.0 };
        }
        total = total.zip(square(&terms, slots)).and_then(|(x, y)| x.plus(y));
    }
    if !own {
        let paths = super::groups::path_terms(a, 1.0).into_iter().chain(super::groups::path_terms(b, -1.0));
        // As a head whose score is 1 a path has a third as large a norm in the slots of a pair: take it apart.
        total = total.zip(path_square(&paths.collect::<Vec<_>>())).and_then(|(x, y)| x.plus(y));
    }
    Ok(match total {
        Some(fraction) => ExactDistance::Exact(fraction),
        None => ExactDistance::Rounded {
            why: "the weights are no integers, or too large for 128 bits",
            distance: Box::new(distance(a, b)?),
        },
    })
}

fn square(terms: &[Term<'_>], slots: Slots) -> Option<Fraction> {
    let terms = if slots == Slots::Own { own_token(terms) } else { terms.to_vec() };
    let stack = Stack::whole(&terms, MOST_BITS)?;
    let gram = gram::<Checked>(&stack);
    let sum = |m: &nalgebra::DMatrix<Checked>| m.iter().fold(Checked::zero(), |s, x| s.plus(*x));
    let [d, c] = whole_fractions(slots).map(Checked::from_f64);
    let twelve = sum(&gram.direct).times(d).plus(sum(&gram.crossed).times(c));
    Some(Fraction::new(twelve.0?, true, -2 * stack.exponent))
}

/// `|sum of residual paths|^2` stream by stream, and that of the bias: plain Frobenius norms.
fn path_square(terms: &[Term<'_>]) -> Option<Fraction> {
    let stack = Stack::whole(terms, MOST_BITS)?;
    let rows = stack.o.ncols();
    let mut sum = Checked::zero();
    for column in 0..stack.v.ncols() {
        for row in 0..rows {
            let entry = stack.heads.iter().fold(Checked::zero(), |entry, place| {
                let x = stack.v[(place.v.start + row, column)] * place.coefficient;
                entry.plus(Checked::from_f64(x))
            });
            sum = sum.plus(entry.times(entry));
        }
    }
    // O and the constant scores are ones times their powers of two.
    let unit = stack.o[(0, 0)] * stack.k[(0, stack.k.ncols() - 1)] * stack.q[(0, stack.q.ncols() - 1)];
    let unit = Checked::from_f64(unit);
    Some(Fraction::new(sum.times(unit.times(unit)).0?, false, -2 * stack.exponent))
}
