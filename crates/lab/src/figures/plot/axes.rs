//! A panel of series over two axes.

use super::room::{Taken, inside};
use super::{LINE, SIZE, Sides, guides, legend, range, series, ticks};
use crate::figures::axis::{Frame, Scale};
use crate::figures::canvas::Canvas;
use crate::figures::sheet::Axes;

/// Room above the highest number and right of the last tick.
const ABOVE: f64 = 4.0;
const RIGHT: f64 = 8.0;

pub(super) fn draw(canvas: &Canvas<'_>, axes: &Axes, panel: Sides) {
    let along = |vertical: bool| axes.guides.iter().filter(move |g| g.is_vertical == vertical).map(|g| g.at);
    let x = range::across(&axes.x, &axes.series, along(true));
    let y = range::up(&axes.y, &axes.series, along(false));
    let whole = Plot::of(axes, x, y, panel);
    let entries = legend::entries(axes);
    let taken = series::taken(axes, &whole.frame);
    let labels = guides::places(axes, &whole.frame, &taken);
    let mut with = taken.clone();
    labels.iter().for_each(|l| with.sides(l.sides));
    let (plot, labels, place) = match legend::free(&entries, &whole.frame, &with) {
        Some(at) => (whole, labels, at),
        None => {
            // Above the panel, which gets lower.
            let (at, high) = legend::above(&entries, panel);
            let [left, top, right, bottom] = panel;
            let plot = Plot::of(axes, x, y, [left, (top + high).min(bottom - 1.0), right, bottom]);
            let labels = guides::places(axes, &plot.frame, &series::taken(axes, &plot.frame));
            (plot, labels, at)
        }
    };
    series::draw(canvas, axes, &plot.frame);
    plot.axes(canvas);
    guides::draw(canvas, &plot.frame, axes, &labels);
    legend::draw(canvas, &entries, &place);
}

/// The frame of a panel with the words around it.
struct Plot {
    frame: Frame,
    below: ticks::Words,
    beside: ticks::Words,
    names: [Vec<String>; 2],
}

impl Plot {
    fn of(axes: &Axes, x: Scale, y: Scale, [left, top, right, bottom]: Sides) -> Self {
        let (wide, high) = (right - left, bottom - top);
        let mut sides = [left, top, right, bottom];
        let mut plot = None;
        // Room depends on ticks, and they on the room that is left.
        for _ in 0..3 {
            let [l, t, r, b] = sides;
            let below = ticks::below(&axes.x, &x, r - l, high);
            let beside = ticks::beside(&axes.y, &y, b - t, wide);
            let names = [ticks::name_lines(&axes.x, r - l), ticks::name_lines(&axes.y, b - t)];
            let lines = |n: &[String]| LINE * SIZE * pulvinar::linalg::count(n.len());
            let over = below.ticks.last().map_or(0.0, |(at, words)| {
                let half = crate::figures::font::width(words, SIZE, crate::figures::font::Face::Sans) / 2.0;
                half - (1.0 - x.at(*at)) * (r - l)
            });
            sides = [
                (left + beside.room + 2.0 + lines(&names[1])).min(right - 2.0),
                top + ABOVE,
                (right - over.max(RIGHT / 4.0)).max(left + 2.0),
                (bottom - below.room - 2.0 - lines(&names[0])).max(top + ABOVE + 1.0),
            ];
            plot = Some((below, beside, names));
        }
        let (below, beside, names) = plot.unwrap_or_else(|| {
            (ticks::below(&axes.x, &x, wide, high), ticks::beside(&axes.y, &y, high, wide), [vec![], vec![]])
        });
        Self { frame: Frame { inside: sides, x, y }, below, beside, names }
    }

    fn axes(&self, canvas: &Canvas<'_>) {
        ticks::draw(canvas, &self.frame, &self.below, &self.beside, [&self.names[0], &self.names[1]]);
    }
}

/// Points of a line in pixels, parts inside the frame.
pub(super) fn parts(frame: &Frame, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let shown = |p: &(f64, f64)| {
        let ok = |v: f64, s: &Scale| v.is_finite() && (!s.is_log || v > 0.0);
        ok(p.0, &frame.x) && ok(p.1, &frame.y)
    };
    let runs = points.split(|p| !shown(p));
    runs.flat_map(|run| {
        let placed: Vec<(f64, f64)> = run.iter().map(|p| frame.at(p.0, p.1)).collect();
        inside(&placed, &frame.inside)
    })
    .collect()
}

/// For those who look for room.
pub(super) fn take(taken: &mut Taken, parts: &[Vec<(f64, f64)>]) {
    parts.iter().for_each(|p| taken.line(p));
}
