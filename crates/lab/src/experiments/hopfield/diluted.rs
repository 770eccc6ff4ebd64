//! Several patterns at once: a network of signs that stores diluted patterns.
//!
//! A fraction d of each pattern is zero, the rest signs. Cells that the first pattern leaves free follow the second, those
//! that both leave free the third, and so on: overlaps are (1 - d) d^(k-1) (Agliari et al. 2012, arXiv 1111.5191). The
//! answer of the linear memory is the field of each cell, its sign the next state; a cell without field stays.

use crate::experiments::draw::{Mean, signs};
use crate::experiments::memory::{memories, memory};
use crate::experiments::report::{Cell, Digits, Report, Table};
use crate::experiments::setup::Setup;
use nalgebra::DMatrix;
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::seed;
use pulvinar::spec::HopfieldSpec;

/// Stored patterns.
const PATTERNS: usize = 3;
/// Most updates; it stands still after two or three.
const MOST: usize = 100;
/// Fraction of cells that the start has wrong.
const FLIPPED: f64 = 0.1;
/// Largest distance of a mean overlap from theory.
const ALLOWED: f64 = 0.03;

pub fn run(setup: &Setup<'_>, plan: &HopfieldSpec, report: &mut Report) -> Result<(), Diagnostics> {
    let mut table = Table::new(
        "diluted",
        format!(
            "{} cells, {PATTERNS} patterns with a fraction {} of zeros: overlaps of {} runs",
            plan.cells, plan.dilution, plan.runs
        ),
        &[
            ("memory", Digits::Short),
            ("pattern", Digits::Short),
            ("overlap", Digits::Short),
            ("se", Digits::Short),
            ("theory", Digits::Short),
        ],
    );
    let linear: Vec<String> = memories(&setup.document(&[])?)?
        .into_iter()
        .filter(|m| m.degree() == Some(1))
        .map(|m| m.name)
        .collect();
    if linear.is_empty() {
        return Ok(());
    }
    setup.progress.begin("diluted patterns: compiling", 1);
    let document = setup.document(&[("n", plan.cells.to_string())])?;
    for name in &linear {
        let memory = memory(&document, name)?;
        let all: Vec<Vec<f64>> = setup.trials(document.spec.seed, "diluted", plan.runs, |_, rng| {
            let mut patterns = signs(plan.cells, PATTERNS, rng);
            for x in patterns.iter_mut() {
                if seed::uniform(rng, 0.0, 1.0) < plan.dilution {
                    *x = 0.0;
                }
            }
            let free = signs(plan.cells, 1, rng);
            let mut state = DMatrix::from_fn(plan.cells, 1, |i, _| {
                patterns.row(i).iter().copied().find(|x| *x != 0.0).unwrap_or(free[(i, 0)])
            });
            for s in state.iter_mut() {
                if seed::uniform(rng, 0.0, 1.0) < FLIPPED {
                    *s = -*s;
                }
            }
            for _ in 0..MOST {
                let field = memory.recall(&state, &patterns, &patterns)?;
                let next = state.zip_map(&field, |s, h| if h == 0.0 { s } else { h.signum() });
                if next == state {
                    break;
                }
                state = next;
            }
            Ok((0..PATTERNS).map(|k| patterns.column(k).dot(&state.column(0)) / count(plan.cells)).collect())
        })?;
        for k in 0..PATTERNS {
            let overlap = Mean::of(&all.iter().map(|run| run[k]).collect::<Vec<_>>());
            let theory = (1.0 - plan.dilution) * plan.dilution.powf(count(k));
            let what = format!("overlap of {} with pattern {}", memory.name, k + 1);
            let [measured, theory] = report.judge_exact(what, overlap.mean, theory, ALLOWED);
            table.rows.push(vec![
                Cell::Text(memory.name.clone()),
                Cell::Count(k + 1),
                measured,
                Cell::Number(overlap.se),
                theory,
            ]);
        }
    }
    report.tables.push(table);
    Ok(())
}
