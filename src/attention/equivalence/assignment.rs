//! The pairing of rows with columns that has the largest sum.
//!
//! Hungarian method by shortest augmenting paths with potentials (Kuhn 1955; Jonker & Volgenant 1987), O(n^2 m) for
//! n <= m.

use nalgebra::DMatrix;

/// Pairs `(row, column)` in order of rows, `min(n, m)` of them, with the largest `sum weights[(row, column)]`.
///
/// Weights must be finite.
pub(super) fn assignment(weights: &DMatrix<f64>) -> Vec<(usize, usize)> {
    if weights.nrows() > weights.ncols() {
        let mut pairs: Vec<_> = assignment(&weights.transpose()).into_iter().map(|(c, r)| (r, c)).collect();
        pairs.sort_unstable();
        return pairs;
    }
    let (n, m) = weights.shape();
    // Potentials of rows and columns; column m is where each new row starts from.
    let (mut of_row, mut of_column) = (vec![0.0; n], vec![0.0; m + 1]);
    let mut owner: Vec<Option<usize>> = vec![None; m + 1];
    for row in 0..n {
        owner[m] = Some(row);
        let mut at = m;
        let (mut least, mut before) = (vec![f64::INFINITY; m], vec![m; m]);
        let mut done = vec![false; m + 1];
        while let Some(r) = owner[at] {
            done[at] = true;
            let (mut delta, mut next) = (f64::INFINITY, m);
            for c in (0..m).filter(|c| !done[*c]) {
                let slack = -weights[(r, c)] - of_row[r] - of_column[c];
                if slack < least[c] {
                    (least[c], before[c]) = (slack, at);
                }
                if least[c] < delta {
                    (delta, next) = (least[c], c);
                }
            }
            for c in 0..=m {
                if done[c] {
                    if let Some(r) = owner[c] {
                        of_row[r] += delta;
                    }
                    of_column[c] -= delta;
                } else {
                    least[c] -= delta;
                }
            }
            at = next;
        }
        while at != m {
            owner[at] = owner[before[at]];
            at = before[at];
        }
    }
    let mut pairs: Vec<_> = (0..m).filter_map(|c| owner[c].map(|r| (r, c))).collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The largest sum over all ways to give each row from `row` on a free column, or none where columns are short.
    fn brute(weights: &DMatrix<f64>, row: usize, free: &mut Vec<bool>) -> f64 {
        if row == weights.nrows() {
            return 0.0;
        }
        let mut best = f64::NEG_INFINITY;
        for c in 0..weights.ncols() {
            if std::mem::replace(&mut free[c], false) {
                best = best.max(weights[(row, c)] + brute(weights, row + 1, free));
                free[c] = true;
            }
        }
        best
    }

    #[test]
    fn no_other_pairing_has_a_larger_sum() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for n in 0..=6 {
            for m in 0..=6 {
                for round in 0..20 {
                    // Every second time with ties.
                    let draw = |_, _| {
                        let x: f64 = rng.random_range(-1.0..1.0);
                        if round % 2 == 0 { x } else { (3.0 * x).round() }
                    };
                    let weights = DMatrix::from_fn(n, m, draw);
                    let wide = if n > m { weights.transpose() } else { weights.clone() };
                    let want = brute(&wide, 0, &mut vec![true; n.max(m)]);
                    let pairs = assignment(&weights);
                    let got: f64 = pairs.iter().map(|p| weights[*p]).sum();
                    assert!((got - want).abs() < 1e-12, "({n}, {m}) {round}: {got} {want}");
                    let mut columns: Vec<usize> = pairs.iter().map(|p| p.1).collect();
                    columns.sort_unstable();
                    columns.dedup();
                    assert!(columns.len() == n.min(m) && pairs.is_sorted(), "({n}, {m}): {pairs:?}");
                }
            }
        }
    }

    #[test]
    fn the_best_pair_is_given_up_for_a_better_whole() {
        let weights = DMatrix::from_row_slice(2, 2, &[1.0, 0.9, 0.8, 0.0]);
        assert_eq!(assignment(&weights), [(0, 1), (1, 0)]);
    }
}
