//! Trials: spike trains in, somatic spikes and calcium out.
//!
//! Trials are independent. They run [`Run::lanes`] at a time side by side, the groups over threads; results come in the
//! order of the trials and do not depend on either.

use super::error::{CableError, finite, positive};
use super::lanes::{State, step};
use super::model::Model;
use super::pyramidal::Neuron;
use rayon::prelude::*;

/// Coarsest step; at 0.1 ms calcium integrals no longer correlate with those of the reference (0.97).
pub const LONGEST_STEP_MS: f64 = 0.05;

/// Input of one trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// spike times of each axon in ms, rising
    pub keys: Vec<Vec<f64>>,
    /// onsets of current pulses into the soma in ms, rising
    pub queries: Vec<f64>,
}

/// How trials are run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub duration_ms: f64,
    pub dt_ms: f64,
    /// potential of all nodes at the start
    pub start_mv: f64,
    /// threshold of potentiation in mM^4 ms; `None`: no potentiation
    pub theta: Option<f64>,
    /// the AMPA gain follows the lagged integral, which has a time constant of 500 ms, every so many steps
    pub gain_every: usize,
    /// distance of the rows of the channel tables
    pub table_mv: f64,
    /// current pulse of a query: nA, ms
    pub pulse: (f64, f64),
    /// trials side by side, at most: 1, 2, 4, 8 or 16
    pub lanes: usize,
    pub record: Option<Record>,
    /// when integrals are read once more, before the end
    pub read_at_ms: Option<f64>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            duration_ms: 1150.0,
            dt_ms: 0.025,
            start_mv: -75.0,
            theta: None,
            gain_every: 10,
            table_mv: 0.1,
            pulse: (4.0, 1.0),
            lanes: 16,
            record: None,
            read_at_ms: None,
        }
    }
}

impl Run {
    /// For the full model: fine tables, gain at every step.
    #[must_use]
    pub fn fine() -> Self {
        Self { gain_every: 1, table_mv: 0.02, ..Self::default() }
    }
}

/// What is written down during a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub from_ms: f64,
    pub to_ms: f64,
    /// every so many steps
    pub every: usize,
    pub what: Vec<Quantity>,
}

/// A number at one place, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// mV of a node
    Potential(usize),
    /// mM in a head
    Calcium(usize),
    /// mM^4 ms of a head
    Integral(usize),
    /// mM^4 ms of a head, as potentiation sees it
    Lagged(usize),
    /// factor of a head's AMPA conductance: 1 without potentiation
    Gain(usize),
}

/// Result of one trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// times of the somatic potential's local maxima above 0 mV
    pub spikes_ms: Vec<f64>,
    /// integral of each head at the end, mM^4 ms
    pub integrals: Vec<f64>,
    /// the same at [`Run::read_at_ms`]
    pub read: Vec<f64>,
    /// times of the recorded samples
    pub times_ms: Vec<f64>,
    /// samples of each recorded quantity
    pub traces: Vec<Vec<f64>>,
}

/// Runs trials of one neuron.
///
/// # Errors
/// Parameters out of range; trains that do not fit the neuron, do not rise or leave the run; a potential that is no longer
/// finite.
pub fn run(neuron: &Neuron, trials: &[Trial], run: &Run) -> Result<Vec<Outcome>, CableError> {
    check(neuron, run)?;
    trials.iter().enumerate().try_for_each(|(i, t)| check_trial(neuron, i, t, run))?;
    let model = Model::new(neuron, run.dt_ms, run.table_mv);
    // Places without a trial would cost as much as those with one.
    match run.lanes.min(trials.len().max(1).next_power_of_two()) {
        1 => groups::<1>(neuron, &model, trials, run),
        2 => groups::<2>(neuron, &model, trials, run),
        4 => groups::<4>(neuron, &model, trials, run),
        8 => groups::<8>(neuron, &model, trials, run),
        _ => groups::<16>(neuron, &model, trials, run),
    }
}

