//! Node tree -> [`CircuitSpec`]: one function per section, in the order of the file.

use super::declare::{FORM, Form, Hand, Kind, Named};
use super::decode_cells::{microcolumns, population, relay};
use super::decode_spikes::{fidelity, speaks_of_spikes, trace};
use super::decode_tokens::tokens;
use super::fields::{At, Decoder, Fields, join};
use super::node::{Value, shorten};
use super::types::*;
use super::types_run::maps;
use super::{IncludeSpec, Places, include, template, weights};
use crate::diag::{Diagnostic, codes, did_you_mean};

const AXES: [(&str, Axis); 3] =
    [("cells", Axis::Cells), ("microcolumns", Axis::Microcolumns), ("all", Axis::All)];

/// Reads a whole circuit. Mistakes go to `d`; the result is there only when the skeleton could be read.
pub fn circuit(d: &mut Decoder, at: At<'_>) -> Option<(CircuitSpec, include::Written, Table<IncludeSpec>)> {
    let mut f = d.map(at, "a map: a circuit")?;
    let schema = f.required(d, "schema", schema_line);
    let name = f.required(d, "name", Decoder::string);
    let description = f.optional(d, "description", Decoder::string);
    let source = f.optional(d, "source", Decoder::string);
    let seed = f.optional(d, "seed", seed).unwrap_or(0);
    let parameters =
        f.optional(d, "parameters", |d, at| d.table(at, "parameters", Decoder::carried)).unwrap_or_default();
    // Spike trains take the place of tokens, and may come from cortex alone.
    let spikes = speaks_of_spikes(at.node);
    let tokens = if spikes && f.node("tokens").is_none() {
        Some(TokensSpec::none())
    } else {
        f.required(d, "tokens", tokens)
    };
    let thalamus = if spikes && f.node("thalamus").is_none() {
        Some(Table::default())
    } else {
        f.required(d, "thalamus", |d, at| d.table(at, "relays", relay))
    };
    let mut written = template::Written::default();
    let areas = f
        .optional(d, "areas", |d, at| d.table(at, "areas", |d, at| area(d, at, &mut written)))
        .unwrap_or_default();
    let projections =
        f.optional(d, "projections", |d, at| d.table(at, "projections", projection)).unwrap_or_default();
    let parts = f.optional(d, "include", |d, at| Named("parts", FORM).read(d, at)).unwrap_or_default();
    let output = f.required(d, "output", output);
    let expect = f.optional(d, "expect", expect);
    let reserved = reserved(d, &mut f, spikes);
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
        places: Places::default(),
    };
    let places = written.add_to(&mut spec, d);
    Some((spec, places, parts))
}

/// Sections that other verbs act on. In a circuit of spikes traces are those of a neuron.
fn reserved(d: &mut Decoder, f: &mut Fields<'_>, spikes: bool) -> Reserved {
    let of_neuron = |d: &mut Decoder, at: At<'_>| maps(Hand(trace, || serde_json::Value::Null)).read(d, at);
    let traces = if spikes { f.optional(d, "record", of_neuron) } else { None };
    let record = if spikes { None } else { f.optional(d, "record", |d, at| maps(FORM).read(d, at)) };
    Reserved {
        simulation: f.optional(d, "simulation", Form::read),
        record: record.unwrap_or_default(),
        traces: traces.unwrap_or_default(),
        noise: f.optional(d, "noise", Form::read),
        lesions: f.optional(d, "lesions", |d, at| maps(FORM).read(d, at)).unwrap_or_default(),
        task: f.optional(d, "task", Form::read),
        train: f.optional(d, "train", Form::read),
        loss: f.optional(d, "loss", Form::read),
        protocol: f.optional(d, "protocol", Form::read),
        fidelity: f.optional(d, "fidelity", fidelity),
    }
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

pub(super) fn seed(d: &mut Decoder, at: At<'_>) -> Option<u64> {
    match at.node.value {
        Value::Int(i) => u64::try_from(i).ok().or_else(|| d.wrong(at, "a whole number from 0 to 2^64 - 1")),
        _ => d.wrong(at, "a whole number from 0 to 2^64 - 1"),
    }
}

fn area(d: &mut Decoder, at: At<'_>, written: &mut template::Written) -> Option<AreaSpec> {
    let mut f = d.map(at, "a map with `populations`, or with `template`")?;
    if f.node("template").is_some() {
        let name = at.path.rsplit('.').next().unwrap_or_default().to_owned();
        let mask = f.optional(d, "mask", super::decode_tokens::mask);
        let area = f.optional(d, "template", |d, at| template::read(d, at, &name, written));
        f.finish(d);
        return area.map(|a: AreaSpec| AreaSpec { mask, ..a });
    }
    let mask = f.optional(d, "mask", super::decode_tokens::mask);
    let microcolumns = f.optional(d, "microcolumns", microcolumns).unwrap_or_default();
    let populations = f.required(d, "populations", |d, at| d.table(at, "populations", population));
    f.asked_also("template");
    f.finish(d);
    Some(AreaSpec { mask, microcolumns, populations: populations? })
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
    let mask = f.optional(d, "mask", super::decode_tokens::mask);
    let plasticity = f.optional(d, "plasticity", PlasticitySpec::read);
    let delay = f.optional(d, "delay", |d, at| d.time(at, false));
    let tied = f.optional(d, "tied", Decoder::boolean);
    let synapses = f.optional(d, "synapses", super::decode_spikes::synapses);
    let pulse = f.optional(d, "pulse", super::decode_spikes::pulse);
    let drawn = f.optional(d, "drawn", Form::read);
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
        synapses,
        pulse,
        drawn,
    })
}

fn gain(d: &mut Decoder, at: At<'_>) -> Option<GainSpec> {
    if !matches!(at.node.value, Value::Map(_)) {
        return d.number(at).map(GainSpec::Number);
    }
    let (key, node) = d.choice(at, "a number, `{inv: 4}` or `{inv_sqrt: 4}`")?;
    let path = join(at.path, &key.name);
    let form = match key.name.as_str() {
        "inv" => GainSpec::Inv,
        "inv_sqrt" => GainSpec::InvSqrt,
        other => {
            let what = format!("`{}` is not a form of `gain`", shorten(other));
            let help = did_you_mean(other, ["inv", "inv_sqrt"]);
            d.error(Diagnostic::error(codes::S009, &path, what).help(help).at(key.span));
            return None;
        }
    };
    d.number_where(At { node, path: &path }, "positive", |x| x > 0.0).map(form)
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
