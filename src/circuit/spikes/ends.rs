//! Projections to the spines and the soma of the neuron.

use super::find::Found;
use super::{Cells, SpikeEnd, SpikeProjection};
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use crate::spec::{CableSpec, CircuitSpec, ProjectionSpec, WeightsSpec};

const COMPARTMENTS: [&str; 2] = ["spines", "soma"];
/// Published contacts of an axon.
const SPINES_PER_AXON: usize = 10;

pub fn projections(spec: &CircuitSpec, found: &mut Found, d: &mut Diagnostics) -> Vec<SpikeProjection> {
    let mut all = Vec::new();
    for (name, p) in spec.projections.iter() {
        let path = format!("projections.{name}");
        no_rates(&path, p, d);
        let from = source(p, &path, found, d);
        let to = target(p, &path, found, d);
        let (Some(from), Some((cable, compartment))) = (from, to) else { continue };
        let axons = found.populations[from].cells;
        let end = if compartment == "spines" {
            misplaced(&path, "pulse", p.pulse.is_some(), "soma", d);
            let spines = cable.spines.unwrap_or(axons.saturating_mul(SPINES_PER_AXON));
            blocks(&path, p, (spines, axons), d);
            SpikeEnd::Spines {
                per_axon: spines / axons.max(1),
                synapses: p.synapses.unwrap_or_default(),
                delay_ms: p.delay.map(|t| t.ms),
            }
        } else {
            misplaced(&path, "synapses", p.synapses.is_some(), "spines", d);
            misplaced(&path, "delay", p.delay.is_some(), "spines", d);
            one_query(&path, p, (&found.populations[from].name, axons), d);
            SpikeEnd::Soma { pulse: p.pulse }
        };
        all.push(SpikeProjection { name: name.to_owned(), path, from, end });
    }
    all
}

fn source(p: &ProjectionSpec, path: &str, found: &Found, d: &mut Diagnostics) -> Option<usize> {
    let path = format!("{path}.from");
    let from = found.named(&p.from, &path, d)?;
    if found.fires(from) {
        return Some(from);
    }
    let what = format!("`{}` is the neuron: nothing in this circuit takes its spikes", p.from);
    let help = "start at a population with `spike_trains`; the neuron's spikes are the output";
    d.push(Diagnostic::error(codes::C071, path, what).help(help));
    None
}

fn target<'a>(
    p: &ProjectionSpec,
    path: &str,
    found: &'a Found,
    d: &mut Diagnostics,
) -> Option<(&'a CableSpec, &'static str)> {
    let path = format!("{path}.to");
    let whole = found.populations.iter().find(|q| q.name == p.to);
    if let Some(population) = whole {
        let what = format!("`{}` names a population, but not the compartment to end on", p.to);
        let help = match population.does {
            Cells::Cable(_) => format!("write `{0}.spines` or `{0}.soma`", p.to),
            Cells::Fire(_) => format!("`{}` fires by itself: end on the neuron", p.to),
        };
        d.push(Diagnostic::error(codes::C012, path, what).help(help));
        return None;
    }
    let (name, compartment) = p.to.rsplit_once('.').unwrap_or((&p.to, ""));
    let number = found.named(name, &path, d)?;
    let Cells::Cable(cable) = &found.populations[number].does else {
        let what = format!("`{name}` fires by itself: nothing can end on it");
        let help = "end on the spines or the soma of the population with `cable`";
        d.push(Diagnostic::error(codes::C071, path, what).help(help));
        return None;
    };
    match COMPARTMENTS.iter().find(|c| **c == compartment) {
        Some(compartment) => Some((cable, compartment)),
        None => {
            let what = format!("a neuron as a cable has no compartment `{compartment}`");
            d.push(Diagnostic::error(codes::C012, path, what).help(did_you_mean(compartment, COMPARTMENTS)));
            None
        }
    }
}

/// Keys of a projection that say nothing about spikes.
fn no_rates(path: &str, p: &ProjectionSpec, d: &mut Diagnostics) {
    let keys = [
        ("onto", p.onto.is_some()),
        ("pool", p.pool.is_some()),
        ("gain", p.gain.is_some()),
        ("effect", p.effect != crate::spec::Effect::Additive),
        ("mask", p.mask.is_some()),
        ("plasticity", p.plasticity.is_some()),
        ("tied", p.tied.is_some()),
        ("sign", p.sign == Some(crate::spec::Sign::Inhibitory)),
    ];
    for (key, given) in keys {
        if given {
            let what = format!("`{key}` says nothing about spikes");
            let help = "remove it; `synapses` says how strong spines are, and how they change";
            d.push(Diagnostic::error(codes::C070, format!("{path}.{key}"), what).help(help));
        }
    }
}

