//! Lines, words and shapes in pixels.

use crate::figures::style::{self, FINE, FONT, INK};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Display;

/// Sizes of words in pixels, for the last row of a lecture room; the library writes them at 1 / 1.24 of that.
const LARGER: f64 = 1.25 / FINE as f64;
pub(super) const LABEL: f64 = LARGER * style::SMALL as f64;
pub(super) const HEADING: f64 = LARGER * style::HEADING as f64;
pub(super) const TITLE: f64 = LARGER * style::TITLE as f64;
/// Width of a letter, at most, in the size of its word: wide fonts are about that wide on average.
const LETTER: f64 = 0.45;

/// Bold letters are that much wider.
pub(super) const BOLD: f64 = 1.2;

/// On which side of a word its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// left of it, at half its height
    Left,
    Right,
    /// above its middle
    Above,
    /// in its middle; the word runs upward
    Upward,
}

/// What a picture is drawn on.
pub(super) struct Canvas<'a> {
    pub area: DrawingArea<SVGBackend<'a>, Shift>,
}

pub(super) fn text(e: impl Display) -> String {
    e.to_string()
}

/// Pixels to units of the drawing.
fn fine((x, y): (f64, f64)) -> (i32, i32) {
    #[allow(clippy::cast_possible_truncation)]
    let unit = |p: f64| (p * f64::from(FINE)).round().clamp(-1e6, 1e6) as i32;
    (unit(x), unit(y))
}

fn units(px: f64) -> u32 {
    fine((px.max(0.0), 0.0)).0.cast_unsigned()
}

/// About how wide words are.
pub(super) fn width(words: &str, size: f64) -> f64 {
    crate::linalg::count(words.chars().count()) * LETTER * size
}

/// Words that fit, with dots in place of their middle if need be.
pub(super) fn fit(words: &str, room: f64, size: f64) -> String {
    if width(words, size) <= room {
        return words.to_owned();
    }
    let all: Vec<char> = words.chars().collect();
    let most =
        (0..all.len()).rev().find(|n| crate::linalg::count(n + 1) * LETTER * size <= room).unwrap_or(0);
    let (front, back) = (most.div_ceil(2), most / 2);
    all[..front].iter().chain(&['\u{2026}']).chain(&all[all.len() - back..]).collect()
}

impl Canvas<'_> {
    pub fn write(&self, words: &str, at: (f64, f64), size: f64, side: Side) -> Result<(), String> {
        self.styled(words, at, size, side, FontStyle::Normal)
    }

    pub fn bold(&self, words: &str, at: (f64, f64), size: f64) -> Result<(), String> {
        self.styled(words, at, size, Side::Left, FontStyle::Bold)
    }

    fn styled(
        &self,
        words: &str,
        at: (f64, f64),
        size: f64,
        side: Side,
        weight: FontStyle,
    ) -> Result<(), String> {
        let (h, v) = match side {
            Side::Left => (HPos::Left, VPos::Center),
            Side::Right => (HPos::Right, VPos::Center),
            Side::Above => (HPos::Center, VPos::Top),
            Side::Upward => (HPos::Center, VPos::Center),
        };
        let mut font = FontDesc::new(FontFamily::Name(FONT), f64::from(units(size)), weight);
        if side == Side::Upward {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = TextStyle::from(font).color(&INK).pos(Pos::new(h, v));
        self.area.draw_text(words, &style, fine(at)).map_err(text)
    }

    /// A line through points; those that change nothing are left out.
    pub fn line(
        &self,
        points: &[(f64, f64)],
        colour: RGBColor,
        opaque: f64,
        width: f64,
    ) -> Result<(), String> {
        let mut line: Vec<(i32, i32)> = Vec::new();
        for p in points.iter().map(|p| fine(*p)) {
            if let [.., a, b] = line.as_slice()
                && ((a.1 == b.1 && b.1 == p.1)
                    || (a.0 == b.0 && b.0 == p.0 && (b.1 - a.1).signum() == (p.1 - b.1).signum()))
            {
                line.pop();
            }
            if line.last() != Some(&p) {
                line.push(p);
            }
        }
        let style = colour.mix(opaque).stroke_width(units(width));
        self.area.draw(&PathElement::new(line, style)).map_err(text)
    }

    pub fn shade(&self, [left, top, right, bottom]: [f64; 4], colour: RGBColor) -> Result<(), String> {
        let corners = [fine((left, top)), fine((right, bottom))];
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(text)
    }

    /// A ring, white inside.
    pub fn ring(&self, at: (f64, f64), radius: f64, colour: RGBColor) -> Result<(), String> {
        self.area.draw(&Circle::new(fine(at), units(radius), WHITE.filled())).map_err(text)?;
        let line = colour.stroke_width(units(1.5));
        self.area.draw(&Circle::new(fine(at), units(radius), line)).map_err(text)
    }

    pub fn dot(&self, at: (f64, f64), radius: f64, colour: RGBColor) -> Result<(), String> {
        self.area.draw(&Circle::new(fine(at), units(radius), colour.filled())).map_err(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_lose_their_middle() {
        assert_eq!(fit("A1.deep", 100.0, 14.0), "A1.deep");
        let long = "a_very_long_area.superficial";
        let short = fit(long, 100.0, 14.0);
        assert!(width(&short, 14.0) <= 100.0 && short.contains('\u{2026}'), "{short}");
        assert!(short.starts_with("a_very") && short.ends_with("ficial"), "{short}");
        assert_eq!(fit(long, 0.0, 14.0), "\u{2026}");
    }
}
