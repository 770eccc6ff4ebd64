//! What each population receives: enough of it, and tokens of the right width for the relays that carry them in.

use super::build::Names;
use super::time::Order;
use super::types::*;
use super::wire::Wires;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{AccumulateSpec, ActivationSpec, CircuitSpec, Effect};
use std::collections::{BTreeMap, BTreeSet};

/// Populations that lack an input they need.
pub fn connected(names: &Names, wires: &Wires, d: &mut Diagnostics) {
    let ends = |effect: Effect| -> BTreeSet<(PopulationId, Compartment)> {
        wires.projections.iter().filter(|w| w.effect == effect).map(|w| (w.to, w.compartment)).collect()
    };
    let (all_additive, all_divisive) = (ends(Effect::Additive), ends(Effect::Divisive));
    for (i, p) in names.populations.iter().enumerate() {
        let has = |c: Compartment| wires.reached.contains(&(PopulationId(i), c));
        let additive = |c: Compartment| all_additive.contains(&(PopulationId(i), c));
        let divided = |c: Compartment| all_divisive.contains(&(PopulationId(i), c));
        for c in [Compartment::Basal, Compartment::Apical] {
            if divided(c) && !additive(c) {
                d.push(
                    Diagnostic::error(
                        codes::C030,
                        &p.path,
                        format!("`{}.{}` has divisive input, but nothing to divide", p.name, c.name()),
                    )
                    .help("add an additive projection to the same compartment"),
                );
            }
        }
        match p.kind {
            Kind::Cells { .. } if p.activation == ActivationSpec::Product => {
                for c in [Compartment::Basal, Compartment::Apical] {
                    if !has(c) {
                        d.push(
                            Diagnostic::error(
                                codes::C031,
                                &p.path,
                                format!(
                                    "`{}` multiplies basal and apical, but nothing ends on `{}`",
                                    p.name,
                                    c.name()
                                ),
                            )
                            .help(format!(
                                "add a projection to `{}.{}`, or use `activation: linear`",
                                p.name,
                                c.name()
                            )),
                        );
                    }
                }
            }
            Kind::Cells { .. } if !has(Compartment::Basal) && !has(Compartment::Apical) => d.push(
                Diagnostic::error(codes::C032, &p.path, format!("`{}` receives nothing", p.name))
                    .help(format!("add a projection to `{}.basal`, or remove the population", p.name)),
            ),
            _ => {}
        }
        match p.accumulate {
            Some(AccumulateSpec::Gated { .. }) if !has(Compartment::Gate) => d.push(
                Diagnostic::error(
                    codes::C033,
                    format!("{}.accumulate", p.path),
                    format!("nothing ends on `{}.gate`", p.name),
                )
                .help("a gated memory needs a projection to its gate"),
            ),
            Some(AccumulateSpec::Delta { rate: None }) if !has(Compartment::Gate) => d.push(
                Diagnostic::error(
                    codes::C033,
                    format!("{}.accumulate", p.path),
                    format!("the delta rule of `{}` has neither a rate nor a gate", p.name),
                )
                .help("write `{delta: {rate: 0.5}}`, or project to its gate"),
            ),
            Some(AccumulateSpec::Delta { rate: Some(_) }) if has(Compartment::Gate) => d.push(
                Diagnostic::error(
                    codes::C033,
                    format!("{}.accumulate", p.path),
                    format!("the delta rule of `{}` has both a rate and a gate", p.name),
                )
                .help("keep one of the two"),
            ),
            _ => {}
        }
    }
}

/// Relays without inputs carry tokens in: which stream, and do the widths agree?
pub fn input_relays(names: &mut Names, wires: &Wires, d: &mut Diagnostics) {
    for (i, p) in names.populations.iter_mut().enumerate() {
        let Kind::Relay { stream, .. } = &mut p.kind else { continue };
        if [Compartment::Basal, Compartment::Apical]
            .iter()
            .any(|c| wires.reached.contains(&(PopulationId(i), *c)))
        {
            continue;
        }
        let chosen = match *stream {
            Some(s) => s,
            None => match names.streams.iter().position(|s| s.name == "main") {
                Some(s) => s,
                None => {
                    d.push(
                        Diagnostic::error(
                            codes::C034,
                            &p.path,
                            format!("relay `{}` receives nothing and names no stream", p.name),
                        )
                        .help(format!(
                            "add `tokens: NAME`; streams: {}",
                            crate::diag::one_of(names.streams.iter().map(|s| s.name.as_str()))
                        )),
                    );
                    continue;
                }
            },
        };
        *stream = Some(chosen);
        let s = &names.streams[chosen];
        if s.d_model != p.cells {
            d.push(
                Diagnostic::error(
                    codes::C035,
                    format!("{}.cells", p.path),
                    format!(
                        "relay `{}` has {} cells, but tokens of `{}` have {} numbers",
                        p.name, p.cells, s.name, s.d_model
                    ),
                )
                .help(format!("write `cells: {}`", s.d_model)),
            );
        }
    }
}

