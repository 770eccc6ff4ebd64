//! One panel of traces: a line for each token or cell, lesions behind them, the compiled heads as rings.

use super::Pictured;
use super::axes;
use super::marks::{bands, clock, onsets};
use super::plan::{CELLS, LINES, TOKENS};
use super::sizes::{HEADING, LABEL, fit, width};
use crate::figures::axis::{Frame, Scale};
use crate::figures::canvas::{Canvas, Style, ink};
use crate::figures::font::Face;
use crate::figures::style::{COLOURS, INK};
use plotters::style::RGBColor;
use pulvinar::simulate::cells::{Token, Trace};

/// A change this much larger than its neighbours is a jump.
const JUMP: f64 = 4.0;
/// Runaway numbers are drawn over logarithmic axes where they span more than this.
const SPAN: f64 = 1e4;
/// A runaway trace is drawn from this fraction of its first numbers on.
const BOTTOM: f64 = 1e-2;

/// A trace with what is drawn of it.
pub(super) struct Panel {
    pub name: String,
    pub variable: &'static str,
    pub cells: Vec<usize>,
    pub tokens: Vec<Token>,
    lines: Vec<Line>,
    /// what the compiled heads say: time, value, line
    rings: Vec<(f64, f64, usize)>,
    y: Scale,
}

struct Line {
    token: usize,
    cell: usize,
    points: Vec<(f64, f64)>,
}

/// The output: of two relays, their difference.
pub(super) fn output(traces: &[Trace], run: &Pictured, shown: [f64; 2]) -> Panel {
    let Some(plus) = traces.first() else { return Panel::empty() };
    let mut trace = plus.clone();
    if let Some(minus) = traces.get(1) {
        trace.population = format!("{} \u{2212} {}", plus.population, minus.population);
        trace.values.iter_mut().zip(&minus.values).for_each(|(a, b)| *a -= b);
    }
    let mut panel = Panel::of(&trace, run, shown);
    panel.name += ", output";
    if let Some(algebra) = run.algebra.filter(|_| !panel.y.is_log) {
        for (k, line) in panel.lines.iter().enumerate() {
            let cell = panel.cells[line.cell];
            if run.onsets_ms.is_empty() {
                let token = panel.tokens[line.token].query.unwrap_or(0);
                panel.rings.extend(algebra.get((cell, token)).map(|y| (shown[1], *y, k)));
            } else {
                let reads =
                    run.reads_ms.iter().enumerate().filter(|(_, t)| (shown[0]..=shown[1]).contains(*t));
                panel.rings.extend(reads.filter_map(|(i, t)| Some((*t, *algebra.get((cell, i))?, k))));
            }
        }
        let all = panel
            .rings
            .iter()
            .map(|r| r.1)
            .chain(panel.lines.iter().flat_map(|l| l.points.iter().map(|p| p.1)));
        panel.y = around(all);
    }
    panel
}

impl Panel {
    fn empty() -> Self {
        let y = Scale::linear(-1.0, 1.0);
        let (lines, rings) = (Vec::new(), Vec::new());
        Self { name: String::new(), variable: "rate", cells: Vec::new(), tokens: Vec::new(), lines, rings, y }
    }

    pub fn of(trace: &Trace, run: &Pictured, [from, until]: [f64; 2]) -> Self {
        let (all_tokens, all_cells) = (trace.tokens.len(), trace.cells.len());
        let (tokens, cells) = match (all_tokens, all_cells) {
            (1, _) => (1, all_cells.min(LINES)),
            (_, 1) => (all_tokens.min(LINES), 1),
            _ => (all_tokens.min(TOKENS), all_cells.min(CELLS)),
        };
        let first = all_tokens - tokens;
        let samples: Vec<usize> =
            (0..trace.t_ms.len()).filter(|k| (from..=until).contains(&trace.t_ms[*k])).collect();
        let mut lines = Vec::new();
        for token in 0..tokens {
            for cell in 0..cells {
                let place = |k: usize| (k * all_tokens + first + token) * all_cells + cell;
                let points = samples.iter().map(|k| (trace.t_ms[*k], trace.values[place(*k)]));
                let mut points: Vec<(f64, f64)> = points.filter(|(_, y)| y.is_finite()).collect();
                // The last step has its length too.
                if let (Some((_, y)), false) = (points.last().copied(), run.runs_away) {
                    points.push((until, y));
                }
                lines.push(Line { token, cell, points });
            }
        }
        let y = scale(&lines, run.runs_away);
        let inside = trace.compartment.map_or(String::new(), |c| format!(".{}", c.name()));
        Self {
            name: format!("{}{inside}", trace.population),
            variable: trace.variable.name(),
            cells: trace.cells[..cells].to_vec(),
            tokens: trace.tokens[first..].to_vec(),
            lines,
            rings: Vec::new(),
            y,
        }
    }

