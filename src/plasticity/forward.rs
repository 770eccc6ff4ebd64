//! Every cell of one sequence, settled: what leaky cells come to when their inputs stand still.
//!
//! The same equations as [`crate::simulate::cells`] with the prospective read-out, without steps, noise and delays.

use super::memory;
use super::plan::Plan;
use super::work::{Wild, Work};
use crate::attention::Streams;
use crate::circuit::{Kind, Weights};
use crate::simulate::cells::Cause;
use crate::simulate::cells::sweep::{Output, activate, finish, quotient};
use crate::simulate::cells::underflow::LOST;

/// Evaluates all cells whose rates are needed. `weights` has one matrix for each projection.
///
/// # Errors
/// The population in which a number became infinite or something was divided by zero.
pub fn forward(plan: &Plan<'_>, weights: &[Weights], tokens: &Streams, work: &mut Work) -> Result<(), Wild> {
    let circuit = plan.circuit;
    for &i in &plan.order {
        let cells = &plan.cells[i];
        let mut own = std::mem::take(&mut work.of[i]);
        let mut wild = false;
        let (mut by_zero, mut lost) = (false, false);
        let part = if let Kind::Relay { part, .. } = cells.of.kind { part } else { None };
        let output =
            Output { activation: cells.of.activation, part, limits: cells.of.options.limits.as_ref() };
        match cells.of.kind {
            Kind::Tonic => own.rates.fill(1.0),
            Kind::Relay { stream: Some(s), .. } => {
                if let Some(x) = tokens.get(&circuit.streams[s].name) {
                    own.rates.copy_from_slice(x.as_slice());
                }
                finish(output, &mut own.rates, &mut wild);
            }
            _ => {
                for c in 0..3 {
                    own.potential[c].fill(0.0);
                    let numbers = std::iter::zip(&cells.inputs[c], std::iter::repeat(false));
                    let divisors = cells.divisors.get(c).into_iter().flatten();
                    for (k, divides) in numbers.chain(std::iter::zip(divisors, std::iter::repeat(true))) {
                        let x = &work.of[circuit.projections[*k].from.0].rates;
                        let y = if divides { &mut own.divisor[c] } else { &mut own.potential[c] };
                        if divides && cells.divisors[c][0] == *k {
                            y.fill(0.0);
                        }
                        plan.ways[*k].forward(&weights[*k], x, y, &mut work.room);
                    }
                    if c < 2 && !own.divisor[c].is_empty() {
                        for (k, (v, d)) in own.potential[c].iter_mut().zip(&own.divisor[c]).enumerate() {
                            by_zero |= *d == 0.0 && *v != 0.0;
                            lost |= d.abs() < LOST && plan.is_lost(i, c, k);
                            *v = quotient(*v, *d, false, &mut false);
                        }
                    }
                }
                if let Some(rule) = cells.of.accumulate {
                    memory::fold(cells, rule, &mut own, work.carry);
                    finish(output, &mut own.rates, &mut wild);
                } else {
                    let [basal, apical, _] = &own.potential;
                    let (rates, wild) = (&mut own.rates, &mut wild);
                    match (basal.is_empty(), apical.is_empty()) {
                        (false, false) => activate(output, basal, apical, rates, wild),
                        (false, true) => alone(output, basal, rates, wild),
                        (true, false) => alone(output, apical, rates, wild),
                        (true, true) => rates.fill(0.0),
                    }
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
    }
    Ok(())
}

/// The activation of cells of which one compartment receives something.
fn alone(output: Output<'_>, x: &[f64], rates: &mut [f64], wild: &mut bool) {
    let f = output.activation.of_sum();
    rates.iter_mut().zip(x).for_each(|(r, x)| *r = f.value(*x));
    finish(output, rates, wild);
}