fn check(neuron: &Neuron, run: &Run) -> Result<(), CableError> {
    if ![1, 2, 4, 8, 16].contains(&run.lanes) {
        return Err(CableError::Lanes { lanes: run.lanes });
    }
    positive("duration in ms", run.duration_ms)?;
    positive("time step in ms", run.dt_ms)?;
    if run.dt_ms > LONGEST_STEP_MS {
        return Err(CableError::StepTooCoarse { dt_ms: run.dt_ms, longest_ms: LONGEST_STEP_MS });
    }
    if run.duration_ms / run.dt_ms > 1e10 {
        let what = "duration in steps".to_owned();
        return Err(CableError::OutOfRange {
            what,
            value: run.duration_ms / run.dt_ms,
            range: "at most 10^10",
        });
    }
    finite("start potential", run.start_mv)?;
    if let Some(theta) = run.theta {
        positive("threshold of potentiation", theta)?;
    }
    if !(run.table_mv >= 1e-3 && run.table_mv <= 1.0) {
        let what = "distance of table rows in mV".to_owned();
        return Err(CableError::OutOfRange { what, value: run.table_mv, range: "from 0.001 to 1" });
    }
    positive("number of steps between gains", run.gain_every as f64)?;
    finite("current of a pulse", run.pulse.0)?;
    positive("duration of a pulse", run.pulse.1)?;
    if let Some(at) = run.read_at_ms.filter(|at| !(0.0..=run.duration_ms).contains(at)) {
        let (what, duration_ms) = ("reading of integrals", run.duration_ms);
        return Err(CableError::WindowOutsideRun { what, from_ms: at, to_ms: at, duration_ms });
    }
    let Some(record) = &run.record else { return Ok(()) };
    let (from_ms, to_ms, duration_ms) = (record.from_ms, record.to_ms, run.duration_ms);
    if !(from_ms >= 0.0 && from_ms < to_ms && to_ms <= duration_ms) {
        return Err(CableError::WindowOutsideRun { what: "recording", from_ms, to_ms, duration_ms });
    }
    positive("number of steps between samples", record.every as f64)?;
    record.what.iter().try_for_each(|q| {
        let (what, index, count) = match *q {
            Quantity::Potential(i) => ("node", i, neuron.nodes.len()),
            Quantity::Calcium(i) | Quantity::Integral(i) | Quantity::Lagged(i) | Quantity::Gain(i) => {
                ("spine head", i, neuron.heads.len())
            }
        };
        if index < count { Ok(()) } else { Err(CableError::NoSuch { what, index, count }) }
    })
}

fn check_trial(neuron: &Neuron, index: usize, trial: &Trial, run: &Run) -> Result<(), CableError> {
    if trial.keys.len() != neuron.axons {
        return Err(CableError::Trains { trial: index, trains: trial.keys.len(), axons: neuron.axons });
    }
    let names = (0..neuron.axons).map(|a| format!("axon {a}"));
    let trains = names.zip(&trial.keys).chain([("the query".to_owned(), &trial.queries)]);
    for (what, train) in trains {
        for (i, &time_ms) in train.iter().enumerate() {
            if !(0.0..=run.duration_ms).contains(&time_ms) {
                return Err(CableError::TimeOutsideRun {
                    trial: index,
                    what,
                    time_ms,
                    duration_ms: run.duration_ms,
                });
            }
            if i > 0 && train[i - 1] > time_ms {
                return Err(CableError::UnsortedTrain {
                    trial: index,
                    what,
                    before_ms: train[i - 1],
                    time_ms,
                });
            }
        }
    }
    let step = |ms: f64| arrives_in(neuron, ms, run.dt_ms);
    for (axon, train) in trial.keys.iter().enumerate() {
        if let Some([before_ms, time_ms]) = train.array_windows().find(|[a, b]| step(*a) == step(*b)) {
            let (what, before_ms, time_ms) = (format!("axon {axon}"), *before_ms, *time_ms);
            return Err(CableError::SameStep { trial: index, what, before_ms, time_ms });
        }
    }
    Ok(())
}

/// The step that a spike arrives in: the first whose middle it does not exceed.
fn arrives_in(neuron: &Neuron, spike_ms: f64, dt_ms: f64) -> usize {
    ((spike_ms + neuron.synapses.delay_ms) / dt_ms - 0.5).ceil().max(0.0) as usize
}

fn groups<const L: usize>(
    neuron: &Neuron,
    model: &Model,
    trials: &[Trial],
    run: &Run,
) -> Result<Vec<Outcome>, CableError> {
    let indexed: Vec<_> = trials.chunks(L).enumerate().collect();
    let results: Vec<_> =
        indexed.into_par_iter().map(|(g, trials)| group::<L>(neuron, model, g * L, trials, run)).collect();
    let mut outcomes = Vec::with_capacity(trials.len());
    for result in results {
        outcomes.extend(result?);
    }
    Ok(outcomes)
}

/// A spike on its way: step of arrival, place of the trial, axon.
type Arrival = (usize, usize, usize);

/// Spikes by the step that they arrive in.
fn arrivals(neuron: &Neuron, trials: &[Trial], dt_ms: f64) -> Vec<Arrival> {
    let mut list = Vec::new();
    for (lane, trial) in trials.iter().enumerate() {
        for (axon, train) in trial.keys.iter().enumerate() {
            list.extend(train.iter().map(|&s| (arrives_in(neuron, s, dt_ms), lane, axon)));
        }
    }
    list.sort_unstable();
    list
}

