//! `check FILE --gradients`: the exact gradient against finite differences, local rules against the gradient.

use crate::attention::Streams;
use crate::circuit::{Circuit, Weights};
use crate::cli::args::Check;
use crate::cli::report::{Failure, Outcome, Reporter};
use crate::cli::{load, progress};
use crate::diag::{Diagnostic, codes};
use crate::plasticity::differences::{Compared, compare};
use crate::plasticity::{Plan, Plastic, Split, prepare};
use crate::seed;
use crate::spec::{CountedSpec, Document};
use nalgebra::DMatrix;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

pub fn run(args: &Check, out: &Reporter) -> Outcome {
    let document = load::document(&args.file, &args.reading)?;
    let wired = load::circuit(&document, &args.file)?;
    let placed = |d: Diagnostic| load::placed(&document, &args.file, d);
    let learns = wired.projections.iter().any(|p| p.plasticity.is_some());
    let (circuit, plastic): (Circuit, Vec<Plastic>) = if learns {
        let prepared = prepare(&wired, None, None).map_err(|d| load::placed(&document, &args.file, d))?;
        (prepared.circuit, prepared.plastic)
    } else {
        (wired, Vec::new())
    };
    let (tokens, target, what) = sequence(args, &document, &circuit)?;
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
    let found = compare(&plan, &weights, &plastic, &tokens, &target, &counted, || bar.inc(1));
    bar.finish_and_clear();
    let found = found.map_err(|wild| {
        let what = format!("`{}` sent a number that is not finite", wild.population);
        placed(Diagnostic::error(codes::R001, "", what).help("smaller tokens or weights keep rates finite"))
    })?;
    let ok = found.iter().all(|c| c.error <= args.tolerance);
    if out.json {
        out.object("check", ok, object(args, &circuit, &found, &what));
    } else {
        out.result(&text(args, &circuit, &plastic, &found, &what, ok));
    }
    Ok(u8::from(!ok))
}

/// The tokens of one sequence, its target, and what it is in words.
fn sequence(
    args: &Check,
    document: &Document,
    circuit: &Circuit,
) -> Result<(Streams, Option<DMatrix<f64>>, String), Failure> {
    let placed = |d| load::placed(document, &args.file, d);
    let overrides = load::overrides(&args.tokens, circuit)?;
    if let (Some(spec), true) = (&document.spec.reserved.task, overrides.is_empty()) {
        let (task, _) = crate::cli::train::task(spec, document, circuit, &args.file)?;
        let mut tokens = task.sample();
        task.fill(Split::Train, 0, &mut tokens).map_err(|d| placed(d.into()))?;
        let target = tokens[task.target()].clone();
        return Ok((tokens, Some(target), format!("a sequence of the task {}", spec.name())));
    }
    let mut tokens = crate::simulate::inputs(circuit, &document.folder, &overrides).map_err(placed)?;
    // Errors need a teacher's tokens, which the output does not depend on.
    let teacher = circuit.streams.iter().find(|s| !tokens.contains_key(&s.name));
    let length = |clock: usize| tokens.get(&circuit.streams[clock].name).map(DMatrix::ncols);
    let drawn = teacher.and_then(|s| {
        let n = length(s.clock)?;
        let mut rng = seed::stream(circuit.seed, &format!("tokens.{}", s.name));
        Some((s.name.clone(), DMatrix::from_fn(s.d_model, n, |_, _| seed::normal(&mut rng))))
    });
    let target = drawn.as_ref().map(|(_, x)| x.clone());
    tokens.extend(drawn);
    Ok((tokens, target, "the circuit's tokens and random targets".to_owned()))
}

fn object(args: &Check, circuit: &Circuit, found: &[Compared], what: &str) -> Map<String, Value> {
    let mut parameters = Map::new();
    for c in found {
        let about = json!({
            "max_rel_error": c.error,
            "cosine": c.cosine,
            "entries": c.entries,
            "norm": c.norm,
        });
        parameters.insert(circuit.projections[c.k].name.clone(), about);
    }
    let mut rest = Map::new();
    rest.insert("tolerance".to_owned(), json!(args.tolerance));
    rest.insert("sequence".to_owned(), json!(what));
    rest.insert("parameters".to_owned(), Value::Object(parameters));
    rest
}

fn text(
    args: &Check,
    circuit: &Circuit,
    plastic: &[Plastic],
    found: &[Compared],
    what: &str,
    ok: bool,
) -> String {
    let width = found.iter().map(|c| circuit.projections[c.k].name.len()).max().unwrap_or(4).max(10);
    let mut t = format!("gradient of half the squared error, on {what}\n\n");
    let _ = writeln!(
        t,
        "{:<width$} {:>10} {:>8} {:>12}  rule",
        "projection", "|gradient|", "entries", "differences"
    );
    for c in found {
        let name = &circuit.projections[c.k].name;
        let _ = write!(t, "{name:<width$} {:>10.4} {:>8} {:>12.1e}", c.norm, c.entries, c.error);
        if let Some(p) = plastic.iter().find(|p| p.k == c.k) {
            let cosine = c.cosine.map_or("-".to_owned(), |c| format!("{c:.12}"));
            let _ = write!(t, "  {}: cosine {cosine}", p.spec.rule.name());
        }
        t.push('\n');
    }
    let worst = found.iter().map(|c| c.error).fold(0.0, f64::max);
    let verdict = if ok { "agree" } else { "DISAGREE" };
    let _ = writeln!(
        t,
        "\ngradients and finite differences {verdict}: largest relative error {worst:.1e}, tolerance {:.0e}",
        args.tolerance
    );
    t
}
