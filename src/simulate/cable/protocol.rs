//! The published experiments: delay of the spike in the spines, calcium against spike offset, match phase, control phase.
//!
//! Each trial draws from a stream of its own, so that trial 7 is the same whether 10 or 1,000 are run. Background: every
//! axon that is not spoken of fires on its own at 6 Hz.
//!
//! # Source
//! Ellwood 2024, figures 2B, 3 and 5.

use super::error::{CableError, not_negative, positive};
use super::pyramidal::Neuron;
use super::run::{Outcome, Quantity, Record, Run, Trial, run};
use super::score::Control;
use super::trains::Renewal;
use crate::seed;

/// Calcium is largest where the somatic spike reaches the spine so long after the key spike.
pub const BEST_OFFSET_MS: f64 = 7.0;
/// Start of the match phase without potentiation, and rest of the run after it.
const MATCH_FROM_MS: f64 = 50.0;
const MATCH_REST_MS: f64 = 100.0;
/// Parts of a run with a control phase: start, pause, control, rest.
const CONTROL_MATCH_FROM_MS: f64 = 250.0;
const PAUSE_MS: f64 = 500.0;
const CONTROL_PHASE_MS: f64 = 1000.0;
const CONTROL_REST_MS: f64 = 250.0;

/// Threshold of potentiation for match windows of 0.5, 1 and 2 s: a tenth of all trials has an unmatched axon above it.
pub const THETA: [(f64, f64); 3] = [(500.0, 6.03922e-14), (1000.0, 7.86876e-14), (2000.0, 1.034142e-13)];

/// Delay from a query to the peak of the potential in the first head of each axon, in ms: mean of `repeats` runs
/// with background.
///
/// # Errors
/// See [`run()`].
pub fn delays(neuron: &Neuron, settings: &Run, repeats: usize, seed: u64) -> Result<Vec<f64>, CableError> {
    positive("number of repeats", repeats as f64)?;
    let (onset, span) = (200.0, 8.0);
    let trials: Vec<Trial> = (0..repeats)
        .map(|i| {
            let mut rng = seed::stream(seed, &format!("delay {i}"));
            let keys = (0..neuron.axons).map(|_| Renewal::default().draw(&mut rng, 50.0, onset + span));
            Trial { keys: keys.collect(), queries: vec![onset] }
        })
        .collect();
    let first = (0..neuron.axons).filter_map(|a| neuron.first_head(a));
    let what = first.map(|h| Quantity::Potential(neuron.heads[h].node)).collect();
    let record = Record { from_ms: onset, to_ms: onset + span, every: 1, what };
    let duration_ms = onset + span;
    let settings = Run { duration_ms, theta: None, record: Some(record), ..settings.clone() };
    let outcomes = run(neuron, &trials, &settings)?;
    let mean = |a: usize| {
        let peaks = outcomes.iter().map(|o| peak(&o.traces[a]) * settings.dt_ms);
        peaks.sum::<f64>() / repeats as f64
    };
    Ok((0..neuron.axons).map(mean).collect())
}

/// Place of the largest sample, moved to the vertex of the parabola through it and its neighbours.
fn peak(trace: &[f64]) -> f64 {
    let best = (0..trace.len()).max_by(|&i, &j| trace[i].total_cmp(&trace[j])).unwrap_or(0);
    if best == 0 || best + 1 >= trace.len() {
        return best as f64;
    }
    let (a, b, c) = (trace[best - 1], trace[best], trace[best + 1]);
    best as f64 + (a - c) / (2.0 * (a - 2.0 * b + c))
}

/// Two key spikes of one axon and two queries that reach its spine some time after them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    pub axon: usize,
    /// from a query to the potential's peak in the spine
    pub delay_ms: f64,
    /// from a key spike to that peak
    pub offset_ms: f64,
    pub seed: u64,
}

impl Offset {
    /// Input of run `i`.
    ///
    /// # Errors
    /// An axon that the neuron does not have.
    pub fn trial(&self, neuron: &Neuron, i: usize) -> Result<Trial, CableError> {
        first_head(neuron, self.axon)?;
        let (from, to) = (50.0, 300.0);
        let fast = Renewal { rate_hz: 8.0, ..Renewal::default() };
        let name = format!("offset {} axon {} {i}", self.offset_ms, self.axon);
        let mut rng = seed::stream(self.seed, &name);
        let mut keys: Vec<Vec<f64>> =
            (0..neuron.axons).map(|_| Renewal::default().draw(&mut rng, from, to)).collect();
        keys[self.axon] = std::iter::repeat_with(|| fast.draw(&mut rng, from, to))
            .find(|train| train.len() == 2)
            .unwrap_or_default();
        let queries = keys[self.axon].iter().map(|k| k + self.offset_ms - self.delay_ms).collect();
        Ok(Trial { keys, queries })
    }

