//! A matrix in colours, with the scale of its colours.

use super::{LINE, SIZE, Sides, ticks};
use crate::figures::axis::{Frame, Scale};
use crate::figures::canvas::{Canvas, Style};
use crate::figures::sheet::{Axis, Map};
use crate::figures::style::{AXIS, COLOURS, FAINT};
use plotters::style::{RGBColor, WHITE};

/// The bar of colours: its width, and from the map to it.
const BAR: f64 = 7.0;
const APART: f64 = 6.0;
/// Far ends of colours: of numbers of one sign.
const DARK: RGBColor = RGBColor(0, 45, 90);

/// Numbers to colours.
struct Colours {
    scale: Scale,
    both_signs: bool,
}

impl Colours {
    fn of(map: &Map) -> Self {
        let is_log = map.scale.is_log;
        let shown = |x: &f64| x.is_finite() && (!is_log || *x > 0.0);
        let all = map.values.iter().copied().filter(shown);
        let (mut low, mut high) =
            all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        if let Some([a, b]) = map.scale.range.filter(|[a, b]| a < b && shown(a) && shown(b)) {
            (low, high) = (a, b);
        }
        if low > high {
            (low, high) = (if is_log { 0.1 } else { 0.0 }, 1.0);
        }
        if is_log {
            let high = if high > low { high } else { 10.0 * low };
            return Self { scale: Scale { low, high, is_log }, both_signs: false };
        }
        let both_signs = low < 0.0 && high > 0.0;
        if both_signs {
            let most = high.max(-low);
            (low, high) = (-most, most);
        } else if high <= 0.0 && low < 0.0 {
            high = 0.0;
        } else if map.scale.range.is_none() {
            low = 0.0;
        }
        let high = if high > low { high } else { low + 1.0 };
        Self { scale: Scale::linear(low, high), both_signs }
    }

    fn at(&self, x: f64) -> RGBColor {
        if !x.is_finite() {
            return FAINT;
        }
        if self.scale.is_log && x <= 0.0 {
            return WHITE;
        }
        let t = self.scale.at(x).clamp(0.0, 1.0);
        if self.both_signs {
            let (end, part) = if t < 0.5 { (COLOURS[0], 1.0 - 2.0 * t) } else { (COLOURS[1], 2.0 * t - 1.0) };
            return between(WHITE, end, part);
        }
        // Of negative numbers only, the darkest is the lowest.
        let t = if self.scale.high <= 0.0 { 1.0 - t } else { t };
        if t < 0.6 { between(WHITE, COLOURS[0], t / 0.6) } else { between(COLOURS[0], DARK, (t - 0.6) / 0.4) }
    }
}

fn between(a: RGBColor, b: RGBColor, t: f64) -> RGBColor {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * t).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Rows or columns as an axis: names, numbers of the axis's own, or indices.
fn steps(axis: &Axis, n: usize) -> Scale {
    let n = pulvinar::linalg::count(n.max(1));
    match axis.range.filter(|[a, b]| a < b) {
        Some([low, high]) if n > 1.0 => {
            let half = (high - low) / (n - 1.0) / 2.0;
            Scale::linear(low - half, high + half)
        }
        _ => Scale::linear(-0.5, n - 0.5),
    }
}

pub(super) fn draw(canvas: &Canvas<'_>, map: &Map, [left, top, right, bottom]: Sides) {
    let (rows, columns) = map.values.shape();
    let colours = Colours::of(map);
    let (x, down) = (steps(&map.columns, columns), steps(&map.rows, rows));
    let lines = |n: &[String]| LINE * SIZE * pulvinar::linalg::count(n.len());
    let mut sides = [left, top + 4.0, right, bottom];
    let mut all = None;
    for _ in 0..3 {
        let [l, t, r, b] = sides;
        let names = [ticks::name_lines(&map.columns, r - l), ticks::name_lines(&map.rows, b - t)];
        let scale_name = ticks::name_lines(&map.scale, b - t);
        let mut below = ticks::below(&map.columns, &x, r - l, bottom - top);
        let mut beside = ticks::beside(&map.rows, &down, b - t, right - left);
        let of_bar = ticks::beside(&Axis::default(), &colours.scale, b - t, right - left);
        if map.columns.range.is_none() {
            below.ticks.retain(|(at, _)| at.fract() == 0.0);
        }
        if map.rows.range.is_none() {
            beside.ticks.retain(|(at, _)| at.fract() == 0.0);
        }
        sides = [
            (left + beside.room + 2.0 + lines(&names[1])).min(right - 2.0),
            top + 4.0,
            right - APART - BAR - of_bar.room - lines(&scale_name) - 2.0,
            (bottom - below.room - 2.0 - lines(&names[0])).max(top + 5.0),
        ];
        sides[2] = sides[2].max(sides[0] + 1.0);
        sides = squared(sides, rows, columns);
        all = Some((below, beside, of_bar, names, scale_name));
    }
    let Some((below, beside, of_bar, names, scale_name)) = all else { return };
    cells(canvas, map, &colours, sides);
    let frame = Frame { inside: sides, x, y: Scale { low: down.high, high: down.low, is_log: false } };
    ticks::draw(canvas, &frame, &below, &beside, [&names[0], &names[1]]);
    bar(canvas, &colours, sides, &of_bar, &scale_name);
}

