//! A circuit as a drawing: laminar bands, pyramids with their dendrites, relays, and axons that end where they end.
//!
//! 1. `collapse` says what is shown: every population, or, of more than eight areas, boxes with counts (`model`).
//! 2. `layout` (with `columns`) places it from left to right: each node has a column of its own.
//! 3. `route` finds tracks for axons, `down` the height of bands, `place` the rest: a [`Plan`].
//! 4. `paint` (with `glyphs`, `canvas`, `legend`) draws the plan.
//!
//! Labels cannot overlap because each has room in the column of its target; axons cannot run into bodies because they
//! go up and down in columns beside them and level only between bands.
//!
//! **Deliberately absent:** weights beyond their signs, and what the circuit compiles to.

mod canvas;
mod collapse;
mod columns;
mod down;
mod glyphs;
mod layout;
pub mod legend;
pub mod model;
mod paint;
mod place;
pub mod plan;
mod route;
mod words;

pub use plan::Plan;

use super::style::{FINE, finished};
use crate::circuit::Circuit;
use model::Sketch;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend, WHITE};

/// What is drawn of a circuit, and where.
#[must_use]
pub fn plan(circuit: &Circuit) -> (Sketch, Plan) {
    let sketch = collapse::sketch(circuit);
    let plan = place::plan(&sketch);
    (sketch, plan)
}

/// The circuit as SVG text; text stays text.
///
/// # Errors
/// What the drawing library says; it has no reason to fail.
pub fn draw(circuit: &Circuit) -> Result<String, String> {
    let (_, plan) = plan(circuit);
    let (width, height) = (plan.width as u32, plan.height as u32);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width * FINE, height * FINE)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        draw_on(&root, &plan)?;
        root.present().map_err(|e| e.to_string())?;
    }
    Ok(finished(&svg, width, height))
}

/// The plan in the upper left corner of a drawing area, eight units of which are a pixel.
///
/// # Errors
/// What the drawing library says.
pub fn draw_on(area: &DrawingArea<SVGBackend, Shift>, plan: &Plan) -> Result<(), String> {
    paint::paint(&canvas::Canvas::new(area), plan)
}
