//! A run of cells in time: rates of superficial and deep cells, of the output relay, and the distance of the output to
//! what the compiled heads say.
//!
//! [`plan`] says which few cells and tokens are worth a line; [`draw`] makes the picture.

use super::style::{COLOURS, FAINT, FINE, FONT, HEADING, INK, SMALL, TITLE, finished};
use crate::circuit::{Circuit, Kind, Output, PopulationId};
use crate::simulate::cells::{Sketch, Token, Trace};
use crate::spec::LayoutSpec;
use nalgebra::DMatrix;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;

/// Areas that get a column of panels.
const AREAS: usize = 4;
/// Populations of an area that get a panel.
const POPULATIONS: usize = 3;
/// Tokens (or pairs of tokens), and cells of each, that get a line.
const TOKENS: usize = 3;
const CELLS: usize = 2;
/// Output numbers that the distance to the algebra is taken over.
const WATCHED: (usize, usize) = (16, 16);

/// What has to be recorded for a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// panels column by column, then the output relays
    pub record: Vec<Sketch>,
    /// number of panels of each area shown
    columns: Vec<usize>,
    /// areas that are not shown
    left_out: usize,
}

/// A finished run as a picture needs it.
pub struct Pictured<'a> {
    pub name: &'a str,
    /// traces of [`Plan::record`], in that order
    pub traces: &'a [Trace],
    /// output of the compiled heads, `[d_model, n_tokens]`; none for circuits that are not attention
    pub algebra: Option<&'a DMatrix<f64>>,
    /// with tokens in time: when each began; all passes
    pub onsets_ms: &'a [f64],
    pub t_end_ms: f64,
    /// how the run was made, in words
    pub made: String,
}

/// Which cells to record for a picture.
#[must_use]
pub fn plan(circuit: &Circuit) -> Plan {
    let mut areas: Vec<usize> = Vec::new();
    for id in &circuit.order {
        if let Kind::Cells { area } = circuit.population(*id).kind
            && !areas.contains(&area)
        {
            areas.push(area);
        }
    }
    areas.sort_unstable();
    let lines = if is_in_time(circuit) { CELLS * TOKENS } else { CELLS };
    let mut plan = Plan { record: Vec::new(), columns: Vec::new(), left_out: 0 };
    plan.left_out = areas.len().saturating_sub(AREAS);
    for area in areas.into_iter().take(AREAS) {
        let is_own = |id: &&PopulationId| circuit.population(**id).kind == Kind::Cells { area };
        let mut own: Vec<PopulationId> = circuit.order.iter().filter(is_own).copied().collect();
        // As the file has them, not in the order of evaluation.
        own.sort_unstable();
        own.truncate(POPULATIONS);
        plan.columns.push(own.len());
        let panel = |population| Sketch { population, cells: lines, columns: TOKENS, last: true };
        plan.record.extend(own.into_iter().map(panel));
    }
    let watched = |population| Sketch { population, cells: WATCHED.1, columns: WATCHED.0, last: false };
    plan.record.extend(outputs(circuit).into_iter().map(watched));
    plan
}

fn is_in_time(circuit: &Circuit) -> bool {
    matches!(circuit.layout, LayoutSpec::Time { .. })
}

fn outputs(circuit: &Circuit) -> Vec<PopulationId> {
    match circuit.output {
        Output::Relay(r) => vec![r],
        Output::Signed { plus, minus } => vec![plus, minus],
    }
}

/// The picture as SVG text.
///
/// # Errors
/// What the drawing library says; it has no reason to fail on finite numbers.
pub fn draw(plan: &Plan, run: &Pictured) -> Result<String, String> {
    let rows = plan.columns.iter().copied().max().unwrap_or(0);
    let top = u32::try_from(rows).unwrap_or(1) * 130;
    let (width, height) = (960, 40 + top + 240 + 40);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width * FINE, height * FINE)).into_drawing_area();
        root.fill(&WHITE).map_err(text)?;
        let title = format!("{}: cells in time", run.name);
        write(&root, &title, (16, 12), TITLE)?;
        let (_, below) = root.split_vertically(40 * FINE);
        let (panels, below) = below.split_vertically(top * FINE);
        let (bottom, caption) = below.split_vertically(240 * FINE);
        let error = convergence(plan, run);
        let shown = time_shown(run, &error);
        let mut at = 0;
        if rows > 0 {
            let cells = panels.split_evenly((rows, plan.columns.len()));
            for (column, &n) in plan.columns.iter().enumerate() {
                for row in 0..n {
                    panel(
                        &cells[row * plan.columns.len() + column],
                        &run.traces[at],
                        run,
                        shown,
                        CELLS * TOKENS,
                    )?;
                    at += 1;
                }
            }
        }
        let (left, right) = bottom.split_horizontally(width / 2 * FINE);
        panel(&left, &run.traces[at], run, shown, CELLS * TOKENS)?;
        error_panel(&right, &error, run)?;
        for (k, line) in words(plan, run).iter().enumerate() {
            let y = 4 + 15 * i32::try_from(k).unwrap_or(0);
            write(&caption, line, (16, y), SMALL)?;
        }
        root.present().map_err(text)?;
    }
    Ok(finished(&svg, width, height))
}

