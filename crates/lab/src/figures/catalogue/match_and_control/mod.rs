//! Figures of match-and-control: the published protocols on the cable neuron, beside the published numbers.
//!
//! **Deliberately absent:** the protocols themselves, which are [`crate::experiments::match_and_control`].

mod attention_kernel;
mod calcium_offset;
mod control_phase;
mod kernel;
mod matching;
mod potentiation;
mod spine_delay;

use super::{Entry, Group, Making};
use crate::experiments::match_and_control::{Estimate, Lab, Plan, Sizes};
use crate::figures::sheet::{Axes, Content, Look, Panel, Point, Series};
use pulvinar::diag::Diagnostics;
use pulvinar::spec::read_file;

/// What published numbers are called in every legend.
const QUOTED: &str = "Ellwood 2024, quoted numbers";
const SOURCE: &str =
    "Protocols and quoted numbers: Ellwood 2024 (match-and-control). Neuron, runs and drawing are ours";
/// The circuit that the numbers come from.
const CIRCUIT: &str = "match_and_control.yaml";
/// The same machine gives the same bytes; others round differently.
const TOLERANCE: f64 = 1e-6;

/// Places in the palette.
const CABLE: usize = 0;
const REFERENCE: usize = 1;
const EVENT: usize = 2;

/// The figures of this group.
pub const ALL: [Entry; 7] = [
    entry(
        "spine-delay",
        "delay of the somatic spike in the spines against their distance",
        spine_delay::make,
    ),
    entry("calcium-offset", "calcium integral against the offset of key and query", calcium_offset::make),
    entry("kernel", "calcium as a sum over pairs of spikes", kernel::make),
    entry("matching", "matched and unmatched axons told apart, by window and jitter", matching::make),
    entry("potentiation", "gain of synapses, a success and a failure in time", potentiation::make),
    entry("control-phase", "who drives the soma after the match", control_phase::make),
    entry("attention-kernel", "which kernel of vectors the race of axons is", attention_kernel::make),
];

const fn entry(name: &'static str, about: &'static str, make: super::Make) -> Entry {
    super::entry(name, Group::MatchAndControl, about, make)
}

/// The neuron, and how much is run.
fn lab<'a>(making: &'a Making<'_>) -> Result<Lab<'a>, Diagnostics> {
    let sizes = if making.full { Sizes::full() } else { Sizes::quick() };
    let document = read_file(&making.circuits.join(CIRCUIT), &[])?;
    Lab::new(Plan::of(&document, sizes)?, making.progress)
}

fn circuits() -> Vec<String> {
    vec![CIRCUIT.to_owned()]
}

/// A panel of axes.
fn panel(title: impl Into<String>, share: f64, axes: Axes) -> Panel {
    Panel { title: title.into(), share, content: Content::Axes(axes) }
}

/// A point with its standard error.
fn with_se(x: f64, y: &Estimate) -> Point {
    Point::with_error(x, y.value, y.se)
}

fn points(xy: impl IntoIterator<Item = (f64, f64)>) -> Vec<Point> {
    xy.into_iter().map(|(x, y)| Point::new(x, y)).collect()
}

/// Published numbers.
fn quoted(xy: impl IntoIterator<Item = (f64, f64)>) -> Series {
    Series::new(QUOTED, Look::Marks, REFERENCE, points(xy))
}

/// The same series without a place in the legend.
fn unnamed(series: Series) -> Series {
    Series { name: String::new(), ..series }
}

#[cfg(test)]
mod tests;
