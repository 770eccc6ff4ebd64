//! `pulvinar simulate FILE --mode cells`: every cell in time, beside the algebra where there is one.

use super::args::{Precision, Simulate};
use super::cells_args;
use super::cells_report::{Algebra, Job};
use super::intact::change;
use super::load::overrides;
use super::report::{Outcome, Reporter, diagnostics_json, not_yet};
use super::resolved::Tokens;
use super::run_files::{RunFiles, claim};
use super::{load, page};
use pulvinar::attention::Streams;
use pulvinar::compile::{Compiled, compile, heads_alone};
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::files::{Array, Dtype, atomic_write, little_endian, write_npy, write_npz};
use pulvinar::seed::sha256_hex;
use pulvinar::simulate::cells::{End, Run, Settings, extents, lesioned, notes, run as run_cells, windows};
use pulvinar::simulate::{run as run_algebra, runaway as run_away};
use pulvinar::spec::{Document, LesionSpec, StopSpec, WindowSpec};
use pulvinar_lab::figures::canvas::svg::Fonts;
use pulvinar_lab::figures::cells::plan;
use serde_json::json;
use std::io::Write as _;

pub fn run(args: &Simulate, out: &Reporter) -> Outcome {
    if args.precision == Precision::F32 {
        return Err(not_yet("`--precision f32` for cells", "cells run in f64; leave it out"));
    }
    super::simulate::no_trials(args)?;
    super::simulate::no_stream(args)?;
    let model = load::model(&args.file, &args.reading)?;
    let (document, circuit) = (model.document(), model.circuit()?);
    let mut settings = Settings::of(&document.spec);
    settings.prospective |= args.prospective;
    for text in &args.record {
        settings.record.push(cells_args::record(text, &circuit)?);
    }
    for text in &args.lesion {
        settings.lesions.push(cells_args::lesion(text)?);
    }
    let overrides = overrides(&args.tokens, &circuit)?;
    let placed = |d: Diagnostic| model.placed(d);
    let streams = load::tokens(&model, &overrides, out)?;
    let claim = args.output.as_ref().map(|dir| claim(dir, args.force)).transpose()?;
    for (name, tokens) in &streams {
        out.detail(&format!("stream {name}: {} tokens x {}", tokens.ncols(), tokens.nrows()));
    }
    let picture = args.output.is_some().then(|| plan(&circuit, &settings, &streams));
    if let Some(plan) = &picture {
        settings.draw.clone_from(&plan.record);
    }
    let run = run_cells(&circuit, &streams, &settings).map_err(placed)?;
    let left = lesioned(&circuit, &settings.lesions).map_err(placed)?;
    let hits = extents(&circuit, &settings.lesions).map_err(placed)?;
    let compiled = compile(left.as_ref().unwrap_or(&circuit));
    let change = if settings.lesions.is_empty() {
        None
    } else {
        let without =
            Settings { lesions: Vec::new(), record: Vec::new(), draw: Vec::new(), ..settings.clone() };
        let intact = run_cells(&circuit, &streams, &without).map_err(placed)?;
        let left = match (&left, &compiled) {
            (None, _) => Err(no_circuit_left(&settings)),
            (_, Err(d)) => Err(format!("what is left does not compile: {} ({})", d.message, d.code)),
            (_, Ok(compiled)) => match heads_alone(compiled) {
                Ok(()) => Ok(compiled),
                Err(d) => Err(format!("{} ({})", d.message, d.code)),
            },
        };
        change(&circuit, left, &intact.output, &run.output)
    };
    let whose = match (settings.lesions.is_empty(), &left) {
        (true, _) => "",
        (false, Some(_)) => " of the lesioned circuit",
        (false, None) => " of the intact circuit",
    };
    let algebra = algebra(compiled.as_ref(), &streams);
    let diverged = matches!(run.end, End::Diverged { .. });
    let job = Job {
        document,
        circuit: &circuit,
        settings: &settings,
        run: &run,
        algebra: &algebra,
        whose,
        hits: &hits,
        windows: windows(&circuit, &settings).map_err(placed)?,
        change,
        notes: notes(&circuit, &settings).map_err(placed)?,
        hash: (!diverged).then(|| sha256_hex(&little_endian(run.output.as_slice()))),
    };
    let files = match &claim {
        None => Vec::new(),
        Some(claim) => {
            let ran = as_run(document, &settings);
            let mut folder = RunFiles::open(claim, &ran, &circuit, Tokens::Copied(&streams), &overrides)?;
            if !diverged {
                write_npy(&folder.path("output.npy"), &run.output)?;
            }
            if !run.traces.is_empty() {
                write_npz(&folder.path("traces.npz"), &traces(&run))?;
            }
            if let Some(plan) = &picture {
                let picture = job.picture(plan);
                let svg = picture.svg("px", Fonts::Inside).map_err(page::undrawn)?;
                atomic_write(&folder.path("traces.svg"), |sink| sink.write_all(svg.as_bytes()))?;
                let cells = page::said("Cells in time", &job.text(&streams), Some(&picture))?;
                let mut page = page::begun(document, &circuit, "simulate", &job.facts())?;
                let around = streams_of(compiled.as_ref().ok(), &streams);
                page.sections.extend(page::attention(compiled.as_ref(), around.as_ref())?);
                page.sections.insert(1, cells);
                folder.report(&page)?;
            }
            let mut about = job.object();
            about.insert("tokens".to_owned(), json!(args.tokens));
            folder.close(about)?
        }
    };
    let mut runaway: Diagnostics = job.runaway().map(Diagnostics::from).unwrap_or_default();
    if runaway.0.is_empty()
        && let Ok(compiled) = &compiled
        && let Some(around) = streams_of(Some(compiled), &streams)
    {
        runaway = run_away(&circuit, &compiled.plain_blocks(), &around);
    }
    let runaway = model.placed(runaway);
    if out.json {
        let mut rest = job.object();
        rest.insert("files".to_owned(), json!(files));
        rest.insert("relay".to_owned(), json!(job.relay()));
        rest.insert("seed".to_owned(), json!(document.spec.seed));
        if !runaway.0.is_empty() {
            rest.insert("diagnostics".to_owned(), diagnostics_json(&runaway));
        }
        out.object("simulate", !diverged, rest);
    } else {
        out.result(&job.text(&streams));
        if let Some(dir) = &args.output {
            out.result(&format!("wrote {}: {}\n", dir.display(), files.join(", ")));
        }
        out.draw(&runaway);
    }
    for note in &job.notes {
        out.note(&format!("note: {note}"));
    }
    let settles = settings.stop == StopSpec::Settle && !job.in_time();
    if settles && run.end == End::TimeLimit && runaway.0.is_empty() {
        out.note(&format!("note: not settled after {} ms: the output is a passing state", run.t_ms()));
    }
    Ok(u8::from(diverged))
}

