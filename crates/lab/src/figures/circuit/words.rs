//! Words of a drawing, and how wide they are.

use crate::figures::font::{self, Face};
use pulvinar::circuit::{Indices, Population};
use pulvinar::spec::{AccumulateSpec, SpikeTrainsSpec};
use pulvinar::vocabulary::{Activation, Function};

/// Letters of a name that are shown.
const LONGEST: usize = 22;

/// A name as it is shown.
pub(super) fn shortened(name: &str) -> String {
    cut(name, LONGEST)
}

/// Long names lose their middle; what no text may hold is replaced.
pub(super) fn cut(name: &str, longest: usize) -> String {
    let illegal = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let letters: Vec<char> = name.chars().map(|c| if illegal(c) { '?' } else { c }).collect();
    if letters.len() <= longest {
        return letters.into_iter().collect();
    }
    let half = longest / 2;
    let head: String = letters[..half].iter().collect();
    let tail: String = letters[letters.len() - (half - 1)..].iter().collect();
    format!("{head}\u{2026}{tail}")
}

/// `1 area`, `3 areas`.
pub(super) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Size, indices, nonlinearity and memory of a population; its layer where the band does not say it.
pub(super) fn about(p: &Population, band: &str) -> Vec<String> {
    let mut lines = vec![if p.microcolumns == 1 {
        counted(p.cells, "cell")
    } else {
        format!("{} \u{d7} {} cells", p.microcolumns, p.cells)
    }];
    let mut more: Vec<String> = Vec::new();
    more.extend(per(p.indices).map(|i| format!("per {i}")));
    more.extend(p.layer.iter().filter(|l| *l != band).cloned());
    more.extend(nonlinearity(p.activation));
    if !more.is_empty() {
        lines.push(more.join(", "));
    }
    lines.extend(p.options.spike_trains.as_ref().map(|trains| match trains {
        SpikeTrainsSpec::Renewal { rate, .. } => format!("{} Hz", rate.value),
        SpikeTrainsSpec::Follow { .. } => "follows".to_owned(),
        SpikeTrainsSpec::Times { .. } | SpikeTrainsSpec::File { .. } => "given spikes".to_owned(),
    }));
    lines.extend(p.options.cable.as_ref().map(|_| "cable".to_owned()));
    lines.extend(p.accumulate.map(|a| match a {
        AccumulateSpec::Hebbian { .. } => "Hebbian".to_owned(),
        AccumulateSpec::Decay { g, .. } => format!("decay {g}"),
        AccumulateSpec::Delta { .. } => "delta rule".to_owned(),
        AccumulateSpec::Gated {} => "gated".to_owned(),
    }));
    lines
}

/// Token indices by their letters.
pub(super) fn per(indices: Indices) -> Option<&'static str> {
    match (indices.query, indices.context) {
        (true, true) => Some("i, j"),
        (true, false) => Some("i"),
        (false, true) => Some("j"),
        (false, false) => None,
    }
}

fn nonlinearity(activation: Activation) -> Option<String> {
    match activation {
        // The first is drawn into the cell, the second goes without saying.
        Activation::Product | Activation::LINEAR => None,
        Activation::Function(Function::EluPlusOne) => Some("elu + 1".to_owned()),
        other => Some(other.name().replace('_', " ")),
    }
}

/// Width of a text in pixels for a font of `size` pixels.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    font::width(text, size, if bold { Face::Bold } else { Face::Sans })
}
