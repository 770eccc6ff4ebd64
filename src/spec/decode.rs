//! Node tree -> [`CircuitSpec`]: one function per section, in the order of the file.

use super::fields::{At, Decoder, Fields};
use super::node::{Value, shorten};
use super::types::*;
use super::{template, weights};
use crate::diag::{Diagnostic, codes, did_you_mean};

const MASKS: [(&str, MaskSpec); 3] =
    [("full", MaskSpec::Full), ("causal", MaskSpec::Causal), ("strict", MaskSpec::Strict)];
const AXES: [(&str, Axis); 3] =
    [("cells", Axis::Cells), ("microcolumns", Axis::Microcolumns), ("all", Axis::All)];
const PLASTICITY: [&str; 9] = [
    "three_factor",
    "online",
    "own_token",
    "frozen_memory",
    "feedback_alignment",
    "kolen_pollack",
    "dale_eg",
    "hebbian",
    "oja",
];
const TASKS: [&str; 5] = ["teacher", "in_context_regression", "associative_recall", "digits", "file"];

/// Reads a whole circuit. Mistakes go to `d`; the result is there only when the skeleton could be read.
pub fn circuit(d: &mut Decoder, at: At<'_>) -> Option<(CircuitSpec, Vec<(String, String)>)> {
    let mut f = d.map(at, "a map: a circuit")?;
    let schema = f.required(d, "schema", schema_line);
    let name = f.required(d, "name", Decoder::string);
    let description = f.optional(d, "description", Decoder::string);
    let source = f.optional(d, "source", Decoder::string);
    let seed = f.optional(d, "seed", seed).unwrap_or(0);
    let parameters =
        f.optional(d, "parameters", |d, at| d.table(at, "parameters", Decoder::carried)).unwrap_or_default();
    let tokens = f.required(d, "tokens", tokens);
    let thalamus = f.required(d, "thalamus", |d, at| d.table(at, "relays", relay));
    let mut written = template::Written::default();
    let areas = f
        .optional(d, "areas", |d, at| d.table(at, "areas", |d, at| area(d, at, &mut written)))
        .unwrap_or_default();
    let projections =
        f.optional(d, "projections", |d, at| d.table(at, "projections", projection)).unwrap_or_default();
    let output = f.required(d, "output", output);
    let expect = f.optional(d, "expect", expect);
    let reserved = reserved(d, &mut f);
    f.finish(d);
    let mut spec = CircuitSpec {
        schema: schema?,
        name: name?,
        description,
        source,
        seed,
        parameters,
        tokens: tokens?,
        thalamus: thalamus?,
        areas,
        projections,
        output: output?,
        expect,
        reserved,
    };
    let places = written.add_to(&mut spec, d);
    Some((spec, places))
}

fn schema_line(d: &mut Decoder, at: At<'_>) -> Option<String> {
    let text = match &at.node.value {
        Value::Str(text) if text == SCHEMA => return Some(text.clone()),
        Value::Str(text) => text.as_str(),
        _ => return d.wrong(at, &format!("`{SCHEMA}`")),
    };
    let (message, help) = match text.strip_prefix("pulvinar/").map(str::parse::<u32>) {
        Some(Ok(n)) => (
            format!("schema `pulvinar/{n}` is not the one that this version reads"),
            format!("this version reads `{SCHEMA}`; a newer schema needs a newer pulvinar"),
        ),
        _ => (format!("`{}` is not a pulvinar schema", shorten(text)), format!("write `schema: {SCHEMA}`")),
    };
    d.error(Diagnostic::error(codes::S013, at.path, message).help(help).at(at.node.span));
    None
}

fn seed(d: &mut Decoder, at: At<'_>) -> Option<u64> {
    match at.node.value {
        Value::Int(i) => u64::try_from(i).ok().or_else(|| d.wrong(at, "a whole number from 0 to 2^64 - 1")),
        _ => d.wrong(at, "a whole number from 0 to 2^64 - 1"),
    }
}

