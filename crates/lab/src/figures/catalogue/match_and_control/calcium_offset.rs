//! Calcium against the offset of key and query.

use super::super::Making;
use super::{CABLE, EVENT, SOURCE, TOLERANCE, circuits, lab, panel, points, quoted, with_se};
use crate::experiments::match_and_control::Lab;
use crate::experiments::match_and_control::{published, spine};
use crate::figures::sheet::{Axes, Axis, Figure, Guide, Look, Row, Series, Width};
use pulvinar::diag::Diagnostics;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let curve = spine::offsets(lab)?;
    let theta = lab.theta(1000.0)?;
    let measured = curve.iter().map(|c| with_se(c.offset_ms, &c.integral)).collect();
    let fine = (-20..=80).map(|i| 0.25 * f64::from(i));
    let event = fine.map(|ms| (ms, 2.0 * lab.event.kernel(ms) / theta));
    let axes = Axes {
        x: Axis::new("spike in the spine after the key spike", "ms"),
        y: Axis::new("calcium integral", "thresholds").range(0.0, 0.7),
        series: vec![
            Series::new("cable", Look::LineAndMarks, CABLE, measured),
            Series::new("closed form", Look::Dashed, EVENT, points(event)),
            quoted(published::OFFSETS),
        ],
        guides: vec![Guide { at: 7.0, is_vertical: true, words: "7 ms".to_owned() }],
    };
    let (axons, runs) = lab.sizes.offsets;
    Ok(Figure {
        title: "Calcium depends on the offset of key and query".to_owned(),
        caption: format!(
            "Integral of (calcium - rest)^4 left in a spine by two key spikes, each followed by a somatic spike that arrives \
             there after the offset; in thresholds of potentiation of the 1-s window ({theta:.4e} mM^4 ms). Mean and standard \
             error over {} runs ({axons} axons, {runs} runs each, all other axons firing at 6 Hz). Dashed: twice the kernel of \
             the closed form without noise. Rms distance of the cable to the quoted curve: {:.1} % of its peak; largest at \
             {} ms.",
            axons * runs,
            100.0 * spine::off_by(&curve),
            spine::best(&curve)
        ),
        source: format!("{SOURCE}; figure 3A is the published counterpart (quoted before smoothing)."),
        circuits: circuits(),
        width: Width::Column,
        rows: vec![Row { height_mm: 58.0, panels: vec![panel("two pairings", 1.0, axes)] }],
        tolerance: TOLERANCE,
    })
}
