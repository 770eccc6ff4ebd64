//! Where iterated updates end, over the inverse temperature: at the mean of all patterns, of some, or at one.
//!
//! Patterns come in groups: members of a group have cosine 0.8, members of two groups are about orthogonal. Every pattern
//! is a start. A fixed point that all starts reach is `global`, one that only its own start reaches `single`, one that some
//! share `metastable`. Two regimes are known for certain: the update is a contraction, with one fixed point, while
//! `beta max |x - mean|^2 < 1`; and each pattern keeps one of its own where its separation from all others is at least
//! `2/(beta N) + log(2 (N-1) N beta M^2) / beta`, M the largest norm (Ramsauer et al. 2020, theorem 5).

use super::retrieval::{energy, weights};
use crate::experiments::draw::unit_keys;
use crate::experiments::memory::{Memory, memories, width};
use crate::experiments::report::{Cell, Digits, Report, Table};
use crate::experiments::setup::{Setup, unfit};
use nalgebra::DMatrix;
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::linalg::count;
use pulvinar::seed;
use pulvinar::spec::HopfieldSpec;
use rand_chacha::ChaCha8Rng;

/// Groups of patterns, members of each, and the length of what makes members differ.
const GROUPS: (usize, usize, f64) = (4, 4, 0.5);
/// Most updates, and the change below which a state stands still.
const MOST: usize = 20_000;
const STILL: f64 = 1e-13;
/// Fixed points closer than this are one.
const SAME: f64 = 1e-6;
/// How much the energy may rise by rounding, of its size.
const RISE: f64 = 1e-12;

