//! What is said of a run of cells: lines for a reader, an object for programs, the picture.

use super::intact::Change;
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::simulate::Fingerprint;
use pulvinar::simulate::cells::{Cause, End, Run, Settings, Token, Trace};
use pulvinar::spec::{Document, LayoutSpec, StopSpec};
use pulvinar_lab::figures::canvas::Picture;
use pulvinar_lab::figures::cells::{Band, Pictured, Plan, picture};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The compiled circuit on the same tokens, or why there is none.
pub enum Algebra {
    Output(DMatrix<f64>),
    None(Diagnostic),
}

/// Largest difference to the algebra, as it is and relative to the largest output.
#[derive(Clone, Copy)]
pub struct Difference {
    absolute: f64,
    relative: f64,
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

/// A run and all that belongs to it.
pub struct Job<'a> {
    pub document: &'a Document,
    pub circuit: &'a Circuit,
    pub settings: &'a Settings,
    pub run: &'a Run,
    pub algebra: &'a Algebra,
    /// which circuit the algebra is of
    pub whose: &'static str,
    /// cells or synapses that each lesion hits, and of how many
    pub hits: &'a [Option<[usize; 2]>],
    /// windows of the lesions as they acted, in ms
    pub windows: Vec<[Option<f64>; 2]>,
    /// what the lesions changed
    pub change: Option<Change>,
    /// what was rounded or hit nothing
    pub notes: Vec<String>,
    /// of the output, if there is one
    pub hash: Option<String>,
}

