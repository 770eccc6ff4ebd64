//! Matched and unmatched axons told apart.

use super::super::Making;
use super::{CABLE, EVENT, SOURCE, TOLERANCE, circuits, lab, panel, points, quoted, unnamed, with_se};
use crate::experiments::match_and_control::matching::{Matches, density, run};
use crate::experiments::match_and_control::published::{RATES, WINDOWS};
use crate::experiments::match_and_control::{Fidelity, Lab};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Guide, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;

/// Colours of matched and unmatched axons, and of the rows of [`WINDOWS`].
const MATCHED: usize = 0;
const OTHERS: usize = 4;
const COLOURS: [usize; 5] = [5, 0, 3, 2, 4];
/// Points of a ROC curve.
const POINTS: i32 = 50;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let all = |fidelity: Fidelity| -> Result<Vec<Matches>, Diagnostics> {
        WINDOWS.iter().map(|w| run(lab, w.window_ms, w.jitter_ms, fidelity)).collect()
    };
    let (cable, event) = (all(Fidelity::Cable)?, all(Fidelity::Event)?);
    let densities = (0..3).map(|i| histogram(&cable[i], &event[i], i == 0)).collect();
    let rocs = vec![
        curves("by window", &cable, &[0, 1, 2]),
        curves("1 s, by jitter of the query", &cable, &[1, 3, 4]),
        areas(&cable, &event),
    ];
    Ok(Figure {
        title: "The query's axon is told from the others by its calcium".to_owned(),
        caption: caption(lab, &cable, &event),
        source: format!("{SOURCE}; figure 3B to G is the published counterpart."),
        circuits: circuits(),
        width: Width::Page,
        rows: vec![Row { height_mm: 46.0, panels: densities }, Row { height_mm: 52.0, panels: rocs }],
        tolerance: TOLERANCE,
    })
}

fn caption(lab: &Lab<'_>, cable: &[Matches], event: &[Matches]) -> String {
    let area = |m: &[Matches], i: usize| format!("{:.3}", m[i].auc().value);
    let list = |m: &[Matches]| (0..5).map(|i| area(m, i)).collect::<Vec<_>>().join(", ");
    format!(
        "The query repeats the train of one axon, so that its spikes reach that axon's spines 7 ms after each key; all axons \
         fire at 6 Hz. **A-C** calcium integrals in thresholds after windows of 0.5, 1 and 2 s: of the matched axon and, one \
         for each trial, the largest of the other 149. Steps: cable, n = {} trials; dashed: closed form, n = {}. **D, E** share of \
         trials whose matched axon passes a threshold against the share whose largest other axon does, cable. **F** area under these \
         curves; bars of error: standard error over trials. Windows 0.5, 1, 2 s and 1 s with 1, 2 ms of jitter: cable {}, closed \
         form {}, quoted 0.681, 0.915, 0.992, 0.899, 0.865. The closed form is used for match phases only.",
        lab.sizes.matched,
        lab.sizes.event.0,
        list(cable),
        list(event)
    )
}

fn histogram(cable: &Matches, event: &Matches, is_first: bool) -> Panel {
    let (to, wide) = (4.0, 0.25);
    let name = |name: &str| if is_first { name.to_owned() } else { String::new() };
    let series = vec![
        Series::new(name("largest other"), Look::Steps, OTHERS, points(density(&cable.best_other, wide, to))),
        Series::new(name("matched"), Look::Steps, MATCHED, points(density(&cable.matched, wide, to))),
        Series::new("", Look::Dashed, OTHERS, points(density(&event.best_other, wide, to))),
        Series::new("", Look::Dashed, MATCHED, points(density(&event.matched, wide, to))),
    ];
    let axes = Axes {
        x: Axis::new("calcium integral", "thresholds").range(0.0, to),
        y: Axis::new("density", "1 / threshold").range(0.0, 2.4),
        series,
        guides: vec![Guide { at: 1.0, is_vertical: true, words: String::new() }],
    };
    panel(format!("{} s window", cable.window_ms / 1000.0), 1.0, axes)
}

/// ROC curves of some windows with the quoted points.
fn curves(title: &str, cable: &[Matches], which: &[usize]) -> Panel {
    let rates: Vec<f64> = (0..=POINTS).map(|i| f64::from(i) / f64::from(POINTS)).collect();
    let by_jitter = which.iter().any(|&i| WINDOWS[i].jitter_ms > 0.0);
    let mut series = Vec::new();
    for &i in which {
        let window = &WINDOWS[i];
        let name = if by_jitter {
            format!("{} ms", window.jitter_ms)
        } else {
            format!("{} s", window.window_ms / 1000.0)
        };
        let curve = points(rates.iter().copied().zip(cable[i].roc(&rates)));
        series.push(Series::new(name, Look::Line, COLOURS[i], curve));
    }
    for (place, &i) in which.iter().enumerate() {
        let marks = quoted(RATES.iter().copied().zip(WINDOWS[i].roc));
        series.push(if place == 0 && by_jitter { marks } else { unnamed(marks) });
    }
    let axes = Axes {
        x: Axis::new("false positives", "").range(0.0, 1.0),
        y: Axis::new("true positives", "").range(0.0, 1.0),
        series,
        guides: vec![],
    };
    panel(title, 1.0, axes)
}

fn areas(cable: &[Matches], event: &[Matches]) -> Panel {
    let of = |all: &[Matches]| -> Vec<Point> {
        all.iter().enumerate().map(|(i, m)| with_se(i as f64, &m.auc())).collect()
    };
    let axes = Axes {
        x: Axis::new("window (s), jitter (ms)", "").names(["0.5", "1", "2", "1, 1", "1, 2"]),
        y: Axis::new("area under the curve", "").range(0.5, 1.02),
        series: vec![
            Series::new("cable", Look::Bars, CABLE, of(cable)),
            Series::new("closed form", Look::Bars, EVENT, of(event)),
            unnamed(quoted(WINDOWS.iter().enumerate().map(|(i, w)| (i as f64, w.auc)))),
        ],
        guides: vec![],
    };
    Panel { title: "area".to_owned(), share: 1.0, content: Content::Axes(axes) }
}
