//! Spike trains: renewal processes with a dead time.

use super::error::{CableError, not_negative, positive};
use crate::seed;
use rand::Rng;

/// Intervals are a dead time and an exponential rest: `gap = dead + Exp(1000 / rate - dead)` ms. The first spike of a
/// window comes without dead time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    pub rate_hz: f64,
    pub dead_ms: f64,
}

impl Default for Renewal {
    fn default() -> Self {
        Self { rate_hz: 6.0, dead_ms: 50.0 }
    }
}

impl Renewal {
    /// Checks that the rate is possible with this dead time.
    ///
    /// # Errors
    /// A negative dead time, a rate at or above its inverse.
    pub fn check(&self) -> Result<(), CableError> {
        positive("rate in Hz", self.rate_hz)?;
        not_negative("dead time in ms", self.dead_ms)?;
        if 1000.0 / self.rate_hz > self.dead_ms {
            return Ok(());
        }
        let what = "rate in Hz".to_owned();
        Err(CableError::OutOfRange { what, value: self.rate_hz, range: "below 1 / dead time" })
    }

    /// Spikes in `[from_ms, to_ms)`, rising.
    pub fn draw(&self, rng: &mut impl Rng, from_ms: f64, to_ms: f64) -> Vec<f64> {
        let mean = 1000.0 / self.rate_hz - self.dead_ms;
        let mut wait = || -mean * (1.0 - seed::uniform(rng, 0.0, 1.0)).ln();
        let mut times = Vec::new();
        let mut t = from_ms + wait();
        while t < to_ms {
            times.push(t);
            t += self.dead_ms + wait();
        }
        times
    }
}
