//! For the tests of figures: making one from the shipped circuits, and finding its panels.

use super::{Make, Making};
use crate::diag::Diagnostics;
use crate::experiments::Quiet;
use crate::figures::sheet::{Axes, Content, Figure, Map};
use std::path::PathBuf;

/// A figure made from the shipped circuits, in its quick variant.
///
/// # Panics
/// If it cannot be made.
pub fn making(make: Make) -> Figure {
    with(make)
}

/// As [`making`], by another function.
///
/// # Panics
/// If it fails.
pub fn with<T>(make: impl Fn(&Making<'_>) -> Result<T, Diagnostics>) -> T {
    let circuits = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("circuits");
    make(&Making { circuits: &circuits, full: false, progress: &Quiet }).unwrap_or_else(|d| panic!("{d}"))
}

/// The axes of a panel.
///
/// # Panics
/// If it has none.
pub fn axes(figure: &Figure, row: usize, panel: usize) -> &Axes {
    match &figure.rows[row].panels[panel].content {
        Content::Axes(axes) => axes,
        _ => panic!("panel {panel} of row {row} has no axes"),
    }
}

/// The map of a panel.
///
/// # Panics
/// If it has none.
pub fn map(figure: &Figure, row: usize, panel: usize) -> &Map {
    match &figure.rows[row].panels[panel].content {
        Content::Map(map) => map,
        _ => panic!("panel {panel} of row {row} has no map"),
    }
}
