//! The JSON Schema (draft 07) of circuit files, for editors: completion and underlined slips while one types.
//!
//! The program itself reads with `super::decode`; a test holds the two together.

use super::{schema_learn, schema_protocol, schema_spikes};
use serde_json::{Map, Value, json};

/// Named parts that sections refer to.
fn definitions() -> Value {
    json!({
        "parameter": {"type": "string", "pattern": "^\\$[A-Za-z_][A-Za-z0-9_]*$", "description": "a parameter, filled in from `parameters`"},
        "flag": {"anyOf": [{"type": "boolean"}, {"$ref": "#/definitions/parameter"}]},
        "number": {"anyOf": [{"type": "number"}, {"$ref": "#/definitions/parameter"}]},
        "count": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 100_000_000}, {"$ref": "#/definitions/parameter"}]},
        "time": {"type": "string", "description": "a time with its unit: 10 ms, 0.2 s, 500 us"},
        "mask": word(&["full", "causal", "strict"], "full: all j; causal: j <= i; strict: j < i"),
        "per": {"type": "array", "items": word(&["query", "context"], ""), "uniqueItems": true, "description": "token indices over which the population is replicated"},
        "matrix": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/number"}}},
        "input": one_of(&[
            ("gaussian", object(json!({"length": r("count"), "std": r("number")}), &["length"])),
            ("file", object(json!({"path": {"type": "string"}, "array": {"type": "string"}, "tensor": {"type": "string"}}), &["path"])),
            ("values", r("matrix")),
        ]),
        "layout": one_of(&[
            ("space", object(json!({}), &[])),
            ("time", object(json!({"duration": r("time"), "gap": r("time")}), &["duration", "gap"])),
        ]),
        "tau": {"anyOf": [r("time"), object(json!({"basal": r("time"), "apical": r("time")}), &["basal", "apical"])]},
        "limits": object(json!({"min": r("number"), "max": r("number")}), &["min", "max"]),
        "noise": object(json!({"std": r("number")}), &["std"]),
        "record": object(json!({
            "population": {"type": "string"}, "variable": word(&["rate", "potential", "input"], "rate, or of a compartment: potential, input"),
            "compartment": word(&["basal", "apical", "gate"], ""), "cells": r("numbers"), "query": r("numbers"), "context": r("numbers"),
            "every": r("count"),
        }), &["population"]),
        "numbers": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "lesion": lesion(),
        "stream": stream(),
        "relay": object(json!({
            "pathway": word(&["core", "matrix"], "core: focal; matrix: diffuse"),
            "per": r("per"), "cells": r("count"), "tokens": {"type": "string"}, "part": word(&["plus", "minus"], ""),
            "tau": r("tau"), "prospective": r("flag"), "limits": r("limits"), "noise": r("noise"),
            "spike_trains": r("spike_trains"),
        }), &["pathway", "cells"]),
        "activation": {"anyOf": [
            word(&["product", "linear", "relu", "exp", "elu_plus_one", "sigmoid", "sign"], ""),
            one_of(&[("power", object(json!({"exponent": r("count")}), &["exponent"]))]),
        ]},
        "accumulate": one_of(&[
            ("hebbian", object(json!({"rate": r("number")}), &[])),
            ("decay", object(json!({"g": r("number"), "rate": r("number")}), &[])),
            ("delta", object(json!({"rate": r("number")}), &[])),
            ("gated", object(json!({}), &[])),
        ]),
        "population": object(json!({
            "layer": word(&["L1", "L2", "L3", "L2/3", "L4", "L5", "L6", "L5/6"], ""),
            "cell_type": word(&["pyramidal", "interneuron", "stellate"], ""),
            "cells": r("count"), "per": r("per"), "activation": r("activation"), "accumulate": r("accumulate"),
            "tau": r("tau"), "prospective": r("flag"), "limits": r("limits"), "noise": r("noise"),
            "spike_trains": r("spike_trains"), "cable": r("cable"),
        }), &["cells"]),
        "area": object(json!({
            "mask": r("mask"),
            "microcolumns": object(json!({"count": r("count"), "per": r("per")}), &[]),
            "populations": table("population"),
            "template": r("template"),
        }), &[]),
        "plasticity": schema_learn::plasticity(),
        "tokens_of": schema_learn::tokens_of(),
        "template": template(),
        "weights": weights(),
        "gain": {"anyOf": [r("number"), one_of(&[("inv", positive()), ("inv_sqrt", positive())])]},
        "projection": projection(),
    })
}

fn projection() -> Value {
    object(
        json!({
            "from": {"type": "string", "description": "a population, a relay or tonic"},
            "to": {"type": "string", "description": "POPULATION.COMPARTMENT, for example A1.deep.apical"},
            "onto": word(&["cells", "microcolumns", "all"], ""), "pool": word(&["cells", "microcolumns"], ""),
            "weights": r("weights"), "gain": r("gain"), "sign": word(&["excitatory", "inhibitory"], ""),
            "effect": word(&["additive", "divisive"], ""), "mask": r("mask"),
            "plasticity": r("plasticity"), "delay": r("time"), "tied": r("flag"),
            "synapses": r("synapses"), "pulse": r("pulse"),
        }),
        &["from", "to", "weights"],
    )
}

