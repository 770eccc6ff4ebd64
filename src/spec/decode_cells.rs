//! Relays and populations: what cells are.

use super::declare::Form;
use super::fields::{At, Decoder, Fields};
use super::node::{Value, shorten};
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};
use crate::vocabulary::{Exponent, Function};

pub fn per(d: &mut Decoder, at: At<'_>) -> Option<Vec<Index>> {
    let Value::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of indices such as `[query]` or `[query, context]`");
    };
    let mut indices = Vec::new();
    for node in items {
        let index =
            d.word(At { node, path: at.path }, &[("query", Index::Query), ("context", Index::Context)])?;
        if indices.contains(&index) {
            d.error(
                Diagnostic::error(codes::S014, at.path, "an index stands twice in `per`")
                    .help("write each of query and context at most once")
                    .at(node.span),
            );
            return None;
        }
        indices.push(index);
    }
    indices.sort_unstable();
    Some(indices)
}

pub fn options(d: &mut Decoder, f: &mut Fields<'_>) -> CellOptions {
    CellOptions {
        tau: f.optional(d, "tau", Form::read),
        prospective: f.optional(d, "prospective", Decoder::boolean),
        limits: f.optional(d, "limits", Form::read),
        noise: f.optional(d, "noise", Form::read),
        spike_trains: f.optional(d, "spike_trains", super::decode_spikes::spike_trains),
        cable: None,
    }
}

pub fn relay(d: &mut Decoder, at: At<'_>) -> Option<RelaySpec> {
    let mut f = d.map(at, "a map with `pathway`, `per` and `cells`")?;
    let pathway =
        f.required(d, "pathway", |d, at| d.word(at, &[("core", Pathway::Core), ("matrix", Pathway::Matrix)]));
    let per = f.optional(d, "per", per);
    let cells = f.required(d, "cells", Decoder::count);
    let tokens = f.optional(d, "tokens", Decoder::string);
    let part = f.optional(d, "part", |d, at| d.word(at, &[("plus", Part::Plus), ("minus", Part::Minus)]));
    let options = options(d, &mut f);
    f.finish(d);
    Some(RelaySpec { pathway: pathway?, per, cells: cells?, tokens, part, options })
}

pub fn microcolumns(d: &mut Decoder, at: At<'_>) -> Option<MicrocolumnsSpec> {
    let mut f = d.map(at, "a map with `count` or `per`")?;
    let count = f.optional(d, "count", Decoder::count);
    let per = f.optional(d, "per", per);
    f.finish(d);
    Some(MicrocolumnsSpec { count, per })
}

pub fn population(d: &mut Decoder, at: At<'_>) -> Option<PopulationSpec> {
    let mut f = d.map(at, "a map with `cells`")?;
    let layer = f.optional(d, "layer", layer);
    let cell_type = f.optional(d, "cell_type", |d, at| {
        d.word(at, &["pyramidal", "interneuron", "stellate"].map(|n| (n, n)))
    });
    let cells = f.required(d, "cells", Decoder::count);
    let per = f.optional(d, "per", per);
    let activation = f.optional(d, "activation", activation).unwrap_or(ActivationSpec::LINEAR);
    let accumulate = f.optional(d, "accumulate", accumulate);
    let cable = f.optional(d, "cable", super::decode_spikes::cable);
    let options = CellOptions { cable, ..options(d, &mut f) };
    f.finish(d);
    Some(PopulationSpec {
        layer,
        cell_type: cell_type.map(str::to_owned),
        cells: cells?,
        per,
        activation,
        accumulate,
        options,
    })
}

pub fn layer(d: &mut Decoder, at: At<'_>) -> Option<String> {
    const LAYERS: [&str; 8] = ["L1", "L2", "L3", "L2/3", "L4", "L5", "L6", "L5/6"];
    d.word(at, &LAYERS.map(|n| (n, n))).map(str::to_owned)
}

pub fn activation(d: &mut Decoder, at: At<'_>) -> Option<ActivationSpec> {
    if matches!(at.node.value, Value::Map(_)) {
        let (key, node) = d.choice(at, "`{power: {exponent: 2}}`")?;
        let path = super::fields::join(at.path, &key.name);
        if key.name != "power" {
            d.error(
                Diagnostic::error(
                    codes::S009,
                    &path,
                    format!("`{}` is not an activation with parameters", shorten(&key.name)),
                )
                .help("possible: `{power: {exponent: 2}}`")
                .at(key.span),
            );
            return None;
        }
        let mut f = d.map(At { node, path: &path }, "a map with `exponent`")?;
        let exponent =
            f.required(d, "exponent", |d, at| d.number_where(at, "positive", |p| Exponent::new(p).is_some()));
        f.finish(d);
        return exponent.and_then(Exponent::new).map(|p| ActivationSpec::Function(Function::Power(p)));
    }
    match &at.node.value {
        Value::Str(s) if s == "power" => d.wrong(at, "`{power: {exponent: 2}}`"),
        _ => d.word(at, &ActivationSpec::named().collect::<Vec<_>>()),
    }
}

pub fn accumulate(d: &mut Decoder, at: At<'_>) -> Option<AccumulateSpec> {
    let expected = "`{hebbian: {}}`, `{decay: {g: 0.9}}`, `{delta: {rate: 0.5}}` or `{gated: {}}`";
    let (key, node) = d.choice(at, expected)?;
    let path = super::fields::join(at.path, &key.name);
    let at = At { node, path: &path };
    let positive = |d: &mut Decoder, at: At<'_>| d.number_where(at, "positive", |x| x > 0.0);
    let kinds = ["hebbian", "decay", "delta", "gated"];
    if !kinds.contains(&key.name.as_str()) {
        d.error(
            Diagnostic::error(codes::S009, &path, format!("`{}` is not a memory rule", shorten(&key.name)))
                .help(did_you_mean(&key.name, kinds))
                .at(key.span),
        );
        return None;
    }
    let mut f = d.map(at, "a map, `{}` if there is nothing to say")?;
    let rate = if key.name == "gated" { None } else { f.optional(d, "rate", positive) };
    let result = match key.name.as_str() {
        "decay" => {
            let unit = |d: &mut Decoder, at: At<'_>| {
                d.number_where(at, "above 0 and at most 1", |x| x > 0.0 && x <= 1.0)
            };
            let g = f.required(d, "g", unit);
            g.map(|g| AccumulateSpec::Decay { g, rate: rate.unwrap_or(1.0) })
        }
        "delta" => Some(AccumulateSpec::Delta { rate }),
        "gated" => Some(AccumulateSpec::Gated {}),
        _ => Some(AccumulateSpec::Hebbian { rate: rate.unwrap_or(1.0) }),
    };
    f.finish(d);
    result
}
