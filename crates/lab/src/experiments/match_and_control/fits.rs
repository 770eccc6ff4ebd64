//! Which function of an inner product gives the observed shares: `P(j) = (1 - e) f(s[j]) / sum f(s) + e / n`.
//!
//! Families have one parameter each beside the lapse `e`, the share that is spread evenly whatever the scores. Both
//! maximise the mean over trials of `sum target[j] ln P(j)` on a grid. Errors come from resampling trials and fitting again.

use super::stats::{Estimate, resampled, spread};
use rayon::prelude::*;

/// A family of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// the same for all
    Uniform,
    /// `exp(b s)`
    Softmax,
    /// `max(0, 1 + b s)`
    Linear,
    /// `max(0, s)^b`
    Power,
}

impl Family {
    pub const ALL: [Self; 4] = [Self::Uniform, Self::Linear, Self::Power, Self::Softmax];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Softmax => "softmax, exp(b s)",
            Self::Linear => "linear, max(0, 1 + b s)",
            Self::Power => "power, max(0, s)^b",
        }
    }

    fn weight(self, b: f64, s: f64) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::Softmax => (b * s).exp(),
            Self::Linear => (1.0 + b * s).max(0.0),
            Self::Power => s.max(0.0).powf(b),
        }
    }

    fn grid(self) -> Vec<f64> {
        let steps = |n: usize, f: &dyn Fn(f64) -> f64| (0..=n).map(|i| f(i as f64)).collect();
        match self {
            Self::Uniform => vec![0.0],
            Self::Softmax => steps(120, &|i| 0.05 * i),
            // from 0.02 to 50, where it is a rectified linear function
            Self::Linear => steps(60, &|i| 0.02 * (i * 2500f64.ln() / 60.0).exp()),
            Self::Power => steps(60, &|i| 0.25 * (i * 64f64.ln() / 60.0).exp()),
        }
    }
}

const LAPSES: [f64; 13] = [0.0, 0.003, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0];
/// Smallest probability that counts; without lapse a rectified family excludes what it then observes.
const LEAST: f64 = 1e-12;
const RESAMPLINGS: usize = 100;

/// What there is to explain: scores and shares of each trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub scores: Vec<Vec<f64>>,
    /// each sums to 1
    pub shares: Vec<Vec<f64>>,
}

/// The best member of a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    pub family: Family,
    pub b: Estimate,
    pub lapse: f64,
    /// nats per trial above the uniform family
    pub gain: Estimate,
    /// nats per trial below the best family; the error is that of the difference
    pub behind: Estimate,
}

/// Probabilities of all alternatives.
#[must_use]
pub fn probabilities(family: Family, b: f64, lapse: f64, scores: &[f64]) -> Vec<f64> {
    // softmax does not care for a constant
    let most = if family == Family::Softmax { scores.iter().copied().fold(f64::MIN, f64::max) } else { 0.0 };
    let weights: Vec<f64> = scores.iter().map(|s| family.weight(b, s - most)).collect();
    let total: f64 = weights.iter().sum();
    let n = scores.len() as f64;
    let share = |w: &f64| if total > 0.0 { w / total } else { 1.0 / n };
    weights.iter().map(|w| (1.0 - lapse) * share(w) + lapse / n).collect()
}

/// Mean log-likelihoods of every member of a family on every trial, `[member][trial]`.
fn likelihoods(family: Family, observed: &Observed) -> Vec<(f64, f64, Vec<f64>)> {
    let mut members = Vec::new();
    let lapses: &[f64] = if family == Family::Uniform { &LAPSES[..1] } else { &LAPSES };
    for b in family.grid() {
        let plain: Vec<Vec<f64>> = observed.scores.iter().map(|s| probabilities(family, b, 0.0, s)).collect();
        for &lapse in lapses {
            let one = |(p, shares): (&Vec<f64>, &Vec<f64>)| {
                let n = p.len() as f64;
                let term = |(p, a): (&f64, &f64)| {
                    if *a > 0.0 { a * ((1.0 - lapse) * p + lapse / n).max(LEAST).ln() } else { 0.0 }
                };
                p.iter().zip(shares).map(term).sum::<f64>()
            };
            members.push((b, lapse, plain.iter().zip(&observed.shares).map(one).collect()));
        }
    }
    members
}