    pub fn is_log(&self) -> bool {
        self.y.is_log
    }

    pub fn has_rings(&self) -> bool {
        !self.rings.is_empty()
    }

    /// Colours are tokens, or the cells of one token.
    fn colour(&self, line: &Line) -> (RGBColor, f64) {
        let index = if self.tokens.len() > 1 { line.token } else { line.cell };
        let pale = self.tokens.len() > 1 && line.cell > 0;
        (COLOURS[index % COLOURS.len()], if pale { 0.45 } else { 1.0 })
    }

    pub fn draw(&self, canvas: &Canvas<'_>, inside: [f64; 4], run: &Pictured, shown: [f64; 2]) {
        let (x, unit) = clock(shown);
        let frame = Frame { inside, x, y: self.y };
        bands(canvas, &frame, unit, &run.lesions, shown);
        onsets(canvas, &frame, unit, run);
        let name = if self.y.is_log {
            format!("|{}| (unitless)", self.variable)
        } else {
            format!("{} (unitless)", self.variable)
        };
        axes(canvas, &frame, [if unit == 1.0 { "time (ms)" } else { "time (s)" }, &name]);
        if self.lines.iter().all(|l| l.points.is_empty()) {
            let at = ((inside[0] + inside[2]) / 2.0, (inside[1] + inside[3]) / 2.0);
            return canvas.below("no samples", at, Style::new(LABEL).middle());
        }
        for line in &self.lines {
            let (colour, opaque) = self.colour(line);
            for part in parts(&line.points, &self.y) {
                let points: Vec<(f64, f64)> = part.iter().map(|(t, y)| frame.at(t / unit, *y)).collect();
                canvas.line(&points, ink(colour, opaque), 1.4);
            }
        }
        for (t, y, k) in &self.rings {
            let (colour, _) = self.colour(&self.lines[*k]);
            canvas.hollow(frame.at(t / unit, *y), 3.2, colour, 1.5);
        }
    }

    /// Does a word have to say which cells have a line? The first ones need none, nor those that are told by colours.
    pub fn names_cells(&self) -> bool {
        self.tokens.len() > 1 && self.cells.iter().enumerate().any(|(k, cell)| k != *cell)
    }

    /// `A1.deep`; `A1.deep, cells 3, 7`
    pub fn heading(&self, canvas: &Canvas<'_>, at: (f64, f64), mut room: f64) {
        if self.has_rings() {
            let words = "compiled heads";
            let left = at.0 + room - width(words, LABEL);
            canvas.hollow((left - 9.0, at.1), 3.2, INK, 1.5);
            canvas.label(words, (left, at.1), Style::new(LABEL));
            room -= width(words, LABEL) + 24.0;
        }
        let mut words = self.name.clone();
        if self.names_cells() {
            let list: Vec<String> = self.cells.iter().map(ToString::to_string).collect();
            words += &format!(", cell{} {}", if list.len() == 1 { "" } else { "s" }, list.join(", "));
        }
        canvas.label(&fit(&words, room, HEADING, Face::Bold), at, Style::new(HEADING).bold());
    }

    /// What the colours stand for: words before, and one for each colour.
    pub fn key(&self) -> (String, Vec<String>) {
        let list =
            |of: fn(&Token) -> Option<usize>| self.tokens.iter().map(of).collect::<Option<Vec<usize>>>();
        let words = |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect();
        if self.tokens.len() <= 1 {
            let one = self.tokens.first().copied().unwrap_or(Token { query: None, context: None });
            let of = match (one.query, one.context) {
                (Some(i), Some(j)) => format!("query {i}, context {j}, cell"),
                (Some(i), None) => format!("query {i}, cell"),
                (None, Some(j)) => format!("context {j}, cell"),
                (None, None) => "cell".to_owned(),
            };
            return (of, words(&self.cells));
        }
        match (list(|t| t.query), list(|t| t.context)) {
            (Some(i), None) => ("query token".to_owned(), words(&i)),
            (None, Some(j)) => ("context token".to_owned(), words(&j)),
            (Some(i), Some(j)) if i.iter().all(|q| *q == i[0]) => {
                (format!("query {}, context", i[0]), words(&j))
            }
            (Some(i), Some(j)) => {
                let pairs = i.iter().zip(j).map(|(i, j)| format!("{i}, {j}")).collect();
                ("query, context".to_owned(), pairs)
            }
            (None, None) => (String::new(), Vec::new()),
        }
    }

