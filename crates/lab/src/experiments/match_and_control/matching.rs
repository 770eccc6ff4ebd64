//! The match phase: integrals of the axon whose train the query repeats, against all others.

use super::lab::{Fidelity, Lab, refused};
use super::stats::Estimate;
use pulvinar::diag::Diagnostics;
use pulvinar::seed;
use pulvinar::simulate::cable::Trial;
use pulvinar::simulate::cable::protocol::{Matched, Matching, first_integrals};
use pulvinar::simulate::cable::score::{auc, moments, quantile, true_positives};
use rayon::prelude::*;

/// Trials of one window, in thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches {
    pub window_ms: f64,
    pub jitter_ms: f64,
    pub fidelity: Fidelity,
    /// the matched axon, trial by trial
    pub matched: Vec<f64>,
    /// the largest of the others
    pub best_other: Vec<f64>,
    /// all the others
    pub others: Vec<f64>,
}

/// Runs a window.
///
/// # Errors
/// `U006`: parameters that make no run; a window without threshold.
pub fn run(
    lab: &Lab<'_>,
    window_ms: f64,
    jitter_ms: f64,
    fidelity: Fidelity,
) -> Result<Matches, Diagnostics> {
    let theta = lab.theta(window_ms)?;
    let trials = if fidelity == Fidelity::Event { lab.sizes.event.0 } else { lab.sizes.matched };
    let matching = Matching { window_ms, jitter_ms, trials, seed: lab.seed };
    matching.check(&lab.neuron, &lab.delays_ms).map_err(refused)?;
    let numbers = lab.numbers(trials);
    let inputs: Vec<Trial> =
        numbers.iter().map(|i| matching.trial(&lab.neuron, &lab.delays_ms, *i)).collect();
    let integrals = match fidelity {
        Fidelity::Cable => {
            let what = format!("{window_ms} ms match");
            let outcomes = lab.run(&what, &inputs, &matching.settings(&lab.run))?;
            outcomes.iter().map(|o| first_integrals(&lab.neuron, o)).collect()
        }
        Fidelity::Event => closed_form(lab, &inputs, matching.duration_ms(), "match")?,
    };
    let scored = numbers.iter().zip(&inputs).zip(&integrals);
    let scored: Vec<Matched> = scored.map(|((i, t), g)| Matching::score(*i, t, g)).collect();
    Ok(Matches {
        window_ms,
        jitter_ms,
        fidelity,
        matched: scored.iter().map(|m| m.matched / theta).collect(),
        best_other: scored.iter().map(|m| m.best_other() / theta).collect(),
        others: scored.iter().flat_map(|m| m.others.iter().map(|g| g / theta)).collect(),
    })
}

/// Integrals of trials in closed form, each with a random stream of its own.
pub(super) fn closed_form(
    lab: &Lab<'_>,
    trials: &[Trial],
    end_ms: f64,
    name: &str,
) -> Result<Vec<Vec<f64>>, Diagnostics> {
    let one = |(i, trial): (usize, &Trial)| {
        let mut rng = seed::stream(lab.seed, &format!("{name} noise {i}"));
        lab.event.integrals(trial, &lab.delays_ms, end_ms, &mut rng).map_err(refused)
    };
    trials.par_iter().enumerate().map(one).collect()
}

impl Matches {
    /// Area under the ROC curve. Its error is that of a mean over trials of how many of the others' scores the matched one
    /// exceeds and how many of the matched scores exceed the other one (DeLong et al. 1988, for pairs).
    #[must_use]
    pub fn auc(&self) -> Estimate {
        let n = self.matched.len() as f64;
        let placed = |(m, o): (&f64, &f64)| auc(&[*m], &self.best_other) + auc(&self.matched, &[*o]);
        let places: Vec<f64> = self.matched.iter().zip(&self.best_other).map(placed).collect();
        let sd = moments(&places).1 * (n / (n - 1.0)).sqrt();
        Estimate { value: auc(&self.matched, &self.best_other), se: sd / n.sqrt(), n: self.matched.len() }
    }

    /// Rates of true positives at the given rates of false ones.
    #[must_use]
    pub fn roc(&self, rates: &[f64]) -> Vec<f64> {
        rates.iter().map(|r| true_positives(&self.matched, &self.best_other, *r)).collect()
    }

    /// Threshold that a tenth of all trials exceeds with an axon that was not matched, in published thresholds.
    #[must_use]
    pub fn own_threshold(&self) -> f64 {
        quantile(&self.best_other, 0.9)
    }

    /// Share of trials in which the matched axon passes the published threshold.
    #[must_use]
    pub fn passing(&self) -> Estimate {
        Estimate::mean(&self.matched.iter().map(|g| f64::from(u8::from(*g > 1.0))).collect::<Vec<_>>())
    }
}

/// Density of values in bins of `width` from 0 to `to`, at the middle of each; what lies beyond counts in the total.
#[must_use]
pub fn density(values: &[f64], width: f64, to: f64) -> Vec<(f64, f64)> {
    let bins = (to / width).round().max(1.0) as usize;
    let mut counts = vec![0.0; bins];
    for value in values {
        let bin = (value / width).floor();
        if bin >= 0.0 && bin < bins as f64 {
            counts[bin as usize] += 1.0;
        }
    }
    let scale = 1.0 / (values.len().max(1) as f64 * width);
    counts.iter().enumerate().map(|(i, n)| ((i as f64 + 0.5) * width, n * scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_densities_are_those_of_their_numbers() {
        let matches = Matches {
            window_ms: 500.0,
            jitter_ms: 0.0,
            fidelity: Fidelity::Cable,
            matched: vec![2.0, 3.0, 0.5, 4.0],
            best_other: vec![1.0, 2.0, 0.2, 0.1],
            others: vec![],
        };
        // of 16 pairs the matched score is larger in 4 + 2.5.. : 2 > {1, .2, .1} and ties one; 3 and 4 win all; 0.5 two
        let area = matches.auc();
        assert!((area.value - (3.5 + 4.0 + 2.0 + 4.0) / 16.0).abs() < 1e-15, "{area:?}");
        assert!(area.se > 0.05 && area.se < 0.3, "{area:?}");
        assert_eq!(matches.roc(&[0.5]), [0.75]);
        let bins = density(&[0.05, 0.15, 0.16, 9.0], 0.1, 0.2);
        assert_eq!(bins.len(), 2);
        assert!((bins[0].1 - 2.5).abs() < 1e-12 && (bins[1].1 - 5.0).abs() < 1e-12, "{bins:?}");
    }
}