    /// How its runs are run.
    #[must_use]
    pub fn settings(settings: &Run) -> Run {
        Run { duration_ms: 350.0, theta: None, record: None, ..settings.clone() }
    }

    /// Integral of the axon's first head in each of `repeats` runs.
    ///
    /// # Errors
    /// See [`run()`].
    pub fn run(&self, neuron: &Neuron, settings: &Run, repeats: usize) -> Result<Vec<f64>, CableError> {
        let head = first_head(neuron, self.axon)?;
        let trials = (0..repeats).map(|i| self.trial(neuron, i)).collect::<Result<Vec<_>, _>>()?;
        Ok(run(neuron, &trials, &Self::settings(settings))?.iter().map(|o| o.integrals[head]).collect())
    }
}

fn first_head(neuron: &Neuron, axon: usize) -> Result<usize, CableError> {
    let missing = CableError::NoSuch { what: "axon", index: axon, count: neuron.axons };
    neuron.first_head(axon).ok_or(missing)
}

/// A set of trials in which the query repeats the train of one axon; the axon changes from trial to trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    pub window_ms: f64,
    /// standard deviation of the query spikes around their times
    pub jitter_ms: f64,
    pub trials: usize,
    pub seed: u64,
}

/// Integrals at the end of a match phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    pub axon: usize,
    pub queries: usize,
    /// first head of the matched axon
    pub matched: f64,
    /// first heads of the other axons
    pub others: Vec<f64>,
}

impl Matched {
    /// The largest of the other axons.
    #[must_use]
    pub fn best_other(&self) -> f64 {
        self.others.iter().copied().fold(0.0, f64::max)
    }
}

impl Matching {
    /// Input of trial `i`: query = train of axon `i` + 7 ms - delay.
    #[must_use]
    pub fn trial(&self, neuron: &Neuron, delays_ms: &[f64], i: usize) -> Trial {
        let mut rng = seed::stream(self.seed, &format!("match {i}"));
        let to = MATCH_FROM_MS + self.window_ms;
        let keys: Vec<Vec<f64>> =
            (0..neuron.axons).map(|_| Renewal::default().draw(&mut rng, MATCH_FROM_MS, to)).collect();
        let axon = i % neuron.axons;
        let lead = BEST_OFFSET_MS - delays_ms[axon];
        let mut queries: Vec<f64> =
            keys[axon].iter().map(|k| k + lead + self.jitter_ms * seed::normal(&mut rng)).collect();
        queries.iter_mut().for_each(|q| *q = q.clamp(0.0, to + MATCH_REST_MS));
        queries.sort_by(f64::total_cmp);
        Trial { keys, queries }
    }

    /// Checks window, jitter and delays.
    ///
    /// # Errors
    /// Parameters out of range; delays that are not one for each axon.
    pub fn check(&self, neuron: &Neuron, delays_ms: &[f64]) -> Result<(), CableError> {
        positive("match window in ms", self.window_ms)?;
        not_negative("jitter in ms", self.jitter_ms)?;
        check_delays(neuron, delays_ms)
    }

    /// Length of its runs.
    #[must_use]
    pub fn duration_ms(&self) -> f64 {
        MATCH_FROM_MS + self.window_ms + MATCH_REST_MS
    }

    /// How its trials are run.
    #[must_use]
    pub fn settings(&self, settings: &Run) -> Run {
        Run { duration_ms: self.duration_ms(), theta: None, record: None, ..settings.clone() }
    }

    /// Sorts the integrals of the first heads of all axons, after trial `i`.
    #[must_use]
    pub fn score(i: usize, trial: &Trial, integrals: &[f64]) -> Matched {
        let axon = i % integrals.len().max(1);
        let mut others = integrals.to_vec();
        let matched = others.remove(axon);
        Matched { axon, queries: trial.queries.len(), matched, others }
    }

    /// Runs the match phase without potentiation.
    ///
    /// # Errors
    /// Delays that are not one for each axon; see [`run()`].
    pub fn run(
        &self,
        neuron: &Neuron,
        settings: &Run,
        delays_ms: &[f64],
    ) -> Result<Vec<Matched>, CableError> {
        self.check(neuron, delays_ms)?;
        let trials: Vec<Trial> = (0..self.trials).map(|i| self.trial(neuron, delays_ms, i)).collect();
        let outcomes = run(neuron, &trials, &self.settings(settings))?;
        let scored = trials.iter().zip(&outcomes).enumerate();
        Ok(scored.map(|(i, (t, o))| Self::score(i, t, &first_integrals(neuron, o))).collect())
    }
}

