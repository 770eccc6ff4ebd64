//! Lines, shapes and words of a picture, in pixels (1/96 inch), as a list of marks.
//!
//! A picture is drawn once into a list; [`svg`] and [`png`] give the same list to the two backends of the drawing
//! library, and tests ask it where words stand.

pub mod png;
pub mod svg;

use super::font::{Face, width};
use super::style::INK;
use plotters::style::{RGBColor, WHITE};
use std::cell::RefCell;

/// A place: to the right, down.
pub type Place = (f64, f64);

/// From the baseline of a font to the middle of its capitals and digits, in em.
const MIDDLE: f64 = 0.365;
/// Above the baseline and below it, in em.
const ABOVE: f64 = 0.76;
const BELOW: f64 = 0.24;

/// A colour and how opaque it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ink {
    pub colour: RGBColor,
    pub opaque: f64,
}

impl From<RGBColor> for Ink {
    fn from(colour: RGBColor) -> Self {
        Self { colour, opaque: 1.0 }
    }
}

pub fn ink(colour: RGBColor, opaque: f64) -> Ink {
    Ink { colour, opaque }
}

/// One stroke or shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    Line {
        points: Vec<Place>,
        ink: Ink,
        width: f64,
    },
    Area {
        points: Vec<Place>,
        ink: Ink,
    },
    /// left, top, right, bottom
    Rect {
        sides: [f64; 4],
        ink: Ink,
    },
    Disc {
        at: Place,
        radius: f64,
        ink: Ink,
    },
    Ring {
        at: Place,
        radius: f64,
        ink: Ink,
        width: f64,
    },
    Text(Text),
}

/// What of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// Words on one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub words: String,
    /// on the baseline
    pub at: Place,
    pub anchor: Anchor,
    /// em
    pub size: f64,
    pub face: Face,
    /// reads from bottom to top
    pub upright: bool,
    pub colour: RGBColor,
}

impl Text {
    /// Left, top, right and bottom of what the words cover.
    #[must_use]
    pub fn rect(&self) -> [f64; 4] {
        let wide = width(&self.words, self.size, self.face);
        let before = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => wide / 2.0,
            Anchor::End => wide,
        };
        let (x, y) = self.at;
        let (up, down) = (ABOVE * self.size, BELOW * self.size);
        if self.upright {
            [x - up, y + before - wide, x + down, y + before]
        } else {
            [x - before, y - up, x - before + wide, y + down]
        }
    }
}

/// Where a picture is drawn: a list of marks, and a place and scale in it.
#[derive(Clone, Copy)]
pub struct Canvas<'a> {
    marks: &'a RefCell<Vec<Mark>>,
    origin: Place,
    scale: f64,
}

/// A finished picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub width: f64,
    pub height: f64,
    pub marks: Vec<Mark>,
    /// for those who do not see it
    pub title: String,
    pub about: String,
}

impl Picture {
    /// A picture of this size, white behind what `draw` draws.
    pub fn draw(width: f64, height: f64, title: &str, draw: impl FnOnce(&Canvas<'_>)) -> Self {
        let marks = RefCell::new(Vec::new());
        draw(&Canvas { marks: &marks, origin: (0.0, 0.0), scale: 1.0 });
        Self { width, height, marks: marks.into_inner(), title: title.to_owned(), about: String::new() }
    }

    /// All words of the picture.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        self.marks.iter().filter_map(|m| match m {
            Mark::Text(t) => Some(t),
            _ => None,
        })
    }

    /// Faces that the words need.
    #[must_use]
    pub fn faces(&self) -> Vec<Face> {
        Face::ALL.into_iter().filter(|f| self.texts().any(|t| t.face == *f)).collect()
    }
}

/// How words stand at their place.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub size: f64,
    pub face: Face,
    pub anchor: Anchor,
    pub upright: bool,
    pub colour: RGBColor,
}

impl Style {
    #[must_use]
    pub fn new(size: f64) -> Self {
        Self { size, face: Face::Sans, anchor: Anchor::Start, upright: false, colour: INK }
    }

    #[must_use]
    pub fn bold(self) -> Self {
        Self { face: Face::Bold, ..self }
    }

    #[must_use]
    pub fn mono(self) -> Self {
        Self { face: Face::Mono, ..self }
    }

    #[must_use]
    pub fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    #[must_use]
    pub fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    #[must_use]
    pub fn upright(self) -> Self {
        Self { upright: true, ..self }
    }

    #[must_use]
    pub fn colour(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }
}

