//! A run of cells in time: rates of superficial and deep cells, of the output relay, and the distance of the output to
//! what the compiled heads say.
//!
//! [`plan()`] says which few cells and tokens are worth a line; [`draw`] makes the picture: panels of populations above,
//! the output and its distance below, then what the marks mean.
//!
//! **Deliberately absent:** running cells; statistics over cells.

mod distance;
mod marks;
mod panel;
mod plan;
mod sizes;
mod words;

pub use plan::{Plan, plan};

use super::axis::Frame;
use super::canvas::svg::Fonts;
use super::canvas::{Canvas, Picture, Style};
use super::font::Face;
use nalgebra::DMatrix;
use panel::{Panel, output};
use pulvinar::simulate::cells::Trace;
use sizes::{HEADING, LABEL, TITLE, fit};

/// A finished run as a picture needs it.
pub struct Pictured<'a> {
    pub name: &'a str,
    /// what the circuit is, in a sentence of its file
    pub description: Option<&'a str>,
    /// traces of [`Plan::record`], in that order
    pub traces: &'a [Trace],
    /// output of the cells, `[d_model, n_tokens]`
    pub output: &'a DMatrix<f64>,
    /// output of the compiled heads, `[d_model, n_tokens]`; none for circuits that are not attention
    pub algebra: Option<&'a DMatrix<f64>>,
    /// with tokens in time: when each began, all passes, and when the output of each was read
    pub onsets_ms: &'a [f64],
    pub reads_ms: &'a [f64],
    pub t_end_ms: f64,
    /// the run diverged, or was growing when it ended
    pub runs_away: bool,
    pub lesions: Vec<Band>,
    /// how the run was made, in words
    pub made: String,
}

/// A lesion and its window; no end is the end of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// `silence A1.deep`
    pub what: String,
    pub window_ms: [Option<f64>; 2],
}

/// Sizes of the picture, in pixels.
const WIDTH: f64 = 960.0;
const EDGE: f64 = 18.0;
const HEAD: f64 = 62.0;
/// Of a panel: name of the axis and its ticks left of it, room right of it, words above and below, its inside.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 18.0;
const WORDS: f64 = 26.0;
const LEGEND: f64 = 18.0;
const BANDS: f64 = 16.0;
const BELOW: f64 = 46.0;
const SMALL: f64 = 96.0;
const LARGE: f64 = 190.0;
const LINE: f64 = 17.0;

/// The picture as SVG text.
///
/// # Errors
/// What the drawing library says; it has no reason to fail on finite numbers.
pub fn draw(plan: &Plan, run: &Pictured) -> Result<String, String> {
    picture(plan, run).svg("px", Fonts::Inside)
}

/// The picture.
#[must_use]
pub fn picture(plan: &Plan, run: &Pictured) -> Picture {
    let distance = distance::Distance::of(plan, run);
    let shown = time_shown(plan, run, &distance);
    let whole = [0.0, run.t_end_ms.max(1e-9)];
    let (above, below) = run.traces.split_at(plan.places.len().min(run.traces.len()));
    let mut panels: Vec<Panel> = above.iter().map(|t| Panel::of(t, run, shown)).collect();
    panels.push(output(below, run, shown));
    let shared = words::shared(&panels);
    let bands = run.lesions.iter().any(|b| b.window_ms != [None, None]);
    let head = WORDS + if shared { 0.0 } else { LEGEND } + if bands { BANDS } else { 0.0 };
    let top = HEAD + if shared { LEGEND + 6.0 } else { 0.0 };
    let row = head + SMALL + BELOW;
    let bottom = top + row * pulvinar::linalg::count(plan.rows());
    let caption = words::caption(plan, run, &distance, &panels, shown);
    let caption_top = bottom + head + LARGE + BELOW + 10.0;
    let height = caption_top + LINE * pulvinar::linalg::count(caption.len()) + 10.0;

    Picture::draw(WIDTH, height.ceil(), run.name, |canvas| {
        let room = WIDTH - 2.0 * EDGE;
        let title = fit(&format!("{}: cells in time", run.name), room, TITLE, Face::Bold);
        canvas.label(&title, (EDGE, 22.0), Style::new(TITLE).bold());
        if let Some(words) = run.description {
            canvas.label(&fit(words, room, LABEL, Face::Sans), (EDGE, 46.0), Style::new(LABEL));
        }
        if shared {
            panels[0].legend(canvas, (EDGE, HEAD + LEGEND / 2.0), room);
        }
        let place = |left: f64, width: f64, top: f64, inside: f64| {
            [left + LEFT, top + head, left + width - RIGHT, top + head + inside]
        };
        let column = WIDTH / pulvinar::linalg::count(plan.columns.max(1));
        let mut places: Vec<[f64; 4]> = plan
            .places
            .iter()
            .take(above.len())
            .map(|[c, r]| {
                let top = top + row * pulvinar::linalg::count(*r);
                place(column * pulvinar::linalg::count(*c), column, top, SMALL)
            })
            .collect();
        let half = if distance.is_none() { WIDTH } else { WIDTH / 2.0 };
        places.push(place(0.0, half, bottom, LARGE));
        for (panel, inside) in panels.iter().zip(places) {
            panel.draw(canvas, inside, run, shown);
            let [left, top, right, _] = inside;
            panel.heading(canvas, (left, top - head + HEADING / 2.0), right - left);
            if !shared {
                panel.legend(canvas, (left, top - head + WORDS + 4.0), right - left);
            }
        }
        if let Some(distance) = &distance {
            let inside = place(half, half, bottom, LARGE);
            let at = (inside[0], inside[1] - head + HEADING / 2.0);
            distance.draw(canvas, inside, at, run, whole);
        }
        for (k, line) in caption.iter().enumerate() {
            let y = caption_top + LINE * (pulvinar::linalg::count(k) + 0.5);
            canvas.label(line, (EDGE, y), Style::new(LABEL));
        }
    })
}

/// Axes with the sizes of this picture.
fn axes(canvas: &Canvas<'_>, frame: &Frame, [below, beside]: [&str; 2]) {
    let [left, top, right, bottom] = frame.inside;
    let x = frame.x.that_fit(right - left, LABEL, true);
    let y = frame.y.that_fit(bottom - top, LABEL, false);
    frame.axes(canvas, [&x, &y], [(below, bottom + 21.0), (beside, left - 56.0)], LABEL);
}

/// Rates are shown until the output is near its end and every lesion is over, in space; as planned with tokens in time.
fn time_shown(plan: &Plan, run: &Pictured, distance: &Option<distance::Distance>) -> [f64; 2] {
    let end = run.t_end_ms.max(1e-9);
    let [from, until] = plan.shown_ms;
    if !run.onsets_ms.is_empty() {
        // A run that diverged may have ended before what was planned.
        return if from < end { [from, until.min(end)] } else { [0.0, end] };
    }
    let far = distance.as_ref().and_then(|d| d.last_above(1e-3));
    let edges = run.lesions.iter().flat_map(|b| b.window_ms).flatten().filter(|t| *t < end);
    let far = far.map(|t| edges.map(|e| 1.15 * e).fold(1.3 * t, f64::max));
    [0.0, far.map_or(end, |t| t.min(end)).max(1e-9)]
}
