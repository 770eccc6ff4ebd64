//! Gates of a membrane, four at a time, as tables over the potential.
//!
//! Four gates that act on one membrane form a [`Quartet`]. A row holds, at one potential, where the four gates go and the
//! part of the way they go in one step, `1 - exp(-dt / tau)`, with the slopes to the next row. A step of a gate is exact
//! for a constant potential; between rows the table is linear.
//!
//! Potentials beyond the table are taken as its ends.

use super::rates::{
    Sampled, Target, apical_kv3, apical_m, apical_sodium, basal_h, fast_potassium, persistent_sodium,
    slow_potassium, soma_m, soma_sodium,
};

pub const LOW_MV: f64 = -150.0;
pub const HIGH_MV: f64 = 110.0;

/// Which four gates; the shift is that of the sodium channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quartet {
    /// sodium m, h; Kv3; M-type
    Apical,
    /// sodium m, h; fast potassium; persistent sodium
    Soma { shift_mv: f64 },
    /// slow potassium a, b, b1; M-type
    SlowSoma,
    /// H in the third place
    Basal,
}

impl Quartet {
    /// The four gates as functions of the potential.
    fn gates(self) -> Box<dyn Fn(f64) -> [Target; 4]> {
        let none = Target { steady: 0.0, tau_ms: 1.0 };
        match self {
            Self::Apical => Box::new(|v| {
                let [m, h] = apical_sodium(v);
                [m, h, apical_kv3(v), apical_m(v)]
            }),
            Self::Soma { shift_mv } => {
                let m = Sampled::of(|u| soma_sodium(u)[0]);
                let h = Sampled::of(|u| soma_sodium(u)[1]);
                let n = Sampled::of(fast_potassium);
                Box::new(move |v| [m.at(v - shift_mv), h.at(v - shift_mv), n.at(v), persistent_sodium(v)])
            }
            Self::SlowSoma => Box::new(|v| {
                let [a, b, b1] = slow_potassium(v);
                [a, b, b1, soma_m(v)]
            }),
            Self::Basal => Box::new(move |v| [none, none, basal_h(v), none]),
        }
    }

    /// Open fractions of the three currents of a quartet, from its gates.
    ///
    /// All but [`Quartet::SlowSoma`] have `m^3 h`, the third gate and the fourth; that has `a^2 (b + b1) / 2` and the
    /// fourth.
    #[inline(always)]
    pub fn open(self, s: &[f64; 4]) -> [f64; 3] {
        match self {
            Self::SlowSoma => [s[0] * s[0] * (s[1] + s[2]) * 0.5, 0.0, s[3]],
            _ => [s[0] * s[0] * s[0] * s[1], s[2], s[3]],
        }
    }
}

/// Open fractions of the four gates of a quartet, aligned with the registers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(32))]
pub struct Gates(pub [f64; 4]);

/// One row: targets and their slopes, parts of the way and their slopes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Row {
    pub steady: [f64; 4],
    pub steady_slope: [f64; 4],
    pub part: [f64; 4],
    pub part_slope: [f64; 4],
}

/// Gates of a quartet at evenly spaced potentials, for one time step.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub rows: Vec<Row>,
    grid: Grid,
}

/// Evenly spaced potentials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    low: f64,
    per_mv: f64,
    last: f64,
}

/// Adding it to a number below 2^52 leaves the nearest whole number in the low bits.
const WHOLE: f64 = 4_503_599_627_370_496.0;

impl Grid {
    #[must_use]
    pub fn new(low: f64, high: f64, intervals: usize) -> Self {
        Self { low, per_mv: intervals as f64 / (high - low), last: intervals as f64 }
    }

