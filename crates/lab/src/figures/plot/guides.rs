//! Straight lines across a panel, and their words where there is room for them.

use super::room::{Taken, larger, overlap};
use super::series::within;
use super::{SIZE, Sides};
use crate::figures::axis::Frame;
use crate::figures::canvas::{Canvas, Style, ink};
use crate::figures::font::{Face, cut, width};
use crate::figures::sheet::{Axes, Guide};
use crate::figures::style::INK;
use plotters::style::WHITE;

const DASH: [f64; 2] = [2.0, 2.0];
const HIGH: f64 = 1.1 * SIZE;
const AWAY: f64 = 2.0;

/// Words of a guide and the box they fill.
#[derive(Clone, Debug)]
pub(super) struct Label {
    words: String,
    pub sides: Sides,
}

fn line(frame: &Frame, g: &Guide) -> Option<[(f64, f64); 2]> {
    let [left, top, right, bottom] = frame.inside;
    let scale = if g.is_vertical { &frame.x } else { &frame.y };
    if !g.at.is_finite() || !(scale.low..=scale.high).contains(&g.at) {
        return None;
    }
    Some(if g.is_vertical {
        let x = left + scale.at(g.at) * (right - left);
        [(x, top), (x, bottom)]
    } else {
        let y = bottom - scale.at(g.at) * (bottom - top);
        [(left, y), (right, y)]
    })
}

/// Where the words of the guides stand: on no other words, and on as little data as can be.
pub(super) fn places(axes: &Axes, frame: &Frame, data: &Taken) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    let lines: Vec<_> = axes.guides.iter().filter_map(|g| line(frame, g)).collect();
    for g in axes.guides.iter().filter(|g| !g.words.is_empty()) {
        let Some(own) = line(frame, g) else { continue };
        let [left, _, right, _] = frame.inside;
        let words = cut(&g.words, right - left - 2.0 * AWAY, SIZE, Face::Sans);
        let wide = width(&words, SIZE, Face::Sans);
        let touched = |sides: &Sides| {
            let others = lines.iter().filter(|l| **l != own);
            let crossed = others.filter(|l| super::room::clipped(l[0], l[1], sides).is_some()).count();
            data.touched(&larger(*sides, 1.0)) + crossed
        };
        let free = |sides: &Sides| {
            within(frame, sides) && !labels.iter().any(|l| overlap(&l.sides, &larger(*sides, 1.0)))
        };
        let all = candidates(g, own, wide, frame.inside);
        if let Some(sides) = all.into_iter().filter(free).min_by_key(touched) {
            labels.push(Label { words, sides });
        }
    }
    labels
}

/// Boxes beside the line, the best first.
fn candidates(
    g: &Guide,
    [a, _]: [(f64, f64); 2],
    wide: f64,
    [left, top, right, bottom]: Sides,
) -> Vec<Sides> {
    let mut all = Vec::new();
    if g.is_vertical {
        let mut y = top + AWAY;
        while y + HIGH <= bottom - AWAY {
            all.push([a.0 + AWAY, y, a.0 + AWAY + wide, y + HIGH]);
            all.push([a.0 - AWAY - wide, y, a.0 - AWAY, y + HIGH]);
            y += 0.5 * HIGH;
        }
        return all;
    }
    let steps = 12;
    for k in 0..=steps {
        let x = right - AWAY - wide - f64::from(k) / f64::from(steps) * (right - left - 2.0 * AWAY - wide);
        all.push([x, a.1 - AWAY / 2.0 - HIGH, x + wide, a.1 - AWAY / 2.0]);
        all.push([x, a.1 + AWAY / 2.0, x + wide, a.1 + AWAY / 2.0 + HIGH]);
    }
    all
}

pub(super) fn draw(canvas: &Canvas<'_>, frame: &Frame, axes: &Axes, labels: &[Label]) {
    for [a, b] in axes.guides.iter().filter_map(|g| line(frame, g)) {
        canvas.dashes(&[a, b], ink(INK, 0.6), 0.8, DASH);
    }
    for l in labels {
        canvas.rect(l.sides, ink(WHITE, 0.75));
        let y = f64::midpoint(l.sides[1], l.sides[3]);
        canvas.label(&l.words, (l.sides[0], y), Style::new(SIZE));
    }
}