    /// A coloured stroke for each token (or cell), as far as there is room.
    pub fn legend(&self, canvas: &Canvas<'_>, (mut x, y): (f64, f64), room: f64) {
        let (before, entries) = self.key();
        let end = x + room;
        canvas.label(&before, (x, y), Style::new(LABEL));
        x += width(&before, LABEL) + 6.0;
        for (k, words) in entries.iter().enumerate() {
            let next = x + 18.0 + width(words, LABEL) + 9.0;
            if next - 9.0 > end {
                return canvas.label("\u{2026}", (x.min(end - 8.0), y), Style::new(LABEL));
            }
            canvas.line(&[(x, y), (x + 14.0, y)], COLOURS[k % COLOURS.len()], 2.5);
            canvas.label(words, (x + 18.0, y), Style::new(LABEL));
            x = next;
        }
    }
}

/// What is drawn in one stroke: jumps as steps, and on a logarithmic axis absolute values above its bottom.
fn parts(points: &[(f64, f64)], scale: &Scale) -> Vec<Vec<(f64, f64)>> {
    if !scale.is_log {
        return vec![stepped(points)];
    }
    let mut parts = vec![Vec::new()];
    for (t, y) in points {
        if y.abs() >= scale.low {
            if let Some(last) = parts.last_mut() {
                last.push((*t, y.abs()));
            }
        } else if parts.last().is_some_and(|p| !p.is_empty()) {
            parts.push(Vec::new());
        }
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// A sample much further from the last one than those beside them are from each other is a jump (a write, a lesion):
/// the value holds until then. Rates of a sample are those from its time on.
fn stepped(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut line = Vec::with_capacity(points.len() + 8);
    let change = |k: usize| match (points.get(k.wrapping_sub(1)), points.get(k)) {
        (Some(a), Some(b)) => (b.1 / 2.0 - a.1 / 2.0).abs(),
        _ => 0.0,
    };
    for (k, p) in points.iter().enumerate() {
        if k > 0 && change(k) > JUMP * change(k - 1).max(change(k + 1)) {
            line.push((p.0, points[k - 1].1));
        }
        line.push(*p);
    }
    line
}

fn scale(lines: &[Line], runs_away: bool) -> Scale {
    let all = || lines.iter().flat_map(|l| l.points.iter().map(|p| p.1));
    let largest = |part: usize| {
        let of = |l: &Line| {
            l.points.iter().take(l.points.len().div_ceil(part)).fold(0.0f64, |m, p| m.max(p.1.abs()))
        };
        lines.iter().map(of).fold(0.0, f64::max)
    };
    let (early, late) = (largest(256), largest(1));
    if runs_away && early > 0.0 && late > SPAN * early {
        return Scale { low: BOTTOM * early, high: (late * 10.0).min(f64::MAX), is_log: true };
    }
    around(all())
}

/// Some room above and below; never empty.
fn around(values: impl Iterator<Item = f64>) -> Scale {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), y| (a.min(y), b.max(y)));
    if low > high {
        return Scale::linear(-1.0, 1.0);
    }
    let room = 0.08 * (high - low).clamp(1e-3 * high.abs().max(low.abs()), f64::MAX / 4.0).max(1e-12);
    Scale::linear((low - room).max(-f64::MAX / 2.0), (high + room).min(f64::MAX / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_steps_and_slopes_are_not() {
        let trace = [0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 0.0];
        let points: Vec<(f64, f64)> = trace.iter().enumerate().map(|(k, y)| (k as f64, *y)).collect();
        let line = stepped(&points);
        assert!(line.contains(&(3.0, 0.0)) && line.contains(&(6.0, 5.0)), "{line:?}");
        assert_eq!(line.len(), points.len() + 2);
        let slope: Vec<(f64, f64)> =
            (0..40).map(|k| (f64::from(k), 1.0 - (-f64::from(k) / 10.0).exp())).collect();
        assert_eq!(stepped(&slope), slope);
    }

    #[test]
    fn axes_hold_every_number() {
        for values in [vec![], vec![0.0], vec![3.0, 3.0], vec![-1.7e308, 1.7e308], vec![1e-300, 2e-300]] {
            let y = around(values.iter().copied());
            assert!(y.low < y.high && y.low.is_finite() && y.high.is_finite(), "{values:?}: {y:?}");
        }
    }
}
