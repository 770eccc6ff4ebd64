//! What a run does not do to the letter: times that are rounded to steps, lesions that hit nothing.

use super::lesion::extents;
use super::run::time;
use super::settings::{Grid, Settings, runs};
use crate::circuit::Circuit;
use crate::diag::Diagnostic;
use crate::spec::{LayoutSpec, LesionSpec, StopSpec};

/// Closer than this fraction of a step, a time is a whole number of steps.
const WHOLE: f64 = 1e-6;

/// Remarks on a run, one sentence each: delays, windows and durations that are rounded, lesions that hit nothing.
///
/// # Errors
/// As [`super::run()`].
pub fn notes(circuit: &Circuit, settings: &Settings) -> Result<Vec<String>, Diagnostic> {
    let grid = Grid::new(circuit, settings)?;
    let dt_ms = grid.dt_ms;
    let mut notes = Vec::new();
    let mut rounded = |what: String, ms: f64, least: f64| -> f64 {
        let steps = (ms / dt_ms).round().max(least);
        let used = steps * dt_ms;
        if (used - ms).abs() > WHOLE * dt_ms {
            notes.push(format!("{what} is {ms} ms, rounded to {used} ms (steps of {dt_ms} ms)"));
        }
        steps
    };
    for p in circuit.projections.iter().filter(|p| runs(circuit, p)) {
        if let Some(ms) = p.delay_ms {
            rounded(format!("the delay of `{}`", p.name), ms, 1.0);
        }
    }
    if let (StopSpec::Duration(t), LayoutSpec::Space {}) = (&settings.stop, &circuit.layout) {
        rounded("the duration of the run".to_owned(), t.ms, 1.0);
    }
    let mut empty = Vec::new();
    for lesion in &settings.lesions {
        let window = lesion.window();
        let name = format!("{} {}", lesion.name(), lesion.target());
        let mut edge = |word: &str, t: Option<crate::spec::Time>| {
            let least = if t.is_some_and(|t| t.ms > 0.0) { 1.0 } else { 0.0 };
            t.map(|t| rounded(format!("the {word} of `{name}`"), t.ms, least))
        };
        let (from, until) = (edge("begin", window.from), edge("end", window.until));
        if until.is_some_and(|u| u <= from.unwrap_or(0.0)) {
            empty.push(format!("`{name}` lasts less than a step: it changes nothing"));
        }
    }
    notes.append(&mut empty);
    for (lesion, hit) in settings.lesions.iter().zip(extents(circuit, &settings.lesions)?) {
        let (LesionSpec::Silence { fraction, .. } | LesionSpec::Cut { fraction, .. }, Some([0, of])) =
            (lesion, hit)
        else {
            continue;
        };
        let what = match (lesion.name(), of) {
            ("cut", 1) => "synapse",
            ("cut", _) => "synapses",
            (_, 1) => "cell",
            _ => "cells",
        };
        notes.push(format!(
            "`{} {}` hits nothing: {fraction} of {of} {what}, rounded, is none",
            lesion.name(),
            lesion.target()
        ));
    }
    Ok(notes)
}

/// Windows of the lesions as they act: from and until, in ms of whole steps; no end is the end of the run.
///
/// # Errors
/// As [`super::run()`].
pub fn windows(circuit: &Circuit, settings: &Settings) -> Result<Vec<[Option<f64>; 2]>, Diagnostic> {
    let grid = Grid::new(circuit, settings)?;
    let edge = |t: Option<crate::spec::Time>| match t {
        None => Ok(None),
        Some(t) if t.ms == 0.0 => Ok(None),
        Some(t) => grid.steps(t.ms, "lesions").map(|k| Some(time(k, grid.dt_ms))),
    };
    settings.lesions.iter().map(|l| Ok([edge(l.window().from)?, edge(l.window().until)?])).collect()
}
