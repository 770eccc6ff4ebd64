//! Known laws of large random matrices `[m, n]` with independent entries of mean 0 and variance 1.
//!
//! Singular values fill the interval from `|sqrt(m) - sqrt(n)|` to `sqrt(m) + sqrt(n)` (Marchenko & Pastur 1967); none
//! lies beyond its ends (Bai & Yin 1993). One strong direction added to the matrix shows as a singular value beyond the
//! edge if it is stronger than `(m n)^(1/4)` (Benaych-Georges & Nadakuditi 2012).

use pulvinar::linalg::count;

/// Steps of the integration.
const STEPS: usize = 4000;

/// The largest singular value.
pub(super) fn edge([m, n]: [usize; 2]) -> f64 {
    count(m).sqrt() + count(n).sqrt()
}

/// The singular value below which a fraction of all lies.
///
/// The density at `s`, over the singular values of an `[m, n]` matrix with `m >= n`, is
/// `sqrt((high - s^2) (s^2 - low)) / (pi n s)` with `low, high = (sqrt(m) -+ sqrt(n))^2`.
pub(super) fn quantile(fraction: f64, [m, n]: [usize; 2]) -> f64 {
    let (m, n) = (count(m.max(n)), count(m.min(n)));
    let (first, last) = (m.sqrt() - n.sqrt(), m.sqrt() + n.sqrt());
    let density = |s: f64| {
        let inside = (last * last - s * s) * (s * s - first * first);
        if s > 0.0 { inside.max(0.0).sqrt() / (std::f64::consts::PI * n * s) } else { 0.0 }
    };
    // Midpoints: the density may be infinite at the lower end.
    let step = (last - first) / count(STEPS);
    let mut below = 0.0;
    for k in 0..STEPS {
        let s = first + step * (count(k) + 0.5);
        let more = density(s) * step;
        if below + more >= fraction {
            return first + step * (count(k) + (fraction - below) / more);
        }
        below += more;
    }
    last
}

/// Where a direction of singular value `theta` appears in noise of standard deviation `std`; none below the edge.
pub(super) fn outlier(theta: f64, std: f64, [m, n]: [usize; 2]) -> Option<f64> {
    let (m, n, square) = (count(m), count(n), std * std);
    let beyond = theta.powi(4) > square * square * m * n;
    beyond.then(|| ((theta * theta + square * m) * (theta * theta + square * n)).sqrt() / theta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;
    use pulvinar::linalg::svd;
    use pulvinar::seed;

    #[test]
    fn a_large_random_matrix_obeys_them() {
        let (m, n) = (240, 120);
        let mut rng = seed::stream(1, "random-matrices");
        let noise = DMatrix::from_fn(m, n, |_, _| seed::normal(&mut rng));
        let singular = svd(&noise).singular;
        assert!((singular[0] / edge([m, n]) - 1.0).abs() < 0.04, "{} {}", singular[0], edge([m, n]));
        for (k, s) in singular.iter().enumerate() {
            let law = quantile(1.0 - (count(k) + 0.5) / count(n), [m, n]);
            assert!((s - law).abs() < 0.02 * edge([m, n]), "{k}: {s} {law}");
        }
        assert!((quantile(1.0, [m, n]) / edge([m, n]) - 1.0).abs() < 1e-3, "the density is one in all");
        // One direction: strong enough to be seen, and too weak.
        let direction = DMatrix::from_element(m, n, 1.0 / count(m * n).sqrt());
        for theta in [60.0, 25.0, 8.0] {
            let found = svd(&(&noise + &direction * theta)).singular[0];
            let law = outlier(theta, 1.0, [m, n]).unwrap_or(edge([m, n]));
            assert!((found / law - 1.0).abs() < 0.04, "{theta}: {found} {law}");
        }
        assert!(outlier(8.0, 1.0, [m, n]).is_none());
    }
}
