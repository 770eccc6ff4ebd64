//! Tables of measured numbers, and the verdict on their laws.

use pulvinar::files::csv::quoted;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// One entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Count(usize),
    Number(f64),
    /// nothing is known here
    None,
}

/// How many digits a column shows; files and JSON always hold all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// four decimals
    Short,
    /// eleven significant digits
    Long,
    /// four decimals; what may be rounding of another number as a bound
    Rounding,
}

/// Below this, digits depend on the processor.
const ROUNDING: f64 = 1e-12;

/// A table, one row per line.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// name of its file, without ending
    pub name: &'static str,
    pub title: String,
    pub columns: Vec<(&'static str, Digits)>,
    pub rows: Vec<Vec<Cell>>,
    /// only written to files
    pub hidden: bool,
}

/// How far a number may be from its law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// a mean over trials: judged in standard errors, beyond a part of the law that it may be off by itself
    Statistical { se: f64, slack: f64 },
    /// the same whatever is drawn
    Exact { tolerance: f64 },
}

/// A measured number and its law.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// where it stands
    pub what: String,
    pub measured: f64,
    pub law: f64,
    pub allowed: Allowed,
}

/// What an experiment found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub seed: u64,
    pub circuit: String,
    pub tables: Vec<Table>,
    pub judged: Vec<Judged>,
    /// sentences below the tables
    pub notes: Vec<String>,
}

/// The laws, judged: none may be left by more than 4 standard errors (or its exact tolerance), and at most 1% of the
/// statistical ones by more than 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub ok: bool,
    pub statistical: usize,
    pub exact: usize,
    /// largest deviation, in standard errors
    pub largest: f64,
    pub beyond_3: usize,
    /// those that are left
    pub left: Vec<String>,
}

impl Judged {
    /// Distance from the law in standard errors; infinite (or 0) for an exact one that is left (or kept).
    #[must_use]
    pub fn deviation(&self) -> f64 {
        let distance = (self.measured - self.law).abs();
        let judged = |excess: f64, unit: f64| {
            if excess <= 0.0 {
                0.0
            } else if unit > 0.0 {
                excess / unit
            } else {
                f64::INFINITY
            }
        };
        match self.allowed {
            _ if distance.is_nan() => f64::INFINITY,
            Allowed::Statistical { se, slack } => judged(distance - slack * self.law.abs(), se),
            Allowed::Exact { tolerance } => judged(distance - tolerance, 0.0),
        }
    }
}

impl Table {
    #[must_use]
    pub fn new(name: &'static str, title: impl Into<String>, columns: &[(&'static str, Digits)]) -> Self {
        Self { name, title: title.into(), columns: columns.to_vec(), rows: Vec::new(), hidden: false }
    }

    /// Comma-separated, with a header; numbers in the fewest digits that read back the same.
    #[must_use]
    pub fn csv(&self) -> String {
        let header: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let mut text = header.join(",") + "\n";
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .map(|cell| match cell {
                    Cell::Text(t) => quoted(t).into_owned(),
                    Cell::Count(n) => n.to_string(),
                    Cell::Number(x) => format!("{x:?}"),
                    Cell::None => String::new(),
                })
                .collect();
            let _ = writeln!(text, "{}", cells.join(","));
        }
        text
    }

    fn text(&self) -> String {
        let shown: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                row.iter().zip(&self.columns).map(|(cell, (_, digits))| shown(cell, *digits)).collect()
            })
            .collect();
        let left: Vec<bool> = (0..self.columns.len())
            .map(|c| self.rows.iter().any(|r| matches!(r[c], Cell::Text(_))))
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|c| {
                shown
                    .iter()
                    .map(|r| r[c].chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(self.columns[c].0.chars().count())
            })
            .collect();
        let line = |cells: Vec<&str>| {
            let mut line = String::from(" ");
            for (c, cell) in cells.iter().enumerate() {
                let width = widths[c];
                let _ =
                    if left[c] { write!(line, " {cell:<width$}") } else { write!(line, " {cell:>width$}") };
            }
            line.trim_end().to_owned() + "\n"
        };
        let mut text = format!("{}\n", self.title);
        text += &line(self.columns.iter().map(|(name, _)| *name).collect());
        for row in &shown {
            text += &line(row.iter().map(String::as_str).collect());
        }
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut object = Map::new();
                for (cell, (name, _)) in row.iter().zip(&self.columns) {
                    let value = match cell {
                        Cell::Text(t) => json!(t),
                        Cell::Count(n) => json!(n),
                        Cell::Number(x) if x.is_finite() => json!(x),
                        Cell::Number(_) | Cell::None => Value::Null,
                    };
                    object.insert((*name).to_owned(), value);
                }
                Value::Object(object)
            })
            .collect();
        json!({"name": self.name, "title": self.title, "rows": rows})
    }
}

