//! The trains of one trial.
//!
//! Trial `i` draws from the stream `match i`, or `control i` with a control phase: key trains axon by axon, then the
//! query, then its jitter. Drawn keys fire in the match window and the control window, a drawn query in the match window
//! only. With a matched axon `a`, whose spine the query's spike reaches `delay_a` after the query,
//!
//! - a query that follows repeats the axon in the match window: query = key + lead - delay_a + jitter;
//! - otherwise a drawn axon repeats the query in the match window, key = query - lead + delay_a, and is free afterwards;
//!   given keys are left as they are.
//!
//! Times that this moves out of the run are moved to its nearest end.

use super::plan::Plan;
use super::sources::Source;
use crate::seed;
use crate::simulate::cable::Trial;
use crate::spec::MatchedSpec;

impl Plan {
    /// Does an axon or the query repeat the other, so that delays must be known?
    #[must_use]
    pub fn repeats(&self) -> bool {
        let axon_follows = matches!(self.keys, Source::Drawn(_)) && self.matched != MatchedSpec::None;
        self.query == Source::Follow || axon_follows
    }

    /// The matched axon of a trial.
    #[must_use]
    pub fn matched(&self, trial: usize) -> Option<usize> {
        match self.matched {
            MatchedSpec::InTurn => Some(trial % self.neuron.axons),
            MatchedSpec::Axon(axon) => Some(axon),
            MatchedSpec::None => None,
        }
    }

    /// Input of a trial; `delays_ms` has one delay for each axon, or is empty if nothing [repeats](Self::repeats).
    #[must_use]
    pub fn trial(&self, delays_ms: &[f64], number: usize) -> Trial {
        let kind = if self.phases.control_ms.is_some() { "control" } else { "match" };
        let mut rng = seed::stream(self.seed, &format!("{kind} {number}"));
        let windows: Vec<(f64, f64)> =
            std::iter::once(self.phases.match_ms).chain(self.phases.control_ms).collect();
        let (from, to) = windows[0];
        let mut keys: Vec<Vec<f64>> = match &self.keys {
            Source::Drawn(renewal) => (0..self.neuron.axons)
                .map(|_| windows.iter().flat_map(|w| renewal.draw(&mut rng, w.0, w.1)).collect())
                .collect(),
            Source::Given(trains) => trains.clone(),
            Source::Trials(all) => all.get(number).cloned().unwrap_or_default(),
            Source::Follow => Vec::new(),
        };
        keys.resize(self.neuron.axons, Vec::new());
        let axon = self.matched(number);
        let lead = |axon: usize| self.lead_ms - delays_ms.get(axon).copied().unwrap_or(0.0);
        let of_one = |trains: &[Vec<f64>]| trains.first().cloned().unwrap_or_default();
        let mut queries = match &self.query {
            Source::Drawn(renewal) => renewal.draw(&mut rng, from, to),
            Source::Given(trains) => of_one(trains),
            Source::Trials(all) => all.get(number).map_or_else(Vec::new, |trains| of_one(trains)),
            Source::Follow => axon.map_or_else(Vec::new, |axon| {
                let seen = keys[axon].iter().filter(|k| (from..=to).contains(*k));
                seen.map(|k| k + lead(axon) + self.jitter_ms * seed::normal(&mut rng)).collect()
            }),
        };
        let end = self.settings.duration_ms;
        if let (Some(axon), Source::Drawn(_), false) = (axon, &self.keys, self.query == Source::Follow) {
            let mut train: Vec<f64> = queries.iter().map(|q| q - lead(axon)).collect();
            let free = windows.get(1).map_or(f64::INFINITY, |w| w.0);
            train.extend(keys[axon].iter().filter(|k| **k >= free));
            tidy(&mut train, end);
            keys[axon] = train;
        }
        tidy(&mut queries, end);
        Trial { keys, queries }
    }
}

fn tidy(train: &mut [f64], end_ms: f64) {
    train.iter_mut().for_each(|t| *t = t.clamp(0.0, end_ms));
    train.sort_by(f64::total_cmp);
}
