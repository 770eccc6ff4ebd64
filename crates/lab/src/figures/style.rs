//! Sizes and colours of all pictures.

use plotters::style::RGBColor;

/// Colours that those who see fewer of them can tell apart (Okabe & Ito 2008).
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Text, axes.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
/// Marks behind the data.
pub(super) const FAINT: RGBColor = RGBColor(200, 200, 200);

/// Axes and their ticks.
pub(super) const AXIS: RGBColor = RGBColor(110, 110, 110);

/// Sizes of words in pixels.
pub(super) const TITLE: f64 = 18.0;
pub(super) const HEADING: f64 = 13.0;
pub(super) const SMALL: f64 = 11.0;
