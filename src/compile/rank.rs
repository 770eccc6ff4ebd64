//! Sums of products from a matrix: the smallest number of heads that a component of the lateral weights makes.

use crate::linalg::{Svd, svd};
use nalgebra::DMatrix;

/// One term `beta alpha^T` of a factorisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank1 {
    /// `[rows]`
    pub beta: Vec<f64>,
    /// `[columns]`
    pub alpha: Vec<f64>,
    /// singular value that it stands for
    pub singular: f64,
}

/// Singular values closer than this (relative) count as equal.
const EQUAL: f64 = 1e-8;

/// Smaller side from which a matrix of full rank is not decomposed: that takes seconds, and no fewer terms come out.
const LARGE: usize = 256;

/// Writes `c [rows, columns]` as a sum of rank-1 terms, strongest first.
///
/// Rank 1 is recognised without an SVD and keeps the numbers as they are. Singular values at or below
/// `max(rows, columns) * 2.2e-16 * largest` count as zero. Terms of one singular value are its singular vectors, the
/// first clearly non-zero entry of beta positive; where singular values are equal the vectors are not unique, and the
/// part of the matrix that belongs to them is factored by elimination with complete pivoting, so that the bytes do not
/// depend on how an SVD happened to turn them. A large matrix of full rank is written line by line.
#[must_use]
pub fn factorise(c: &DMatrix<f64>) -> Vec<Rank1> {
    if c.is_empty() || c.iter().all(|x| *x == 0.0) {
        return Vec::new();
    }
    #[allow(clippy::cast_precision_loss)]
    let tolerance = c.nrows().max(c.ncols()) as f64 * f64::EPSILON;
    let mut rest = c.clone();
    let first = eliminate(&mut rest);
    if rest.amax() <= tolerance * c.amax() {
        return vec![first];
    }
    if c.nrows().min(c.ncols()) >= LARGE && is_full(c) {
        return line_by_line(c);
    }
    let Svd { u, singular, v } = svd(c);
    let largest = singular.first().copied().unwrap_or(0.0);
    let order: Vec<usize> = (0..singular.len()).filter(|k| singular[*k] > tolerance * largest).collect();
    let mut terms = Vec::with_capacity(order.len());
    let mut at = 0;
    while at < order.len() {
        let s = singular[order[at]];
        let mut end = at + 1;
        while end < order.len() && singular[order[end - 1]] - singular[order[end]] <= EQUAL * s {
            end += 1;
        }
        let group = &order[at..end];
        if let [k] = group {
            let sign = leading_sign(u.column(*k).iter().copied());
            let root = s.sqrt();
            terms.push(Rank1 {
                beta: u.column(*k).iter().map(|x| x * sign * root).collect(),
                alpha: v.column(*k).iter().map(|x| x * sign * root).collect(),
                singular: s,
            });
        } else {
            let mut part = if group.len() == order.len() {
                c.clone()
            } else {
                let mut m = DMatrix::zeros(c.nrows(), c.ncols());
                for k in group {
                    m += u.column(*k) * singular[*k] * v.column(*k).transpose();
                }
                m
            };
            for k in group {
                terms.push(Rank1 { singular: singular[*k], ..eliminate(&mut part) });
            }
        }
        at = end;
    }
    terms
}

/// Is the rank as large as the smaller side, with a clear margin?
fn is_full(c: &DMatrix<f64>) -> bool {
    let diagonal = c.clone().lu().u().diagonal();
    diagonal.iter().all(|x| x.abs() > 1e-9 * diagonal.amax())
}

/// A matrix of full rank row by row, or column by column if those are fewer: no terms of another kind are fewer.
fn line_by_line(c: &DMatrix<f64>) -> Vec<Rank1> {
    let rows = c.nrows() <= c.ncols();
    let unit = |n: usize, at: usize| (0..n).map(|i| f64::from(u8::from(i == at))).collect::<Vec<f64>>();
    let mut terms: Vec<Rank1> = (0..c.nrows().min(c.ncols()))
        .map(|n| {
            if rows {
                let alpha: Vec<f64> = c.row(n).iter().copied().collect();
                Rank1 { beta: unit(c.nrows(), n), alpha, singular: c.row(n).norm() }
            } else {
                let beta: Vec<f64> = c.column(n).iter().copied().collect();
                Rank1 { beta, alpha: unit(c.ncols(), n), singular: c.column(n).norm() }
            }
        })
        .collect();
    terms.sort_by(|a, b| b.singular.total_cmp(&a.singular));
    terms
}

