//! The JSON Schema (draft 07) of circuit files, for editors: completion and underlined slips while one types.
//!
//! The program itself reads with `super::decode`; a test holds the two together.

use super::declare::{FORM, FRACTION, Form, Kind, Named, POSITIVE, UNIT};
use super::schema_spikes;
use super::types::*;
use serde_json::{Map, Value, json};

/// Named parts that sections refer to.
fn definitions() -> Value {
    json!({
        "parameter": {"type": "string", "pattern": "^\\$[A-Za-z_][A-Za-z0-9_]*$", "description": "a parameter, filled in from `parameters`"},
        "flag": {"anyOf": [{"type": "boolean"}, {"$ref": "#/definitions/parameter"}]},
        "number": {"anyOf": [{"type": "number"}, {"$ref": "#/definitions/parameter"}]},
        "count": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 100_000_000}, {"$ref": "#/definitions/parameter"}]},
        "time": time(NOT_ZERO),
        "time_or_zero": time("([0-9]+\\.?[0-9]*|\\.[0-9]+)"),
        "mask": word(&MaskSpec::WHOLE.map(MaskSpec::word), &MaskSpec::WHOLE.map(|m| format!("{}: {}", m.word(), m.sentence())).join("; ")),
        "per": {"type": "array", "items": word(&["query", "context"], ""), "uniqueItems": true, "description": "token indices over which the population is replicated"},
        "matrix": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/number"}}},
        "input": one_of(&[
            ("gaussian", object(json!({"length": r("count"), "std": positive()}), &["length"])),
            ("file", object(json!({"path": {"type": "string"}, "array": {"type": "string"}, "tensor": {"type": "string"}}), &["path"])),
            ("values", r("matrix")),
        ]),
        "layout": one_of(&[
            ("space", object(json!({}), &[])),
            ("time", object(json!({"duration": r("time"), "gap": r("time_or_zero")}), &["duration", "gap"])),
        ]),
        "tau": TauSpec::schema(),
        "stream": stream(),
        "relay": object(json!({
            "pathway": word(&["core", "matrix"], "core: focal; matrix: diffuse"),
            "per": r("per"), "cells": r("count"), "tokens": {"type": "string"}, "part": word(&["plus", "minus"], ""),
            "tau": r("tau"), "prospective": r("flag"), "limits": LimitsSpec::schema(), "noise": NoiseSpec::schema(),
            "spike_trains": r("spike_trains"),
        }), &["pathway", "cells"]),
        "activation": {"anyOf": [
            word(&ActivationSpec::named().map(|(name, _)| name).collect::<Vec<_>>(), ""),
            one_of(&[("power", object(json!({"exponent": positive()}), &["exponent"]))]),
        ]},
        "accumulate": one_of(&[
            ("hebbian", object(json!({"rate": positive()}), &[])),
            ("decay", object(json!({"g": UNIT.schema(), "rate": positive()}), &["g"])),
            ("delta", object(json!({"rate": positive()}), &[])),
            ("gated", object(json!({}), &[])),
        ]),
        "population": object(json!({
            "layer": word(&["L1", "L2", "L3", "L2/3", "L4", "L5", "L6", "L5/6"], ""),
            "cell_type": word(&["pyramidal", "interneuron", "stellate"], ""),
            "cells": r("count"), "per": r("per"), "activation": r("activation"), "accumulate": r("accumulate"),
            "tau": r("tau"), "prospective": r("flag"), "limits": LimitsSpec::schema(), "noise": NoiseSpec::schema(),
            "spike_trains": r("spike_trains"), "cable": r("cable"),
        }), &["cells"]),
        "area": area(),
        "template": template(),
        "weights": weights(),
        "gain": {"anyOf": [r("number"), one_of(&[("inv", positive()), ("inv_sqrt", positive())])]},
        "projection": projection(),
    })
}

/// Populations, or a template that writes them.
fn area() -> Value {
    let mut area = object(
        json!({
            "mask": r("mask"),
            "microcolumns": object(json!({"count": r("count"), "per": r("per")}), &[]),
            "populations": table("population"),
            "template": r("template"),
        }),
        &[],
    );
    either(&mut area, "template", &["populations", "microcolumns"], &["populations"]);
    area
}

