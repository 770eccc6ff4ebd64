//! The page about a training: the learned circuit, its heads, and how the loss fell.

use super::Job;
use crate::page;
use crate::report::Failure;
use pulvinar::attention::Streams;
use pulvinar::compile::compile_heads;
use pulvinar::simulate::inputs::Overrides;
use pulvinar::simulate::{inputs, run};
use pulvinar_lab::experiments::learning::Course;
use pulvinar_lab::report::{Page, curves};

/// # Errors
/// What the drawing library says.
pub fn of(job: &Job, learned: &Course) -> Result<Page, Failure> {
    let document = job.lesson.model.document();
    let last = &learned.last;
    let mut facts = vec![
        ("steps", learned.steps.to_string()),
        ("interrupted", if learned.interrupted { "yes" } else { "no" }.to_owned()),
        ("held-out loss", format!("{:.6} (standard error {:.6})", last.loss, last.standard_error)),
        ("held-out sequences", last.sequences.to_string()),
    ];
    facts.extend(last.accuracy.map(|a| ("held-out accuracy", a.to_string())));
    let mut page = page::begun(document, &learned.circuit, "train", &facts)?;
    page.sections.insert(0, curves(&learned.rows, &learned.names()).map_err(page::undrawn)?);
    let compiled = compile_heads(&learned.circuit);
    // Maps on the tokens of the file, where it has some: the task draws its own.
    let streams = inputs(&learned.circuit, &document.folder, &Overrides::new()).ok();
    let around = || -> Option<Streams> {
        Some(run::<f64>(&compiled.as_ref().ok()?.plain_blocks(), streams.as_ref()?).ok()?.streams)
    };
    page.sections.extend(page::attention(compiled.as_ref(), around().as_ref())?);
    Ok(page)
}
