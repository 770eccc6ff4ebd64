//! Some sequences of a batch, one after another on one thread, and the sum of what they change.

use super::prepare::{Plastic, is_transposed, root};
use super::sequences::Sequences;
use super::update::{Learn, Synaptic};
use super::work::{Wild, Work};
use super::{Plan, adjoint, forward, rules, third};
use crate::attention::Streams;
use crate::circuit::{Circuit, Weights};
use crate::linalg::count;
use crate::spec::{CountedSpec, LossSpec};
use nalgebra::DMatrix;

/// What is asked of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Evaluate,
    /// changes by local rules
    Local,
    /// the exact gradient
    Gradient,
    Both,
}

/// Room for sequences that run one after another.
pub struct Group {
    work: Work,
    pub tokens: Streams,
    /// with updates at every token: the whole sequence
    pub whole: Streams,
    synaptic: Vec<Synaptic>,
    /// descent of the gradient, by projection, where it is asked for
    d_w: Vec<Option<DMatrix<f64>>>,
    learning: Vec<usize>,
    output: DMatrix<f64>,
    pub loss: f64,
    squared: f64,
    right: Option<(usize, usize)>,
}

impl Group {
    /// Room for sequences of the shapes of `tokens`.
    pub fn new(plan: &Plan<'_>, tokens: Streams, plastic: &[Plastic], weights: &[Weights]) -> Self {
        let work = Work::new(plan);
        let mut d_w = vec![None; weights.len()];
        for p in plastic {
            d_w[p.k] = Some(DMatrix::zeros(weights[p.k].rows(), weights[p.k].columns()));
        }
        for (k, p) in plan.circuit.projections.iter().enumerate() {
            // A tied use of a learning matrix counts too.
            if let Some(root) = root(plan.circuit, k)
                && d_w[root].is_some()
                && p.compartment != crate::circuit::Compartment::Third
            {
                d_w[k] = Some(DMatrix::zeros(weights[k].rows(), weights[k].columns()));
            }
        }
        let output = work.d_output.clone();
        Self {
            work,
            tokens,
            whole: Streams::new(),
            synaptic: plastic.iter().map(|p| Synaptic::new(plan, p.k, &weights[p.k])).collect(),
            d_w,
            learning: plastic.iter().map(|p| p.k).collect(),
            output,
            loss: 0.0,
            squared: 0.0,
            right: None,
        }
    }

    /// Forgets the sums.
    pub fn clear(&mut self) {
        self.synaptic.iter_mut().for_each(|s| s.change.fill(0.0));
        self.d_w.iter_mut().flatten().for_each(|d| d.fill(0.0));
        (self.loss, self.squared, self.right) = (0.0, 0.0, None);
    }

    /// Sum of the changes of the `n`-th learning projection; of `Gradient`, its descent.
    pub fn changes(&self, n: usize, kind: Kind) -> &DMatrix<f64> {
        match kind {
            Kind::Gradient => self.d_w[self.learning[n]].as_ref().unwrap_or(&self.synaptic[n].change),
            _ => &self.synaptic[n].change,
        }
    }

    /// One whole sequence, whose tokens are in [`Group::tokens`].
    pub fn sequence(
        &mut self,
        plan: &Plan<'_>,
        weights: &[Weights],
        plastic: &[Plastic],
        task: &dyn Sequences,
        loss: LossSpec,
        kind: Kind,
    ) -> Result<(), Wild> {
        let tokens = self.work.counted.len();
        for (i, counted) in self.work.counted.iter_mut().enumerate() {
            *counted = loss.on == CountedSpec::All || i + 1 == tokens;
        }
        self.run(plan, weights, plastic, task, kind)
    }

    /// Takes token `t` of `n` out of the whole sequence.
    pub fn token(&mut self, t: usize, n: usize, loss: LossSpec) {
        for (name, x) in &self.whole {
            if let Some(one) = self.tokens.get_mut(name) {
                one.column_mut(0).copy_from(&x.column(t.min(x.ncols() - 1)));
            }
        }
        self.work.carry = t > 0;
        self.work.counted.fill(loss.on == CountedSpec::All || t + 1 == n);
    }

    /// The tokens as they are: forward pass, loss, and what `kind` asks for.
    pub fn run(
        &mut self,
        plan: &Plan<'_>,
        weights: &[Weights],
        plastic: &[Plastic],
        task: &dyn Sequences,
        kind: Kind,
    ) -> Result<(), Wild> {
        forward(plan, weights, &self.tokens, &mut self.work)?;
        self.work.output(plan, &mut self.output);
        let Some(target) = self.tokens.get(task.target()) else { return Ok(()) };
        let mut loss = 0.0;
        let d_output = &mut self.work.d_output;
        for (i, counted) in self.work.counted.iter().enumerate() {
            for (a, d) in d_output.column_mut(i).iter_mut().enumerate() {
                *d = if *counted { self.output[(a, i)] - target[(a, i)] } else { 0.0 };
                loss += 0.5 * *d * *d;
            }
        }
        self.loss += loss;
        self.squared += loss * loss;
        if kind == Kind::Evaluate
            && let Some((right, asked)) = task.right(&self.output, target, &self.work.counted)
        {
            let (r, a) = self.right.unwrap_or((0, 0));
            self.right = Some((r + right, a + asked));
        }
        if matches!(kind, Kind::Gradient | Kind::Both) {
            // Descent: the loss falls along what is added.
            self.work.d_output.neg_mut();
            adjoint::backward(plan, weights, &mut self.work, &mut self.d_w)?;
            join_ties(plan.circuit, &mut self.d_w);
            let tied = |k: &usize| root(plan.circuit, *k).is_some();
            (0..self.d_w.len()).filter(tied).for_each(|k| self.d_w[k].iter_mut().for_each(|d| d.fill(0.0)));
        }
        if matches!(kind, Kind::Local | Kind::Both) {
            third::errors(plan, weights, &mut self.work);
            for (p, synaptic) in plastic.iter().zip(&mut self.synaptic) {
                rules::with(&p.spec, Learn { plan, weights, work: &mut self.work, synaptic });
            }
        }
        Ok(())
    }
}

/// Adds the derivatives of tied uses to those of the matrix that they follow.
pub fn join_ties(circuit: &Circuit, d_w: &mut [Option<DMatrix<f64>>]) {
    for k in 0..d_w.len() {
        let Some(root) = root(circuit, k) else { continue };
        let Some(own) = d_w[k].take() else { continue };
        if let Some(of) = &mut d_w[root] {
            if is_transposed(circuit, k) {
                for (i, row) in own.row_iter().enumerate() {
                    of.column_mut(i).iter_mut().zip(row.iter()).for_each(|(o, x)| *o += x);
                }
            } else {
                *of += &own;
            }
        }
        d_w[k] = Some(own);
    }
}

/// Mean loss, its standard error and the share of right answers of `sequences` sequences.
pub fn merge(groups: &[Group], sequences: usize) -> super::evaluate::Evaluated {
    let n = count(sequences.max(1));
    let loss = groups.iter().map(|g| g.loss).sum::<f64>() / n;
    let squared = groups.iter().map(|g| g.squared).sum::<f64>() / n;
    let variance = (squared - loss * loss).max(0.0) * n / (n - 1.0).max(1.0);
    let (right, asked) =
        groups.iter().filter_map(|g| g.right).fold((0, 0), |(r, a), (right, asked)| (r + right, a + asked));
    super::evaluate::Evaluated {
        loss,
        standard_error: (variance / n).sqrt(),
        sequences,
        accuracy: (asked > 0).then(|| count(right) / count(asked)),
    }
}
