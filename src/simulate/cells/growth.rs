//! Does a circuit run away? Loops with a gain above one grow without end, and a finite run may end before the numbers do.
//!
//! What comes to rest does so ever more slowly: after a time T it is at most twice as large as after T / 2. A loop with a
//! gain of one grows with time, twofold, and two in a row with its square, fourfold. So a population that closes a delayed
//! loop is **growing** if its largest rate in the second half of a run is more than four times that in the first half, where
//! a half lasts at least ten of the longest time constants or delays (before that, signals are still on their way in).
//! Halves begin with the last change by a lesion.
//!
//! **Deliberately absent:** circuits without loops, which cannot run away, and tokens in time, whose memories grow.

use super::net::Net;
use super::run::time;
use super::settings::Grid;
use crate::circuit::Circuit;
use crate::spec::LayoutSpec;

/// Least length of a half, in time constants or delays.
const HALF: f64 = 10.0;
/// Growth from half to half beyond which a loop has a gain above one.
const FOURFOLD: f64 = 4.0;

/// A population that was still growing when the time was over.
#[derive(Clone, Debug, PartialEq)]
pub struct Growing {
    pub population: String,
    /// largest |rate| of the first half
    pub from: f64,
    /// largest |rate| of the second half
    pub to: f64,
    /// where the second half begins
    pub since_ms: f64,
}

/// Largest rates of the populations that close a loop.
pub struct Growth {
    /// place in the order, and the largest rates of the two halves
    watched: Vec<(usize, [f64; 2])>,
    begin: usize,
    middle: usize,
}

impl Growth {
    /// Watches a run of `most` steps, if it has loops and is long enough to say; `begin` is the last change by a lesion.
    pub fn new(circuit: &Circuit, grid: &Grid, begin: usize, most: usize) -> Option<Self> {
        let middle = begin + most.saturating_sub(begin) / 2;
        let is_long = time(middle - begin, grid.dt_ms) >= HALF * grid.slowest_ms;
        if !is_long || matches!(circuit.layout, LayoutSpec::Time { .. }) {
            return None;
        }
        let from = circuit.recurrent.iter().map(|p| circuit.projection(*p).from);
        let mut places: Vec<usize> =
            from.filter_map(|id| circuit.order.iter().position(|o| *o == id)).collect();
        places.sort_unstable();
        places.dedup();
        let watched: Vec<(usize, [f64; 2])> = places.into_iter().map(|p| (p, [0.0; 2])).collect();
        (!watched.is_empty()).then_some(Self { watched, begin, middle })
    }

    /// Sees the rates of a step.
    pub fn see(&mut self, step: usize, net: &Net<'_>) {
        if step < self.begin {
            return;
        }
        let half = usize::from(step >= self.middle);
        for (place, largest) in &mut self.watched {
            largest[half] = net.rates[*place].iter().fold(largest[half], |m, r| m.max(r.abs()));
        }
    }

    /// The population that grew most, if one is growing.
    pub fn found(&self, net: &Net<'_>, dt_ms: f64) -> Option<Growing> {
        let grew = self.watched.iter().filter(|(_, [a, b])| *b > FOURFOLD * a);
        let factor = |[a, b]: [f64; 2]| b / a;
        let most = grew.max_by(|(_, a), (_, b)| factor(*a).total_cmp(&factor(*b)))?;
        let (place, [from, to]) = *most;
        let since_ms = time(self.middle, dt_ms);
        Some(Growing { population: net.cells[place].of.name.clone(), from, to, since_ms })
    }
}
