//! Recall by settling: a recurrent memory ends at the pseudo-inverse, which the delta rule reaches by learning.
//!
//! The relays of the circuit that have no algebraic form (loops through delays) run cell by cell until they are still, delta
//! memories pass over the same pairs until they are still; both are compared with `V K^+ q` by a QR factorisation, for
//! stored and new cues. Where more than d/2 pairs would take too long to settle, the pseudo-inverse itself is compared with
//! its law.
//!
//! # Source
//! One-step regression in resistive crosspoint arrays: Sun et al. 2020, doi 10.1126/sciadv.aay2378.

use super::capacity::{MOST_PASSES, least_squares, pairs, repeated, squared};
use super::draw::{Mean, signs, unit_keys};
use super::laws;
use super::memory::{Memory, Rule, memory, relays, width, wired};
use super::report::{Cell, Digits, Report, Table};
use super::setup::{Setup, passes_within, room, unfit};
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};

use nalgebra::DMatrix;
use pulvinar::simulate::cells::{End, Settings, run as run_cells};

/// Largest distance to the pseudo-inverse, relative to the largest answer.
const SETTLED: f64 = 1e-8;
/// A delta memory stands still when its answers change by less than this.
const STILL: f64 = 1e-12;

/// How a relay answers.
enum Recall {
    /// every cell in time
    Cells(Box<Circuit>, Box<Settings>),
    /// passes over the pairs
    Passes(Memory),
}

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let plan = setup.plan(&document, |p| p.equilibrium.clone())?;
    let trials = setup.trials.unwrap_or(plan.trials);
    let (seed, d, d_v) = (document.spec.seed, width(&document, "key")?, width(&document, "value")?);
    let mut report = Report { seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut found = Vec::new();
    for relay in relays(&document)? {
        match memory(&document, &relay) {
            Ok(m) if matches!(m.rule(), Some(Rule::Delta(_))) => found.push((relay, Recall::Passes(m))),
            Ok(_) => {}
            Err(d) if d.0.iter().any(|d| d.code == codes::N015) => {
                let circuit = Box::new(wired(&document, &relay)?);
                found.push((relay, Recall::Cells(circuit, Box::new(Settings::of(&document.spec)))));
            }
            Err(d) => return Err(d),
        }
    }
    if found.is_empty() {
        return Err(unfit("thalamus", "no relay of the circuit is recurrent, and none a delta memory")
            .help("`pulvinar experiment equilibrium --print` prints a circuit with both")
            .into());
    }
    let mut table = Table::new(
        "equilibrium",
        format!(
            "d {d}: answers to stored and new cues, against the pseudo-inverse (of {trials} draws, the worst)"
        ),
        &[
            ("M", Digits::Short),
            ("memory", Digits::Short),
            ("by", Digits::Short),
            ("steps", Digits::Short),
            ("distance", Digits::Rounding),
            ("NMSE", Digits::Rounding),
            ("se", Digits::Rounding),
            ("law", Digits::Short),
            ("off", Digits::Short),
        ],
    );
    for m in pairs(d, &plan.load) {
        room(d.max(d_v), 2 * m)?;
        if 2 * m > d {
            let all = setup.trials(seed, &format!("direct.m{m}"), trials, |_, rng| {
                let (keys, values) = (unit_keys(d, m, rng), signs(d_v, m, rng));
                Ok(squared(&least_squares(&keys, &values), &values))
            })?;
            let nmse = Mean::of(&all);
            let law = laws::least_squares(d, m);
            let mut row =
                vec![Cell::Count(m), Cell::Text("-".to_owned()), Cell::Text("pseudo-inverse".to_owned())];
            row.extend([Cell::None, Cell::None]);
            if law == 0.0 {
                let [measured, law] =
                    report.judge_exact(format!("pseudo-inverse, M {m}"), nmse.mean, law, SETTLED);
                row.extend([measured, Cell::Number(nmse.se), law, Cell::None]);
            } else {
                row.extend(report.judge(
                    format!("pseudo-inverse, M {m}"),
                    nmse.mean,
                    nmse.se,
                    0.0,
                    Some(law),
                ));
            }
            table.rows.push(row);
            continue;
        }
        for (name, recall) in &found {
            let all = setup.trials(seed, &format!("{name}.m{m}"), trials, |_, rng| {
                let (keys, values, fresh) = (unit_keys(d, m, rng), signs(d_v, m, rng), unit_keys(d, m, rng));
                let cues =
                    DMatrix::from_fn(d, 2 * m, |i, j| if j < m { keys[(i, j)] } else { fresh[(i, j - m)] });
                let want = pseudo_inverse(&keys, &values, &cues);
                let (got, steps) = recall.answer(name, &cues, &keys, &values)?;
                let nmse = (got.columns(0, m) - &values).norm_squared() / values.norm_squared();
                Ok(((got - &want).amax() / want.amax(), nmse, steps))
            })?;
            let distance = all.iter().map(|t| t.0).fold(0.0, f64::max);
            let nmse = Mean::of(&all.iter().map(|t| t.1).collect::<Vec<_>>());
            let steps = all.iter().map(|t| t.2).max().unwrap_or(0);
            let what = format!("{name} against the pseudo-inverse, M {m}");
            let [distance, _] = report.judge_exact(what, distance, 0.0, SETTLED);
            let by = if matches!(recall, Recall::Cells(..)) { "cells in time" } else { "passes" };
            let mut row =
                vec![Cell::Count(m), Cell::Text(name.clone()), Cell::Text(by.to_owned()), Cell::Count(steps)];
            row.extend([distance, Cell::Number(nmse.mean), Cell::Number(nmse.se), Cell::None, Cell::None]);
            table.rows.push(row);
        }
    }
    report.tables.push(table);
    Ok(report)
}