impl Canvas<'_> {
    /// A part of the picture with its own origin, `scale` times as large.
    #[must_use]
    pub fn part(&self, at: Place, scale: f64) -> Self {
        Self { origin: self.place(at), scale: self.scale * scale, ..*self }
    }

    fn place(&self, (x, y): Place) -> Place {
        (self.origin.0 + self.scale * x, self.origin.1 + self.scale * y)
    }

    fn places<P: Into<Place> + Copy>(&self, points: &[P]) -> Vec<Place> {
        points.iter().map(|p| self.place((*p).into())).collect()
    }

    fn push(&self, mark: Mark) {
        self.marks.borrow_mut().push(mark);
    }

    pub fn line<P: Into<Place> + Copy>(&self, points: &[P], ink: impl Into<Ink>, width: f64) {
        let (points, width) = (self.places(points), width * self.scale);
        self.push(Mark::Line { points, ink: ink.into(), width });
    }

    /// Dashes of `on` pixels, `off` apart, from the first point on.
    pub fn dashes<P: Into<Place> + Copy>(
        &self,
        points: &[P],
        ink: impl Into<Ink>,
        width: f64,
        [on, off]: [f64; 2],
    ) {
        let ink = ink.into();
        let points: Vec<Place> = points.iter().map(|p| (*p).into()).collect();
        for dash in dashed(&points, on, off) {
            self.line(&dash, ink, width);
        }
    }

    pub fn area<P: Into<Place> + Copy>(&self, points: &[P], ink: impl Into<Ink>) {
        self.push(Mark::Area { points: self.places(points), ink: ink.into() });
    }

    /// A shape with its outline.
    pub fn shape<P: Into<Place> + Copy>(
        &self,
        points: &[P],
        inside: RGBColor,
        outline: RGBColor,
        width: f64,
    ) {
        self.area(points, inside);
        let mut around = points.to_vec();
        around.extend(points.iter().take(2));
        self.line(&around, outline, width);
    }

    /// Left, top, right, bottom.
    pub fn rect(&self, sides: impl Into<[f64; 4]>, ink: impl Into<Ink>) {
        let [left, top, right, bottom] = sides.into();
        let ((left, top), (right, bottom)) = (self.place((left, top)), self.place((right, bottom)));
        self.push(Mark::Rect { sides: [left, top, right, bottom], ink: ink.into() });
    }

    pub fn disc(&self, at: impl Into<Place>, radius: f64, ink: impl Into<Ink>) {
        self.push(Mark::Disc { at: self.place(at.into()), radius: radius * self.scale, ink: ink.into() });
    }

    pub fn ring(&self, at: impl Into<Place>, radius: f64, ink: impl Into<Ink>, width: f64) {
        let (radius, width) = (radius * self.scale, width * self.scale);
        self.push(Mark::Ring { at: self.place(at.into()), radius, ink: ink.into(), width });
    }

    /// A ring, white inside.
    pub fn hollow(&self, at: impl Into<Place>, radius: f64, ink: impl Into<Ink>, width: f64) {
        let at = at.into();
        self.disc(at, radius, WHITE);
        self.ring(at, radius, ink, width);
    }

    /// Words on a baseline.
    pub fn text(&self, words: &str, at: Place, style: Style) {
        if words.is_empty() {
            return;
        }
        let Style { size, face, anchor, upright, colour } = style;
        let (words, at, size) = (words.to_owned(), self.place(at), size * self.scale);
        self.push(Mark::Text(Text { words, at, anchor, size, face, upright, colour }));
    }

    /// Words that hang under a place.
    pub fn below(&self, words: &str, (x, y): Place, style: Style) {
        self.text(words, (x, y + ABOVE * style.size), style);
    }

    /// Words whose capitals have their middle at the place.
    pub fn label(&self, words: &str, (x, y): Place, style: Style) {
        let by = MIDDLE * style.size;
        self.text(words, if style.upright { (x + by, y) } else { (x, y + by) }, style);
    }
}

/// The dashes of a line.
fn dashed(points: &[Place], on: f64, off: f64) -> Vec<Vec<Place>> {
    let mut all = Vec::new();
    let mut phase = 0.0f64;
    let mut dash: Vec<Place> = Vec::new();
    for pair in points.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        let on_line = |t: f64| (a.0 + (b.0 - a.0) * t / length, a.1 + (b.1 - a.1) * t / length);
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
                all.push(std::mem::take(&mut dash));
            }
            if phase >= on + off - 1e-9 {
                phase = 0.0;
            }
        }
    }
    if dash.len() > 1 {
        all.push(dash);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_around_corners() {
        let all = dashed(&[(0.0, 0.0), (6.0, 0.0), (6.0, 6.0)], 4.0, 3.0);
        assert_eq!(all, [vec![(0.0, 0.0), (4.0, 0.0)], vec![(6.0, 1.0), (6.0, 5.0)]]);
        let round = dashed(&[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)], 4.0, 3.0);
        assert_eq!(round, [vec![(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)]]);
    }

    #[test]
    fn parts_are_moved_and_scaled() {
        let picture = Picture::draw(100.0, 100.0, "", |c| {
            c.part((10.0, 20.0), 0.5).text("n", (4.0, 4.0), Style::new(20.0));
        });
        let text = picture.texts().next().expect("one");
        assert_eq!((text.at, text.size), ((12.0, 22.0), 10.0));
        let [left, top, right, bottom] = text.rect();
        assert!((right - left - 10.0 * 1298.0 / 2048.0).abs() < 1e-9 && top < 22.0 && bottom > 22.0);
        let up = Text { upright: true, ..text.clone() };
        let [left, top, right, bottom] = up.rect();
        assert!(bottom == 22.0 && top < 16.0 && left < 12.0 && right > 12.0);
    }
}
