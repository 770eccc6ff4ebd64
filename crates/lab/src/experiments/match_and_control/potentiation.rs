//! Potentiation: the gain of AMPA synapses against calcium, and single trials in time.

use super::lab::{Lab, refused};
use crate::experiments::setup::unfit;
use pulvinar::diag::Diagnostics;
use pulvinar::simulate::cable::protocol::{Controlled, Controlling};
use pulvinar::simulate::cable::spines::gain;
use pulvinar::simulate::cable::{Outcome, Quantity, Record, Run, Trial};

/// Window of the examples.
const WINDOW_MS: f64 = 1000.0;
/// Trials among which the examples are looked for.
const LOOKED_THROUGH: usize = 24;
/// Steps between two samples.
const EVERY: usize = 10;
/// Potentials are shown by the largest of so many samples, other numbers by the last: 2 ms.
const SAMPLES: usize = 8;

/// The gain at a lagged integral of `ratio` thresholds, by the equation.
#[must_use]
pub fn sigmoid(lab: &Lab<'_>, ratio: f64) -> f64 {
    gain(ratio, lab.neuron.synapses.sharpness, lab.neuron.synapses.potentiated)
}

/// One axon of an example.
#[derive(Clone, Debug, PartialEq)]
pub struct Spine {
    pub axon: usize,
    pub keys_ms: Vec<f64>,
    /// calcium integral and lagged integral, in thresholds; gain of AMPA
    pub integral: Vec<f64>,
    pub lagged: Vec<f64>,
    pub gain: Vec<f64>,
}

/// One trial in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub trial: usize,
    pub queries_ms: Vec<f64>,
    pub spikes_ms: Vec<f64>,
    pub control_from_ms: f64,
    pub success: f64,
    pub times_ms: Vec<f64>,
    /// the largest somatic potential since the sample before
    pub soma_mv: Vec<f64>,
    pub matched: Spine,
    /// the other axon with the largest integral at the end
    pub second: Spine,
}

/// A trial in which the matched axon controls the soma, and one in which it does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    pub success: Example,
    pub failure: Example,
    /// the largest distance between the recorded gains and the equation at the recorded integrals
    pub gain_off: f64,
}

/// Looks for the first success (all of at least 4 keys followed) and the first failure (none of them, although there
/// were at least 3 queries), and runs both again to see them in time.
///
/// # Errors
/// `U006`: parameters that make no run; none of the first trials is such an example.
pub fn examples(lab: &Lab<'_>) -> Result<Examples, Diagnostics> {
    let theta = lab.theta(WINDOW_MS)?;
    let controlling = Controlling { window_ms: WINDOW_MS, theta, trials: LOOKED_THROUGH, seed: lab.seed };
    controlling.check(&lab.neuron, &lab.delays_ms).map_err(refused)?;
    let numbers = lab.numbers(LOOKED_THROUGH);
    let trials: Vec<Trial> =
        numbers.iter().map(|i| controlling.trial(&lab.neuron, &lab.delays_ms, *i)).collect();
    let settings = controlling.settings(&lab.run);
    let outcomes = lab.run("examples", &trials, &settings)?;
    let scored = numbers.iter().zip(&trials).zip(&outcomes);
    let scored: Vec<Controlled> = scored.map(|((i, t), o)| controlling.score(*i, t, o)).collect();
    let find = |what: &str, is: &dyn Fn(&Controlled) -> bool| {
        scored.iter().position(is).ok_or_else(|| {
            unfit("protocol", format!("none of {LOOKED_THROUGH} trials is a {what}")).help("use another seed")
        })
    };
    let enough = |c: &Controlled| c.control.keys >= 4 && c.queries >= 3;
    let success =
        find("success", &|c| enough(c) && c.control.success() == Some(1.0) && c.control.stray == 0)?;
    let failure = find("failure", &|c| enough(c) && c.control.followed == 0)?;
    let pick = [success, failure];
    let matched: Vec<usize> = pick.iter().map(|&i| scored[i].axon).collect();
    let seconds: Vec<usize> =
        pick.iter().zip(&matched).map(|(&i, m)| second(lab, &trials[i], &outcomes[i], *m)).collect();
    let chosen: Vec<Trial> = pick.iter().map(|&i| trials[i].clone()).collect();
    let axons: Vec<usize> = matched.into_iter().chain(seconds).collect();
    let heads: Vec<usize> = axons.iter().filter_map(|a| lab.neuron.first_head(*a)).collect();
    let mut what = vec![Quantity::Potential(lab.neuron.soma)];
    for &head in &heads {
        what.extend([Quantity::Integral(head), Quantity::Lagged(head), Quantity::Gain(head)]);
    }
    let record = Record { from_ms: 0.0, to_ms: settings.duration_ms, every: EVERY, what };
    let recorded = Run { record: Some(record), gain_every: EVERY, lanes: 2, ..settings };
    let outcomes = lab.run("examples in time", &chosen, &recorded)?;
    let mut gain_off: f64 = 0.0;
    let mut example = |place: usize| {
        let (trial, outcome) = (&chosen[place], &outcomes[place]);
        let mut spine = |number: usize| {
            let [integral, lagged, gains] = [1, 2, 3].map(|k| &outcome.traces[3 * number + k]);
            // a sample's gain is that of the integral one sample before
            for (d, k) in lagged.iter().zip(&gains[1..]) {
                gain_off = gain_off.max((sigmoid(lab, d / theta) - k).abs());
            }
            Spine {
                axon: axons[number],
                keys_ms: trial.keys[axons[number]].clone(),
                integral: thinned(integral).map(|g| g / theta).collect(),
                lagged: thinned(lagged).map(|d| d / theta).collect(),
                gain: thinned(gains).collect(),
            }
        };
        let (matched, second) = (spine(place), spine(place + 2));
        Example {
            trial: numbers[pick[place]],
            queries_ms: trial.queries.clone(),
            spikes_ms: outcome.spikes_ms.clone(),
            control_from_ms: controlling.control_from_ms(),
            success: scored[pick[place]].control.success().unwrap_or(0.0),
            times_ms: thinned(&outcome.times_ms).collect(),
            soma_mv: outcome.traces[0]
                .chunks(SAMPLES)
                .map(|c| c.iter().copied().fold(f64::MIN, f64::max))
                .collect(),
            matched,
            second,
        }
    };
    let (success, failure) = (example(0), example(1));
    Ok(Examples { success, failure, gain_off })
}

/// The axon other than the matched one that has the largest integral.
fn second(lab: &Lab<'_>, trial: &Trial, outcome: &Outcome, matched: usize) -> usize {
    let integral = |a: &usize| lab.neuron.first_head(*a).map_or(0.0, |h| outcome.integrals[h]);
    let others = (0..trial.keys.len()).filter(|a| *a != matched);
    others.max_by(|a, b| integral(a).total_cmp(&integral(b))).unwrap_or(matched)
}

/// The last of each few samples.
fn thinned(trace: &[f64]) -> impl Iterator<Item = f64> {
    trace.chunks(SAMPLES).filter_map(|c| c.last().copied())
}
