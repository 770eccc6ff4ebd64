//! Legends: in a corner without data, else above the panel.

use super::room::{Taken, larger};
use super::series::{DASH, DOT, LINE_WIDTH, MARK, colour, within};
use super::{LINE, SIZE, Sides};
use crate::figures::axis::Frame;
use crate::figures::canvas::{Canvas, Place, Style, ink};
use crate::figures::font::{Face, cut, width};
use crate::figures::sheet::{Axes, Look, Series};
use plotters::style::{RGBColor, WHITE};

/// Width of a sample, and from it to its words, and from those to the next sample.
const SAMPLE: f64 = 14.0;
const GAP: f64 = 4.0;
const APART: f64 = 10.0;
/// Between a legend and data, and the frame.
const AWAY: f64 = 3.0;

/// What a sample looks like and what it means.
pub(super) struct Entry {
    look: Look,
    colour: RGBColor,
    has_band: bool,
    words: String,
}

/// Where each entry stands: left end and middle of its sample, and the room of its words.
pub(super) type Places = Vec<(Place, f64)>;

/// Every series with a name, each name once per look and colour.
pub(super) fn entries(axes: &Axes) -> Vec<Entry> {
    let mut all: Vec<&Series> = Vec::new();
    for s in axes.series.iter().filter(|s| !s.name.is_empty()) {
        if !all.iter().any(|o| (&o.name, o.look, o.colour) == (&s.name, s.look, s.colour)) {
            all.push(s);
        }
    }
    let has_band = |s: &Series| s.look == Look::Line && s.points.iter().any(|p| p.spread.is_some());
    all.into_iter()
        .map(|s| Entry { look: s.look, colour: colour(s), has_band: has_band(s), words: s.name.clone() })
        .collect()
}

fn long(entry: &Entry) -> f64 {
    SAMPLE + GAP + width(&entry.words, SIZE, Face::Sans)
}

/// A column of entries where nothing is drawn.
pub(super) fn free(entries: &[Entry], frame: &Frame, taken: &Taken) -> Option<Places> {
    if entries.is_empty() {
        return Some(Vec::new());
    }
    let wide = entries.iter().map(long).fold(0.0, f64::max);
    let high = LINE * SIZE * pulvinar::linalg::count(entries.len());
    let [l, t, r, b] = larger(frame.inside, -AWAY);
    let (lefts, tops) = ([r - wide, l + 2.0, (l + r - wide) / 2.0], [t, b - high, (t + b - high) / 2.0]);
    let places = tops.iter().flat_map(|top| lefts.iter().map(move |left| (*left, *top)));
    let is_free = |(left, top): &(f64, f64)| {
        let sides: Sides = [*left, *top, left + wide, top + high];
        within(frame, &sides) && taken.is_free(&larger(sides, AWAY))
    };
    let (left, top) = places.into_iter().find(is_free)?;
    let line = |k: usize| top + LINE * SIZE * (pulvinar::linalg::count(k) + 0.5);
    Some((0..entries.len()).map(|k| ((left, line(k)), f64::INFINITY)).collect())
}

/// Entries in lines above the panel; and how high they are.
pub(super) fn above(entries: &[Entry], [left, top, right, _]: Sides) -> (Places, f64) {
    let mut places = Vec::new();
    let (mut x, mut y) = (left, top + LINE * SIZE * 0.5);
    for entry in entries {
        let long = long(entry);
        if x > left && x + long > right {
            (x, y) = (left, y + LINE * SIZE);
        }
        places.push(((x, y), right - x - SAMPLE - GAP));
        x += long + APART;
    }
    let high = y + LINE * SIZE * 0.5 - top + 2.0;
    (places, high)
}

pub(super) fn draw(canvas: &Canvas<'_>, entries: &[Entry], places: &Places) {
    for (entry, ((x, y), room)) in entries.iter().zip(places) {
        let (left, right, middle) = (*x, x + SAMPLE, (x + SAMPLE / 2.0, *y));
        let own = entry.colour;
        // Zero and the like stand behind a legend.
        let long = long(entry).min(SAMPLE + GAP + room);
        canvas.rect([left - 1.0, y - 0.5 * LINE * SIZE, left + long, y + 0.5 * LINE * SIZE], ink(WHITE, 0.8));
        if entry.has_band {
            canvas.rect([left, y - 2.5, right, y + 2.5], ink(own, 0.2));
        }
        let line = [(left, *y), (right, *y)];
        match entry.look {
            Look::Line => canvas.line(&line, own, LINE_WIDTH),
            Look::Dashed => canvas.dashes(&line, own, LINE_WIDTH, DASH),
            Look::Marks => canvas.hollow(middle, MARK, own, 1.0),
            Look::LineAndMarks => {
                canvas.line(&line, own, LINE_WIDTH);
                canvas.hollow(middle, MARK, own, 1.0);
            }
            Look::Dots => canvas.disc(middle, 1.3 * DOT, own),
            Look::Bars => canvas.rect([middle.0 - 4.0, y - 3.0, middle.0 + 4.0, y + 3.0], ink(own, 0.85)),
            Look::Steps => {
                let (third, up) = (SAMPLE / 3.0, y - 3.0);
                let line = [
                    (left, y + 3.0),
                    (left + third, y + 3.0),
                    (left + third, up),
                    (left + 2.0 * third, up),
                    (left + 2.0 * third, *y),
                    (right, *y),
                ];
                canvas.line(&line, own, LINE_WIDTH);
            }
        }
        canvas.label(&cut(&entry.words, *room, SIZE, Face::Sans), (right + GAP, *y), Style::new(SIZE));
    }
}