fn tokens(d: &mut Decoder, at: At<'_>) -> Option<TokensSpec> {
    let mut f = d.map(at, "a map with `d_model` and `input`, or with `streams`")?;
    let streams = if f.node("streams").is_some() {
        f.optional(d, "streams", |d, at| {
            d.table(at, "streams", |d, at| {
                let mut f = d.map(at, "a map with `d_model`")?;
                let stream = stream(d, &mut f, true);
                f.finish(d);
                stream
            })
        })
    } else {
        stream(d, &mut f, false).map(|s| Table(vec![("main".to_owned(), s)]))
    };
    let mask = f.optional(d, "mask", |d, at| d.word(at, &MASKS)).unwrap_or(MaskSpec::Full);
    let layout = f.optional(d, "layout", layout).unwrap_or(LayoutSpec::Space {});
    f.finish(d);
    let streams = streams?;
    if streams.is_empty() {
        return d.wrong(at, "a map with at least one stream");
    }
    Some(TokensSpec { streams, mask, layout })
}

fn stream(d: &mut Decoder, f: &mut Fields<'_>, named: bool) -> Option<StreamSpec> {
    let d_model = f.required(d, "d_model", Decoder::count);
    let input = f.optional(d, "input", input);
    let clock = if named { f.optional(d, "clock", Decoder::string) } else { None };
    Some(StreamSpec { d_model: d_model?, input, clock })
}

fn input(d: &mut Decoder, at: At<'_>) -> Option<InputSpec> {
    let expected = "`{gaussian: {length: 16}}`, `{file: {path: tokens.npy}}` or `{values: [[...]]}`";
    let (key, node) = d.choice(at, expected)?;
    let path = super::fields::join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "gaussian" => {
            let mut f = d.map(at, "a map with `length`")?;
            let length = f.required(d, "length", Decoder::count);
            let std =
                f.optional(d, "std", |d, at| d.number_where(at, "positive", |x| x > 0.0)).unwrap_or(1.0);
            f.finish(d);
            Some(InputSpec::Gaussian { length: length?, std })
        }
        "file" => {
            let mut f = d.map(at, "a map with `path`")?;
            let path = f.required(d, "path", Decoder::string);
            let array =
                f.optional(d, "array", Decoder::string).or_else(|| f.optional(d, "tensor", Decoder::string));
            f.asked_also("tensor");
            f.finish(d);
            Some(InputSpec::File { path: path?, array })
        }
        "values" => d.matrix(at).map(InputSpec::Values),
        other => {
            d.error(
                Diagnostic::error(codes::S009, &path, format!("`{}` is not a kind of input", shorten(other)))
                    .help(did_you_mean(other, ["gaussian", "file", "values"]))
                    .at(key.span),
            );
            None
        }
    }
}

fn layout(d: &mut Decoder, at: At<'_>) -> Option<LayoutSpec> {
    let (key, node) = d.choice(at, "`{space: {}}` or `{time: {duration: 200 ms, gap: 50 ms}}`")?;
    let path = super::fields::join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "space" => {
            d.map(at, "`{}`")?.finish(d);
            Some(LayoutSpec::Space {})
        }
        "time" => {
            let mut f = d.map(at, "a map with `duration` and `gap`")?;
            let duration = f.required(d, "duration", |d, at| d.time(at, false));
            let gap = f.required(d, "gap", |d, at| d.time(at, true));
            f.finish(d);
            Some(LayoutSpec::Time { duration: duration?, gap: gap? })
        }
        other => {
            d.error(
                Diagnostic::error(codes::S009, &path, format!("`{}` is not a layout", shorten(other)))
                    .help(did_you_mean(other, ["space", "time"]))
                    .at(key.span),
            );
            None
        }
    }
}