fn misplaced(path: &str, key: &str, given: bool, belongs: &str, d: &mut Diagnostics) {
    if given {
        let what = format!("`{key}` is of projections to the {belongs}");
        d.push(Diagnostic::error(codes::C070, format!("{path}.{key}"), what).help("remove it"));
    }
}

/// Each axon contacts neighbouring spines of its own: as a matrix of spines x axons, blocks of ones.
fn blocks(path: &str, p: &ProjectionSpec, (spines, axons): (usize, usize), d: &mut Diagnostics) {
    let written = format!("{{blocks: {{count: {axons}, of: ones}}}}");
    let place = format!("{path}.weights");
    match &p.weights {
        WeightsSpec::Blocks { count, of } if **of == WeightsSpec::Ones && *count == axons => {
            if spines % axons.max(1) != 0 || spines < axons {
                let what = format!("{spines} spines do not divide into equal parts of {axons} axons");
                let help = format!("give the cable a multiple of {axons} spines, or change the number of axons");
                d.push(Diagnostic::error(codes::C072, place, what).help(help));
            }
        }
        WeightsSpec::Blocks { count, of } if **of == WeightsSpec::Ones => {
            let what = format!("{count} blocks for {axons} axons, but each axon has spines of its own");
            let help = format!("write `weights: {written}`");
            d.push(Diagnostic::error(codes::C072, format!("{place}.blocks.count"), what).help(help));
        }
        _ => {
            let what = format!(
                "the {axons} axons and {spines} spines are not joined as axons are: each contacts neighbouring spines of its own"
            );
            let help = format!("write `weights: {written}`; `synapses` says how strong they are");
            d.push(Diagnostic::error(codes::C072, place, what).help(help));
        }
    }
}

fn one_query(path: &str, p: &ProjectionSpec, (name, cells): (&str, usize), d: &mut Diagnostics) {
    if p.weights != WeightsSpec::Ones {
        let what = "a query makes the soma fire: there is nothing to weigh";
        let help = "write `weights: ones`; `pulse: {current: 4 nA, duration: 1 ms}` says how strong it is";
        d.push(Diagnostic::error(codes::C072, format!("{path}.weights"), what).help(help));
    }
    if cells != 1 {
        let what = format!("`{name}` has {cells} cells, but the query is one train");
        let help = "give the query population one cell";
        d.push(Diagnostic::error(codes::C073, format!("{path}.from"), what).help(help));
    }
}

/// One projection to the spines and one to the soma.
pub fn both(
    ends: &[SpikeProjection],
    neuron: Option<usize>,
    found: &Found,
    d: &mut Diagnostics,
) -> Option<(usize, usize)> {
    let neuron = &found.populations[neuron?];
    let mut one = |what: &str, spines: bool| {
        let fits = |p: &SpikeProjection| matches!(p.end, SpikeEnd::Spines { .. }) == spines;
        let mut these = ends.iter().enumerate().filter(|(_, p)| fits(p));
        let first = these.next();
        for (_, more) in these {
            let text = format!("a second projection ends on the {what} of `{}`", neuron.name);
            let help = "keep one: its population may have any number of axons";
            d.push(Diagnostic::error(codes::C071, format!("{}.to", more.path), text).help(help));
        }
        if first.is_none() && !d.has_errors() {
            let text = format!("nothing ends on the {what} of `{}`", neuron.name);
            let help = format!("add a projection `to: {}.{what}`", neuron.name);
            d.push(Diagnostic::error(codes::C071, &neuron.path, text).help(help));
        }
        first.map(|(number, _)| number)
    };
    let (spines, soma) = (one("spines", true), one("soma", false));
    let (spines, soma) = (spines?, soma?);
    if ends[spines].from == ends[soma].from {
        let text = format!("`{}` is both key and query", found.populations[ends[soma].from].name);
        let help = "let the query be a population of its own";
        d.push(Diagnostic::error(codes::C071, format!("{}.from", ends[soma].path), text).help(help));
    }
    Some((spines, soma))
}
