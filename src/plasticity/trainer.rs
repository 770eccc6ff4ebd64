//! The loop of learning: sequences of a task, changes of every rule, steps.
//!
//! A step takes `batch` sequences, each with the same weights, averages their changes, lets the optimiser make a step of
//! the mean and applies it by the rule. Sequences run in parallel in groups of fixed size whose sums are added in
//! order: the bytes do not depend on the number of threads. Room is made before the first step and used again; a step
//! takes a list of results, large products their panels, and a task with a teacher what its forward pass needs.

use super::group::{Group, Kind};
use super::optimise::State;
use super::plan::Plan;
use super::prepare::{Plastic, Prepared, is_transposed, root};
use super::rules::{self, With};
use super::sequences::{Sequences, Split};
use super::work::Wild;
use crate::circuit::{Circuit, Weights};
use crate::diag::Diagnostic;
use crate::linalg::count;
use crate::spec::{LossSpec, RouteSpec, TrainSpec, UpdateSpec};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Most groups that the sequences of a batch are split into.
pub(super) const GROUPS: usize = 16;

/// Why training cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// a number of the forward pass became infinite, or something was divided by zero
    Cells { step: usize, wild: Wild },
    /// every rate is finite, but their squared errors are not
    Loss { step: usize },
    /// a sequence could not be made
    Task { step: usize, why: Box<Diagnostic> },
    /// a weight became infinite or no number
    Weights { step: usize, projection: String },
}

/// What a step gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stepped {
    /// mean loss of the batch, before the step
    pub loss: f64,
}

/// A circuit that learns.
pub struct Trainer<'c> {
    pub(super) plan: Plan<'c>,
    /// for updates at every token: the same circuit laid out for one
    token_plan: Option<Plan<'c>>,
    pub(super) task: &'c dyn Sequences,
    pub(super) loss: LossSpec,
    train: TrainSpec,
    gradient: bool,
    pub(super) plastic: Vec<Plastic>,
    pub(super) weights: Vec<Weights>,
    pub(super) states: Vec<State>,
    pub(super) step: usize,
    pub(super) last_loss: Option<f64>,
    pub(super) groups: Vec<Group>,
    /// mean changes of the last step, one for each projection that learns
    pub(super) changes: Vec<DMatrix<f64>>,
}

impl<'c> Trainer<'c> {
    /// A trainer before its first step.
    ///
    /// # Errors
    /// As [`Plan::new`]; `C063` for updates at every token of circuits that need more than one token at a time.
    pub fn new(
        prepared: &'c Prepared,
        task: &'c dyn Sequences,
        loss: LossSpec,
        train: TrainSpec,
    ) -> Result<Self, Diagnostic> {
        let circuit = &prepared.circuit;
        let sample = task.sample();
        let plan = Plan::new(circuit, &sample)?;
        let token_plan = match train.update {
            UpdateSpec::Sequence => None,
            UpdateSpec::Token => Some(super::token::plan(circuit, &sample, prepared.gradient)?),
        };
        let weights: Vec<Weights> = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
        let plastic = prepared.plastic.clone();
        let shape = |p: &Plastic| (weights[p.k].rows(), weights[p.k].columns());
        let states = plastic.iter().map(|p| State::new(train.optimiser, shape(p).0, shape(p).1)).collect();
        let changes = plastic.iter().map(|p| DMatrix::zeros(shape(p).0, shape(p).1)).collect();
        let groups = match &token_plan {
            Some(one) => {
                let mut group = Group::new(one, super::token::one(&sample), &plastic, &weights);
                group.whole = sample;
                vec![group]
            }
            None => {
                let group = || Group::new(&plan, sample.clone(), &plastic, &weights);
                (0..train.batch.clamp(1, GROUPS)).map(|_| group()).collect()
            }
        };
        Ok(Self {
            plan,
            token_plan,
            task,
            loss,
            train,
            gradient: prepared.gradient,
            plastic,
            weights,
            states,
            step: 0,
            last_loss: None,
            groups,
            changes,
        })
    }

    /// Steps done so far.
    #[must_use]
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Mean loss of the last batch; none before the first step.
    #[must_use]
    pub fn last_loss(&self) -> Option<f64> {
        self.last_loss
    }

