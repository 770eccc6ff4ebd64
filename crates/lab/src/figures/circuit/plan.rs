//! A finished layout: everything that is drawn, with its place in pixels.

use super::model::{Ending, Node, Shape};
use pulvinar::circuit::Compartment;

/// A place, in pixels from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

impl From<Point> for (f64, f64) {
    fn from(p: Point) -> Self {
        (p.x, p.y)
    }
}

impl From<Rect> for [f64; 4] {
    fn from(r: Rect) -> Self {
        [r.left, r.top, r.right, r.bottom]
    }
}

pub(super) const fn at(x: f64, y: f64) -> Point {
    Point { x, y }
}

/// A box with sides along the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub(super) const fn new(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self { left, top, right, bottom }
    }

    /// They share more than an edge.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// The point is inside or on the edge.
    #[must_use]
    pub fn holds(&self, p: Point) -> bool {
        (self.left..=self.right).contains(&p.x) && (self.top..=self.bottom).contains(&p.y)
    }

    pub(super) fn centre(&self) -> Point {
        at(f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }
}

/// Size of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Title,
    Heading,
    Small,
}

impl Size {
    /// In pixels.
    pub(super) fn pixels(self) -> f64 {
        match self {
            Self::Title => crate::figures::style::TITLE,
            Self::Heading => crate::figures::style::HEADING,
            Self::Small => crate::figures::style::SMALL,
        }
    }
}

/// What a text is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Picture,
    /// number of the node
    Node(usize),
    /// number of the link
    Link(usize),
}

/// A text and the room it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub text: String,
    pub rect: Rect,
    pub size: Size,
    pub bold: bool,
    /// read from bottom to top
    pub upright: bool,
    pub about: About,
}

/// Where a node is, and where its compartments are.
#[derive(Clone, Debug)]
pub struct Placed {
    pub node: Node,
    /// the axon leaves at this x
    pub centre: f64,
    /// body and, behind it, its copies
    pub body: Rect,
    /// dendrites: the compartment, and rectangles that it fills
    pub dendrites: Vec<(Compartment, Rect)>,
}

impl Placed {
    /// The point is on the compartment. Without one of its own the body takes its place.
    #[must_use]
    pub fn receives(&self, compartment: Compartment, p: Point) -> bool {
        let mut own = self.dendrites.iter().filter(|(c, _)| *c == compartment).peekable();
        if own.peek().is_none() {
            return matches!(self.node.shape, Shape::Relay(_) | Shape::Areas) && self.body.holds(p);
        }
        own.any(|(_, r)| r.holds(p))
    }
}

/// One polyline of an axon, without its endings.
#[derive(Clone, Debug, PartialEq)]
pub struct Wire {
    /// axons by number; one axon may have several wires
    pub axon: usize,
    pub points: Vec<Point>,
}

/// The axon of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Axon {
    /// none: a square of `tonic`
    pub from: Option<usize>,
    pub learning: bool,
}

/// The end of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    pub link: usize,
    /// node number
    pub to: usize,
    pub compartment: Compartment,
    pub ending: Ending,
    pub axon: usize,
    pub tip: Point,
    /// unit vector that the axon arrives along
    pub towards: (f64, f64),
}

/// An area box, and the bands in it.
#[derive(Clone, Debug, PartialEq)]
pub struct AreaBox {
    pub rect: Rect,
    /// how many areas it stands for
    pub count: usize,
}

/// A band of a layer, or of a thalamic pathway.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// number in the list of bands
    pub band: usize,
    pub rect: Rect,
}

/// The whole picture.
#[derive(Clone, Debug)]
pub struct Plan {
    pub width: f64,
    pub height: f64,
    pub areas: Vec<AreaBox>,
    /// bands of each area, then those of the thalamus
    pub bands: Vec<Band>,
    pub thalamus: Rect,
    pub nodes: Vec<Placed>,
    pub axons: Vec<Axon>,
    pub wires: Vec<Wire>,
    /// where an axon branches
    pub branches: Vec<(usize, Point)>,
    pub ends: Vec<End>,
    /// squares that stand for `tonic`
    pub tonic: Vec<Rect>,
    pub labels: Vec<Label>,
    /// what the legend explains, and the place of its sample
    pub legend: Vec<(super::legend::Entry, Rect)>,
}
