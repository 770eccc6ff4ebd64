//! The least loss of linear heads on associative recall.
//!
//! M pairs of a random unit key in R^d and a value of +-1 in R^m, then one of the keys, asked at random. Keys may be turned and
//! signs of values flipped without changing the task, and the loss is convex in the tensor of a block; so the best block sends
//! a multiple of the one map that no such change touches, key and value to value:
//!
//! ```text
//! y = c sum_j s_j (k_j . q) v_j        s_j = g^(M - j), j = 1..M: what a memory of decay g has kept under a strict mask
//! E |y - v_a|^2 = m E_a [(1 - c s_a)^2 + c^2 sum_{j != a} s_j^2 / d]
//! ```
//!
//! least at `c = S / (Q (1 + (M - 1) / d))`, with S and Q the sums of s_j and s_j^2: `m (1 - S^2 / (M Q (1 + (M - 1) / d)))`.
//! Our own derivation. It holds for any number of heads that forget alike.
//!
//! **Deliberately absent:** the loss of a given head, heads of different decays, kernels.

use crate::linalg::count;

/// Associative recall: widths of a key and of a value, number of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub d_key: usize,
    pub d_value: usize,
    pub pairs: usize,
}

impl Setting {
    /// The least `E |y - v|^2` of linear heads whose memories keep `g` of their state from token to token, under a
    /// strict mask; twice the loss of a circuit that learns, which is half the squared error.
    #[must_use]
    pub fn optimum(&self, g: f64) -> f64 {
        let pairs = count(self.pairs);
        let (mut kept, mut sum, mut squares) = (1.0, 0.0, 0.0);
        for _ in 0..self.pairs {
            sum += kept;
            squares += kept * kept;
            kept *= g;
        }
        let crosstalk = 1.0 + (pairs - 1.0) / count(self.d_key);
        count(self.d_value) * (1.0 - sum * sum / (pairs * squares * crosstalk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    /// Squared error of `c sum_j s_j (k_j . q) v_j` on drawn pairs, by loops.
    fn drawn(s: Setting, g: f64, c: f64, draws: usize) -> (f64, f64) {
        let mut rng = seed::stream(5, "recall floor");
        let (mut sum, mut squares) = (0.0, 0.0);
        for n in 0..draws {
            let keys: Vec<Vec<f64>> = (0..s.pairs)
                .map(|_| {
                    let k: Vec<f64> = (0..s.d_key).map(|_| seed::normal(&mut rng)).collect();
                    let norm = k.iter().map(|x| x * x).sum::<f64>().sqrt();
                    k.into_iter().map(|x| x / norm).collect()
                })
                .collect();
            let mut sign = || if seed::uniform(&mut rng, -1.0, 1.0) < 0.0 { -1.0 } else { 1.0 };
            let values: Vec<Vec<f64>> =
                (0..s.pairs).map(|_| (0..s.d_value).map(|_| sign()).collect()).collect();
            let asked = n % s.pairs;
            let error: f64 = (0..s.d_value)
                .map(|a| {
                    let recalled: f64 = (0..s.pairs)
                        .map(|j| {
                            let kept = g.powi(i32::try_from(s.pairs - 1 - j).expect("few"));
                            let match_: f64 = keys[j].iter().zip(&keys[asked]).map(|(x, y)| x * y).sum();
                            c * kept * match_ * values[j][a]
                        })
                        .sum();
                    (recalled - values[asked][a]).powi(2)
                })
                .sum();
            sum += error;
            squares += error * error;
        }
        let n = count(draws);
        let mean = sum / n;
        (mean, ((squares / n - mean * mean) / n).sqrt())
    }

    #[test]
    fn the_optimum_is_that_of_drawn_pairs() {
        let cases: [(Setting, f64); 3] = [
            (Setting { d_key: 8, d_value: 4, pairs: 4 }, 0.95),
            (Setting { d_key: 5, d_value: 2, pairs: 7 }, 1.0),
            (Setting { d_key: 6, d_value: 1, pairs: 3 }, 0.6),
        ];
        for (setting, g) in cases {
            let kept: Vec<f64> = (0..setting.pairs).map(|j| g.powi(i32::try_from(j).expect("few"))).collect();
            let (sum, squares) = (kept.iter().sum::<f64>(), kept.iter().map(|x| x * x).sum::<f64>());
            let best = sum / (squares * (1.0 + (count(setting.pairs) - 1.0) / count(setting.d_key)));
            let want = setting.optimum(g);
            let (mean, error) = drawn(setting, g, best, 40_000);
            assert!((mean - want).abs() < 4.0 * error, "{setting:?} {g}: {mean} +- {error}, not {want}");
            for c in [0.8 * best, 1.2 * best] {
                let (worse, error) = drawn(setting, g, c, 40_000);
                assert!(worse > want + 3.0 * error, "{setting:?} {g}: {c} reaches {worse}");
            }
        }
    }

    #[test]
    fn one_pair_is_recalled_without_error() {
        let one = Setting { d_key: 3, d_value: 2, pairs: 1 };
        assert!(one.optimum(0.5).abs() < 1e-15);
    }
}
