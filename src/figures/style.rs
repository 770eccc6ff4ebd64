//! Sizes and colours of all pictures.

use plotters::style::RGBColor;

/// Colours that those who see fewer of them can tell apart (Okabe & Ito 2008).
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Text, axes.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
/// Marks behind the data.
pub(super) const FAINT: RGBColor = RGBColor(200, 200, 200);

/// Units of the drawing per pixel: the library rounds to whole units, and lines should not look like stairs.
pub(super) const FINE: u32 = 8;

pub(super) const FONT: &str = "sans-serif";
pub(super) const TITLE: u32 = 18 * FINE;
pub(super) const HEADING: u32 = 13 * FINE;
pub(super) const SMALL: u32 = 11 * FINE;

/// The finished picture: drawn `FINE` times as large, shown at its size.
pub(super) fn finished(svg: &str, width: u32, height: u32) -> String {
    let large = format!("width=\"{}\" height=\"{}\"", width * FINE, height * FINE);
    svg.replacen(&large, &format!("width=\"{width}\" height=\"{height}\""), 1)
}
