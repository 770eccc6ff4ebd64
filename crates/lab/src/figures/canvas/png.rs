//! A picture as PNG: drawn several times as large, and averaged down.

use super::{Anchor, Mark, Picture, Place, Text};
use crate::figures::font::width;
use ab_glyph::{Font as _, ScaleFont as _};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Pixels that are averaged into one, along each side; fewer for very large pictures.
const MULTIPLE: u32 = 4;
/// Pixels that are drawn, at most.
const MOST: f64 = 60e6;

type Done = Result<(), String>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

fn said(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Picture {
    /// Width and height in pixels at `dpi` dots per inch.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn pixels(&self, dpi: u32) -> (u32, u32) {
        let of = |x: f64| (x / 96.0 * f64::from(dpi)).round().clamp(1.0, 30_000.0) as u32;
        (of(self.width), of(self.height))
    }

    /// As bytes of a PNG file that says how many dots per inch it has.
    ///
    /// # Errors
    /// More pixels than are drawn at once, or what the drawing library says.
    pub fn png(&self, dpi: u32) -> Result<Vec<u8>, String> {
        let (wide, high) = self.pixels(dpi);
        let all = f64::from(wide) * f64::from(high);
        let multiple = (1..=MULTIPLE).rev().find(|m| all * f64::from(m * m) <= MOST);
        let Some(multiple) = multiple else {
            return Err(format!("{wide} x {high} pixels are too many; choose fewer dots per inch"));
        };
        let (w, h) = (wide * multiple, high * multiple);
        let mut large = vec![255u8; 3 * w as usize * h as usize];
        {
            let area = BitMapBackend::with_buffer(&mut large, (w, h)).into_drawing_area();
            area.fill(&WHITE).map_err(said)?;
            let scale = Scale(f64::from(dpi) / 96.0 * f64::from(multiple));
            self.marks.iter().try_for_each(|m| scale.draw(&area, m))?;
            area.present().map_err(said)?;
        }
        encode(&averaged(&large, w as usize, multiple as usize), (wide, high), dpi)
    }
}

/// Squares of pixels, each as its mean.
fn averaged(large: &[u8], wide: usize, multiple: usize) -> Vec<u8> {
    let small = wide / multiple;
    let all = (multiple * multiple) as u32;
    let mut out = Vec::with_capacity(large.len() / (multiple * multiple));
    let mut sums = vec![0u32; 3 * small];
    for rows in large.chunks(3 * wide * multiple) {
        sums.fill(0);
        for row in rows.chunks(3 * wide) {
            for (x, pixel) in row.chunks(3).enumerate() {
                for (c, value) in pixel.iter().enumerate() {
                    sums[3 * (x / multiple) + c] += u32::from(*value);
                }
            }
        }
        out.extend(sums.iter().map(|s| ((s + all / 2) / all) as u8));
    }
    out
}

fn encode(pixels: &[u8], (wide, high): (u32, u32), dpi: u32) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, wide, high);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let per_metre = (f64::from(dpi) / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(said)?;
    writer.write_image_data(pixels).map_err(said)?;
    writer.finish().map_err(said)?;
    Ok(bytes)
}

/// Pixels of the drawing per pixel of the picture.
struct Scale(f64);

impl Scale {
    fn at(&self, (x, y): Place) -> (i32, i32) {
        #[allow(clippy::cast_possible_truncation)]
        let whole = |p: f64| (p * self.0).round().clamp(-1e6, 1e6) as i32;
        (whole(x), whole(y))
    }

    fn long(&self, x: f64) -> u32 {
        self.at((x, 0.0)).0.max(1).cast_unsigned()
    }

