//! One step of all cells.
//!
//! Populations are visited in the order of the graph: each sums what its sources send *in this step*, writes its own
//! rates and moves its potentials. A leaky population's rates depend on its potentials alone, so the order does not
//! matter for it and all cells move at once, from the state at the beginning of the step. A prospective population
//! answers its input at once, so a chain of them passes a token on within one step: what the order is for. Delayed
//! projections read what was sent before, and may close loops.
//!
//! **Divisors that are still silent.** After an event (the start, a new token, a write) a signal needs one step for
//! each leaky population on its way. Until it has reached everything, x/0 counts as 0, and the run does not count as
//! still; afterwards it ends the run as diverged. Where all cells are prospective that time is 0. A divisor that belongs to the
//! loop of the population that it divides counts as 1 until it first speaks: without that, `g = v / g` would never start.

use super::delay::Ring;
use super::memory::Read;
use super::net::{Cells, Incoming, Input, Membrane, Net};
use super::noise::Currents;
use super::sweep::{Compartment, Output, Seen, finish, quotient, sweep};
use crate::circuit::Compartment as Where;
use crate::vocabulary::Activation;

/// Population (its number in [`Net::cells`]) in which a number became infinite or no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wild(pub usize);

impl Net<'_> {
    /// One step. `currents` are the noise currents of each population, if it has any.
    pub fn step(&mut self, currents: &mut [Option<Currents>], tolerance: f64) -> Result<Still, Wild> {
        let mut still = Still { all: true, exactly: true };
        let dirty = std::mem::take(&mut self.dirty);
        self.since = if dirty { 0 } else { self.since + 1 };
        let waits = self.since < self.reach;
        for (i, currents) in currents.iter_mut().enumerate() {
            let p = &mut self.cells[i];
            if p.membranes.is_empty() {
                continue;
            }
            for (k, m) in p.membranes.iter_mut().enumerate() {
                let noise = currents.as_mut().filter(|_| k == 0);
                m.leak.waits = waits;
                m.additive.sum(&mut self.incoming, &self.rates, dirty, noise);
                if let Some(divisive) = &mut m.divisive {
                    divisive.sum(&mut self.incoming, &self.rates, dirty, None);
                    for (silent, d) in m.silent.iter_mut().zip(&mut divisive.now) {
                        *silent &= *d == 0.0;
                        *d = if *silent { 1.0 } else { *d };
                    }
                }
            }
            let mut rates = std::mem::take(&mut self.rates[i]);
            let nothing = if self.before[i] { LEFT } else { NOTHING };
            let wild = p.advance(&mut rates, &mut still, nothing);
            if self.flushes && self.before[i] {
                p.flush();
            }
            self.silence(i, &mut rates);
            self.rates[i] = rates;
            if wild {
                return Err(Wild(i));
            }
        }
        for q in self.incoming.iter_mut() {
            if let Some(ring) = &mut q.delay {
                ring.send(&self.rates[q.from], tolerance);
                still.see(ring.unrest, NOTHING);
            }
        }
        Ok(still)
    }

    /// Most steps that anything is on its way.
    pub fn longest_delay(&self) -> usize {
        self.incoming.iter().filter_map(|q| q.delay.as_ref()).map(Ring::steps).max().unwrap_or(0)
    }
}

/// Distances below this are none: what decays to 0 would otherwise never be relatively close to it.
const NOTHING: f64 = 1e-30;
/// The same of numbers that a quotient depends on: it may be one of two that are both as small.
const LEFT: f64 = 1e-300;

/// Whether everything stood still in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Still {
    pub all: bool,
    /// also what quotients depend on, whatever its size
    pub exactly: bool,
}

impl Still {
    fn see(&mut self, unrest: f64, nothing: f64) {
        self.all &= unrest <= NOTHING;
        self.exactly &= unrest <= nothing;
    }
}

impl Net<'_> {
    /// Largest distance of a leaky compartment from its input, relative to the largest potential of its population.
    pub fn gap(&self) -> f64 {
        let nothing = |before: &bool| if *before { LEFT } else { NOTHING };
        let all = self.cells.iter().zip(&self.before);
        let leaky = all.flat_map(|(p, before)| p.membranes.iter().map(move |m| (m, nothing(before))));
        leaky.filter(|(m, _)| !m.leak.prospective).map(|(m, nothing)| m.gap(nothing)).fold(0.0, f64::max)
    }
}

impl Membrane {
    /// What the compartment reads, of one cell.
    pub fn input(&self, k: usize) -> f64 {
        match &self.divisive {
            None => self.additive.now[k],
            Some(d) => quotient(self.additive.now[k], d.now[k], self.leak.waits, &mut false),
        }
    }