/// Where there is a `key` none of `others` stands; where there is none, `instead` must.
fn either(schema: &mut Value, key: &str, others: &[&str], instead: &[&str]) {
    let others: Vec<Value> = others.iter().map(|other| json!({"required": [other]})).collect();
    schema["if"] = json!({"required": [key]});
    schema["then"] = json!({"not": {"anyOf": others}});
    schema["else"] = json!({"required": instead});
}

/// A circuit of rates needs tokens, and relays that carry them.
fn rates(schema: &mut Value) {
    let silent = json!({"not": {"anyOf": [{"required": ["cable"]}, {"required": ["spike_trains"]}]}});
    let all = |of: &Value| json!({"additionalProperties": of});
    let areas = all(&json!({"properties": {"populations": all(&silent)}}));
    schema["if"] = json!({"properties": {"thalamus": all(&silent), "areas": areas}});
    schema["then"] = json!({"required": ["tokens", "thalamus"]});
    schema["else"] = json!({});
}

fn projection() -> Value {
    object(
        json!({
            "from": {"type": "string", "description": "a population, a relay or tonic"},
            "to": {"type": "string", "description": "POPULATION.COMPARTMENT, for example A1.deep.apical"},
            "onto": word(&["cells", "microcolumns", "all"], ""), "pool": word(&["cells", "microcolumns"], ""),
            "weights": r("weights"), "gain": r("gain"), "sign": word(&["excitatory", "inhibitory"], ""),
            "effect": word(&["additive", "divisive"], ""), "mask": r("mask"),
            "plasticity": PlasticitySpec::schema(), "delay": r("time"), "tied": r("flag"),
            "synapses": r("synapses"), "pulse": r("pulse"), "drawn": DrawnSpec::schema(),
        }),
        &["from", "to", "weights"],
    )
}

fn weights() -> Value {
    let part = object(json!({"weights": r("weights"), "draw": {"type": "string"}}), &["weights", "draw"]);
    json!({"anyOf": [
        word(&WeightsSpec::WORDS.map(|(name, _)| name), ""),
        one_of(&[
            ("identity", r("count")),
            ("centre", r("count")),
            ("ones", shape()),
            ("zeros", shape()),
            ("rotate", word(&Pairing::NAMES.map(|(name, _)| name), "which two numbers turn together")),
            ("kron", json!({"type": "array", "items": r("weights"), "minItems": 1})),
            ("normal", one_of(&[("std", positive()), ("fan_in", positive())])),
            ("uniform", object(json!({"low": r("number"), "high": r("number")}), &["low", "high"])),
            ("file", object(json!({"path": {"type": "string"}, "tensor": {"type": "string"}}), &["path"])),
            ("values", r("matrix")),
            ("blocks", object(json!({"count": r("count"), "of": r("weights")}), &["count", "of"])),
            ("rank", object(json!({"of": r("count"), "std": positive()}), &["of", "std"])),
            ("same_as", json!({"type": "string"})),
            ("transpose_of", json!({"type": "string"})),
            ("plus_of", part.clone()),
            ("minus_of", part),
        ]),
    ]})
}

/// The same, or one of a part: `L0.HO`.
const PART_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]{0,99}(\\.[A-Za-z_][A-Za-z0-9_]{0,99})*$";

/// A name of the user's choice.
pub(super) const NAME: &str = "^[A-Za-z_][A-Za-z0-9_]{0,99}$";

pub fn seed() -> Value {
    json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": u64::MAX}, r("parameter")]})
}

fn name() -> Value {
    json!({"type": "string", "pattern": PART_NAME})
}

/// Digits of which one is not 0.
const NOT_ZERO: &str = "([0-9]*[1-9][0-9]*\\.?[0-9]*|[0-9]*\\.[0-9]*[1-9][0-9]*)";

/// A number with a unit of time, or a parameter that holds one.
fn time(digits: &str) -> Value {
    let pattern = format!("^\\s*\\+?{digits}([eE][+-]?[0-9]+)?\\s*(ms|s|[u\u{b5}\u{3bc}]s)\\s*$");
    json!({
        "anyOf": [{"type": "string", "pattern": pattern}, r("parameter")],
        "description": "a time with its unit: 10 ms, 0.2 s, 500 us",
    })
}

/// `[rows, columns]`
fn shape() -> Value {
    json!({"type": "array", "items": r("count"), "minItems": 2, "maxItems": 2})
}

