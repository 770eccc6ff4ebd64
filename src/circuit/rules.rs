//! Which projections may end where, and what happens to token indices on the way (`circuits/README.md`, Tokens, indices, masks).

use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{CircuitSpec, Effect, ProjectionSpec, WeightsSpec};

/// Which compartments may receive what.
pub fn endpoint_rules(
    path: &str,
    p: &ProjectionSpec,
    source: &Population,
    signal: Signal,
    target: &Population,
    compartment: Compartment,
    d: &mut Diagnostics,
) {
    if matches!(target.kind, Kind::Tonic) {
        d.push(
            Diagnostic::error(
                codes::C013,
                format!("{path}.to"),
                "`tonic` receives nothing: its value is always 1",
            )
            .help("let the projection end on a cell or a relay"),
        );
    }
    if let Kind::Relay { stream: Some(_), .. } = target.kind
        && compartment != Compartment::Third
    {
        d.push(
            Diagnostic::error(
                codes::C014,
                format!("{path}.to"),
                format!("relay `{}` carries tokens in, so it cannot receive `{}`", target.name, source.name),
            )
            .help("remove its `tokens:`, or end the projection on another relay"),
        );
    }
    if compartment == Compartment::Gate && target.accumulate.is_none() {
        d.push(
            Diagnostic::error(
                codes::C015,
                format!("{path}.to"),
                format!("`{}` accumulates nothing, so it has no gate", target.name),
            )
            .help("add `accumulate: {gated: {}}`, or end on basal or apical"),
        );
    }
    if compartment == Compartment::Gate && target.accumulate.is_some_and(|rule| !rule.has_gate()) {
        d.push(
            Diagnostic::error(
                codes::C015,
                format!("{path}.to"),
                format!("the memory rule of `{}` has no gate", target.name),
            )
            .help("only `gated` and `delta` memories have a gate"),
        );
    }
    if matches!(signal, Signal::Feedback(..)) && compartment != Compartment::Third {
        d.push(
            Diagnostic::error(codes::C016, format!("{path}.to"), "feedback may end only on `third`")
                .help(format!("write `{}.third`", target.name)),
        );
    }
    if p.effect == Effect::Divisive && matches!(compartment, Compartment::Gate | Compartment::Third) {
        d.push(
            Diagnostic::error(
                codes::C017,
                format!("{path}.effect"),
                format!("divisive inhibition acts on basal and apical, not on `{}`", compartment.name()),
            )
            .help("end on basal or apical"),
        );
    }
    if p.plasticity.is_some() && matches!(p.weights, WeightsSpec::SameAs(_) | WeightsSpec::TransposeOf(_)) {
        d.push(
            Diagnostic::error(
                codes::C018,
                format!("{path}.plasticity"),
                "tied weights follow their partner and learn nothing of their own",
            )
            .help("put the rule on the partner"),
        );
    }
}

#[allow(clippy::too_many_arguments)]
pub fn index_rule(
    spec: &CircuitSpec,
    path: &str,
    p: &ProjectionSpec,
    source: &Population,
    signal: Signal,
    target: &Population,
    compartment: Compartment,
    d: &mut Diagnostics,
) -> Option<IndexRule> {
    let s = if matches!(signal, Signal::Feedback(..)) { source.indices } else { source.sends() };
    let mut t = target.indices;
    let mut wrong = |message: String, help: &str| {
        d.push(Diagnostic::error(codes::C019, path, message).help(help));
        None
    };
    if compartment == Compartment::Third {
        if target.accumulate.is_some() {
            t = Indices { query: true, context: false };
        }
        if s.context && !t.context && !t.query {
            return wrong(
                "this error signal has an index that nothing can sum".to_owned(),
                "let it end on cells per query",
            );
        }
        return Some(IndexRule::Error);
    }
    let rule = if matches!(target.kind, Kind::Tonic) {
        IndexRule::Broadcast
    } else if s.query && !t.query {
        if s.context {
            return wrong(
                format!(
                    "`{}` is per [query, context] and `{}` per {}: no projection sums over the query",
                    source.name,
                    target.name,
                    t.describe()
                ),
                "let the target have `query`; only `third` may sum over queries",
            );
        }
        IndexRule::Aligned
    } else if s.context && !t.context {
        if !t.query {
            return wrong(
                format!(
                    "`{}` is per {} and `{}` per {}",
                    source.name,
                    s.describe(),
                    target.name,
                    t.describe()
                ),
                "a sum over the context needs a target per query",
            );
        }
        IndexRule::SumContext(p.mask.unwrap_or(if source.is_relay() {
            spec.tokens.mask
        } else {
            source.mask
        }))
    } else {
        IndexRule::Broadcast
    };
    match rule {
        IndexRule::SumContext(mask) if s.query && !mask.narrows(source.mask) => {
            d.push(
                Diagnostic::error(
                    codes::C025,
                    format!("{path}.mask"),
                    format!(
                        "a {} sum needs columns that `{}` does not have: its area is {}",
                        mask.name(),
                        source.name,
                        source.mask.name()
                    ),
                )
                .help("a projection may narrow its area's mask (full > causal > strict), never widen it"),
            );
        }
        IndexRule::Broadcast if s.query && s.context && !target.mask.narrows(source.mask) => {
            d.push(
                Diagnostic::error(
                    codes::C025,
                    path,
                    format!(
                        "`{}` has {} columns, but its source `{}` only {}",
                        target.name,
                        target.mask.name(),
                        source.name,
                        source.mask.name()
                    ),
                )
                .help("give both areas the same mask, or the target the narrower one"),
            );
        }
        IndexRule::SumContext(_) => {}
        _ if p.mask.is_some() => {
            d.push(
                Diagnostic::error(
                    codes::C026,
                    format!("{path}.mask"),
                    format!(
                        "this projection sums over nothing, so a mask has no meaning (`{}` sends per {})",
                        source.name,
                        s.describe()
                    ),
                )
                .help(if source.accumulate.is_some() {
                    "put the mask on the memory's area"
                } else {
                    "remove it, or put it on the projection that sums the context"
                }),
            );
        }
        _ => {}
    }
    Some(rule)
}
