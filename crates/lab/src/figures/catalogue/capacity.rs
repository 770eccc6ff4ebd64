//! How much memories hold: recall error against load, for every rule, beside the laws.
//!
//! # Equation and source
//! Unit random keys in R^d, values of +-1, M pairs: hebbian NMSE `(M-1)/d`; the other laws are those of
//! [`crate::experiments::laws`], derived for this project. The memories are those of linear attention, retention and the
//! delta rule; the key-value memory is that of Granier & Senn 2025, arXiv 2504.06354v3.

use super::Making;
use super::tables::{BARS, CONVERGED, DECAY, Experimented, HEBBIAN, Rows, colour, over};
use crate::experiments::{Rule, laws, mean_law, memories};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Guide, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;

/// The width of keys of the panels that show one.
const SHOWN: &str = "64";

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let ran = Experimented::run(making, "capacity", None, &[])?;
    let crossed = Experimented::run(making, "crossover", None, &[])?;
    let once = ran.rows("capacity")?;
    let widths = once.words("d");
    let mut errors = Vec::new();
    for (number, d) in widths.iter().enumerate() {
        errors.push(error_panel(&ran, d, number == 0)?);
    }
    let shown =
        if widths.iter().any(|d| d == SHOWN) { SHOWN } else { widths.last().map_or("", String::as_str) };
    let caption = format!(
        "What memories recall of M random pairs, measured here by running the compiled circuit on tokens (marks, with \
         bars of {BARS} standard errors, mostly smaller than the mark) and by law (lines). (A-C) Squared error over \
         squared value (NMSE) of all M stored keys, by the width d of keys; n = {} draws at the smallest d, fewer in \
         proportion above, at least 50. The hebbian memory follows (M-1)/d; the decaying one forgets, and so answers \
         little; the delta rule, one pass, overwrites; many passes reach least squares, max(0, 1 - d/M) (up to M = d/2 \
         by the circuit itself, beyond by least squares directly). (D) Values with the wrong sign, d = {shown}; line: \
         Q(sqrt(d/(M-1))) for the hebbian memory, from M = d/2 on. (E) Error of one pair by its age in a long sequence, \
         d = {shown}. (F) Worst case of the hebbian memory: all keys at 1/sqrt(D) from each other, all values opposite \
         to the first; its recall, projected, is gone at M = 1 + sqrt(d). (G, H) Two criteria, two winners, d = {}, n = \
         {} draws: squared error, and the fraction of recalls that are nearest to the right one of the stored values. \
         All laws are this project's derivations.",
        trials(&ran, |p| p.capacity.as_ref().map(|c| c.trials))?,
        crossed.document(&[])?.spec.tokens.streams.get("key").map_or(0, |s| s.d_model),
        trials(&crossed, |p| p.crossover.as_ref().map(|c| c.trials))?,
    );
    Ok(Figure {
        title: "Capacity of hebbian, decaying and error-correcting memories".to_owned(),
        caption,
        source: "key-value memory: Granier & Senn 2025 (arXiv 2504.06354v3); decay, delta rule, laws and measurements: \
                 this project"
            .to_owned(),
        circuits: vec![ran.file.clone()],
        width: Width::Page,
        rows: vec![
            Row { height_mm: 52.0, panels: errors },
            Row {
                height_mm: 50.0,
                panels: vec![sign_panel(&ran, shown)?, age_panel(&ran, shown)?, worst_panel(&ran)?],
            },
            Row { height_mm: 50.0, panels: crossover_panels(&crossed)? },
        ],
        tolerance: 1e-9,
    })
}

fn trials(
    ran: &Experimented<'_>,
    of: impl Fn(&pulvinar::spec::ProtocolSpec) -> Option<usize>,
) -> Result<usize, Diagnostics> {
    Ok(ran.document(&[])?.spec.reserved.protocol.as_ref().and_then(of).unwrap_or(0))
}

fn panel(title: impl Into<String>, x: Axis, y: Axis, series: Vec<Series>) -> Panel {
    let guides = Vec::new();
    Panel { title: title.into(), share: 1.0, content: Content::Axes(Axes { x, y, series, guides }) }
}

/// Names appear in the legend of one panel only.
fn named(name: &str, yes: bool) -> String {
    if yes { name.to_owned() } else { String::new() }
}

