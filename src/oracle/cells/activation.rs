//! What a cell makes of its compartments, and what is known of the result without looking at tokens.

use super::net::{Activation, Part};

/// What is known of a number on paper, whatever the tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnPaper {
    /// of any sign
    Anything,
    /// not below 0
    NotBelow,
    /// above 0: where the machine says 0, it has underflowed
    Above,
}

impl OnPaper {
    /// Of a sum: of any sign if one addend is.
    pub fn plus(self, other: Self) -> Self {
        if self.min(other) == Self::Anything { Self::Anything } else { self.max(other) }
    }

    /// Of an addend `weight` x this; without weight it is nothing.
    pub fn weighted(self, weight: f64) -> Self {
        if weight == 0.0 {
            Self::NotBelow
        } else if weight > 0.0 {
            self
        } else {
            Self::Anything
        }
    }
}

/// The rate of a cell.
pub fn activate(activation: Activation, basal: f64, apical: f64) -> f64 {
    let x = basal + apical;
    match activation {
        Activation::Product => basal * apical,
        Activation::Linear => x,
        Activation::Relu => positive(x),
        Activation::Exp => x.exp(),
        Activation::EluPlusOne if x > 0.0 => x + 1.0,
        Activation::EluPlusOne => x.exp(),
        Activation::Sigmoid => sigmoid(x),
        Activation::Sign if x == 0.0 => 0.0,
        Activation::Sign => x.signum(),
        Activation::Power(p) if is_whole(p) => (0..p as u32).map(|_| x).product(),
        Activation::Power(p) if x >= 0.0 => x.powf(p),
        Activation::Sqrt if x >= 0.0 => x.sqrt(),
        Activation::Power(_) | Activation::Sqrt => f64::NAN,
        Activation::Tanh => x.tanh(),
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => x * normal_below(x),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Sine => x.sin(),
    }
}

/// What is known of [`activate`] of compartments of which that much is known.
pub fn activate_on_paper(activation: Activation, basal: OnPaper, apical: OnPaper) -> OnPaper {
    let x = basal.plus(apical);
    match activation {
        Activation::Exp | Activation::Sigmoid | Activation::EluPlusOne => OnPaper::Above,
        Activation::Product => basal.min(apical),
        Activation::Linear => x,
        Activation::Relu | Activation::Sqrt => x.max(OnPaper::NotBelow),
        Activation::Power(p) if !is_whole(p) || p % 2.0 == 0.0 => x.max(OnPaper::NotBelow),
        Activation::Power(_) => x,
        _ => OnPaper::Anything,
    }
}

/// The half of a signal that is sent; a number that is none stays none.
pub fn rectify(part: Option<Part>, x: f64) -> f64 {
    match part {
        None => x,
        Some(Part::Plus) => positive(x),
        Some(Part::Minus) => positive(-x),
    }
}

/// max(x, 0) that keeps NaN.
fn positive(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn is_whole(p: f64) -> bool {
    p.fract() == 0.0
}

/// Phi(x), the share of the normal law below x: the Maclaurin series with terms of one sign near 0 (Abramowitz & Stegun 26.2.11),
/// Laplace's continued fraction of the tail beyond (26.2.14), from its 300th level up.
fn normal_below(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 2.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let mut level = 0.0;
    for n in (1..=300).rev() {
        level = f64::from(n) / (x.abs() + level);
    }
    let tail = density / (x.abs() + level);
    if x < 0.0 { tail } else { 1.0 - tail }
}
