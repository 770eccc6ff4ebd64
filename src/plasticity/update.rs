//! A rule at work: every synapse of a projection sees its own numbers, token after token, and the matrix takes the sum.

use super::adjoint::{is_free, sent_slope};
use super::local::{Local, Rule};
use super::memory::{self, readers};
use super::plan::{Cells, Plan, slot};
use super::rules::With;
use super::third::signal;
use super::work::{Numbers, Work};
use crate::circuit::{AxisMap, Compartment, Weights};
use crate::spec::{AccumulateSpec, ActivationSpec, Effect};
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
    /// one for each cell: what it does not have
    zeros: Vec<f64>,
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
            zeros: vec![0.0; target.n],
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

/// Numbers of the cells of one column, of the same length; what a population does not have is zero.
#[derive(Clone, Copy)]
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
        Local {
            basal: self.basal[c],
            apical: self.apical[c],
            third: self.third[c],
            rate: self.rate[c],
            slope: self.slope[c],
            ..Local::default()
        }
    }
}

/// Column `t` of as many numbers as `zeros`, or `zeros`. Its length is that of `zeros` for the compiler, too.
#[inline(always)]
fn cut<'a>(x: &'a [f64], t: usize, zeros: &'a [f64]) -> &'a [f64] {
    let n = zeros.len();
    x.get(t * n..).and_then(|x| x.get(..n)).unwrap_or(zeros)
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
            feedback(rule, own, &synaptic.zeros, way.targets, arrives, sums);
        } else if let Some(memory) = target.of.accumulate {
            slopes(target, own, p.compartment, Effect::Additive, &mut synaptic.slopes);
            let kept = Kept { memory, compartment: p.compartment, carry: work.carry };
            let Synaptic { slopes, traces, zeros, .. } = synaptic;
            remember(rule, target, own, kept, arrives, sums, (slopes, zeros), traces);
        } else {
            slopes(target, own, p.compartment, p.effect, &mut synaptic.slopes);
            let (zeros, n) = (&synaptic.zeros[..target.n], target.n);
            let mut sums = sums;
            for t in 0..way.targets {
                let third = cut(&own.third, t, zeros);
                if R::NEEDS_ERROR && third.iter().all(|x| *x == 0.0) {
                    continue;
                }
                let Some(pre) = arrives(t) else { continue };
                let [basal, apical, _] = &own.potential;
                let column = Column {
                    basal: cut(basal, t, zeros),
                    apical: cut(apical, t, zeros),
                    third,
                    rate: cut(&own.rates, t, zeros),
                    slope: cut(&synaptic.slopes, t, zeros),
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
                for (c, (w, sum)) in w[..n].iter().zip(&mut sum[..n]).enumerate() {
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
    own: &Numbers,
    zeros: &[f64],
    targets: usize,
    arrives: impl Fn(usize) -> Option<&'a [f64]>,
    mut sums: Sums<'_>,
) {
    let n = zeros.len();
    for t in 0..targets {
        let Some(pre) = arrives(t) else { continue };
        if pre.iter().all(|x| *x == 0.0) {
            continue;
        }
        let [basal, apical, _] = &own.potential;
        // A memory with a full mask sends one state to all queries.
        let sent = if own.rates.len() == n { 0 } else { t };
        let column = Column {
            basal: cut(basal, t, zeros),
            apical: cut(apical, t, zeros),
            third: cut(&own.third, t, zeros),
            rate: cut(&own.rates, sent, zeros),
            slope: zeros,
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
    (slopes, zeros): (&[f64], &[f64]),
    traces: &mut [f64],
) {
    let (n, tokens) = (target.n, target.columns.count());
    if !kept.carry {
        traces.fill(0.0);
    }
    let [basal, apical, gate] = &own.potential;
    let gate_synapse = kept.compartment == Compartment::Gate;
    let column = |j: usize| Column {
        basal: cut(basal, j, zeros),
        apical: cut(apical, j, zeros),
        third: zeros,
        rate: if gate_synapse { cut(gate, j, zeros) } else { cut(&own.writes, j, zeros) },
        slope: cut(slopes, j, zeros),
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
            let third = cut(&own.third, i, zeros);
            if third.iter().all(|x| *x == 0.0) {
                continue;
            }
            let nothing = Column { basal: zeros, apical: zeros, third: zeros, rate: zeros, slope: zeros };
            let column = after.checked_sub(1).map_or(nothing, column);
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
    let [basal, apical, _] = &own.potential;
    let (at, n) = (slot(compartment), out.len());
    let has_both = !basal.is_empty() && !apical.is_empty();
    match (compartment, cells.of.activation) {
        // The state before this token is what a gate scales.
        (Compartment::Gate, _) => out.copy_from_slice(&own.states[..n]),
        (_, ActivationSpec::Product) if has_both => {
            out.copy_from_slice(&own.potential[1 - at.min(1)][..n]);
        }
        (_, ActivationSpec::Product | ActivationSpec::Linear) => out.fill(1.0),
        (_, activation) => {
            for (k, out) in out.iter_mut().enumerate() {
                *out = memory::slopes(activation, basal.get(k).copied(), apical.get(k).copied())[at.min(1)];
            }
        }
    }
    match cells.of.accumulate {
        Some(AccumulateSpec::Hebbian { rate } | AccumulateSpec::Decay { rate, .. }) => {
            out.iter_mut().for_each(|out| *out *= rate);
        }
        Some(_) => {}
        None if is_free(cells) => {}
        None => out.iter_mut().zip(&own.rates).for_each(|(out, rate)| *out *= sent_slope(cells, *rate)),
    }
    if at < 2 {
        let by_and_of = own.divisor[at].iter().zip(&own.potential[at]);
        for (out, (by, of)) in out.iter_mut().zip(by_and_of) {
            let share = if *by == 0.0 { 0.0 } else { 1.0 / by };
            *out *= if effect == Effect::Divisive { -share * of } else { share };
        }
    }
}
