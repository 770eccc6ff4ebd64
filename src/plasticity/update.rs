//! A rule at work: every synapse of a projection sees its own numbers, token after token, and the matrix takes the sum.

use super::local::{Local, Rule};
use super::memory::readers;
use super::plan::{Cells, Plan};
use super::rules::With;
use super::third::{divided, signal, slope};
use super::work::{Numbers, Work};
use crate::circuit::{AxisMap, Compartment, Weights};
use crate::spec::{AccumulateSpec, Effect};
use nalgebra::DMatrix;

/// Room for the sums and traces of one projection that learns.
#[derive(Clone, Debug)]
pub struct Synaptic {
    /// number of the projection
    pub k: usize,
    /// sum of changes, shaped like the matrix
    pub change: DMatrix<f64>,
    /// on memory cells: one trace for each synapse of each cell, `[cells, columns of the matrix]`
    pub traces: Vec<f64>,
    /// derivatives by the current, one for each cell and column
    slopes: Vec<f64>,
}

impl Synaptic {
    /// Room for projection `k`.
    pub fn new(plan: &Plan<'_>, k: usize, weights: &Weights) -> Self {
        let target = &plan.cells[plan.circuit.projections[k].to.0];
        let traces = if target.of.accumulate.is_some() { target.n * weights.columns() } else { 0 };
        Self {
            k,
            change: DMatrix::zeros(weights.rows(), weights.columns()),
            traces: vec![0.0; traces],
            slopes: vec![0.0; target.n * target.columns.count()],
        }
    }
}

/// Adds what one sequence changes in one projection; forward pass and errors come first.
pub struct Learn<'w, 'p, 'c> {
    pub plan: &'p Plan<'c>,
    pub weights: &'w [Weights],
    pub work: &'w mut Work,
    pub synaptic: &'w mut Synaptic,
}

/// Numbers of the cells of one column; what a population does not have is empty.
#[derive(Clone, Copy, Default)]
struct Column<'a> {
    basal: &'a [f64],
    apical: &'a [f64],
    third: &'a [f64],
    rate: &'a [f64],
    slope: &'a [f64],
}

impl Column<'_> {
    /// What cell `c` knows of itself.
    #[inline(always)]
    fn cell(&self, c: usize) -> Local {
        let of = |x: &[f64]| x.get(c).copied().unwrap_or(0.0);
        Local {
            basal: of(self.basal),
            apical: of(self.apical),
            third: of(self.third),
            rate: of(self.rate),
            slope: of(self.slope),
            ..Local::default()
        }
    }
}

/// Column `t` of `n` numbers, or nothing.
fn cut(x: &[f64], t: usize, n: usize) -> &[f64] {
    x.get(t * n..(t + 1) * n).unwrap_or(&[])
}

impl With for Learn<'_, '_, '_> {
    type Out = ();

    fn with<R: Rule>(self, rule: &R) {
        let Self { plan, weights, work, synaptic } = self;
        let k = synaptic.k;
        let p = &plan.circuit.projections[k];
        let (way, target) = (&plan.ways[k], &plan.cells[p.to.0]);
        let Weights::Dense(w) = &weights[k] else { return };
        let columns = w.ncols();
        let mut room = std::mem::take(&mut work.room);
        let mut carried = std::mem::take(&mut work.signal);
        let is_feedback = p.compartment == Compartment::Third;
        if is_feedback {
            signal(plan, k, work, &mut carried);
        }
        let own = &work.of[p.to.0];
        let x = if is_feedback { &carried[..way.n_from * way.sources] } else { &work.of[p.from.0].rates };
        let pre = way.arriving(x, way.middle(), columns, &mut room.gathered, &mut room.pooled);
        let arrives = |t: usize| way.column_of(t).map(|s| &pre[s * columns..(s + 1) * columns]);
        let sums = Sums { w, map: way.onto, change: &mut synaptic.change };
        if is_feedback {
            feedback(rule, target, own, way.targets, arrives, sums);
        } else if let Some(memory) = target.of.accumulate {
            slopes(target, own, p.compartment, Effect::Additive, &mut synaptic.slopes);
            let kept = Kept { memory, compartment: p.compartment, carry: work.carry };
            remember(rule, target, own, kept, arrives, sums, &synaptic.slopes, &mut synaptic.traces);
        } else {
            slopes(target, own, p.compartment, p.effect, &mut synaptic.slopes);
            let n = target.n;
            let mut sums = sums;
            for t in 0..way.targets {
                let third = cut(&own.third, t, n);
                if R::NEEDS_ERROR && third.iter().all(|x| *x == 0.0) {
                    continue;
                }
                let Some(pre) = arrives(t) else { continue };
                let [basal, apical, _] = &own.potential;
                let column = Column {
                    basal: cut(basal, t, n),
                    apical: cut(apical, t, n),
                    third,
                    rate: cut(&own.rates, t, n),
                    slope: cut(&synaptic.slopes, t, n),
                };
                sums.add(pre, n, |c, pre, weight| rule.change(&Local { pre, weight, ..column.cell(c) }));
            }
        }
        work.room = room;
        work.signal = carried;
    }
}

/// The matrix and the sum of its changes.
struct Sums<'a> {
    w: &'a DMatrix<f64>,
    map: AxisMap,
    change: &'a mut DMatrix<f64>,
}

