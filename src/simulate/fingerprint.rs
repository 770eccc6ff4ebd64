//! A hash of an output that is the same on processors that round its last digits differently.
//!
//! Each number is rounded to nine digits of the largest number of its token: `q = round(x / 10^(e - 8))`, where `10^e` is the
//! order of that largest one. Hashed (SHA-256) are, token by token, `e` and all `q` as 8 bytes each, little endian. Single
//! precision has fewer digits, so it has no fingerprint.

use crate::linalg::Real;
use crate::seed::Checksum;
use nalgebra::DMatrix;
use std::sync::LazyLock;

/// Digits behind the first.
const DIGITS: i64 = 8;
/// Orders of `f64`.
const LEAST: i64 = -323;
const MOST: i64 = 308;

/// `10^e`, correctly rounded, from `LEAST` on.
static POWERS: LazyLock<Vec<f64>> =
    LazyLock::new(|| (LEAST..=MOST).map(|e| format!("1e{e}").parse().unwrap_or(f64::NAN)).collect());

/// A fingerprint under way.
#[derive(Debug, Default)]
pub struct Fingerprint(Checksum);

impl Fingerprint {
    /// That of an output `[d_model, n_tokens]`; none in single precision.
    #[must_use]
    pub fn of<T: Real>(output: &DMatrix<T>) -> Option<String> {
        let mut all = Self::default();
        all.add(output);
        all.hex::<T>()
    }

    /// The next tokens, one per column.
    pub fn add<T: Real>(&mut self, tokens: &DMatrix<T>) {
        let mut bytes = Vec::with_capacity(8 * (tokens.nrows() + 1));
        for token in tokens.column_iter() {
            let largest = token.iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
            let order = order(largest);
            bytes.clear();
            bytes.extend(order.to_le_bytes());
            bytes.extend(token.iter().flat_map(|x| rounded(x.to_f64(), order).to_le_bytes()));
            self.0.add(&bytes);
        }
    }

    #[must_use]
    pub fn hex<T: Real>(self) -> Option<String> {
        (std::mem::size_of::<T>() == std::mem::size_of::<f64>()).then(|| self.0.hex())
    }
}

/// `e` so that `largest`, rounded to nine digits, is at least `10^e` and less than `10^(e + 1)`; 0 of zero.
#[allow(clippy::cast_possible_truncation)]
fn order(largest: f64) -> i64 {
    if largest == 0.0 || !largest.is_finite() {
        return 0;
    }
    let e = (largest.log10().floor() as i64).clamp(LEAST, MOST);
    // The logarithm may be off by one at a power of ten.
    match rounded(largest, e).abs() {
        q if q >= 10_i64.pow(9) && e < MOST => e + 1,
        q if q < 10_i64.pow(8) && e > LEAST => e - 1,
        _ => e,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn rounded(x: f64, order: i64) -> i64 {
    let power = usize::try_from(order - LEAST).ok().and_then(|at| POWERS.get(at)).copied().unwrap_or(1.0);
    (x / power * POWERS[usize::try_from(DIGITS - LEAST).unwrap_or_default()]).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> String {
        Fingerprint::of(&DMatrix::from_column_slice(numbers.len(), 1, numbers)).unwrap()
    }

    #[test]
    fn last_digits_do_not_show_and_the_ninth_does() {
        let mut seed: u64 = 1;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        for scale in [1.0, 1e-3, 7e5, 1e-200, 1e300] {
            let x: Vec<f64> = (0..64).map(|_| draw() * scale).collect();
            let near: Vec<f64> = x.iter().map(|x| x * (1.0 + 4.0 * f64::EPSILON)).collect();
            assert_eq!(of(&x), of(&near), "{scale}");
            let mut far = x.clone();
            let largest = x.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            far[7] += 2e-8 * largest;
            assert_ne!(of(&x), of(&far), "{scale}");
        }
    }

    #[test]
    fn rounding_at_powers_of_ten_zeros_and_noise_beside_large_numbers() {
        assert_eq!(of(&[1.0, 0.25]), of(&[0.999_999_999_999, 0.25]));
        assert_eq!(of(&[1000.0, -0.5]), of(&[1_000.000_000_000_1, -0.5]));
        assert_eq!(of(&[1.0, 1e-17]), of(&[1.0, 0.0]), "what cancels is noise");
        assert_eq!(of(&[0.0, -0.0]), of(&[0.0, 0.0]));
        assert_ne!(of(&[1.0, 2.0]), of(&[10.0, 20.0]), "the order is part of it");
        assert_ne!(of(&[1.0, 2.0]), of(&[2.0, 1.0]));
    }

    #[test]
    fn pieces_are_the_whole_and_single_precision_has_none() {
        let y = DMatrix::from_fn(3, 10, |i, j| (i as f64 - 1.2) * (j as f64 + 0.1).sin());
        let mut parts = Fingerprint::default();
        parts.add(&y.columns(0, 4).into_owned());
        parts.add(&y.columns(4, 6).into_owned());
        assert_eq!(parts.hex::<f64>(), Fingerprint::of(&y));
        assert_eq!(Fingerprint::of(&y.map(|x| x as f32)), None);
    }
}