fn weights() -> Value {
    let part = object(json!({"weights": r("weights"), "draw": {"type": "string"}}), &["weights", "draw"]);
    json!({"anyOf": [
        word(&super::types::WeightsSpec::WORDS.map(|(name, _)| name), ""),
        one_of(&[
            ("identity", r("count")),
            ("centre", r("count")),
            ("ones", shape()),
            ("zeros", shape()),
            ("rotate", word(&super::types::Pairing::NAMES.map(|(name, _)| name), "which two numbers turn together")),
            ("kron", json!({"type": "array", "items": r("weights"), "minItems": 1})),
            ("normal", one_of(&[("std", r("number")), ("fan_in", r("number"))])),
            ("uniform", object(json!({"low": r("number"), "high": r("number")}), &["low", "high"])),
            ("file", object(json!({"path": {"type": "string"}, "tensor": {"type": "string"}}), &["path"])),
            ("values", r("matrix")),
            ("blocks", object(json!({"count": r("count"), "of": r("weights")}), &["count", "of"])),
            ("rank", object(json!({"of": r("count"), "std": r("number")}), &["of", "std"])),
            ("same_as", json!({"type": "string"})),
            ("transpose_of", json!({"type": "string"})),
            ("plus_of", part.clone()),
            ("minus_of", part),
        ]),
    ]})
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
            "pairing": word(&super::types::Pairing::NAMES.map(|(name, _)| name), "which two numbers turn together"),
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
    json!({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, r("parameter")]})
}

fn lesion() -> Value {
    let form = |key: &str, more: Value, required: &[&str]| {
        let mut keys = json!({"from": r("time"), "until": r("time")});
        keys[key] = json!({"type": "string"});
        if let (Value::Object(keys), Value::Object(more)) = (&mut keys, more) {
            keys.extend(more);
        }
        object(keys, required)
    };
    one_of(&[
        ("silence", form("population", json!({"fraction": r("number")}), &["population"])),
        ("cut", form("projection", json!({"fraction": r("number")}), &["projection"])),
        ("scale", form("projection", json!({"gain": r("number")}), &["projection", "gain"])),
        ("noise", form("population", json!({"std": r("number")}), &["population", "std"])),
    ])
}

fn template() -> Value {
    let arguments = |memory: bool| {
        let mut keys = json!({
            "query": {"type": "string"}, "context": {"type": "string"}, "to": {"type": "string"},
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
    let tokens = json!({
        "d_model": r("count"), "input": r("input"), "mask": r("mask"), "layout": r("layout"), "streams": table("stream"),
    });
    let properties = json!({
        "schema": {"const": super::types::SCHEMA},
        "name": {"type": "string"}, "description": {"type": "string"}, "source": {"type": "string"},
        "seed": {"anyOf": [{"type": "integer", "minimum": 0}, r("parameter")]},
        "parameters": {"type": "object", "additionalProperties": {"type": ["number", "string", "boolean"]}},
        "tokens": object(tokens, &[]),
        "thalamus": table("relay"), "areas": table("area"), "projections": table("projection"),
        "output": {"anyOf": [
            {"type": "string"},
            object(json!({"plus": {"type": "string"}, "minus": {"type": "string"}}), &["plus", "minus"]),
        ]},
        "expect": object(json!({
            "heads": object(json!({"count": r("count"), "above": r("number")}), &["count"]),
            "blocks": r("count"),
        }), &[]),
        "simulation": object(json!({
            "dt": r("time"), "integrator": word(&["euler", "exponential_euler"], ""),
            "stop": {"anyOf": [word(&["settle"], ""), object(json!({"duration": r("time")}), &["duration"])]},
        }), &[]),
        "record": {"type": "array", "items": {"anyOf": [r("record"), r("spike_trace")]}}, "noise": r("noise"),
        "lesions": {"type": "array", "items": r("lesion")}, "task": schema_learn::task(), "train": schema_learn::train(),
        "loss": object(json!({"on": word(&["all", "last"], "")}), &[]),
        "protocol": schema_protocol::protocol(), "fidelity": schema_spikes::fidelity(),
    });
    let mut schema = object(properties, &["schema", "name", "output"]);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("pulvinar circuit");
    let mut named = definitions();
    if let Value::Object(named) = &mut named {
        named.extend(schema_protocol::definitions());
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
    json!({"type": "object", "additionalProperties": r(of)})
}

/// A map with exactly one of these keys.
pub(super) fn one_of(forms: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = forms.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    json!({"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1, "additionalProperties": false})
}
