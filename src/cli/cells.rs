//! `pulvinar simulate FILE --mode cells`: every cell in time, beside the algebra where there is one.

use super::args::{Precision, Simulate};
use super::cells_args;
use super::intact::{Change, change};
use super::load;
use super::load::overrides;
use super::report::{Outcome, Reporter, diagnostics_json, not_yet};
use super::run_files::RunFiles;
use super::simulate::bytes;
use crate::attention::Streams;
use crate::circuit::Circuit;
use crate::compile::{Compiled, compile};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::figures::cells::{Pictured, Plan, draw, plan};
use crate::files::{Array, Dtype, atomic_write, prepare_output_dir, write_npy, write_npz};
use crate::seed::sha256_hex;
use crate::simulate::cells::{End, Run, Settings, Token, Trace, extents, lesioned, run as run_cells};
use crate::simulate::{inputs, run as run_algebra};
use crate::spec::{Document, StopSpec};
use nalgebra::DMatrix;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

/// The compiled circuit on the same tokens, or why there is none.
enum Algebra {
    Output(DMatrix<f64>),
    None(Diagnostic),
}

/// Largest difference to the algebra, as it is and relative to the largest output.
#[derive(Clone, Copy)]
struct Difference {
    absolute: f64,
    relative: f64,
}

pub fn run(args: &Simulate, out: &Reporter) -> Outcome {
    if args.precision == Precision::F32 {
        return Err(not_yet("`--precision f32` for cells", "cells run in f64; leave it out"));
    }
    let document = load::document(&args.file, &args.reading)?;
    let circuit = load::circuit(&document, &args.file)?;
    let mut settings = Settings::of(&document.spec);
    settings.prospective |= args.prospective;
    for text in &args.record {
        settings.record.push(cells_args::record(text, &circuit)?);
    }
    for text in &args.lesion {
        settings.lesions.push(cells_args::lesion(text)?);
    }
    let overrides = overrides(&args.tokens, &circuit)?;
    if let Some(dir) = &args.output {
        prepare_output_dir(dir, args.force)?;
    }
    let placed = |d: Diagnostic| load::placed(&document, &args.file, d);
    let streams =
        inputs(&circuit, &document.folder, &overrides).map_err(|d| load::placed(&document, &args.file, d))?;
    for (name, tokens) in &streams {
        out.detail(&format!("stream {name}: {} tokens x {}", tokens.ncols(), tokens.nrows()));
    }
    let picture = args.output.is_some().then(|| plan(&circuit));
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
        let left = compiled.as_ref().ok().filter(|_| left.is_some());
        change(&circuit, left, &intact.output, &run.output)
    };
    let whose = match (settings.lesions.is_empty(), &left) {
        (true, _) => "",
        (false, Some(_)) => " of the lesioned circuit",
        (false, None) => " of the intact circuit",
    };
    let algebra = algebra(compiled, &streams);
    let job = Job {
        document: &document,
        circuit: &circuit,
        settings: &settings,
        run: &run,
        algebra: &algebra,
        whose,
        hits: &hits,
        change,
    };
    let hash = sha256_hex(&bytes(&run.output));
    let files = match &args.output {
        None => Vec::new(),
        Some(dir) => {
            let ran = as_run(&document, &settings);
            let mut folder = RunFiles::open(dir, &ran, &circuit, &streams, &overrides)?;
            if !matches!(run.end, End::Diverged { .. }) {
                write_npy(&folder.path("output.npy"), &run.output)?;
            }
            if !run.traces.is_empty() {
                write_npz(&folder.path("traces.npz"), &traces(&run))?;
            }
            if let Some(plan) = &picture {
                let svg = job.picture(plan)?;
                atomic_write(&folder.path("traces.svg"), |sink| sink.write_all(svg.as_bytes()))?;
            }
            let mut about = job.object(&hash);
            about.insert("tokens".to_owned(), json!(args.tokens));
            folder.close(about)?
        }
    };
    let diverged = job.diverged();
    if out.json {
        let mut rest = job.object(&hash);
        rest.insert("files".to_owned(), json!(files));
        rest.insert("relay".to_owned(), json!(job.relay()));
        rest.insert("seed".to_owned(), json!(document.spec.seed));
        if let Some(d) = &diverged {
            let list = Diagnostics::from(d.clone());
            rest.insert("diagnostics".to_owned(), diagnostics_json(&list, Some(&args.file)));
        }
        out.object("simulate", diverged.is_none(), rest);
    } else {
        out.result(&job.text(&streams, &hash));
        if let Some(dir) = &args.output {
            out.result(&format!("wrote {}: {}\n", dir.display(), files.join(", ")));
        }
        if let Some(d) = &diverged {
            out.draw(&load::placed(&document, &args.file, d.clone()).diagnostics, Some(&args.file));
        }
    }
    if settings.stop == StopSpec::Settle && run.end == End::TimeLimit && !job.in_time() {
        out.note(&format!("note: not settled after {} ms: the output is a passing state", run.t_ms()));
    }
    Ok(u8::from(diverged.is_some()))
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