/// Tokens as given, or positions.
fn stream() -> Value {
    let text = || json!({"type": "string", "description": "the stream whose token index this one shares"});
    let mut rotary = object(
        json!({
            "dims": r("count"), "theta": positive(), "scale": positive(),
            "frequencies": {"type": "array", "items": r("number"), "description": "of each pair, radians per token"},
            "pairing": word(&Pairing::NAMES.map(|(name, _)| name), "which two numbers turn together"),
        }),
        &["dims", "pairing"],
    );
    rotary["oneOf"] = json!([{"required": ["theta"]}, {"required": ["frequencies"]}]);
    let kinds = one_of(&[
        ("index", object(json!({}), &[])),
        ("one_hot", r("count")),
        ("rotary", rotary),
        ("sinusoid", object(json!({"d_model": r("count"), "theta": positive()}), &["d_model", "theta"])),
    ]);
    let offset =
        json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100_000_000}, r("parameter")]});
    let mut stream = object(
        json!({"d_model": r("count"), "input": r("input"), "clock": text(), "positions": kinds, "offset": offset}),
        &[],
    );
    stream["if"] = json!({"required": ["positions"]});
    stream["then"] = json!({"required": ["clock"], "not": {"anyOf": [{"required": ["d_model"]}, {"required": ["input"]}]}});
    stream["else"] = json!({"required": ["d_model"], "not": {"required": ["offset"]}});
    stream
}

fn positive() -> Value {
    POSITIVE.schema()
}

fn template() -> Value {
    let arguments = |memory: bool| {
        let mut keys = json!({
            "query": name(), "context": name(), "to": name(),
            "d_k": r("count"), "d_v": r("count"), "weights": r("weights"),
        });
        if memory {
            keys["memory"] = r("accumulate");
        }
        object(keys, &["query", "context", "to", "d_k", "d_v"])
    };
    let forms: Vec<(&str, Value)> =
        super::template::list().map(|(name, _)| (name, arguments(name == "key_value_memory_head"))).collect();
    one_of(&forms)
}

/// The schema of circuit files, as JSON text.
#[must_use]
pub fn json_schema() -> String {
    let mut streams = table("stream");
    streams["minProperties"] = json!(1);
    let tokens = json!({
        "d_model": r("count"), "input": r("input"), "mask": r("mask"), "layout": r("layout"), "streams": streams,
    });
    let mut tokens = object(tokens, &[]);
    either(&mut tokens, "streams", &["d_model", "input"], &["d_model"]);
    let properties = json!({
        "schema": {"const": SCHEMA},
        "name": {"type": "string"}, "description": {"type": "string"}, "source": {"type": "string"},
        "seed": seed(), "include": Kind::<Table<super::IncludeSpec>>::schema(&Named("parts", FORM)),
        "parameters": {"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": {"type": ["number", "string", "boolean", "null"]}},
        "tokens": tokens,
        "thalamus": table("relay"), "areas": table("area"), "projections": table("projection"),
        "output": {"anyOf": [
            {"type": "string"},
            object(json!({"plus": {"type": "string"}, "minus": {"type": "string"}}), &["plus", "minus"]),
        ]},
        "expect": object(json!({
            "heads": object(json!({"count": r("count"), "above": FRACTION.schema()}), &["count"]),
            "blocks": r("count"),
        }), &[]),
        "simulation": SimulationSpec::schema(), "noise": NoiseSpec::schema(),
        "record": {"type": "array", "items": {"anyOf": [RecordSpec::schema(), r("spike_trace")]}},
        "lesions": {"type": "array", "items": LesionSpec::schema()}, "task": TaskSpec::schema(), "train": TrainSpec::schema(),
        "loss": LossSpec::schema(), "protocol": ProtocolSpec::schema(), "fidelity": schema_spikes::fidelity(),
    });
    let mut schema = object(properties, &["schema", "name", "output"]);
    rates(&mut schema);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("pulvinar circuit");
    let mut named = definitions();
    if let Value::Object(named) = &mut named {
        named.extend(schema_spikes::definitions());
    }
    schema["definitions"] = named;
    format!("{schema:#}\n")
}

pub(super) fn r(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

pub(super) fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// One of these words, or a parameter that holds one.
pub(super) fn word(words: &[&str], description: &str) -> Value {
    let mut schema = json!({"anyOf": [{"enum": words}, r("parameter")]});
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    schema
}

fn table(of: &str) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": PART_NAME}, "additionalProperties": r(of)})
}

/// A map with exactly one of these keys.
pub(super) fn one_of(forms: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = forms.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    json!({"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1, "additionalProperties": false})
}
