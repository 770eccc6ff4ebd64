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
use crate::spec::{LimitsSpec, Part};
use crate::vocabulary::{Activation, Function};
use multiversion::multiversion;
use rayon::prelude::*;

/// Numbers that are worked on at once: they stay in the first-level cache, and a small population clears few in vain.
const BLOCK: usize = 64;
/// Numbers that a vector instruction may take at once.
const LANES: usize = 8;

/// How a compartment moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leak {
    /// fraction of the way to the input in one step
    pub fraction: f64,
    pub prospective: bool,
    /// x/0 counts as 0: signals are still on their way to the divisor
    pub waits: bool,
    /// at rest means: no further from the input than this fraction of the potential
    pub tolerance: f64,
}

/// How a cell turns its compartments into a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output<'a> {
    pub activation: Activation,
    pub part: Option<Part>,
    pub limits: Option<&'a LimitsSpec>,
}

/// What a sweep saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// largest |I - v| - tolerance |v| of a leaky compartment
    pub unrest: f64,
    /// some number was infinite or not a number
    pub wild: bool,
    /// something was divided by a divisor that no signal has reached yet
    pub waited: bool,
}

impl Seen {
    fn join(self, other: Self) -> Self {
        Self {
            unrest: self.unrest.max(other.unrest),
            wild: self.wild || other.wild,
            waited: self.waited || other.waited,
        }
    }
}

/// What is seen of one compartment on the way, in lanes.
#[derive(Clone, Copy, Default)]
struct Watch {
    /// running maximum of [`Seen::unrest`]
    unrest: [f64; LANES],
    /// 0 as long as all is finite: infinity times 0 is not a number, and stays it
    poison: [f64; LANES],
    waited: bool,
}

