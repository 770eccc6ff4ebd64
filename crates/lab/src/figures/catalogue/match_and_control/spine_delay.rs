//! Delay of the somatic spike in the spines.

use super::super::Making;
use super::{CABLE, SOURCE, TOLERANCE, circuits, lab, panel, points, quoted};
use crate::experiments::match_and_control::Lab;
use crate::experiments::match_and_control::{published, spine};
use crate::figures::sheet::{Axes, Axis, Figure, Guide, Look, Row, Series, Width};
use pulvinar::diag::Diagnostics;

/// Axons whose spines are shown: near the start and the end of an inner and an outer branch.
const SHOWN: [usize; 3] = [0, 24, 74];

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let spread = spine::spreading(lab, &SHOWN)?;
    let delays = spine::delays(lab);
    let mut traces = vec![Series::new(
        "soma",
        Look::Line,
        5,
        points(spread.times_ms.iter().copied().zip(spread.soma_mv.iter().copied())),
    )];
    for (colour, (um, mv)) in [0, 2, 3].into_iter().zip(&spread.heads) {
        let name = format!("spine, {um:.0} um");
        let trace = points(spread.times_ms.iter().copied().zip(mv.iter().copied()));
        traces.push(Series::new(name, Look::Line, colour, trace));
    }
    let potentials = Axes {
        x: Axis::new("time after the query", "ms"),
        y: Axis::new("membrane potential", "mV"),
        series: traces,
        guides: vec![],
    };
    let (slope, at_zero) = published::DELAY;
    let ends = [500.0, 1050.0];
    let fitted = ends.map(|um| (um, delays.slope_ms_um * um + delays.at_zero_ms));
    let against = Axes {
        x: Axis::new("path distance from the soma", "um").range(ends[0], ends[1]),
        y: Axis::new("delay of the peak", "ms").range(0.0, 6.0),
        series: vec![
            Series::new(
                "one axon",
                Look::Dots,
                CABLE,
                points(delays.distances_um.iter().copied().zip(delays.delays_ms.iter().copied())),
            ),
            Series::new("least-squares line", Look::Line, CABLE, points(fitted)),
            quoted((0..6).map(|i| 527.0 + 99.0 * f64::from(i)).map(|um| (um, slope * um + at_zero))),
        ],
        guides: Vec::<Guide>::new(),
    };
    let repeats = lab.sizes.delays;
    Ok(Figure {
        title: "The somatic spike reaches far spines later".to_owned(),
        caption: format!(
            "**A** a query (4 nA for 1 ms into the soma at 0 ms) makes a somatic spike that travels into the tuft; potentials of \
             the soma and of three spine heads, no other input. **B** delay from the onset of the query to the peak in the spine \
             head, one dot for each of {} axons (mean of {repeats} runs with all axons firing at 6 Hz; peaks by a parabola \
             through three samples). Measured here: delay = {:.5} ms/um d {:+.3} ms, correlation {:.3}. Quoted: the line \
             0.006802 ms/um d - 2.010 ms (circles at six distances, not data points).",
            delays.delays_ms.len(),
            delays.slope_ms_um,
            delays.at_zero_ms,
            delays.correlation
        ),
        source: format!("{SOURCE}; figure 2B is the published counterpart of B."),
        circuits: circuits(),
        width: Width::Page,
        rows: vec![Row {
            height_mm: 52.0,
            panels: vec![panel("a spike travels", 1.0, potentials), panel("delay by distance", 1.0, against)],
        }],
        tolerance: TOLERANCE,
    })
}