/// The member with the largest weighted sum: its place, and the mean.
fn best(members: &[(f64, f64, Vec<f64>)], weights: &[f64]) -> (usize, f64) {
    let total: f64 = weights.iter().sum();
    let value = |m: &(f64, f64, Vec<f64>)| m.2.iter().zip(weights).map(|(l, w)| l * w).sum::<f64>() / total;
    let values: Vec<f64> = members.iter().map(value).collect();
    let place = (0..values.len()).max_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap_or(0);
    (place, values.get(place).copied().unwrap_or(f64::NAN))
}

/// Best member of each family and its mean log-likelihood.
type Best = [(usize, f64)];

/// Fits all families; nothing for fewer than two trials.
#[must_use]
pub fn fit(observed: &Observed, seed: u64) -> Vec<Fit> {
    let n = observed.scores.len();
    if n < 2 {
        return Vec::new();
    }
    let families: Vec<_> = Family::ALL.par_iter().map(|f| likelihoods(*f, observed)).collect();
    let ones = vec![1.0; n];
    let point: Vec<(usize, f64)> = families.iter().map(|m| best(m, &ones)).collect();
    let again: Vec<Vec<(usize, f64)>> = resampled(n, RESAMPLINGS, seed, "fits resampling")
        .par_iter()
        .map(|w| families.iter().map(|m| best(m, w)).collect())
        .collect();
    let winner = (0..point.len()).max_by(|&i, &j| point[i].1.total_cmp(&point[j].1)).unwrap_or(0);
    let one = |(f, family): (usize, &Family)| {
        let over = |f: &dyn Fn(&Best) -> f64| Estimate {
            value: f(&point),
            se: spread(&again.iter().map(|p| f(p)).collect::<Vec<_>>()),
            n,
        };
        Fit {
            family: *family,
            b: over(&|p| families[f][p[f].0].0),
            lapse: families[f][point[f].0].1,
            gain: over(&|p| p[f].1 - p[0].1),
            behind: over(&|p| p[winner].1 - p[f].1),
        }
    };
    Family::ALL.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulvinar::seed::{self, normal, uniform};

    /// Choices drawn from a family are best explained by it, with its parameter.
    #[test]
    fn a_family_explains_its_own_choices() {
        for (family, b) in [(Family::Softmax, 1.5), (Family::Linear, 0.8), (Family::Power, 2.0)] {
            let mut rng = seed::stream(4, family.name());
            let mut observed = Observed::default();
            for _ in 0..3000 {
                let scores: Vec<f64> = (0..10).map(|_| normal(&mut rng)).collect();
                let p = probabilities(family, b, 0.05, &scores);
                let mut at = uniform(&mut rng, 0.0, 1.0);
                let won = p.iter().position(|p| {
                    at -= p;
                    at <= 0.0
                });
                let shares = (0..10).map(|j| f64::from(u8::from(Some(j) == won))).collect();
                observed.scores.push(scores);
                observed.shares.push(shares);
            }
            let fits = fit(&observed, 1);
            let mine = fits.iter().find(|f| f.family == family).expect("there");
            assert!(mine.behind.value == 0.0, "{family:?}: {fits:?}");
            assert!((mine.b.value - b).abs() < 4.0 * mine.b.se.max(0.05), "{family:?}: {mine:?}");
            assert!(fit(&Observed::default(), 1).is_empty(), "nothing to fit");
            assert!(fits.iter().filter(|f| f.behind.value > 2.0 * f.behind.se).count() == 3, "{fits:?}");
        }
    }
}
