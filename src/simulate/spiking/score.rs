//! Scores of trials, and their means.
//!
//! `g` is the integral of calcium to the fourth power in the first spine of an axon, in thresholds of potentiation: at the
//! start of the control phase, or, without one, at the end of the run. The axon in control is the one
//! whose spikes most somatic spikes of the control phase follow within 20 ms, if that is more than half of these.
//!
//! A silent trial has no stray spikes, and counts as 0 in the published share of spurious spikes; so the share
//! among trials that were not silent stands beside it.

use crate::simulate::cable::score::Control;

/// One trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    pub trial: usize,
    /// the matched axon
    pub axon: Option<usize>,
    pub queries: usize,
    /// g of the matched axon, over the threshold
    pub matched: Option<f64>,
    /// the largest of the others, and whose it is
    pub best_other: f64,
    pub best: usize,
    /// somatic spikes; none in closed form
    pub spikes: Option<usize>,
    /// of these, in the control phase or after it
    pub control_spikes: Option<usize>,
    /// what followed the matched axon's spikes
    pub control: Option<Control>,
    /// the axon in control
    pub controller: Option<usize>,
}

impl Scored {
    /// From the integrals of all axons, in thresholds.
    #[must_use]
    pub fn of(trial: usize, axon: Option<usize>, queries: usize, integrals: &[f64]) -> Self {
        let mut best = (0, 0.0);
        for (a, &g) in integrals.iter().enumerate().filter(|(a, _)| Some(*a) != axon) {
            if g > best.1 {
                best = (a, g);
            }
        }
        let matched = axon.and_then(|a| integrals.get(a).copied());
        Self { trial, axon, queries, matched, best: best.0, best_other: best.1, ..Self::default() }
    }

    /// Share of stray spikes of a trial that was not silent.
    #[must_use]
    pub fn spurious_if_any(&self) -> Option<f64> {
        self.control.filter(|c| c.spikes > 0).map(|c| c.spurious())
    }
}

/// The axon in control: that of most caused spikes, if these are more than half; of equals the first.
#[must_use]
pub fn controller(all: &[Control]) -> Option<usize> {
    let caused = |c: &Control| c.spikes - c.stray;
    let mut best: Option<usize> = None;
    for (axon, c) in all.iter().enumerate() {
        if best.is_none_or(|b| caused(c) > caused(&all[b])) {
            best = Some(axon);
        }
    }
    best.filter(|b| 2 * caused(&all[*b]) > all[*b].spikes)
}

/// Mean over some trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub mean: f64,
    /// standard deviation over the square root of the number; none of one trial
    pub standard_error: Option<f64>,
    pub trials: usize,
}

impl Mean {
    /// None of no numbers.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        let standard_error = (n > 1).then(|| (squares / (n - 1) as f64 / n as f64).sqrt());
        Some(Self { mean, standard_error, trials: n })
    }
}

/// Means over all trials, by name; what does not apply is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary(pub Vec<(&'static str, Mean)>);

impl Summary {
    #[must_use]
    pub fn of(scores: &[Scored]) -> Self {
        let share = |yes: bool| if yes { 1.0 } else { 0.0 };
        let all = |f: &dyn Fn(&Scored) -> Option<f64>| Mean::of(scores.iter().filter_map(f));
        let rows = [
            ("queries", all(&|s| Some(s.queries as f64))),
            ("matched", all(&|s| s.matched)),
            ("best_other", all(&|s| Some(s.best_other))),
            ("matched_above_others", all(&|s| s.matched.map(|g| share(g > s.best_other)))),
            ("matched_above_theta", all(&|s| s.matched.map(|g| share(g > 1.0)))),
            ("other_above_theta", all(&|s| Some(share(s.best_other > 1.0)))),
            ("matched_in_control", all(&|s| s.control.map(|_| share(s.controller == s.axon)))),
            ("success", all(&|s| s.control.and_then(|c| c.success()))),
            ("spurious", all(&|s| s.control.map(|c| c.spurious()))),
            ("spurious_if_any", all(&Scored::spurious_if_any)),
            ("silent", all(&|s| s.control_spikes.map(|n| share(n == 0)))),
        ];
        Self(rows.into_iter().filter_map(|(name, mean)| mean.map(|m| (name, m))).collect())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<Mean> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, m)| *m)
    }
}
