//! Published numbers, as far as the text, the tables and the printed curves give them.
//!
//! # Source
//! Ellwood 2024 (match-and-control), figures 2 to 5.

/// Delay of the spike in a spine: slope in ms/um and intercept in ms against the distance.
pub const DELAY: (f64, f64) = (0.006802, -2.010);

/// Calcium integral of two pairings by offset in ms, in thresholds of the 1-s window: mean over 300 runs.
pub const OFFSETS: [(f64, f64); 12] = [
    (0.0, 0.0013),
    (2.0, 0.061),
    (3.0, 0.179),
    (4.0, 0.320),
    (5.0, 0.420),
    (6.0, 0.476),
    (7.0, 0.499),
    (8.0, 0.492),
    (10.0, 0.424),
    (12.0, 0.346),
    (15.0, 0.249),
    (20.0, 0.137),
];

/// Root of the mean square of the first numbers, as a part of the peak of the second ones, which are published.
pub(super) fn of_peak(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (n, square, peak) = points.fold((0.0, 0.0, 0.0f64), |(n, square, peak), (distance, published)| {
        (n + 1.0, square + distance * distance, peak.max(published))
    });
    (square / n).sqrt() / peak
}

/// The kernel by lag in ms: the printed curve (peak 1), and a new fit to the published runs in thresholds per pair.
pub const KERNEL: [(f64, f64, f64); 15] = [
    (0.0, -0.02, 0.002),
    (2.0, 0.14, 0.031),
    (3.0, 0.38, 0.095),
    (4.0, 0.64, 0.157),
    (5.0, 0.86, 0.223),
    (6.0, 0.96, 0.231),
    (7.0, 1.0, 0.252),
    (8.0, 0.96, 0.232),
    (10.0, 0.86, 0.212),
    (12.0, 0.72, 0.182),
    (15.0, 0.49, 0.125),
    (20.0, 0.26, 0.062),
    (25.0, 0.14, 0.037),
    (30.0, 0.07, 0.020),
    (40.0, 0.02, 0.005),
];

/// Explained variance of the kernel: as published; of the new fit in training and in test trials.
pub const EXPLAINED: (f64, f64, f64) = (0.81, 0.836, 0.807);

/// The kernel in closed form, in thresholds of the 1-s window per pair.
#[must_use]
pub fn kernel(lag_ms: f64) -> f64 {
    let t = lag_ms - 1.28;
    if t <= 0.0 {
        return 0.0;
    }
    let rise = 1.0 - (-t / 3.25).exp();
    0.7287 * rise * rise * (-t / 7.92).exp()
}

/// A match window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub window_ms: f64,
    pub jitter_ms: f64,
    pub auc: f64,
    /// mean and standard deviation of matched integrals in thresholds; not given with jitter
    pub matched: Option<(f64, f64)>,
    /// the same of unmatched ones
    pub unmatched: (f64, f64),
    /// true positives at the rates of false positives [`RATES`]
    pub roc: [f64; 7],
}

/// Rates of false positives.
pub const RATES: [f64; 7] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5];

pub const WINDOWS: [Window; 5] = [
    Window {
        window_ms: 500.0,
        jitter_ms: 0.0,
        auc: 0.681,
        matched: Some((1.013, 0.542)),
        unmatched: (0.111, 0.151),
        roc: [0.141, 0.219, 0.366, 0.447, 0.561, 0.631, 0.689],
    },
    Window {
        window_ms: 1000.0,
        jitter_ms: 0.0,
        auc: 0.915,
        matched: Some((1.542, 0.599)),
        unmatched: (0.147, 0.154),
        roc: [0.425, 0.569, 0.758, 0.819, 0.887, 0.909, 0.936],
    },
    Window {
        window_ms: 2000.0,
        jitter_ms: 0.0,
        auc: 0.992,
        matched: Some((2.265, 0.682)),
        unmatched: (0.201, 0.161),
        roc: [0.917, 0.957, 0.975, 0.983, 0.990, 0.993, 0.997],
    },
    Window {
        window_ms: 1000.0,
        jitter_ms: 1.0,
        auc: 0.899,
        matched: None,
        unmatched: (0.147, 0.154),
        roc: [0.369, 0.511, 0.679, 0.786, 0.852, 0.902, 0.939],
    },
    Window {
        window_ms: 1000.0,
        jitter_ms: 2.0,
        auc: 0.865,
        matched: None,
        unmatched: (0.147, 0.154),
        roc: [0.312, 0.453, 0.641, 0.729, 0.800, 0.847, 0.900],
    },
];

/// Gain of AMPA by calcium in thresholds.
pub const GAIN: [(f64, f64); 5] = [(0.8, 1.13), (0.9, 1.83), (1.0, 4.5), (1.1, 7.17), (1.2, 7.87)];

/// A control phase, 1,000 trials: means and standard errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    pub window_ms: f64,
    pub success: (f64, f64),
    pub spurious: (f64, f64),
    /// trials in which all keys failed
    pub all_failed: f64,
    /// trials without a spurious spike
    pub none_spurious: f64,
    /// query spikes, success, spurious
    pub by_queries: &'static [(usize, f64, f64)],
}

pub const PHASES: [Phase; 3] = [
    Phase {
        window_ms: 500.0,
        success: (0.336, 0.014),
        spurious: (0.145, 0.010),
        all_failed: 0.580,
        none_spurious: 0.761,
        by_queries: &[
            (1, 0.015, 0.134),
            (2, 0.021, 0.165),
            (3, 0.116, 0.161),
            (4, 0.701, 0.102),
            (5, 0.931, 0.148),
            (6, 0.828, 0.110),
        ],
    },
    Phase {
        window_ms: 1000.0,
        success: (0.683, 0.013),
        spurious: (0.115, 0.008),
        all_failed: 0.235,
        none_spurious: 0.751,
        by_queries: &[
            (3, 0.019, 0.116),
            (4, 0.081, 0.165),
            (5, 0.646, 0.104),
            (6, 0.822, 0.086),
            (7, 0.931, 0.103),
            (8, 0.909, 0.116),
            (9, 0.910, 0.135),
            (10, 0.953, 0.156),
        ],
    },
    Phase {
        window_ms: 2000.0,
        success: (0.913, 0.007),
        spurious: (0.110, 0.007),
        all_failed: 0.028,
        none_spurious: 0.699,
        by_queries: &[
            (7, 0.709, 0.017),
            (8, 0.843, 0.039),
            (9, 0.928, 0.053),
            (10, 0.942, 0.066),
            (11, 0.922, 0.110),
            (12, 0.897, 0.093),
            (13, 0.944, 0.114),
            (14, 0.929, 0.125),
            (15, 0.957, 0.180),
            (16, 0.864, 0.178),
            (17, 0.912, 0.232),
        ],
    },
];
