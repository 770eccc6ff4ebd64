//! Loops through delays where they come to rest, each token for itself, and the derivative there.
//!
//! ```text
//! r = 0;   r += (1 - e^(-1/10)) (f(r) - r)   until |f(r) - r| <= 1e-13 max(|f(r)|, 1e-300), in the largest number of a token
//! dL/df = (1 - J)^-T dL/dr,   J = df/dr      implicit function; a singular 1 - J has no derivative
//! ```
//!
//! That is how leaky cells with steps of a tenth of their time constant approach their input. A silent divisor that belongs to
//! the loop counts as 1 until it first speaks: without that, `g = v / g` never starts.

use super::forward::{Given, clear, divide, fire, gather};
use super::plan::Plan;
use super::third::slope;
use super::work::{Numbers, Wild, Work};
use crate::circuit::{Circuit, IndexRule, Kind, PopulationId, ProjectionId, Weights};
use crate::diag::{Diagnostic, codes};
use crate::simulate::cells::Cause;
use crate::simulate::cells::underflow::LOST;
use nalgebra::{DMatrix, DVector};

const SETTLED: f64 = 1e-13;
const LEAST: f64 = 1e-300;
/// Rounds that a token may take.
const ROUNDS: usize = 10_000;
/// Pivots of `1 - J` that are smaller, beside its largest entry, leave no digit of the derivative.
const SINGULAR: f64 = 1e-13;

/// Populations that read each other, directly or through others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// by number, in the order of evaluation
    pub members: Vec<usize>,
    /// projections among them
    pub inside: Vec<usize>,
}

/// What is evaluated at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    One(usize),
    Loop(Loop),
}

/// Populations of `order`, those of a loop together, each after what it reads from outside of its loop.
///
/// # Errors
/// `C062` for loops that no token settles for itself: through relays, memories, pairs of tokens or different indices.
pub fn stages(circuit: &Circuit, order: &[usize]) -> Result<Vec<Stage>, Diagnostic> {
    let numbers = circuit.loop_numbers();
    let mut open = order.to_vec();
    let mut done = vec![false; numbers.len()];
    let mut stages = Vec::new();
    while !open.is_empty() {
        let together = |a: usize, b: usize| a == b || numbers[a].is_some() && numbers[a] == numbers[b];
        let ready = |i: usize| {
            open.iter().filter(|m| together(**m, i)).all(|m| {
                let mut from = circuit.inputs_of(PopulationId(*m)).filter(|(_, p)| p.carries_rates());
                from.all(|(_, p)| done[p.from.0] || together(p.from.0, i) || !order.contains(&p.from.0))
            })
        };
        let Some(first) = open.iter().copied().find(|i| ready(*i)) else { break };
        let members: Vec<usize> = open.iter().copied().filter(|m| together(*m, first)).collect();
        open.retain(|m| !members.contains(m));
        members.iter().for_each(|m| done[*m] = true);
        stages.push(match numbers[first] {
            None => Stage::One(first),
            Some(_) => Stage::Loop(closed(circuit, members)?),
        });
    }
    Ok(stages)
}

/// A loop that every token settles for itself.
fn closed(circuit: &Circuit, members: Vec<usize>) -> Result<Loop, Diagnostic> {
    let among = |p: &&crate::circuit::Projection| {
        p.carries_rates() && members.contains(&p.from.0) && members.contains(&p.to.0)
    };
    let first = &circuit.populations[members[0]];
    let wrong = members.iter().find_map(|m| {
        let p = &circuit.populations[*m];
        let why = match p.kind {
            Kind::Relay { .. } => "is a relay",
            _ if p.accumulate.is_some() => "is a memory",
            _ if p.indices.query && p.indices.context => "has a column for each pair of tokens",
            _ if (p.indices, p.query_clock, p.context_clock)
                != (first.indices, first.query_clock, first.context_clock) =>
            {
                "has another token index than the rest of the loop"
            }
            _ => return None,
        };
        Some(format!("`{}` {why}", p.name))
    });
    let summed = circuit.projections.iter().filter(among).find(|p| p.index != IndexRule::Broadcast);
    let wrong = wrong.or_else(|| summed.map(|p| format!("`{}` mixes tokens", p.name)));
    if let Some(why) = wrong {
        let closing = circuit.loops.iter().map(|id| circuit.projection(*id)).find(among);
        let p = closing.unwrap_or_else(|| circuit.projection(ProjectionId(0)));
        let what = format!("`{}` closes a loop that has no value within a token step: {why}", p.name);
        return Err(Diagnostic::error(codes::C062, &p.path, what).help(
            "learning works on settled values, each token for itself: loops among cells of one token index; remove the projection",
        ));
    }
    let inside = (0..circuit.projections.len()).filter(|k| among(&&circuit.projections[*k])).collect();
    Ok(Loop { members, inside })
}

