//! Lines, areas and words on a drawing area, in pixels.

use super::plan::{Label, Point, Rect, at};
use crate::figures::style::{FINE, FONT, INK};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, FontTransform};

/// The library divides font sizes by this.
const POINTS: f64 = 1.24;

/// Where a drawing goes.
pub(super) struct Canvas<'a, 'b> {
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
}

type Done = Result<(), String>;

fn fine(p: Point) -> (i32, i32) {
    let whole = |x: f64| (x * f64::from(FINE)).round() as i32;
    (whole(p.x), whole(p.y))
}

fn thick(width: f64) -> u32 {
    (width * f64::from(FINE)).round().max(1.0) as u32
}

fn said(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl<'a, 'b> Canvas<'a, 'b> {
    pub fn new(area: &'a DrawingArea<SVGBackend<'b>, Shift>) -> Self {
        Self { area }
    }

    pub fn line(&self, points: &[Point], colour: RGBColor, width: f64) -> Done {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.area.draw(&PathElement::new(points, colour.stroke_width(thick(width)))).map_err(said)
    }

    /// Dashes of four pixels, three apart, from the first point on.
    pub fn dashes(&self, points: &[Point], colour: RGBColor, width: f64) -> Done {
        let (on, off) = (4.0f64, 3.0f64);
        let mut phase = 0.0f64;
        let mut dash: Vec<Point> = Vec::new();
        for pair in points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let length = (b.x - a.x).hypot(b.y - a.y);
            let on_line = |t: f64| at(a.x + (b.x - a.x) * t / length, a.y + (b.y - a.y) * t / length);
            let mut t = 0.0;
            while t < length {
                let is_on = phase < on;
                let step = (if is_on { on - phase } else { on + off - phase }).min(length - t);
                if is_on {
                    if dash.is_empty() {
                        dash.push(on_line(t));
                    }
                    dash.push(on_line(t + step));
                }
                t += step;
                phase += step;
                if phase >= on && is_on && dash.len() > 1 {
                    self.line(&std::mem::take(&mut dash), colour, width)?;
                }
                if phase >= on + off - 1e-9 {
                    phase = 0.0;
                }
            }
        }
        if dash.len() > 1 { self.line(&dash, colour, width) } else { Ok(()) }
    }

    pub fn filled(&self, points: &[Point], colour: RGBColor) -> Done {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.area.draw(&Polygon::new(points, colour.filled())).map_err(said)
    }

    /// A shape with its outline.
    pub fn shape(&self, points: &[Point], inside: RGBColor, outline: RGBColor, width: f64) -> Done {
        self.filled(points, inside)?;
        let mut around = points.to_vec();
        around.extend(points.iter().take(2));
        self.line(&around, outline, width)
    }

    pub fn disc(&self, centre: Point, radius: f64, colour: RGBColor) -> Done {
        self.area.draw(&Circle::new(fine(centre), thick(radius), colour.filled())).map_err(said)
    }

    pub fn ring(&self, centre: Point, radius: f64, colour: RGBColor, width: f64) -> Done {
        self.area
            .draw(&Circle::new(fine(centre), thick(radius), colour.stroke_width(thick(width))))
            .map_err(said)
    }

    pub fn rect(&self, r: Rect, colour: RGBColor) -> Done {
        let corners = [fine(at(r.left, r.top)), fine(at(r.right, r.bottom))];
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(said)
    }

    pub fn words(&self, label: &Label) -> Done {
        let size = f64::from(label.size.pixels() * FINE) * POINTS;
        let style = if label.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = (FONT, size, style).into_font();
        let (font, place) = if label.upright {
            (font.transform(FontTransform::Rotate270), at(label.rect.left, label.rect.bottom))
        } else {
            (font, at(label.rect.left, label.rect.top))
        };
        self.area.draw_text(&label.text, &TextStyle::from(font).color(&INK), fine(place)).map_err(said)
    }
}

/// A box with round corners.
pub(super) fn rounded(r: Rect, radius: f64) -> Vec<Point> {
    let radius = radius.min((r.right - r.left) / 2.0).min((r.bottom - r.top) / 2.0);
    let corners = [
        (r.right - radius, r.top + radius, -90.0),
        (r.right - radius, r.bottom - radius, 0.0),
        (r.left + radius, r.bottom - radius, 90.0),
        (r.left + radius, r.top + radius, 180.0),
    ];
    let mut points = Vec::new();
    for (x, y, from) in corners {
        for step in 0..=4 {
            let angle = f64::to_radians(from + 22.5 * f64::from(step));
            points.push(at(x + radius * angle.cos(), y + radius * angle.sin()));
        }
    }
    points
}

/// A polyline whose corners are rounded.
pub(super) fn bent(points: &[Point], radius: f64) -> Vec<Point> {
    let mut out = Vec::new();
    for (n, &p) in points.iter().enumerate() {
        let (Some(before), Some(after)) = (n.checked_sub(1).map(|b| points[b]), points.get(n + 1)) else {
            out.push(p);
            continue;
        };
        let towards = |q: Point| {
            let length = (q.x - p.x).hypot(q.y - p.y);
            let by = radius.min(length / 2.0) / length.max(1e-9);
            at(p.x + (q.x - p.x) * by, p.y + (q.y - p.y) * by)
        };
        let (a, b) = (towards(before), towards(*after));
        for step in 0..=4 {
            let t = f64::from(step) / 4.0;
            let (u, v, w) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
            out.push(at(u * a.x + v * p.x + w * b.x, u * a.y + v * p.y + w * b.y));
        }
    }
    out
}