impl Sums<'_> {
    /// Every synapse of `n` cells, shared ones summed: `change(cell, pre, weight)`.
    #[inline(always)]
    fn add(&mut self, pre: &[f64], n: usize, change: impl Fn(usize, f64, f64) -> f64) {
        let rows = self.w.nrows();
        let columns =
            self.w.as_slice().chunks_exact(rows).zip(self.change.as_mut_slice().chunks_exact_mut(rows));
        for ((w, sum), pre) in columns.zip(pre) {
            if self.map == AxisMap::All {
                for (c, (w, sum)) in w.iter().zip(sum).enumerate() {
                    *sum += change(c, *pre, *w);
                }
            } else {
                for c in 0..n {
                    let row = self.map.of(c);
                    sum[row] += change(c, *pre, w[row]);
                }
            }
        }
    }
}

/// Synapses on third compartments.
fn feedback<'a, R: Rule>(
    rule: &R,
    target: &Cells<'_>,
    own: &Numbers,
    targets: usize,
    arrives: impl Fn(usize) -> Option<&'a [f64]>,
    mut sums: Sums<'_>,
) {
    let n = target.n;
    for t in 0..targets {
        let Some(pre) = arrives(t) else { continue };
        if pre.iter().all(|x| *x == 0.0) {
            continue;
        }
        let [basal, apical, _] = &own.potential;
        // A memory with a full mask sends one state to all queries.
        let sent = if own.rates.len() == n { 0 } else { t };
        let column = Column {
            basal: cut(basal, t, n),
            apical: cut(apical, t, n),
            third: cut(&own.third, t, n),
            rate: cut(&own.rates, sent, n),
            slope: &[],
        };
        sums.add(pre, n, |c, pre, weight| rule.feedback(&Local { pre, weight, ..column.cell(c) }));
    }
}

/// What synapses on a memory need to know of its rule.
#[derive(Clone, Copy)]
struct Kept {
    memory: AccumulateSpec,
    compartment: Compartment,
    carry: bool,
}

/// Synapses on memory cells: a change and a trace at every token, and a change at every query.
#[allow(clippy::too_many_arguments)]
fn remember<'a, R: Rule>(
    rule: &R,
    target: &Cells<'_>,
    own: &Numbers,
    kept: Kept,
    arrives: impl Fn(usize) -> Option<&'a [f64]>,
    mut sums: Sums<'_>,
    slopes: &[f64],
    traces: &mut [f64],
) {
    let (n, tokens) = (target.n, target.columns.count());
    if !kept.carry {
        traces.fill(0.0);
    }
    let [basal, apical, gate] = &own.potential;
    let gate_synapse = kept.compartment == Compartment::Gate;
    let column = |j: usize| Column {
        basal: cut(basal, j, n),
        apical: cut(apical, j, n),
        third: &[],
        rate: if gate_synapse { cut(gate, j, n) } else { cut(&own.writes, j, n) },
        slope: cut(slopes, j, n),
    };
    for after in 0..=tokens {
        if let Some(j) = after.checked_sub(1)
            && let Some(pre) = arrives(j)
        {
            let column = column(j);
            let keep = |c: usize| match kept.memory {
                AccumulateSpec::Decay { g, .. } => g,
                AccumulateSpec::Gated {} => gate[j * n + c],
                AccumulateSpec::Hebbian { .. } | AccumulateSpec::Delta { .. } => 1.0,
            };
            let local = |c: usize, pre: f64, weight: f64, trace: f64| Local {
                pre,
                weight,
                trace,
                keep: keep(c),
                ..column.cell(c)
            };
            let map = sums.map;
            let w = sums.w;
            for (b, (trace, pre)) in traces.chunks_exact_mut(n).zip(pre).enumerate() {
                for (c, e) in trace.iter_mut().enumerate() {
                    *e = rule.trace(&local(c, *pre, w[(map.of(c), b)], *e));
                }
            }
            if !R::NEEDS_ERROR {
                sums.add(pre, n, |c, pre, weight| rule.change(&local(c, pre, weight, 0.0)));
            }
        }
        let queries = own.third.len() / n.max(1);
        for i in readers(target, after, queries) {
            let third = cut(&own.third, i, n);
            if third.iter().all(|x| *x == 0.0) {
                continue;
            }
            let column = after.checked_sub(1).map_or(Column::default(), column);
            let Sums { w, map, change } = &mut sums;
            let rows = w.nrows();
            for (b, trace) in traces.chunks_exact(n).enumerate() {
                for (c, (e, third)) in trace.iter().zip(third).enumerate() {
                    let row = map.of(c);
                    let s = Local { weight: w[(row, b)], trace: *e, third: *third, ..column.cell(c) };
                    change.as_mut_slice()[b * rows + row] += rule.recalled(&s);
                }
            }
        }
    }
}

/// Derivative of each cell's rate (of a memory cell: of its new state) by a current into a compartment, through that
/// compartment's division.
fn slopes(cells: &Cells<'_>, own: &Numbers, compartment: Compartment, effect: Effect, out: &mut [f64]) {
    let Some(memory) = cells.of.accumulate else { return slope(cells, own, compartment, effect, out) };
    let [basal, apical, _] = &own.potential;
    for (k, out) in out.iter_mut().enumerate() {
        let [by_basal, by_apical] = cells.of.activation.slopes(basal.get(k).copied(), apical.get(k).copied());
        *out = match compartment {
            // The state before this token is what a gate scales.
            Compartment::Gate => own.states[k],
            Compartment::Apical => by_apical,
            _ => by_basal,
        };
        if let AccumulateSpec::Hebbian { rate } | AccumulateSpec::Decay { rate, .. } = memory {
            *out *= rate;
        }
        *out *= divided(own, compartment, effect, k);
    }
}
