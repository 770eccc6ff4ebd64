//! Who drives the soma after the match.

use super::super::Making;
use super::{CABLE, SOURCE, TOLERANCE, circuits, lab, panel, quoted, unnamed, with_se};
use crate::experiments::match_and_control::Estimate;
use crate::experiments::match_and_control::Lab;
use crate::experiments::match_and_control::control::{Outcomes, Phase, run};
use crate::experiments::match_and_control::published::{self, PHASES};
use crate::figures::sheet::{Axes, Axis, Figure, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;

/// Colour of rates among trials in which the soma spiked.
const SPIKING: usize = 5;
/// Fewer trials make no point.
const LEAST: usize = 3;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let phases = PHASES.iter().map(|p| run(lab, p.window_ms)).collect::<Result<Vec<Phase>, _>>()?;
    let all: Vec<Outcomes> = phases.iter().map(Outcomes::all).collect();
    let bars = |f: &dyn Fn(&Outcomes) -> Estimate| -> Vec<Point> {
        all.iter().enumerate().map(|(i, o)| with_se(i as f64, &f(o))).collect()
    };
    let marks = |f: &dyn Fn(&published::Phase) -> f64| {
        quoted(PHASES.iter().enumerate().map(|(i, p)| (i as f64, f(p))))
    };
    let windows = || Axis::new("match window", "s").names(["0.5", "1", "2"]);
    let success = Axes {
        x: windows(),
        y: Axis::new("keys followed", "").range(0.0, 1.1),
        series: vec![Series::new("cable", Look::Bars, CABLE, bars(&|o| o.success)), marks(&|p| p.success.0)],
        guides: vec![],
    };
    let spurious = Axes {
        x: windows(),
        y: Axis::new("spurious spikes", "").range(0.0, 0.6),
        series: vec![
            Series::new("as published", Look::Bars, CABLE, bars(&|o| o.spurious)),
            Series::new("if the soma spiked", Look::Bars, SPIKING, bars(&|o| o.spurious_if_spiking)),
            unnamed(marks(&|p| p.spurious.0)),
        ],
        guides: vec![],
    };
    let by = |y: &str, top: f64, which: Which| -> Vec<Panel> {
        let panels = phases.iter().zip(&PHASES);
        panels.map(|(phase, known)| by_queries(phase, known, y, top, which)).collect()
    };
    Ok(Figure {
        title: "The matched axon takes control of the soma".to_owned(),
        caption: caption(&all),
        source: format!("{SOURCE}; figure 5 is the published counterpart."),
        circuits: circuits(),
        width: Width::Page,
        rows: vec![
            Row {
                height_mm: 48.0,
                panels: vec![panel("success", 1.0, success), panel("spurious", 1.0, spurious)],
            },
            Row { height_mm: 44.0, panels: by("keys followed", 1.1, Which::Success) },
            Row { height_mm: 44.0, panels: by("spurious spikes", 1.0, Which::Spurious) },
        ],
        tolerance: TOLERANCE,
    })
}

fn caption(all: &[Outcomes]) -> String {
    let list = |f: &dyn Fn(&Outcomes) -> Estimate| {
        let one = |o: &Outcomes| format!("{:.3} +- {:.3}", f(o).value, f(o).se);
        all.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let silent = all.iter().map(|o| format!("{:.2}", o.silent)).collect::<Vec<_>>().join(", ");
    format!(
        "A match window, 0.5 s of pause, 1 s of control in which the query is silent; cable, n = {} trials for each window. **A** \
         share of the matched axon's spikes that a somatic spike follows within 20 ms: {}. **B** share of somatic spikes that \
         follow none of them; counted as published a trial with a silent soma has none ({}), among trials in which the soma \
         spiked it is {}. The soma was silent in {silent} of the trials. **C-H** the same by number of query spikes, numbers with \
         fewer than {LEAST} trials left out; light: trials in which the soma spiked. Means over trials; error bars: standard \
         error. Quoted: 0.336, 0.683, 0.913 and 0.145, 0.115, 0.110 (1,000 trials each).",
        all.first().map_or(0, |o| o.trials),
        list(&|o| o.success),
        list(&|o| o.spurious),
        list(&|o| o.spurious_if_spiking)
    )
}

#[derive(Clone, Copy)]
enum Which {
    Success,
    Spurious,
}

fn by_queries(phase: &Phase, known: &published::Phase, y: &str, top: f64, which: Which) -> Panel {
    let found = phase.by_queries(LEAST);
    let of = |f: &dyn Fn(&Outcomes) -> Estimate| -> Vec<Point> {
        let all = found.iter().map(|(n, o)| (*n as f64, f(o)));
        all.filter(|(_, e)| e.n >= LEAST).map(|(n, e)| with_se(n, &e)).collect()
    };
    let marks = known.by_queries.iter();
    let series = match which {
        Which::Success => vec![
            Series::new("", Look::LineAndMarks, CABLE, of(&|o| o.success)),
            unnamed(quoted(marks.map(|k| (k.0 as f64, k.1)))),
        ],
        Which::Spurious => vec![
            Series::new("", Look::LineAndMarks, CABLE, of(&|o| o.spurious)),
            Series::new("", Look::LineAndMarks, SPIKING, of(&|o| o.spurious_if_spiking)),
            unnamed(quoted(marks.map(|k| (k.0 as f64, k.2)))),
        ],
    };
    let axes = Axes {
        x: Axis::new("query spikes", ""),
        y: Axis::new(y, "").range(0.0, top),
        series: series.into_iter().filter(|s| !s.points.is_empty()).collect(),
        guides: vec![],
    };
    panel(format!("{} s", phase.window_ms / 1000.0), 1.0, axes)
}
