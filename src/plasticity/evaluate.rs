//! Measuring while learning: the loss on held-out sequences, and how far a rule is from the exact gradient.

use super::group::{Group, Kind, merge};
use super::sequences::Split;
use super::trainer::{GROUPS, Stop, Trainer, count_u64};
use crate::circuit::{Circuit, Compartment};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// What an evaluation gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// mean over sequences of half the squared error, summed over the counted tokens
    pub loss: f64,
    /// standard error of that mean
    pub standard_error: f64,
    pub sequences: usize,
    /// fraction of right answers, where the task has right answers
    pub accuracy: Option<f64>,
}

/// What a rule changes in one projection, beside the exact gradient; shaped like its matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    pub rule: DMatrix<f64>,
    /// what is added to descend
    pub descent: DMatrix<f64>,
}

impl Trainer<'_> {
    /// Loss on held-out sequences; the weights do not change.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn evaluate(&self, sequences: usize) -> Result<Evaluated, Stop> {
        Ok(self.evaluate_unless(sequences, &|| false)?.unwrap_or_default())
    }

    /// As [`Trainer::evaluate`]; none as soon as `asked` says that nobody waits for it any more.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn evaluate_unless(
        &self,
        sequences: usize,
        asked: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Evaluated>, Stop> {
        let most = self.held_out(sequences);
        let mut groups = self.evaluation_groups();
        let (plan, task, weights, loss) = (&self.plan, self.task, &self.weights, self.loss);
        let (n, step) = (groups.len(), self.step);
        let results: Vec<Result<bool, Stop>> = groups
            .par_iter_mut()
            .enumerate()
            .map(|(g, group)| {
                for s in g * most / n..(g + 1) * most / n {
                    if asked() {
                        return Ok(false);
                    }
                    task.fill(Split::HeldOut, count_u64(s), &mut group.tokens)
                        .map_err(|why| Stop::Task { step, why: Box::new(why) })?;
                    group
                        .sequence(plan, weights, &[], task, loss, Kind::Evaluate)
                        .map_err(|wild| Stop::Cells { step, wild })?;
                }
                Ok(true)
            })
            .collect();
        let whole = results.into_iter().collect::<Result<Vec<bool>, Stop>>()?;
        if whole.contains(&false) {
            return Ok(None);
        }
        let evaluated = merge(&groups, most);
        if evaluated.loss.is_finite() { Ok(Some(evaluated)) } else { Err(Stop::Loss { step }) }
    }

    /// Sequences that an evaluation on `sequences` takes: no more than there are.
    #[must_use]
    pub fn held_out(&self, sequences: usize) -> usize {
        let all = self.task.size(Split::HeldOut);
        all.map_or(sequences, |n| usize::try_from(n).unwrap_or(usize::MAX).min(sequences))
    }

    fn evaluation_groups(&self) -> Vec<Group> {
        let sample = self.task.sample();
        (0..GROUPS).map(|_| Group::new(&self.plan, sample.clone(), &[], &self.weights)).collect()
    }

    /// For each projection that learns: what its rule changes, and the descent of the exact gradient, summed over
    /// `sequences` training sequences from number `first` on, the weights standing still. A projection into a third
    /// compartment has no gradient: there the descent is 0.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn changes(&mut self, first: u64, sequences: usize) -> Result<Vec<Changes>, Stop> {
        let mut groups: Vec<Group> = std::mem::take(&mut self.groups);
        let sample = self.task.sample();
        self.groups = (0..GROUPS)
            .map(|_| Group::new(&self.plan, sample.clone(), &self.plastic, &self.weights))
            .collect();
        let result = self.gather(Kind::Both, Split::Train, first, sequences);
        std::mem::swap(&mut self.groups, &mut groups);
        result?;
        let sum = |n: usize, kind: Kind| {
            groups.iter().fold(DMatrix::zeros(self.changes[n].nrows(), self.changes[n].ncols()), |sum, g| {
                sum + g.changes(n, kind)
            })
        };
        let both = |n| Changes { rule: sum(n, Kind::Local), descent: sum(n, Kind::Gradient) };
        Ok((0..self.plastic.len()).map(both).collect())
    }

    /// For each projection that learns: cosine between the two of [`Trainer::changes`]. A projection into a third
    /// compartment has no gradient: there it is the cosine to the transpose of what it answers, if that is
    /// there. `None` where either is 0. The last number is that of all weights together, those without a gradient left out.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn cosines(&mut self, first: u64, sequences: usize) -> Result<Vec<Option<f64>>, Stop> {
        let all = self.changes(first, sequences)?;
        let mut cosines = Vec::new();
        let (mut dot, mut changed, mut descended) = (0.0, 0.0, 0.0);
        for (plastic, Changes { rule, descent }) in self.plastic.iter().zip(&all) {
            let p = &self.plan.circuit.projections[plastic.k];
            let cosine = if p.compartment == Compartment::Third {
                let answered = answered(self.plan.circuit, plastic.k);
                answered.and_then(|k| {
                    cosine(&self.weights[plastic.k].dense(), &self.weights[k].transposed().dense())
                })
            } else {
                dot += rule.dot(descent);
                changed += rule.norm_squared();
                descended += descent.norm_squared();
                cosine(rule, descent)
            };
            cosines.push(cosine);
        }
        let sizes = (changed * descended).sqrt();
        cosines.push((sizes > 0.0).then(|| dot / sizes));
        Ok(cosines)
    }
}

/// The projection that feedback `k` answers: it leaves the population where the feedback ends, for the one that the
/// error comes from, or for one that gets its own error from there.
fn answered(circuit: &Circuit, k: usize) -> Option<usize> {
    let third = Compartment::Third;
    let p = &circuit.projections[k];
    let shape = (p.synapses.weights.columns(), p.synapses.weights.rows());
    circuit.projections.iter().position(|q| {
        let there = q.to == p.from
            || circuit.projections.iter().any(|e| e.from == p.from && e.to == q.to && e.compartment == third);
        let w = &q.synapses.weights;
        q.from == p.to && q.compartment != third && there && (w.rows(), w.columns()) == shape
    })
}

/// `a . b / (|a| |b|)` over all entries; none if shapes differ or either is 0.
#[must_use]
pub fn cosine(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Option<f64> {
    let sizes = a.norm() * b.norm();
    (a.shape() == b.shape() && sizes > 0.0).then(|| a.dot(b) / sizes)
}
