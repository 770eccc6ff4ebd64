//! What tests of figures share.

use super::Making;
use crate::experiments::Quiet;
use crate::figures::sheet::{Axes, Content, Figure, Map};
use std::path::Path;

/// The shipped circuits, quick, quiet.
pub(super) fn making() -> Making<'static> {
    Making {
        circuits: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../circuits")),
        full: false,
        progress: &Quiet,
    }
}

/// Axes of a panel, by row and place.
pub(super) fn axes(figure: &Figure, row: usize, place: usize) -> &Axes {
    match &figure.rows[row].panels[place].content {
        Content::Axes(axes) => axes,
        other => panic!("row {row}, panel {place}: {other:?}"),
    }
}

/// Map of a panel, by row and place.
pub(super) fn map(figure: &Figure, row: usize, place: usize) -> &Map {
    match &figure.rows[row].panels[place].content {
        Content::Map(map) => map,
        other => panic!("row {row}, panel {place}: {other:?}"),
    }
}

/// `|a - b| <= bound`.
pub(super) fn within(a: f64, b: f64, bound: f64, claim: &str) {
    assert!((a - b).abs() <= bound, "{claim}: {a} is not within {bound} of {b}");
}
