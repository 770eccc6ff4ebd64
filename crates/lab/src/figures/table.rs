//! The numbers behind a figure: one row for each point, cell of a map, or guide.
//!
//! Columns: panel, series, x, y, value (of a map), low and high (ends of the error bar or band), then what x, y and the
//! value are, with units. Numbers have the fewest digits that read back as the same `f64`.
//!
//! **Deliberately absent:** drawings of circuits and words, which hold no numbers.

use super::sheet::{Axes, Axis, Content, Figure, Map};
use pulvinar::files::csv::quoted;

/// Names of the columns.
pub const HEADER: [&str; 10] =
    ["panel", "series", "x", "y", "value", "low", "high", "x_axis", "y_axis", "value_axis"];

/// The table as CSV text.
#[must_use]
pub fn csv(figure: &Figure) -> String {
    let mut text = HEADER.join(",") + "\n";
    let panels = figure.rows.iter().flat_map(|r| &r.panels);
    for (letter, panel) in (b'A'..=b'Z').map(char::from).zip(panels) {
        let mut row = |cells: [String; 9]| {
            text.push(letter);
            for cell in &cells {
                text.push(',');
                text.push_str(&quoted(cell));
            }
            text.push('\n');
        };
        match &panel.content {
            Content::Axes(axes) => series(axes, &mut row),
            Content::Map(map) => cells(map, &mut row),
            Content::Circuit(_) | Content::Words { .. } => {}
        }
    }
    text
}

fn series(axes: &Axes, row: &mut impl FnMut([String; 9])) {
    let (x_axis, y_axis) = (said(&axes.x), said(&axes.y));
    let none = String::new;
    for s in &axes.series {
        for p in &s.points {
            let [low, high] = p.spread.map_or_else(|| [none(), none()], |ends| ends.map(number));
            let (x, y) = (place(&axes.x, p.x), place(&axes.y, p.y));
            row([s.name.clone(), x, y, none(), low, high, x_axis.clone(), y_axis.clone(), none()]);
        }
    }
    for g in &axes.guides {
        let name = format!("guide: {}", g.words);
        let (x, y) = if g.is_vertical { (number(g.at), none()) } else { (none(), number(g.at)) };
        row([name, x, y, none(), none(), none(), x_axis.clone(), y_axis.clone(), none()]);
    }
}

fn cells(map: &Map, row: &mut impl FnMut([String; 9])) {
    let (rows, columns) = map.values.shape();
    let (x_axis, y_axis, value_axis) = (said(&map.columns), said(&map.rows), said(&map.scale));
    let at = |axis: &Axis, k: usize, n: usize| match axis.range {
        Some([low, high]) if n > 1 => {
            let t = pulvinar::linalg::count(k) / pulvinar::linalg::count(n - 1);
            number(low * (1.0 - t) + high * t)
        }
        _ => place(axis, pulvinar::linalg::count(k)),
    };
    for r in 0..rows {
        for c in 0..columns {
            let (x, y, value) =
                (at(&map.columns, c, columns), at(&map.rows, r, rows), number(map.values[(r, c)]));
            let none = String::new;
            row([none(), x, y, value, none(), none(), x_axis.clone(), y_axis.clone(), value_axis.clone()]);
        }
    }
}

/// `membrane potential (mV)`.
fn said(axis: &Axis) -> String {
    if axis.unit.is_empty() { axis.label.clone() } else { format!("{} ({})", axis.label, axis.unit) }
}

/// A number, or its name where the axis has names.
fn place(axis: &Axis, x: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let name = (x >= 0.0 && x.fract() == 0.0).then(|| axis.names.get(x as usize)).flatten();
    name.cloned().unwrap_or_else(|| number(x))
}

fn number(x: f64) -> String {
    if x.is_nan() { String::new() } else { format!("{:?}", x + 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::sheet::{Look, Panel, Point, Row, Series, Width};
    use nalgebra::DMatrix;
    use pulvinar::files::csv::split;

    #[test]
    fn points_guides_and_cells_are_rows() {
        let axes = Axes {
            x: Axis::new("rule", "").names(["linear", "softmax, divisive"]),
            y: Axis::new("distance", "mV"),
            series: vec![Series::new(
                "a \"b\"",
                Look::Marks,
                0,
                vec![Point::new(0.0, 0.1), Point::with_error(1.0, 2.0, 0.5)],
            )],
            guides: vec![super::super::sheet::Guide { at: 0.25, is_vertical: false, words: "chance".into() }],
        };
        let map = Map {
            values: DMatrix::from_row_slice(1, 2, &[1e-17, -3.0]),
            rows: Axis::new("row", ""),
            columns: Axis::new("time", "ms").range(5.0, 10.0),
            scale: Axis::new("weight", ""),
        };
        let panels = [Content::Axes(axes), Content::Map(map)].map(|content| Panel {
            title: String::new(),
            share: 1.0,
            content,
        });
        let figure = Figure {
            title: String::new(),
            caption: String::new(),
            source: String::new(),
            circuits: Vec::new(),
            width: Width::Column,
            rows: vec![Row { height_mm: 40.0, panels: panels.into() }],
            tolerance: 0.0,
        };
        let text = csv(&figure);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1..],
            [
                "A,\"a \"\"b\"\"\",linear,0.1,,,,rule,distance (mV),",
                "A,\"a \"\"b\"\"\",\"softmax, divisive\",2.0,,1.5,2.5,rule,distance (mV),",
                "A,guide: chance,,0.25,,,,rule,distance (mV),",
                "B,,5.0,0.0,1e-17,,,time (ms),row,weight",
                "B,,10.0,0.0,-3.0,,,time (ms),row,weight",
            ]
        );
        let cells: Vec<_> = lines.iter().map(|l| split(l).expect("quotes close")).collect();
        assert_eq!(cells[2][1..3], ["a \"b\"", "softmax, divisive"]);
        assert!(cells.iter().all(|c| c.len() == HEADER.len()));
    }
}