/// Settles a loop; what it reads from outside comes first.
///
/// # Errors
/// The population in which a number went wild, or the first of a loop that did not come to rest.
pub fn settle(plan: &Plan<'_>, around: &Loop, given: Given<'_>, work: &mut Work) -> Result<(), Wild> {
    let Loop { members, inside } = around;
    let tokens = plan.cells[members[0]].columns.count();
    let wild = |m: usize, cause| Err(Wild { population: plan.cells[m].of.name.clone(), cause });
    // What stands still: sums over what comes from outside.
    let mut still: Vec<Numbers> = Vec::with_capacity(members.len());
    for m in members {
        let mut own = std::mem::take(&mut work.of[*m]);
        clear(&mut own);
        gather(plan, *m, given, work, &mut own, &|k| !inside.contains(&k));
        own.rates.fill(0.0);
        let (potential, divisor) = (own.potential.clone(), own.divisor.clone());
        still.push(Numbers { potential, divisor, ..Numbers::default() });
        work.of[*m] = own;
    }
    let mut silent: Vec<[Vec<bool>; 2]> =
        members.iter().map(|m| silent_at_first(plan, *m, inside, work)).collect();
    let mut goals: Vec<Vec<f64>> = members.iter().map(|m| work.of[*m].rates.clone()).collect();
    let mut settled = vec![false; tokens];
    let step = 1.0 - (-0.1_f64).exp();
    for round in 0.. {
        for (a, m) in members.iter().enumerate() {
            // The loop goes on reading the rates of this round.
            let mut own = std::mem::take(&mut work.of[*m]);
            work.of[*m].rates = std::mem::take(&mut own.rates);
            own.rates = std::mem::take(&mut goals[a]);
            own.potential.clone_from(&still[a].potential);
            own.divisor.clone_from(&still[a].divisor);
            gather(plan, *m, given, work, &mut own, &|k| inside.contains(&k));
            for (silent, divisor) in silent[a].iter_mut().zip(&mut own.divisor) {
                for (silent, d) in silent.iter_mut().zip(divisor) {
                    *silent &= *d == 0.0;
                    *d = if *silent { 1.0 } else { *d };
                }
            }
            let by_zero = divide(&mut own);
            let mut infinite = false;
            fire(&plan.cells[*m], &mut own, &mut infinite);
            goals[a] = std::mem::take(&mut own.rates);
            own.rates = std::mem::take(&mut work.of[*m].rates);
            work.of[*m] = own;
            if by_zero || infinite {
                return wild(*m, if by_zero { Cause::DividedByZero } else { Cause::Infinite });
            }
        }
        for (t, settled) in settled.iter_mut().enumerate().filter(|(_, settled)| !**settled) {
            let (mut distance, mut size) = (0.0_f64, LEAST);
            let at = |m: usize| t * plan.cells[m].n..(t + 1) * plan.cells[m].n;
            for (m, goal) in members.iter().zip(&goals) {
                for (r, f) in work.of[*m].rates[at(*m)].iter().zip(&goal[at(*m)]) {
                    distance = distance.max((f - r).abs());
                    size = size.max(f.abs());
                }
            }
            *settled = distance <= SETTLED * size;
            if *settled {
                continue;
            }
            for (m, goal) in members.iter().zip(&goals) {
                for (r, f) in work.of[*m].rates[at(*m)].iter_mut().zip(&goal[at(*m)]) {
                    *r += step * (f - *r);
                }
            }
        }
        if settled.iter().all(|settled| *settled) {
            break;
        }
        if round + 1 == ROUNDS {
            return wild(members[0], Cause::Unsettled);
        }
    }
    for (m, silent) in members.iter().zip(&silent) {
        let Numbers { potential, divisor, .. } = &mut work.of[*m];
        for c in 0..2 {
            for (k, d) in divisor[c].iter_mut().enumerate() {
                let silent = silent[c].get(k).is_some_and(|silent| *silent);
                if (silent || d.abs() < LOST) && plan.is_lost(*m, c, k) {
                    return wild(*m, Cause::Underflow);
                }
                // 0/0 is a constant.
                if silent && potential[c][k] == 0.0 {
                    *d = 0.0;
                }
            }
        }
    }
    Ok(())
}

