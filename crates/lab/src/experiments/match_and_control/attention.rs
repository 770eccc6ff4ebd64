//! Which axon wins a match phase between vectors, and by which kernel of their inner products.
//!
//! In each trial 15 axons carry random keys, the query is a random vector ([`super::code`]). Two things are asked at
//! the start of the control phase: which of these axons has the largest calcium integral, and how the potentiation of
//! synapses is shared out, `A[j] = (gain[j] - 1) / sum (gain - 1)`: the weights with which the axons then drive the soma.

use super::code::{self, Encoded, FROM_MS, WINDOW_MS};
use super::fits::{Fit, Observed, fit};
use super::lab::{Fidelity, Lab};
use super::matching::closed_form;
use super::potentiation::sigmoid;
use super::stats::{Estimate, line};
use pulvinar::diag::Diagnostics;
use pulvinar::seed;
use pulvinar::simulate::cable::{Quantity, Record, Run, Trial};

/// Time between match window and measurement, the pause of the published protocol.
const PAUSE_MS: f64 = 500.0;
/// Potentiation of at least half of all that is possible.
const POTENTIATED: f64 = 0.5;

/// What was measured in one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub scores: Vec<f64>,
    pub overlaps: Vec<f64>,
    /// calcium integral of each token in thresholds
    pub integrals: Vec<f64>,
    /// share of the largest possible potentiation, from 0 to 1
    pub potentiation: Vec<f64>,
    /// whether an axon without key has a larger integral than all tokens
    pub is_background: bool,
}

/// Trials of one fidelity.
#[derive(Clone, Debug, PartialEq)]
pub struct Race {
    pub fidelity: Fidelity,
    pub trials: Vec<Measured>,
}

/// Integrals of all axons in thresholds, and their potentiation from 0 to 1.
type State = (Vec<f64>, Vec<f64>);

/// Runs trials with vectors.
///
/// # Errors
/// `U006`: parameters that make no run.
pub fn run(lab: &Lab<'_>, fidelity: Fidelity) -> Result<Race, Diagnostics> {
    let theta = lab.theta(WINDOW_MS)?;
    let n = if fidelity == Fidelity::Event { lab.sizes.event.1 } else { lab.sizes.attention };
    let draw = |i: usize| code::draw(lab, &mut seed::stream(lab.seed, &format!("vectors {i}")));
    let encoded: Vec<Encoded> = (0..n).map(draw).collect();
    let inputs: Vec<Trial> = encoded.iter().map(|e| e.trial.clone()).collect();
    let end_ms = FROM_MS + WINDOW_MS + PAUSE_MS;
    let states: Vec<State> = match fidelity {
        Fidelity::Cable => cable(lab, &inputs, end_ms, theta)?,
        Fidelity::Event => closed_form(lab, &inputs, end_ms, "vectors")?
            .into_iter()
            .map(|g| {
                let g: Vec<f64> = g.iter().map(|g| g / theta).collect();
                let open = g.iter().map(|g| potentiation(lab, sigmoid(lab, *g))).collect();
                (g, open)
            })
            .collect(),
    };
    let measured = |(e, (integrals, open)): (&Encoded, &State)| {
        let tokens = |all: &[f64]| e.axons.iter().map(|a| all[*a]).collect::<Vec<f64>>();
        let largest = |all: &mut dyn Iterator<Item = f64>| all.fold(0.0, f64::max);
        let others = integrals.iter().enumerate().filter(|(a, _)| !e.axons.contains(a)).map(|(_, g)| *g);
        let of_tokens = tokens(integrals);
        Measured {
            scores: e.scores.clone(),
            overlaps: e.overlaps.clone(),
            is_background: largest(&mut others.into_iter()) > largest(&mut of_tokens.iter().copied()),
            integrals: of_tokens,
            potentiation: tokens(open),
        }
    };
    Ok(Race { fidelity, trials: encoded.iter().zip(&states).map(measured).collect() })
}

/// Share of the largest possible potentiation of a gain.
fn potentiation(lab: &Lab<'_>, gain: f64) -> f64 {
    (gain - 1.0) / (lab.neuron.synapses.potentiated - 1.0)
}

fn cable(lab: &Lab<'_>, inputs: &[Trial], end_ms: f64, theta: f64) -> Result<Vec<State>, Diagnostics> {
    let heads: Vec<usize> = (0..lab.neuron.axons).filter_map(|a| lab.neuron.first_head(a)).collect();
    let what = heads.iter().map(|h| Quantity::Gain(*h)).collect();
    // one sample, at the end
    let steps = (end_ms / lab.run.dt_ms).round() as usize;
    let record = Record { from_ms: end_ms - lab.run.dt_ms, to_ms: end_ms, every: steps.max(2), what };
    let settings = Run { duration_ms: end_ms, theta: Some(theta), record: Some(record), ..lab.run.clone() };
    let outcomes = lab.run("vectors", inputs, &settings)?;
    let state = |o: &pulvinar::simulate::cable::Outcome| {
        let gains = o.traces.iter().map(|t| potentiation(lab, t.last().copied().unwrap_or(1.0)));
        (heads.iter().map(|h| o.integrals[*h] / theta).collect(), gains.collect())
    };
    Ok(outcomes.iter().map(state).collect())
}