fn text(e: impl Display) -> String {
    e.to_string()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn write(area: &Area, words: &str, at: (i32, i32), size: u32) -> Result<(), String> {
    let style = TextStyle::from((FONT, size).into_font()).color(&INK);
    let fine = FINE.cast_signed();
    area.draw_text(words, &style, (at.0 * fine, at.1 * fine)).map_err(text)
}

fn words(plan: &Plan, run: &Pictured) -> Vec<String> {
    let lines = if run.onsets_ms.is_empty() {
        "Rates, one line per cell: colours are tokens (of pairs: the last query with the last contexts), pale lines the second cell."
    } else {
        "Rates, one line per cell; grey lines are token onsets."
    };
    let more = match plan.left_out {
        0 => String::new(),
        n => format!(" {n} further areas are not shown."),
    };
    vec![format!("{lines}{more}"), run.made.clone()]
}

/// Distance of the watched outputs to the algebra over the largest number of the algebra, at each sample.
fn convergence(plan: &Plan, run: &Pictured) -> Vec<(f64, f64)> {
    let first: usize = plan.columns.iter().sum();
    let (Some(algebra), Some(plus)) = (run.algebra, run.traces.get(first)) else { return Vec::new() };
    let minus = run.traces.get(first + 1);
    let size = algebra.amax();
    if size == 0.0 || plus.cells.is_empty() {
        return Vec::new();
    }
    let width = plus.tokens.len() * plus.cells.len();
    let n = algebra.ncols();
    // In time the token is the one that is on; of several passes the last one counts.
    let passes = run.onsets_ms.len().checked_div(n).unwrap_or(0);
    let onsets = &run.onsets_ms[passes.saturating_sub(1) * n..];
    let token = |t: f64, column: usize| -> Option<usize> {
        if run.onsets_ms.is_empty() {
            return plus.tokens[column].query;
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
                let gap = (y - algebra[(*cell, i)]).abs();
                worst = if gap.is_finite() { worst.max(gap) } else { return None };
            }
        }
        Some((t, worst / size))
    };
    (0..plus.t_ms.len()).filter_map(sample).collect()
}

/// Traces are shown until the output is near its end, in space; all of the time otherwise.
fn time_shown(run: &Pictured, error: &[(f64, f64)]) -> f64 {
    if !run.onsets_ms.is_empty() {
        return run.t_end_ms;
    }
    let far = error.iter().rev().find(|(_, e)| *e > 1e-3).map(|(t, _)| *t);
    far.map_or(run.t_end_ms, |t| (1.3 * t).min(run.t_end_ms)).max(1e-9)
}

