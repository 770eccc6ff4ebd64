//! The equation of a compartment and the activation of a cell, over flat arrays.
//!
//! ```text
//! tau dv/dt = -v + I,     I = (sum of additive inputs) / (sum of divisive inputs),     0/0 = 0
//! Euler               v <- v + (dt / tau) (I - v)
//! exponential Euler   v <- v + (1 - exp(-dt / tau)) (I - v)        exact while I stands still
//! prospective         x = v + tau dv/dt = I                        otherwise x = v
//! rate                r = f(x_basal, x_apical)                     by the activation of the population
//! ```
//!
//! The prospective value is read off the equation: adding `I - v` to `v` in floating point would lose a small input
//! behind a large potential.

use super::pieces::{PIECE, pays};
use crate::spec::{ActivationSpec, LimitsSpec, Part};
use rayon::prelude::*;

/// Numbers that are worked on at once: they stay in the first-level cache.
const BLOCK: usize = 256;
/// Independent running maxima.
const LANES: usize = 8;

/// How a compartment moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leak {
    /// fraction of the way to the input in one step
    pub fraction: f64,
    pub prospective: bool,
    /// x/0 counts as 0: signals are still on their way to the divisor
    pub waits: bool,
}

/// How a cell turns its compartments into a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output<'a> {
    pub activation: ActivationSpec,
    pub part: Option<Part>,
    pub limits: Option<&'a LimitsSpec>,
}

/// What a sweep saw in one compartment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// largest |I - v| of a leaky compartment; 0 of a prospective one, which does not lag
    pub gap: f64,
    /// largest |v| after the step
    pub size: f64,
    /// largest |v' - v| of a leaky compartment
    pub moved: f64,
}

/// What a sweep saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub motion: [Motion; 2],
    /// some number was infinite or not a number
    pub wild: bool,
    /// something was divided by a divisor that no signal has reached yet
    pub waited: bool,
}

impl Seen {
    fn join(self, other: Self) -> Self {
        let join = |a: Motion, b: Motion| Motion {
            gap: a.gap.max(b.gap),
            size: a.size.max(b.size),
            moved: a.moved.max(b.moved),
        };
        Self {
            motion: [join(self.motion[0], other.motion[0]), join(self.motion[1], other.motion[1])],
            wild: self.wild || other.wild,
            waited: self.waited || other.waited,
        }
    }
}

/// One compartment of all cells.
pub struct Compartment<'a> {
    pub v: &'a mut [f64],
    pub additive: &'a [f64],
    pub divisive: Option<&'a [f64]>,
    pub leak: Leak,
}

/// Inputs of a compartment, without its potentials.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    additive: &'a [f64],
    divisive: Option<&'a [f64]>,
    leak: Leak,
}

/// Pieces of two potentials and of rates.
type Three<'m> = ((&'m mut [f64], &'m mut [f64]), &'m mut [f64]);

