//! `pulvinar validate FILE...`: every mistake at once.

use super::args::Validate;
use super::load;
use super::report::{Failure, Outcome, Reporter, diagnostics_json, exit_code};
use crate::diag::Diagnostics;
use serde_json::{Value, json};
use std::path::Path;

pub fn run(args: &Validate, out: &Reporter) -> Outcome {
    let mut all = Diagnostics::new();
    let mut files: Vec<Value> = Vec::new();
    let mut list: Vec<Value> = Vec::new();
    for file in &args.files {
        let failure = check(file, args).err();
        let diagnostics = failure.map(|f| f.diagnostics).unwrap_or_default();
        if out.json {
            files.push(json!({"file": file.display().to_string(), "ok": !diagnostics.has_errors()}));
            if let Value::Array(mut d) = diagnostics_json(&diagnostics, Some(file)) {
                list.append(&mut d);
            }
        } else if diagnostics.has_errors() {
            out.draw(&diagnostics, Some(file));
        } else if !out.quiet {
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

/// Valid means: it reads, it is wired, and it is attention.
fn check(file: &Path, args: &Validate) -> Result<(), Failure> {
    let document = load::document(file, &args.reading)?;
    let circuit = load::circuit(&document, file)?;
    load::compiled(&document, &circuit, file)?;
    Ok(())
}