/// What the compiled heads say, if the circuit is attention.
fn algebra(compiled: Result<Compiled, Diagnostic>, streams: &Streams) -> Algebra {
    let output = compiled.and_then(|c| run_algebra::<f64>(&c.plain_blocks(), streams));
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

/// What a trace is, for the manifest.
fn described(t: &Trace) -> Value {
    let of = |index: fn(&Token) -> Option<usize>| -> Value {
        t.tokens.iter().map(index).collect::<Option<Vec<usize>>>().map_or(Value::Null, |list| json!(list))
    };
    json!({
        "name": t.name,
        "population": t.population,
        "variable": t.variable,
        "compartment": t.compartment,
        "unit": t.unit,
        "time_unit": "ms",
        "every": t.every,
        "shape": [t.t_ms.len(), t.tokens.len(), t.cells.len()],
        "query": of(|t| t.query),
        "context": of(|t| t.context),
        "cells": t.cells,
    })
}

struct Job<'a> {
    document: &'a Document,
    circuit: &'a Circuit,
    settings: &'a Settings,
    run: &'a Run,
    algebra: &'a Algebra,
    /// which circuit the algebra is of
    whose: &'static str,
    /// cells or synapses that each lesion hits, and of how many
    hits: &'a [Option<[usize; 2]>],
    /// what the lesions changed
    change: Option<Change>,
}