/// One step of elimination with complete pivoting; the term taken out has `alpha` = the pivot's row.
fn eliminate(c: &mut DMatrix<f64>) -> Rank1 {
    // Entries that differ only by rounding are equal: the first one, row by row, is the pivot.
    let nearly_largest = c.amax() * (1.0 - 1e-9);
    let (mut pi, mut pj) = (0, 0);
    'search: for i in 0..c.nrows() {
        for j in 0..c.ncols() {
            if c[(i, j)].abs() >= nearly_largest {
                (pi, pj) = (i, j);
                break 'search;
            }
        }
    }
    let pivot = c[(pi, pj)];
    if pivot == 0.0 {
        return Rank1 { beta: vec![0.0; c.nrows()], alpha: vec![0.0; c.ncols()], singular: 0.0 };
    }
    let mut beta: Vec<f64> = (0..c.nrows()).map(|i| c[(i, pj)] / pivot).collect();
    let mut alpha: Vec<f64> = (0..c.ncols()).map(|j| c[(pi, j)]).collect();
    for (mut column, a) in c.column_iter_mut().zip(&alpha) {
        for (x, b) in column.iter_mut().zip(&beta) {
            *x -= b * a;
        }
    }
    let sign = leading_sign(beta.iter().copied());
    beta.iter_mut().chain(alpha.iter_mut()).for_each(|x| *x *= sign);
    let norm = |v: &[f64]| {
        let largest = v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        if largest == 0.0 {
            0.0
        } else {
            largest * v.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
        }
    };
    let singular = norm(&beta) * norm(&alpha);
    Rank1 { beta, alpha, singular }
}

/// Sign of the first entry that is not rounding noise.
fn leading_sign(v: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = v.clone().map(f64::abs).fold(0.0, f64::max);
    match v.into_iter().find(|x| x.abs() > 1e-9 * largest) {
        Some(x) if x < 0.0 => -1.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebuilt(terms: &[Rank1], rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| terms.iter().map(|t| t.beta[i] * t.alpha[j]).sum())
    }

    #[test]
    fn finds_the_rank_and_gives_the_matrix_back() {
        let outer = |u: &[f64], v: &[f64]| DMatrix::from_fn(u.len(), v.len(), |i, j| u[i] * v[j]);
        let ones = DMatrix::from_element(4, 3, 1.0);
        let two =
            outer(&[1.0, 2.0, -1.0, 0.5], &[1.0, 1.0, 3.0]) + outer(&[0.0, 1.0, 4.0, 1.0], &[2.0, -1.0, 0.0]);
        let hadamard = DMatrix::from_row_slice(2, 2, &[1.0, 1.0, 1.0, -1.0]);
        let tiny = outer(&[1.0, 0.0, 0.0], &[1.0, 0.0, 0.0])
            + outer(&[0.0, 1.0, 1.0], &[0.0, 1.0, 1.0])
            + outer(&[0.0, 1e-9, -1e-9], &[0.0, 1.0, -1.0]);
        let noise = &ones + DMatrix::from_fn(4, 3, |i, j| if (i, j) == (1, 1) { 1e-17 } else { 0.0 });
        let rows: &[(&str, &DMatrix<f64>, usize)] = &[
            ("all ones is one head", &ones, 1),
            ("a sum of two outer products is two", &two, 2),
            ("equal singular values still give two", &hadamard, 2),
            ("a tiny singular value is kept", &tiny, 3),
            ("rounding noise is not", &noise, 1),
            ("zero is none", &DMatrix::zeros(3, 3), 0),
        ];
        for (claim, c, want) in rows {
            let terms = factorise(c);
            assert_eq!(terms.len(), *want, "{claim}");
            let error = (rebuilt(&terms, c.nrows(), c.ncols()) - *c).amax();
            assert!(error <= 1e-14 * (1.0 + c.amax()), "{claim}: {error}");
            assert!(terms.windows(2).all(|w| w[0].singular >= w[1].singular), "{claim}: strongest first");
        }
        let large =
            DMatrix::from_fn(300, 260, |i, j| f64::from(u8::from(i % 260 == j)) + 0.001 * (i * j) as f64);
        let terms = factorise(&large);
        assert_eq!(terms.len(), 260, "full rank, column by column");
        assert!((rebuilt(&terms, 300, 260) - &large).amax() <= 0.0, "without rounding");
        assert_eq!(factorise(&ones)[0].beta, vec![1.0; 4], "ones stay ones");
        assert_eq!(factorise(&hadamard)[0].beta[0], 1.0, "elimination keeps plain numbers");
    }
}
