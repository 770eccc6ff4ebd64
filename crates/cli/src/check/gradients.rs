//! `check FILE --gradients`: the exact gradient against finite differences, local rules against the gradient.

use crate::args::Check;
use crate::report::{Failure, Outcome, Reporter};
use crate::{load, progress};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::{Circuit, Weights};
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::model::Model;
use pulvinar::plasticity::differences::{Compared, Sequence, Verdict};
use pulvinar::plasticity::{Plan, Plastic, Prepared, Split, prepare_to_compare};
use pulvinar::seed;
use pulvinar::spec::CountedSpec;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Relative errors up to this are not told apart.
const ROUNDING: f64 = 1e-12;

pub fn run(args: &Check, out: &Reporter) -> Outcome {
    let model = load::model(&args.file, &args.reading)?;
    let (document, wired) = (model.document(), model.circuit()?);
    let placed = |d: Diagnostic| model.placed(d);
    let placed_all = |d: Diagnostics| model.placed(d);
    let (Prepared { circuit, plastic, .. }, misfits) = prepare_to_compare(&wired).map_err(placed_all)?;
    let (tokens, target, what) = sequence(args, &model, &circuit, out)?;
    let plan = Plan::new(&circuit, &tokens).map_err(placed)?;
    let target = target.unwrap_or_else(|| {
        let mut rng = seed::stream(circuit.seed, "target");
        DMatrix::from_fn(plan.cells[plan.outputs[0].0].n, plan.queries, |_, _| seed::normal(&mut rng))
    });
    let on = document.spec.reserved.loss.unwrap_or_default().on;
    let counted: Vec<bool> =
        (0..plan.queries).map(|i| on == CountedSpec::All || i + 1 == plan.queries).collect();
    let weights: Vec<Weights> = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
    let bar = progress::bar(out, circuit.projections.len(), "differences");
    let mut sequence = Sequence::new(&plan, &weights, &tokens, &target, &counted);
    let found = sequence.gradient(&plastic).and_then(|gradient| {
        let changes = sequence.changes(&plastic);
        sequence.compare(&gradient, &changes, || bar.inc(1))
    });
    bar.finish_and_clear();
    let found = found.map_err(|wild| {
        let what = format!("`{}` sent a number that is not finite", wild.population);
        placed(Diagnostic::error(codes::R001, "", what).help("smaller tokens or weights keep rates finite"))
    })?;
    let answer =
        Answer { circuit: &circuit, plastic: &plastic, misfits: &misfits, found: &found, what: &what };
    let ok = answer.found.iter().all(|c| c.verdict(args.tolerance()) == Verdict::Agree);
    if out.json {
        out.object("check", ok, answer.object(args.tolerance()));
    } else {
        out.result(&answer.text(args.tolerance()));
    }
    Ok(u8::from(!ok))
}

/// What was found, and of what.
struct Answer<'a> {
    circuit: &'a Circuit,
    /// rules that were compared with the gradient
    plastic: &'a [Plastic],
    /// why others were not
    misfits: &'a [Diagnostic],
    found: &'a [Compared],
    /// the sequence in words
    what: &'a str,
}

/// The tokens of one sequence, its target, and what it is in words.
fn sequence(
    args: &Check,
    model: &Model,
    circuit: &Circuit,
    out: &Reporter,
) -> Result<(Streams, Option<DMatrix<f64>>, String), Failure> {
    let overrides = load::overrides(&args.tokens, circuit)?;
    if let (Some(spec), true) = (&model.spec().reserved.task, overrides.is_empty())
        && let Some((task, _)) = model.task()?
    {
        let mut tokens = task.sample();
        task.fill(Split::Train, 0, &mut tokens).map_err(|d| model.placed(d))?;
        let target = tokens[task.target()].clone();
        return Ok((tokens, Some(target), format!("a sequence of the task {}", spec.name())));
    }
    let mut tokens = load::tokens(model, &overrides, out)?;
    // Errors need a teacher's tokens, which the output does not depend on.
    let left = |s: &&pulvinar::circuit::Stream| !tokens.contains_key(&s.name);
    let teacher = circuit.streams.iter().find(|s| left(s) && s.positions.is_none());
    let length = |clock: usize| tokens.get(&circuit.streams[clock].name).map(DMatrix::ncols);
    let drawn = teacher.and_then(|s| {
        let n = length(s.clock)?;
        let mut rng = seed::stream(circuit.seed, &format!("tokens.{}", s.name));
        Some((s.name.clone(), DMatrix::from_fn(s.d_model, n, |_, _| seed::normal(&mut rng))))
    });
    let numbered = circuit.streams.iter().filter(left).filter_map(|s| {
        let (spec, n) = (s.positions.as_ref()?, length(s.clock)?);
        Some((s.name.clone(), pulvinar::simulate::positions::tokens(spec, 0, n)))
    });
    let numbered: Vec<_> = numbered.collect();
    let target = drawn.as_ref().map(|(_, x)| x.clone());
    tokens.extend(drawn.into_iter().chain(numbered));
    Ok((tokens, target, "the circuit's tokens and random targets".to_owned()))
}

