//! Means, standard errors, and resampling by trial.

use pulvinar::seed;
use rand::RngExt;

/// A number and its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub se: f64,
    /// number of samples behind it
    pub n: usize,
}

impl Estimate {
    /// Mean of independent samples; NaN for fewer than 2, where no error is known.
    #[must_use]
    pub fn mean(samples: &[f64]) -> Self {
        let n = samples.len() as f64;
        let value = samples.iter().sum::<f64>() / n;
        let square: f64 = samples.iter().map(|x| (x - value) * (x - value)).sum();
        Self { value, se: (square / (n - 1.0) / n).sqrt(), n: samples.len() }
    }

    /// Ratio of two sums over trials, with the error that its linearisation has.
    #[must_use]
    pub fn ratio(above: &[f64], below: &[f64]) -> Self {
        let total: f64 = below.iter().sum();
        let value = above.iter().sum::<f64>() / total;
        let n = below.len() as f64;
        let square: f64 = above.iter().zip(below).map(|(a, b)| (a - value * b) * (a - value * b)).sum();
        Self { value, se: (square * n / (n - 1.0)).sqrt() / total, n: below.len() }
    }
}

/// How often each of `n` trials is in each of `samples` resamplings.
pub(super) fn resampled(n: usize, samples: usize, seed: u64, name: &str) -> Vec<Vec<f64>> {
    let mut rng = seed::stream(seed, name);
    let mut once = || {
        let mut counts = vec![0.0; n];
        (0..n).for_each(|_| counts[rng.random_range(0..n)] += 1.0);
        counts
    };
    (0..samples).map(|_| once()).collect()
}

/// Standard deviation, the error of a number that was recomputed from resampled trials.
pub(super) fn spread(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0)).sqrt()
}

/// Least-squares line through points: slope, intercept, correlation.
pub(super) fn line(x: &[f64], y: &[f64]) -> (f64, f64, f64) {
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    (xy / xx, my - xy / xx * mx, xy / (xx * yy).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_samples() {
        let mean = Estimate::mean(&[1.0, 2.0, 3.0, 6.0]);
        assert!((mean.value - 3.0).abs() < 1e-15 && (mean.se - (14.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
        let ones = [1.0; 4];
        let ratio = Estimate::ratio(&[1.0, 2.0, 3.0, 6.0], &ones);
        assert!((ratio.value - mean.value).abs() < 1e-15 && (ratio.se - mean.se).abs() < 1e-15);
        let counts = resampled(50, 400, 1, "x");
        assert!(counts.iter().all(|c| c.iter().sum::<f64>() == 50.0));
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        let means: Vec<f64> =
            counts.iter().map(|c| c.iter().zip(&values).map(|(n, x)| n * x).sum::<f64>() / 50.0).collect();
        let want = Estimate::mean(&values).se;
        assert!((spread(&means) / want - 1.0).abs() < 0.15, "{} {want}", spread(&means));
        let (slope, at0, r) = line(&[0.0, 1.0, 2.0], &[1.0, 3.0, 5.0]);
        assert!((slope - 2.0).abs() + (at0 - 1.0).abs() + (r - 1.0).abs() < 1e-14);
    }
}
