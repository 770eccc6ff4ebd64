//! A circuit as a drawing: laminar bands, pyramids with their dendrites, relays, and axons that end where they end.
//!
//! 1. `collapse` says what is shown: every population, or, of more than eight areas, boxes with counts (`model`).
//! 2. `layout` (with `columns`) places it from left to right: each node has a column of its own.
//! 3. `route` finds tracks for axons, `down` the height of bands, `place` the rest: a [`Plan`].
//! 4. `paint` (with `glyphs`, `corners`, `legend`) draws the plan; inside a figure it has neither title nor legend (`crop`).
//!
//! Labels cannot overlap because each has room in the column of its target; axons cannot run into bodies because they
//! go up and down in columns beside them and level only between bands.
//!
//! **Deliberately absent:** weights beyond their signs, and what the circuit compiles to.

mod collapse;
mod columns;
mod corners;
mod crop;
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

pub use crop::cropped;
pub use plan::Plan;

use super::canvas::svg::Fonts;
use super::canvas::{Canvas, Picture};
use model::Sketch;
use pulvinar::circuit::Circuit;

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
    picture(circuit).svg("px", Fonts::Inside)
}

/// The circuit as a picture.
#[must_use]
pub fn picture(circuit: &Circuit) -> Picture {
    let (_, plan) = plan(circuit);
    Picture::draw(plan.width, plan.height, &circuit.name, |canvas| draw_on(canvas, &plan))
}

/// The plan at the origin of a canvas.
pub fn draw_on(canvas: &Canvas<'_>, plan: &Plan) {
    paint::paint(canvas, plan);
}
