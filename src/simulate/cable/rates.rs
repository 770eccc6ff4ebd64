//! Steady state and time constant of every gate, from the potential in mV.
//!
//! Two families, both for 37 degrees: the channels of the apical tree (sodium, Kv3, M-type), and those of soma,
//! basal dendrite and axon. Rates are products of [`linoid`] functions, exponentials and logistic functions.
//!
//! The second family was published as tables of 200 points between -120 and 100 mV, read by linear interpolation
//! ([`Sampled`]). Spike times depend on that interpolation, so it is kept.
//!
//! # Source
//! The equations are those of Ellwood 2024 (match-and-control); soma and axon go back to Bahl et al. 2012.

/// Factor by which rates grow for 10 degrees.
const Q10: f64 = 2.3;

/// Where a gate goes, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// open fraction at rest, in `[0, 1]`
    pub steady: f64,
    pub tau_ms: f64,
}

impl Target {
    /// From opening rate `a` and closing rate `b`, per ms, `tau` divided by `speed`.
    fn of(a: f64, b: f64, speed: f64) -> Self {
        Self { steady: a / (a + b), tau_ms: 1.0 / (speed * (a + b)) }
    }
}

/// `a x / (1 - exp(-x / q))`, continued through its removable singularity at 0.
#[must_use]
pub fn linoid(a: f64, x: f64, q: f64) -> f64 {
    if x.abs() > 1e-6 { a * x / (1.0 - (-x / q).exp()) } else { a * (q + x / 2.0) }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Sodium of the apical tree: activation and inactivation (`g m^3 h`).
#[must_use]
pub fn apical_sodium(v: f64) -> [Target; 2] {
    let speed = Q10.powf(1.3);
    [
        Target::of(linoid(0.182, v + 38.0, 6.0), linoid(0.124, -(v + 38.0), 6.0), speed),
        Target::of(linoid(0.015, -(v + 66.0), 6.0), linoid(0.015, v + 66.0, 6.0), speed),
    ]
}

/// Kv3 of the apical tree.
#[must_use]
pub fn apical_kv3(v: f64) -> Target {
    Target {
        steady: 1.0 / (1.0 + (-(v - 18.7) / 9.7).exp()),
        tau_ms: 4.0 / (1.0 + (-(v + 46.56) / 44.14).exp()),
    }
}

/// M-type potassium of the apical tree.
#[must_use]
pub fn apical_m(v: f64) -> Target {
    let x = 0.1 * (v + 35.0);
    Target::of(3.3e-3 * x.exp(), 3.3e-3 * (-x).exp(), Q10.powf(1.3))
}

/// Factor of the densities of sodium and fast potassium of soma and axon.
#[must_use]
pub fn soma_speed() -> f64 {
    Q10.powf(1.4)
}

/// Factor of the density of slow potassium of the soma.
#[must_use]
pub fn slow_potassium_speed() -> f64 {
    Q10.powf(1.6)
}

/// Sodium of soma and axon at `u` = potential minus shift: activation and inactivation (`g m^3 h`).
#[must_use]
pub fn soma_sodium(u: f64) -> [Target; 2] {
    let speed = soma_speed();
    let h = Target::of(linoid(0.024, u + 50.0, 5.0), linoid(0.0091, -(u + 75.0), 5.0), speed);
    [
        Target::of(linoid(0.182, u + 28.0, 9.0), linoid(0.124, -(u + 28.0), 9.0), speed),
        Target { steady: 1.0 / (1.0 + ((u + 55.0) / 6.2).exp()), ..h },
    ]
}

/// Fast potassium of the soma (`g n`).
#[must_use]
pub fn fast_potassium(v: f64) -> Target {
    Target::of(linoid(0.02, v - 25.0, 9.0), linoid(0.002, -(v - 25.0), 9.0), soma_speed())
}

/// Slow potassium of the soma (`g a^2 (b + b1) / 2`): `a`, `b`, `b1`.
#[must_use]
pub fn slow_potassium(v: f64) -> [Target; 3] {
    let alpha = linoid(0.0052, v - 11.1, 13.1);
    let beta = 0.01938 * (-(v + 1.27) / 71.0).exp() - 0.0053;
    let steady = 1.0 / (1.0 + ((v + 58.0) / 11.0).exp());
    let bell = (-((v + 75.0) / 48.0).powi(2)).exp();
    [
        Target::of(alpha, beta, 1.0),
        Target { steady, tau_ms: 360.0 + (1010.0 + 23.7 * (v + 54.0)) * bell },
        Target { steady, tau_ms: 2350.0 + 1380.0 * (-0.01118 * v).exp() - 210.0 * (-0.0306 * v).exp() },
    ]
}

/// Persistent sodium of the soma (`g m`).
#[must_use]
pub fn persistent_sodium(v: f64) -> Target {
    let x = (v + 40.0) / 10.0;
    let tau_ms = if v < -40.0 { 0.025 + 0.14 * x.exp() } else { 0.02 + 0.145 * (-x).exp() };
    Target { steady: logistic((v + 48.0) / 10.0), tau_ms }
}

/// M-type potassium of the soma (`g m`).
#[must_use]
pub fn soma_m(v: f64) -> Target {
    let x = (v + 35.0) / 20.0;
    let tau_ms = 1000.0 / Q10.powf(0.1) / (3.3 * x.exp() + (-x).exp());
    Target { steady: logistic((v + 35.0) / 10.0), tau_ms }
}

/// Hyperpolarisation-activated current of the basal dendrite (`g q`).
#[must_use]
pub fn basal_h(v: f64) -> Target {
    Target::of(linoid(0.00643, -(v + 154.9), 11.9), 0.193 * (v / 33.1).exp(), 1.0)
}

/// A gate known at 200 points between -120 and 100 mV, linear in between and constant outside.
#[derive(Clone, Debug)]
pub struct Sampled(Vec<Target>);

impl Sampled {
    const LOW_MV: f64 = -120.0;
    const HIGH_MV: f64 = 100.0;
    const POINTS: usize = 200;

    #[must_use]
    pub fn of(gate: impl Fn(f64) -> Target) -> Self {
        let step = (Self::HIGH_MV - Self::LOW_MV) / (Self::POINTS - 1) as f64;
        Self((0..Self::POINTS).map(|i| gate(Self::LOW_MV + step * i as f64)).collect())
    }

    #[must_use]
    pub fn at(&self, v: f64) -> Target {
        let step = (Self::HIGH_MV - Self::LOW_MV) / (Self::POINTS - 1) as f64;
        let x = ((v - Self::LOW_MV) / step).clamp(0.0, (Self::POINTS - 1) as f64);
        let i = (x as usize).min(Self::POINTS - 2);
        let (f, a, b) = (x - i as f64, self.0[i], self.0[i + 1]);
        Target { steady: a.steady + f * (b.steady - a.steady), tau_ms: a.tau_ms + f * (b.tau_ms - a.tau_ms) }
    }
}
