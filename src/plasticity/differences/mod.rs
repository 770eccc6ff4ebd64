//! A gradient against finite differences of the loss, and local rules against the gradient, on one sequence.
//!
//! 1. [`Sequence::gradient`] is the exact gradient; [`Sequence::compare`] takes the one that shall be checked.
//! 2. Of each matrix, derivatives by single entries are estimated with their errors (`extrapolate`): all entries, or some
//!    drawn by name, and then also derivatives along random signs, in which every entry takes part in full: whichever entry
//!    is wrong, the sum is.
//! 3. [`Compared::verdict`] weighs the gap against the estimated error of the differences. Where that is too large to tell,
//!    or the loss has a kink, nothing is claimed.
//!
//! **Deliberately absent:** the loss itself: a difference of losses `1/2 |y - t|^2` is taken from the outputs,
//! `(y+ - y-) . ((y+ + y-)/2 - t)`, since the losses would round to what they share.

mod extrapolate;

use super::group::join_ties;
use super::prepare::root;
use super::trainer::follow;
use super::update::{Learn, Synaptic};
use super::work::{Wild, Work};
use super::{Plan, Plastic, adjoint, cosine, forward, rules, third};
use crate::attention::Streams;
use crate::circuit::{Circuit, Compartment, Weights};
use crate::linalg::count;
use crate::seed;
use extrapolate::{Estimate, Slope, derivative, has_kink};
use nalgebra::DMatrix;

/// Entries of one matrix whose differences are taken one by one, at most.
const ENTRIES: usize = 64;
/// Directions of random signs through all entries of a matrix that has more.
const DIRECTIONS: usize = 4;
/// Larger matrices that do not learn are left out: nobody wrote them out.
const MOST: usize = 1_000_000;
/// Estimated errors of the differences beyond this fraction of the gradient leave the question open.
pub const DOUBT: f64 = 1e-7;
/// A derivative that is this much smaller than the largest one, by the gradient and by the differences, is none.
const NOTHING: f64 = 1e-10;
/// Estimates that are this close to the gradient need no smaller steps.
const ENOUGH: f64 = 1e-11;
/// First steps, as a fraction of the weights.
const STEP: f64 = 0.25;
/// How much smaller the first step of a second opinion is.
const SECOND: f64 = 1.0 / 64.0;

/// What was found of one projection. Errors are fractions of the gradient by its matrix, all entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// number of the projection
    pub k: usize,
    /// entries whose differences were taken one by one
    pub entries: usize,
    /// entries that there are
    pub of: usize,
    /// directions through all of them beside
    pub directions: usize,
    /// largest gap between the gradient and the differences
    pub error: f64,
    /// largest estimated error of the differences
    pub doubt: f64,
    /// largest gap beyond what the differences' own error explains
    pub excess: f64,
    /// the loss has a kink at these weights: it has no derivative there
    pub kink: bool,
    /// the gradient and the differences are nothing beside the largest gradient: errors are fractions of that
    pub nothing: bool,
    /// norm of the gradient, all entries
    pub norm: f64,
    /// between what the rule changes and the descent of the gradient; none without a rule
    pub cosine: Option<f64>,
}

/// Whether a gradient is that of the differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Agree,
    Disagree,
    /// the differences cannot tell
    Undecided,
}

impl Verdict {
    /// The word that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::Disagree => "disagree",
            Self::Undecided => "undecided",
        }
    }
}

impl Compared {
    /// Gaps of more than `tolerance`, beyond the error of the differences, are errors of the gradient.
    #[must_use]
    pub fn verdict(&self, tolerance: f64) -> Verdict {
        if self.excess > tolerance {
            if self.kink { Verdict::Undecided } else { Verdict::Disagree }
        } else if self.doubt <= DOUBT {
            Verdict::Agree
        } else {
            Verdict::Undecided
        }
    }
}

/// A sequence whose loss is differentiated: half the squared error of the counted tokens.
pub struct Sequence<'a, 'c> {
    plan: &'a Plan<'c>,
    weights: &'a [Weights],
    tokens: &'a Streams,
    target: &'a DMatrix<f64>,
    work: Work,
    output: DMatrix<f64>,
    /// the output at the weights themselves
    centre: DMatrix<f64>,
}

