//! What a figure is before it is drawn: panels of numbers, drawings and words, and what the caption says.
//!
//! The file of numbers behind a figure is made from the same panels, so it cannot say something else than the picture.
//!
//! **Deliberately absent:** pixels, files, and making numbers.

use super::circuit::Plan;
use nalgebra::DMatrix;

/// A figure: rows of panels.
#[derive(Clone, Debug)]
pub struct Figure {
    /// one line above the panels
    pub title: String,
    /// what is seen, panel by panel, with the number of samples and the meaning of error bars
    pub caption: String,
    /// who states what is illustrated, and what is our own: `Granier & Senn 2025 (arXiv 2504.06354), eq. 5; ...`
    pub source: String,
    /// circuit files that the numbers come from: `one_head_attention_mask.yaml`
    pub circuits: Vec<String>,
    pub width: Width,
    pub rows: Vec<Row>,
    /// how far a number may be from the committed one, relative to the largest number of its series
    pub tolerance: f64,
}

/// Width of a figure on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// one column, 85 mm
    Column,
    /// both columns, 180 mm
    Page,
}

impl Width {
    #[must_use]
    pub fn mm(self) -> f64 {
        match self {
            Self::Column => 85.0,
            Self::Page => 180.0,
        }
    }
}

/// Panels side by side.
#[derive(Clone, Debug)]
pub struct Row {
    pub height_mm: f64,
    pub panels: Vec<Panel>,
}

/// One panel; its letter comes from its place.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    /// share of the width of its row
    pub share: f64,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Axes(Axes),
    Map(Map),
    /// a drawing of a circuit, scaled to fit
    Circuit(Box<Plan>),
    /// lines of words, or of a file (`code`)
    Words {
        lines: Vec<String>,
        code: bool,
    },
}

/// Series over two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub guides: Vec<Guide>,
}

/// One axis. Where the range is not given it is that of the numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// `membrane potential`
    pub label: String,
    /// `mV`; empty for pure numbers
    pub unit: String,
    pub is_log: bool,
    pub range: Option<[f64; 2]>,
    /// words in place of numbers, at 0, 1, 2, ...
    pub names: Vec<String>,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// as in the legend; empty: not in the legend
    pub name: String,
    pub look: Look,
    /// place in the palette
    pub colour: usize,
    pub points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// ends of the error bar or of the band
    pub spread: Option<[f64; 2]>,
}

/// How a series is shown. Error bars are drawn wherever points have a spread; a [`Look::Line`] with spreads is a line in a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Line,
    Dashed,
    /// open circles of a readable size
    Marks,
    /// a line through its marks
    LineAndMarks,
    /// many small dots
    Dots,
    /// columns from 0 (or the lower end of a logarithmic axis); those of several series stand side by side
    Bars,
    /// a histogram: steps whose width is the distance of the points
    Steps,
}

/// A straight line across the panel with its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Guide {
    pub at: f64,
    pub is_vertical: bool,
    pub words: String,
}

/// A matrix in colours, row 0 on top.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub values: DMatrix<f64>,
    pub rows: Axis,
    pub columns: Axis,
    /// name and unit of the numbers
    pub scale: Axis,
}

impl Axis {
    #[must_use]
    pub fn new(label: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { label: label.into(), unit: unit.into(), ..Self::default() }
    }

    #[must_use]
    pub fn log(self) -> Self {
        Self { is_log: true, ..self }
    }

    #[must_use]
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some([low, high]), ..self }
    }

    #[must_use]
    pub fn names(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..self }
    }
}

impl Series {
    #[must_use]
    pub fn new(name: impl Into<String>, look: Look, colour: usize, points: Vec<Point>) -> Self {
        Self { name: name.into(), look, colour, points }
    }
}

impl Point {
    #[must_use]
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, spread: None }
    }

    /// With an error bar of `half` to both sides.
    #[must_use]
    pub fn with_error(x: f64, y: f64, half: f64) -> Self {
        Self { x, y, spread: Some([y - half, y + half]) }
    }
}
