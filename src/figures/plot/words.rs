//! A panel of words, or of lines of a file.

use super::{LINE, SIZE, Sides};
use crate::figures::canvas::{Canvas, Style};
use crate::figures::font::{Face, cut, width, wrap};
use plotters::style::RGBColor;

/// Behind lines of a file.
const GROUND: RGBColor = RGBColor(246, 246, 246);
/// Lines of a file are not written smaller than this part of the usual size.
const LEAST: f64 = 0.7;
const EDGE: f64 = 5.0;

pub(super) fn draw(canvas: &Canvas<'_>, lines: &[String], code: bool, [left, top, right, bottom]: Sides) {
    let room = right - left - 2.0 * EDGE;
    if !code {
        let all = lines.iter().flat_map(|l| wrap(l, room, SIZE, Face::Sans));
        for (k, line) in all.enumerate() {
            let y = top + LINE * SIZE * (crate::linalg::count(k) + 0.5);
            if y + SIZE / 2.0 <= bottom {
                canvas.label(&cut(&line, room, SIZE, Face::Sans), (left, y), Style::new(SIZE));
            }
        }
        return;
    }
    let widest = lines.iter().map(|l| width(l, 1.0, Face::Mono)).fold(1.0, f64::max);
    let tall = crate::linalg::count(lines.len().max(1)) * LINE;
    let size = (room / widest).min((bottom - top - 2.0 * EDGE) / tall).clamp(LEAST * SIZE, 0.95 * SIZE);
    let end = (top + tall * size + 2.0 * EDGE).min(bottom);
    canvas.rect([left, top, right, end], GROUND);
    for (k, line) in lines.iter().enumerate() {
        let y = top + EDGE + LINE * size * (crate::linalg::count(k) + 0.5);
        if y + size / 2.0 > bottom {
            break;
        }
        // Blanks at the front are a step to the right: some readers of SVG drop them.
        let words = line.trim_start_matches(' ');
        let indent = width(&line[..line.len() - words.len()], size, Face::Mono);
        let words = cut(words, room - indent, size, Face::Mono);
        canvas.label(&words, (left + EDGE + indent, y), Style::new(size).mono());
    }
}
