//! Hopfield networks as attention heads: retrieval, fixed points, energy, capacities, several patterns at once.
//!
//! # Equation and source
//! `xi <- X softmax(beta X^T xi)` (Ramsauer et al. 2020, arXiv 2008.02217); scores of degree p - 1 (Krotov & Hopfield 2016,
//! arXiv 1606.01164); diluted patterns (Agliari et al. 2012, arXiv 1111.5191).

use super::Making;
use super::tables::{BARS, DECAY, Experimented, HEBBIAN, SOFTMAX, colour};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Guide, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;

/// Draws of the capacities, and runs of diluted patterns, in the quick variant.
const TRIALS: usize = 50;
/// Descents with fewer updates than this are not drawn.
const FEWEST: usize = 6;
/// Energies closer to their end than this part of the first distance are rounding.
const ROUNDING: f64 = 1e-12;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let ran = Experimented::run(making, "hopfield", Some(TRIALS), &[])?;
    let plan = ran.document(&[])?.spec.reserved.protocol.and_then(|p| p.hopfield);
    let said = |of: fn(&pulvinar::spec::HopfieldSpec) -> String| plan.as_ref().map(of).unwrap_or_default();
    let (draws, runs) = if making.full {
        (said(|p| p.trials.to_string()), said(|p| p.runs.to_string()))
    } else {
        (TRIALS.to_string(), TRIALS.to_string())
    };
    Ok(Figure {
        title: "Hopfield networks as attention heads".to_owned(),
        caption: format!(
            "Heads of one circuit whose answer is the next cue; all numbers are measured on the compiled circuit. (A) One \
             update of the softmax head on each of {} stored random patterns of norm {}: relative error, ascending \
             (exact answers, below the range, are left out). (B) Where iterated updates from 16 patterns in 4 groups end, \
             over the inverse temperature beta: at one point for all starts (global), at one that several share \
             (metastable), or each at its own (single pattern). (C) Patterns that share the final state, 1 / sum of \
             squared attention weights, mean of 16 starts. (D) Energy above its last value, mean of 16 starts: it never \
             rises. (E) Pairs M held at a bit error of 1% by scores of degree p - 1, from n = {draws} draws at five \
             loads each; lines: Gaussian noise; exponents are fits of M - 1 over the number of cells, and the theory \
             says p - 1. (F) {} cells of sign, 3 patterns with a fraction {} of zeros: overlaps of the state with the \
             patterns, mean of n = {runs} runs with bars of {BARS} standard errors, and (1 - d) d^(k-1). The update, the \
             energy and three kinds of fixed points are those of Ramsauer et al.; that a thalamic loop computes them is \
             this project's construction.",
            said(|p| p.patterns.to_string()),
            said(|p| p.norm.to_string()),
            said(|p| p.cells.to_string()),
            said(|p| p.dilution.to_string()),
        ),
        source: "Ramsauer et al. 2020 (arXiv 2008.02217); Krotov & Hopfield 2016 (arXiv 1606.01164); Agliari et al. 2012 \
                 (arXiv 1111.5191); circuit and runs: this project"
            .to_owned(),
        circuits: vec![ran.file.clone()],
        width: Width::Page,
        rows: vec![
            Row { height_mm: 50.0, panels: vec![retrieval(&ran)?, kinds(&ran)?, shared(&ran)?] },
            Row { height_mm: 54.0, panels: vec![descent(&ran)?, capacities(&ran)?, overlaps(&ran)?] },
        ],
        // Rounding of sums of exponentials differs between processors.
        tolerance: 1e-6,
    })
}

fn panel(title: &str, x: Axis, y: Axis, series: Vec<Series>, guides: Vec<Guide>) -> Panel {
    Panel { title: title.to_owned(), share: 1.0, content: Content::Axes(Axes { x, y, series, guides }) }
}

fn retrieval(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let points = ran.rows("errors")?.points("pattern", "error", None);
    // What is below is zero or nearly so.
    let points: Vec<Point> = points.into_iter().filter(|p| p.y >= 1e-24).collect();
    let series = vec![Series::new("", Look::Dots, SOFTMAX, points)];
    let bound = Guide { at: 1e-15, is_vertical: false, words: "rounding".to_owned() };
    Ok(panel(
        "one update retrieves",
        Axis::new("pattern, by its error", ""),
        Axis::new("relative error", "").log(),
        series,
        vec![bound],
    ))
}

fn kinds(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let rows = ran.rows("fixed_points")?;
    let series = [("global", HEBBIAN), ("metastable", DECAY), ("single", 2)]
        .map(|(kind, colour)| Series::new(kind, Look::LineAndMarks, colour, rows.points("beta", kind, None)))
        .to_vec();
    Ok(panel(
        "three kinds of fixed points",
        Axis::new("inverse temperature beta", "").log(),
        Axis::new("starts that end there", "").range(-0.5, 20.0),
        series,
        Vec::new(),
    ))
}

fn shared(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let points = ran.rows("fixed_points")?.points("beta", "patterns_in_state", None);
    Ok(panel(
        "patterns in the final state",
        Axis::new("inverse temperature beta", "").log(),
        Axis::new("effective number", "").log(),
        vec![Series::new("", Look::LineAndMarks, SOFTMAX, points)],
        Vec::new(),
    ))
}

