//! Projections: endpoints, index rules, shapes and weights.

use super::build::Names;
use super::matrices::{Wiring, axis, pool_axis};
use super::rules::{endpoint_rules, index_rule};
use super::synapses::{Synapses, Weights};
use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{CircuitSpec, Effect, ProjectionSpec, Sign, WeightsSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All projections, or what stands in their way.
pub struct Wires {
    pub projections: Vec<Projection>,
    /// (population, compartment) that some projection names as its end, or seems to
    pub reached: BTreeSet<(PopulationId, Compartment)>,
}

pub fn wires(spec: &CircuitSpec, names: &Names, folder: &Path, d: &mut Diagnostics) -> Wires {
    let mut w = Wiring::new(spec, names, folder);
    let mut wires = Wires { projections: Vec::new(), reached: BTreeSet::new() };
    let mut ends = Vec::new();
    for (name, p) in spec.projections.iter() {
        let path = format!("projections.{name}");
        let from = names.source(&p.from, &format!("{path}.from"), d);
        let to = names.target(&p.to, &format!("{path}.to"), d);
        match to {
            Some(to) => wires.reached.extend([to]),
            None => wires.reached.extend(names.likely_target(&p.to)),
        }
        ends.push(from.zip(to));
    }
    let ids: BTreeMap<&str, usize> = {
        let mut next = 0;
        let mut ids = BTreeMap::new();
        for ((name, _), end) in spec.projections.iter().zip(&ends) {
            if end.is_some() {
                ids.insert(name, next);
                next += 1;
            }
        }
        ids
    };
    for ((name, p), end) in spec.projections.iter().zip(&ends) {
        let Some((from, (to, compartment))) = end else { continue };
        let path = format!("projections.{name}");
        let (source, target) = (&names.populations[from.population.0], &names.populations[to.0]);
        endpoint_rules(&path, p, source, from.signal, target, *compartment, d);
        if let Signal::Feedback(of, Effect::Divisive) = from.signal {
            let divides = |(q, end): (&ProjectionSpec, &Option<_>)| {
                let there = end.as_ref().is_none_or(|(_, to)| *to == (from.population, of));
                q.effect == Effect::Divisive && there
            };
            if !spec.projections.iter().map(|(_, q)| q).zip(&ends).any(divides) {
                d.push(no_divisor(&path, source, of));
            }
        }
        let index = index_rule(spec, &path, p, source, from.signal, target, *compartment, d)
            .unwrap_or(IndexRule::Broadcast);
        let (onto, rows) = axis(p.onto, target, "onto", &path, d);
        let (pool, columns) = pool_axis(p.pool, source, &path, d);
        let weights = w.matrix(name, &mut Vec::new(), d);
        let weights = weights.unwrap_or(Weights::Constant { rows, columns, value: 0.0 });
        check_sign(&path, p, &weights, d);
        let tie = match &p.weights {
            WeightsSpec::SameAs(other) => ids.get(other.as_str()).map(|i| (i, false)),
            WeightsSpec::TransposeOf(other) => ids.get(other.as_str()).map(|i| (i, true)),
            _ => None,
        };
        wires.projections.push(Projection {
            name: name.to_owned(),
            path,
            from: from.population,
            signal: from.signal,
            to: *to,
            compartment: *compartment,
            synapses: Synapses { weights, onto, pool },
            effect: p.effect,
            index,
            sign: p.sign,
            plasticity: p.plasticity,
            delay_ms: p.delay.map(|t| t.ms),
            tied: p.tied.unwrap_or(true),
            tie: tie.map(|(i, transposed)| Tie { to: ProjectionId(*i), transposed }),
        });
    }
    wires
}

/// Feedback of a divisor that is not there.
fn no_divisor(path: &str, source: &Population, of: Compartment) -> Diagnostic {
    let what = format!("nothing divides the {} compartment of `{}`", of.name(), source.name);
    Diagnostic::error(codes::C011, format!("{path}.from"), what).help(format!(
        "write `{}.feedback.{}`, or let a projection with `effect: divisive` end there",
        source.name,
        of.name()
    ))
}

fn check_sign(path: &str, p: &ProjectionSpec, weights: &Weights, d: &mut Diagnostics) {
    let Some(sign) = p.sign else { return };
    let bad = match sign {
        Sign::Excitatory => weights.find(|w| w < 0.0),
        Sign::Inhibitory => weights.find(|w| w > 0.0),
    };
    if let Some((i, j, w)) = bad {
        let word = if sign == Sign::Excitatory { "excitatory" } else { "inhibitory" };
        d.push(
            Diagnostic::error(
                codes::C028,
                format!("{path}.sign"),
                format!("declared {word}, but weight x gain is {w} in row {}, column {}", i + 1, j + 1),
            )
            .help("use `uniform`, `plus_of` or `minus_of` weights, or `gain: -1` for inhibition"),
        );
    }
}
