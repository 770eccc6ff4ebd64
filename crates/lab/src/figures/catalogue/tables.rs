//! What figures of memories start from: an experiment run on its circuit of the folder, and its tables as points.

use super::Making;
use crate::experiments::{Cell, Report, Setup, Table, find};
use crate::figures::sheet::Point;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::spec::{Document, read_bytes};

/// Error bars reach so many standard errors to both sides.
pub(super) const BARS: f64 = 3.0;

/// Colours of memories in all figures.
pub(super) const HEBBIAN: usize = 0;
pub(super) const DECAY: usize = 1;
pub(super) const DELTA: usize = 2;
pub(super) const CONVERGED: usize = 3;
pub(super) const SOFTMAX: usize = 4;

/// The colour of a memory by the name of its relay.
pub(super) fn colour(memory: &str) -> usize {
    match memory {
        "hebbian" | "linear" => HEBBIAN,
        "decay" | "square" => DECAY,
        "delta" | "cube" => DELTA,
        "softmax" => SOFTMAX,
        _ => CONVERGED + 2,
    }
}

/// An experiment on its circuit.
pub(super) struct Experimented<'a> {
    setup: Setup<'a>,
    /// `capacity.yaml`
    pub file: String,
    pub report: Report,
}

impl<'a> Experimented<'a> {
    /// Runs the experiment on its file of the folder; `trials` are those of the quick variant, `None` those of the file.
    pub fn run(
        making: &'a Making<'a>,
        name: &str,
        trials: Option<usize>,
        set: &[(&str, &str)],
    ) -> Result<Self, Diagnostics> {
        let experiment = find(name)
            .ok_or_else(|| Diagnostic::error(codes::U005, "", format!("no experiment `{name}`")))?;
        let file = format!("{}.yaml", experiment.circuit);
        let setup = Setup {
            experiment: experiment.name,
            text: read_bytes(&making.circuits.join(&file))?,
            folder: making.circuits.to_owned(),
            set: set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            seed: None,
            trials: trials.filter(|_| !making.full),
            progress: making.progress,
        };
        let report = experiment.run(&setup)?;
        Ok(Self { setup, file, report })
    }

    /// The circuit with more parameters set.
    pub fn document(&self, set: &[(&str, String)]) -> Result<Document, Diagnostics> {
        self.setup.document(set)
    }

    /// All rows of a table.
    pub fn rows(&self, table: &str) -> Result<Rows<'_>, Diagnostics> {
        let found = self.report.tables.iter().find(|t| t.name == table).ok_or_else(|| {
            let what = format!("`{}` gives no table `{table}` to draw", self.file);
            Diagnostic::error(codes::U006, "", what)
                .help("the figure needs the relays and the `protocol` of the shipped file")
        })?;
        Ok(Rows { table: found, rows: (0..found.rows.len()).collect() })
    }
}

/// Some rows of a table.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    table: &'a Table,
    rows: Vec<usize>,
}

impl<'a> Rows<'a> {
    fn cells(&self, column: &str) -> impl Iterator<Item = &'a Cell> + use<'a, '_> {
        let at = self.table.columns.iter().position(|(name, _)| *name == column);
        self.rows.iter().map(move |row| at.map_or(&Cell::None, |at| &self.table.rows[*row][at]))
    }

    /// Those whose column reads `value`.
    pub fn with(&self, column: &str, value: &str) -> Self {
        let kept = self.rows.iter().zip(self.cells(column)).filter(|(_, cell)| word(cell) == value);
        Self { table: self.table, rows: kept.map(|(row, _)| *row).collect() }
    }

    /// What a column holds, each once, in order.
    pub fn words(&self, column: &str) -> Vec<String> {
        let mut all = Vec::new();
        for cell in self.cells(column) {
            let word = word(cell);
            if !all.contains(&word) {
                all.push(word);
            }
        }
        all
    }

    /// Numbers of a column; NaN where there is none.
    pub fn numbers(&self, column: &str) -> Vec<f64> {
        self.cells(column).map(number).collect()
    }

    /// Points of two columns, with bars of [`BARS`] standard errors where a third column holds them.
    pub fn points(&self, x: &str, y: &str, se: Option<&str>) -> Vec<Point> {
        let (x, y) = (self.numbers(x), self.numbers(y));
        match se.map(|se| self.numbers(se)) {
            None => x.into_iter().zip(y).map(|(x, y)| Point::new(x, y)).collect(),
            Some(se) => x
                .into_iter()
                .zip(y)
                .zip(se)
                .map(|((x, y), se)| Point::with_error(x, y, if se.is_finite() { BARS * se } else { 0.0 }))
                .collect(),
        }
    }
}

fn word(cell: &Cell) -> String {
    match cell {
        Cell::Text(t) => t.clone(),
        Cell::Count(n) => n.to_string(),
        Cell::Number(x) => x.to_string(),
        Cell::None => String::new(),
    }
}

fn number(cell: &Cell) -> f64 {
    match cell {
        #[allow(clippy::cast_precision_loss)]
        Cell::Count(n) => *n as f64,
        Cell::Number(x) => *x,
        Cell::Text(t) => t.parse().unwrap_or(f64::NAN),
        Cell::None => f64::NAN,
    }
}

/// Points whose x is divided by a number.
pub(super) fn over(points: Vec<Point>, unit: f64) -> Vec<Point> {
    points.into_iter().map(|p| Point { x: p.x / unit, ..p }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::Digits;

    #[test]
    fn rows_are_found_by_what_they_read() {
        let mut table =
            Table::new("t", "", &[("d", Digits::Short), ("m", Digits::Short), ("se", Digits::Short)]);
        for (d, m, se) in [(16, "a", 0.5), (64, "a", 0.25), (16, "b", 1.0)] {
            table.rows.push(vec![Cell::Count(d), Cell::Text(m.into()), Cell::Number(se)]);
        }
        let all = Rows { table: &table, rows: vec![0, 1, 2] };
        assert_eq!(all.words("m"), ["a", "b"]);
        assert_eq!(all.with("m", "a").with("d", "64").numbers("se"), [0.25]);
        assert!(all.with("d", "32").numbers("se").is_empty());
        assert!(all.numbers("none").iter().all(|x| x.is_nan()));
        let points = all.with("m", "a").points("d", "se", Some("se"));
        assert_eq!(points[1], Point { x: 64.0, y: 0.25, spread: Some([-0.5, 1.0]) });
        assert_eq!(over(points, 2.0)[0].x, 8.0);
    }
}