    fn gap(&self, nothing: f64) -> f64 {
        let gap = (0..self.v.len()).map(|k| (self.input(k) - self.v[k]).abs()).fold(0.0, f64::max);
        let size = self.v.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        if gap <= nothing { 0.0 } else { gap / size }
    }
}

impl Input {
    /// What arrives in this step.
    fn sum(
        &mut self,
        incoming: &mut [Incoming<'_>],
        rates: &[Vec<f64>],
        dirty: bool,
        noise: Option<&mut Currents>,
    ) {
        let split = !self.fixed.is_empty();
        let moves = !self.moving.is_empty() || noise.is_some();
        if dirty && !self.still.is_empty() {
            let base = if split { &mut self.fixed } else { &mut self.now };
            base.fill(0.0);
            for k in &self.still {
                incoming[*k].bring(rates, base);
            }
        }
        if !moves {
            return;
        }
        let mut moving = self.moving.as_slice();
        if split {
            self.now.copy_from_slice(&self.fixed);
        } else if let [first, rest @ ..] = moving {
            incoming[*first].bring_first(rates, &mut self.now);
            moving = rest;
        } else {
            self.now.fill(0.0);
        }
        for k in moving {
            incoming[*k].bring(rates, &mut self.now);
        }
        if let Some(noise) = noise {
            noise.add(&mut self.now);
        }
    }
}

impl Incoming<'_> {
    /// Adds to what has arrived.
    fn bring(&mut self, rates: &[Vec<f64>], target: &mut [f64]) {
        self.arrival.add(source(&self.delay, &self.sum, &rates[self.from]), target);
    }

    /// Nothing has arrived yet.
    fn bring_first(&mut self, rates: &[Vec<f64>], target: &mut [f64]) {
        self.arrival.put(source(&self.delay, &self.sum, &rates[self.from]), target);
    }
}

/// What a projection sends: what was sent before, what has been summed, or the rates of now.
pub fn source<'a>(delay: &'a Option<Ring>, sum: &'a Option<Vec<f64>>, rates: &'a [f64]) -> &'a [f64] {
    match (delay, sum) {
        (Some(ring), _) => ring.arriving(),
        (None, Some(sum)) => sum,
        (None, None) => rates,
    }
}

/// A membrane as the sweep takes it.
fn compartment(m: &mut Membrane) -> Compartment<'_> {
    let divisive = m.divisive.as_ref().map(|d| d.now.as_slice());
    Compartment { v: &mut m.v, additive: &m.additive.now, divisive, leak: m.leak }
}

/// What a memory's compartments hand on: their own value, no activation.
const PLAIN: Output<'static> = Output { activation: Activation::LINEAR, part: None, limits: None };

impl Cells<'_> {
    /// Potentials move, rates are written; true if some number went wild.
    fn advance(&mut self, rates: &mut [f64], still: &mut Still, nothing: f64) -> bool {
        let output = self.output();
        let mut wild = false;
        if let Some((memory, work)) = &mut self.memory {
            for m in &mut self.membranes {
                let mut read = std::mem::take(&mut m.read);
                let seen = sweep(compartment(m), None, PLAIN, &mut read);
                m.read = read;
                wild |= seen.wild;
                still.see(if seen.waited { f64::INFINITY } else { seen.unrest }, nothing);
            }
            // With tokens in time the state changes when it is written, not in every step.
            if self.columns != super::columns::Columns::Once {
                let contexts = self.columns.count();
                memory.fold(reads(&self.membranes), contexts, work, rates);
                finish(output, rates, &mut wild);
            }
            return wild;
        }
        let seen: Seen = match self.membranes.as_mut_slice() {
            [] => return false,
            [only] => sweep(compartment(only), None, output, rates),
            [first, second, ..] => sweep(compartment(first), Some(compartment(second)), output, rates),
        };
        still.see(if seen.waited { f64::INFINITY } else { seen.unrest }, nothing);
        seen.wild
    }

    /// What is left of potentials whose input is 0 becomes 0.
    fn flush(&mut self) {
        for m in self.membranes.iter_mut().filter(|m| m.divisive.is_none()) {
            let left =
                m.v.iter_mut().zip(&m.additive.now).filter(|(v, input)| **input == 0.0 && v.abs() <= LEFT);
            left.for_each(|(v, _)| *v = 0.0);
        }
    }
}

/// What a memory reads of its compartments.
pub fn reads(membranes: &[Membrane]) -> Read<'_> {
    let of =
        |which: Where| membranes.iter().find(|m| m.which == which).map_or(&[][..], |m| m.read.as_slice());
    Read { basal: of(Where::Basal), apical: of(Where::Apical), gate: of(Where::Gate) }
}