    fn draw(&self, area: &Area<'_>, mark: &Mark) -> Done {
        let all = |points: &[Place]| {
            let mut all: Vec<(i32, i32)> = points.iter().map(|p| self.at(*p)).collect();
            all.dedup();
            all
        };
        match mark {
            Mark::Line { points, ink, width } => {
                self.stroke(area, &all(points), ink.colour.mix(ink.opaque), *width)
            }
            Mark::Area { points, ink } => {
                area.draw(&Polygon::new(all(points), ink.colour.mix(ink.opaque).filled())).map_err(said)
            }
            Mark::Rect { sides: [left, top, right, bottom], ink } => {
                // The library fills the last row and column too.
                let (corner, (right, bottom)) = (self.at((*left, *top)), self.at((*right, *bottom)));
                let corners = [corner, (right - 1, bottom - 1)];
                area.draw(&Rectangle::new(corners, ink.colour.mix(ink.opaque).filled())).map_err(said)
            }
            Mark::Disc { at, radius, ink } => {
                let style = ink.colour.mix(ink.opaque).filled();
                area.draw(&Circle::new(self.at(*at), self.long(*radius), style)).map_err(said)
            }
            Mark::Ring { at, radius, ink, width } => {
                let turn = |k: i32| f64::from(k) / 48.0 * std::f64::consts::TAU;
                let around = |k: i32| (at.0 + radius * turn(k).sin(), at.1 - radius * turn(k).cos());
                let points: Vec<Place> = (0..50).map(around).collect();
                self.stroke(area, &all(&points), ink.colour.mix(ink.opaque), *width)
            }
            Mark::Text(text) => self.write(area, text),
        }
    }

    /// A line with its width; discs close the corners of opaque ones.
    fn stroke(&self, area: &Area<'_>, points: &[(i32, i32)], colour: RGBAColor, width: f64) -> Done {
        let style = colour.stroke_width(self.long(width));
        area.draw(&PathElement::new(points.to_vec(), style)).map_err(said)?;
        let radius = self.long(width / 2.0);
        if colour.3 < 1.0 || radius < 2 || points.len() < 3 {
            return Ok(());
        }
        let corners = &points[1..points.len() - 1];
        corners.iter().try_for_each(|at| area.draw(&Circle::new(*at, radius, colour.filled())).map_err(said))
    }

    /// Outlines of the letters, each at its exact place.
    fn write(&self, area: &Area<'_>, text: &Text) -> Done {
        let Some(font) = text.face.font() else { return Ok(()) };
        let em = text.size * self.0;
        let ratio = f64::from(font.height_unscaled()) / f64::from(font.units_per_em().unwrap_or(2048.0));
        #[allow(clippy::cast_possible_truncation)]
        let scaled = font.as_scaled((em * ratio) as f32);
        let wide = width(&text.words, em, text.face);
        let mut along = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -wide / 2.0,
            Anchor::End => -wide,
        };
        let (x, y) = (text.at.0 * self.0, text.at.1 * self.0);
        for c in text.words.chars() {
            let mut glyph = scaled.scaled_glyph(c);
            #[allow(clippy::cast_possible_truncation)]
            let start = if text.upright { (along as f32, 0.0) } else { ((x + along) as f32, y as f32) };
            glyph.position = ab_glyph::point(start.0, start.1);
            if let Some(outline) = font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                #[allow(clippy::cast_possible_truncation)]
                let (left, top) = (corner.x as i32, corner.y as i32);
                let mut done = Ok(());
                outline.draw(|px, py, cover| {
                    let (px, py) = (left + px.cast_signed(), top + py.cast_signed());
                    #[allow(clippy::cast_possible_truncation)]
                    let at =
                        if text.upright { (x.round() as i32 + py, y.round() as i32 - px) } else { (px, py) };
                    if done.is_ok() && cover > 0.0 {
                        let colour = text.colour.mix(f64::from(cover.min(1.0)));
                        done = area.draw_pixel(at, &colour).map_err(said);
                    }
                });
                done?;
            }
            along += width(c.encode_utf8(&mut [0; 4]), em, text.face);
        }
        Ok(())
    }
}