/// One step of all cells of a population: potentials move, rates are written.
///
/// A population has a first compartment; `second` is there if it has both basal and apical input.
pub fn sweep(
    first: Compartment<'_>,
    second: Option<Compartment<'_>>,
    output: Output<'_>,
    rates: &mut [f64],
) -> Seen {
    let a = Inputs { additive: first.additive, divisive: first.divisive, leak: first.leak };
    let join = Seen::join;
    match second {
        None => {
            let work = |(k, (v, r)): (usize, (&mut [f64], &mut [f64]))| one(k * PIECE, a, v, output, r);
            if pays(rates.len() * 4) {
                let v = first.v.par_chunks_mut(PIECE);
                v.zip(rates.par_chunks_mut(PIECE)).enumerate().map(work).reduce(Seen::default, join)
            } else {
                let v = first.v.chunks_mut(PIECE);
                v.zip(rates.chunks_mut(PIECE)).enumerate().map(work).fold(Seen::default(), join)
            }
        }
        Some(second) => {
            let b = Inputs { additive: second.additive, divisive: second.divisive, leak: second.leak };
            let work = |(k, ((v, w), r)): (usize, Three<'_>)| two(k * PIECE, [a, b], [v, w], output, r);
            if pays(rates.len() * 6) {
                let v = first.v.par_chunks_mut(PIECE).zip(second.v.par_chunks_mut(PIECE));
                v.zip(rates.par_chunks_mut(PIECE)).enumerate().map(work).reduce(Seen::default, join)
            } else {
                let v = first.v.chunks_mut(PIECE).zip(second.v.chunks_mut(PIECE));
                v.zip(rates.chunks_mut(PIECE)).enumerate().map(work).fold(Seen::default(), join)
            }
        }
    }
}

fn one(start: usize, inputs: Inputs<'_>, v: &mut [f64], output: Output<'_>, rates: &mut [f64]) -> Seen {
    let mut seen = Seen::default();
    let (mut x, zero) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (k, (v, r)) in v.chunks_mut(BLOCK).zip(rates.chunks_mut(BLOCK)).enumerate() {
        let n = v.len();
        let motion = leak(inputs, start + k * BLOCK, v, &mut x, &mut seen);
        activate(output, &x[..n], &zero[..n], r, &mut seen.wild);
        seen = seen.join(Seen { motion: [motion, Motion::default()], ..Seen::default() });
    }
    seen
}

fn two(
    start: usize,
    inputs: [Inputs<'_>; 2],
    [v, w]: [&mut [f64]; 2],
    output: Output<'_>,
    rates: &mut [f64],
) -> Seen {
    let mut seen = Seen::default();
    let (mut x, mut y) = ([0.0; BLOCK], [0.0; BLOCK]);
    let blocks = v.chunks_mut(BLOCK).zip(w.chunks_mut(BLOCK)).zip(rates.chunks_mut(BLOCK));
    for (k, ((v, w), r)) in blocks.enumerate() {
        let (n, at) = (v.len(), start + k * BLOCK);
        let first = leak(inputs[0], at, v, &mut x, &mut seen);
        let second = leak(inputs[1], at, w, &mut y, &mut seen);
        activate(output, &x[..n], &y[..n], r, &mut seen.wild);
        seen = seen.join(Seen { motion: [first, second], ..Seen::default() });
    }
    seen
}

/// `x / y`; 0 for 0/0, and for x/0 while the compartment waits.
pub fn quotient(x: f64, y: f64, waits: bool, waited: &mut bool) -> f64 {
    if y != 0.0 {
        return x / y;
    }
    if x == 0.0 {
        return 0.0;
    }
    *waited |= waits;
    if waits { 0.0 } else { x / y }
}

/// One step of up to [`BLOCK`] compartments; what the cell reads of them goes to `x`.
fn leak(inputs: Inputs<'_>, at: usize, v: &mut [f64], x: &mut [f64; BLOCK], seen: &mut Seen) -> Motion {
    let n = v.len();
    let mut quotients = [0.0; BLOCK];
    let input = match inputs.divisive {
        None => &inputs.additive[at..at + n],
        Some(divisive) => {
            let both = inputs.additive[at..at + n].iter().zip(&divisive[at..at + n]);
            let Leak { waits, .. } = inputs.leak;
            quotients
                .iter_mut()
                .zip(both)
                .for_each(|(q, (a, d))| *q = quotient(*a, *d, waits, &mut seen.waited));
            &quotients[..n]
        }
    };
    let fraction = inputs.leak.fraction;
    let prospective = inputs.leak.prospective;
    let (mut gap, mut size, mut moved, mut poison) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let larger = |m: f64, x: f64| if x > m { x } else { m };
    for ((v, i), x) in v.chunks_mut(LANES).zip(input.chunks(LANES)).zip(x.chunks_mut(LANES)) {
        for (l, ((v, i), x)) in v.iter_mut().zip(i).zip(x).enumerate() {
            let d = i - *v;
            *x = if prospective { *i } else { *v };
            let next = *v + fraction * d;
            gap[l] = larger(gap[l], d.abs());
            moved[l] = larger(moved[l], (next - *v).abs());
            size[l] = larger(size[l], next.abs());
            poison[l] += next * 0.0;
            *v = next;
        }
    }
    // Infinity times 0 is not a number, and stays it.
    seen.wild |= poison.iter().sum::<f64>() != 0.0;
    let most = |lanes: [f64; LANES]| lanes.into_iter().fold(0.0, larger);
    if prospective {
        return Motion { size: most(size), ..Motion::default() };
    }
    Motion { gap: most(gap), size: most(size), moved: most(moved) }
}

/// Rates from what the cell reads of its compartments.
pub fn activate(output: Output<'_>, basal: &[f64], apical: &[f64], rates: &mut [f64], wild: &mut bool) {
    let both = || basal.iter().zip(apical);
    match output.activation {
        ActivationSpec::Product => rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = b * a),
        ActivationSpec::Linear => rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = b + a),
        other => rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = function(other, b + a)),
    }
    finish(output, rates, wild);
}

/// The half that a relay sends, and the limits of rates. Limits bound what is infinite, but not what is no number.
pub fn finish(output: Output<'_>, rates: &mut [f64], wild: &mut bool) {
    match output.limits {
        None => {
            let mut poison = [0.0; LANES];
            for chunk in rates.chunks(LANES) {
                for (p, r) in poison.iter_mut().zip(chunk) {
                    *p += r * 0.0;
                }
            }
            *wild |= poison.iter().sum::<f64>() != 0.0;
        }
        Some(_) => *wild |= rates.iter().any(|r| r.is_nan()),
    }
    if let Some(part) = output.part {
        rectify(part, rates);
    }
    if let Some(limits) = output.limits {
        rates.iter_mut().for_each(|r| *r = r.clamp(limits.min, limits.max));
    }
}

/// `max(x, 0)` or `max(-x, 0)`.
pub fn rectify(part: Part, rates: &mut [f64]) {
    let sign = if part == Part::Plus { 1.0 } else { -1.0 };
    rates.iter_mut().for_each(|r| *r = (sign * *r).max(0.0));
}

/// An activation of the sum of the compartments; a product needs both and passes the sum on.
pub fn function(activation: ActivationSpec, x: f64) -> f64 {
    match activation {
        ActivationSpec::Product | ActivationSpec::Linear => x,
        ActivationSpec::Relu => x.max(0.0),
        ActivationSpec::Exp => x.exp(),
        ActivationSpec::EluPlusOne if x > 0.0 => x + 1.0,
        ActivationSpec::EluPlusOne => x.exp(),
        ActivationSpec::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        ActivationSpec::Sign if x == 0.0 => 0.0,
        ActivationSpec::Sign => x.signum(),
        ActivationSpec::Power { exponent } => x.powi(i32::try_from(exponent).unwrap_or(i32::MAX)),
    }
}
