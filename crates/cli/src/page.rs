//! Pages about runs: `report.html` beside the files of a run.

use super::report::Failure;
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::compile::Compiled;
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::spec::Document;
use pulvinar_lab::figures::canvas::Picture;
use pulvinar_lab::figures::canvas::svg::Fonts;
use pulvinar_lab::report::{Body, Page, Section, circuit as drawing, heads, maps};
use serde_json::{Value, json};

/// A drawing that could not be made.
pub fn undrawn(e: String) -> Failure {
    Diagnostic::error(codes::F004, "", format!("the report could not be drawn: {e}")).into()
}

/// The beginning of a page: what was run and how.
///
/// # Errors
/// What the drawing library says.
pub fn begun(
    document: &Document,
    circuit: &Circuit,
    verb: &str,
    facts: &[(&str, String)],
) -> Result<Page, Failure> {
    let spec = &document.spec;
    let parameters: Vec<String> = match json!(spec.parameters) {
        Value::Object(all) => all.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
        _ => Vec::new(),
    };
    let mut all = vec![
        ("made by".to_owned(), format!("pulvinar {} {verb}", env!("CARGO_PKG_VERSION"))),
        ("seed".to_owned(), spec.seed.to_string()),
    ];
    if !parameters.is_empty() {
        all.push(("parameters".to_owned(), parameters.join(", ")));
    }
    all.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Ok(Page {
        title: spec.name.clone(),
        about: spec.description.clone(),
        facts: all,
        sections: vec![drawing(circuit).map_err(undrawn)?],
    })
}

/// Heads and their maps, or why there are none.
///
/// # Errors
/// What the drawing library says.
pub fn attention(
    compiled: Result<&Compiled, &Diagnostic>,
    streams: Option<&Streams>,
) -> Result<Vec<Section>, Failure> {
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(d) => {
            let words = vec![format!("The circuit has no compiled heads: {} ({}).", d.message, d.code)];
            return Ok(vec![Section { heading: "Compiled heads".to_owned(), words, body: Vec::new() }]);
        }
    };
    let mut all = vec![heads(compiled)];
    if let Some(streams) = streams {
        all.push(maps(compiled, streams).map_err(undrawn)?);
    }
    Ok(all)
}

/// Lines of what the program said, and a picture.
///
/// # Errors
/// What the drawing library says.
pub fn said(heading: &str, text: &str, picture: Option<&Picture>) -> Result<Section, Failure> {
    let words = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    let mut body = Vec::new();
    if let Some(picture) = picture {
        body.push(Body::Picture(picture.svg("px", Fonts::OfThePage).map_err(undrawn)?));
    }
    Ok(Section { heading: heading.to_owned(), words, body })
}