pub fn run(setup: &Setup<'_>, plan: &HopfieldSpec, report: &mut Report) -> Result<(), Diagnostics> {
    let mut table = Table::new(
        "fixed_points",
        "iterated from each of 16 patterns in 4 groups: how many starts end where (energy_rise: largest, of |E|)",
        &[
            ("memory", Digits::Short),
            ("beta", Digits::Short),
            ("fixed_points", Digits::Short),
            ("global", Digits::Short),
            ("metastable", Digits::Short),
            ("single", Digits::Short),
            ("patterns_in_state", Digits::Short),
            ("updates", Digits::Short),
            ("energy_rise", Digits::Rounding),
            ("certain", Digits::Short),
        ],
    );
    let mut descent = Table::new(
        "descent",
        "energy after each update, mean of all starts",
        &[
            ("memory", Digits::Short),
            ("beta", Digits::Short),
            ("update", Digits::Short),
            ("energy", Digits::Long),
        ],
    );
    descent.hidden = true;
    let first = setup.document(&[])?;
    let has_softmax = memories(&first)?.iter().any(|m| m.beta().is_some());
    if !has_softmax {
        return Ok(());
    }
    if setup.set.iter().any(|(name, _)| name == "beta") {
        return Err(unfit("parameters", "the experiment sweeps `beta`, so `--set beta` has no effect")
            .help("change `protocol.hopfield.beta` in a copy of the circuit")
            .into());
    }
    let patterns =
        grouped(width(&first, "cue")?, &mut seed::stream(first.spec.seed, "hopfield.fixed_points"));
    setup.progress.begin("fixed points", plan.beta.len());
    for beta in &plan.beta {
        let document = setup.document(&[("beta", beta.to_string())])?;
        for memory in memories(&document)? {
            let Some(beta) = memory.beta() else { continue };
            let ends = iterate(&memory, &patterns, beta)?;
            let n = patterns.ncols();
            let reached_by = |i: usize| {
                (0..n).filter(|j| (ends.states.column(i) - ends.states.column(*j)).norm() < SAME).count()
            };
            let by: Vec<usize> = (0..n).map(reached_by).collect();
            let [global, single] = [n, 1].map(|k| by.iter().filter(|b| **b == k).count());
            // Each fixed point is counted once for every start that reaches it.
            let distinct: f64 = by.iter().map(|b| 1.0 / count(*b)).sum();
            let mixed: Vec<f64> = ends
                .states
                .column_iter()
                .map(|s| 1.0 / weights(&patterns, &s.into_owned(), beta).norm_squared())
                .collect();
            let at = format!("{} at beta {beta}", memory.name);
            report.judge_exact(format!("energy of {at}: largest rise"), ends.rise, 0.0, RISE);
            let certain = certain(&patterns, beta);
            match certain {
                "global" => drop(report.judge_exact(
                    format!("starts of {at} at one point"),
                    count(global),
                    count(n),
                    0.0,
                )),
                "single" => drop(report.judge_exact(
                    format!("starts of {at} on their own"),
                    count(single),
                    count(n),
                    0.0,
                )),
                _ => {}
            }
            for (update, energy) in ends.energy.iter().enumerate() {
                let row = [Cell::Text(memory.name.clone()), Cell::Number(beta), Cell::Count(update)];
                descent.rows.push(row.into_iter().chain([Cell::Number(*energy)]).collect());
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let distinct = distinct.round() as usize;
            table.rows.push(vec![
                Cell::Text(memory.name.clone()),
                Cell::Number(beta),
                Cell::Count(distinct),
                Cell::Count(global),
                Cell::Count(n - global - single),
                Cell::Count(single),
                Cell::Number(mixed.iter().sum::<f64>() / count(n)),
                Cell::Count(ends.updates),
                Cell::Number(ends.rise),
                Cell::Text(certain.to_owned()),
            ]);
        }
        setup.progress.step();
    }
    report.tables.extend([table, descent]);
    Ok(())
}

/// Unit patterns in groups, `[n, groups x members]`.
fn grouped(n: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let (groups, members, spread) = GROUPS;
    let centres = unit_keys(n, groups, rng);
    let own = unit_keys(n, groups * members, rng);
    let mut patterns =
        DMatrix::from_fn(n, groups * members, |i, j| centres[(i, j / members)] + spread * own[(i, j)]);
    for mut x in patterns.column_iter_mut() {
        let length = x.norm();
        x /= length;
    }
    patterns
}

struct Ends {
    states: DMatrix<f64>,
    updates: usize,
    /// largest rise of the energy over its size
    rise: f64,
    /// before and after each update, mean of all starts
    energy: Vec<f64>,
}

/// Updates all states until they stand still.
fn iterate(memory: &Memory, patterns: &DMatrix<f64>, beta: f64) -> Result<Ends, Diagnostic> {
    let energies = |states: &DMatrix<f64>| -> Vec<f64> {
        states.column_iter().map(|s| energy(patterns, &s.into_owned(), beta)).collect()
    };
    let mut states = patterns.clone();
    let mean = |energies: &[f64]| energies.iter().sum::<f64>() / count(energies.len());
    let (mut before, mut rise, mut updates) = (energies(&states), f64::NEG_INFINITY, 0);
    let mut energy = vec![mean(&before)];
    loop {
        let next = memory.recall(&states, patterns, patterns)?;
        let after = energies(&next);
        for (a, b) in after.iter().zip(&before) {
            rise = rise.max((a - b) / b.abs());
        }
        energy.push(mean(&after));
        let change = (&next - &states).amax();
        (states, before, updates) = (next, after, updates + 1);
        if change < STILL || updates == MOST {
            return Ok(Ends { states, updates, rise: rise.max(0.0), energy });
        }
    }
}

/// What theory says for certain at this beta.
fn certain(patterns: &DMatrix<f64>, beta: f64) -> &'static str {
    let n = patterns.ncols();
    let mean = patterns.column_mean();
    let radius = patterns.column_iter().map(|x| (x - &mean).norm_squared()).fold(0.0, f64::max);
    if beta * radius < 1.0 {
        return "global";
    }
    let largest = patterns.column_iter().map(|x| x.norm_squared()).fold(0.0, f64::max);
    let apart = |i: usize| {
        let x = patterns.column(i);
        (0..n)
            .filter(|j| *j != i)
            .map(|j| x.dot(&x) - x.dot(&patterns.column(j)))
            .fold(f64::INFINITY, f64::min)
    };
    let separation = (0..n).map(apart).fold(f64::INFINITY, f64::min);
    let n = count(n);
    let needed = 2.0 / (beta * n) + (2.0 * (n - 1.0) * n * beta * largest).ln() / beta;
    if separation >= needed { "single" } else { "-" }
}
