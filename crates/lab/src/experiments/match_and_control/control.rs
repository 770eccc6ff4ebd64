//! The control phase: whether the matched axon drives the soma once the query is silent.
//!
//! Spurious spikes are counted as published: a trial with a silent soma has none. That flatters short windows, so the share
//! among trials in which the soma spiked, the share of all spikes, and spikes per second stand beside it.

use super::lab::{Lab, refused};
use super::stats::Estimate;
use pulvinar::diag::Diagnostics;
use pulvinar::simulate::cable::Trial;
use pulvinar::simulate::cable::protocol::{Controlled, Controlling};

/// Trials of one match window.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub window_ms: f64,
    pub trials: Vec<Controlled>,
}

/// Runs the control phase after a match window.
///
/// # Errors
/// `U006`: parameters that make no run; a window without threshold.
pub fn run(lab: &Lab<'_>, window_ms: f64) -> Result<Phase, Diagnostics> {
    let theta = lab.theta(window_ms)?;
    let controlling = Controlling { window_ms, theta, trials: lab.sizes.controlled, seed: lab.seed };
    controlling.check(&lab.neuron, &lab.delays_ms).map_err(refused)?;
    let numbers = lab.numbers(controlling.trials);
    let inputs: Vec<Trial> =
        numbers.iter().map(|i| controlling.trial(&lab.neuron, &lab.delays_ms, *i)).collect();
    let what = format!("{window_ms} ms match, then control");
    let outcomes = lab.run(&what, &inputs, &controlling.settings(&lab.run))?;
    let scored = numbers.iter().zip(&inputs).zip(&outcomes);
    Ok(Phase { window_ms, trials: scored.map(|((i, t), o)| controlling.score(*i, t, o)).collect() })
}

/// What a set of trials shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcomes {
    pub trials: usize,
    /// share of the matched axon's spikes that the soma followed; trials without such spikes have none
    pub success: Estimate,
    /// share of somatic spikes that followed no spike of the matched axon; 0 for a silent soma
    pub spurious: Estimate,
    /// the same among trials in which the soma spiked
    pub spurious_if_spiking: Estimate,
    /// share of all somatic spikes of all trials
    pub spurious_of_all: Estimate,
    /// spurious spikes per second
    pub spurious_hz: Estimate,
    /// trials in which the soma was silent, in which no key was followed, and without spurious spike
    pub silent: f64,
    pub all_failed: f64,
    pub none_spurious: f64,
}

/// Length of the control phase.
const CONTROL_S: f64 = 1.0;

impl Outcomes {
    /// Of trials that pass a filter.
    #[must_use]
    pub fn of(phase: &Phase, pass: impl Fn(&Controlled) -> bool) -> Self {
        let trials: Vec<&Controlled> = phase.trials.iter().filter(|t| pass(t)).collect();
        let n = trials.len() as f64;
        let share = |f: &dyn Fn(&Controlled) -> bool| trials.iter().filter(|t| f(t)).count() as f64 / n;
        let each = |f: &dyn Fn(&Controlled) -> f64| trials.iter().map(|t| f(t)).collect::<Vec<f64>>();
        let (stray, spikes) = (each(&|t| t.control.stray as f64), each(&|t| t.control.spikes as f64));
        let spiking = trials.iter().filter(|t| t.control.spikes > 0).map(|t| t.control.spurious());
        Self {
            trials: trials.len(),
            success: Estimate::mean(&trials.iter().filter_map(|t| t.control.success()).collect::<Vec<_>>()),
            spurious: Estimate::mean(&each(&|t| t.control.spurious())),
            spurious_if_spiking: Estimate::mean(&spiking.collect::<Vec<_>>()),
            spurious_of_all: Estimate::ratio(&stray, &spikes),
            spurious_hz: Estimate::mean(&each(&|t| t.control.stray as f64 / CONTROL_S)),
            silent: share(&|t| t.control.spikes == 0),
            all_failed: share(&|t| t.control.followed == 0),
            none_spurious: share(&|t| t.control.stray == 0),
        }
    }

    /// Of all trials.
    #[must_use]
    pub fn all(phase: &Phase) -> Self {
        Self::of(phase, |_| true)
    }
}

impl Phase {
    /// Numbers of query spikes, each with what its trials show; those of fewer than `least` trials are left out.
    #[must_use]
    pub fn by_queries(&self, least: usize) -> Vec<(usize, Outcomes)> {
        let most = self.trials.iter().map(|t| t.queries).max().unwrap_or(0);
        let all = (0..=most).map(|n| (n, Outcomes::of(self, |t| t.queries == n)));
        all.filter(|(_, o)| o.trials >= least.max(2)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulvinar::simulate::cable::score::Control;

    #[test]
    fn silent_trials_count_as_published_and_apart() {
        let trial = |queries, keys, followed, spikes, stray| Controlled {
            axon: 0,
            queries,
            control: Control { keys, followed, spikes, stray },
        };
        let phase = Phase {
            window_ms: 500.0,
            trials: vec![
                trial(1, 4, 0, 0, 0),
                trial(2, 4, 4, 5, 1),
                trial(2, 5, 0, 1, 1),
                trial(1, 0, 0, 0, 0),
            ],
        };
        let all = Outcomes::all(&phase);
        assert_eq!(all.success.n, 3, "a trial without keys has no success");
        assert!((all.success.value - 1.0 / 3.0).abs() < 1e-15);
        assert!((all.spurious.value - 1.2 / 4.0).abs() < 1e-15);
        assert!((all.spurious_if_spiking.value - 0.6).abs() < 1e-15);
        assert!((all.spurious_of_all.value - 2.0 / 6.0).abs() < 1e-15);
        assert_eq!((all.silent, all.all_failed, all.none_spurious), (0.5, 0.75, 0.5));
        let by = phase.by_queries(2);
        assert_eq!(by.iter().map(|(n, o)| (*n, o.trials)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    }
}
