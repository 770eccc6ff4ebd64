//! A circuit as YAML that reads like a hand-written one: sections as blocks, one line for each relay, population and
//! projection.
//!
//! `serde_yaml` writes correct YAML, but one scalar per line; a projection would take eight lines.

use super::types::CircuitSpec;
use crate::diag::is_unclean;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Lines longer than this are broken into a block, if their value is a map.
const WIDTH: usize = 240;

/// The resolved circuit as YAML: parameters filled in, templates written out.
///
/// # Panics
/// Never: every value of a decoded circuit has a JSON form.
#[must_use]
pub fn to_yaml(spec: &CircuitSpec) -> String {
    let mut value = serde_json::to_value(spec).expect("a circuit has a JSON form");
    if spec.spikes() {
        without_rates(&mut value);
    }
    let mut out = String::new();
    if let Value::Object(sections) = &value {
        for (name, section) in sections {
            let is_block = matches!(section, Value::Object(m) if !m.is_empty());
            if is_block || name == "output" {
                out.push('\n');
            }
            entry(&mut out, 0, name, section, depth_of(name));
        }
    }
    out
}

/// Takes away what says nothing about spikes: activations, empty `microcolumns`.
fn without_rates(circuit: &mut Value) {
    let Some(areas) = circuit.get_mut("areas").and_then(Value::as_object_mut) else { return };
    for area in areas.values_mut().filter_map(Value::as_object_mut) {
        if area.get("microcolumns").is_some_and(|m| m.as_object().is_some_and(Map::is_empty)) {
            area.remove("microcolumns");
        }
        let Some(populations) = area.get_mut("populations").and_then(Value::as_object_mut) else { continue };
        for population in populations.values_mut().filter_map(Value::as_object_mut) {
            if population.contains_key("spike_trains") || population.contains_key("cable") {
                population.remove("activation");
            }
        }
    }
}

/// How many levels of a section are written as blocks.
fn depth_of(section: &str) -> usize {
    match section {
        "areas" => 3,
        "tokens" | "thalamus" | "projections" => 1,
        _ => 0,
    }
}

fn entry(out: &mut String, indent: usize, key: &str, value: &Value, blocks: usize) {
    let pad = " ".repeat(indent);
    let key = scalar(key);
    match value {
        Value::Object(map) if !map.is_empty() && (blocks > 0 || pad.len() + flow(value).len() > WIDTH) => {
            let _ = writeln!(out, "{pad}{key}:");
            let width = column_width(map, blocks);
            for (name, inner) in map {
                // Populations stand one per line below `populations`, everything beside them in one line.
                let deeper =
                    if blocks > 1 && (blocks == 3 || name == "populations") { blocks - 1 } else { 0 };
                let one_line = deeper == 0 && indent + 2 + flow(inner).len() <= WIDTH;
                if one_line && width > 0 {
                    let gap = " ".repeat(width.saturating_sub(scalar(name).len()));
                    let _ = writeln!(out, "{pad}  {}: {gap}{}", scalar(name), flow(inner));
                } else {
                    entry(out, indent + 2, name, inner, deeper);
                }
            }
        }
        _ => {
            let _ = writeln!(out, "{pad}{key}: {}", flow(value));
        }
    }
}

/// Names of one section are padded to the longest, unless that is much longer than the rest.
fn column_width(map: &Map<String, Value>, blocks: usize) -> usize {
    let longest = map.keys().map(String::len).max().unwrap_or(0);
    if blocks > 0 && longest <= 24 { longest } else { 0 }
}

/// A value in one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => number(n),
        Value::String(s) => scalar(s),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{}: {}", scalar(k), flow(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// Whole numbers without a point; all digits otherwise, so that the number reads back bit for bit.
fn number(n: &serde_json::Number) -> String {
    match n.as_f64() {
        Some(x) if n.is_f64() && x.fract() == 0.0 && x.abs() < 1e15 && (x != 0.0 || x.is_sign_positive()) => {
            format!("{x}")
        }
        _ => n.to_string(),
    }
}

/// A text in double quotes, in one line: what YAML would take for an end of line, refuse or not show stands as an escape.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            '\r' => write!(out, "\\r"),
            c if is_unclean(c) && c <= '\u{ffff}' => write!(out, "\\u{:04x}", u32::from(c)),
            c if is_unclean(c) => write!(out, "\\U{:08x}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
    out.push('"');
    out
}

/// A word as YAML: plain where YAML reads a plain word back as the same text, quoted otherwise.
pub fn scalar(text: &str) -> String {
    let first = text.chars().next();
    let plain = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | ' '))
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"]
            .contains(&text.to_ascii_lowercase().as_str());
    // `10 ms` starts with a digit, but no reader takes it for a number.
    let measured = |unit: &&str| text.strip_suffix(unit).is_some_and(|n| n.parse::<f64>().is_ok());
    let time = [" ms", " nS", " nA", " Hz", " mV", " mM", " mM^4 ms"].iter().any(measured);
    if plain || time { text.to_owned() } else { quoted(text) }
}
