//! The worst case of a hebbian memory: keys that are as aligned as sqrt(d) allows, and values that all disagree.
//!
//! With inner products of exactly 1/sqrt(d) the other pairs add up instead of averaging out, and recall of the first pair
//! is gone at M = 1 + sqrt(d), where random keys would still allow O(d) pairs.

use super::laws;
use super::memory::{Memory, Rule};
use super::report::{Cell, Digits, Report, Table};
use nalgebra::DMatrix;
use pulvinar::diag::Diagnostic;
use pulvinar::linalg::count;

/// Rounding of sums of at most d products.
const EXACT: f64 = 1e-11;

pub fn table() -> Table {
    Table::new(
        "aligned",
        "worst case: all keys at 1/sqrt(d) from each other, all values opposite to the first; its recall, projected",
        &[
            ("d", Digits::Short),
            ("M", Digits::Short),
            ("memory", Digits::Short),
            ("recall", Digits::Long),
            ("law", Digits::Long),
        ],
    )
}

pub fn rows(
    memories: &[Memory],
    d: usize,
    d_v: usize,
    table: &mut Table,
    report: &mut Report,
) -> Result<(), Diagnostic> {
    for memory in memories.iter().filter(|m| m.rule() == Some(Rule::Hebbian)) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let zero = 1 + count(d).sqrt().floor() as usize;
        for m in [2, zero.div_ceil(2) + 1, zero, 2 * zero - 1] {
            let Some(keys) = keys(d, m) else { continue };
            let values = DMatrix::from_fn(d_v, m, |_, j| if j == 0 { 1.0 } else { -1.0 });
            let got = memory.recall(&keys.columns(0, 1).into_owned(), &keys, &values)?;
            let at = format!("aligned recall of {} d {d} M {m}", memory.name);
            let measured = got.sum() / count(d_v);
            let mut row = vec![Cell::Count(d), Cell::Count(m), Cell::Text(memory.name.clone())];
            row.extend(report.judge_exact(at, measured, laws::aligned(d, m), EXACT));
            table.rows.push(row);
        }
    }
    Ok(())
}

/// `m` unit keys in `R^d` with inner products 1/sqrt(d): columns of the Cholesky factor of their Gram matrix.
fn keys(d: usize, m: usize) -> Option<DMatrix<f64>> {
    if m > d || d < 2 {
        return None;
    }
    let gram = DMatrix::from_fn(m, m, |i, j| if i == j { 1.0 } else { 1.0 / count(d).sqrt() });
    let factor = gram.cholesky()?.l();
    Some(DMatrix::from_fn(d, m, |i, j| if i < m { factor[(j, i)] } else { 0.0 }))
}
