//! Recall through layers: what one memory recalls is the cue of the next, each with fresh keys.
//!
//! Layer l stores pairs (key l -> key l+1) of random keys; keys are R blocks of d numbers, each of length 1. The errors of a
//! layer are cues of other pairs for the next, so they multiply: `NMSE = (1 + (M-1)/(R d))^layers - 1`.

use super::draw::{Mean, unit_keys};
use super::laws;
use super::memory::{Memory, Rule, memories, plain_block, width};
use super::report::{Cell, Digits, Report, Table};
use super::setup::{Setup, room, unfit};
use nalgebra::DMatrix;
use pulvinar::attention::{Mask, Streams};
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;

/// How far the gain of a layer may be from 1/R.
const GAIN: f64 = 1e-12;

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let plan = setup.plan(&document, |p| p.depth.clone())?;
    let trials = setup.trials.unwrap_or(plan.trials);
    let mut report =
        Report { seed: document.spec.seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut table = Table::new(
        "depth",
        "M random pairs in each layer, all M first keys asked; R redundant columns per layer",
        &[
            ("d", Digits::Short),
            ("R", Digits::Short),
            ("M", Digits::Short),
            ("layers", Digits::Short),
            ("memory", Digits::Short),
            ("heads", Digits::Short),
            ("NMSE", Digits::Short),
            ("se", Digits::Short),
            ("law", Digits::Short),
            ("off", Digits::Short),
        ],
    );
    // D = R d is a parameter of its own: the language does not multiply.
    let d = (width(&document, "cue")? / redundancy(&document)?).max(1);
    for r in setup.sweep("R", &plan.redundancy)? {
        let document = setup.document(&[("R", r.to_string()), ("D", (r * d).to_string())])?;
        let memories = memories(&document)?;
        let keys = key_streams(&document, &memories)?;
        for &m in &plan.pairs {
            room(r * d, m)?;
            let what = format!("d{d}.R{r}.m{m}");
            let all: Vec<Vec<f64>> = setup.trials(document.spec.seed, &what, trials, |_, rng| {
                let layers: Vec<DMatrix<f64>> = keys
                    .iter()
                    .map(|_| {
                        let blocks = unit_keys(d, r * m, rng);
                        DMatrix::from_column_slice(r * d, m, blocks.as_slice())
                    })
                    .collect();
                let mut streams: Streams = keys.iter().cloned().zip(layers.iter().cloned()).collect();
                streams.insert("cue".to_owned(), layers[0].clone());
                let mut errors = Vec::with_capacity(memories.len());
                for memory in &memories {
                    let wanted = &layers[memory.blocks().len()];
                    let got = memory.answer(streams.clone())?;
                    errors.push((got - wanted).norm_squared() / wanted.norm_squared());
                }
                Ok(errors)
            })?;
            for (number, memory) in memories.iter().enumerate() {
                let layers = memory.blocks().len();
                let nmse = Mean::of(&all.iter().map(|t| t[number]).collect::<Vec<_>>());
                let is_mean = memory.blocks().iter().all(|b| {
                    plain_block(b).is_some_and(|p| {
                        p.rule == Rule::Hebbian
                            && p.mask == Mask::Full
                            && (p.gain * count(r) - 1.0).abs() < GAIN
                    })
                });
                let law = is_mean.then(|| laws::layers(d, m, r, layers));
                let heads = memory.blocks().iter().map(|b| b.heads.len()).sum();
                let mut row = vec![Cell::Count(d), Cell::Count(r), Cell::Count(m), Cell::Count(layers)];
                row.extend([Cell::Text(memory.name.clone()), Cell::Count(heads)]);
                let at = format!("NMSE of {} (d {d}, R {r}, M {m})", memory.name);
                row.extend(report.judge(at, nmse.mean, nmse.se, 0.0, law));
                table.rows.push(row);
            }
        }
    }
    report.tables.push(table);
    Ok(report)
}

/// The parameter `R` of the file.
fn redundancy(document: &pulvinar::spec::Document) -> Result<usize, Diagnostics> {
    let value =
        document.spec.parameters.get("R").and_then(|v| v.0.as_u64()).and_then(|r| usize::try_from(r).ok());
    value.filter(|r| *r > 0).ok_or_else(|| {
        unfit("parameters", "the experiment sets the parameters `R` and `D`, which the circuit lacks")
            .help("add `parameters: {R: 1, D: 16}`; streams have D numbers per token, R times d")
            .into()
    })
}

/// `key1`, `key2`, ..., one more than the deepest memory has layers.
fn key_streams(document: &pulvinar::spec::Document, memories: &[Memory]) -> Result<Vec<String>, Diagnostics> {
    let deepest = memories.iter().map(|m| m.blocks().len()).max().unwrap_or(0);
    let names: Vec<String> = (1..=deepest + 1).map(|n| format!("key{n}")).collect();
    let whole = width(document, "cue")?;
    for name in &names {
        if width(document, name)? != whole {
            let what = format!("stream `{name}` and `cue` have different widths");
            return Err(unfit(&format!("tokens.streams.{name}"), what)
                .help("what a layer recalls is the cue of the next: all of them need D numbers")
                .into());
        }
    }
    Ok(names)
}