/// `1 step`, `2 steps`
pub fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl Job<'_> {
    pub fn in_time(&self) -> bool {
        matches!(self.circuit.layout, LayoutSpec::Time { .. })
    }

    pub fn relay(&self) -> String {
        let name = |id| self.circuit.population(id).name.clone();
        match self.circuit.output {
            pulvinar::circuit::Output::Relay(r) => name(r),
            pulvinar::circuit::Output::Signed { plus, minus } => format!("{} - {}", name(plus), name(minus)),
        }
    }

    /// A run that diverged: an error. A delayed loop that still grew at its end: a warning.
    pub fn runaway(&self) -> Option<Diagnostic> {
        let run = self.run;
        let path = |name: &str| {
            self.circuit
                .populations
                .iter()
                .find(|p| p.name == name)
                .map(|p| p.path.clone())
                .unwrap_or_default()
        };
        if let End::Diverged { population, t_ms, cause } = &run.end {
            let (what, help) = match cause {
                Cause::Infinite => (
                    "a number became infinite",
                    "smaller tokens or weights keep exponentials and delayed loops finite; `limits` bound rates",
                ),
                Cause::DividedByZero => (
                    "its input was divided by zero",
                    "a divisor must not be zero where there is something to divide: feed it from rates above zero",
                ),
                Cause::Underflow => (
                    "the rates that it is divided by are too small for 64-bit numbers, so nothing can be said of their ratio",
                    "larger scores: a smaller gain, or a bias on the cells of `exp` (the compiled heads, `--mode algebraic`, give the limit)",
                ),
                Cause::Unsettled | Cause::Singular => (
                    "its loop did not come to rest",
                    "weaker or slower feedback settles; `--record` shows how it goes on",
                ),
                Cause::NotANumber => (
                    "infinite inputs cancelled or divided one another",
                    "smaller tokens or weights keep exponentials and delayed loops finite",
                ),
            };
            let what = format!("`{population}` diverged at {t_ms} ms: {what}");
            return Some(Diagnostic::error(codes::R001, path(population), what).help(help));
        }
        let grew = run.growing.as_ref()?;
        let factor = grew.to / grew.from;
        let what = format!(
            "`{}` was still growing when the run ended at {} ms: its largest rate rose {} in the second half, to {:.1e}",
            grew.population,
            run.t_ms(),
            if factor.is_finite() { format!("{factor:.1e}-fold") } else { "from 0".to_owned() },
            grew.to
        );
        Some(Diagnostic::warning(codes::R005, path(&grew.population), what).help(
            "weaken the delayed loop (a gain below one comes to rest, a gain of one at most doubles), or bound the rates (`limits`)",
        ))
    }

    fn diverged(&self) -> bool {
        matches!(self.run.end, End::Diverged { .. })
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

    /// Numbers of the run for its page.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("mode", "cells".to_owned()), ("cells", self.run.cells.to_string())];
        if let Some(d) = self.difference() {
            facts.push(("largest difference to the compiled heads, relative", format!("{:.3e}", d.relative)));
        }
        facts.extend(self.hash.clone().map(|hash| ("sha256 of the output", hash)));
        facts
    }

    /// The traces of a few cells, and the way of the output to the algebra.
    pub fn picture(&self, plan: &Plan) -> Picture {
        let algebra = if let Algebra::Output(y) = self.algebra { Some(y) } else { None };
        let run = self.run;
        let whose = if self.whose.is_empty() { String::new() } else { format!(" Heads{}.", self.whose) };
        let bands = self
            .settings
            .lesions
            .iter()
            .zip(&self.windows)
            .map(|(l, window)| Band { what: format!("{} {}", l.name(), l.target()), window_ms: *window });
        let method = self.method();
        let (first, rest) = method.split_at(1);
        let pictured = Pictured {
            name: &self.document.spec.name,
            description: self.document.spec.description.as_deref(),
            traces: &run.drawn,
            output: &run.output,
            algebra,
            onsets_ms: &run.onsets_ms,
            reads_ms: &run.reads_ms,
            t_end_ms: run.t_ms(),
            runs_away: self.diverged() || run.growing.is_some(),
            lesions: bands.collect(),
            made: format!("{}{rest}.{whose}", first.to_uppercase()),
        };
        picture(plan, &pictured)
    }

    /// `steps of 1 ms, exponential Euler: settled after 420 steps (420 ms)`
    fn method(&self) -> String {
        let run = self.run;
        let method = match self.settings.integrator {
            pulvinar::spec::Integrator::Euler => "Euler",
            pulvinar::spec::Integrator::ExponentialEuler => "exponential Euler",
        };
        let steps = format!("{} ({} ms)", counted(run.steps, "step"), run.t_ms());
        let end = match &run.end {
            End::Settled => format!("settled after {steps}"),
            End::TimeLimit if self.in_time() => format!("all tokens presented in {steps}"),
            End::TimeLimit if self.settings.stop == StopSpec::Settle => {
                format!("stopped after {steps}, at most {:.1e} from rest", run.gap)
            }
            End::TimeLimit => format!("ran for {steps}, then at most {:.1e} from rest", run.gap),
            End::Diverged { population, t_ms, .. } => format!("diverged in {population} at {t_ms} ms"),
        };
        format!("steps of {} ms, {method}: {end}", run.dt_ms)
    }

    pub fn object(&self) -> Map<String, Value> {
        let run = self.run;
        let finite = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
        let mut rest = Map::new();
        let mut put = |key: &str, value: Value| rest.insert(key.to_owned(), value);
        put("mode", json!("cells"));
        put("precision", json!("f64"));
        put("output_shape", json!([run.output.ncols(), run.output.nrows()]));
        put("output_sha256", json!(self.hash));
        let print = self.hash.as_ref().and_then(|_| Fingerprint::of(&run.output));
        put("output_fingerprint", json!(print));
        put("end", json!(run.end.name()));
        put("steps", json!(run.steps));
        put("dt_ms", json!(run.dt_ms));
        put("t_ms", json!(run.t_ms()));
        put("integrator", json!(self.settings.integrator));
        put("prospective", json!(self.settings.prospective));
        put("cells", json!(run.cells));
        put("gap", finite(run.gap));
        if let End::Diverged { population, t_ms, cause } = &run.end {
            put("diverged", json!({"population": population, "t_ms": t_ms, "cause": cause.name()}));
        }
        if let Some(grew) = &run.growing {
            let about = json!({
                "population": grew.population,
                "from": grew.from,
                "to": grew.to,
                "factor": finite(grew.to / grew.from),
                "since_ms": grew.since_ms,
            });
            put("growing", about);
        }
        put("notes", json!(self.notes));
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

    pub fn text(&self, streams: &Streams) -> String {
        let run = self.run;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{}: {} in time (seed {})",
            self.document.spec.name,
            counted(run.cells, "cell"),
            self.document.spec.seed
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
                let what = match (lesion.name(), of) {
                    ("cut", 1) => "synapse",
                    ("cut", _) => "synapses",
                    (_, 1) => "cell",
                    _ => "cells",
                };
                let _ = writeln!(text, "{} {}: {hit} of {of} {what}", lesion.name(), lesion.target());
            }
        }
        if let Some(change) = &self.change {
            text += &change.text();
        }
        for t in &run.traces {
            let _ = writeln!(
                text,
                "trace {}: {} x {} x {}",
                t.name,
                counted(t.t_ms.len(), "sample"),
                counted(t.tokens.len(), "token"),
                counted(t.cells.len(), "cell")
            );
        }
        let print = self.hash.as_ref().and_then(|_| Fingerprint::of(&run.output));
        let Some(print) = print else {
            let _ = writeln!(text, "output {}: none, the run diverged", self.relay());
            return text;
        };
        let largest = run.output.iter().map(|x| x.abs()).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "output {}: {} x {} (f64), largest |y| {}, fingerprint {}",
            self.relay(),
            run.output.ncols(),
            run.output.nrows(),
            if largest < 1e6 { format!("{largest:.6}") } else { format!("{largest:.6e}") },
            &print[..16],
        );
        text
    }
}
