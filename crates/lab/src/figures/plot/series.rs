//! Lines, marks, bars, steps, error bars and bands.

use super::Sides;
use super::axes::{parts, take};
use super::range::pitch;
use super::room::{Taken, overlap};
use crate::figures::axis::Frame;
use crate::figures::canvas::{Canvas, Place, ink};
use crate::figures::sheet::{Axes, Look, Point, Series};
use crate::figures::style::{COLOURS, INK};
use plotters::style::RGBColor;

pub(super) const LINE_WIDTH: f64 = 1.2;
pub(super) const MARK: f64 = 2.3;
pub(super) const DOT: f64 = 1.3;
pub(super) const DASH: [f64; 2] = [4.0, 2.5];
/// Half the cap of an error bar.
const CAP: f64 = 2.0;
/// Part of the pitch that bars fill.
const FULL: f64 = 0.8;

pub(super) fn colour(series: &Series) -> RGBColor {
    COLOURS[series.colour % COLOURS.len()]
}

/// Bars of one series: where among those of the others, in numbers of the axis.
struct Bars {
    offset: f64,
    wide: f64,
}

fn bars(axes: &Axes, number: usize) -> Bars {
    let all: Vec<usize> = (0..axes.series.len()).filter(|k| axes.series[*k].look == Look::Bars).collect();
    let wide = FULL * pitch(&axes.series) / pulvinar::linalg::count(all.len().max(1));
    let place = all.iter().position(|k| *k == number).unwrap_or(0);
    let middle = (pulvinar::linalg::count(all.len()) - 1.0) / 2.0;
    Bars { offset: (pulvinar::linalg::count(place) - middle) * wide, wide }
}

/// The box of a bar, inside the frame.
fn bar(frame: &Frame, b: &Bars, p: &Point) -> Option<Sides> {
    if !p.y.is_finite() || (frame.y.is_log && p.y <= 0.0) {
        return None;
    }
    let foot = if frame.y.is_log { frame.y.low } else { 0.0f64.clamp(frame.y.low, frame.y.high) };
    let x = p.x + b.offset;
    let (left, a) = frame.at(x - b.wide / 2.0, foot);
    let (right, y) = frame.at(x + b.wide / 2.0, p.y.clamp(frame.y.low, frame.y.high));
    let [l, _, r, _] = frame.inside;
    (right > l && left < r).then(|| [left.max(l), a.min(y), right.min(r), a.max(y)])
}

/// The outline of a histogram.
fn steps(axes: &Axes, frame: &Frame, s: &Series) -> Vec<(f64, f64)> {
    let half = pitch(&axes.series) / 2.0;
    let foot = if frame.y.is_log { frame.y.low } else { 0.0 };
    let high = |y: f64| if frame.y.is_log { y.max(frame.y.low) } else { y };
    let mut line = Vec::with_capacity(2 * s.points.len() + 2);
    line.extend(s.points.first().map(|p| (p.x - half, foot)));
    line.extend(s.points.iter().flat_map(|p| [(p.x - half, high(p.y)), (p.x + half, high(p.y))]));
    line.extend(s.points.last().map(|p| (p.x + half, foot)));
    line
}

fn plain(s: &Series) -> Vec<(f64, f64)> {
    s.points.iter().map(|p| (p.x, p.y)).collect()
}

/// The place of a mark, if it is inside the frame.
fn place(frame: &Frame, x: f64, y: f64) -> Option<Place> {
    let shown = |v: f64, is_log: bool| v.is_finite() && (!is_log || v > 0.0);
    if !shown(x, frame.x.is_log) || !shown(y, frame.y.is_log) {
        return None;
    }
    let at = frame.at(x, y);
    let [left, top, right, bottom] = frame.inside;
    let near = 0.01;
    (at.0 >= left - near && at.0 <= right + near && at.1 >= top - near && at.1 <= bottom + near).then_some(at)
}

/// Both ends of an error bar, inside the frame.
fn ends(frame: &Frame, x: f64, [low, high]: [f64; 2]) -> Option<(Place, Place)> {
    let bound = |y: f64| if y.is_nan() { None } else { Some(y.clamp(frame.y.low, frame.y.high)) };
    let inside = |x: f64| (frame.x.low..=frame.x.high).contains(&x);
    (inside(x) && high >= frame.y.low && low <= frame.y.high)
        .then(|| Some((frame.at(x, bound(low)?), frame.at(x, bound(high)?))))
        .flatten()
}

