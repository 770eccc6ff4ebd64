//! Gradients against finite differences of the loss, and local rules against gradients, on one sequence.

use super::update::{Learn, Synaptic};
use super::work::{Wild, Work};
use super::{Plan, Plastic, adjoint, cosine, forward, rules, third};
use crate::attention::Streams;
use crate::circuit::{Circuit, Compartment, Weights};
use crate::linalg::count;
use crate::seed;
use nalgebra::DMatrix;

/// Entries of one matrix whose differences are taken, at most.
const ENTRIES: usize = 64;
/// Larger matrices are left out: nobody wrote them out to learn.
const MOST: usize = 1_000_000;
/// A derivative this much smaller than the largest one is measured by what rounding leaves of the loss.
const NOTHING: f64 = 1e-3;

/// What was found of one projection.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// number of the projection
    pub k: usize,
    /// entries whose differences were taken
    pub entries: usize,
    /// `|gradient - differences| / |differences|` over these entries
    pub error: f64,
    /// norm of the gradient, all entries
    pub norm: f64,
    /// between what the rule changes and the descent of the gradient; none without a rule
    pub cosine: Option<f64>,
}

/// Compares the gradient by every projection that the output depends on with finite differences of the loss, and what
/// rules change with the gradient.
///
/// Derivatives by one weight are central differences at two step sizes, joined by Richardson's extrapolation: the error
/// of the differences themselves is of fourth order in the step. `progress` is called after each projection.
///
/// # Errors
/// Where a number went wild.
pub fn compare(
    plan: &Plan<'_>,
    weights: &[Weights],
    plastic: &[Plastic],
    tokens: &Streams,
    target: &DMatrix<f64>,
    counted: &[bool],
    mut progress: impl FnMut(),
) -> Result<Vec<Compared>, Wild> {
    let circuit = plan.circuit;
    let mut work = Work::new(plan);
    work.counted.copy_from_slice(counted);
    let mut one = Sequence { plan, tokens, target, work };
    one.loss(weights)?;
    let mut d_w: Vec<Option<DMatrix<f64>>> = (0..weights.len())
        .map(|k| {
            let w = &weights[k];
            let there = counts(circuit, k) && w.entries() <= MOST;
            there.then(|| DMatrix::zeros(w.rows(), w.columns()))
        })
        .collect();
    one.work.d_output.neg_mut();
    adjoint::backward(plan, weights, &mut one.work, &mut d_w);
    third::errors(plan, weights, &mut one.work);
    let rule = |work: &mut Work, p: &Plastic| {
        let mut synaptic = Synaptic::new(plan, p.k, &weights[p.k]);
        rules::with(&p.spec, Learn { plan, weights, work, synaptic: &mut synaptic });
        synaptic.change
    };
    let changes: Vec<(usize, DMatrix<f64>)> = plastic.iter().map(|p| (p.k, rule(&mut one.work, p))).collect();
    let largest = d_w.iter().flatten().map(DMatrix::norm).fold(0.0, f64::max);
    let mut found = Vec::new();
    let mut varied = weights.to_vec();
    for (k, d) in d_w.iter().enumerate() {
        let Some(d) = d.as_ref().filter(|d| !d.is_empty()) else { continue };
        let entries = chosen(circuit, k, d);
        let (mut gap, mut size) = (0.0, 0.0);
        let dense = weights[k].dense();
        varied[k] = Weights::Dense(dense.clone());
        for at in &entries {
            let want = -one.difference(&mut varied, k, *at, dense[*at])?;
            gap += (d[*at] - want).powi(2);
            size += want.powi(2);
        }
        varied[k] = weights[k].clone();
        let share = (count(entries.len()) / count(d.len())).sqrt();
        let error = gap.sqrt() / size.sqrt().max(NOTHING * largest * share).max(f64::MIN_POSITIVE);
        let change = changes.iter().find(|(n, _)| *n == k);
        let cosine = change.and_then(|(_, c)| cosine(c, d));
        found.push(Compared { k, entries: entries.len(), error, norm: d.norm(), cosine });
        progress();
    }
    Ok(found)
}

/// Does the output depend on the weights of projection `k`? Ties follow their root, which is compared instead.
fn counts(circuit: &Circuit, k: usize) -> bool {
    let p = &circuit.projections[k];
    p.compartment != Compartment::Third && circuit.order.contains(&p.to)
}

/// All entries, or some drawn by name.
fn chosen(circuit: &Circuit, k: usize, d: &DMatrix<f64>) -> Vec<(usize, usize)> {
    let place = |n: usize| (n % d.nrows(), n / d.nrows());
    if d.len() <= ENTRIES {
        return (0..d.len()).map(place).collect();
    }
    let mut rng = seed::stream(circuit.seed, &format!("differences.{}", circuit.projections[k].name));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mut draw = || (seed::uniform(&mut rng, 0.0, count(d.len())) as usize).min(d.len() - 1);
    let mut entries: Vec<usize> = (0..ENTRIES).map(|_| draw()).collect();
    entries.sort_unstable();
    entries.dedup();
    entries.into_iter().map(place).collect()
}

/// A sequence and room to run it in.
struct Sequence<'a, 'c> {
    plan: &'a Plan<'c>,
    tokens: &'a Streams,
    target: &'a DMatrix<f64>,
    work: Work,
}

impl Sequence<'_, '_> {
    /// Half the squared error of the counted tokens; leaves its derivative by the output.
    fn loss(&mut self, weights: &[Weights]) -> Result<f64, Wild> {
        forward(self.plan, weights, self.tokens, &mut self.work)?;
        let mut y = self.target.clone();
        self.work.output(self.plan, &mut y);
        let mut loss = 0.0;
        for (i, counted) in self.work.counted.iter().enumerate() {
            for a in 0..y.nrows() {
                let d = if *counted { y[(a, i)] - self.target[(a, i)] } else { 0.0 };
                self.work.d_output[(a, i)] = d;
                loss += 0.5 * d * d;
            }
        }
        Ok(loss)
    }

    /// `dL/dw` of one entry, whose weight is `w`.
    fn difference(
        &mut self,
        weights: &mut [Weights],
        k: usize,
        at: (usize, usize),
        w: f64,
    ) -> Result<f64, Wild> {
        let mut loss = |by: f64| {
            if let Weights::Dense(m) = &mut weights[k] {
                m[at] = w + by;
            }
            let loss = self.loss(weights);
            if let Weights::Dense(m) = &mut weights[k] {
                m[at] = w;
            }
            loss
        };
        let h = 2e-3 * w.abs().max(1.0);
        let mut central = |h: f64| Ok((loss(h)? - loss(-h)?) / (2.0 * h));
        Ok((4.0 * central(h / 2.0)? - central(h)?) / 3.0)
    }
}
