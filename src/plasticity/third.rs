//! Errors on their way: what reaches the third compartment of every cell, through the circuit's own projections.

use super::adjoint::sent_slope;
use super::link::cleared;
use super::plan::{Cells, Plan, slot};
use super::work::{Numbers, Work};
use crate::circuit::{Compartment, Signal, Weights};
use crate::simulate::cells::columns::Columns;
use crate::spec::Effect;

/// Evaluates all third compartments; the forward pass comes first.
///
/// Errors enter where a projection brings rates (those of an error relay, say) to a third compartment; there they are
/// silent at tokens that the loss does not count. Feedback is third x `slope`.
pub fn errors(plan: &Plan<'_>, weights: &[Weights], work: &mut Work) {
    for &i in &plan.thirds {
        let mut third = std::mem::take(&mut work.of[i].third);
        third.fill(0.0);
        for &k in &plan.cells[i].inputs[3] {
            let mut arriving = std::mem::take(&mut work.signal);
            signal(plan, k, work, &mut arriving);
            let length = plan.ways[k].n_from * plan.ways[k].sources;
            plan.ways[k].forward(&weights[k], &arriving[..length], &mut third, &mut work.room);
            work.signal = arriving;
        }
        work.of[i].third = third;
    }
}

/// What projection `k` brings to a third compartment, `[source cells, source columns]`.
pub fn signal(plan: &Plan<'_>, k: usize, work: &Work, out: &mut Vec<f64>) {
    let p = &plan.circuit.projections[k];
    let source = &plan.cells[p.from.0];
    let numbers = &work.of[p.from.0];
    let out = cleared(out, numbers.rates.len());
    let clock = plan.cells[plan.outputs[0].0].of.query_clock;
    match p.signal {
        Signal::Rate if source.of.query_clock != clock || source.sends == Columns::Once => {
            out.copy_from_slice(&numbers.rates);
        }
        Signal::Rate => {
            for (q, _) in work.counted.iter().enumerate().filter(|(_, counted)| **counted) {
                let columns = source.sends.row(q);
                let at = columns.start * source.n..columns.end * source.n;
                out[at.clone()].copy_from_slice(&numbers.rates[at]);
            }
        }
        Signal::Feedback(compartment, effect) => {
            slope(source, numbers, compartment, effect, out);
            out.iter_mut().zip(&numbers.third).for_each(|(s, t)| *s *= t);
        }
    }
}

/// Derivative of the rate, of every cell in every column, by what is added up in a compartment, or by what divides it: with a
/// potential `x = a / d` and `f' = df/dx`, they are `f' / d` and `-f' x / d`; 0/0 is a constant.
pub fn slope(cells: &Cells<'_>, own: &Numbers, compartment: Compartment, effect: Effect, out: &mut [f64]) {
    let [basal, apical, _] = &own.potential;
    for (k, (out, rate)) in out.iter_mut().zip(&own.rates).enumerate() {
        let [by_basal, by_apical] = cells.of.activation.slopes(basal.get(k).copied(), apical.get(k).copied());
        let by = if compartment == Compartment::Apical { by_apical } else { by_basal };
        *out = by * sent_slope(cells, *rate) * divided(own, compartment, effect, k);
    }
}

/// Derivative of potential `k` of a compartment by what is added up in it, or by what divides it.
pub fn divided(own: &Numbers, compartment: Compartment, effect: Effect, k: usize) -> f64 {
    let at = slot(compartment);
    let Some(by) = own.divisor.get(at).and_then(|d| d.get(k)) else { return 1.0 };
    let share = if *by == 0.0 { 0.0 } else { 1.0 / by };
    if effect == Effect::Divisive { -share * own.potential[at][k] } else { share }
}
