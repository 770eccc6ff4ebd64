//! The part of the JSON Schema that is about experiments: `protocol`.

use super::schema::{object, r, word};
use super::types::Shows;
use serde_json::{Map, Value, json};

/// Named parts that the section refers to.
pub fn definitions() -> Map<String, Value> {
    let trial = object(json!({"cs": r("stimuli"), "us": r("number")}), &[]);
    let trials = json!({"type": "array", "minItems": 1, "items": trial});
    let phase = object(json!({"repeat": r("count"), "trials": trials}), &["trials"]);
    let findings = Shows::NAMES.map(|(name, _)| name);
    let shows =
        word(&findings, "what animals do: respond, less than not, less or more than after the control");
    let conditioning =
        json!({"train": r("phases"), "control": r("phases"), "test": r("stimuli"), "shows": shows});
    let all = [
        ("counts", json!({"type": "array", "minItems": 1, "items": r("count")})),
        ("number_list", json!({"type": "array", "minItems": 1, "items": r("number")})),
        ("range", json!({"type": "array", "minItems": 2, "maxItems": 2, "items": r("number")})),
        (
            "stimuli",
            json!({"anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": r("number")},
            ], "description": "[A, B], or with intensities {A: 1, B: 0.5}"}),
        ),
        ("phases", json!({"type": "array", "minItems": 1, "items": phase})),
        ("conditioning", object(conditioning, &["train", "test", "shows"])),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub fn protocol() -> Value {
    let plan = |keys: &[(&str, &str)]| {
        let all: Map<String, Value> = keys.iter().map(|(name, of)| ((*name).to_owned(), r(of))).collect();
        let required: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
        object(Value::Object(all), &required)
    };
    let trials = ("trials", "count");
    let mut digits =
        plan(&[("path", ""), ("stored", "counts"), ("kept", "number_list"), ("passes", "count"), trials]);
    digits["properties"]["path"] = json!({"type": "string"});
    object(
        json!({
            "capacity": plan(&[("d", "counts"), ("load", "number_list"), ("ages", "counts"), trials]),
            "crossover": plan(&[("load", "number_list"), trials]),
            "conditioning": {"type": "object", "additionalProperties": r("conditioning")},
            "identify": plan(&[("circuits", "count"), ("noise", "number"), ("load", "range"), ("g", "range"), ("rate", "range")]),
            "depth": plan(&[("redundancy", "counts"), ("pairs", "counts"), trials]),
            "hopfield": plan(&[("patterns", "count"), ("norm", "number"), ("beta", "number_list"), ("n", "counts"), trials, ("cells", "count"), ("dilution", "number"), ("runs", "count")]),
            "equilibrium": plan(&[("load", "number_list"), trials]),
            "digits": digits,
            "match_and_control": super::schema_spikes::match_and_control(),
        }),
        &[],
    )
}
