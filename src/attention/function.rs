//! Chains of functions of a score.
//!
//! Where the last function of a chain is above 0 and the read-out is divided by the sum of its values, weights are taken as
//! `exp(log F(s) - max log F)`: that never overflows, and underflows only where the quotient does.

use super::block::{FeatureMap, Link};
use crate::linalg::Real;

/// `F(s)`.
pub(super) fn value<T: Real>(chain: &[Link<T>], score: T) -> T {
    chain.iter().fold(score, |s, link| link.activation.value(link.gain * s + link.bias))
}

/// Whether every value is above 0, so that it has a logarithm.
pub(super) fn is_positive<T: Real>(chain: &[Link<T>]) -> bool {
    chain.last().is_some_and(|link| is_above(link.activation))
}

/// Rates that are above 0 on paper, whatever the input.
pub(super) fn is_above(map: FeatureMap) -> bool {
    matches!(map, FeatureMap::Exp | FeatureMap::EluPlusOne | FeatureMap::Sigmoid)
}

/// `log F(s)` of a chain whose values are positive.
pub(super) fn log_value<T: Real>(chain: &[Link<T>], score: T) -> T {
    let Some((last, before)) = chain.split_last() else { return score };
    log(last.activation, last.gain * value(before, score) + last.bias)
}

/// Logarithm of a positive function.
fn log<T: Real>(map: FeatureMap, x: T) -> T {
    match map {
        // log(1 / (1 + e^-x)), either side without overflow
        FeatureMap::Sigmoid if x > T::zero() => -(-x).exp().ln_1p(),
        FeatureMap::Sigmoid => x - x.exp().ln_1p(),
        FeatureMap::EluPlusOne if x > T::zero() => x.ln_1p(),
        _ => x,
    }
}

/// From `d` by `F(s)`, or by `log F(s)`, to that by `s`; what gains and biases get is added to `links`.
pub(super) fn back<T: Real>(chain: &[Link<T>], score: T, mut d: T, by_log: bool, links: &mut [[T; 2]]) -> T {
    for l in (0..chain.len()).rev() {
        let before = value(&chain[..l], score);
        let Link { gain, bias, activation } = chain[l];
        let z = gain * before + bias;
        let is_log = by_log && l + 1 == chain.len();
        d *= if is_log { log_slope(activation, z) } else { activation.slope(z) };
        links[l][0] += d * before;
        links[l][1] += d;
        d *= gain;
    }
    d
}

/// `d log f(z) / dz` of a positive function.
fn log_slope<T: Real>(map: FeatureMap, z: T) -> T {
    match map {
        FeatureMap::Sigmoid => FeatureMap::Sigmoid.value(-z),
        FeatureMap::EluPlusOne if z > T::zero() => T::one() / (z + T::one()),
        _ => T::one(),
    }
}
