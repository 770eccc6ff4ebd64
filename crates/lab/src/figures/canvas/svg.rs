//! A picture as SVG text; words stay words.

use super::{Anchor, Mark, Picture, Place, Text};
use crate::figures::font::{Face, style_sheet};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use pulvinar::diag::{clean, is_unclean};

/// Units of the drawing per pixel: the library rounds to whole units, and lines should not look like stairs.
const FINE: f64 = 8.0;
/// The library divides font sizes by this.
const POINTS: f64 = 1.24;
/// The library writes words half the height of an `x` above their baseline; an `x` of the font in em.
const HALF_X: f64 = 0.5 * 1120.0 / 2048.0;

type Done = Result<(), String>;

fn units((x, y): Place) -> (i32, i32) {
    #[allow(clippy::cast_possible_truncation)]
    let unit = |p: f64| (p * FINE).round().clamp(-1e7, 1e7) as i32;
    (unit(x), unit(y))
}

/// A length, at least one unit.
fn long(x: f64) -> u32 {
    units((x, 0.0)).0.max(1).cast_unsigned()
}

fn said(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// Where the fonts of a picture come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fonts {
    /// the picture brings them
    Inside,
    /// the page around it has them
    OfThePage,
}

impl Picture {
    /// As SVG text of `unit`s: `px`, or `mm` on paper.
    ///
    /// # Errors
    /// What the drawing library says; it has no reason to fail.
    pub fn svg(&self, unit: &str, fonts: Fonts) -> Result<String, String> {
        let (wide, high) = (long(self.width), long(self.height));
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (wide, high)).into_drawing_area();
            area.fill(&WHITE).map_err(said)?;
            self.marks.iter().try_for_each(|m| draw(&area, m))?;
            area.present().map_err(said)?;
        }
        let per = if unit == "mm" { 25.4 / 96.0 } else { 1.0 };
        let size = |n: u32| {
            let x = (f64::from(n) / FINE * per * 100.0).round() / 100.0;
            format!("{x}{}", if unit == "px" { "" } else { unit })
        };
        let large = format!("width=\"{wide}\" height=\"{high}\"");
        let small = format!("width=\"{}\" height=\"{}\"", size(wide), size(high));
        let svg = svg.replacen(&large, &small, 1);
        let mut head = format!("\n<title>{}</title>\n", escaped(&self.title));
        if !self.about.is_empty() {
            head += &format!("<desc>{}</desc>\n", escaped(&self.about));
        }
        if fonts == Fonts::Inside {
            head += &format!("<style>{}</style>\n", style_sheet(&self.faces()));
        }
        let end = svg.find('>').map_or(0, |at| at + 1);
        Ok(format!("{}{head}{}", &svg[..end], svg[end..].trim_start_matches('\n')))
    }
}

/// Text as it stands between tags or in an attribute.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            // Marks of direction and characters without width belong to names in some scripts, but are not written as they are.
            c if is_unclean(c) => out.push_str(&format!("&#x{:x};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, mark: &Mark) -> Done {
    match mark {
        Mark::Line { points, ink, width } => {
            let style = ink.colour.mix(ink.opaque).stroke_width(long(*width));
            area.draw(&PathElement::new(plain(points), style)).map_err(said)
        }
        Mark::Area { points, ink } => {
            let points: Vec<(i32, i32)> = points.iter().copied().map(units).collect();
            area.draw(&Polygon::new(points, ink.colour.mix(ink.opaque).filled())).map_err(said)
        }
        Mark::Rect { sides: [left, top, right, bottom], ink } => {
            let corners = [units((*left, *top)), units((*right, *bottom))];
            area.draw(&Rectangle::new(corners, ink.colour.mix(ink.opaque).filled())).map_err(said)
        }
        Mark::Disc { at, radius, ink } => {
            let style = ink.colour.mix(ink.opaque).filled();
            area.draw(&Circle::new(units(*at), long(*radius), style)).map_err(said)
        }
        Mark::Ring { at, radius, ink, width } => {
            let style = ink.colour.mix(ink.opaque).stroke_width(long(*width));
            area.draw(&Circle::new(units(*at), long(*radius), style)).map_err(said)
        }
        Mark::Text(text) => write(area, text),
    }
}

/// A line without the points that change nothing.
fn plain(points: &[Place]) -> Vec<(i32, i32)> {
    let mut line: Vec<(i32, i32)> = Vec::new();
    for p in points.iter().map(|p| units(*p)) {
        if let [.., a, b] = line.as_slice()
            && ((a.1 == b.1 && b.1 == p.1 && (b.0 - a.0).signum() == (p.0 - b.0).signum())
                || (a.0 == b.0 && b.0 == p.0 && (b.1 - a.1).signum() == (p.1 - b.1).signum()))
        {
            line.pop();
        }
        if line.last() != Some(&p) {
            line.push(p);
        }
    }
    line
}

fn write(area: &DrawingArea<SVGBackend<'_>, Shift>, text: &Text) -> Done {
    let weight = if text.face == Face::Bold { FontStyle::Bold } else { FontStyle::Normal };
    // A hundredth of a unit is enough, and keeps the file short.
    let size = (text.size * FINE * 100.0).round() / 100.0;
    let mut font = FontDesc::new(FontFamily::Name(text.face.family()), size * POINTS, weight);
    let by = HALF_X * text.size;
    let mut at = (text.at.0, text.at.1 - by);
    if text.upright {
        font = font.transform(FontTransform::Rotate270);
        at = (text.at.0 - by, text.at.1);
    }
    let h = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let style = TextStyle::from(font).color(&text.colour).pos(Pos::new(h, VPos::Center));
    area.draw_text(&clean(&text.words), &style, units(at)).map_err(said)
}
