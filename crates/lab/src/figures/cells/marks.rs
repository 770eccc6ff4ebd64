//! What stands behind the lines of a panel: windows of lesions, token onsets, zero; and the axis of time.

use super::sizes::{LABEL, width};
use super::{BANDS, Band, Pictured};
use crate::figures::axis::{Frame, Scale};
use crate::figures::canvas::{Canvas, Style, ink};
use crate::figures::style::{FAINT, INK};
use plotters::style::RGBColor;

/// Behind lesions.
const SHADE: RGBColor = RGBColor(245, 232, 214);
/// Where they begin and end.
const EDGES: RGBColor = RGBColor(222, 190, 145);
/// Least room between the lines of token onsets, in pixels.
const APART: f64 = 12.0;
/// The axis of time: in ms, or in s for long runs; and how many ms its unit has.
pub(super) fn clock([from, until]: [f64; 2]) -> (Scale, f64) {
    let unit = if until >= 10_000.0 { 1000.0 } else { 1.0 };
    (Scale::linear(from / unit, until / unit), unit)
}

/// Windows of lesions behind the lines; their words above the panel, where they fit.
pub(super) fn bands(canvas: &Canvas<'_>, frame: &Frame, unit: f64, lesions: &[Band], [low, high]: [f64; 2]) {
    let [left, top, right, bottom] = frame.inside;
    let mut taken = left;
    let mut marks: Vec<(f64, f64, &str)> = Vec::new();
    for band in lesions.iter().filter(|b| b.window_ms != [None, None]) {
        let (from, until) =
            (band.window_ms[0].unwrap_or(low).max(low), band.window_ms[1].unwrap_or(high).min(high));
        if from < until {
            let x = |t: f64| frame.at(t / unit, frame.y.high).0;
            marks.push((x(from), x(until), band.what.split(' ').next().unwrap_or_default()));
        }
    }
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (from, until, _) in &marks {
        canvas.rect([*from, top, *until, bottom], SHADE);
    }
    for x in marks.iter().flat_map(|(from, until, _)| [*from, *until]).filter(|x| *x > left && *x < right) {
        canvas.line(&[(x, top), (x, bottom)], EDGES, 0.8);
    }
    for (from, until, word) in &marks {
        let size = width(word, LABEL);
        let middle = (from / 2.0 + until / 2.0).clamp(left + size / 2.0, right - size / 2.0);
        if middle - size / 2.0 >= taken {
            canvas.below(word, (middle, top - BANDS + 1.0), Style::new(LABEL).middle());
            taken = middle + size / 2.0 + 6.0;
        }
    }
}

/// Every how manyth onset gets a line, so that they stay apart.
pub(super) fn every(frame: &Frame, unit: f64, onsets: &[f64]) -> usize {
    let [a, b, ..] = onsets else { return 1 };
    let apart = frame.at(b / unit, frame.y.high).0 - frame.at(a / unit, frame.y.high).0;
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
        .into_iter()
        .find(|k| pulvinar::linalg::count(*k) * apart >= APART)
        .unwrap_or(usize::MAX)
}

/// Lines where tokens begin.
pub(super) fn onsets(canvas: &Canvas<'_>, frame: &Frame, unit: f64, run: &Pictured) {
    let inside = |t: &&f64| (frame.x.low..=frame.x.high).contains(&(**t / unit));
    let [_, top, _, bottom] = frame.inside;
    let every = every(frame, unit, run.onsets_ms);
    for t in run.onsets_ms.iter().step_by(every).filter(inside) {
        let (x, _) = frame.at(t / unit, frame.y.high);
        canvas.line(&[(x, top), (x, bottom)], ink(FAINT, 0.8), 0.8);
    }
    if !frame.y.is_log && frame.y.low < 0.0 && frame.y.high > 0.0 {
        let (left, y) = frame.at(frame.x.low, 0.0);
        canvas.line(&[(left, y), (frame.inside[2], y)], ink(INK, 0.18), 0.8);
    }
}
