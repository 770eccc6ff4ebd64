//! One update on stored patterns: `xi <- X softmax(beta X^T xi)` (Ramsauer et al. 2020, arXiv 2008.02217).

use crate::experiments::draw::unit_keys;
use crate::experiments::memory::{memories, width};
use crate::experiments::report::{Cell, Digits, Report, Table};
use crate::experiments::setup::{Setup, room};
use nalgebra::{DMatrix, DVector};
use pulvinar::diag::Diagnostics;
use pulvinar::seed;
use pulvinar::spec::HopfieldSpec;

/// Largest median error of well-separated patterns: rounding.
const ROUNDING: f64 = 1e-15;
/// Largest difference to softmax written as loops, relative to the largest number.
const SAME: f64 = 1e-12;
/// States of the comparison, and how noisy they are.
const NOISY: (usize, f64) = (64, 0.5);

pub fn run(setup: &Setup<'_>, plan: &HopfieldSpec, report: &mut Report) -> Result<(), Diagnostics> {
    let document = setup.document(&[])?;
    let n = width(&document, "cue")?;
    let mut table = Table::new(
        "retrieval",
        "one update: relative error on stored patterns, and difference to softmax by loops on noisy ones",
        &[
            ("memory", Digits::Short),
            ("n", Digits::Short),
            ("patterns", Digits::Short),
            ("beta", Digits::Short),
            ("median_error", Digits::Short),
            ("largest_error", Digits::Short),
            ("against_loops", Digits::Rounding),
        ],
    );
    let mut each = Table::new(
        "errors",
        "relative error of one update on each stored pattern, ascending",
        &[("memory", Digits::Short), ("pattern", Digits::Short), ("error", Digits::Short)],
    );
    each.hidden = true;
    room(n.max(plan.patterns), plan.patterns)?;
    let mut rng = seed::stream(document.spec.seed, "hopfield.retrieval");
    let patterns = unit_keys(n, plan.patterns, &mut rng) * plan.norm;
    let noise = DMatrix::from_fn(n, NOISY.0.min(plan.patterns), |_, _| NOISY.1 * seed::normal(&mut rng));
    let noisy = DMatrix::from_fn(n, noise.ncols(), |i, j| patterns[(i, j)] + noise[(i, j)]);
    for memory in memories(&document)? {
        let Some(beta) = memory.beta() else { continue };
        let got = memory.recall(&patterns, &patterns, &patterns)?;
        let mut errors: Vec<f64> =
            got.column_iter().zip(patterns.column_iter()).map(|(y, x)| (y - x).norm() / x.norm()).collect();
        errors.sort_by(f64::total_cmp);
        let got = memory.recall(&noisy, &patterns, &patterns)?;
        let mut apart: f64 = 0.0;
        for (y, state) in got.column_iter().zip(noisy.column_iter()) {
            let want = &patterns * weights(&patterns, &state.into_owned(), beta);
            apart = apart.max((y - &want).amax());
        }
        apart /= patterns.amax();
        let median = errors[errors.len() / 2];
        let name = &memory.name;
        for (place, error) in errors.iter().enumerate() {
            each.rows.push(vec![Cell::Text(name.clone()), Cell::Count(place + 1), Cell::Number(*error)]);
        }
        if bound(&patterns, beta) < ROUNDING {
            report.judge_exact(format!("one-step retrieval of {name}: median error"), median, 0.0, ROUNDING);
        }
        report.judge_exact(format!("{name} against softmax by loops"), apart, 0.0, SAME);
        table.rows.push(vec![
            Cell::Text(name.clone()),
            Cell::Count(n),
            Cell::Count(plan.patterns),
            Cell::Number(beta),
            Cell::Number(median),
            Cell::Number(errors[errors.len() - 1]),
            Cell::Number(apart),
        ]);
    }
    report.tables.extend([table, each]);
    Ok(())
}

/// Median bound on the relative error of one update: twice the weight that the other patterns get.
fn bound(patterns: &DMatrix<f64>, beta: f64) -> f64 {
    let overlaps = patterns.transpose() * patterns;
    let n = patterns.ncols();
    let others = |i: usize| -> f64 {
        (0..n).filter(|j| *j != i).map(|j| (beta * (overlaps[(i, j)] - overlaps[(i, i)])).exp()).sum()
    };
    let mut all: Vec<f64> = (0..n).map(|i| 2.0 * others(i)).collect();
    all.sort_by(f64::total_cmp);
    all[n / 2]
}

/// `softmax(beta X^T xi)`, by loops.
pub fn weights(patterns: &DMatrix<f64>, state: &DVector<f64>, beta: f64) -> DVector<f64> {
    let mut scores: Vec<f64> = Vec::with_capacity(patterns.ncols());
    for pattern in patterns.column_iter() {
        let mut score = 0.0;
        for (x, s) in pattern.iter().zip(state.iter()) {
            score += x * s;
        }
        scores.push(beta * score);
    }
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in &mut scores {
        *score = (*score - top).exp();
        sum += *score;
    }
    DVector::from_iterator(scores.len(), scores.into_iter().map(|s| s / sum))
}

/// `E = -1/beta log sum_j exp(beta x_j . xi) + xi^2/2 + log(N)/beta + max |x|^2 / 2`, by loops.
pub fn energy(patterns: &DMatrix<f64>, state: &DVector<f64>, beta: f64) -> f64 {
    let scores: Vec<f64> = patterns.column_iter().map(|x| beta * x.dot(state)).collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
    let largest = patterns.column_iter().map(|x| x.norm_squared()).fold(0.0, f64::max);
    let log_n = pulvinar::linalg::count(patterns.ncols()).ln();
    0.5 * state.norm_squared() + 0.5 * largest + (log_n - top - sum.ln()) / beta
}
