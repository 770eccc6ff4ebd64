//! `pulvinar compile FILE`: circuit -> heads.

use super::args::{Compile as Args, Emit};
use super::dale::plus_minus;
use super::emit;
use super::load;
use super::output;
use super::report::{Failure, Outcome, Reporter, diagnostics_json, exit_code};
use clap::ValueEnum;
use pulvinar::answer::{Compile, keys};
use pulvinar::compile::explain::explain;
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::model::Model;
use serde_json::{Map, Value, json};

pub fn run(args: &Args, out: &Reporter) -> Outcome {
    if let Some(path) = &args.output {
        output::for_emit(path, args.emit, args.force)?;
        if output::is_stdout(path) && out.json {
            return Err(Diagnostic::error(
                codes::U005,
                "",
                "`-o -` and `--format json` both write to stdout",
            )
            .help("give -o the name of a file, or leave `--format json` out")
            .into());
        }
    }
    let model = load::model(&args.file, &args.reading)?;
    let document = model.document();
    // Early stages can be looked at when a later one fails.
    if let Some(stage @ Emit::Spec) = args.emit
        && !args.explain
    {
        emitted(args, out, stage, &pulvinar::spec::to_yaml(&document.spec), Map::new(), true)?;
        return Ok(0);
    }
    if let Some(stage @ (Emit::Graph | Emit::Dot | Emit::Svg)) = args.emit
        && document.spec.spikes()
        && !args.explain
    {
        let circuit = model.spikes()?;
        let text = match stage {
            Emit::Graph => circuit.to_string(),
            Emit::Dot => emit::spikes_dot(&circuit),
            _ => emit::svg(&circuit.drawn())?,
        };
        emitted(args, out, stage, &text, Map::new(), true)?;
        return Ok(0);
    }
    let circuit = model.circuit()?;
    if args.dale {
        return dale(&model, out);
    }
    let early = match args.emit {
        Some(Emit::Spec) => Some(pulvinar::spec::to_yaml(&document.spec)),
        Some(Emit::Graph) => Some(circuit.to_string()),
        Some(Emit::Dot) => Some(emit::dot(&circuit)),
        Some(Emit::Svg) => Some(emit::svg(&circuit)?),
        _ => None,
    };
    if let (Some(stage), Some(text), false) = (args.emit, &early, args.explain) {
        emitted(args, out, stage, text, Map::new(), true)?;
        return Ok(0);
    }
    // What is explained is compiled as well; a stage that has a file of its own is not printed.
    let own = args.output.as_deref().filter(|path| args.emit.is_some_and(|s| output::takes(s, path)));
    if let (Some(path), Some(text)) = (own, &early) {
        output::write(path, text, out)?;
        output::say(path, out);
    }
    let compiled = model.compiled()?;
    let unmet = load::unmet(&model, &compiled);
    let answer = Compile::of(&circuit, &compiled);
    if let Some(path) = args.output.as_ref().filter(|_| own.is_none()) {
        if let Some(map) = compiled.maps.first() {
            let what = format!("a heads file cannot hold the map `{}`", map.map.name);
            return Err(Diagnostic::error(codes::F012, "", what)
                .help("run `pulvinar explain F012` for what it can hold; `--emit heads` prints maps too")
                .into());
        }
        let blocks = compiled.plain_blocks();
        output::put(path, |path| Ok(pulvinar::weights::write_heads(path, &blocks)?), out)?;
        output::say(path, out);
    }
    let stage = early.filter(|_| own.is_none()).or_else(|| match args.emit {
        Some(Emit::Factors) => Some(compiled.factors.to_string()),
        Some(Emit::Heads) => Some(emit::heads(&compiled)),
        _ => None,
    });
    let origins = args.explain.then(|| explain(&compiled, &circuit, |p| document.line(p)));
    let is_said = args.output.as_deref().is_some_and(output::is_stdout);
    if out.json {
        let mut rest = match args.emit {
            _ if stage.is_none() => keys(&answer),
            Some(Emit::Heads) => keys(&Compile::with_numbers(&circuit, &compiled)),
            _ => Map::from_iter([
                ("name".to_owned(), json!(document.spec.name)),
                ("seed".to_owned(), json!(document.spec.seed)),
            ]),
        };
        rest.insert("diagnostics".to_owned(), diagnostics_json(&unmet));
        if let Some(path) = &args.output {
            rest.insert("files".to_owned(), json!([path.display().to_string()]));
        }
        if let Some(text) = origins {
            rest.insert("explain".to_owned(), json!(text));
        }
        match (args.emit, stage) {
            (Some(name), Some(text)) => emitted(args, out, name, &text, rest, !unmet.has_errors())?,
            _ => out.object("compile", !unmet.has_errors(), rest),
        }
    } else {
        match (args.emit, stage) {
            (Some(name), Some(text)) => emitted(args, out, name, &text, Map::new(), true)?,
            _ if is_said => {}
            _ => out.result(&answer.to_string()),
        }
        if let Some(text) = origins.filter(|_| !is_said) {
            out.result(&text);
        }
        out.draw(&unmet);
    }
    Ok(exit_code(&unmet))
}

/// The circuit with plus and minus cells.
fn dale(model: &Model, out: &Reporter) -> Outcome {
    let (new, text) = plus_minus(model)?;
    if out.json {
        let mut rest = Map::new();
        rest.insert("remarks".to_owned(), json!(new.remarks));
        rest.insert("text".to_owned(), json!(text));
        out.object("compile", true, rest);
    } else {
        out.result(&text);
        new.remarks.iter().for_each(|remark| out.note(remark));
    }
    Ok(0)
}

/// One stage: to the file that it was given, else to stdout; in JSON it is the value of `text`.
fn emitted(
    args: &Args,
    out: &Reporter,
    stage: Emit,
    text: &str,
    mut rest: Map<String, Value>,
    ok: bool,
) -> Result<(), Failure> {
    let name = stage.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let given = args.output.as_deref();
    if let Some(path) = given.filter(|path| output::takes(stage, path)) {
        output::write(path, text, out)?;
        output::say(path, out);
    } else if given.is_none() && !out.json {
        out.result(text);
    }
    if out.json {
        rest.insert("emit".to_owned(), json!(name));
        match given {
            Some(path) => rest.insert("files".to_owned(), json!([path.display().to_string()])),
            None => rest.insert("text".to_owned(), json!(text)),
        };
        out.object("compile", ok, rest);
    }
    Ok(())
}
