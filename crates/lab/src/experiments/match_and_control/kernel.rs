//! Calcium as a sum over pairs of a key spike and a query, `g = sum K(query + delay - key)`.
//!
//! Keys and queries are independent trains of 6 Hz. `K` lives on lags of whole milliseconds from -45 to 45; a pair between
//! two lags counts for both in proportion. It is held to zero outside 30 ms by a window
//! `w(t) = s((t + 30) / 10) s((30 - t) / 10)`, `s` the logistic function, `K = w c`, and minimises
//!
//! ```text
//! mean (g - sum K)^2 + 0.01 sum (c[i + 1] - c[i])^2
//! ```
//!
//! exactly. Integrals further than 4 standard deviations from their mean are left out.

use super::lab::Lab;
use super::published;
use super::stats::{resampled, spread};
use crate::experiments::setup::unfit;
use nalgebra::{DMatrix, DVector};
use pulvinar::diag::Diagnostics;
use pulvinar::seed;
use pulvinar::simulate::cable::protocol::first_integrals;
use pulvinar::simulate::cable::score::moments;
use pulvinar::simulate::cable::trains::Renewal;
use pulvinar::simulate::cable::{Run, Trial};

/// Largest lag.
const MOST_LAG_MS: f64 = 45.0;
const LAGS: usize = 91;
const SMOOTHNESS: f64 = 0.01;
/// Integrals so many standard deviations from their mean are left out.
const OUTLIER_SD: f64 = 4.0;
const WINDOW_MS: (f64, f64) = (50.0, 1050.0);
const RESAMPLINGS: usize = 200;

/// Explained variance with its error from resampled trials.
pub use super::stats::Estimate as Explained;

/// A fitted kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    pub lags_ms: Vec<f64>,
    /// thresholds of the 1-s window for each pair
    pub values: Vec<f64>,
    /// the kernel of the closed form
    pub event: Vec<f64>,
    /// in training trials, in test trials; the published closed form and the event tier in test trials
    pub train: Explained,
    pub test: Explained,
    pub published: Explained,
    pub event_test: Explained,
    /// the event tier in test trials, with all integrals
    pub event_all: f64,
}

/// Integrals and lags of one trial and axon.
struct Sample {
    trial: usize,
    integral: f64,
    lags: Vec<f64>,
    /// by the event tier
    event: f64,
}

/// Fits the kernel.
///
/// # Errors
/// `U006`: parameters that make no run; too few trials.
pub fn fit(lab: &Lab<'_>) -> Result<Kernel, Diagnostics> {
    let (n_train, n_test) = lab.sizes.kernel;
    let samples = samples(lab, n_train + n_test)?;
    let (train, test): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(|s| s.trial < n_train);
    let values = least_squares(&train).ok_or_else(|| {
        unfit("protocol", "random trains have too few pairs of spikes to fit a kernel")
            .help("run more trials")
    })?;
    let theta = lab.theta(1000.0)?;
    let lags_ms: Vec<f64> = (0..LAGS).map(|i| i as f64 - MOST_LAG_MS).collect();
    let mine = |s: &Sample| s.lags.iter().map(|l| at(&values, *l)).sum::<f64>();
    let theirs = |s: &Sample| s.lags.iter().map(|l| published::kernel(*l)).sum::<f64>();
    let event = |s: &Sample| s.event;
    Ok(Kernel {
        event: lags_ms.iter().map(|l| lab.event.kernel(*l) / theta).collect(),
        train: explained(&train, OUTLIER_SD, lab.seed, mine),
        test: explained(&test, OUTLIER_SD, lab.seed, mine),
        published: explained(&test, OUTLIER_SD, lab.seed, theirs),
        event_test: explained(&test, OUTLIER_SD, lab.seed, event),
        event_all: explained(&test, f64::INFINITY, lab.seed, event).value,
        lags_ms,
        values,
    })
}

/// Trials with independent trains for all axons and the query.
fn samples(lab: &Lab<'_>, count: usize) -> Result<Vec<Sample>, Diagnostics> {
    let theta = lab.theta(1000.0)?;
    let (from, to) = WINDOW_MS;
    let trial = |i: usize| {
        let mut rng = seed::stream(lab.seed, &format!("kernel {i}"));
        let mut draw = || Renewal::default().draw(&mut rng, from, to);
        Trial { keys: (0..lab.neuron.axons).map(|_| draw()).collect(), queries: draw() }
    };
    let trials: Vec<Trial> = (0..count).map(trial).collect();
    let settings = Run { duration_ms: to + 100.0, theta: None, record: None, ..lab.run.clone() };
    let outcomes = lab.run("random trains", &trials, &settings)?;
    let quiet = pulvinar::simulate::cable::event::Event {
        noise: 0.0,
        ..pulvinar::simulate::cable::event::Event::default()
    };
    let mut samples = Vec::with_capacity(count * lab.neuron.axons);
    for (i, (trial, outcome)) in trials.iter().zip(&outcomes).enumerate() {
        let mut rng = seed::stream(lab.seed, "no noise");
        let event = quiet
            .integrals(trial, &lab.delays_ms, settings.duration_ms, &mut rng)
            .map_err(super::lab::refused)?;
        for (axon, integral) in first_integrals(&lab.neuron, outcome).into_iter().enumerate() {
            let arrivals = trial.queries.iter().map(|q| q + lab.delays_ms[axon]);
            let pairs = arrivals.flat_map(|a| trial.keys[axon].iter().map(move |k| a - k));
            samples.push(Sample {
                trial: i,
                integral: integral / theta,
                lags: pairs.filter(|l| l.abs() < MOST_LAG_MS).collect(),
                event: event[axon] / theta,
            });
        }
    }
    Ok(samples)
}