    /// The circuit, for as long as it lives.
    pub(super) fn plan_circuit(&self) -> &'c Circuit {
        self.plan.circuit
    }

    /// One matrix for each projection of the circuit, ties included.
    #[must_use]
    pub fn weights(&self) -> &[Weights] {
        &self.weights
    }

    /// The learning projection that holds the largest weight, and that weight. With diverging numbers it is the one at
    /// fault, as far as a number can say.
    #[must_use]
    pub fn largest_weight(&self) -> Option<(&str, f64)> {
        let largest = |p: &Plastic| {
            let w = self.weights[p.k].dense();
            let x = w.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
            Some((self.plan.circuit.projections[p.k].name.as_str(), x))
        };
        self.plastic.iter().filter_map(largest).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
    }

    #[must_use]
    pub fn circuit(&self) -> &Circuit {
        self.plan.circuit
    }

    /// What learns, by number of the projection.
    #[must_use]
    pub fn plastic(&self) -> &[Plastic] {
        &self.plastic
    }

    /// `gradient`, or none where each projection follows its own rule.
    #[must_use]
    pub fn route(&self) -> Option<RouteSpec> {
        self.gradient.then_some(RouteSpec::Gradient)
    }

    /// One step.
    ///
    /// # Errors
    /// Where and when a number went wild; some of the weights may have made the step already.
    pub fn step(&mut self) -> Result<Stepped, Stop> {
        if self.token_plan.is_some() {
            return self.step_by_tokens();
        }
        let kind = if self.gradient { Kind::Gradient } else { Kind::Local };
        let first = count_u64(self.step) * count_u64(self.train.batch);
        let loss = self.gather(kind, Split::Train, first, self.train.batch)? / count(self.train.batch);
        if !loss.is_finite() {
            return Err(Stop::Loss { step: self.step });
        }
        let scale = 1.0 / count(self.train.batch);
        for (n, change) in self.changes.iter_mut().enumerate() {
            change.fill(0.0);
            for group in &self.groups {
                *change += group.changes(n, kind);
            }
            *change *= scale;
        }
        self.apply(self.step + 1)?;
        self.step += 1;
        self.last_loss = Some(loss);
        Ok(Stepped { loss })
    }

    /// Runs `sequences` sequences through the groups; returns the sum of their losses.
    pub(super) fn gather(
        &mut self,
        kind: Kind,
        split: Split,
        first: u64,
        sequences: usize,
    ) -> Result<f64, Stop> {
        let (plan, task, weights, plastic, loss) =
            (&self.plan, self.task, &self.weights, &self.plastic, self.loss);
        let groups = self.groups.len();
        let step = self.step;
        let results: Vec<Result<(), Stop>> = self
            .groups
            .par_iter_mut()
            .enumerate()
            .map(|(g, group)| {
                group.clear();
                let (from, to) = (g * sequences / groups, (g + 1) * sequences / groups);
                (from..to).try_for_each(|s| {
                    task.fill(split, first + count_u64(s), &mut group.tokens)
                        .map_err(|why| Stop::Task { step, why: Box::new(why) })?;
                    group
                        .sequence(plan, weights, plastic, task, loss, kind)
                        .map_err(|wild| Stop::Cells { step, wild })
                })
            })
            .collect();
        results.into_iter().collect::<Result<Vec<()>, Stop>>()?;
        Ok(self.groups.iter().map(|g| g.loss).sum())
    }

    /// Step number `t` of the optimiser, from 1, made of the mean changes and applied by each rule; ties follow.
    fn apply(&mut self, t: usize) -> Result<(), Stop> {
        let factor = self.train.schedule.factor(self.step, self.train.steps);
        for (n, plastic) in self.plastic.iter().enumerate() {
            let change = &mut self.changes[n];
            self.states[n].step(self.train.optimiser, factor * plastic.spec.rate, t, change);
            let Weights::Dense(w) = &mut self.weights[plastic.k] else { continue };
            if change.iter().any(|x| !x.is_finite()) {
                let projection = self.plan.circuit.projections[plastic.k].name.clone();
                return Err(Stop::Weights { step: self.step, projection });
            }
            if self.gradient {
                *w += &*change;
            } else {
                rules::with(&plastic.spec, Apply { w, step: change });
            }
            if w.iter().any(|x| !x.is_finite()) {
                let projection = self.plan.circuit.projections[plastic.k].name.clone();
                return Err(Stop::Weights { step: self.step, projection });
            }
        }
        follow(self.plan.circuit, &mut self.weights);
        Ok(())
    }

    /// A step with an update after every token of every sequence, one after another.
    fn step_by_tokens(&mut self) -> Result<Stepped, Stop> {
        let first = count_u64(self.step) * count_u64(self.train.batch);
        let (mut total, start) = (0.0, self.step);
        for s in 0..self.train.batch {
            self.task
                .fill(Split::Train, first + count_u64(s), &mut self.groups[0].whole)
                .map_err(|why| Stop::Task { step: start, why: Box::new(why) })?;
            let tokens = self.plan.queries;
            for t in 0..tokens {
                let Some(plan) = &self.token_plan else { break };
                let group = &mut self.groups[0];
                group.clear();
                group.token(t, tokens, self.loss);
                group
                    .run(plan, &self.weights, &self.plastic, self.task, Kind::Local)
                    .map_err(|wild| Stop::Cells { step: start, wild })?;
                total += group.loss;
                for (n, change) in self.changes.iter_mut().enumerate() {
                    change.copy_from(group.changes(n, Kind::Local));
                }
                if !total.is_finite() {
                    return Err(Stop::Loss { step: start });
                }
                // Each token is a step of the optimiser.
                let before = (start * self.train.batch + s).saturating_mul(tokens);
                self.apply(before + t + 1)?;
            }
        }
        let loss = total / count(self.train.batch);
        self.step = start + 1;
        self.last_loss = Some(loss);
        Ok(Stepped { loss })
    }
}

/// Weights that are another projection's follow it.
pub fn follow(circuit: &Circuit, weights: &mut [Weights]) {
    for (k, p) in circuit.projections.iter().enumerate() {
        if p.tie.is_none() {
            continue;
        }
        let Some(root) = root(circuit, k) else { continue };
        let transposed = is_transposed(circuit, k);
        let [own, of] = {
            let (a, b) = weights.split_at_mut(root.max(k));
            if k < root { [&mut a[k], &mut b[0]] } else { [&mut b[0], &mut a[root]] }
        };
        match (own, of) {
            (Weights::Dense(own), Weights::Dense(of)) if transposed => of.transpose_to(own),
            (Weights::Dense(own), Weights::Dense(of)) => own.copy_from(of),
            (own, of @ Weights::Dense(_)) => *own = if transposed { of.transposed() } else { of.clone() },
            // What is not written out does not learn.
            _ => {}
        }
    }
}

pub(super) fn count_u64(n: usize) -> u64 {
    n as u64
}

/// Adds a step to a matrix, by the rule.
struct Apply<'a> {
    w: &'a mut DMatrix<f64>,
    step: &'a DMatrix<f64>,
}

impl With for Apply<'_> {
    type Out = ();

    fn with<R: super::Rule>(self, rule: &R) {
        self.w.iter_mut().zip(self.step).for_each(|(w, s)| *w = rule.applied(*w, *s));
    }
}
