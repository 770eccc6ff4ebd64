//! Random keys, values and patterns, one token per column.

use nalgebra::DMatrix;
use pulvinar::linalg::count;
use pulvinar::seed;
use rand_chacha::ChaCha8Rng;

/// Keys of length 1, uniform on the sphere, `[d, n]`.
pub fn unit_keys(d: usize, n: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let mut keys = DMatrix::from_iterator(d, n, (0..d * n).map(|_| seed::normal(rng)));
    for mut key in keys.column_iter_mut() {
        let length = key.norm();
        key /= length;
    }
    keys
}

/// Values of -1 and 1, `[d, n]`.
pub fn signs(d: usize, n: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let sign = |x: f64| if x < 0.0 { -1.0 } else { 1.0 };
    DMatrix::from_iterator(d, n, (0..d * n).map(|_| sign(seed::uniform(rng, -1.0, 1.0))))
}

/// Mean of trials and its standard error, summed in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub mean: f64,
    pub se: f64,
}

impl Mean {
    /// Of at least two numbers.
    pub fn of(x: &[f64]) -> Self {
        let n = count(x.len());
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        Self { mean, se: (variance / n).sqrt() }
    }
}
