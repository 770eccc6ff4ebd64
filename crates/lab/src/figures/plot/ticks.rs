//! Words below and beside an axis: numbers, or names in place of numbers.

use super::{LINE, SIZE, Sides};
use crate::figures::axis::{Frame, Scale, Tick, beyond};
use crate::figures::canvas::{Canvas, Style};
use crate::figures::font::{Face, cut, width, wrap};
use crate::figures::sheet::Axis;

/// From an axis to names below it or beside it.
const GAP: f64 = 4.0;
/// Names take at most this part of a panel.
const MOST: f64 = 0.45;

/// The words of one axis, and the room they need beyond it.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub ticks: Vec<Tick>,
    names: Vec<(f64, Vec<String>)>,
    upright: bool,
    pub room: f64,
}

/// `membrane potential (mV)`.
pub(super) fn name(axis: &Axis) -> String {
    match (axis.label.as_str(), axis.unit.as_str()) {
        (label, "") => label.to_owned(),
        ("", unit) => unit.to_owned(),
        (label, unit) => format!("{label} ({unit})"),
    }
}

/// Lines of the name of an axis that is `length` long.
pub(super) fn name_lines(axis: &Axis, length: f64) -> Vec<String> {
    let name = name(axis);
    if name.is_empty() {
        return Vec::new();
    }
    let mut lines = wrap(&name, length, SIZE, Face::Sans);
    if lines.len() > 2 {
        let rest = lines.split_off(1).join(" ");
        lines.push(rest);
    }
    lines.iter().map(|l| cut(l, length, SIZE, Face::Sans)).collect()
}

/// Words below an axis of this length, in a panel of this height.
pub(super) fn below(axis: &Axis, scale: &Scale, length: f64, panel: f64) -> Words {
    if axis.names.is_empty() {
        let ticks = scale.that_fit(length, SIZE, true);
        let room = beyond(&ticks, SIZE, true);
        return Words { ticks, names: Vec::new(), upright: false, room };
    }
    let n = axis.names.len();
    let slot = length / ((scale.high - scale.low).abs().max(1.0)) - 0.5 * SIZE;
    let at = |k: usize| pulvinar::linalg::count(k);
    let lines: Vec<Vec<String>> = axis.names.iter().map(|w| wrap(w, slot, SIZE, Face::Sans)).collect();
    let fits = lines.iter().all(|l| l.len() <= 3 && l.iter().all(|w| width(w, SIZE, Face::Sans) <= slot));
    let few = |k: &usize| slot >= SIZE * 0.8 || k.is_multiple_of(step(n, length));
    if fits {
        let most = lines.iter().map(Vec::len).max().unwrap_or(1);
        let names = lines.into_iter().enumerate().map(|(k, l)| (at(k), l)).collect();
        let room = GAP + LINE * SIZE * pulvinar::linalg::count(most);
        return Words { ticks: Vec::new(), names, upright: false, room };
    }
    let most = MOST * panel;
    let names: Vec<(f64, Vec<String>)> =
        (0..n).filter(few).map(|k| (at(k), vec![cut(&axis.names[k], most, SIZE, Face::Sans)])).collect();
    let room = GAP + names.iter().map(|(_, l)| width(&l[0], SIZE, Face::Sans)).fold(0.0, f64::max);
    Words { ticks: Vec::new(), names, upright: true, room }
}

/// Words beside an axis of this length, in a panel of this width.
pub(super) fn beside(axis: &Axis, scale: &Scale, length: f64, panel: f64) -> Words {
    if axis.names.is_empty() {
        let ticks = scale.that_fit(length, SIZE, false);
        let room = beyond(&ticks, SIZE, false);
        return Words { ticks, names: Vec::new(), upright: false, room };
    }
    let step = step(axis.names.len(), length);
    let cut = |w: &String| vec![cut(w, MOST * panel, SIZE, Face::Sans)];
    let all = axis.names.iter().enumerate().filter(|(k, _)| k % step == 0);
    let names: Vec<(f64, Vec<String>)> = all.map(|(k, w)| (pulvinar::linalg::count(k), cut(w))).collect();
    let room = GAP + names.iter().map(|(_, l)| width(&l[0], SIZE, Face::Sans)).fold(0.0, f64::max);
    Words { ticks: Vec::new(), names, upright: false, room }
}

/// Every how manyth of `n` names has room on `length`.
fn step(n: usize, length: f64) -> usize {
    (1..=n)
        .find(|s| length * pulvinar::linalg::count(*s) / pulvinar::linalg::count(n.max(1)) >= 1.15 * SIZE)
        .unwrap_or(1)
}

/// Axes, ticks, words and names of a frame.
pub(super) fn draw(canvas: &Canvas<'_>, frame: &Frame, x: &Words, y: &Words, names: [&[String]; 2]) {
    let [left, top, right, bottom]: Sides = frame.inside;
    frame.axes(canvas, [&x.ticks, &y.ticks], [("", 0.0), ("", 0.0)], SIZE);
    let style = Style::new(SIZE);
    for (at, lines) in &x.names {
        let (px, _) = frame.at(*at, frame.y.low);
        for (k, line) in lines.iter().enumerate() {
            if x.upright {
                canvas.label(line, (px, bottom + GAP), style.end().upright());
            } else {
                let py = bottom + GAP + LINE * SIZE * pulvinar::linalg::count(k);
                canvas.below(line, (px, py), style.middle());
            }
        }
    }
    for (at, lines) in &y.names {
        let (_, py) = frame.at(frame.x.low, *at);
        canvas.label(&lines[0], (left - GAP, py), style.end());
    }
    for (k, line) in names[0].iter().enumerate() {
        let py = bottom + x.room + 2.0 + LINE * SIZE * pulvinar::linalg::count(k);
        canvas.below(line, (f64::midpoint(left, right), py), style.middle());
    }
    for (k, line) in names[1].iter().rev().enumerate() {
        let px = left - y.room - 0.9 * SIZE - LINE * SIZE * pulvinar::linalg::count(k);
        canvas.label(line, (px, f64::midpoint(top, bottom)), style.middle().upright());
    }
}
