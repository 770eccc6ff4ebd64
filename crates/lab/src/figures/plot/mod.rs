//! Draws a [`Figure`]: rows of panels with their letters and titles, at the size they have on paper.
//!
//! Letters are 7 and 8 points high. Nothing overlaps: widths of words are those of the font, ticks are thinned out,
//! legends stand where no data is or above the panel.
//!
//! **Deliberately absent:** captions, which stand beside the picture; files.

mod axes;
mod guides;
mod legend;
mod map;
mod range;
mod room;
mod series;
mod ticks;
mod words;

use super::canvas::{Canvas, Picture, Style};
use super::circuit::{self, Plan};
use super::font::{Face, cut, width, wrap};
use super::sheet::{Content, Figure, Panel};

/// Pixels per mm on paper.
const MM: f64 = 96.0 / 25.4;
/// 7 points.
pub(super) const SIZE: f64 = 7.0 * 96.0 / 72.0;
/// 8 points: letters and titles of panels.
const PANEL: f64 = 8.0 * 96.0 / 72.0;
/// 9 points: the title of the figure.
const TITLE: f64 = 9.0 * 96.0 / 72.0;
/// Around the page, and between panels.
const EDGE: f64 = 3.0;
const APART: f64 = 14.0;
/// Height of a line in em.
pub(super) const LINE: f64 = 1.25;
/// Drawings of circuits are not larger than this; their letters then are as high as those of axes.
const CIRCUIT: f64 = SIZE / super::style::SMALL;

/// Left, top, right, bottom.
pub(super) type Sides = [f64; 4];

/// The figure as a picture.
#[must_use]
pub fn picture(figure: &Figure) -> Picture {
    let wide = figure.width.mm() * MM;
    let title = wrap(&figure.title, wide - 2.0 * EDGE, TITLE, Face::Bold);
    let lines = if figure.title.is_empty() { 0 } else { title.len() };
    let head = EDGE + LINE * TITLE * pulvinar::linalg::count(lines) + 4.0;
    let rows: f64 = figure.rows.iter().map(|r| r.height_mm * MM + APART).sum();
    let high = head + (rows - APART).max(0.0) + EDGE;
    let many = figure.rows.iter().map(|r| r.panels.len()).sum::<usize>() > 1;
    let mut picture = Picture::draw(wide, high, &figure.title, |canvas| {
        for (k, line) in title.iter().take(lines).enumerate() {
            let y = EDGE + LINE * TITLE * (pulvinar::linalg::count(k) + 0.5);
            canvas.label(line, (EDGE, y), Style::new(TITLE).bold());
        }
        let mut top = head;
        let mut letters = (b'A'..=b'Z').map(char::from);
        for row in &figure.rows {
            let bottom = top + row.height_mm * MM;
            let shares: f64 = row.panels.iter().map(|p| p.share.max(1e-3)).sum();
            let room =
                wide - 2.0 * EDGE - APART * pulvinar::linalg::count(row.panels.len().saturating_sub(1));
            let mut left = EDGE;
            for p in &row.panels {
                let right = left + room * p.share.max(1e-3) / shares;
                let letter = letters.next().filter(|_| many);
                panel(canvas, p, letter, [left, top, right, bottom]);
                left = right + APART;
            }
            top = bottom + APART;
        }
    });
    picture.about = format!("{} Source: {}", figure.caption, figure.source);
    picture
}

/// One panel with its letter and title.
fn panel(canvas: &Canvas<'_>, panel: &Panel, letter: Option<char>, [left, top, right, bottom]: Sides) {
    let bold = Style::new(PANEL).bold();
    let mut beside = left;
    let mut lines = 0;
    if let Some(letter) = letter {
        canvas.label(&letter.to_string(), (left, top + 0.6 * PANEL), bold);
        beside += width("M", PANEL, Face::Bold) + 5.0;
        lines = 1;
    }
    if !panel.title.is_empty() {
        let room = right - beside;
        let mut words = wrap(&panel.title, room, PANEL, Face::Sans);
        if words.len() > 2 {
            let rest = words.split_off(1).join(" ");
            words.push(rest);
        }
        for (k, line) in words.iter().enumerate() {
            let y = top + PANEL * (0.6 + LINE * pulvinar::linalg::count(k));
            canvas.label(&cut(line, room, PANEL, Face::Sans), (beside, y), Style::new(PANEL));
        }
        lines = words.len();
    }
    let top = top + if lines == 0 { 0.0 } else { LINE * PANEL * pulvinar::linalg::count(lines) + 4.0 };
    let inside = [left, top, right, bottom.max(top + 1.0)];
    match &panel.content {
        Content::Axes(a) => axes::draw(canvas, a, inside),
        Content::Map(m) => map::draw(canvas, m, inside),
        Content::Circuit(plan) => drawing(canvas, plan, inside),
        Content::Words { lines, code } => words::draw(canvas, lines, *code, inside),
    }
}

/// A drawing of a circuit without its title and legend, in the middle of its panel.
fn drawing(canvas: &Canvas<'_>, plan: &Plan, [left, top, right, bottom]: Sides) {
    let bare = circuit::cropped(plan.clone());
    let (wide, high) = (bare.width.max(1.0), bare.height.max(1.0));
    let scale = CIRCUIT.min((right - left) / wide).min((bottom - top) / high);
    let at = ((left + right - scale * wide) / 2.0, (top + bottom - scale * high) / 2.0);
    circuit::draw_on(&canvas.part(at, scale), &bare);
}

#[cfg(test)]
mod tests;