    /// Interval of a potential and the part of it that lies below; the ends for what is outside, 0 for NaN.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, v: f64) -> (usize, f64) {
        let (bits, [part]) = self.at_all(&[v]);
        (row(bits[0]), part)
    }

    /// The same for several potentials: intervals in the low bits ([`row`]), so that the loop vectorises.
    #[inline(always)]
    fn at_all<const L: usize>(&self, v: &[f64; L]) -> ([u64; L], [f64; L]) {
        let (mut bits, mut part) = ([0; L], [0.0; L]);
        for l in 0..L {
            let x = (v[l] - self.low) * self.per_mv;
            let x = if x > 0.0 { x } else { 0.0 };
            let x = if x < self.last { x } else { self.last };
            let whole = (x - 0.5) + WHOLE;
            // x = 0 rounds to -0.5 + WHOLE = WHOLE - 0.5, whose nearest representable neighbours are WHOLE -0.5 and WHOLE
            let whole = if whole < WHOLE { WHOLE } else { whole };
            bits[l] = whole.to_bits();
            part[l] = x - (whole - WHOLE);
        }
        (bits, part)
    }
}

/// The whole number in the low bits.
#[inline(always)]
fn row(bits: u64) -> usize {
    bits as u32 as usize
}

impl Table {
    /// Rows every `step_mv` between [`LOW_MV`] and [`HIGH_MV`].
    #[must_use]
    pub fn new(quartet: Quartet, step_mv: f64, dt_ms: f64) -> Self {
        let intervals = ((HIGH_MV - LOW_MV) / step_mv).ceil() as usize;
        let step = (HIGH_MV - LOW_MV) / intervals as f64;
        let gates = quartet.gates();
        let point = |i: usize| {
            let targets = gates(LOW_MV + step * i as f64);
            // the published time constant of b1 is negative below -115 mV, out of physical reach
            let part = |t: Target| if t.tau_ms > 0.0 { -(-dt_ms / t.tau_ms).exp_m1() } else { 1.0 };
            (targets.map(|t| t.steady), targets.map(part))
        };
        let points: Vec<_> = (0..intervals + 2).map(point).collect();
        let slope = |a: [f64; 4], b: [f64; 4]| [b[0] - a[0], b[1] - a[1], b[2] - a[2], b[3] - a[3]];
        let rows = points.windows(2).map(|w| Row {
            steady: w[0].0,
            steady_slope: slope(w[0].0, w[1].0),
            part: w[0].1,
            part_slope: slope(w[0].1, w[1].1),
        });
        Self { rows: rows.collect(), grid: Grid::new(LOW_MV, HIGH_MV, intervals) }
    }

    /// Moves the gates of several trials by one step at their potentials.
    #[inline(always)]
    pub fn advance<const L: usize>(&self, v: &[f64; L], gates: &mut [Gates; L]) {
        let (bits, parts) = self.grid.at_all(v);
        for l in 0..L {
            let (row, f, old) = (&self.rows[row(bits[l])], parts[l], gates[l].0);
            gates[l].0 = std::array::from_fn(|g| {
                let steady = row.steady[g] + f * row.steady_slope[g];
                let part = row.part[g] + f * row.part_slope[g];
                old[g] + part * (steady - old[g])
            });
        }
    }

    /// Where the gates are after a long time at `v`.
    #[must_use]
    pub fn steady(&self, v: f64) -> [f64; 4] {
        let (i, f) = self.grid.at(v);
        let row = &self.rows[i];
        std::array::from_fn(|g| row.steady[g] + f * row.steady_slope[g])
    }
}

/// A function at evenly spaced potentials, with slopes per mV.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    rows: Vec<[f64; 2]>,
    grid: Grid,
}

impl Curve {
    #[must_use]
    pub fn new(low: f64, high: f64, intervals: usize, f: impl Fn(f64) -> f64) -> Self {
        let step = (high - low) / intervals as f64;
        let points: Vec<f64> = (0..intervals + 2).map(|i| f(low + step * i as f64)).collect();
        let rows = points.windows(2).map(|w| [w[0], w[1] - w[0]]).collect();
        Self { rows, grid: Grid::new(low, high, intervals) }
    }

    /// Values and slopes per mV.
    #[inline(always)]
    #[must_use]
    pub fn at<const L: usize>(&self, v: &[f64; L]) -> ([f64; L], [f64; L]) {
        let (bits, parts) = self.grid.at_all(v);
        let (mut value, mut rise) = ([0.0; L], [0.0; L]);
        for l in 0..L {
            [value[l], rise[l]] = self.rows[row(bits[l])];
        }
        for l in 0..L {
            value[l] += parts[l] * rise[l];
            rise[l] *= self.grid.per_mv;
        }
        (value, rise)
    }
}
