//! What each population receives: enough of it, and tokens of the right width for the relays that carry them in.

use super::build::Names;
use super::types::*;
use super::wire::Wires;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{AccumulateSpec, ActivationSpec, Effect};
use std::collections::BTreeSet;

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