fn per(d: &mut Decoder, at: At<'_>) -> Option<Vec<Index>> {
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

fn options(d: &mut Decoder, f: &mut Fields<'_>) -> CellOptions {
    CellOptions {
        tau: f.optional(d, "tau", tau),
        prospective: f.optional(d, "prospective", Decoder::boolean),
        limits: f.optional(d, "limits", limits),
        noise: f.optional(d, "noise", noise),
    }
}

fn tau(d: &mut Decoder, at: At<'_>) -> Option<TauSpec> {
    if !matches!(at.node.value, Value::Map(_)) {
        return d.time(at, false).map(TauSpec::Both);
    }
    let mut f = d.map(at, "a time or a map with `basal` and `apical`")?;
    let basal = f.required(d, "basal", |d, at| d.time(at, false));
    let apical = f.required(d, "apical", |d, at| d.time(at, false));
    f.finish(d);
    Some(TauSpec::Each { basal: basal?, apical: apical? })
}

fn limits(d: &mut Decoder, at: At<'_>) -> Option<LimitsSpec> {
    let mut f = d.map(at, "a map with `min` and `max`")?;
    let min = f.required(d, "min", Decoder::number);
    let max = f.required(d, "max", Decoder::number);
    f.finish(d);
    let (min, max) = (min?, max?);
    if min >= max {
        d.error(
            Diagnostic::error(codes::S006, at.path, format!("`min` {min} is not below `max` {max}"))
                .help("swap them or widen the range")
                .at(at.node.span),
        );
        return None;
    }
    Some(LimitsSpec { min, max })
}

fn noise(d: &mut Decoder, at: At<'_>) -> Option<NoiseSpec> {
    let mut f = d.map(at, "a map with `std`")?;
    let std = f.required(d, "std", |d, at| d.number_where(at, "zero or positive", |x| x >= 0.0));
    f.finish(d);
    Some(NoiseSpec { std: std? })
}

fn relay(d: &mut Decoder, at: At<'_>) -> Option<RelaySpec> {
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

fn area(d: &mut Decoder, at: At<'_>, written: &mut template::Written) -> Option<AreaSpec> {
    let mut f = d.map(at, "a map with `populations`, or with `template`")?;
    if f.node("template").is_some() {
        let name = at.path.rsplit('.').next().unwrap_or_default().to_owned();
        let mask = f.optional(d, "mask", |d, at| d.word(at, &MASKS));
        let area = f.optional(d, "template", |d, at| template::read(d, at, &name, written));
        f.finish(d);
        return area.map(|a: AreaSpec| AreaSpec { mask, ..a });
    }
    let mask = f.optional(d, "mask", |d, at| d.word(at, &MASKS));
    let microcolumns = f.optional(d, "microcolumns", microcolumns).unwrap_or_default();
    let populations = f.required(d, "populations", |d, at| d.table(at, "populations", population));
    f.asked_also("template");
    f.finish(d);
    Some(AreaSpec { mask, microcolumns, populations: populations? })
}

pub(super) fn microcolumns(d: &mut Decoder, at: At<'_>) -> Option<MicrocolumnsSpec> {
    let mut f = d.map(at, "a map with `count` or `per`")?;
    let count = f.optional(d, "count", Decoder::count);
    let per = f.optional(d, "per", per);
    f.finish(d);
    Some(MicrocolumnsSpec { count, per })
}

pub(super) fn population(d: &mut Decoder, at: At<'_>) -> Option<PopulationSpec> {
    let mut f = d.map(at, "a map with `cells`")?;
    let layer = f.optional(d, "layer", layer);
    let cell_type = f.optional(d, "cell_type", |d, at| {
        d.word(at, &["pyramidal", "interneuron", "stellate"].map(|n| (n, n)))
    });
    let cells = f.required(d, "cells", Decoder::count);
    let per = f.optional(d, "per", per);
    let activation = f.optional(d, "activation", activation).unwrap_or(ActivationSpec::Linear);
    let accumulate = f.optional(d, "accumulate", accumulate);
    let options = options(d, &mut f);
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

fn layer(d: &mut Decoder, at: At<'_>) -> Option<String> {
    const LAYERS: [&str; 8] = ["L1", "L2", "L3", "L2/3", "L4", "L5", "L6", "L5/6"];
    d.word(at, &LAYERS.map(|n| (n, n))).map(str::to_owned)
}

fn activation(d: &mut Decoder, at: At<'_>) -> Option<ActivationSpec> {
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
        let exponent = f.required(d, "exponent", |d, at| {
            d.number_where(at, "a whole number from 1 to 64", |x| {
                x.fract() == 0.0 && (1.0..=64.0).contains(&x)
            })
        });
        f.finish(d);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        return exponent.map(|n| ActivationSpec::Power { exponent: n as u32 });
    }
    match &at.node.value {
        Value::Str(s) if s == "power" => d.wrong(at, "`{power: {exponent: 2}}`"),
        _ => d.word(at, &ActivationSpec::NAMED),
    }
}

pub(super) fn accumulate(d: &mut Decoder, at: At<'_>) -> Option<AccumulateSpec> {
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
            let g = if f.node("factor").is_some() {
                f.optional(d, "factor", unit)
            } else {
                f.required(d, "g", unit)
            };
            f.asked_also("g");
            g.map(|g| AccumulateSpec::Decay { g, rate: rate.unwrap_or(1.0) })
        }
        "delta" => Some(AccumulateSpec::Delta { rate }),
        "gated" => Some(AccumulateSpec::Gated {}),
        _ => Some(AccumulateSpec::Hebbian { rate: rate.unwrap_or(1.0) }),
    };
    f.finish(d);
    result
}