/// NMSE over load, with the laws of the memories of the circuit at this width.
fn error_panel(ran: &Experimented<'_>, d: &str, legend: bool) -> Result<Panel, Diagnostics> {
    let all = memories(&ran.document(&[("d", d.to_owned())])?)?;
    let rows = ran.rows("capacity")?.with("d", d);
    let converged = ran.rows("converged")?.with("d", d);
    let width: usize = d.parse().unwrap_or(1);
    let most = largest(&rows, "M");
    let loads: Vec<usize> = (1..=most).filter(|m| *m == 1 || m % (width / 16).max(1) == 0).collect();
    let mut series = Vec::new();
    let mut law = |colour: usize, f: &dyn Fn(usize) -> f64| {
        let points = loads.iter().map(|m| Point::new(count(*m) / count(width), f(*m))).collect();
        series.push(Series::new("", Look::Line, colour, points));
    };
    for memory in &all {
        if let Some(rule) = memory.rule() {
            law(colour(&memory.name), &|m| mean_law(rule, width, m));
        }
    }
    law(CONVERGED, &|m| laws::least_squares(width, m));
    for memory in rows.words("memory") {
        let points = over(rows.with("memory", &memory).points("M", "NMSE", Some("se")), count(width));
        let name = if memory == "delta" { "delta, one pass" } else { memory.as_str() };
        series.push(Series::new(named(name, legend), Look::Marks, colour(&memory), points));
    }
    let points = over(converged.points("M", "NMSE", Some("se")), count(width));
    series.push(Series::new(named("delta, many passes", legend), Look::Marks, CONVERGED, points));
    Ok(panel(
        format!("keys of d = {d}"),
        Axis::new("load M/d", ""),
        Axis::new("NMSE", "").range(0.0, 2.1),
        series,
    ))
}

fn largest(rows: &Rows<'_>, column: &str) -> usize {
    rows.words(column).iter().filter_map(|m| m.parse().ok()).max().unwrap_or(1)
}

/// Wrong signs over load.
fn sign_panel(ran: &Experimented<'_>, d: &str) -> Result<Panel, Diagnostics> {
    let rows = ran.rows("capacity")?.with("d", d);
    let width: usize = d.parse().unwrap_or(1);
    let law = (width.div_ceil(2)..=largest(&rows, "M"))
        .map(|m| Point::new(count(m) / count(width), laws::hebbian_sign_error(width, m)))
        .collect();
    let mut series = vec![Series::new("", Look::Line, HEBBIAN, law)];
    for memory in rows.words("memory") {
        let points = over(rows.with("memory", &memory).points("M", "sign", Some("sign_se")), count(width));
        series.push(Series::new("", Look::Marks, colour(&memory), points));
    }
    let points = over(ran.rows("converged")?.with("d", d).points("M", "sign", None), count(width));
    series.push(Series::new("", Look::Marks, CONVERGED, points));
    Ok(panel(
        format!("wrong signs (d = {d})"),
        Axis::new("load M/d", ""),
        Axis::new("fraction of values", "").range(0.0, 0.35),
        series,
    ))
}

/// NMSE of one pair by its age.
fn age_panel(ran: &Experimented<'_>, d: &str) -> Result<Panel, Diagnostics> {
    let all = memories(&ran.document(&[("d", d.to_owned())])?)?;
    let rows = ran.rows("ages")?.with("d", d);
    let width: usize = d.parse().unwrap_or(1);
    let mut series = Vec::new();
    for memory in &all {
        let mine = rows.with("memory", &memory.name);
        let (m, oldest) = (largest(&mine, "M"), largest(&mine, "age"));
        let law: Vec<f64> = match memory.rule() {
            Some(Rule::Decay(g)) => (0..=oldest).map(|age| laws::decay(width, m, g, age)).collect(),
            Some(Rule::Delta(b)) => {
                let youngest_last = laws::delta_once(width, m, b);
                youngest_last.into_iter().rev().take(oldest + 1).collect()
            }
            _ => continue,
        };
        let points = law.into_iter().enumerate().skip(1).map(|(age, y)| Point::new(count(age), y)).collect();
        series.push(Series::new("", Look::Line, colour(&memory.name), points));
        let points = mine.points("age", "NMSE", Some("se"));
        series.push(Series::new(memory.name.as_str(), Look::Marks, colour(&memory.name), points));
    }
    Ok(panel(
        format!("a pair by its age (d = {d})"),
        Axis::new("writes since then", "").log(),
        Axis::new("NMSE", "").range(0.0, 2.2),
        series,
    ))
}