/// Integrals of the first heads of all axons.
#[must_use]
pub fn first_integrals(neuron: &Neuron, outcome: &Outcome) -> Vec<f64> {
    (0..neuron.axons).filter_map(|a| neuron.first_head(a)).map(|h| outcome.integrals[h]).collect()
}

fn check_delays(neuron: &Neuron, delays_ms: &[f64]) -> Result<(), CableError> {
    if delays_ms.len() == neuron.axons {
        return delays_ms.iter().try_for_each(|d| not_negative("delay in ms", *d));
    }
    Err(CableError::Trains { trial: 0, trains: delays_ms.len(), axons: neuron.axons })
}

/// Trials with a match phase, a pause, and a control phase in which the query is silent and potentiation acts.
#[derive(Clone, Debug, PartialEq)]
pub struct Controlling {
    pub window_ms: f64,
    /// threshold of potentiation, mM^4 ms
    pub theta: f64,
    pub trials: usize,
    pub seed: u64,
}

/// Result of a control phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Controlled {
    pub axon: usize,
    pub queries: usize,
    pub control: Control,
}

impl Controlling {
    /// Start of the control phase.
    #[must_use]
    pub fn control_from_ms(&self) -> f64 {
        CONTROL_MATCH_FROM_MS + self.window_ms + PAUSE_MS
    }

    /// Input of trial `i`: a query of its own at 6 Hz, and the matched axon's train = query - 7 ms + delay, then free.
    #[must_use]
    pub fn trial(&self, neuron: &Neuron, delays_ms: &[f64], i: usize) -> Trial {
        let mut rng = seed::stream(self.seed, &format!("control {i}"));
        let renewal = Renewal::default();
        let windows = [
            (CONTROL_MATCH_FROM_MS, CONTROL_MATCH_FROM_MS + self.window_ms),
            (self.control_from_ms(), self.control_from_ms() + CONTROL_PHASE_MS),
        ];
        let mut keys: Vec<Vec<f64>> = (0..neuron.axons)
            .map(|_| windows.iter().flat_map(|w| renewal.draw(&mut rng, w.0, w.1)).collect())
            .collect();
        let queries = renewal.draw(&mut rng, windows[0].0, windows[0].1);
        let axon = i % neuron.axons;
        let lead = BEST_OFFSET_MS - delays_ms[axon];
        let mut train: Vec<f64> = queries.iter().map(|q| q - lead).collect();
        train.extend(keys[axon].iter().filter(|k| **k >= windows[1].0));
        keys[axon] = train;
        Trial { keys, queries }
    }

    /// Checks window and delays.
    ///
    /// # Errors
    /// Parameters out of range; delays that are not one for each axon.
    pub fn check(&self, neuron: &Neuron, delays_ms: &[f64]) -> Result<(), CableError> {
        positive("match window in ms", self.window_ms)?;
        check_delays(neuron, delays_ms)
    }

    /// How its trials are run.
    #[must_use]
    pub fn settings(&self, settings: &Run) -> Run {
        let duration_ms = self.control_from_ms() + CONTROL_PHASE_MS + CONTROL_REST_MS;
        Run { duration_ms, theta: Some(self.theta), record: None, ..settings.clone() }
    }

    /// Who controlled the soma in trial `i`.
    #[must_use]
    pub fn score(&self, i: usize, trial: &Trial, outcome: &Outcome) -> Controlled {
        let axon = i % trial.keys.len().max(1);
        let control = Control::count(&trial.keys[axon], &outcome.spikes_ms, self.control_from_ms());
        Controlled { axon, queries: trial.queries.len(), control }
    }

    /// Runs the trials with potentiation.
    ///
    /// # Errors
    /// Delays that are not one for each axon; see [`run()`].
    pub fn run(
        &self,
        neuron: &Neuron,
        settings: &Run,
        delays_ms: &[f64],
    ) -> Result<Vec<Controlled>, CableError> {
        self.check(neuron, delays_ms)?;
        let trials: Vec<Trial> = (0..self.trials).map(|i| self.trial(neuron, delays_ms, i)).collect();
        let outcomes = run(neuron, &trials, &self.settings(settings))?;
        Ok(trials.iter().zip(&outcomes).enumerate().map(|(i, (t, o))| self.score(i, t, o)).collect())
    }
}
