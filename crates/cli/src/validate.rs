//! `pulvinar validate FILE...`: every mistake at once.

use super::args::Validate;
use super::load;
use super::report::{Failure, Outcome, Reporter, diagnostics_json, exit_code};
use pulvinar::diag::{Diagnostic, Diagnostics, Severity, codes};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

pub fn run(args: &Validate, out: &Reporter) -> Outcome {
    let mut all = Diagnostics::new();
    let mut files: Vec<Value> = Vec::new();
    let mut list: Vec<Value> = Vec::new();
    for file in &args.files {
        let diagnostics = check(file, args).unwrap_or_else(|failure| failure.diagnostics);
        let diagnostics = diagnostics.in_file(&Arc::new(file.clone()));
        if out.json {
            files.push(json!({"file": file.display().to_string(), "ok": !diagnostics.has_errors()}));
            if let Value::Array(mut d) = diagnostics_json(&diagnostics) {
                list.append(&mut d);
            }
        } else {
            out.draw(&diagnostics);
        }
        if !out.json && !diagnostics.has_errors() && !out.quiet {
            out.result(&format!("{}: valid\n", file.display()));
        }
        all.0.extend(diagnostics.0);
    }
    if out.json {
        let mut rest = serde_json::Map::new();
        rest.insert("files".to_owned(), Value::Array(files));
        rest.insert("diagnostics".to_owned(), Value::Array(list));
        out.object("validate", !all.has_errors(), rest);
    }
    Ok(exit_code(&all))
}

/// Valid means, of a circuit of spikes, that it can run. Of others: it reads, it is wired, it is attention, its cells can run, its rules can learn, and its task fits. A circuit that is only too large to
/// compile is valid, with a warning: its cells may still fit.
fn check(file: &Path, args: &Validate) -> Result<Diagnostics, Failure> {
    let model = load::model(file, &args.reading)?;
    let mut found = model.mistakes();
    if model.spec().spikes() || model.circuit().is_err() {
        return Ok(found);
    }
    if let Err(too_large) = model.compiled() {
        let only_size =
            |d: &Diagnostic| [codes::C006, codes::C080].contains(&d.code) && too_large.0.contains(d);
        for d in found.0.iter_mut().filter(|d| only_size(d)) {
            d.severity = Severity::Warning;
            d.help = Some(
                "`simulate --mode cells` runs it without compiling; compiling needs fewer cells".to_owned(),
            );
        }
    }
    found.0.extend(model.task().err().unwrap_or_default().0);
    Ok(found)
}