impl Watch {
    #[inline(always)]
    fn seen(&self, leak: Leak) -> Seen {
        let unrest = if leak.prospective { 0.0 } else { self.unrest.into_iter().fold(0.0, larger) };
        Seen { unrest, wild: self.poison.iter().sum::<f64>() != 0.0, waited: self.waited }
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
            let work = |(k, ((v, w), r)): (usize, Three<'_>)| two(k * PIECE, [a, b], v, w, output, r);
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

#[multiversion(targets("x86_64+avx2+fma"))]
fn one<'a>(start: usize, inputs: Inputs<'a>, v: &mut [f64], output: Output<'a>, rates: &mut [f64]) -> Seen {
    let (mut watch, mut wild) = (Watch::default(), false);
    let (mut x, zero) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (k, (v, r)) in v.chunks_mut(BLOCK).zip(rates.chunks_mut(BLOCK)).enumerate() {
        let n = v.len();
        leak(inputs, start + k * BLOCK, v, &mut x, &mut watch);
        activate(output, &x[..n], &zero[..n], r, &mut wild);
    }
    watch.seen(inputs.leak).join(Seen { wild, ..Seen::default() })
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn two<'a>(
    start: usize,
    inputs: [Inputs<'a>; 2],
    v: &mut [f64],
    w: &mut [f64],
    output: Output<'a>,
    rates: &mut [f64],
) -> Seen {
    let (mut watch, mut wild) = ([Watch::default(); 2], false);
    let (mut x, mut y) = ([0.0; BLOCK], [0.0; BLOCK]);
    let blocks = v.chunks_mut(BLOCK).zip(w.chunks_mut(BLOCK)).zip(rates.chunks_mut(BLOCK));
    for (k, ((v, w), r)) in blocks.enumerate() {
        let (n, at) = (v.len(), start + k * BLOCK);
        leak(inputs[0], at, v, &mut x, &mut watch[0]);
        leak(inputs[1], at, w, &mut y, &mut watch[1]);
        activate(output, &x[..n], &y[..n], r, &mut wild);
    }
    let seen = watch[0].seen(inputs[0].leak).join(watch[1].seen(inputs[1].leak));
    seen.join(Seen { wild, ..Seen::default() })
}

/// `x / y`; 0 for 0/0, and for x/0 while the compartment waits.
#[inline(always)]
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
#[inline(always)]
fn leak(inputs: Inputs<'_>, at: usize, v: &mut [f64], x: &mut [f64; BLOCK], watch: &mut Watch) {
    let n = v.len();
    let additive = &inputs.additive[at..at + n];
    let Some(divisive) = inputs.divisive else { return towards(inputs.leak, additive, v, x, watch) };
    let mut quotients = [0.0; BLOCK];
    let both = additive.iter().zip(&divisive[at..at + n]);
    for (q, (a, d)) in quotients.iter_mut().zip(both) {
        *q = quotient(*a, *d, inputs.leak.waits, &mut watch.waited);
    }
    towards(inputs.leak, &quotients[..n], v, x, watch);
}

/// The same with the input at hand.
#[inline(always)]
fn towards(leak: Leak, input: &[f64], v: &mut [f64], x: &mut [f64; BLOCK], watch: &mut Watch) {
    let Watch { mut unrest, mut poison, .. } = *watch;
    let (chunks, rest) = v.as_chunks_mut::<LANES>();
    let (inputs_of_chunks, inputs_of_rest) = input.as_chunks::<LANES>();
    let (x_of_chunks, _) = x.as_chunks_mut::<LANES>();
    for ((v, i), x) in chunks.iter_mut().zip(inputs_of_chunks).zip(&mut *x_of_chunks) {
        *x = if leak.prospective { *i } else { *v };
        approach(leak, v, i, &mut unrest, &mut poison);
    }
    if !rest.is_empty() {
        // What is left, filled up with cells at rest.
        let (mut v, mut i) = ([0.0; LANES], [0.0; LANES]);
        v[..rest.len()].copy_from_slice(rest);
        i[..rest.len()].copy_from_slice(inputs_of_rest);
        x_of_chunks[chunks.len()] = if leak.prospective { i } else { v };
        approach(leak, &mut v, &i, &mut unrest, &mut poison);
        rest.copy_from_slice(&v[..rest.len()]);
    }
    (watch.unrest, watch.poison) = (unrest, poison);
}

#[inline(always)]
fn larger(m: f64, x: f64) -> f64 {
    if x > m { x } else { m }
}

/// One step of a few compartments: a running maximum of how far they are from rest, and a sum that is 0 as long as all
/// is finite. No branches, so that it becomes vector code.
#[inline(always)]
fn approach(
    leak: Leak,
    v: &mut [f64; LANES],
    input: &[f64; LANES],
    unrest: &mut [f64; LANES],
    poison: &mut [f64; LANES],
) {
    for l in 0..LANES {
        let d = input[l] - v[l];
        let next = v[l] + leak.fraction * d;
        unrest[l] = larger(unrest[l], d.abs() - leak.tolerance * next.abs());
        poison[l] += next * 0.0;
        v[l] = next;
    }
}

/// Rates from what the cell reads of its compartments.
#[inline(always)]
pub fn activate(output: Output<'_>, basal: &[f64], apical: &[f64], rates: &mut [f64], wild: &mut bool) {
    let both = || basal.iter().zip(apical);
    match output.activation {
        Activation::Product => rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = b * a),
        // Those without a call become vector code.
        Activation::LINEAR => rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = b + a),
        Activation::Function(Function::Relu) => {
            rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = Function::Relu.value(b + a));
        }
        Activation::Function(f) => rates.iter_mut().zip(both()).for_each(|(r, (b, a))| *r = f.value(b + a)),
    }
    finish(output, rates, wild);
}

/// The half that a relay sends, and the limits of rates. Limits bound what is infinite, but not what is no number.
#[inline(always)]
pub fn finish(output: Output<'_>, rates: &mut [f64], wild: &mut bool) {
    match output.limits {
        None => {
            let mut poison = [0.0; LANES];
            let (chunks, rest) = rates.as_chunks::<LANES>();
            for chunk in chunks {
                poison.iter_mut().zip(chunk).for_each(|(p, r)| *p += r * 0.0);
            }
            poison.iter_mut().zip(rest).for_each(|(p, r)| *p += r * 0.0);
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
#[inline(always)]
pub fn rectify(part: Part, rates: &mut [f64]) {
    let sign = if part == Part::Plus { 1.0 } else { -1.0 };
    rates.iter_mut().for_each(|r| *r = (sign * *r).max(0.0));
}
