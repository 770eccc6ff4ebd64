//! The match phase in closed form: calcium jumps at somatic spikes, no potentials.
//!
//! Each axon keeps the NMDA open fraction `x(t)` (double exponential, peak 1 for one spike, spikes add), calcium above
//! rest `c` and the integral `g`. A query at `p` reaches the spine at `p + delay - 0.2 ms` and adds
//! `A x^q (1 + sigma N(0, 1))` to `c`. In between `c` decays with 15 ms and `g` gains `c^4`, both exactly. For one key
//! spike and one query,
//!
//! ```text
//! K(lag) = A^4 (15 ms / 4) x(lag - 1.2 ms)^(4 q)
//! ```
//!
//! What is missing: coupling of the axons through the potential, depolarisation by their own synapses, attenuation of the
//! spike on its way into the tuft. It is no model of the control phase.

use super::error::{CableError, not_negative, positive};
use super::run::Trial;
use super::spines::{Synapses, normaliser};
use crate::seed;
use rand::Rng;

/// How much earlier than its peak the spike acts in the spine.
const EARLY_MS: f64 = 0.2;

/// Parameters of the closed form.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// calcium that a spike lets in at peak NMDA conductance
    pub jump_mm: f64,
    /// exponent of the open fraction
    pub power: f64,
    /// standard deviation of the jumps, relative
    pub noise: f64,
    pub synapses: Synapses,
}

impl Default for Event {
    fn default() -> Self {
        Self { jump_mm: 2.688e-4, power: 0.8, noise: 0.0, synapses: Synapses::default() }
    }
}

/// What one axon remembers.
#[derive(Clone, Copy, Debug, Default)]
struct Spine {
    now_ms: f64,
    rise: f64,
    fall: f64,
    calcium: f64,
    integral: f64,
}

impl Event {
    /// Integral that one key spike and one query leave, the spike reaching the spine `lag_ms` after the key.
    #[must_use]
    pub fn kernel(&self, lag_ms: f64) -> f64 {
        let t = lag_ms - EARLY_MS - self.synapses.delay_ms;
        if t <= 0.0 {
            return 0.0;
        }
        let (rise, fall) = self.synapses.nmda_ms;
        let open = normaliser(self.synapses.nmda_ms) * ((-t / fall).exp() - (-t / rise).exp());
        (self.jump_mm * open.powf(self.power)).powi(4) * self.synapses.calcium_ms / 4.0
    }

    /// Integral of each axon at `end_ms`, mM^4 ms.
    ///
    /// # Errors
    /// Parameters out of range; a delay missing.
    pub fn integrals(
        &self,
        trial: &Trial,
        delays_ms: &[f64],
        end_ms: f64,
        rng: &mut impl Rng,
    ) -> Result<Vec<f64>, CableError> {
        positive("calcium jump", self.jump_mm)?;
        positive("power of the open fraction", self.power)?;
        not_negative("noise of the jumps", self.noise)?;
        self.synapses.check()?;
        if delays_ms.len() != trial.keys.len() {
            return Err(CableError::Trains { trial: 0, trains: trial.keys.len(), axons: delays_ms.len() });
        }
        let one = |(keys, delay): (&Vec<f64>, &f64)| self.integral(keys, &trial.queries, *delay, end_ms, rng);
        Ok(trial.keys.iter().zip(delays_ms).map(one).collect())
    }

    fn integral(&self, keys: &[f64], queries: &[f64], delay: f64, end_ms: f64, rng: &mut impl Rng) -> f64 {
        let arrives = |s: &f64| (s + self.synapses.delay_ms, true);
        let jumps = |p: &f64| (p + delay - EARLY_MS, false);
        let mut events: Vec<(f64, bool)> =
            keys.iter().map(arrives).chain(queries.iter().map(jumps)).collect();
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut spine = Spine::default();
        for &(at, key) in events.iter().filter(|e| e.0 <= end_ms) {
            self.wait(&mut spine, at);
            if key {
                spine.rise += 1.0;
                spine.fall += 1.0;
            } else {
                let open = normaliser(self.synapses.nmda_ms) * (spine.fall - spine.rise);
                let scatter = if self.noise > 0.0 { 1.0 + self.noise * seed::normal(rng) } else { 1.0 };
                spine.calcium += self.jump_mm * open.max(0.0).powf(self.power) * scatter.max(0.0);
            }
        }
        self.wait(&mut spine, end_ms);
        spine.integral
    }

    /// Moves a spine to `to_ms` without events.
    fn wait(&self, spine: &mut Spine, to_ms: f64) {
        let d = to_ms - spine.now_ms;
        let s = &self.synapses;
        // g' = c^4 exp(-4 t / tau) - g / T
        let (fast, slow) = (4.0 / s.calcium_ms, 1.0 / s.integral_ms);
        let gain = ((-slow * d).exp() - (-fast * d).exp()) / (fast - slow);
        spine.integral = spine.integral * (-slow * d).exp() + spine.calcium.powi(4) * gain;
        spine.calcium *= (-d / s.calcium_ms).exp();
        spine.rise *= (-d / s.nmda_ms.0).exp();
        spine.fall *= (-d / s.nmda_ms.1).exp();
        spine.now_ms = to_ms;
    }
}