/// Divisors of basal and apical that belong to the loop, all still silent; empty where there are none.
fn silent_at_first(plan: &Plan<'_>, m: usize, inside: &[usize], work: &Work) -> [Vec<bool>; 2] {
    [0, 1].map(|c| {
        let belongs = plan.cells[m].divisors[c].iter().any(|k| inside.contains(k));
        if belongs { vec![true; work.of[m].divisor[c].len()] } else { Vec::new() }
    })
}

/// From the derivatives by what the members send to those by what they would send: `dL/df = (1 - J)^-T dL/dr`.
///
/// # Errors
/// The first of a loop with a singular `1 - J`.
pub fn implicit(plan: &Plan<'_>, around: &Loop, weights: &[Weights], work: &mut Work) -> Result<(), Wild> {
    let Loop { members, inside } = around;
    let mut first = Vec::new();
    let n = members.iter().fold(0, |n, m| {
        first.push(n);
        n + plan.cells[*m].n
    });
    let place = |m: usize| members.iter().position(|other| *other == m).map_or(0, |a| first[a]);
    let mut slopes = Vec::new();
    for k in inside {
        let p = &plan.circuit.projections[*k];
        let (cells, own) = (&plan.cells[p.to.0], &work.of[p.to.0]);
        let mut by = vec![0.0; own.rates.len()];
        slope(cells, own, p.compartment, p.effect, &mut by);
        slopes.push(by);
    }
    for t in 0..plan.cells[members[0]].columns.count() {
        let mut d: DVector<f64> = DVector::zeros(n);
        for (m, first) in members.iter().zip(&first) {
            let of = plan.cells[*m].n;
            d.rows_mut(*first, of).copy_from_slice(&work.of[*m].d_rates[t * of..][..of]);
        }
        if d.iter().all(|d| *d == 0.0) {
            continue;
        }
        // (1 - J)^T
        let mut matrix: DMatrix<f64> = DMatrix::identity(n, n);
        for (k, by) in inside.iter().zip(&slopes) {
            let (p, way) = (&plan.circuit.projections[*k], &plan.ways[*k]);
            let (to, from) = (place(p.to.0), place(p.from.0));
            for (a, by) in by[t * way.n_to..][..way.n_to].iter().enumerate().filter(|(_, by)| **by != 0.0) {
                for b in 0..way.n_from {
                    matrix[(from + b, to + a)] -= by * weights[*k].get(way.onto.of(a), way.pool.of(b));
                }
            }
        }
        let largest: f64 = matrix.amax();
        let lu = matrix.lu();
        let pivot = lu.u().diagonal().iter().fold(f64::INFINITY, |m, u| m.min(u.abs()));
        let has_digits = pivot > SINGULAR * largest.max(1.0);
        if !has_digits || !lu.solve_mut(&mut d) {
            return Err(Wild { population: plan.cells[members[0]].of.name.clone(), cause: Cause::Singular });
        }
        for (m, first) in members.iter().zip(&first) {
            let of = plan.cells[*m].n;
            work.of[*m].d_rates[t * of..][..of].copy_from_slice(d.rows(*first, of).as_slice());
        }
    }
    Ok(())
}
