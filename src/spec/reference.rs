//! The tables of `circuits/README.md` about declared keys, written from the JSON Schema.

use super::declare::Form;
use super::types::*;
use serde_json::Value;
use std::fmt::Write;

/// Sections and forms in the order of the reference, each with its schema.
fn parts() -> Vec<(&'static str, Value)> {
    vec![
        ("simulation", SimulationSpec::schema()),
        ("noise", NoiseSpec::schema()),
        ("limits", LimitsSpec::schema()),
        ("record", RecordSpec::schema()),
        ("lesions", LesionSpec::schema()),
        ("plasticity", PlasticitySpec::schema()),
        ("loss", LossSpec::schema()),
        ("task", TaskSpec::schema()),
        ("train", TrainSpec::schema()),
        ("protocol", ProtocolSpec::schema()),
    ]
}

/// One table for all declared keys, Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from("| key | what stands there | default | meaning |\n|---|---|---|---|\n");
    for (name, schema) in parts() {
        rows(&mut out, name, &schema, "", &Value::Null);
    }
    out
}

fn rows(out: &mut String, path: &str, schema: &Value, must: &str, default: &Value) {
    let text = schema["description"].as_str().unwrap_or_default().replace('|', "\\|");
    let default = match default {
        Value::Null => must.to_owned(),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::Object(_) => "as below".to_owned(),
        other => format!("`{}`", super::pretty::flow(other)),
    };
    let _ = writeln!(out, "| `{path}` | {} | {default} | {text} |", what(schema));
    let maps = [schema, &schema["items"]].into_iter().chain(schema["anyOf"].as_array().into_iter().flatten());
    for map in maps {
        let required: Vec<&str> =
            map["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, inner) in map["properties"].as_object().into_iter().flatten() {
            let must = if required.contains(&key.as_str()) { "must be there" } else { "" };
            rows(out, &format!("{path}.{key}"), inner, must, &inner["default"]);
        }
    }
}

/// A schema in a few words.
fn what(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return match name.rsplit('/').next().unwrap_or_default() {
            "count" => "whole number, 1 or more".to_owned(),
            "time" => "time".to_owned(),
            "time_or_zero" => "time, also 0".to_owned(),
            "flag" => "true or false".to_owned(),
            "conditioning" => "map".to_owned(),
            other => other.replace('_', " "),
        };
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        let mut all: Vec<String> =
            forms.iter().filter(|form| form["$ref"] != "#/definitions/parameter").map(what).collect();
        all.dedup();
        return all.join(", or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(|w| format!("`{w}`")).collect();
        return words.join(" \\| ");
    }
    let number = |kind: &str| {
        let ends = [
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        ];
        let said = ends
            .iter()
            .filter(|(key, _)| !schema[key].is_null())
            .map(|(key, word)| format!(" {word} {}", super::pretty::flow(&schema[key])));
        format!("{kind}{}", said.collect::<String>())
    };
    match schema["type"].as_str() {
        Some("number") => number("number"),
        Some("integer") => number("whole number"),
        Some("string") => "text".to_owned(),
        Some("array") => format!("list: {}", what(&schema["items"])),
        Some("object") if schema["maxProperties"] == 1 => "one of these".to_owned(),
        Some("object") if schema["properties"].is_null() => "map of names".to_owned(),
        _ => "map".to_owned(),
    }
}
