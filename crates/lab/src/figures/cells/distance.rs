//! The distance of the output to the compiled heads over time.

use super::marks::{bands, clock, onsets};
use super::sizes::{HEADING, fit};
use super::{Pictured, Plan, axes};
use crate::figures::axis::{Frame, Scale};
use crate::figures::canvas::{Canvas, Style};
use crate::figures::font::Face;
use crate::figures::style::INK;

/// Distances below this are drawn there.
const FLOOR: f64 = 1e-17;

/// Distances over the largest number of the heads.
pub(super) struct Distance {
    /// of what is watched, at each sample; none of a crowd of tokens
    line: Vec<(f64, f64)>,
    /// with tokens in time: of each output, when it was read
    pub reads: Vec<(f64, f64)>,
    /// tokens and cells that the line is over, and of how many
    pub watched: [[usize; 2]; 2],
}

impl Distance {
    /// None without heads, or without a number to compare.
    pub fn of(plan: &Plan, run: &Pictured) -> Option<Self> {
        let algebra = run.algebra?;
        let size = algebra.amax();
        let plus = run.traces.get(plan.places.len())?;
        let is_empty = size == 0.0 || !size.is_finite() || plus.cells.is_empty();
        if is_empty || run.output.shape() != algebra.shape() {
            return None;
        }
        let mut reads = Vec::new();
        for (i, t) in run.reads_ms.iter().enumerate().filter(|(_, t)| **t <= run.t_end_ms) {
            let gap = (run.output.column(i) - algebra.column(i)).amax() / size;
            if gap.is_finite() {
                reads.push((*t, gap));
            }
        }
        let line = if plan.crowd.is_some() { Vec::new() } else { line(plan, run, size) };
        let tokens = if run.onsets_ms.is_empty() { plus.tokens.len() } else { algebra.ncols() };
        let watched = [[tokens, algebra.ncols()], [plus.cells.len(), algebra.nrows()]];
        (!line.is_empty() || !reads.is_empty()).then_some(Self { line, reads, watched })
    }

    /// The last time at which the distance was above `far`.
    pub fn last_above(&self, far: f64) -> Option<f64> {
        self.line.iter().rev().find(|(_, e)| *e > far).map(|(t, _)| *t)
    }

    pub fn has_line(&self) -> bool {
        !self.line.is_empty()
    }

    pub fn draw(
        &self,
        canvas: &Canvas<'_>,
        inside: [f64; 4],
        heading: (f64, f64),
        run: &Pictured,
        shown: [f64; 2],
    ) {
        let all = || self.line.iter().chain(&self.reads).map(|(_, e)| e.max(FLOOR));
        let low = 10f64.powf(all().fold(f64::MAX, f64::min).log10().floor());
        let high = (all().fold(FLOOR, f64::max) * 3.0).max(low * 30.0);
        let (x, unit) = clock(shown);
        let frame = Frame { inside, x, y: Scale { low, high, is_log: true } };
        bands(canvas, &frame, unit, &run.lesions, shown);
        onsets(canvas, &frame, unit, run);
        axes(
            canvas,
            &frame,
            [if unit == 1.0 { "time (ms)" } else { "time (s)" }, "relative distance (unitless)"],
        );
        let place = |(t, e): &(f64, f64)| frame.at(t / unit, e.max(low));
        let mut line: Vec<(f64, f64)> = self.line.iter().map(place).collect();
        // The last step has its length too.
        line.extend(self.line.last().map(|(_, e)| place(&(shown[1], *e))));
        canvas.line(&line, INK, 1.8);
        for read in &self.reads {
            canvas.disc(place(read), if self.has_line() { 3.2 } else { 2.0 }, INK);
        }
        let words = "distance to the compiled heads";
        let words = fit(words, inside[2] - inside[0], HEADING, Face::Bold);
        canvas.label(&words, heading, Style::new(HEADING).bold());
    }
}

/// Largest distance of the watched outputs at each sample.
fn line(plan: &Plan, run: &Pictured, size: f64) -> Vec<(f64, f64)> {
    let (Some(algebra), Some(plus)) = (run.algebra, run.traces.get(plan.places.len())) else {
        return Vec::new();
    };
    let minus = run.traces.get(plan.places.len() + 1);
    let width = plus.tokens.len() * plus.cells.len();
    let n = algebra.ncols();
    // In time the token is the one that is on; of several passes the last one counts.
    let passes = run.onsets_ms.len().checked_div(n).unwrap_or(0);
    let onsets = &run.onsets_ms[passes.saturating_sub(1) * n..];
    let token = |t: f64, column: usize| -> Option<usize> {
        if run.onsets_ms.is_empty() {
            return Some(plus.tokens[column].query.unwrap_or(0));
        }
        onsets.iter().rposition(|onset| *onset <= t).filter(|i| *i < n)
    };
    let sample = |k: usize| -> Option<(f64, f64)> {
        let t = plus.t_ms[k];
        let mut worst = 0.0f64;
        for column in 0..plus.tokens.len() {
            let i = token(t, column)?;
            for (c, cell) in plus.cells.iter().enumerate() {
                let at = k * width + column * plus.cells.len() + c;
                let y = plus.values[at] - minus.map_or(0.0, |m| m.values.get(at).copied().unwrap_or(0.0));
                let gap = (y - algebra.get((*cell, i))?).abs();
                worst = if gap.is_finite() { worst.max(gap) } else { return None };
            }
        }
        Some((t, worst / size))
    };
    (0..plus.t_ms.len()).filter_map(sample).collect()
}
