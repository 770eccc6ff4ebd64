//! Fills in `$name`: every scalar that is exactly `$name` becomes the parameter's value.

use super::fields::is_name;
use super::node::{Node, Value, shorten};
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use std::collections::BTreeMap;

/// Replaces parameters everywhere but in the section `parameters` itself, after `overrides` (`--set`) took effect there.
///
/// Text fields (`name`, `description`, `source`) are left alone.
pub fn fill(root: &mut Node, overrides: &[(String, String)], d: &mut Diagnostics) {
    let Value::Map(entries) = &mut root.value else { return };
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for (key, node) in entries.iter_mut() {
        if key.name != "parameters" {
            continue;
        }
        let Value::Map(parameters) = &mut node.value else { continue };
        for (name, node) in parameters.iter_mut() {
            if let Some((_, text)) = overrides.iter().rev().find(|(n, _)| *n == name.name) {
                node.value = scalar(text);
            }
            if matches!(node.value, Value::Seq(_) | Value::Map(_)) {
                d.push(
                    Diagnostic::error(
                        codes::S017,
                        format!("parameters.{}", name.name),
                        format!(
                            "parameter `{}` is {}, not a single value",
                            shorten(&name.name),
                            node.describe()
                        ),
                    )
                    .help("a parameter is one number, word or true/false")
                    .at(node.span),
                );
                // One mistake, one message: what stands in for it fits most places.
                node.value = Value::Int(1);
            }
            values.insert(name.name.clone(), node.value.clone());
        }
    }
    for (name, _) in overrides {
        if !values.contains_key(name) {
            d.push(
                Diagnostic::error(
                    codes::U001,
                    "parameters",
                    format!("--set {}: no such parameter", shorten(name)),
                )
                .help(did_you_mean(name, values.keys().map(String::as_str))),
            );
        }
    }
    for (key, node) in entries.iter_mut() {
        if !matches!(key.name.as_str(), "parameters" | "name" | "description" | "source") {
            replace(node, &key.name, &values, d);
        }
    }
}

fn replace(node: &mut Node, path: &str, values: &BTreeMap<String, Value>, d: &mut Diagnostics) {
    match &mut node.value {
        Value::Str(text) => {
            if let Some(name) = braced(text) {
                d.push(
                    Diagnostic::error(
                        codes::S018,
                        path,
                        format!("`${{{name}}}` is not how a parameter is used"),
                    )
                    .help(format!("write `${name}`, without braces"))
                    .at(node.span),
                );
                node.value = values.get(name).cloned().unwrap_or(Value::Int(1));
                return;
            }
            let Some(name) = text.strip_prefix('$').filter(|n| is_name(n)) else { return };
            if let Some(value) = values.get(name) {
                node.value = value.clone();
            } else {
                d.push(
                    Diagnostic::error(codes::S018, path, format!("no parameter `${}`", shorten(name)))
                        .help(did_you_mean(name, values.keys().map(String::as_str)))
                        .at(node.span),
                );
                node.value = Value::Int(1);
            }
        }
        Value::Seq(items) => {
            for item in items {
                replace(item, path, values, d);
            }
        }
        Value::Map(entries) => {
            for (key, child) in entries {
                let inner = format!("{path}.{}", key.name);
                replace(child, &inner, values, d);
            }
        }
        _ => {}
    }
}

/// The name in `${name}`, as other languages write it.
fn braced(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|n| is_name(n))
}

/// A `--set` value: number, true/false or text.
fn scalar(text: &str) -> Value {
    match super::node::parse(text.as_bytes()) {
        Ok(Node { value: value @ (Value::Bool(_) | Value::Int(_) | Value::Float(_)), .. }) => value,
        _ => Value::Str(text.to_owned()),
    }
}