impl Answer<'_> {
    /// Names of the projections with a verdict.
    fn with(&self, tolerance: f64, verdict: Verdict) -> Vec<&str> {
        let those = self.found.iter().filter(|c| c.verdict(tolerance) == verdict);
        those.map(|c| self.circuit.projections[c.k].name.as_str()).collect()
    }

    fn object(&self, tolerance: f64) -> Map<String, Value> {
        let mut parameters = Map::new();
        for c in self.found {
            let about = json!({
                "max_rel_error": finite(c.error),
                "cosine": c.cosine,
                "entries": c.entries,
                "entries_there": c.of,
                "directions": c.directions,
                "norm": c.norm,
                "error_of_differences": finite(c.doubt),
                "verdict": c.verdict(tolerance).name(),
                "kink": c.kink,
                "nothing": c.nothing,
            });
            parameters.insert(self.circuit.projections[c.k].name.clone(), about);
        }
        let mut rest = Map::new();
        rest.insert("tolerance".to_owned(), json!(tolerance));
        rest.insert("sequence".to_owned(), json!(self.what));
        rest.insert("disagree".to_owned(), json!(self.with(tolerance, Verdict::Disagree)));
        rest.insert("undecided".to_owned(), json!(self.with(tolerance, Verdict::Undecided)));
        let misfits: Vec<&str> = self.misfits.iter().map(|d| d.message.as_str()).collect();
        rest.insert("rules_left_out".to_owned(), json!(misfits));
        rest.insert("parameters".to_owned(), Value::Object(parameters));
        rest
    }

    fn text(&self, tolerance: f64) -> String {
        let name = |c: &Compared| self.circuit.projections[c.k].name.as_str();
        let width = self.found.iter().map(|c| name(c).len()).max().unwrap_or(4).max(10);
        let mut t = format!("gradient of half the squared error, on {}\n\n", self.what);
        let _ = writeln!(
            t,
            "{:<width$} {:>10} {:>8} {:>12} {:>9}  rule",
            "projection", "|gradient|", "entries", "differences", "+-"
        );
        for c in self.found {
            let (error, doubt) = (bound(c.error), bound(c.doubt));
            let _ = write!(t, "{:<width$} {:>10.4} {:>8} {error:>12} {doubt:>9}", name(c), c.norm, c.entries);
            if let Some(p) = self.plastic.iter().find(|p| p.k == c.k) {
                let cosine = c.cosine.map_or("-".to_owned(), |c| format!("{c:.12}"));
                let _ = write!(t, "  {}: cosine {cosine}", p.spec.rule.name());
            }
            t.push('\n');
        }
        t.push('\n');
        if let Some(c) = self.found.iter().find(|c| c.directions > 0) {
            let _ = writeln!(
                t,
                "of larger matrices, entries drawn by name, and {} random directions through all entries",
                c.directions
            );
        }
        for misfit in self.misfits {
            let _ = writeln!(t, "a rule is left out: {}", misfit.message);
        }
        let larger = |a: f64, b: f64| if b <= a { a } else { b };
        let worst = self.found.iter().map(|c| c.error).fold(0.0, larger);
        let doubt = self.found.iter().map(|c| c.doubt).fold(0.0, larger);
        let (apart, open) =
            (self.with(tolerance, Verdict::Disagree), self.with(tolerance, Verdict::Undecided));
        let verdict = match (apart.is_empty(), open.is_empty()) {
            (true, true) => "agree".to_owned(),
            (false, _) => format!("DISAGREE by {}", apart.join(", ")),
            (true, false) => format!("are UNDECIDED by {}", open.join(", ")),
        };
        let _ = writeln!(
            t,
            "gradients and finite differences {verdict}: largest relative error {}, that of the differences {}, tolerance {tolerance:.0e}",
            bound(worst),
            bound(doubt)
        );
        for c in self.found.iter().filter(|c| c.verdict(tolerance) == Verdict::Undecided) {
            let why = if c.kink {
                "the loss has a kink there (rates at exactly 0): other tokens or weights have a derivative"
            } else {
                "the differences are not exact enough to tell: other tokens or smaller weights may be"
            };
            let _ = writeln!(t, "{}: {why}", name(c));
        }
        t
    }
}

/// Errors up to the next power of ten, and none of the size of rounding: digits beyond that differ between processors.
fn bound(error: f64) -> String {
    if error <= ROUNDING {
        format!("<{ROUNDING:.0e}")
    } else if error.is_finite() {
        format!("{:.0e}", 10f64.powf(error.log10().ceil()))
    } else {
        "unknown".to_owned()
    }
}

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}
