//! Gain of synapses against calcium; a success and a failure in time.

use super::super::Making;
use super::{CABLE, SOURCE, TOLERANCE, circuits, lab, panel, points, quoted};
use crate::experiments::match_and_control::Lab;
use crate::experiments::match_and_control::potentiation::{Example, Spine, examples, sigmoid};
use crate::experiments::match_and_control::published;
use crate::figures::sheet::{Axes, Axis, Figure, Guide, Look, Panel, Row, Series, Width};
use pulvinar::diag::Diagnostics;

const MATCHED: usize = 0;
const SECOND: usize = 4;
const QUERY: usize = 3;
const SOMA: usize = 5;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let found = examples(lab)?;
    let steps = (0..=100).map(|i| 0.02 * f64::from(i));
    let gain = Axes {
        x: Axis::new("lagged calcium integral", "thresholds").range(0.0, 2.0),
        y: Axis::new("factor of AMPA", "").range(0.0, 9.0),
        series: vec![
            Series::new("equation", Look::Line, CABLE, points(steps.map(|x| (x, sigmoid(lab, x))))),
            quoted(published::GAIN),
        ],
        guides: vec![],
    };
    let both = [(&found.success, true), (&found.failure, false)];
    let row = |height_mm: f64, panels: Vec<Panel>| Row { height_mm, panels };
    let words = |e: &Example| {
        format!(
            "trial {}: {} query spikes, axon {} matched, {:.0} % of its {} keys in the control phase followed",
            e.trial,
            e.queries_ms.len(),
            e.matched.axon,
            100.0 * e.success,
            e.matched.keys_ms.iter().filter(|k| **k >= e.control_from_ms).count()
        )
    };
    let top = std::iter::once(panel("gain", 0.8, gain))
        .chain(both.iter().map(|(e, good)| soma(e, *good)))
        .collect();
    Ok(Figure {
        title: "Calcium potentiates a spine; its axon may then drive the soma".to_owned(),
        caption: format!(
            "**A** factor of the AMPA conductance against the calcium integral as potentiation sees it (lag 500 ms); the factors \
             recorded in the runs below lie on it to {:.0e}. **B, C** potential of the soma in a success and a failure, the first \
             of each kind among the trials of this seed; match window 0.25 to 1.25 s, control phase from 1.75 s, when the query \
             is silent; the largest potential of every 2 ms. Marks above: queries, and keys of the matched axon. {}; {}. **D, E** calcium \
             integral of two spines, of the matched axon and of the other axon with the largest integral at the end \
             (success: axon {}, failure: axon {}); the line is the threshold. **F, G** their factors of the AMPA conductance. One \
             trial each, no averages.",
            found.gain_off.max(1e-15),
            words(&found.success),
            words(&found.failure),
            found.success.second.axon,
            found.failure.second.axon
        ),
        source: format!("{SOURCE}; figure 4 is the published counterpart (other trials)."),
        circuits: circuits(),
        width: Width::Page,
        rows: vec![
            row(46.0, top),
            row(40.0, both.iter().map(|(e, good)| integrals(e, *good)).collect()),
            row(36.0, both.iter().map(|(e, good)| gains(e, *good)).collect()),
        ],
        tolerance: TOLERANCE,
    })
}

fn name(good: bool) -> &'static str {
    if good { "success" } else { "failure" }
}

fn seconds(ms: &[f64]) -> impl Iterator<Item = f64> {
    ms.iter().map(|t| t / 1000.0)
}

fn time(example: &Example) -> Axis {
    Axis::new("time", "s").range(0.0, example.times_ms.last().copied().unwrap_or(0.0) / 1000.0)
}

fn soma(example: &Example, good: bool) -> Panel {
    let row = |times: &[f64], mv: f64| points(seconds(times).map(|t| (t, mv)));
    let series = vec![
        Series::new(
            "",
            Look::Line,
            SOMA,
            points(seconds(&example.times_ms).zip(example.soma_mv.iter().copied())),
        ),
        Series::new("query", Look::Dots, QUERY, row(&example.queries_ms, 72.0)),
        Series::new("matched keys", Look::Dots, MATCHED, row(&example.matched.keys_ms, 60.0)),
    ];
    let axes = Axes {
        x: time(example),
        y: Axis::new("soma", "mV").range(-85.0, 85.0),
        series,
        guides: vec![Guide {
            at: example.control_from_ms / 1000.0,
            is_vertical: true,
            words: "control".to_owned(),
        }],
    };
    panel(name(good), 1.0, axes)
}

/// One number of both spines over time.
fn two(example: &Example, y: Axis, of: impl Fn(&Spine) -> &[f64], guides: Vec<Guide>) -> Axes {
    let trace = |spine: &Spine| points(seconds(&example.times_ms).zip(of(spine).iter().copied()));
    Axes {
        x: time(example),
        y,
        series: vec![
            Series::new("matched", Look::Line, MATCHED, trace(&example.matched)),
            Series::new("next largest", Look::Line, SECOND, trace(&example.second)),
        ],
        guides,
    }
}

fn integrals(example: &Example, good: bool) -> Panel {
    let y = Axis::new("calcium integral", "thresholds");
    let guide = Guide { at: 1.0, is_vertical: false, words: String::new() };
    panel(name(good), 1.0, two(example, y, |s| &s.integral, vec![guide]))
}

fn gains(example: &Example, good: bool) -> Panel {
    let y = Axis::new("factor of AMPA", "").range(0.0, 9.0);
    panel(name(good), 1.0, two(example, y, |s| &s.gain, vec![]))
}
