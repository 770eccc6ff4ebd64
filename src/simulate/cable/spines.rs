//! Synapses, calcium and potentiation in spine heads.
//!
//! A presynaptic spike at `s` reaches both receptors at `s + delay`. With peak-normalised double exponentials `a(t)`
//! (AMPA) and `n(t)` (NMDA), summed over spikes,
//!
//! ```text
//! I_AMPA = g_A a(t) k v                    k = 1 - alpha + K alpha        (potentiation, AMPA only)
//! I_NMDA = g_N n(t) B(v) (v + 0.7)         B = 1 / (1 + exp(-0.075 (v + 10)))
//! I_Ca   = 0.021 g_N n(t) B(v) (v - 130)   (a part of I_NMDA, not beside it)
//! Ca'    = max(0, -c I_Ca) + (Ca0 - Ca) / 15 ms
//! g'     = (Ca - Ca0)^4 - g / 20 s
//! d'     = (g - d) / 500 ms
//! alpha  = 1 / (1 + exp(-20 (d / theta - 1)))
//! ```
//!
//! per spine; a head that stands for `n` spines carries `n` times the currents and the calcium of one spine. Calcium does
//! not leave through the neck.

use std::f64::consts::PI;

/// Parameters of the synapses, the same on every spine.
#[derive(Clone, Debug, PartialEq)]
pub struct Synapses {
    /// peak conductance of one spine, not potentiated. The published parameter is 0.016 nS, but its current is counted
    /// twice in the published simulations.
    pub ampa_ns: f64,
    /// peak conductance of one spine before the magnesium block
    pub nmda_ns: f64,
    /// rise and decay
    pub ampa_ms: (f64, f64),
    pub nmda_ms: (f64, f64),
    /// from a presynaptic spike to its receptors
    pub delay_ms: f64,
    pub calcium_ms: f64,
    /// decay of the integral of calcium to the fourth power
    pub integral_ms: f64,
    /// time constant with which potentiation follows the integral
    pub lag_ms: f64,
    pub sharpness: f64,
    /// factor of the AMPA conductance at full potentiation
    pub potentiated: f64,
}

impl Default for Synapses {
    fn default() -> Self {
        Self {
            ampa_ns: 0.032,
            nmda_ns: 0.04,
            ampa_ms: (0.34, 2.0),
            nmda_ms: (2.0, 26.0),
            delay_ms: 1.0,
            calcium_ms: 15.0,
            integral_ms: 20_000.0,
            lag_ms: 500.0,
            sharpness: 20.0,
            potentiated: 8.0,
        }
    }
}

/// Reversal of the NMDA current.
pub const NMDA_MV: f64 = -0.7;
/// Calcium part of the NMDA conductance and its reversal.
pub const CALCIUM_PART: f64 = 0.021;
pub const CALCIUM_MV: f64 = 130.0;
/// Resting calcium.
pub const CALCIUM_REST_MM: f64 = 5e-7;

/// Influx into one spine in mM/ms for an inward calcium current of 1 nA: `1e4 j / (2 F 0.125 18)`, with the current
/// density `j` in mA/cm2 over a head of 0.5 um length and diameter.
#[must_use]
pub fn influx() -> f64 {
    let density = 100.0 / (PI * 0.5 * 0.5);
    1e4 * density / (2.0 * 96_485.33 * 0.125 * 18.0)
}

/// `1 / (peak of exp(-t / fall) - exp(-t / rise))`.
#[must_use]
pub fn normaliser((rise, fall): (f64, f64)) -> f64 {
    let peak = rise * fall / (fall - rise) * (fall / rise).ln();
    1.0 / ((-peak / fall).exp() - (-peak / rise).exp())
}

/// Share of NMDA receptors that magnesium leaves open.
#[must_use]
pub fn unblocked(v: f64) -> f64 {
    1.0 / (1.0 + (-0.075 * (v + 10.0)).exp())
}

/// Gain of the AMPA conductance at a lagged integral of `ratio` thresholds.
#[must_use]
pub fn gain(ratio: f64, sharpness: f64, potentiated: f64) -> f64 {
    let alpha = 1.0 / (1.0 + (-sharpness * (ratio - 1.0)).exp());
    (1.0 - alpha) + potentiated * alpha
}