/// Why lesions leave no circuit that heads could be compiled from.
fn no_circuit_left(settings: &Settings) -> String {
    let is_part = |l: &LesionSpec| l.window() != WindowSpec::default();
    let is_noise = |l: &LesionSpec| matches!(l, LesionSpec::Noise { std, .. } if *std > 0.0);
    let why = if settings.lesions.iter().any(is_part) {
        "a lesion acts in a window of time"
    } else if settings.lesions.iter().any(is_noise) {
        "noise has no closed form"
    } else {
        "the output itself is silenced"
    };
    why.to_owned()
}

/// The circuit with what the command line added, so that its file repeats the run.
fn as_run(document: &Document, settings: &Settings) -> Document {
    let mut ran = document.clone();
    ran.spec.reserved.record.clone_from(&settings.record);
    ran.spec.reserved.lesions.clone_from(&settings.lesions);
    if settings.prospective {
        let areas = ran.spec.areas.0.iter_mut().flat_map(|(_, a)| &mut a.populations.0);
        let cells = areas.map(|(_, p)| &mut p.options);
        let relays = ran.spec.thalamus.0.iter_mut().map(|(_, r)| &mut r.options);
        for options in cells.chain(relays) {
            options.prospective.get_or_insert(true);
        }
    }
    ran
}

/// Inputs, and outputs of all blocks of the compiled heads.
fn streams_of(compiled: Option<&Compiled>, streams: &Streams) -> Option<Streams> {
    Some(run_algebra::<f64>(&compiled?.stages(), streams).ok()?.streams)
}

/// What the compiled heads say, if the circuit is attention.
fn algebra(compiled: Result<&Compiled, &Diagnostic>, streams: &Streams) -> Algebra {
    let output = compiled.map_err(Clone::clone).and_then(|c| run_algebra::<f64>(&c.stages(), streams));
    match output {
        Ok(run) => Algebra::Output(run.output),
        Err(d) => Algebra::None(d),
    }
}

/// `traces.npz`: each trace `[samples, tokens, cells]` and its times in ms; onsets of tokens in time.
fn traces(run: &Run) -> Vec<(String, Array)> {
    let mut arrays = Vec::new();
    let array = |shape: Vec<usize>, data: Vec<f64>| Array { shape, data, dtype: Dtype::F64 };
    for t in &run.traces {
        let shape = vec![t.t_ms.len(), t.tokens.len(), t.cells.len()];
        arrays.push((t.name.clone(), array(shape, t.values.clone())));
        arrays.push((format!("{}.t_ms", t.name), array(vec![t.t_ms.len()], t.t_ms.clone())));
    }
    if !run.onsets_ms.is_empty() {
        arrays.push(("onsets_ms".to_owned(), array(vec![run.onsets_ms.len()], run.onsets_ms.clone())));
    }
    arrays
}
