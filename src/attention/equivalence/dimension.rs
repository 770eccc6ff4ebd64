//! How many numbers of a block its function determines: `H (4 r D - 2 r^2 - 1)` of `4 H r D`.
//!
//! Per head `r^2` are lost to the gauge of keys and queries, `r^2` to that of values and outputs, and one to a factor that moves
//! between the two halves. The count holds while it is below the dimension of all tensors `T_abce` symmetric in
//! `(b, c)`, `D^2 D (D + 1) / 2`.

use crate::linalg::svd;
use crate::seed;
use nalgebra::DMatrix;

/// Dimension of the set of functions that blocks of a shape can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identifiable {
    /// rank of the Jacobian of weights -> tensor at a random point; none when the Jacobian is large
    pub numeric: Option<usize>,
    /// the closed formula; none where it does not hold
    pub formula: Option<usize>,
}

/// Most entries of a Jacobian.
const LARGEST: usize = 300_000;
/// Singular values below this part of the largest count as zero.
const RANK_TOLERANCE: f64 = 1e-9;

/// The identifiable dimension of `heads` heads of the given rank on tokens of width `d_model`, without biases.
#[must_use]
pub fn identifiable_dimension(heads: usize, d_model: usize, rank: usize) -> Identifiable {
    let (h, d, r) = (heads as u128, d_model as u128, rank as u128);
    let all = d * d * d * (d + 1) / 2;
    let closed = h * (4 * r * d).saturating_sub(2 * r * r + 1);
    let holds = rank > 0 && rank <= d_model && closed < all;
    let formula = if rank == 0 { Some(0) } else { usize::try_from(closed).ok().filter(|_| holds) };
    let small = (4 * h * r * d).saturating_mul(all) <= LARGEST as u128;
    Identifiable { numeric: small.then(|| jacobian_rank(heads, d_model, rank)), formula }
}

/// Rank of `d T_abce / d (W_Q, W_K, W_V, W_O)`, one column per weight.
fn jacobian_rank(heads: usize, d: usize, r: usize) -> usize {
    if heads * d * r == 0 {
        return 0;
    }
    let rng = &mut seed::stream(1, "identifiable dimension");
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for _ in 0..heads {
        let mut draw = |rows: usize, cols: usize| DMatrix::from_fn(rows, cols, |_, _| seed::normal(rng));
        let (w_q, w_k, w_v, w_o) = (draw(r, d), draw(r, d), draw(r, d), draw(d, r));
        let (ov, qk) = (&w_o * &w_v, w_k.transpose() * &w_q);
        for cell in 0..r {
            for x in 0..d {
                let unit = |i: usize| f64::from(i == x);
                let to_o = DMatrix::from_fn(d, d, |a, b| unit(a) * w_v[(cell, b)]);
                let to_v = DMatrix::from_fn(d, d, |a, b| w_o[(a, cell)] * unit(b));
                let to_k = DMatrix::from_fn(d, d, |c, e| unit(c) * w_q[(cell, e)]);
                let to_q = DMatrix::from_fn(d, d, |c, e| w_k[(cell, c)] * unit(e));
                columns.extend([
                    tensor(&to_o, &qk),
                    tensor(&to_v, &qk),
                    tensor(&ov, &to_k),
                    tensor(&ov, &to_q),
                ]);
            }
        }
    }
    let jacobian = DMatrix::from_fn(columns[0].len(), columns.len(), |i, j| columns[j][i]);
    let singular = svd(&jacobian).singular;
    let top = singular.first().copied().unwrap_or(0.0);
    singular.iter().filter(|s| **s > RANK_TOLERANCE * top).count()
}

/// `T_abce`, symmetric in `(b, c)`, for `b <= c`.
fn tensor(p: &DMatrix<f64>, b: &DMatrix<f64>) -> Vec<f64> {
    let d = p.ncols();
    let mut out = Vec::with_capacity(d * d * d * (d + 1) / 2);
    for a in 0..p.nrows() {
        for x in 0..d {
            for y in x..d {
                out.extend((0..d).map(|e| 0.5 * (p[(a, x)] * b[(y, e)] + p[(a, y)] * b[(x, e)])));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_of_the_jacobian_is_the_closed_formula() {
        let rows = [
            (1, 4, 1, 13),
            (2, 4, 1, 26),
            (1, 4, 2, 23),
            (2, 4, 2, 46),
            (1, 6, 2, 39),
            (2, 6, 3, 106),
            (3, 6, 2, 117),
        ];
        for (h, d, r, want) in rows {
            let found = identifiable_dimension(h, d, r);
            assert_eq!(found, Identifiable { numeric: Some(want), formula: Some(want) }, "({h}, {d}, {r})");
        }
    }

    #[test]
    fn the_formula_ends_where_the_tensors_do() {
        // D = 2: 12 tensors; five heads of rank 1 would have 25 numbers.
        assert_eq!(identifiable_dimension(5, 2, 1), Identifiable { numeric: Some(12), formula: None });
        assert_eq!(identifiable_dimension(12, 384, 32).numeric, None);
        assert_eq!(identifiable_dimension(12, 384, 32).formula, Some(12 * (4 * 32 * 384 - 2 * 32 * 32 - 1)));
        assert_eq!(identifiable_dimension(0, 4, 1), Identifiable { numeric: Some(0), formula: Some(0) });
    }
}
