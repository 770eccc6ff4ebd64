//! Divisors that are 0 only because the machine's numbers end.
//!
//! A sum of rates of `exp`, `sigmoid` or `elu_plus_one` over tokens that are there is above 0. Where all of them are too
//! small for 64 bits, what is divided by the sum is lost with it: 0/0 would be called 0, and the limit is something else. A run
//! that comes to that has diverged ([`super::Cause::Underflow`]). What cells divide by on the way there does not count.
//!
//! **Deliberately absent:** sums of nothing (no token yet, no weight): there 0/0 is 0.

use super::columns::Columns;
use super::net::Net;
use super::step::source;
use super::sweep::finish;
use crate::circuit::{Circuit, Compartment, IndexRule, Kind, Projection, ProjectionId};
use crate::spec::{AccumulateSpec, Effect};
use crate::vocabulary::{Activation, Mask, OnPaper};

/// Below this a divisor, and what it divides, may have lost digits.
pub const LOST: f64 = 1e-280;

/// Cells of a population that are above 0 on paper, and the sum over tokens that they need for it: its mask, and the number of
/// the population whose columns are summed.
#[derive(Clone, Debug, PartialEq)]
struct Pool {
    cells: Vec<bool>,
    over: Option<(Mask, usize)>,
}

/// Which cells of a circuit pool rates that are never 0.
#[derive(Debug)]
pub struct Pools<'c> {
    circuit: &'c Circuit,
    of: Vec<Option<Pool>>,
}

/// Tokens that both sums need: those of the narrower mask. A window leaves none empty that it would not be without.
fn both(a: Option<(Mask, usize)>, b: Option<(Mask, usize)>) -> Option<(Mask, usize)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.0.whole().narrows(b.0.whole()) { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// Tokens that one of the sums needs: those of the wider mask, or none.
fn either(a: Option<(Mask, usize)>, b: Option<(Mask, usize)>) -> Option<(Mask, usize)> {
    let (a, b) = (a?, b?);
    Some(if b.0.whole().narrows(a.0.whole()) { a } else { b })
}

impl<'c> Pools<'c> {
    #[must_use]
    pub fn new(circuit: &'c Circuit) -> Self {
        let mut pools = Self { circuit, of: vec![None; circuit.populations.len()] };
        // Sources come before their targets, but in loops.
        for _ in 0..=circuit.loops.len() {
            let before = pools.of.clone();
            for id in &circuit.whole {
                pools.of[id.0] = pools.population(id.0);
            }
            if pools.of == before {
                break;
            }
        }
        pools
    }

    fn population(&self, i: usize) -> Option<Pool> {
        let p = &self.circuit.populations[i];
        let all = || Pool { cells: vec![true; p.size()], over: None };
        match p.kind {
            Kind::Tonic => return Some(all()),
            Kind::Relay { stream: Some(_), .. } => return None,
            _ => {}
        }
        let [basal, apical] = [Compartment::Basal, Compartment::Apical].map(|c| self.arrives(i, c));
        let has = |c| self.inputs(i, c, Effect::Additive).next().is_some();
        let pool = match p.activation {
            Activation::Function(f) if f.on_paper(OnPaper::Any) == OnPaper::Positive => Some(all()),
            Activation::Product if has(Compartment::Basal) && has(Compartment::Apical) => {
                let (basal, apical) = (basal?, apical?);
                let cells = basal.cells.iter().zip(&apical.cells).map(|(b, a)| *b && *a).collect();
                Some(Pool { cells, over: both(basal.over, apical.over) })
            }
            Activation::Product | Activation::LINEAR => join(basal, apical),
            Activation::Function(_) => None,
        };
        match p.accumulate {
            Some(AccumulateSpec::Delta { .. }) => None,
            Some(_) => pool.map(|pool| Pool { over: both(pool.over, Some((p.mask, i))), ..pool }),
            None => pool,
        }
    }

    fn inputs(
        &self,
        i: usize,
        compartment: Compartment,
        effect: Effect,
    ) -> impl Iterator<Item = &'c Projection> {
        let all = self.circuit.projections.iter();
        all.filter(move |q| q.to.0 == i && q.compartment == compartment && q.effect == effect)
    }

    /// What reaches a compartment of population `i`.
    fn arrives(&self, i: usize, compartment: Compartment) -> Option<Pool> {
        self.inputs(i, compartment, Effect::Additive).fold(None, |pool, q| join(pool, self.through(q)))
    }

    /// What a projection brings.
    fn through(&self, q: &Projection) -> Option<Pool> {
        let from = self.of[q.from.0].as_ref()?;
        let brings = |c| (0..from.cells.len()).any(|s| from.cells[s] && q.synapses.weight(c, s) != 0.0);
        let cells: Vec<bool> = (0..self.circuit.population(q.to).size()).map(brings).collect();
        let over = match q.index {
            IndexRule::SumContext(mask) => both(from.over, Some((mask, q.from.0))),
            _ => from.over,
        };
        cells.contains(&true).then_some(Pool { cells, over })
    }

    /// Whether the divisor of a cell is above 0 on paper, for a query token; `columns` are those of each population.
    #[must_use]
    pub fn divides(
        &self,
        i: usize,
        compartment: Compartment,
        cell: usize,
        query: usize,
        columns: impl Fn(usize) -> Columns,
    ) -> bool {
        let pooled = self.inputs(i, compartment, Effect::Divisive).filter_map(|q| self.through(q));
        pooled.filter(|pool| pool.cells[cell]).any(|pool| match pool.over {
            None => true,
            Some((mask, summed)) => {
                let contexts = match columns(summed) {
                    Columns::Pairs { contexts, .. } => contexts,
                    other => other.count(),
                };
                !mask.seen(query, contexts).is_empty()
            }
        })
    }
}

