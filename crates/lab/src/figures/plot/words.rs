//! A panel of words, or of lines of a file.

use super::{LINE, SIZE, Sides};
use crate::figures::canvas::{Canvas, Style};
use crate::figures::font::{Face, cut, width, wrap};
use plotters::style::RGBColor;

/// Behind lines of a file.
const GROUND: RGBColor = RGBColor(246, 246, 246);
/// Lines of a file are not written smaller than this part of the usual size.
const LEAST: f64 = 0.6;
const EDGE: f64 = 5.0;

pub(super) fn draw(canvas: &Canvas<'_>, lines: &[String], code: bool, [left, top, right, bottom]: Sides) {
    let room = right - left - 2.0 * EDGE;
    if !code {
        let all = lines.iter().flat_map(|l| wrap(l, room, SIZE, Face::Sans));
        for (k, line) in all.enumerate() {
            let y = top + LINE * SIZE * (pulvinar::linalg::count(k) + 0.5);
            if y + SIZE / 2.0 <= bottom {
                canvas.label(&cut(&line, room, SIZE, Face::Sans), (left, y), Style::new(SIZE));
            }
        }
        return;
    }
    let widest = lines.iter().map(|l| width(l, 1.0, Face::Mono)).fold(1.0, f64::max);
    let tall = pulvinar::linalg::count(lines.len().max(1)) * LINE;
    let size = (room / widest).min((bottom - top - 2.0 * EDGE) / tall).clamp(LEAST * SIZE, 0.95 * SIZE);
    let end = (top + tall * size + 2.0 * EDGE).min(bottom);
    canvas.rect([left, top, right, end], GROUND);
    for (k, line) in lines.iter().enumerate() {
        let y = top + EDGE + LINE * size * (pulvinar::linalg::count(k) + 0.5);
        if y + size / 2.0 > bottom {
            break;
        }
        for (before, words) in pieces(&cut(line, room, size, Face::Mono)) {
            let x = left + EDGE + width(before, size, Face::Mono);
            canvas.label(words, (x, y), Style::new(size).mono());
        }
    }
}

/// Parts of a line between two or more blanks, each with what is before it: readers of SVG draw such blanks as one.
fn pieces(line: &str) -> Vec<(&str, &str)> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < line.len() {
        let rest = &line[start..];
        let words = rest.trim_start_matches(' ');
        let begin = start + rest.len() - words.len();
        let long = words.find("  ").unwrap_or(words.len());
        if long > 0 {
            all.push((&line[..begin], &words[..long]));
        }
        start = begin + long.max(1);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_blanks_are_steps_to_the_right() {
        assert_eq!(pieces("  a: {b: 1},   c"), [("  ", "a: {b: 1},"), ("  a: {b: 1},   ", "c")]);
        assert_eq!(pieces("a b"), [("", "a b")]);
        assert!(pieces("").is_empty() && pieces("   ").is_empty());
    }
}