/// Recall of the first pair where all others are against it.
fn worst_panel(ran: &Experimented<'_>) -> Result<Panel, Diagnostics> {
    let rows = ran.rows("aligned")?;
    let law = vec![Point::new(0.0, 1.0), Point::new(2.0, -1.0)];
    let mut series = vec![Series::new("1 - (M-1)/sqrt(d)", Look::Line, HEBBIAN, law)];
    for (number, d) in rows.words("d").iter().enumerate() {
        let root = d.parse::<f64>().unwrap_or(1.0).sqrt();
        let points = rows.with("d", d).points("M", "recall", None);
        let points = points.into_iter().map(|p| Point::new((p.x - 1.0) / root, p.y)).collect();
        series.push(Series::new(format!("d = {d}"), Look::Marks, DECAY + number, points));
    }
    Ok(panel(
        "worst case (aligned keys)",
        Axis::new("(M - 1)/sqrt(d)", ""),
        Axis::new("projected recall", "").range(-1.2, 1.2),
        series,
    ))
}

/// Squared error and decoding of the same recalls.
fn crossover_panels(ran: &Experimented<'_>) -> Result<Vec<Panel>, Diagnostics> {
    let rows = ran.rows("crossover")?;
    let disagree = rows.words("M").into_iter().find(|m| {
        let winner = |column: &str| rows.with("M", m).with(column, "*").words("memory");
        let (error, decoding) = (winner("best_NMSE"), winner("best_nearest"));
        !error.is_empty() && !decoding.is_empty() && error != decoding
    });
    let guides: Vec<Guide> = disagree
        .and_then(|m| m.parse().ok())
        .map(|at| Guide { at, is_vertical: true, words: "winners differ from here".to_owned() })
        .into_iter()
        .collect();
    let panel = |title: &str, y: Axis, column: &str, se: &str, legend: bool| {
        let series = rows
            .words("memory")
            .iter()
            .map(|memory| {
                let points = rows.with("memory", memory).points("M", column, Some(se));
                Series::new(named(memory, legend), Look::LineAndMarks, colour(memory), points)
            })
            .collect();
        let x = Axis::new("pairs M", "").log();
        Panel {
            title: title.to_owned(),
            share: 1.0,
            content: Content::Axes(Axes { x, y, series, guides: guides.clone() }),
        }
    };
    Ok(vec![
        panel("by squared error", Axis::new("NMSE", ""), "NMSE", "se", true),
        panel(
            "by nearest value",
            Axis::new("right answers", "").range(0.0, 1.05),
            "nearest",
            "nearest_se",
            false,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::{Quiet, find};

    /// Marks lie on their lines, and the crossover is there: on a file of two widths and fewer draws.
    #[test]
    fn panels_show_what_the_caption_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = find("capacity").expect("there").text;
        let small = text.replace("d: [16, 64, 256]", "d: [16, 64]").replacen("trials: 400", "trials: 100", 1);
        assert_ne!(small, text);
        std::fs::write(folder.path().join("associative_memory.yaml"), small).expect("written");
        let making = Making { circuits: folder.path(), full: false, progress: &Quiet };
        let figure = make(&making).unwrap_or_else(|d| panic!("{d}"));
        let axes = |row: usize, panel: usize| match &figure.rows[row].panels[panel].content {
            Content::Axes(axes) => axes.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(figure.rows[0].panels.len(), 2, "one panel for each width");
        for (panel, draws) in [(0, 100), (1, 50)] {
            let series = axes(0, panel).series;
            let (lines, marks) = series.split_at(4);
            for (line, marks) in lines.iter().zip(marks) {
                assert_eq!(line.colour, marks.colour);
                for p in &marks.points {
                    let on =
                        line.points.iter().find(|q| (q.x - p.x).abs() < 1e-12).expect("the line is there");
                    let [low, high] = p.spread.expect("a bar");
                    // Bars are 3 standard errors: 4 are allowed.
                    let allowed = (high - low) / 2.0 / BARS * 4.0 + 1e-8;
                    assert!((on.y - p.y).abs() <= allowed, "{} draws: {p:?} beside {on:?}", draws);
                }
            }
        }
        let worst = axes(1, 2).series;
        for p in worst[1..].iter().flat_map(|s| &s.points) {
            assert!((p.y - (1.0 - p.x)).abs() < 1e-11, "{p:?}");
        }
        let guides = axes(2, 1).guides;
        assert_eq!(guides.len(), 1);
        let winner = |panel: usize, best: fn(f64, f64) -> bool| {
            let series = axes(2, panel).series;
            let at = |s: &Series| s.points.iter().find(|p| p.x == guides[0].at).expect("this M").y;
            let mut first = &series[0];
            for s in &series {
                if best(at(s), at(first)) {
                    first = s;
                }
            }
            first.colour
        };
        assert_eq!(winner(0, |a, b| a < b), super::super::tables::DELTA, "by squared error");
        assert_eq!(winner(1, |a, b| a > b), HEBBIAN, "by decoding");
    }
}
