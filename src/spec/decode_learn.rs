//! The sections `loss` and `train`, and the learning rule of a projection.

use super::fields::{At, Decoder, Fields, join};
use super::node::{Value, shorten};
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};

const UPDATES: [(&str, UpdateSpec); 2] = [("sequence", UpdateSpec::Sequence), ("token", UpdateSpec::Token)];
const COUNTED: [(&str, CountedSpec); 2] = [("all", CountedSpec::All), ("last", CountedSpec::Last)];

/// `{RULE: {rate: 0.001}}`.
pub fn plasticity(d: &mut Decoder, at: At<'_>) -> Option<PlasticitySpec> {
    let (key, node) = d.choice(at, "one learning rule, for example `{three_factor: {rate: 0.001}}`")?;
    let path = join(at.path, &key.name);
    let Some(rule) = RuleName::named(&key.name) else {
        d.error(
            Diagnostic::error(codes::S015, &path, format!("no learning rule `{}`", shorten(&key.name)))
                .help(did_you_mean(&key.name, RuleName::NAMES.map(|(n, _)| n)))
                .at(key.span),
        );
        return None;
    };
    let mut f = d.map(At { node, path: &path }, "a map with `rate`")?;
    let rate = f.required(d, "rate", not_negative);
    let decay = match rule {
        RuleName::KolenPollack => f.optional(d, "decay", below_one).unwrap_or(PlasticitySpec::DECAY),
        _ => 0.0,
    };
    f.finish(d);
    Some(PlasticitySpec { rule, rate: rate?, decay })
}

pub fn loss(d: &mut Decoder, at: At<'_>) -> Option<LossSpec> {
    let mut f = d.map(at, "`{on: all}` or `{on: last}`")?;
    let on = f.optional(d, "on", |d, at| d.word(at, &COUNTED)).unwrap_or_default();
    f.finish(d);
    Some(LossSpec { on })
}

pub fn train(d: &mut Decoder, at: At<'_>) -> Option<TrainSpec> {
    let mut f = d.map(at, "a map, for example `{steps: 2000, batch: 16}`")?;
    let otherwise = TrainSpec::default();
    let train = TrainSpec {
        steps: f.optional(d, "steps", Decoder::count).unwrap_or(otherwise.steps),
        batch: f.optional(d, "batch", Decoder::count).unwrap_or(otherwise.batch),
        optimiser: f.optional(d, "optimiser", optimiser).unwrap_or(otherwise.optimiser),
        rate: f.optional(d, "rate", not_negative),
        schedule: f
            .optional(d, "schedule", |d, at| d.word(at, &ScheduleSpec::NAMES))
            .unwrap_or(otherwise.schedule),
        update: f.optional(d, "update", |d, at| d.word(at, &UPDATES)).unwrap_or(otherwise.update),
        evaluate: f.optional(d, "evaluate", evaluate).unwrap_or_default(),
        checkpoint: f.optional(d, "checkpoint", checkpoint).unwrap_or_default(),
        rule: f.optional(d, "rule", |d, at| d.word(at, &RouteSpec::NAMES)),
        stop_below: f.optional(d, "stop_below", not_negative),
    };
    f.finish(d);
    Some(train)
}

fn optimiser(d: &mut Decoder, at: At<'_>) -> Option<OptimiserSpec> {
    const WORDS: [(&str, OptimiserSpec); 3] = [
        ("plain", OptimiserSpec::Plain),
        ("momentum", OptimiserSpec::MOMENTUM),
        ("adam", OptimiserSpec::ADAM),
    ];
    if matches!(at.node.value, Value::Str(_)) {
        return d.word(at, &WORDS);
    }
    let (key, node) = d.choice(at, "`plain`, `{momentum: {beta: 0.9}}` or `{adam: {beta1: 0.9}}`")?;
    let path = join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "momentum" => {
            let mut f = d.map(at, "a map with `beta`")?;
            let beta = f.required(d, "beta", below_one);
            f.finish(d);
            beta.map(|beta| OptimiserSpec::Momentum { beta })
        }
        "adam" => {
            let mut f = d.map(at, "a map with `beta1`, `beta2` or `epsilon`")?;
            let mut part = |f: &mut Fields<'_>, name, otherwise: f64| {
                f.optional(d, name, below_one).unwrap_or(otherwise)
            };
            let (beta1, beta2) = (part(&mut f, "beta1", 0.9), part(&mut f, "beta2", 0.999));
            let epsilon = f.optional(d, "epsilon", positive).unwrap_or(1e-8);
            f.finish(d);
            Some(OptimiserSpec::Adam { beta1, beta2, epsilon })
        }
        other => {
            let what = format!("`{}` is not an optimiser with parameters", shorten(other));
            d.error(
                Diagnostic::error(codes::S009, &path, what)
                    .help(did_you_mean(other, ["momentum", "adam"]))
                    .at(key.span),
            );
            None
        }
    }
}

fn evaluate(d: &mut Decoder, at: At<'_>) -> Option<EvaluateSpec> {
    let mut f = d.map(at, "a map with `every`, `sequences` or `at_end`")?;
    let otherwise = EvaluateSpec::default();
    let every = f.optional(d, "every", Decoder::count).unwrap_or(otherwise.every);
    let sequences = f.optional(d, "sequences", Decoder::count).unwrap_or(otherwise.sequences);
    let at_end = f.optional(d, "at_end", Decoder::count);
    f.finish(d);
    Some(EvaluateSpec { every, sequences, at_end })
}

fn checkpoint(d: &mut Decoder, at: At<'_>) -> Option<CheckpointSpec> {
    let mut f = d.map(at, "a map with `every`")?;
    let every = f.required(d, "every", Decoder::count);
    f.finish(d);
    Some(CheckpointSpec { every: every? })
}

pub fn not_negative(d: &mut Decoder, at: At<'_>) -> Option<f64> {
    d.number_where(at, "zero or positive", |x| x >= 0.0)
}

fn below_one(d: &mut Decoder, at: At<'_>) -> Option<f64> {
    d.number_where(at, "from 0, below 1", |x| (0.0..1.0).contains(&x))
}

fn positive(d: &mut Decoder, at: At<'_>) -> Option<f64> {
    d.number_where(at, "positive", |x| x > 0.0)
}