impl Job<'_> {
    fn in_time(&self) -> bool {
        matches!(self.circuit.layout, crate::spec::LayoutSpec::Time { .. })
    }

    fn relay(&self) -> String {
        let name = |id| self.circuit.population(id).name.clone();
        match self.circuit.output {
            crate::circuit::Output::Relay(r) => name(r),
            crate::circuit::Output::Signed { plus, minus } => format!("{} - {}", name(plus), name(minus)),
        }
    }

    fn diverged(&self) -> Option<Diagnostic> {
        let End::Diverged { population, t_ms } = &self.run.end else { return None };
        let p = self.circuit.populations.iter().find(|p| p.name == *population)?;
        let what = format!("`{population}` diverged at {t_ms} ms: infinite, or a number divided by zero");
        Some(Diagnostic::error(codes::R001, &p.path, what).help(
            "smaller tokens or weights keep exponentials finite; `limits` bound rates; a divisor must not be zero",
        ))
    }

    fn difference(&self) -> Option<Difference> {
        let Algebra::Output(want) = self.algebra else { return None };
        let got = &self.run.output;
        if want.shape() != got.shape() || !got.iter().all(|x| x.is_finite()) {
            return None;
        }
        let absolute = if want.is_empty() { 0.0 } else { (got - want).amax() };
        let size = if want.is_empty() { 1.0 } else { want.amax() };
        Some(Difference { absolute, relative: if absolute == 0.0 { 0.0 } else { absolute / size } })
    }

    /// The traces of a few cells, and the way of the output to the algebra.
    fn picture(&self, plan: &Plan) -> Result<String, Diagnostic> {
        let algebra = if let Algebra::Output(y) = self.algebra { Some(y) } else { None };
        let run = self.run;
        let made = format!(
            "{}. {}",
            self.method(),
            if self.whose.is_empty() { String::new() } else { format!("Heads{}.", self.whose) }
        );
        let pictured = Pictured {
            name: &self.document.spec.name,
            traces: &run.drawn,
            algebra,
            onsets_ms: &run.onsets_ms,
            t_end_ms: run.t_ms(),
            made: made.trim_end().to_owned(),
        };
        draw(plan, &pictured).map_err(|e| Diagnostic::error(codes::F004, "", format!("no picture: {e}")))
    }

    /// `steps of 1 ms, exponential Euler: settled after 420 steps (420 ms)`
    fn method(&self) -> String {
        let run = self.run;
        let method = match self.settings.integrator {
            crate::spec::Integrator::Euler => "Euler",
            crate::spec::Integrator::ExponentialEuler => "exponential Euler",
        };
        let end = match &run.end {
            End::Settled => format!("settled after {} steps ({} ms)", run.steps, run.t_ms()),
            End::TimeLimit => {
                format!(
                    "stopped after {} steps ({} ms), at most {:.1e} from rest",
                    run.steps,
                    run.t_ms(),
                    run.gap
                )
            }
            End::Diverged { population, t_ms } => format!("diverged in {population} at {t_ms} ms"),
        };
        format!("steps of {} ms, {method}: {end}", run.dt_ms)
    }

    fn object(&self, hash: &str) -> Map<String, Value> {
        let run = self.run;
        let finite = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
        let mut rest = Map::new();
        let mut put = |key: &str, value: Value| rest.insert(key.to_owned(), value);
        put("mode", json!("cells"));
        put("precision", json!("f64"));
        put("output_shape", json!([run.output.ncols(), run.output.nrows()]));
        put("output_sha256", json!(hash));
        put("end", json!(run.end.name()));
        put("steps", json!(run.steps));
        put("dt_ms", json!(run.dt_ms));
        put("t_ms", json!(run.t_ms()));
        put("integrator", json!(self.settings.integrator));
        put("prospective", json!(self.settings.prospective));
        put("cells", json!(run.cells));
        put("gap", finite(run.gap));
        if let End::Diverged { population, t_ms } = &run.end {
            put("diverged", json!({"population": population, "t_ms": t_ms}));
        }
        let difference = self.difference();
        put("max_abs_error", difference.map_or(Value::Null, |d| finite(d.absolute)));
        put("max_rel_error", difference.map_or(Value::Null, |d| finite(d.relative)));
        if !run.traces.is_empty() {
            put("traces", Value::Array(run.traces.iter().map(described).collect()));
        }
        if let Some(change) = &self.change {
            put("lesions", json!(self.settings.lesions));
            put("lesions_hit", json!(self.hits));
            put("change", change.json());
        }
        if let Algebra::None(d) = self.algebra {
            put("not_compiled", json!({"code": d.code, "message": d.message}));
        }
        rest
    }

    fn text(&self, streams: &Streams, hash: &str) -> String {
        let run = self.run;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{}: {} cells in time (seed {})",
            self.document.spec.name, run.cells, self.document.spec.seed
        );
        for (name, tokens) in streams {
            let _ = writeln!(text, "tokens {name}: {} x {}", tokens.ncols(), tokens.nrows());
        }
        let _ = writeln!(text, "{}", self.method());
        let _ = match (self.algebra, self.difference()) {
            (_, Some(d)) => {
                let size = match d.relative {
                    r if r < 1e-12 => "less than 1e-12".to_owned(),
                    r => format!("{r:.0e}"),
                };
                writeln!(text, "the compiled heads{} differ by {size} of the largest output", self.whose)
            }
            (Algebra::None(d), None) => {
                writeln!(text, "no heads to compare with: {} ({})", d.message, d.code)
            }
            (Algebra::Output(_), None) => writeln!(text, "no output to compare with the compiled heads"),
        };
        for (lesion, hit) in self.settings.lesions.iter().zip(self.hits) {
            if let Some([hit, of]) = hit {
                let what = if lesion.name() == "cut" { "synapses" } else { "cells" };
                let _ = writeln!(text, "{} {}: {hit} of {of} {what}", lesion.name(), lesion.target());
            }
        }
        if let Some(change) = &self.change {
            text += &change.text();
        }
        for t in &run.traces {
            let _ = writeln!(
                text,
                "trace {}: {} samples x {} tokens x {} cells",
                t.name,
                t.t_ms.len(),
                t.tokens.len(),
                t.cells.len()
            );
        }
        let largest = run.output.iter().map(|x| x.abs()).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "output {}: {} x {} (f64), largest |y| {}, sha256 {}",
            self.relay(),
            run.output.ncols(),
            run.output.nrows(),
            if largest < 1e6 { format!("{largest:.6}") } else { format!("{largest:.6e}") },
            &hash[..16],
        );
        text
    }
}