pub(super) fn projection(d: &mut Decoder, at: At<'_>) -> Option<ProjectionSpec> {
    let mut f = d.map(at, "a map with `from`, `to` and `weights`")?;
    let from = f.required(d, "from", Decoder::string);
    let to = f.required(d, "to", Decoder::string);
    let onto = f.optional(d, "onto", |d, at| d.word(at, &AXES));
    let pool = f.optional(d, "pool", |d, at| d.word(at, &AXES[..2]));
    let weights = f.required(d, "weights", weights::read);
    let gain = f.optional(d, "gain", gain);
    let sign = f.optional(d, "sign", |d, at| {
        d.word(at, &[("excitatory", Sign::Excitatory), ("inhibitory", Sign::Inhibitory)])
    });
    let effect = f
        .optional(d, "effect", |d, at| {
            d.word(at, &[("additive", Effect::Additive), ("divisive", Effect::Divisive)])
        })
        .unwrap_or(Effect::Additive);
    let mask = f.optional(d, "mask", |d, at| d.word(at, &MASKS));
    let plasticity = f.optional(d, "plasticity", plasticity);
    let delay = f.optional(d, "delay", |d, at| d.time(at, false));
    let tied = f.optional(d, "tied", Decoder::boolean);
    f.finish(d);
    Some(ProjectionSpec {
        from: from?,
        to: to?,
        onto,
        pool,
        weights: weights?,
        gain,
        sign,
        effect,
        mask,
        plasticity,
        delay,
        tied,
    })
}

fn gain(d: &mut Decoder, at: At<'_>) -> Option<GainSpec> {
    if !matches!(at.node.value, Value::Map(_)) {
        return d.number(at).map(GainSpec::Number);
    }
    let mut f = d.map(at, "a number or `{inv_sqrt: 4}`")?;
    let n = f.required(d, "inv_sqrt", |d, at| d.number_where(at, "positive", |x| x > 0.0));
    f.finish(d);
    n.map(GainSpec::InvSqrt)
}

fn plasticity(d: &mut Decoder, at: At<'_>) -> Option<Table<Carried>> {
    let table = d.table(at, "learning rules", Decoder::carried)?;
    for (rule, _) in table.iter() {
        if !PLASTICITY.contains(&rule) {
            let key = at.node.get(rule).and_then(|(k, _)| k.span);
            d.error(
                Diagnostic::error(
                    codes::S015,
                    super::fields::join(at.path, rule),
                    format!("no learning rule `{}`", shorten(rule)),
                )
                .help(did_you_mean(rule, PLASTICITY))
                .at(key),
            );
        }
    }
    Some(table)
}

