//! Back through a sink, `c + sum_r a_r f_r(z_r)` of the query token.

use super::types::GateGradient;
use crate::attention::{FeatureMap, Gate};
use crate::linalg::{Operand, Real};
use nalgebra::{DMatrix, DVector};

/// Derivatives by constant and weights, and by the features before any map, from `sums`, those by the sums that the sink
/// joined; exponentials of `features` `[n_features, n_query]` stand as exponents, and with `maxima` sums and sink were
/// multiplied by `exp(-maximum)`.
pub(super) fn backward<T: Real>(
    sink: &Gate<T>,
    features: Operand<'_, T>,
    sums: impl Iterator<Item = T>,
    maxima: Option<&[T]>,
) -> (GateGradient<T>, DMatrix<T>) {
    let (rows, n) = features.shape();
    let mut gradient = GateGradient {
        constant: DVector::zeros(1),
        weights: DMatrix::zeros(1, rows),
        features: DMatrix::zeros(0, 0),
        bias: DVector::zeros(0),
    };
    let mut d_features = DMatrix::zeros(rows, n);
    for (i, d) in sums.enumerate() {
        // 0 stays 0, however small the sums were.
        if d.is_zero() {
            continue;
        }
        let top = maxima.map_or(T::zero(), |m| m[i]);
        let plain = if maxima.is_some() { d * (-top).exp() } else { d };
        gradient.constant[0] += plain;
        if rows == 0 {
            continue;
        }
        for (r, (z, map)) in features.column(i).iter().zip(&sink.maps).enumerate() {
            if *map == FeatureMap::Exp {
                let e = d * (*z - top).exp();
                gradient.weights[r] += e;
                d_features[(r, i)] = e * sink.weights[r];
            } else {
                gradient.weights[r] += plain * *z;
                d_features[(r, i)] = plain * sink.weights[r] * map.slope_at(*z, *z);
            }
        }
    }
    (gradient, d_features)
}
