//! Calcium as a sum over pairs of spikes.

use super::super::Making;
use super::{CABLE, EVENT, SOURCE, TOLERANCE, circuits, lab, panel, points, quoted, unnamed, with_se};
use crate::experiments::match_and_control::Lab;
use crate::experiments::match_and_control::{kernel, published};
use crate::figures::sheet::{Axes, Axis, Figure, Look, Row, Series, Width};
use pulvinar::diag::Diagnostics;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let found = kernel::fit(lab)?;
    let over_lags = |values: &[f64]| points(found.lags_ms.iter().copied().zip(values.iter().copied()));
    let closed = (-90..=90).map(|i| 0.5 * f64::from(i)).map(|ms| (ms, published::kernel(ms)));
    let kernels = Axes {
        x: Axis::new("lag of the spike in the spine", "ms").range(-45.0, 45.0),
        y: Axis::new("kernel", "thresholds per pair").range(-0.02, 0.35),
        series: vec![
            Series::new("fit to cable", Look::Line, CABLE, over_lags(&found.values)),
            Series::new("closed form", Look::Dashed, EVENT, over_lags(&found.event)),
            Series::new("parametric form", Look::Dashed, REFERENCE_FORM, points(closed)),
            quoted(published::KERNEL.iter().map(|k| (k.0, k.2))),
        ],
        guides: vec![],
    };
    let bars = [&found.train, &found.test, &found.published, &found.event_test];
    let bars = bars.iter().enumerate().map(|(i, e)| with_se(i as f64, e)).collect();
    let (published, train, test) = published::EXPLAINED;
    let explained = Axes {
        x: Axis::new("", "").names(["fit, training", "fit, test", "parametric", "closed form"]),
        y: Axis::new("explained variance", "").range(0.0, 1.0),
        series: vec![
            Series::new("cable", Look::Bars, CABLE, bars),
            unnamed(quoted([(0.0, train), (1.0, test), (2.0, test)])),
        ],
        guides: vec![],
    };
    let (n_train, n_test) = lab.sizes.kernel;
    Ok(Figure {
        title: "Calcium is nearly a sum over pairs of key and query spikes".to_owned(),
        caption: format!(
            "Keys and query fire independently at 6 Hz for 1 s. **A** kernel K of g = sum over pairs K(query + delay - key), \
             fitted to {n_train} trials x {} axons of the cable (least squares with a penalty of 0.01 on squared differences of \
             neighbouring lags; integrals beyond 4 standard deviations left out), largest at {} ms; the closed form of the \
             match phase; the parametric form of the published fit; circles: a new fit to the published runs. Rms distance of \
             fit and circles: {:.1} % of the peak. **B** variance of the cable's integrals that each explains, in training \
             trials and in {n_test} test trials (without outliers beyond 4 standard deviations); error bars: standard error from \
             200 resamplings of trials. Published: {published}.",
            lab.neuron.axons,
            found.best_ms(),
            100.0 * found.off_by()
        ),
        source: format!("{SOURCE}; figure 2C, D is the published counterpart."),
        circuits: circuits(),
        width: Width::Page,
        rows: vec![Row {
            height_mm: 55.0,
            panels: vec![panel("kernel", 1.2, kernels), panel("explained variance", 1.0, explained)],
        }],
        tolerance: TOLERANCE,
    })
}

/// Colour of the published closed form.
const REFERENCE_FORM: usize = 4;