/// What the tokens are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// inner product of the vectors over the root of their dimension
    InnerProduct,
    /// number of bins in which the trains meet
    Overlap,
}

/// What is to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// the axon with the largest integral
    Winner,
    /// shares of potentiation
    Potentiation,
}

impl Score {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InnerProduct => "k.q / sqrt(d)",
            Self::Overlap => "spikes that meet",
        }
    }
}

impl Target {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Winner => "largest integral",
            Self::Potentiation => "shares of potentiation",
        }
    }
}

impl Measured {
    #[must_use]
    pub fn score(&self, score: Score) -> &[f64] {
        if score == Score::InnerProduct { &self.scores } else { &self.overlaps }
    }

    /// Shares of the tokens; `None` where no token is potentiated at least by half.
    #[must_use]
    pub fn shares(&self, target: Target) -> Option<Vec<f64>> {
        match target {
            Target::Winner => {
                let g = &self.integrals;
                let best = (0..g.len()).max_by(|&i, &j| g[i].total_cmp(&g[j]))?;
                Some((0..g.len()).map(|j| f64::from(u8::from(j == best))).collect())
            }
            Target::Potentiation => {
                let total: f64 = self.potentiation.iter().sum();
                let most = self.potentiation.iter().copied().fold(0.0, f64::max);
                (most >= POTENTIATED).then(|| self.potentiation.iter().map(|p| p / total).collect())
            }
        }
    }
}

impl Race {
    /// Scores and shares of all trials that have some.
    #[must_use]
    pub fn observed(&self, score: Score, target: Target) -> Observed {
        let mut observed = Observed::default();
        for trial in &self.trials {
            if let Some(shares) = trial.shares(target) {
                observed.scores.push(trial.score(score).to_vec());
                observed.shares.push(shares);
            }
        }
        observed
    }

    /// Fits of all families.
    #[must_use]
    pub fn fits(&self, score: Score, target: Target, seed: u64) -> Vec<Fit> {
        fit(&self.observed(score, target), seed)
    }

    /// Correlation of the meeting spikes with the inner product over all keys, and of the integral with both.
    #[must_use]
    pub fn correlations(&self) -> [f64; 3] {
        let all = |f: &dyn Fn(&Measured) -> &[f64]| -> Vec<f64> {
            self.trials.iter().flat_map(|t| f(t).iter().copied()).collect()
        };
        let (s, o, g) = (all(&|t| &t.scores), all(&|t| &t.overlaps), all(&|t| &t.integrals));
        [line(&s, &o).2, line(&s, &g).2, line(&o, &g).2]
    }

    /// Share of trials in which no, one, and several tokens are potentiated at least by half.
    #[must_use]
    pub fn potentiated(&self) -> [f64; 3] {
        let mut counts = [0.0; 3];
        for trial in &self.trials {
            counts[trial.potentiation.iter().filter(|p| **p >= POTENTIATED).count().min(2)] += 1.0;
        }
        counts.map(|c| c / self.trials.len() as f64)
    }

    /// Share of trials in which an axon without key has the largest integral.
    #[must_use]
    pub fn background(&self) -> Estimate {
        Estimate::mean(&self.trials.iter().map(|t| f64::from(u8::from(t.is_background))).collect::<Vec<_>>())
    }
}

/// Mean share, and the share that a fit predicts, of tokens whose score lies in a bin.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// mean score of the tokens in it
    pub score: f64,
    pub share: Estimate,
    /// one prediction for each fit
    pub predicted: Vec<f64>,
}

/// Shares against scores; errors are over tokens. Bins of fewer than `least` tokens are left out.
#[must_use]
pub fn binned(
    observed: &Observed,
    fits: &[Fit],
    (from, to): (f64, f64),
    bins: usize,
    least: usize,
) -> Vec<Bin> {
    let mut found: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)> = vec![(vec![], vec![], vec![0.0; fits.len()]); bins];
    for (scores, shares) in observed.scores.iter().zip(&observed.shares) {
        let predicted: Vec<Vec<f64>> =
            fits.iter().map(|f| super::fits::probabilities(f.family, f.b.value, f.lapse, scores)).collect();
        for (j, (s, share)) in scores.iter().zip(shares).enumerate() {
            let bin = ((s - from) / (to - from) * bins as f64).floor();
            if bin >= 0.0 && bin < bins as f64 {
                let bin = &mut found[bin as usize];
                bin.0.push(*s);
                bin.1.push(*share);
                bin.2.iter_mut().zip(&predicted).for_each(|(sum, p)| *sum += p[j]);
            }
        }
    }
    let filled = found.into_iter().filter(|b| b.0.len() >= least.max(2));
    filled
        .map(|(scores, shares, predicted)| {
            let n = scores.len() as f64;
            Bin {
                score: scores.iter().sum::<f64>() / n,
                share: Estimate::mean(&shares),
                predicted: predicted.iter().map(|p| p / n).collect(),
            }
        })
        .collect()
}