fn join(a: Option<Pool>, b: Option<Pool>) -> Option<Pool> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let cells = a.cells.iter().zip(&b.cells).map(|(a, b)| *a || *b).collect();
            Some(Pool { cells, over: either(a.over, b.over) })
        }
        (a, b) => a.or(b),
    }
}

/// The first population whose divisor has underflowed, by what its inputs would come to. `token` is the one that is there, with
/// tokens in time.
pub fn lost(circuit: &Circuit, net: &mut Net<'_>, token: Option<usize>) -> Option<usize> {
    let mut pools = None;
    let place = |population: usize| circuit.order.iter().position(|id| id.0 == population);
    for i in 0..net.cells.len() {
        for at in 0..net.cells[i].membranes.len() {
            let m = &net.cells[i].membranes[at];
            let Some(divisive) = &m.divisive else { continue };
            let (which, mut sums) = (m.which, vec![0.0; divisive.now.len()]);
            let inputs: Vec<usize> = divisive.still.iter().chain(&divisive.moving).copied().collect();
            inputs.iter().for_each(|k| arrive(net, *k, &mut sums));
            let p = &net.cells[i];
            for (k, d) in sums.iter().enumerate().filter(|(_, d)| d.abs() < LOST) {
                let query = token.unwrap_or_else(|| p.columns.locate(k / p.n).0);
                let pools = pools.get_or_insert_with(|| Pools::new(circuit));
                let columns = |population: usize| match token {
                    // As many as have come.
                    Some(token) => Columns::Line(token + 1),
                    None => place(population).map_or(Columns::Once, |at| net.cells[at].columns),
                };
                if !d.is_nan() && pools.divides(circuit.order[i].0, which, k % p.n, query, columns) {
                    return Some(i);
                }
            }
        }
    }
    None
}

/// Adds what a projection would bring if its source had come to rest.
fn arrive(net: &mut Net<'_>, k: usize, to: &mut [f64]) {
    let q = &net.incoming[k];
    let from = q.from;
    let p = &net.cells[from];
    let is_plain = p.memory.is_none()
        && p.of.activation == Activation::LINEAR
        && p.membranes.iter().all(|m| m.divisive.is_none());
    if q.delay.is_some() || q.sum.is_some() || !is_plain || p.membranes.is_empty() {
        let q = &mut net.incoming[k];
        return q.arrival.add(source(&q.delay, &q.sum, &net.rates[from]), to);
    }
    let inputs = p.membranes.iter().flat_map(|m| m.additive.still.iter().chain(&m.additive.moving));
    let inputs: Vec<usize> = inputs.copied().collect();
    let mut rates = vec![0.0; net.rates[from].len()];
    inputs.into_iter().for_each(|k| arrive(net, k, &mut rates));
    finish(net.cells[from].output(), &mut rates, &mut false);
    net.silence(from, &mut rates);
    net.incoming[k].arrival.add(&rates, to);
}

/// Populations on whose numbers a quotient depends, by their place in the order.
pub fn before_quotients(circuit: &Circuit, net: &Net<'_>) -> Vec<bool> {
    let mut before = vec![false; net.cells.len()];
    let mut open: Vec<usize> = Vec::new();
    let sources = |i: usize| {
        let of = move |id: ProjectionId| circuit.projection(id).to == circuit.order[i];
        net.incoming.iter().filter(move |q| of(q.id)).map(|q| q.from)
    };
    for (i, p) in net.cells.iter().enumerate() {
        if p.membranes.iter().any(|m| m.divisive.is_some()) {
            open.extend(sources(i));
        }
    }
    while let Some(i) = open.pop() {
        if !std::mem::replace(&mut before[i], true) {
            open.extend(sources(i));
        }
    }
    before
}