impl<'a, 'c> Sequence<'a, 'c> {
    /// `weights` has one matrix for each projection of the circuit, `counted` one flag for each token of the output.
    #[must_use]
    pub fn new(
        plan: &'a Plan<'c>,
        weights: &'a [Weights],
        tokens: &'a Streams,
        target: &'a DMatrix<f64>,
        counted: &[bool],
    ) -> Self {
        let mut work = Work::new(plan);
        work.counted.copy_from_slice(counted);
        let (output, centre) = (target.clone(), target.clone());
        Self { plan, weights, tokens, target, work, output, centre }
    }

    /// The exact descent, for each projection that the output depends on; a matrix that others are tied to has theirs in its
    /// own.
    ///
    /// # Errors
    /// Where a number went wild.
    pub fn gradient(&mut self, plastic: &[Plastic]) -> Result<Vec<Option<DMatrix<f64>>>, Wild> {
        let (plan, weights) = (self.plan, self.weights);
        let mut d_w: Vec<Option<DMatrix<f64>>> = weights.iter().map(|_| None).collect();
        for (k, w) in weights.iter().enumerate() {
            let learns = plastic.iter().any(|p| p.k == k);
            if counts(plan.circuit, k) && (learns || w.entries() <= MOST) {
                d_w[k] = Some(DMatrix::zeros(w.rows(), w.columns()));
            }
        }
        self.run(weights)?;
        for (i, counted) in self.work.counted.iter().enumerate() {
            for a in 0..self.target.nrows() {
                let descent = self.target[(a, i)] - self.output[(a, i)];
                self.work.d_output[(a, i)] = if *counted { descent } else { 0.0 };
            }
        }
        adjoint::backward(plan, weights, &mut self.work, &mut d_w)?;
        join_ties(plan.circuit, &mut d_w);
        Ok(d_w)
    }

    /// What each rule changes; after [`Sequence::gradient`].
    #[must_use]
    pub fn changes(&mut self, plastic: &[Plastic]) -> Vec<(usize, DMatrix<f64>)> {
        let (plan, weights) = (self.plan, self.weights);
        third::errors(plan, weights, &mut self.work);
        let mut changes = Vec::new();
        for p in plastic {
            let mut synaptic = Synaptic::new(plan, p.k, &weights[p.k]);
            let work = &mut self.work;
            rules::with(&p.spec, Learn { plan, weights, work, synaptic: &mut synaptic });
            changes.push((p.k, synaptic.change));
        }
        changes
    }

    /// Compares `gradient`, a descent by some projections, with finite differences of the loss, and `changes` with it.
    /// `progress` is called after each projection.
    ///
    /// # Errors
    /// Where a number went wild without any step.
    pub fn compare(
        &mut self,
        gradient: &[Option<DMatrix<f64>>],
        changes: &[(usize, DMatrix<f64>)],
        mut progress: impl FnMut(),
    ) -> Result<Vec<Compared>, Wild> {
        self.run(self.weights)?;
        self.centre.copy_from(&self.output);
        let largest = gradient.iter().flatten().map(DMatrix::norm).fold(0.0, f64::max);
        let mut found = Vec::new();
        let mut varied = self.weights.to_vec();
        for (k, d) in gradient.iter().enumerate() {
            let Some(d) = d.as_ref().filter(|d| !d.is_empty()) else { continue };
            let mut one = self.projection(&mut varied, k, d, largest);
            varied.clone_from_slice(self.weights);
            let change = changes.iter().find(|(n, _)| *n == k);
            one.cosine = change.and_then(|(_, c)| cosine(c, d));
            found.push(one);
            progress();
        }
        Ok(found)
    }