/// Square cells where that leaves most of the room in use.
fn squared([left, top, right, bottom]: Sides, rows: usize, columns: usize) -> Sides {
    let (rows, columns) = (pulvinar::linalg::count(rows.max(1)), pulvinar::linalg::count(columns.max(1)));
    let (wide, high) = ((right - left) / columns, (bottom - top) / rows);
    let side = wide.min(high);
    if side < 0.4 * wide.max(high) {
        return [left, top, right, bottom];
    }
    [left, top, left + side * columns, top + side * rows]
}

/// Rows of cells; neighbours of one colour are one box, and each goes on under the next, so that no seams show.
fn cells(canvas: &Canvas<'_>, map: &Map, colours: &Colours, [left, top, right, bottom]: Sides) {
    let (rows, columns) = map.values.shape();
    let x = |k: usize| {
        left + (right - left) * pulvinar::linalg::count(k) / pulvinar::linalg::count(columns.max(1))
    };
    let y =
        |k: usize| top + (bottom - top) * pulvinar::linalg::count(k) / pulvinar::linalg::count(rows.max(1));
    for row in 0..rows {
        let mut first = 0;
        for column in 1..=columns {
            let own = colours.at(map.values[(row, first)]);
            if column < columns && colours.at(map.values[(row, column)]) == own {
                continue;
            }
            let (under_right, under) = ((x(column) + 0.4).min(right), (y(row + 1) + 0.4).min(bottom));
            canvas.rect([x(first), y(row), under_right, under], own);
            first = column;
        }
    }
}

/// The bar of colours, as high as the map.
fn bar(
    canvas: &Canvas<'_>,
    colours: &Colours,
    [_, top, right, bottom]: Sides,
    ticks: &ticks::Words,
    name: &[String],
) {
    let (left, right) = (right + APART, right + APART + BAR);
    let steps = 48;
    let at = |k: i32| bottom - (bottom - top) * f64::from(k) / f64::from(steps);
    for k in 0..steps {
        let t = (f64::from(k) + 0.5) / f64::from(steps);
        let s = &colours.scale;
        let value = if s.is_log { s.low * (s.high / s.low).powf(t) } else { s.low * (1.0 - t) + s.high * t };
        canvas.rect([left, (at(k + 1) - 0.4).max(top), right, at(k)], colours.at(value));
    }
    let outline = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(&outline, AXIS, 0.6);
    for (value, words) in &ticks.ticks {
        let y = bottom - colours.scale.at(*value) * (bottom - top);
        canvas.line(&[(right, y), (right + 2.5, y)], AXIS, 0.7);
        canvas.label(words, (right + 4.5, y), Style::new(SIZE));
    }
    for (k, line) in name.iter().enumerate() {
        let x = right + ticks.room + 0.7 * SIZE + LINE * SIZE * pulvinar::linalg::count(k);
        canvas.label(line, (x, f64::midpoint(top, bottom)), Style::new(SIZE).middle().upright());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    fn map(values: &[f64]) -> Map {
        let values = DMatrix::from_row_slice(1, values.len(), values);
        Map { values, rows: Axis::default(), columns: Axis::default(), scale: Axis::default() }
    }

    #[test]
    fn zero_is_white_between_two_signs_and_for_one() {
        let both = Colours::of(&map(&[-1.0, 3.0]));
        assert_eq!((both.at(0.0), both.at(3.0), both.at(-3.0)), (WHITE, COLOURS[1], COLOURS[0]));
        assert_ne!(both.at(-1.0), COLOURS[0], "both signs have the same scale");
        let one = Colours::of(&map(&[0.5, 2.0]));
        assert_eq!((one.at(0.0), one.at(2.0)), (WHITE, DARK));
        let below = Colours::of(&map(&[-0.5, -2.0]));
        assert_eq!((below.at(0.0), below.at(-2.0)), (WHITE, DARK));
        assert_eq!(one.at(f64::NAN), FAINT);
    }

    #[test]
    fn cells_are_square_where_there_is_room() {
        assert_eq!(squared([0.0, 0.0, 100.0, 60.0], 4, 4), [0.0, 0.0, 60.0, 60.0]);
        assert_eq!(squared([0.0, 0.0, 100.0, 60.0], 2, 50), [0.0, 0.0, 100.0, 60.0]);
    }
}