/// The two lags that a pair counts for, and its share of the upper one.
fn place(lag_ms: f64) -> (usize, f64) {
    let x = lag_ms + MOST_LAG_MS;
    let low = (x.max(0.0).floor() as usize).min(LAGS - 2);
    (low, x - low as f64)
}

/// A kernel between its lags.
fn at(values: &[f64], lag_ms: f64) -> f64 {
    let (i, part) = place(lag_ms);
    (1.0 - part) * values[i] + part * values[i + 1]
}

fn window(lag_ms: f64) -> f64 {
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    logistic((lag_ms + 30.0) / 10.0) * logistic((30.0 - lag_ms) / 10.0)
}

/// Samples without outliers.
fn kept(samples: &[Sample], most_sd: f64) -> impl Iterator<Item = &Sample> {
    let (mean, sd) = moments(&samples.iter().map(|s| s.integral).collect::<Vec<_>>());
    let most = if most_sd.is_finite() { most_sd * sd } else { f64::INFINITY };
    samples.iter().filter(move |s| (s.integral - mean).abs() <= most)
}

/// Solves the normal equations.
fn least_squares(samples: &[Sample]) -> Option<Vec<f64>> {
    let windows: Vec<f64> = (0..LAGS).map(|i| window(i as f64 - MOST_LAG_MS)).collect();
    let mut normal = DMatrix::<f64>::zeros(LAGS, LAGS);
    let mut right = DVector::<f64>::zeros(LAGS);
    let mut n = 0.0;
    let mut row: Vec<(usize, f64)> = Vec::new();
    for sample in kept(samples, OUTLIER_SD) {
        row.clear();
        for lag in &sample.lags {
            let (i, part) = place(*lag);
            row.push((i, (1.0 - part) * windows[i]));
            row.push((i + 1, part * windows[i + 1]));
        }
        for &(i, x) in &row {
            right[i] += x * sample.integral;
            row.iter().for_each(|&(j, y)| normal[(i, j)] += x * y);
        }
        n += 1.0;
    }
    normal /= n;
    right /= n;
    for i in 0..LAGS - 1 {
        for (a, b, sign) in [(i, i, 1.0), (i + 1, i + 1, 1.0), (i, i + 1, -1.0), (i + 1, i, -1.0)] {
            normal[(a, b)] += sign * SMOOTHNESS;
        }
    }
    let solved = normal.cholesky()?.solve(&right);
    Some(solved.iter().zip(&windows).map(|(c, w)| c * w).collect())
}

/// Explained variance of a prediction; its error comes from resampling whole trials.
fn explained(samples: &[Sample], most_sd: f64, seed: u64, predict: impl Fn(&Sample) -> f64) -> Explained {
    // for each trial: number, sum and sum of squares of integrals, sum of squared residuals
    let first = samples.first().map_or(0, |s| s.trial);
    let trials = samples.last().map_or(0, |s| s.trial + 1 - first);
    let mut sums = vec![[0.0; 4]; trials];
    for sample in kept(samples, most_sd) {
        let (y, p) = (sample.integral, predict(sample));
        let terms = [1.0, y, y * y, (y - p) * (y - p)];
        sums[sample.trial - first].iter_mut().zip(terms).for_each(|(s, t)| *s += t);
    }
    let value = |weights: &dyn Fn(usize) -> f64| {
        let [n, y, yy, rest] =
            std::array::from_fn(|k| (0..trials).map(|t| weights(t) * sums[t][k]).sum::<f64>());
        1.0 - rest / (yy - y * y / n)
    };
    let again: Vec<f64> =
        resampled(trials, RESAMPLINGS, seed, "kernel resampling").iter().map(|w| value(&|t| w[t])).collect();
    Explained { value: value(&|_| 1.0), se: spread(&again), n: samples.len() }
}

impl Kernel {
    /// Lag of its largest value.
    #[must_use]
    pub fn best_ms(&self) -> f64 {
        let best = (0..self.values.len()).max_by(|&i, &j| self.values[i].total_cmp(&self.values[j]));
        best.map_or(f64::NAN, |i| self.lags_ms[i])
    }

    /// Root of the mean square distance to the new fit of the published runs, as a part of its peak.
    #[must_use]
    pub fn off_by(&self) -> f64 {
        let known = published::KERNEL.iter();
        published::of_peak(known.map(|(lag, _, want)| (at(&self.values, *lag) - want, *want)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulvinar::seed::uniform;

    /// Integrals that are such a sum give the kernel back.
    #[test]
    fn a_kernel_is_found_in_its_own_sums() {
        let mut rng = seed::stream(3, "kernel");
        let samples: Vec<Sample> = (0..6000)
            .map(|i| {
                let lags: Vec<f64> = (0..3).map(|_| uniform(&mut rng, -44.9, 44.9)).collect();
                let integral = lags.iter().map(|l| published::kernel(*l)).sum();
                Sample { trial: i / 150, integral, lags, event: 0.0 }
            })
            .collect();
        let values = least_squares(&samples).expect("many pairs");
        for (lag, want) in [(-20.0, 0.0), (4.0, published::kernel(4.0)), (7.0, published::kernel(7.0))] {
            assert!((at(&values, lag) - want).abs() < 0.03 * 0.26, "{lag}: {} {want}", at(&values, lag));
        }
        let explained = explained(&samples, OUTLIER_SD, 1, |s| s.lags.iter().map(|l| at(&values, *l)).sum());
        assert!(explained.value > 0.99 && explained.se < 0.01, "{explained:?}");
        assert!(least_squares(&[]).is_none());
    }
}
