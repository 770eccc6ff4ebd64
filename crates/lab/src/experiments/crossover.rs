//! Two criteria, two winners: the memory with the smaller squared error may be the worse one to decode.
//!
//! All memories store the same pairs. Beside the squared error there is the accuracy of nearest-value decoding: which of
//! the stored values is nearest to the recall? A memory that forgets keeps errors small by answering little; decoding
//! asks for the right direction. Accuracies have no closed form; the table marks the winner where the difference of two
//! memories on the same pairs is beyond 4 standard errors.

use super::capacity::{Score, mean_law, pairs, scores};
use super::draw::{Mean, signs, unit_keys};
use super::memory::{memories, width};
use super::report::{Cell, Digits, Report, Table};
use super::setup::{Setup, room, unfit};
use pulvinar::diag::Diagnostics;

/// Standard errors that a difference must exceed to count.
const CLEAR: f64 = 4.0;

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let plan = setup.plan(&document, |p| p.crossover.clone())?;
    let trials = setup.trials.unwrap_or(plan.trials);
    let (seed, d, d_v) = (document.spec.seed, width(&document, "key")?, width(&document, "value")?);
    let memories = memories(&document)?;
    if memories.len() < 2 {
        return Err(unfit("thalamus", "the circuit has one memory; a crossover needs two")
            .help("let a second area end on a relay of its own")
            .into());
    }
    let mut report = Report { seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut table = Table::new(
        "crossover",
        format!("d {d}: winner by squared error and by nearest-value decoding (`-`: no clear one)"),
        &[
            ("M", Digits::Short),
            ("memory", Digits::Short),
            ("NMSE", Digits::Short),
            ("se", Digits::Short),
            ("law", Digits::Short),
            ("off", Digits::Short),
            ("nearest", Digits::Short),
            ("nearest_se", Digits::Short),
            ("best_NMSE", Digits::Short),
            ("best_nearest", Digits::Short),
        ],
    );
    for m in pairs(d, &plan.load) {
        room(d.max(d_v), m)?;
        let all: Vec<Vec<Score>> = setup.trials(seed, &format!("d{d}.m{m}"), trials, |_, rng| {
            let (keys, values) = (unit_keys(d, m, rng), signs(d_v, m, rng));
            scores(&memories, &keys, &values)
        })?;
        let by_error = winner(&all, memories.len(), |s| -s.nmse);
        let by_decoding = winner(&all, memories.len(), |s| s.nearest);
        for (number, memory) in memories.iter().enumerate() {
            let column =
                |f: fn(&Score) -> f64| Mean::of(&all.iter().map(|t| f(&t[number])).collect::<Vec<_>>());
            let (nmse, nearest) = (column(|s| s.nmse), column(|s| s.nearest));
            let law = memory.rule().map(|r| mean_law(r, d, m));
            let mark = |w: Option<usize>| match w {
                None => Cell::None,
                Some(w) => Cell::Text(if w == number { "*" } else { "" }.to_owned()),
            };
            let mut row = vec![Cell::Count(m), Cell::Text(memory.name.clone())];
            row.extend(report.judge(
                format!("NMSE of {} d {d} M {m}", memory.name),
                nmse.mean,
                nmse.se,
                0.0,
                law,
            ));
            row.extend([
                Cell::Number(nearest.mean),
                Cell::Number(nearest.se),
                mark(by_error),
                mark(by_decoding),
            ]);
            table.rows.push(row);
        }
        if let (Some(a), Some(b)) = (by_error, by_decoding)
            && a != b
        {
            report.notes.push(format!(
                "M {m}: {} has the smaller squared error, but {} is decoded better",
                memories[a].name, memories[b].name
            ));
        }
    }
    if report.notes.is_empty() {
        report.notes.push("no crossover: the same memory wins by both".to_owned());
    }
    report.tables.push(table);
    Ok(report)
}

/// The memory that beats every other one on the same trials by more than [`CLEAR`] standard errors of the difference.
fn winner(all: &[Vec<Score>], memories: usize, points: fn(&Score) -> f64) -> Option<usize> {
    (0..memories).find(|a| {
        (0..memories).filter(|b| b != a).all(|b| {
            let differences: Vec<f64> = all.iter().map(|t| points(&t[*a]) - points(&t[b])).collect();
            let mean = Mean::of(&differences);
            mean.mean > CLEAR * mean.se && mean.mean > 0.0
        })
    })
}