/// Rates of one population.
fn panel(area: &Area, trace: &Trace, run: &Pictured, until: f64, lines: usize) -> Result<(), String> {
    let width = trace.tokens.len() * trace.cells.len();
    // A watched relay has more tokens than lines: the last ones are shown.
    let cells = trace.cells.len().min(if trace.tokens.len() > 1 { CELLS } else { lines });
    let tokens = trace.tokens.len().min(TOKENS);
    let first = trace.tokens.len() - tokens;
    let samples = trace.t_ms.iter().take_while(|t| **t <= until).count();
    let value =
        |k: usize, token: usize, cell: usize| trace.values[k * width + token * trace.cells.len() + cell];
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for k in 0..samples {
        for token in first..first + tokens {
            for cell in 0..cells {
                let y = value(k, token, cell);
                if y.is_finite() {
                    (low, high) = (low.min(y), high.max(y));
                }
            }
        }
    }
    let (low, high) = padded(low, high);
    let mut chart = ChartBuilder::on(area)
        .margin(8 * FINE)
        .margin_top(24 * FINE)
        .margin_right(24 * FINE)
        .x_label_area_size(18 * FINE)
        .y_label_area_size(44 * FINE)
        .build_cartesian_2d(0.0..until, low..high)
        .map_err(text)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(FAINT.stroke_width(FINE))
        .set_all_tick_mark_size(4 * FINE)
        .x_labels(4)
        .y_labels(3)
        .label_style(TextStyle::from((FONT, SMALL).into_font()).color(&INK))
        .x_label_formatter(&|t| format!("{t} ms"))
        .y_label_formatter(&|y| tick(*y))
        .draw()
        .map_err(text)?;
    for onset in run.onsets_ms.iter().filter(|t| **t <= until) {
        chart
            .draw_series([PathElement::new(vec![(*onset, low), (*onset, high)], FAINT.stroke_width(FINE))])
            .map_err(text)?;
    }
    for token in 0..tokens {
        for cell in 0..cells {
            let index = if tokens > 1 { token } else { cell };
            let pale = if tokens > 1 && cell > 0 { 0.4 } else { 1.0 };
            let style = COLOURS[index % COLOURS.len()].mix(pale).stroke_width(FINE + FINE / 4);
            let line = (0..samples)
                .map(|k| (trace.t_ms[k], value(k, first + token, cell)))
                .filter(|(_, y)| y.is_finite());
            chart.draw_series(LineSeries::new(line, style)).map_err(text)?;
        }
    }
    let which = heading(trace, first, tokens);
    write(area, &which, (52, 6), HEADING)
}

/// `A1.deep, i = 15, j = 13, 14, 15`
fn heading(trace: &Trace, first: usize, tokens: usize) -> String {
    let shown = &trace.tokens[first..first + tokens];
    let list = |of: fn(&Token) -> Option<usize>| -> Option<String> {
        let mut all: Vec<usize> = shown.iter().map(of).collect::<Option<_>>()?;
        all.dedup();
        Some(all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    let mut out = trace.population.clone();
    for (name, of) in [("i", (|t: &Token| t.query) as fn(&Token) -> Option<usize>), ("j", |t| t.context)] {
        if let Some(which) = list(of) {
            out += &format!(", {name} = {which}");
        }
    }
    out
}

/// The distance to the compiled heads, logarithmic.
fn error_panel(area: &Area, error: &[(f64, f64)], run: &Pictured) -> Result<(), String> {
    write(area, "output: distance to the compiled heads", (60, 6), HEADING)?;
    if error.is_empty() {
        return write(area, "none: this circuit has no heads, or the run diverged", (60, 60), SMALL);
    }
    let floor = 1e-17f64;
    let top = error.iter().map(|(_, e)| *e).fold(floor, f64::max) * 3.0;
    let least = error.iter().map(|(_, e)| e.max(floor)).fold(top, f64::min);
    let low = 10f64.powf(least.log10().floor()).min(top / 10.0);
    let until = run.t_end_ms.max(1e-9);
    let mut chart = ChartBuilder::on(area)
        .margin(8 * FINE)
        .margin_top(24 * FINE)
        .margin_right(24 * FINE)
        .x_label_area_size(18 * FINE)
        .y_label_area_size(52 * FINE)
        .build_cartesian_2d(0.0..until, (low..top).log_scale())
        .map_err(text)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT.mix(0.5).stroke_width(FINE))
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT.stroke_width(FINE))
        .set_all_tick_mark_size(4 * FINE)
        .x_labels(4)
        .y_labels(5)
        .label_style(TextStyle::from((FONT, SMALL).into_font()).color(&INK))
        .x_label_formatter(&|t| format!("{t} ms"))
        .y_label_formatter(&|y| format!("{y:.0e}"))
        .draw()
        .map_err(text)?;
    for onset in run.onsets_ms {
        chart
            .draw_series([PathElement::new(vec![(*onset, low), (*onset, top)], FAINT.stroke_width(FINE))])
            .map_err(text)?;
    }
    let line = error.iter().map(|(t, e)| (*t, e.max(low)));
    chart.draw_series(LineSeries::new(line, INK.stroke_width(2 * FINE))).map_err(text)?;
    Ok(())
}

/// Some room above and below; never empty.
fn padded(low: f64, high: f64) -> (f64, f64) {
    if low > high {
        return (-1.0, 1.0);
    }
    let room = 0.08 * (high - low).max(1e-3 * high.abs().max(low.abs())).max(1e-12);
    (low - room, high + room)
}

/// A few digits.
fn tick(y: f64) -> String {
    if y == 0.0 || (0.01..1000.0).contains(&y.abs()) {
        let text = format!("{y:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{y:.0e}")
    }
}
