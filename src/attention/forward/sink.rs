//! Sinks: what joins the sum of scores that a read-out is divided by.
//!
//! A sink is `c + sum_r a_r f_r(z_r)` of the query token. Where weights are `exp(s - m)`, its terms are too, and the maximum
//! is over scores and exponents of both: neither side overflows, however large the other.

use crate::attention::{FeatureMap, Gate};
use crate::linalg::Real;

/// Adds a sink to one token, `[read-out; sum of scores]`; `features` are those of the sink, exponentials as their exponents.
///
/// With `softmax` the token has been multiplied by `exp(-top)`, and `top` moves on.
pub(in crate::attention) fn join<T: Real>(
    sink: &Gate<T>,
    features: &[T],
    softmax: bool,
    token: &mut [T],
    top: &mut T,
) {
    let terms = || sink.weights.iter().zip(features).zip(&sink.maps);
    let plain = terms().filter(|(_, map)| **map != FeatureMap::Exp);
    let plain = plain.fold(sink.constant[0], |sum, ((a, f), _)| sum + *a * *f);
    let exponentials = || {
        terms().filter(|((a, _), map)| **map == FeatureMap::Exp && !a.is_zero()).map(|((a, z), _)| (*a, *z))
    };
    let Some((sum, _)) = token.split_last_mut() else { return };
    if !softmax {
        *sum += exponentials().fold(plain, |sum, (a, z)| sum + a * z.exp());
        return;
    }
    let scores = (!sum.is_zero()).then_some(*top);
    let constant = (!plain.is_zero()).then(T::zero);
    let exponents = scores.into_iter().chain(constant).chain(exponentials().map(|(_, z)| z));
    let Some(new) = exponents.reduce(|m, z| if z > m { z } else { m }) else { return };
    if new != *top {
        let factor = (*top - new).exp();
        if scores.is_some() {
            token.iter_mut().for_each(|x| *x *= factor);
        }
        *top = new;
    }
    let Some(sum) = token.last_mut() else { return };
    let plain = if plain.is_zero() { plain } else { plain * (-new).exp() };
    *sum += exponentials().fold(plain, |sum, (a, z)| sum + a * (z - new).exp());
}
