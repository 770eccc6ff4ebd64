//! Closed forms for the recall of random pairs. They know no circuit.
//!
//! Keys are uniform on the unit sphere of `R^d`, values +-1 and independent of them; M pairs are stored in order, and the
//! normalised mean squared error (NMSE) is that of one value, recalled with its stored key. Derivations are this project's
//! own; each is compared with simulated circuits.

use pulvinar::linalg::count;

/// NMSE of a hebbian memory of `m` pairs: each of the m - 1 others adds (k . k')^2, of mean 1/d.
#[must_use]
pub fn hebbian(d: usize, m: usize) -> f64 {
    (count(m) - 1.0) / count(d)
}

/// Probability that a recalled sign is wrong: Q(sqrt(d / (M - 1))), the tail of a Gaussian (many pairs).
#[must_use]
pub fn hebbian_sign_error(d: usize, m: usize) -> f64 {
    if m < 2 { 0.0 } else { tail((count(d) / (count(m) - 1.0)).sqrt()) }
}

/// NMSE of the pair that was stored `age` writes ago in a memory `M <- g M + v k^T` of `m` pairs.
///
/// As m grows: `(1 - g^a)^2 + (1/d) (1/(1 - g^2) - g^(2a))`.
#[must_use]
pub fn decay(d: usize, m: usize, g: f64, age: usize) -> f64 {
    let power = |n: usize| g.powf(count(n));
    let all: f64 = if g == 1.0 { count(m) } else { (1.0 - power(2 * m)) / (1.0 - g * g) };
    (1.0 - power(age)).powi(2) + (all - power(2 * age)) / count(d)
}

/// Mean of [`decay`] over all stored pairs.
#[must_use]
pub fn decay_mean(d: usize, m: usize, g: f64) -> f64 {
    (0..m).map(|age| decay(d, m, g, age)).sum::<f64>() / count(m)
}

/// NMSE of each pair, oldest first, of a memory `M <- M + b (v - M k) k^T` that has seen `m` pairs once.
///
/// The recall r of a pair has mean b rho^a, rho = 1 - b/d, a writes later. Its mean square Q starts at
/// `(1-b)^2 N/d + b^2` and follows `Q <- Q (1 - 2b/d + 2b^2/(d(d+2))) + b^2/d + b^2 N/(d(d+2))`, where N is the mean
/// square of a row of the memory, `N <- N (1 - (2b - b^2)/d) + b^2`. With b = 1, N = d (1 - rho^n), and as m grows the
/// NMSE becomes 2 (1 - rho^a).
#[must_use]
pub fn delta_once(d: usize, m: usize, b: f64) -> Vec<f64> {
    let n_keys = count(d);
    let (shrink, spread) =
        (1.0 - 2.0 * b / n_keys + 2.0 * b * b / (n_keys * (n_keys + 2.0)), n_keys * (n_keys + 2.0));
    let mut size = vec![0.0];
    for n in 0..m {
        size.push(size[n] * (1.0 - (2.0 * b - b * b) / n_keys) + b * b);
    }
    (1..=m)
        .map(|t| {
            let mut q = (1.0 - b) * (1.0 - b) * size[t - 1] / n_keys + b * b;
            for before in &size[t..m] {
                q = q * shrink + b * b / n_keys + b * b * before / spread;
            }
            let recall = b * (1.0 - b / n_keys).powf(count(m - t));
            q - 2.0 * recall + 1.0
        })
        .collect()
}

/// NMSE of the least-squares memory, which the delta rule reaches after many passes: `max(0, 1 - d/M)`.
#[must_use]
pub fn least_squares(d: usize, m: usize) -> f64 {
    (1.0 - count(d) / count(m)).max(0.0)
}

/// Recall of pair 1, projected on its value, when all keys have inner product 1/sqrt(d) and all other values are
/// opposite: `1 - (M - 1)/sqrt(d)`.
#[must_use]
pub fn aligned(d: usize, m: usize) -> f64 {
    1.0 - (count(m) - 1.0) / count(d).sqrt()
}

/// NMSE of recall through layers with fresh keys and `r` averaged redundant copies: `(1 + (M-1)/(r d))^layers - 1`.
#[must_use]
pub fn layers(d: usize, m: usize, r: usize, layers: usize) -> f64 {
    (1.0 + (count(m) - 1.0) / count(r * d)).powf(count(layers)) - 1.0
}

/// Upper tail of the standard normal distribution, to about 1e-15 relative.
///
/// Series below 3, continued fraction above (Abramowitz & Stegun 26.2.10, 26.2.14).
#[must_use]
pub fn tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - tail(-x);
    }
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 3.0 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > 1e-17 * sum {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let mut fraction = 0.0;
    for n in (1..=200u32).rev() {
        fraction = f64::from(n) / (x + fraction);
    }
    density / (x + fraction)
}

/// The x whose upper tail is `p`, 0 < p < 1/2.
#[must_use]
pub fn tail_inverse(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if tail(middle) > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that were derived by hand and by 1e5 draws.
    #[test]
    fn one_pass_of_the_delta_rule() {
        for (d, want) in
            [(16, [0.2767, 0.5903, 1.0574]), (64, [0.2923, 0.5982, 1.0583]), (256, [0.2958, 0.5999, 1.0585])]
        {
            for (m, want) in [d / 2, d, 2 * d].into_iter().zip(want) {
                let all = delta_once(d, m, 1.0);
                let mean = all.iter().sum::<f64>() / count(m);
                assert!((mean - want).abs() < 6e-5, "d {d}, M {m}: {mean}, not {want}");
            }
        }
    }

    #[test]
    fn long_sequences_reach_the_steady_state() {
        let (d, m, g) = (16, 400, 0.9f64);
        let once = delta_once(d, m, 1.0);
        for age in [0usize, 1, 5, 20] {
            let a = count(age);
            let rho: f64 = 1.0 - 1.0 / count(d);
            assert!((once[m - 1 - age] - 2.0 * (1.0 - rho.powf(a))).abs() < 1e-9, "delta at age {age}");
            let steady = (1.0 - g.powf(a)).powi(2) + (1.0 / (1.0 - g * g) - g.powf(2.0 * a)) / count(d);
            assert!((decay(d, m, g, age) - steady).abs() < 1e-12, "decay at age {age}");
        }
        assert!((decay_mean(d, 9, 1.0) - hebbian(d, 9)).abs() < 1e-15, "no decay is hebbian");
    }

    #[test]
    fn tails_of_the_normal_distribution() {
        for (x, want) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (2.326_347_874_040_841, 0.01),
            (5.0, 2.866_515_718_791_939e-7),
            (-1.0, 0.841_344_746_068_542_9),
        ] {
            assert!((tail(x) - want).abs() < 1e-13 * want, "{x}: {}", tail(x));
        }
        assert!((tail_inverse(0.01) - 2.326_347_874_040_841).abs() < 1e-12);
    }
}