impl Recall {
    /// The answers `[d_value, n_cues]`, and the steps or passes that it took.
    fn answer(
        &self,
        name: &str,
        cues: &DMatrix<f64>,
        keys: &DMatrix<f64>,
        values: &DMatrix<f64>,
    ) -> Result<(DMatrix<f64>, usize), Diagnostic> {
        let restless = |what: String| {
            Diagnostic::error(codes::R001, "", what)
                .help("smaller loop gains (or rates) settle; fewer pairs settle sooner")
        };
        match self {
            Self::Cells(circuit, settings) => {
                let tokens = [("cue", cues), ("key", keys), ("value", values)];
                let streams: Streams =
                    tokens.into_iter().map(|(name, x)| (name.to_owned(), x.clone())).collect();
                let run = run_cells(circuit, &streams, settings)?;
                match &run.end {
                    End::Diverged { population, t_ms, .. } => Err(restless(format!(
                        "`{name}` does not settle: `{population}` diverged at {t_ms} ms"
                    ))),
                    End::Settled | End::TimeLimit => Ok((run.output, run.steps)),
                }
            }
            Self::Passes(memory) => {
                let most = passes_within(keys.nrows().max(values.nrows()), keys.ncols(), MOST_PASSES);
                let mut passes = most.min(8);
                let mut before = memory.recall(cues, &repeated(keys, passes), &repeated(values, passes))?;
                while 2 * passes <= most {
                    passes *= 2;
                    let got = memory.recall(cues, &repeated(keys, passes), &repeated(values, passes))?;
                    let change = (&got - &before).amax();
                    if change < STILL * got.amax() {
                        return Ok((got, passes));
                    }
                    before = got;
                }
                Ok((before, passes))
            }
        }
    }
}

/// `V K^+ q` for linearly independent keys: `V R^-1 Q^T q`.
fn pseudo_inverse(keys: &DMatrix<f64>, values: &DMatrix<f64>, cues: &DMatrix<f64>) -> DMatrix<f64> {
    let qr = keys.clone().qr();
    let mut scores = qr.q().transpose() * cues;
    if !qr.r().solve_upper_triangular_mut(&mut scores) {
        scores.fill(f64::NAN);
    }
    values * scores
}