fn descent(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let rows = ran.rows("descent")?;
    let mut series = Vec::new();
    for beta in rows.words("beta") {
        let points = rows.with("beta", &beta).points("update", "energy", None);
        let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else { continue };
        if points.len() < FEWEST {
            continue;
        }
        let floor = ROUNDING * (first.y - last.y).abs().max(f64::MIN_POSITIVE);
        let above: Vec<Point> =
            points.iter().map(|p| Point::new(p.x + 1.0, p.y - last.y)).take_while(|p| p.y > floor).collect();
        series.push(Series::new(format!("beta {beta}"), Look::Line, series.len(), above));
    }
    Ok(panel(
        "energy descends",
        Axis::new("update, from 1", "").log(),
        Axis::new("energy above its end", "").log(),
        series,
        Vec::new(),
    ))
}

fn capacities(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let (rows, fits) = (ran.rows("capacity")?, ran.rows("exponents")?);
    let mut series = Vec::new();
    for memory in rows.words("memory") {
        let mine = rows.with("memory", &memory);
        series.push(Series::new("", Look::Line, colour(&memory), mine.points("n", "gaussian_M", None)));
        let name = match (mine.words("p").first(), fits.with("memory", &memory).numbers("exponent").first()) {
            (Some(p), Some(exponent)) => format!("p = {p}: n^{exponent:.2}"),
            _ => memory.clone(),
        };
        series.push(Series::new(name, Look::Marks, colour(&memory), mine.points("n", "M", None)));
    }
    Ok(panel(
        "pairs at a bit error of 1%",
        Axis::new("cells n", "").log(),
        Axis::new("pairs M", "").log(),
        series,
        Vec::new(),
    ))
}

fn overlaps(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let rows = ran.rows("diluted")?;
    let names = rows.words("pattern").into_iter().map(|k| format!("pattern {k}"));
    let places = |points: Vec<Point>| points.into_iter().map(|p| Point { x: p.x - 1.0, ..p }).collect();
    let series = vec![
        Series::new("measured", Look::Bars, HEBBIAN, places(rows.points("pattern", "overlap", Some("se")))),
        Series::new("theory", Look::Marks, DECAY, places(rows.points("pattern", "theory", None))),
    ];
    Ok(panel(
        "several patterns at once",
        Axis::new("", "").names(names),
        Axis::new("overlap", "").range(0.0, 1.0),
        series,
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::Quiet;
    use std::path::Path;

    /// The shipped circuits are too slow for the test build in one part only, so the folder has a smaller one.
    #[test]
    fn panels_show_what_the_caption_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../circuits/hopfield.yaml");
        let mut text = std::fs::read_to_string(shipped).expect("shipped");
        for (from, to) in [("cells: 2000", "cells: 200"), ("n: [24, 32, 48, 64]", "n: [24, 48]")] {
            assert!(text.contains(from));
            text = text.replace(from, to);
        }
        std::fs::write(folder.path().join("hopfield.yaml"), text).expect("written");
        let making = Making { circuits: folder.path(), full: false, progress: &Quiet };
        let figure = make(&making).unwrap_or_else(|d| panic!("{d}"));
        let axes = |row: usize, panel: usize| match &figure.rows[row].panels[panel].content {
            Content::Axes(axes) => axes.clone(),
            other => panic!("{other:?}"),
        };
        let errors: Vec<f64> = axes(0, 0).series[0].points.iter().map(|p| p.y).collect();
        assert!(errors.len() > 500 && errors.windows(2).all(|w| w[0] <= w[1]), "ascending");
        assert!(errors[errors.len() / 2] < 1e-15 && errors[errors.len() - 1] < 1e-10);
        let kinds = axes(0, 1).series;
        for (beta, kind) in [(0.5, 0), (10.0, 1), (200.0, 2)] {
            let at: Vec<f64> =
                kinds.iter().map(|s| s.points.iter().find(|p| p.x == beta).expect("this beta").y).collect();
            assert_eq!(at[kind], 16.0, "beta {beta}: {at:?}");
            assert_eq!(at.iter().sum::<f64>(), 16.0, "each start ends somewhere");
        }
        let shared = &axes(0, 2).series[0].points;
        assert!(shared[0].y > 15.9 && shared[shared.len() - 1].y < 1.001);
        let descents = axes(1, 0).series;
        assert!(descents.len() >= 4 && descents.len() <= 6, "{} descents", descents.len());
        for s in &descents {
            assert!(s.points.windows(2).all(|w| w[1].y <= w[0].y * (1.0 + 1e-9)), "{} rises", s.name);
        }
        let capacities = axes(1, 1).series;
        for (series, theory) in capacities.chunks(2).zip([1.0, 2.0, 3.0]) {
            let [law, measured] = series else { panic!("a law and its points") };
            assert!(measured.name.starts_with(&format!("p = {}", theory + 1.0)), "{}", measured.name);
            let (a, b) = (measured.points[0], measured.points[measured.points.len() - 1]);
            let slope = ((b.y - 1.0) / (a.y - 1.0)).ln() / (b.x / a.x).ln();
            assert!((slope - theory).abs() < 0.35, "{}: {slope}", measured.name);
            assert_eq!(law.points.len(), measured.points.len());
        }
        let overlaps = axes(1, 2).series;
        for (k, want) in [0.8, 0.16, 0.032].into_iter().enumerate() {
            assert!((overlaps[1].points[k].y - want).abs() < 1e-12, "theory");
            assert!(
                (overlaps[0].points[k].y - want).abs() < 0.06,
                "pattern {k}: {:?}",
                overlaps[0].points[k]
            );
        }
    }
}