/// Runs at most `L` trials, of which the first is number `offset`.
fn group<const L: usize>(
    neuron: &Neuron,
    model: &Model,
    offset: usize,
    trials: &[Trial],
    run: &Run,
) -> Result<Vec<Outcome>, CableError> {
    let dt = run.dt_ms;
    let steps = (run.duration_ms / dt).round().max(1.0) as usize;
    let mut heads_of = vec![Vec::new(); neuron.axons];
    neuron.heads.iter().enumerate().for_each(|(i, h)| heads_of[h.axon].push(i));
    let arrivals = arrivals(neuron, trials, dt);
    let mut due = arrivals.iter().peekable();
    let mut next_query = vec![0usize; trials.len()];
    let mut state = State::<L>::new(model, run.start_mv);
    let mut outcomes = vec![Outcome::default(); trials.len()];
    let mut recorder = run.record.as_ref().map(|r| Recorder::new(r, dt, &mut outcomes));
    // The last two somatic potentials.
    let mut before = [[run.start_mv; L]; 2];
    if let Some(r) = &mut recorder {
        r.sample(0, &state, &mut outcomes);
    }
    let read_at = run.read_at_ms.map(|at| (at / dt).round() as usize);
    for n in 0..steps {
        if read_at == Some(n) {
            read(&state, &mut outcomes);
        }
        while let Some(&&(_, lane, axon)) = due.peek().filter(|a| a.0 <= n) {
            heads_of[axon].iter().for_each(|&h| state.heads[h].spike(lane));
            due.next();
        }
        let middle = (n as f64 + 0.5) * dt;
        for (lane, trial) in trials.iter().enumerate() {
            let next = &mut next_query[lane];
            while trial.queries.get(*next).is_some_and(|q| middle >= q + run.pulse.1) {
                *next += 1;
            }
            if trial.queries.get(*next).is_some_and(|q| middle >= *q) {
                state.inject(model, lane, run.pulse.0);
            }
        }
        if let Some(theta) = run.theta.filter(|_| n % run.gain_every == 0) {
            state.potentiate(&model.spine, theta);
        }
        step(model, &mut state);
        let soma = state.v[model.soma].0;
        for (lane, outcome) in outcomes.iter_mut().enumerate() {
            let peak = before[1][lane];
            if peak > 0.0 && peak > before[0][lane] && peak >= soma[lane] {
                outcome.spikes_ms.push(n as f64 * dt);
            }
        }
        before = [before[1], soma];
        if let Some(r) = &mut recorder {
            r.sample(n + 1, &state, &mut outcomes);
        }
        if n % 1000 == 999 || n + 1 == steps {
            // The soma is coupled to every node: what is not finite elsewhere is not finite there in the next step.
            if let Some(lane) = (0..trials.len()).find(|&l| !soma[l].is_finite()) {
                return Err(CableError::Diverged { trial: offset + lane, at_ms: (n + 1) as f64 * dt });
            }
        }
    }
    for (lane, outcome) in outcomes.iter_mut().enumerate() {
        outcome.integrals = state.heads.iter().map(|h| h.integral[lane]).collect();
    }
    if read_at.is_some_and(|at| at >= steps) {
        read(&state, &mut outcomes);
    }
    Ok(outcomes)
}

/// Reads the integrals of all heads.
fn read<const L: usize>(state: &State<L>, outcomes: &mut [Outcome]) {
    for (lane, outcome) in outcomes.iter_mut().enumerate() {
        outcome.read = state.heads.iter().map(|h| h.integral[lane]).collect();
    }
}

/// Takes samples while a window is open.
struct Recorder<'a> {
    record: &'a Record,
    first: usize,
    last: usize,
    dt_ms: f64,
}

impl<'a> Recorder<'a> {
    fn new(record: &'a Record, dt_ms: f64, outcomes: &mut [Outcome]) -> Self {
        let step = |ms: f64| (ms / dt_ms).round() as usize;
        outcomes.iter_mut().for_each(|o| o.traces = vec![Vec::new(); record.what.len()]);
        Self { record, first: step(record.from_ms), last: step(record.to_ms), dt_ms }
    }

    /// Samples the state after `steps` steps.
    fn sample<const L: usize>(&mut self, steps: usize, state: &State<L>, outcomes: &mut [Outcome]) {
        let open = (self.first..=self.last).contains(&steps);
        if !open || !(steps - self.first).is_multiple_of(self.record.every) {
            return;
        }
        for (lane, outcome) in outcomes.iter_mut().enumerate() {
            outcome.times_ms.push(steps as f64 * self.dt_ms);
            for (trace, what) in outcome.traces.iter_mut().zip(&self.record.what) {
                trace.push(match *what {
                    Quantity::Potential(i) => state.v[i].0[lane],
                    Quantity::Calcium(i) => state.heads[i].calcium[lane],
                    Quantity::Integral(i) => state.heads[i].integral[lane],
                    Quantity::Lagged(i) => state.heads[i].lagged[lane],
                    Quantity::Gain(i) => state.heads[i].gain[lane],
                });
            }
        }
    }
}
