//! How late the somatic spike reaches a spine, and how much calcium that leaves there.

use super::lab::{Lab, refused};
use super::published;
use super::stats::{Estimate, line};
use pulvinar::diag::Diagnostics;
use pulvinar::simulate::cable::protocol::{BEST_OFFSET_MS, Offset};
use pulvinar::simulate::cable::{Outcome, Quantity, Record, Run, Trial};

/// Delays against distances, and the line through them.
#[derive(Clone, Debug, PartialEq)]
pub struct Delays {
    pub distances_um: Vec<f64>,
    pub delays_ms: Vec<f64>,
    pub branches: Vec<usize>,
    pub slope_ms_um: f64,
    pub at_zero_ms: f64,
    pub correlation: f64,
}

/// The delays of the first heads of all axons.
#[must_use]
pub fn delays(lab: &Lab<'_>) -> Delays {
    let neuron = &lab.neuron;
    let heads: Vec<_> =
        (0..neuron.axons).filter_map(|a| neuron.first_head(a)).map(|h| neuron.heads[h]).collect();
    let distances_um: Vec<f64> = heads.iter().map(|h| h.distance_um).collect();
    let (slope_ms_um, at_zero_ms, correlation) = line(&distances_um, &lab.delays_ms);
    Delays {
        distances_um,
        delays_ms: lab.delays_ms.clone(),
        branches: heads.iter().map(|h| h.branch).collect(),
        slope_ms_um,
        at_zero_ms,
        correlation,
    }
}

/// Potentials after one query on a silent background.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// from the onset of the query
    pub times_ms: Vec<f64>,
    pub soma_mv: Vec<f64>,
    /// distance of the head, its potential
    pub heads: Vec<(f64, Vec<f64>)>,
}

/// How the somatic spike travels into the first heads of some axons.
///
/// # Errors
/// `U006`: parameters that make no run.
pub fn spreading(lab: &Lab<'_>, axons: &[usize]) -> Result<Spread, Diagnostics> {
    let onset = 100.0;
    let heads: Vec<_> =
        axons.iter().filter_map(|a| lab.neuron.first_head(*a)).map(|h| lab.neuron.heads[h]).collect();
    let nodes = std::iter::once(lab.neuron.soma).chain(heads.iter().map(|h| h.node));
    let what = nodes.map(Quantity::Potential).collect();
    let record = Record { from_ms: onset - 1.0, to_ms: onset + 9.0, every: 2, what };
    let trial = Trial { keys: vec![vec![]; lab.neuron.axons], queries: vec![onset] };
    let settings =
        Run { duration_ms: onset + 10.0, theta: None, record: Some(record), lanes: 1, ..lab.run.clone() };
    let mut outcome = lab.run("one query", &[trial], &settings)?.remove(0);
    let soma_mv = outcome.traces.remove(0);
    Ok(Spread {
        times_ms: outcome.times_ms.iter().map(|t| t - onset).collect(),
        soma_mv,
        heads: heads.iter().map(|h| h.distance_um).zip(outcome.traces).collect(),
    })
}

/// Calcium left by two pairings at one offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtOffset {
    /// from the key spike to the somatic spike in the spine
    pub offset_ms: f64,
    /// in thresholds of the 1-s window
    pub integral: Estimate,
    /// standard deviation over all runs
    pub sd: f64,
    /// the same in closed form, without noise
    pub event: f64,
}

/// The calcium integral against the offset.
///
/// # Errors
/// `U006`: parameters that make no run.
pub fn offsets(lab: &Lab<'_>) -> Result<Vec<AtOffset>, Diagnostics> {
    let theta = lab.theta(1000.0)?;
    let (axons, runs) = lab.sizes.offsets;
    let of_axon = |i: usize| i * lab.neuron.axons / axons.max(1);
    let at: Vec<f64> = if lab.sizes.every_offset {
        (-5..=20).map(f64::from).collect()
    } else {
        published::OFFSETS.iter().map(|o| o.0).collect()
    };
    let offset = |offset_ms: f64, axon: usize| Offset {
        axon,
        delay_ms: lab.delays_ms[axon],
        offset_ms,
        seed: lab.seed,
    };
    let mut trials: Vec<Trial> = Vec::new();
    for &ms in &at {
        for axon in (0..axons).map(of_axon) {
            for run in 0..runs {
                trials.push(offset(ms, axon).trial(&lab.neuron, run).map_err(refused)?);
            }
        }
    }
    let outcomes = lab.run("offsets", &trials, &Offset::settings(&lab.run))?;
    let integral = |(i, o): (usize, &Outcome)| {
        let head = lab.neuron.first_head(of_axon(i / runs)).unwrap_or(0);
        o.integrals[head] / theta
    };
    let each = |(ms, outcomes): (&f64, &[Outcome])| {
        let all: Vec<f64> = outcomes.iter().enumerate().map(integral).collect();
        let integral = Estimate::mean(&all);
        let sd = integral.se * (all.len() as f64).sqrt();
        AtOffset { offset_ms: *ms, integral, sd, event: 2.0 * lab.event.kernel(*ms) / theta }
    };
    Ok(at.iter().zip(outcomes.chunks((axons * runs).max(1))).map(each).collect())
}

/// Root of the mean square distance to the published curve, as a part of its peak.
#[must_use]
pub fn off_by(curve: &[AtOffset]) -> f64 {
    let distance = |(offset, want): &(f64, f64)| {
        let got = curve.iter().find(|c| c.offset_ms == *offset).map_or(f64::NAN, |c| c.integral.value);
        got - want
    };
    published::of_peak(published::OFFSETS.iter().map(|o| (distance(o), o.1)))
}

/// The part of [`off_by`] that chance has: root of the mean square standard error over the peak.
#[must_use]
pub fn off_by_chance(curve: &[AtOffset]) -> f64 {
    let se = |offset: f64| curve.iter().find(|c| c.offset_ms == offset).map_or(f64::NAN, |c| c.integral.se);
    published::of_peak(published::OFFSETS.iter().map(|o| (se(o.0), o.1)))
}

/// Offset at which most calcium is left.
#[must_use]
pub fn best(curve: &[AtOffset]) -> f64 {
    let best = curve.iter().max_by(|a, b| a.integral.value.total_cmp(&b.integral.value));
    best.map_or(BEST_OFFSET_MS, |c| c.offset_ms)
}
