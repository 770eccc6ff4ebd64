//! A validator of the keywords of JSON Schema, draft 07, that the schema of circuits uses.

use regex_lite::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Mutex;

pub fn at<'a>(schema: &'a Value, pointer: &str) -> &'a Value {
    schema.pointer(&pointer[1..]).unwrap_or_else(|| panic!("{pointer} leads nowhere"))
}

/// The keywords of draft 07 that the schema uses; any other is a failure of this test.
pub fn check(schema: &Value, pointer: &str, value: &Value) -> Result<(), String> {
    let here = at(schema, pointer);
    let no = |what: String| Err(format!("{pointer}: {what}, found {value}"));
    for (keyword, rule) in here.as_object().expect("a schema is a map") {
        let inner = |key: &str, value: &Value| check(schema, &format!("{pointer}/{keyword}{key}"), value);
        match keyword.as_str() {
            "$ref" => check(schema, rule.as_str().expect("a pointer"), value)?,
            "type" => {
                let names = rule.as_array().map_or_else(|| vec![rule], |a| a.iter().collect());
                if !names.iter().any(|t| is_type(value, t.as_str().expect("a type"))) {
                    return no(format!("wants type {rule}"));
                }
            }
            "const" if value != rule => return no(format!("wants {rule}")),
            "enum" if !rule.as_array().is_some_and(|a| a.contains(value)) => {
                return no(format!("wants one of {rule}"));
            }
            "anyOf" => {
                let forms = rule.as_array().expect("a list").len();
                let errors: Vec<String> =
                    (0..forms).filter_map(|n| inner(&format!("/{n}"), value).err()).collect();
                if errors.len() == forms {
                    return Err(errors.join("; "));
                }
            }
            "exclusiveMinimum" if value.as_f64().is_some_and(|x| Some(x) <= rule.as_f64()) => {
                return no(format!("wants more than {rule}"));
            }
            "oneOf" => {
                let forms = rule.as_array().expect("a list").len();
                if (0..forms).filter(|n| inner(&format!("/{n}"), value).is_ok()).count() != 1 {
                    return no(format!("wants exactly one of {rule}"));
                }
            }
            "not" if inner("", value).is_ok() => return no(format!("wants not {rule}")),
            "if" => {
                let then = if inner("", value).is_ok() { "then" } else { "else" };
                check(schema, &format!("{pointer}/{then}"), value)?;
            }
            "then" | "else" | "not" => {}
            "exclusiveMaximum" if value.as_f64().is_some_and(|x| Some(x) >= rule.as_f64()) => {
                return no(format!("wants less than {rule}"));
            }
            "minimum" if value.as_f64() < rule.as_f64() => return no(format!("wants at least {rule}")),
            "maximum" if value.as_f64() > rule.as_f64() => return no(format!("wants at most {rule}")),
            "pattern" => {
                if value.as_str().is_some_and(|s| !matches(rule.as_str().expect("a pattern"), s)) {
                    return no(format!("wants {rule}"));
                }
            }
            "propertyNames" => {
                let pattern = rule["pattern"].as_str().expect("a pattern");
                if let Some(name) =
                    value.as_object().into_iter().flatten().map(|(k, _)| k).find(|k| !matches(pattern, k))
                {
                    return no(format!("has no name {name}"));
                }
            }
            "required" => {
                for key in rule.as_array().expect("a list") {
                    if value.get(key.as_str().expect("a name")).is_none() {
                        return no(format!("wants {key}"));
                    }
                }
            }
            "properties" => {
                for key in rule.as_object().expect("a map").keys() {
                    if let Some(child) = value.get(key) {
                        inner(&format!("/{key}"), child)?;
                    }
                }
            }
            "additionalProperties" => {
                let known = here["properties"].as_object();
                for (key, child) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|k| k.contains_key(key)) {
                        continue;
                    }
                    if rule == false {
                        return no(format!("has no key {key}"));
                    }
                    inner("", child)?;
                }
            }
            "minProperties" | "maxProperties" => {
                let least = keyword == "minProperties";
                let wrong = |m: &Map<String, Value>| if least { m.is_empty() } else { m.len() > 1 };
                assert_eq!(rule, 1, "only one-key maps are understood here");
                if value.as_object().is_some_and(wrong) {
                    return no("wants one key".to_owned());
                }
            }
            "items" => {
                for child in value.as_array().into_iter().flatten() {
                    inner("", child)?;
                }
            }
            "minItems" if value.as_array().is_some_and(|a| (a.len() as u64) < rule.as_u64().unwrap_or(0)) => {
                return no(format!("wants {rule} items"));
            }
            "maxItems" if value.as_array().is_some_and(|a| (a.len() as u64) > rule.as_u64().unwrap_or(0)) => {
                return no(format!("wants at most {rule} items"));
            }
            "uniqueItems" => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                if (1..items.len()).any(|i| items[..i].contains(&items[i])) {
                    return no("wants different items".to_owned());
                }
            }
            "const" | "enum" | "minimum" | "exclusiveMinimum" | "exclusiveMaximum" | "maximum"
            | "minItems" | "maxItems" => {}
            "default" | "description" | "title" | "$schema" | "definitions" => {}
            other => panic!("{pointer}: keyword `{other}` is not understood here"),
        }
    }
    Ok(())
}

/// A pattern of the schema, each compiled once.
fn matches(pattern: &str, text: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("no test panics here");
    known.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).expect("a pattern")).is_match(text)
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|x| x.fract() == 0.0),
        "number" => value.is_number(),
        other => panic!("type `{other}` is not understood here"),
    }
}
