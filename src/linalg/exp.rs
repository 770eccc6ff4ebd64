//! Exponentials of many numbers at once.
//!
//! `exp(x) = 2^n exp(r)` with `n = round(x / ln 2)` and `|r| <= ln(2)/2`, where a Taylor polynomial is exact to
//! rounding. No branches and no calls, so that the compiler makes vector code of it.

use super::Real;
use multiversion::multiversion;
use std::any::Any;

/// Numbers per step.
const LANES: usize = 16;

/// Replaces every `x <= top` by `exp(x - top)`, to a few units in the last place; NaN stays NaN.
///
/// Results that would not be normal numbers (`x - top` below -708 in f64, -87 in f32) are 0. Above `top` the result is
/// meaningless. The same bits with any instruction set.
#[multiversion(targets("x86_64+avx2"))]
pub fn exp_nonpositive<T: Real>(xs: &mut [T], top: T) {
    let (chunks, rest) = xs.as_chunks_mut::<LANES>();
    for chunk in chunks {
        exponentials(chunk, top);
    }
    let mut lanes = [T::zero(); LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    exponentials(&mut lanes, top);
    rest.copy_from_slice(&lanes[..rest.len()]);
}

#[inline(always)]
fn exponentials<T: Real>(lanes: &mut [T; LANES], top: T) {
    lanes.iter_mut().for_each(|x| *x -= top);
    let any: &mut dyn Any = lanes;
    if let Some(double) = any.downcast_mut::<[f64; LANES]>() {
        double.iter_mut().for_each(|x| *x = exp_f64(*x));
    } else if let Some(single) = any.downcast_mut::<[f32; LANES]>() {
        single.iter_mut().for_each(|x| *x = exp_f32(*x));
    } else {
        lanes.iter_mut().for_each(|x| *x = x.exp());
    }
}

/// Largest of the numbers and `start`; NaN never wins.
#[multiversion(targets("x86_64+avx2"))]
pub fn maximum<T: Real>(xs: &[T], start: T) -> T {
    let larger = |m: T, x: T| if x > m { x } else { m };
    let mut lanes = [start; LANES];
    let chunks = xs.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (m, x) in lanes.iter_mut().zip(chunk) {
            *m = larger(*m, *x);
        }
    }
    lanes.iter().chain(rest).fold(start, |m, x| larger(m, *x))
}

/// Sum of the numbers, in the same order with any instruction set.
#[multiversion(targets("x86_64+avx2"))]
pub fn sum<T: Real>(xs: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let chunks = xs.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, x) in lanes.iter_mut().zip(chunk) {
            *sum += *x;
        }
    }
    lanes.iter().chain(rest).fold(T::zero(), |sum, x| sum + *x)
}

/// Whether no number is infinite or NaN.
#[multiversion(targets("x86_64+avx2"))]
pub fn all_finite<T: Real>(xs: &[T]) -> bool {
    // 0 x is 0, or NaN where x is not finite; NaN stays.
    let mut lanes = [T::zero(); LANES];
    let chunks = xs.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, x) in lanes.iter_mut().zip(chunk) {
            *sum += *x * T::zero();
        }
    }
    lanes.iter().all(|x| x.is_zero()) && rest.iter().all(|x| x.is_finite())
}

/// `1 / k!`, highest first.
const TAYLOR: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// Leading digits of ln 2, so few that their product with `n` is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
/// The rest of them.
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

#[inline(always)]
fn exp_f64(x: f64) -> f64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52: adding it rounds to an integer
    let shifted = x * std::f64::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = TAYLOR[0];
    for c in &TAYLOR[1..] {
        p = p * r + c;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < -708.0 { 0.0 } else { p * power }
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn exp_f32(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * HIGH) - n * LOW;
    let mut p = TAYLOR[6] as f32;
    for c in &TAYLOR[7..] {
        p = p * r + *c as f32;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{count, real};

    /// Largest relative error over [-low, 0] in units of `T`'s rounding.
    fn worst<T: Real>(low: f64, epsilon: f64) -> f64 {
        let n = 20_011;
        let xs: Vec<T> = (0..n).map(|i| real(-low * count(i) / count(n))).collect();
        let mut ys = xs.clone();
        exp_nonpositive(&mut ys, T::zero());
        xs.iter().zip(&ys).fold(0.0, |worst: f64, (x, y)| {
            let want = x.to_f64().exp();
            worst.max((y.to_f64() - want).abs() / want / epsilon)
        })
    }

    #[test]
    fn exponentials_are_right_to_a_few_units() {
        assert!(worst::<f64>(708.0, f64::EPSILON) < 3.0);
        assert!(worst::<f32>(87.0, f64::from(f32::EPSILON)) < 3.0);
    }

    #[test]
    fn ends_of_the_range() {
        let mut x = [0.0, -0.0, -1e4, f64::NEG_INFINITY, f64::NAN];
        exp_nonpositive(&mut x, 0.0);
        assert_eq!(x[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!(x[4].is_nan());
        let mut x = [0.0f32, -1e4, f32::NEG_INFINITY, f32::NAN];
        exp_nonpositive(&mut x, 0.0);
        assert_eq!(x[..3], [1.0, 0.0, 0.0]);
        assert!(x[3].is_nan());
    }

    #[test]
    fn a_number_that_is_not_finite_is_found_at_every_place() {
        for n in [0usize, 1, 15, 16, 17, 40] {
            let mut xs: Vec<f64> = (0..n).map(|i| -count(i) * 1e300).collect();
            assert!(all_finite(&xs));
            for at in 0..n {
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let good = std::mem::replace(&mut xs[at], bad);
                    assert!(!all_finite(&xs), "{at} of {n}");
                    xs[at] = good;
                }
            }
        }
    }

    #[test]
    fn every_number_is_in_the_sum() {
        for n in [0usize, 1, 15, 16, 17, 40] {
            let xs: Vec<f64> = (0..n).map(|i| count(i * i)).collect();
            assert_eq!(
                sum(&xs).to_bits(),
                xs.iter().sum::<f64>().abs().to_bits(),
                "{n}: whole numbers are exact"
            );
        }
    }

    #[test]
    fn the_maximum_is_found_at_every_place() {
        for n in [1usize, 15, 16, 17, 40] {
            for at in 0..n {
                let xs: Vec<f64> = (0..n).map(|i| if i == at { 2.0 } else { -count(i) }).collect();
                assert_eq!(maximum(&xs, -1.0).to_bits(), 2.0f64.to_bits());
            }
        }
        assert_eq!(maximum(&[1.0, f64::NAN], 0.0).to_bits(), 1.0f64.to_bits());
    }
}