/// What the series cover.
pub(super) fn taken(axes: &Axes, frame: &Frame) -> Taken {
    let mut taken = Taken::default();
    for (number, s) in axes.series.iter().enumerate() {
        let bars = bars(axes, number);
        match s.look {
            Look::Line | Look::Dashed => take(&mut taken, &parts(frame, &plain(s))),
            Look::LineAndMarks => {
                take(&mut taken, &parts(frame, &plain(s)));
                s.points.iter().filter_map(|p| place(frame, p.x, p.y)).for_each(|at| taken.disc(at, MARK));
            }
            Look::Marks => {
                s.points.iter().filter_map(|p| place(frame, p.x, p.y)).for_each(|at| taken.disc(at, MARK))
            }
            Look::Dots => {
                s.points.iter().filter_map(|p| place(frame, p.x, p.y)).for_each(|at| taken.disc(at, DOT))
            }
            Look::Bars => s.points.iter().filter_map(|p| bar(frame, &bars, p)).for_each(|b| taken.sides(b)),
            Look::Steps => take(&mut taken, &parts(frame, &steps(axes, frame, s))),
        }
        let offset = if s.look == Look::Bars { bars.offset } else { 0.0 };
        for p in &s.points {
            if let Some((a, b)) = p.spread.and_then(|spread| ends(frame, p.x + offset, spread)) {
                taken.segment(a, b);
            }
        }
    }
    taken
}

/// Bands and bars first, then lines, then marks.
pub(super) fn draw(canvas: &Canvas<'_>, axes: &Axes, frame: &Frame) {
    for s in axes.series.iter().filter(|s| matches!(s.look, Look::Line | Look::Dashed)) {
        band(canvas, frame, s);
    }
    for (number, s) in axes.series.iter().enumerate().filter(|(_, s)| s.look == Look::Bars) {
        let own = bars(axes, number);
        for p in &s.points {
            if let Some(b) = bar(frame, &own, p) {
                canvas.rect(b, ink(colour(s), 0.85));
            }
        }
        errors(canvas, frame, s, own.offset, INK);
    }
    let [left, _, right, _] = frame.inside;
    if !frame.y.is_log && frame.y.low < 0.0 && frame.y.high > 0.0 {
        let (_, y) = frame.at(frame.x.low, 0.0);
        canvas.line(&[(left, y), (right, y)], ink(INK, 0.2), 0.6);
    }
    for s in &axes.series {
        let own = colour(s);
        match s.look {
            Look::Line | Look::LineAndMarks => {
                parts(frame, &plain(s)).iter().for_each(|p| canvas.line(p, own, LINE_WIDTH));
            }
            Look::Dashed => {
                parts(frame, &plain(s)).iter().for_each(|p| canvas.dashes(p, own, LINE_WIDTH, DASH));
            }
            Look::Steps => {
                let line = steps(axes, frame, s);
                for part in parts(frame, &line) {
                    canvas.line(&part, own, LINE_WIDTH);
                }
            }
            _ => {}
        }
    }
    for s in &axes.series {
        if !matches!(s.look, Look::Bars | Look::Line | Look::Dashed) {
            errors(canvas, frame, s, 0.0, colour(s));
        }
        for at in s.points.iter().filter_map(|p| place(frame, p.x, p.y)) {
            match s.look {
                Look::Marks | Look::LineAndMarks => canvas.hollow(at, MARK, colour(s), 1.0),
                Look::Dots => canvas.disc(at, DOT, ink(colour(s), 0.7)),
                _ => {}
            }
        }
    }
}

fn errors(canvas: &Canvas<'_>, frame: &Frame, s: &Series, offset: f64, own: RGBColor) {
    for p in &s.points {
        let Some((low, high)) = p.spread.and_then(|spread| ends(frame, p.x + offset, spread)) else {
            continue;
        };
        canvas.line(&[low, high], own, 0.9);
        for (at, end) in [(low, 0), (high, 1)] {
            // No cap where the bar goes on beyond the frame.
            let y = p.spread.map_or(0.0, |s| s[end]);
            if (frame.y.low..=frame.y.high).contains(&y) {
                canvas.line(&[(at.0 - CAP, at.1), (at.0 + CAP, at.1)], own, 0.9);
            }
        }
    }
}

/// Between the ends of the spreads of a line.
fn band(canvas: &Canvas<'_>, frame: &Frame, s: &Series) {
    let runs = s.points.split(|p| p.spread.is_none_or(|[a, b]| a.is_nan() || b.is_nan()) || !p.x.is_finite());
    for run in runs {
        let both: Vec<(Place, Place)> =
            run.iter().filter_map(|p| ends(frame, p.x, p.spread.unwrap_or([p.y; 2]))).collect();
        if both.len() > 1 {
            let mut around: Vec<Place> = both.iter().map(|b| b.0).collect();
            around.extend(both.iter().rev().map(|b| b.1));
            canvas.area(&around, ink(colour(s), 0.2));
        }
    }
}

/// Does a box lie within the frame?
pub(super) fn within(frame: &Frame, sides: &Sides) -> bool {
    let [l, t, r, b] = frame.inside;
    sides[0] >= l && sides[1] >= t && sides[2] <= r && sides[3] <= b && overlap(sides, &frame.inside)
}