fn shown(cell: &Cell, digits: Digits) -> String {
    match cell {
        Cell::Text(t) => t.clone(),
        Cell::Count(n) => n.to_string(),
        Cell::None => "-".to_owned(),
        Cell::Number(x) => number(*x, digits),
    }
}

/// A number as tables show it.
fn number(x: f64, digits: Digits) -> String {
    let size = x.abs();
    match digits {
        Digits::Rounding if size < ROUNDING => format!("<{ROUNDING:e}"),
        _ if x == 0.0 => "0".to_owned(),
        // One rounding of a number near 1.
        Digits::Long if size < 1e-15 => "0".to_owned(),
        Digits::Short | Digits::Rounding if (1e-3..1e5).contains(&size) => format!("{x:.4}"),
        Digits::Short | Digits::Rounding => format!("{x:.2e}"),
        Digits::Long if (1e-3..1e5).contains(&size) => format!("{x:.10}"),
        Digits::Long => format!("{x:.10e}"),
    }
}

impl Report {
    /// Puts a number beside its law and returns the cells `measured`, `se`, `law` and `off` (in standard errors).
    pub fn judge(&mut self, what: String, measured: f64, se: f64, slack: f64, law: Option<f64>) -> [Cell; 4] {
        let Some(law) = law else {
            return [Cell::Number(measured), Cell::Number(se), Cell::None, Cell::None];
        };
        let judged = Judged { what, measured, law, allowed: Allowed::Statistical { se, slack } };
        let off = judged.deviation();
        self.judged.push(judged);
        [Cell::Number(measured), Cell::Number(se), Cell::Number(law), Cell::Number(off)]
    }

    /// The same for a number that does not depend on what is drawn; the cells are `measured` and `law`.
    pub fn judge_exact(&mut self, what: String, measured: f64, law: f64, tolerance: f64) -> [Cell; 2] {
        self.judged.push(Judged { what, measured, law, allowed: Allowed::Exact { tolerance } });
        [Cell::Number(measured), Cell::Number(law)]
    }

    /// Judges all laws.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is_exact = |j: &&Judged| matches!(j.allowed, Allowed::Exact { .. });
        let exact = self.judged.iter().filter(is_exact).count();
        let statistical = self.judged.len() - exact;
        let deviations = || self.judged.iter().filter(|j| !is_exact(j)).map(Judged::deviation);
        let beyond_3 = deviations().filter(|z| *z > 3.0).count();
        let left: Vec<String> = self
            .judged
            .iter()
            .filter(|j| j.deviation() > 4.0)
            .map(|j| {
                let by = match j.allowed {
                    Allowed::Statistical { se, .. } => {
                        format!("{:.1} standard errors of {se:.2e}", j.deviation())
                    }
                    Allowed::Exact { tolerance } => format!("more than {tolerance:e}"),
                };
                format!("{}: {:e}, but the law says {:e} (off by {by})", j.what, j.measured, j.law)
            })
            .collect();
        // More than 1% of the cells: 100 x beyond > cells.
        let ok = left.is_empty() && 100 * beyond_3 <= statistical;
        Verdict { ok, statistical, exact, largest: deviations().fold(0.0, f64::max), beyond_3, left }
    }

    /// All that people read: tables, notes and the verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for table in self.tables.iter().filter(|t| !t.hidden) {
            let _ = writeln!(text, "{}", table.text());
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        let verdict = self.verdict();
        let kept = match (self.judged.is_empty(), verdict.ok) {
            (true, _) => "none is known for this circuit",
            (false, true) => "kept",
            (false, false) => "LEFT",
        };
        let _ = write!(text, "laws: {kept}");
        if verdict.exact > 0 {
            let _ = write!(text, "; {} exact", verdict.exact);
        }
        if verdict.statistical > 0 {
            let _ = write!(
                text,
                "; {} statistical, the farthest {:.1} standard errors off, {} beyond 3",
                verdict.statistical, verdict.largest, verdict.beyond_3
            );
        }
        text.push('\n');
        for left in &verdict.left {
            let _ = writeln!(text, "  {left}");
        }
        text
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Map<String, Value> {
        let verdict = self.verdict();
        let mut object = Map::new();
        object.insert("circuit".to_owned(), json!(self.circuit));
        object.insert("seed".to_owned(), json!(self.seed));
        object.insert("tables".to_owned(), self.tables.iter().map(Table::json).collect());
        object.insert("notes".to_owned(), json!(self.notes));
        let largest = verdict.largest.is_finite().then_some(verdict.largest);
        object.insert(
            "laws".to_owned(),
            json!({
                "kept": verdict.ok, "statistical": verdict.statistical, "exact": verdict.exact,
                "largest_deviation": largest, "beyond_3": verdict.beyond_3, "left": verdict.left,
            }),
        );
        object
    }
}
