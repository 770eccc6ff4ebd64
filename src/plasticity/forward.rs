//! Every cell of one sequence, settled: what leaky cells come to when their inputs stand still.
//!
//! The same equations as [`crate::simulate::cells`] with the prospective read-out, without steps, noise and delays. Loops through
//! delays are evaluated where they come to rest ([`settle`](super::settle)).

use super::memory;
use super::plan::{Cells, Plan};
use super::settle::{Stage, settle};
use super::work::{Numbers, Wild, Work};
use crate::attention::Streams;
use crate::circuit::{Kind, Weights};
use crate::simulate::cells::Cause;
use crate::simulate::cells::sweep::{Output, activate, finish, quotient};
use crate::simulate::cells::underflow::LOST;

/// What a sequence is evaluated on: one matrix for each projection, and the tokens.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub weights: &'a [Weights],
    pub tokens: &'a Streams,
}

/// Evaluates all cells whose rates are needed. `weights` has one matrix for each projection.
///
/// # Errors
/// The population in which a number became infinite or something was divided by zero, or whose loop did not come to rest.
pub fn forward(plan: &Plan<'_>, weights: &[Weights], tokens: &Streams, work: &mut Work) -> Result<(), Wild> {
    let given = Given { weights, tokens };
    for stage in &plan.stages {
        match stage {
            Stage::One(i) => one(plan, *i, given, work)?,
            Stage::Loop(around) => settle(plan, around, given, work)?,
        }
    }
    Ok(())
}

/// Evaluates a population whose sources all are.
fn one(plan: &Plan<'_>, i: usize, given: Given<'_>, work: &mut Work) -> Result<(), Wild> {
    let cells = &plan.cells[i];
    let mut own = std::mem::take(&mut work.of[i]);
    let mut wild = false;
    let (mut by_zero, mut lost) = (false, false);
    match cells.of.kind {
        Kind::Tonic => own.rates.fill(1.0),
        Kind::Relay { stream: Some(s), .. } => {
            if let Some(x) = given.tokens.get(&plan.circuit.streams[s].name) {
                own.rates.copy_from_slice(x.as_slice());
            }
            finish(output(cells), &mut own.rates, &mut wild);
        }
        _ => {
            clear(&mut own);
            gather(plan, i, given, work, &mut own, &|_| true);
            for (c, divisor) in own.divisor.iter().enumerate() {
                lost |= divisor.iter().enumerate().any(|(k, d)| d.abs() < LOST && plan.is_lost(i, c, k));
            }
            by_zero = divide(&mut own);
            if let Some(rule) = cells.of.accumulate {
                memory::fold(cells, rule, &mut own, work.carry);
                finish(output(cells), &mut own.rates, &mut wild);
            } else {
                fire(cells, &mut own, &mut wild);
            }
        }
    }
    work.of[i] = own;
    let cause = match (lost, by_zero) {
        (true, _) => Cause::Underflow,
        (_, true) => Cause::DividedByZero,
        _ => Cause::Infinite,
    };
    if wild || by_zero || lost {
        return Err(Wild { population: cells.of.name.clone(), cause });
    }
    Ok(())
}

fn output<'c>(cells: &Cells<'c>) -> Output<'c> {
    let part = if let Kind::Relay { part, .. } = cells.of.kind { part } else { None };
    Output { activation: cells.of.activation, part, limits: cells.of.options.limits.as_ref() }
}

/// Nothing has arrived yet.
pub fn clear(own: &mut Numbers) {
    own.potential.iter_mut().chain(&mut own.divisor).for_each(|x| x.fill(0.0));
}

/// Adds up what the projections of population `i` that `count` bring, what divides apart.
pub fn gather(
    plan: &Plan<'_>,
    i: usize,
    given: Given<'_>,
    work: &mut Work,
    own: &mut Numbers,
    count: &dyn Fn(usize) -> bool,
) {
    let cells = &plan.cells[i];
    let Numbers { potential, divisor, .. } = own;
    let added = cells.inputs.iter().zip(potential);
    for (inputs, y) in added.chain(cells.divisors.iter().zip(divisor)) {
        for k in inputs.iter().filter(|k| count(**k)) {
            let x = &work.of[plan.circuit.projections[*k].from.0].rates;
            plan.ways[*k].forward(&given.weights[*k], x, y, &mut work.room);
        }
    }
}

/// Divides potentials; was a number other than 0 divided by 0?
pub fn divide(own: &mut Numbers) -> bool {
    let mut by_zero = false;
    for (potential, divisor) in own.potential.iter_mut().zip(&own.divisor) {
        for (v, d) in potential.iter_mut().zip(divisor) {
            by_zero |= *d == 0.0 && *v != 0.0;
            *v = quotient(*v, *d, false, &mut false);
        }
    }
    by_zero
}

/// Rates from potentials.
pub fn fire(cells: &Cells<'_>, own: &mut Numbers, wild: &mut bool) {
    let [basal, apical, _] = &own.potential;
    let (rates, output) = (&mut own.rates, output(cells));
    match (basal.is_empty(), apical.is_empty()) {
        (false, false) => activate(output, basal, apical, rates, wild),
        (false, true) => alone(output, basal, rates, wild),
        (true, false) => alone(output, apical, rates, wild),
        (true, true) => rates.fill(0.0),
    }
}

/// The activation of cells of which one compartment receives something.
fn alone(output: Output<'_>, x: &[f64], rates: &mut [f64], wild: &mut bool) {
    let f = output.activation.of_sum();
    rates.iter_mut().zip(x).for_each(|(r, x)| *r = f.value(*x));
    finish(output, rates, wild);
}