/// Relays that receive nothing and do not say which tokens they carry, in a circuit that passes results on.
///
/// A silent relay carries `main` only where it is the one input of its index and something before the end of the first
/// block reads it. Another one may as well be meant to receive: a forgotten projection would turn a later block's token
/// into the first one's.
pub fn silent_relays(spec: &CircuitSpec, names: &Names, wires: &Wires, order: &Order, d: &mut Diagnostics) {
    let closes: BTreeSet<usize> = order.recurrent.iter().map(|p| p.0).collect();
    let place: BTreeMap<PopulationId, usize> = order.sorted.iter().copied().zip(0..).collect();
    let (mut reads, mut ends): (Vec<Vec<PopulationId>>, _) = (vec![Vec::new(); place.len()], BTreeSet::new());
    for (number, p) in wires.projections.iter().enumerate() {
        if let Some(at) = place.get(&p.to)
            && p.compartment != Compartment::Third
            && !closes.contains(&number)
        {
            reads[*at].push(p.from);
            ends.insert(p.to);
        }
    }
    let relay = |id: PopulationId| names.populations[id.0].is_relay();
    let receives = |id: PopulationId| {
        [Compartment::Basal, Compartment::Apical].iter().any(|c| wires.reached.contains(&(id, *c)))
    };
    // What depends on a relay that passes on what it receives.
    let mut late: BTreeSet<PopulationId> = BTreeSet::new();
    let mut passes_on = None;
    for (id, from) in order.sorted.iter().zip(&reads) {
        if let Some(end) = from.iter().find(|f| relay(**f) && ends.contains(*f)) {
            passes_on = passes_on.or(Some(*end));
            late.insert(*id);
        } else if from.iter().any(|f| late.contains(f)) {
            late.insert(*id);
        }
    }
    let Some(passes_on) = passes_on else { return };
    let inputs: Vec<PopulationId> =
        order.sorted.iter().copied().filter(|id| relay(*id) && !receives(*id)).collect();
    let kind = |id: PopulationId| {
        let p = &names.populations[id.0];
        (p.indices.query, stream_of(p))
    };
    let mut alike: BTreeMap<_, Vec<PopulationId>> = BTreeMap::new();
    inputs.iter().for_each(|id| alike.entry(kind(*id)).or_default().push(*id));
    let early = order.sorted.iter().zip(&reads).filter(|(id, _)| !late.contains(*id));
    let early: BTreeSet<PopulationId> = early.flat_map(|(_, from)| from.iter().copied()).collect();
    for id in &inputs {
        let p = &names.populations[id.0];
        let named = spec.thalamus.get(&p.name).is_none_or(|r| r.tokens.is_some());
        let other = alike[&kind(*id)].iter().find(|o| *o != id);
        if named || (other.is_none() && early.contains(id)) {
            continue;
        }
        let passes_on = &names.populations[passes_on.0].name;
        let why = match other {
            Some(o) => format!(
                "`{}` carries those tokens too, and `{passes_on}` passes results on",
                names.populations[o.0].name
            ),
            None => format!("only what `{passes_on}` passes results to reads it"),
        };
        let what = format!("relay `{}` receives nothing and names no stream, but {why}", p.name);
        let stream = if names.streams.iter().any(|s| s.name == "main") { "main" } else { "NAME" };
        let help = format!(
            "add `tokens: {stream}` if it carries tokens in, or a projection to `{}.basal` if it was to receive",
            p.name
        );
        d.push(Diagnostic::error(codes::C034, &p.path, what).help(help));
    }
}

fn stream_of(p: &Population) -> Option<usize> {
    match p.kind {
        Kind::Relay { stream, .. } => stream,
        _ => None,
    }
}
