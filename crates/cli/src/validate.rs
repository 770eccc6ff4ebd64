//! `pulvinar validate FILE...`: every mistake at once.

use super::args::Validate;
use super::load;
use super::report::{Failure, Outcome, Reporter, diagnostics_json, exit_code};
use pulvinar::diag::{Diagnostics, Severity, codes};
use serde_json::{Value, json};
use std::path::Path;

pub fn run(args: &Validate, out: &Reporter) -> Outcome {
    let mut all = Diagnostics::new();
    let mut files: Vec<Value> = Vec::new();
    let mut list: Vec<Value> = Vec::new();
    for file in &args.files {
        let diagnostics = check(file, args).unwrap_or_else(|failure| failure.diagnostics);
        if out.json {
            files.push(json!({"file": file.display().to_string(), "ok": !diagnostics.has_errors()}));
            if let Value::Array(mut d) = diagnostics_json(&diagnostics, Some(file)) {
                list.append(&mut d);
            }
        } else {
            out.draw(&diagnostics, Some(file));
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
    let document = load::document(file, &args.reading)?;
    if document.spec.spikes() {
        let circuit = load::spikes(&document, file)?;
        return match pulvinar::simulate::spiking::check(&circuit, &document.folder) {
            Ok(()) => Ok(Diagnostics::new()),
            Err(d) => Err(load::placed(&document, file, d)),
        };
    }
    let circuit = load::circuit(&document, file)?;
    let mut found = load::stages(&document, &circuit, file).err().map(|f| f.diagnostics).unwrap_or_default();
    for d in found.0.iter_mut().filter(|d| [codes::C006, codes::C080].contains(&d.code)) {
        d.severity = Severity::Warning;
        d.help =
            Some("`simulate --mode cells` runs it without compiling; compiling needs fewer cells".to_owned());
    }
    if let Err(d) = pulvinar::simulate::cells::check(&document.spec, &circuit) {
        found.0.extend(load::placed(&document, file, d).diagnostics.0);
    }
    if let Err(d) = pulvinar::plasticity::check(&circuit) {
        found.0.extend(load::placed(&document, file, d).diagnostics.0);
    }
    if let Some(task) = &document.spec.reserved.task
        && let Err(failure) = super::train::task(task, &document, &circuit, file)
    {
        found.0.extend(failure.diagnostics.0);
    }
    Ok(found)
}
