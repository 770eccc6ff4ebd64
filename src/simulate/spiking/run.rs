//! Runs the trials of a plan, and scores them.

use super::plan::Plan;
use super::score::Scored;
use super::traces::Recorded;
use crate::seed;
use crate::simulate::cable::protocol::delays;
use crate::simulate::cable::score::Control;
use crate::simulate::cable::{CableError, Outcome, Run, Trial, run as run_cable};

/// What came of a plan, in the order of the trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// from the soma to the first spine of each axon; empty if nothing needs them
    pub delays_ms: Vec<f64>,
    pub inputs: Vec<Trial>,
    /// times of somatic spikes; none in closed form
    pub spikes_ms: Vec<Vec<f64>>,
    pub scores: Vec<Scored>,
    /// of each trace, `[trials, samples, places]`
    pub traces: Vec<Vec<f64>>,
}

/// Runs all trials; `done` is told how many are.
///
/// # Errors
/// What the cable refuses, or a potential that is no longer finite.
pub fn run(plan: &Plan, mut done: impl FnMut(usize)) -> Result<Runs, CableError> {
    let needs_delays = plan.repeats() || plan.event.is_some();
    let mut runs = Runs { traces: vec![Vec::new(); plan.traces.len()], ..Runs::default() };
    if needs_delays {
        runs.delays_ms = {
            // These runs are short, and end before anything could be read.
            let settings = Run { read_at_ms: None, ..plan.settings.clone() };
            delays(&plan.neuron, &settings, plan.delay_runs, plan.seed)?
        };
    }
    runs.inputs = (0..plan.trials).map(|i| plan.trial(&runs.delays_ms, i)).collect();
    if plan.event.is_some() {
        closed_form(plan, &mut runs)?;
        done(plan.trials);
        return Ok(runs);
    }
    let recorded = Recorded::of(&plan.traces);
    let settings = Run {
        record: recorded.map(|r| r.record(&plan.traces, plan.settings.dt_ms)),
        lanes: lanes(plan.trials, plan.settings.lanes),
        ..plan.settings.clone()
    };
    let batch = settings.lanes * rayon::current_num_threads().max(1);
    for (number, trials) in runs.inputs.chunks(batch).enumerate() {
        let offset = number * batch;
        let outcomes = run_cable(&plan.neuron, trials, &settings).map_err(|e| counted(e, offset))?;
        for (i, (trial, outcome)) in trials.iter().zip(&outcomes).enumerate() {
            runs.scores.push(scored(plan, offset + i, trial, outcome));
            let mut quantities = 0;
            for (trace, values) in plan.traces.iter().zip(&mut runs.traces) {
                if let Some(recorded) = &recorded {
                    values.extend(trace.of(outcome, recorded, quantities));
                }
                quantities += trace.what.len();
            }
        }
        runs.spikes_ms.extend(outcomes.into_iter().map(|o| o.spikes_ms));
        done(offset + trials.len());
    }
    Ok(runs)
}

/// As many trials side by side as keep all threads busy, at most `most`. Results do not depend on it.
fn lanes(trials: usize, most: usize) -> usize {
    let each = trials.div_ceil(rayon::current_num_threads().max(1));
    each.next_power_of_two().min(most)
}

/// The trial of an error, counted from the first of the run.
fn counted(error: CableError, offset: usize) -> CableError {
    match error {
        CableError::Diverged { trial, at_ms } => CableError::Diverged { trial: trial + offset, at_ms },
        CableError::TimeOutsideRun { trial, what, time_ms, duration_ms } => {
            CableError::TimeOutsideRun { trial: trial + offset, what, time_ms, duration_ms }
        }
        CableError::UnsortedTrain { trial, what, before_ms, time_ms } => {
            CableError::UnsortedTrain { trial: trial + offset, what, before_ms, time_ms }
        }
        CableError::SameStep { trial, what, before_ms, time_ms } => {
            CableError::SameStep { trial: trial + offset, what, before_ms, time_ms }
        }
        other => other,
    }
}

fn scored(plan: &Plan, number: usize, trial: &Trial, outcome: &Outcome) -> Scored {
    let read = if plan.phases.control_ms.is_some() { &outcome.read } else { &outcome.integrals };
    let first = (0..plan.neuron.axons).filter_map(|a| plan.neuron.first_head(a));
    let integrals: Vec<f64> = first.map(|h| read[h] / plan.theta).collect();
    let axon = plan.matched(number);
    let mut score = Scored::of(number, axon, trial.queries.len(), &integrals);
    score.spikes = Some(outcome.spikes_ms.len());
    if let Some((from, _)) = plan.phases.control_ms {
        let of = |axon: usize| Control::count(&trial.keys[axon], &outcome.spikes_ms, from);
        score.control = axon.map(of);
        score.control_spikes = Some(outcome.spikes_ms.iter().filter(|t| **t > from).count());
        let all: Vec<Control> = (0..plan.neuron.axons).map(of).collect();
        score.controller = super::score::controller(&all);
    }
    score
}

fn closed_form(plan: &Plan, runs: &mut Runs) -> Result<(), CableError> {
    let Some(event) = &plan.event else { return Ok(()) };
    for (number, trial) in runs.inputs.iter().enumerate() {
        let mut rng = seed::stream(plan.seed, &format!("event {number}"));
        let end = plan.settings.duration_ms;
        let integrals = event.integrals(trial, &runs.delays_ms, end, &mut rng)?;
        let integrals: Vec<f64> = integrals.iter().map(|g| g / plan.theta).collect();
        runs.scores.push(Scored::of(number, plan.matched(number), trial.queries.len(), &integrals));
    }
    runs.spikes_ms = vec![Vec::new(); plan.trials];
    Ok(())
}