fn output(d: &mut Decoder, at: At<'_>) -> Option<OutputSpec> {
    if !matches!(at.node.value, Value::Map(_)) {
        return match &at.node.value {
            Value::Str(name) => Some(OutputSpec::Relay(name.clone())),
            _ => d.wrong(at, "the name of a relay, or `{plus: R, minus: S}`"),
        };
    }
    let mut f = d.map(at, "a relay or `{plus: R, minus: S}`")?;
    let plus = f.required(d, "plus", Decoder::string);
    let minus = f.required(d, "minus", Decoder::string);
    f.finish(d);
    Some(OutputSpec::Signed { plus: plus?, minus: minus? })
}

fn expect(d: &mut Decoder, at: At<'_>) -> Option<ExpectSpec> {
    let mut f = d.map(at, "a map with `heads`")?;
    let heads = f.optional(d, "heads", |d, at| {
        let mut f = d.map(at, "a map with `count`")?;
        let count = f.required(d, "count", Decoder::count);
        let above = f
            .optional(d, "above", |d, at| d.number_where(at, "from 0 to 1", |x| (0.0..=1.0).contains(&x)))
            .unwrap_or(0.0);
        f.finish(d);
        Some(ExpectHeads { count: count?, above })
    });
    let blocks = f.optional(d, "blocks", Decoder::count);
    f.finish(d);
    Some(ExpectSpec { heads, blocks })
}

fn reserved(d: &mut Decoder, f: &mut Fields<'_>) -> Reserved {
    let list = |d: &mut Decoder, at: At<'_>| match &at.node.value {
        Value::Seq(items) if items.iter().all(|n| matches!(n.value, Value::Map(_))) => d.carried(at),
        _ => d.wrong(at, "a list of maps"),
    };
    let map = |d: &mut Decoder, at: At<'_>| match &at.node.value {
        Value::Map(_) => d.carried(at),
        _ => d.wrong(at, "a map"),
    };
    Reserved {
        simulation: f.optional(d, "simulation", simulation),
        record: f.optional(d, "record", list),
        noise: f.optional(d, "noise", map),
        lesions: f.optional(d, "lesions", list),
        task: f.optional(d, "task", |d, at| {
            let (key, _) = d.choice(at, "one task, for example `{teacher: {...}}`")?;
            if !TASKS.contains(&key.name.as_str()) {
                d.unknown_word(at, &key.name, TASKS);
                return None;
            }
            d.carried(at)
        }),
        train: f.optional(d, "train", map),
        loss: f.optional(d, "loss", |d, at| {
            let mut f = d.map(at, "`{on: all}` or `{on: last}`")?;
            f.optional(d, "on", |d, at| d.word(at, &[("all", ()), ("last", ())]));
            f.finish(d);
            d.carried(at)
        }),
        protocol: f.optional(d, "protocol", map),
        fidelity: f.optional(d, "fidelity", |d, at| {
            d.word(at, &[("full", ()), ("reduced", ()), ("event", ())])?;
            d.carried(at)
        }),
    }
}

fn simulation(d: &mut Decoder, at: At<'_>) -> Option<SimulationSpec> {
    let mut f = d.map(at, "a map with `dt`, `integrator` or `stop`")?;
    let dt = f.optional(d, "dt", |d, at| d.time(at, false));
    let integrator = f.optional(d, "integrator", |d, at| {
        d.word(at, &[("euler", Integrator::Euler), ("exponential_euler", Integrator::ExponentialEuler)])
    });
    let stop = f.optional(d, "stop", |d, at| {
        if !matches!(at.node.value, Value::Map(_)) {
            return d.word(at, &[("settle", ())]).map(|()| StopSpec::Settle);
        }
        let mut f = d.map(at, "`settle` or `{duration: 500 ms}`")?;
        let duration = f.required(d, "duration", |d, at| d.time(at, false));
        f.finish(d);
        duration.map(StopSpec::Duration)
    });
    f.finish(d);
    Some(SimulationSpec { dt, integrator, stop })
}