    /// One matrix.
    fn projection(&mut self, varied: &mut [Weights], k: usize, d: &DMatrix<f64>, largest: f64) -> Compared {
        let circuit = self.plan.circuit;
        let base = self.weights[k].dense();
        let entries = chosen(circuit, k, d);
        let norm = d.norm();
        let scale = if norm > 0.0 { norm } else { largest }.min(f64::MAX);
        let typical = (base.norm_squared() / count(base.len())).sqrt();
        let typical = if typical > 0.0 { typical } else { 1.0 };
        let mut one = Compared {
            k,
            entries: entries.len(),
            of: d.len(),
            directions: if entries.len() < d.len() { DIRECTIONS } else { 0 },
            error: 0.0,
            doubt: 0.0,
            excess: 0.0,
            kink: false,
            nothing: false,
            norm,
            cosine: None,
        };
        varied[k] = Weights::Dense(base.clone());
        let is_root = (0..circuit.projections.len()).any(|q| root(circuit, q) == Some(k));
        let place = Place { k, base: &base, is_root };
        let mut judge = |one: &mut Compared, way: &Way<'_>, want: f64, step: f64| {
            let enough = ENOUGH * scale;
            let mut slope = |h: f64| self.slope(varied, &place, way, h);
            let mut by = derivative(&mut slope, step, enough);
            if (by.value - want).abs() > enough.max(by.error) {
                // Far steps may have missed what is near: ask again from nearer by.
                let near = derivative(&mut slope, SECOND * step, enough);
                by = by.joined(near);
            }
            let gap = (by.value - want).abs();
            if gap > by.error + NOTHING * scale {
                one.kink |= has_kink(&mut slope, SECOND * step, gap);
            }
            let Estimate { error, .. } = by;
            one.error = larger(one.error, gap);
            one.doubt = larger(one.doubt, error);
            one.excess = larger(one.excess, if error.is_finite() { (gap - error).max(0.0) } else { 0.0 });
        };
        for at in &entries {
            let step = STEP * base[*at].abs().max(typical);
            judge(&mut one, &Way::Entry(*at), -d[*at], step);
        }
        let mut rng = seed::stream(circuit.seed, &format!("directions.{}", circuit.projections[k].name));
        for _ in 0..one.directions {
            let signs =
                DMatrix::from_fn(d.nrows(), d.ncols(), |_, _| seed::uniform(&mut rng, -1.0, 1.0).signum());
            judge(&mut one, &Way::Signs(&signs), -d.dot(&signs), STEP * typical);
        }
        if !norm.is_finite() {
            // Where the loss has a slope, a gradient that is no number is wrong; else nobody knows.
            let is_wrong = one.doubt.is_finite() && d.iter().any(|x| !x.is_finite());
            (one.excess, one.doubt) = (if is_wrong { f64::INFINITY } else { 0.0 }, f64::INFINITY);
        }
        one.nothing = largest.is_finite() && norm.max(one.doubt).max(one.error) <= NOTHING * largest;
        let by = if one.nothing { largest.max(f64::MIN_POSITIVE) } else { scale.max(f64::MIN_POSITIVE) };
        for x in [&mut one.error, &mut one.doubt, &mut one.excess] {
            *x /= by;
        }
        one
    }

    /// The output for some weights, into [`Sequence::output`].
    fn run(&mut self, weights: &[Weights]) -> Result<(), Wild> {
        forward(self.plan, weights, self.tokens, &mut self.work)?;
        self.work.output(self.plan, &mut self.output);
        Ok(())
    }

    /// The slope of the loss between `base - h way` and `base + h way`, or none where a number is not finite.
    fn slope(&mut self, varied: &mut [Weights], at: &Place<'_>, way: &Way<'_>, h: f64) -> Option<Slope> {
        let mut outputs = [h, -h].map(|h| {
            at.set(varied, way, h, self.plan.circuit);
            self.run(varied).ok().map(|()| self.output.clone())
        });
        at.set(varied, way, 0.0, self.plan.circuit);
        let [Some(plus), Some(minus)] = outputs.each_mut() else { return None };
        Slope::between([plus, &self.centre, minus], self.target, &self.work.counted, h)
    }
}

/// The matrix that is varied.
struct Place<'a> {
    k: usize,
    base: &'a DMatrix<f64>,
    /// others are tied to it
    is_root: bool,
}

/// How it is varied.
enum Way<'a> {
    Entry((usize, usize)),
    Signs(&'a DMatrix<f64>),
}

impl Place<'_> {
    /// Makes the matrix `base + h way`, and those that are tied to it.
    fn set(&self, varied: &mut [Weights], way: &Way<'_>, h: f64, circuit: &Circuit) {
        if let Weights::Dense(m) = &mut varied[self.k] {
            match way {
                Way::Entry(at) => m[*at] = self.base[*at] + h,
                Way::Signs(signs) => m.zip_zip_apply(self.base, signs, |m, base, sign| *m = base + h * sign),
            }
        }
        if self.is_root {
            follow(circuit, varied);
        }
    }
}

fn larger(a: f64, b: f64) -> f64 {
    if a >= b { a } else { b }
}

/// Does the output depend on the weights of projection `k`?
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
