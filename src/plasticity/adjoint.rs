//! The exact gradient of a circuit: derivatives of the loss by every weight, backwards through every cell.
//!
//! This is what local rules are measured against. It uses what no cell has: the transposed weights of all
//! projections, the errors of later tokens, and one signal for each number of the forward pass.
//!
//! Source: reverse accumulation (Linnainmaa 1970); the derivatives of one head are those of
//! [`crate::attention::gradient`], which knows no cells.

use super::memory;
use super::plan::{Cells, Plan};
use super::settle::{Stage, implicit};
use super::work::{Numbers, Wild, Work};
use crate::circuit::{Kind, Weights};
use crate::spec::Part;
use nalgebra::DMatrix;

/// Adds the derivatives by the weights of each projection to `d_w`, where it has a matrix for them, from
/// [`Work::d_output`]. The forward pass of the same sequence comes first.
///
/// Derivatives by tokens are left in [`Numbers::d_rates`] of the input relays.
///
/// # Errors
/// A population of a loop that has no derivative where it came to rest.
pub fn backward(
    plan: &Plan<'_>,
    weights: &[Weights],
    work: &mut Work,
    d_w: &mut [Option<DMatrix<f64>>],
) -> Result<(), Wild> {
    for &i in &plan.order {
        let Numbers { d_rates, d_potential, d_divisor, .. } = &mut work.of[i];
        d_rates.fill(0.0);
        d_potential.iter_mut().chain(d_divisor).for_each(|d| d.fill(0.0));
    }
    for (i, sign) in &plan.outputs {
        let d = &mut work.of[*i].d_rates;
        d.iter_mut().zip(work.d_output.iter()).for_each(|(d, y)| *d += sign * y);
    }
    for stage in plan.stages.iter().rev() {
        match stage {
            Stage::One(i) => one(plan, *i, weights, work, d_w, &[]),
            Stage::Loop(around) => {
                implicit(plan, around, weights, work)?;
                around.members.iter().for_each(|i| one(plan, *i, weights, work, d_w, &around.inside));
            }
        }
    }
    Ok(())
}

/// From the derivatives by what a population sends to those by weights and by what its sources send, but for projections
/// `inside` its loop: those are in it already.
fn one(
    plan: &Plan<'_>,
    i: usize,
    weights: &[Weights],
    work: &mut Work,
    d_w: &mut [Option<DMatrix<f64>>],
    inside: &[usize],
) {
    let cells = &plan.cells[i];
    if matches!(cells.of.kind, Kind::Tonic | Kind::Relay { stream: Some(_), .. }) {
        let Numbers { rates, d_rates, .. } = &mut work.of[i];
        return d_rates.iter_mut().zip(rates).for_each(|(d, r)| *d *= sent_slope(cells, *r));
    }
    let mut own = std::mem::take(&mut work.of[i]);
    let Numbers { rates, d_rates, .. } = &mut own;
    d_rates.iter_mut().zip(rates).for_each(|(d, r)| *d *= sent_slope(cells, *r));
    match cells.of.accumulate {
        Some(rule) => memory::backward(cells, rule, &mut own, &mut work.signal),
        None => to_compartments(cells, &mut own),
    }
    for c in 0..3 {
        divide(c, &mut own);
        let divisors = cells.divisors.get(c).into_iter().flatten();
        let ways = cells.inputs[c].iter().map(|k| (*k, false)).chain(divisors.map(|k| (*k, true)));
        for (k, divides) in ways {
            let d_y = if divides { &own.d_divisor[c] } else { &own.d_potential[c] };
            let from = plan.circuit.projections[k].from.0;
            let source = &mut work.of[from];
            let (x, d_x) = match inside.contains(&k) {
                true if from == i => (&own.rates, None),
                true => (&source.rates, None),
                false => (&source.rates, Some(source.d_rates.as_mut_slice())),
            };
            plan.ways[k].backward(&weights[k], x, d_y, d_x, d_w[k].as_mut(), &mut work.room);
        }
    }
    work.of[i] = own;
}

/// Derivative of what is sent by the activation, through `part` and `limits`.
pub fn sent_slope(cells: &Cells<'_>, rate: f64) -> f64 {
    let inside = cells.of.options.limits.as_ref().is_none_or(|l| rate > l.min && rate < l.max);
    let part = if let Kind::Relay { part, .. } = cells.of.kind { part } else { None };
    match part {
        _ if !inside => 0.0,
        None => 1.0,
        Some(_) if rate <= 0.0 => 0.0,
        Some(Part::Plus) => 1.0,
        Some(Part::Minus) => -1.0,
    }
}

fn to_compartments(cells: &Cells<'_>, own: &mut Numbers) {
    let Numbers { potential: [basal, apical, _], d_potential: [d_basal, d_apical, _], d_rates, .. } = own;
    for (k, d) in d_rates.iter().enumerate() {
        let slopes = cells.of.activation.slopes(basal.get(k).copied(), apical.get(k).copied());
        for (d_x, slope) in [&mut *d_basal, &mut *d_apical].into_iter().zip(slopes) {
            if let Some(x) = d_x.get_mut(k) {
                *x += d * slope;
            }
        }
    }
}

/// From the derivative by a quotient to those by its two sums; 0/0 is a constant.
fn divide(c: usize, own: &mut Numbers) {
    if c > 1 || own.divisor[c].is_empty() {
        return;
    }
    let numbers = own.d_potential[c].iter_mut().zip(&mut own.d_divisor[c]);
    for ((d_v, d_by), (v, by)) in numbers.zip(own.potential[c].iter().zip(&own.divisor[c])) {
        let share = if *by == 0.0 { 0.0 } else { *d_v / by };
        *d_by = -share * v;
        *d_v = share;
    }
}
