//! The JSON Schema of circuit files: the committed copy, the shipped circuits, and the decoder agree with it.

use crate::binary::run;
use crate::schema_check::{at, check};
use crate::schema_examples::{EVERYTHING, examples};
use crate::support::{every_shipped, root};
use pulvinar::spec;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub fn schema() -> Value {
    serde_json::from_str(&spec::schema::json_schema()).expect("the schema is JSON")
}

pub fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

#[test]
fn the_committed_schema_is_what_the_program_prints() {
    let committed = fs::read_to_string(root().join("circuits/pulvinar.schema.json")).expect("there");
    let hint = "run `pulvinar schema > circuits/pulvinar.schema.json`";
    assert!(committed == run(&["schema"]).stdout, "the committed schema is another one: {hint}");
}

#[test]
fn every_circuit_validates() {
    let schema = schema();
    for file in every_shipped() {
        let text = fs::read_to_string(&file).expect("readable");
        assert!(
            text.starts_with("# yaml-language-server: $schema=./pulvinar.schema.json\n"),
            "{}",
            file.display()
        );
        let resolved = spec::to_yaml(&spec::read_file(&file, &[]).expect("valid").spec);
        for text in [text, resolved] {
            check(&schema, "#", &yaml(&text)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
    }
    for text in &examples() {
        check(&schema, "#", &yaml(text)).unwrap_or_else(|e| panic!("{e}"));
        spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
    }
}

#[test]
fn what_is_printed_reads_back() {
    for text in &examples() {
        let read =
            |text: &str| spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
        let first = read(text).spec;
        let printed = spec::to_yaml(&first);
        let second = read(&printed).spec;
        assert_eq!(first.reserved, second.reserved, "{printed}");
        assert_eq!(first.projections, second.projections, "{printed}");
        assert_eq!(first.tokens, second.tokens, "{printed}");
    }
}

#[test]
fn what_the_decoder_refuses_the_schema_refuses() {
    let schema = schema();
    for (claim, from, to) in [
        ("an unknown key", "seed: $n", "sede: 3"),
        ("another schema", "pulvinar/1", "pulvinar/2"),
        ("a missing key", "pathway: matrix, ", ""),
        ("a word that is not there", "activation: product", "activation: produkt"),
        ("no cells", "cells: 3", "cells: 0"),
        ("half a cell", "cells: 3", "cells: 1.5"),
        ("an index twice", "per: [query, context]", "per: [query, query]"),
        ("a parameter that is no name", "activation: $word", "activation: $1"),
        ("two forms at once", "{values: [[1]]}", "{values: [[1]], same_as: p1}"),
        ("no form", "weights: {same_as: p1}", "weights: {}"),
        ("a turn that nobody knows", "{rotate: halves}", "{rotate: thirds}"),
        (
            "positions without a clock",
            "at1: {positions: {index: {}}, clock: main}",
            "at1: {positions: {index: {}}}",
        ),
        ("positions with tokens", "at1: {positions: {index: {}}", "at1: {d_model: 1, positions: {index: {}}"),
        ("an offset of tokens", "other: {d_model: 2,", "other: {d_model: 2, offset: 1,"),
        ("two speeds of a turn", "frequencies: [1, $x]", "frequencies: [1, $x], theta: 3"),
        ("a turn without a speed", "theta: 10000, ", ""),
        ("a turn of nobody's pairs", "theta: 10000, pairing: halves", "theta: 10000, pairing: thirds"),
        ("a shape of one number", "{ones: [1, 2]}", "{ones: [1]}"),
        ("a division by nothing", "{inv: 4}", "{inv: 0}"),
        ("a time without a unit", "gap: 0 ms", "gap: 0"),
        ("a list for a map", "train: {steps: 1", "train: [1]\nmore: {steps: 1"),
        ("no learning rule of that name", "plasticity: {hebbian:", "plasticity: {hebb:"),
        ("a rule without a rate", "{hebbian: {rate: 1}}, delay", "{hebbian: {}}, delay"),
        (
            "a decay of a rule that has none",
            "{three_factor: {rate: $x}}",
            "{three_factor: {rate: $x, decay: 0.1}}",
        ),
        ("no task of that name", "task: {teacher:", "task: {teecher:"),
        ("no sequences in a batch", "batch: 2", "batch: 0"),
        ("another optimiser", "{momentum: {beta: 0.5}}", "rmsprop"),
        ("another schedule", "schedule: cosine", "schedule: step"),
        ("a word for a number", "seed: $n", "seed: three"),
        ("a seed below zero", "seed: $n", "seed: -3"),
    ] {
        assert!(EVERYTHING.contains(from), "{claim}");
        let text = EVERYTHING.replacen(from, to, 1);
        assert!(spec::read(text.as_bytes(), Path::new("."), &[]).is_err(), "{claim}: the decoder takes it");
        assert!(check(&schema, "#", &yaml(&text)).is_err(), "{claim}: the schema takes it");
    }
}

/// What the decoder says is possible in one place.
#[derive(Default)]
struct Possible {
    names: BTreeSet<String>,
    /// how many there are, when the list in the message was cut
    count: usize,
}

#[test]
fn the_decoder_and_the_schema_know_the_same_keys() {
    let schema = schema();
    let mut asked: BTreeMap<String, Possible> = BTreeMap::new();
    for text in &examples() {
        let whole = yaml(text);
        let mut places = Vec::new();
        closed_maps(&schema, "#", &whole, &mut Vec::new(), &mut places);
        for (pointer, path) in places {
            let found = possible(&whole, &path, is_choice(at(&schema, &pointer)));
            let known = asked.entry(pointer).or_default();
            known.count = known.count.max(found.count);
            known.names.extend(found.names);
        }
    }
    let mut all = Vec::new();
    every_closed_map(&schema, "#", &mut all);
    assert!(all.len() > 40, "{all:?}");
    for pointer in all {
        let known = asked.get(&pointer).unwrap_or_else(|| panic!("{pointer}: no example visits it"));
        let properties = at(&schema, &pointer)["properties"].as_object().expect("a map");
        let mut want: BTreeSet<String> = properties.keys().cloned().collect();
        if pointer == "#/definitions/weights/anyOf/1" {
            want.extend(spec::WeightsSpec::WORDS.map(|(word, _)| word.to_owned()));
        }
        if known.count > known.names.len() {
            assert!(known.names.is_subset(&want), "{pointer}: {:?} of {want:?}", known.names);
            assert_eq!(known.count, want.len(), "{pointer}");
        } else {
            assert_eq!(known.names, want, "{pointer}: the decoder's keys are on the left");
        }
    }
    // Lists of more than twelve names are cut: ask for each.
    for key in schema["properties"].as_object().expect("a map").keys() {
        let text = format!("{key}: ~\n");
        let d = spec::read(text.as_bytes(), Path::new("."), &[]).expect_err("no circuit");
        assert!(!d.0.iter().any(|d| d.code == "S012"), "the decoder does not know `{key}`");
    }
}

const STRANGER: &str = "zzzzzzzzzzzzzzzz";

/// Puts an unknown key where `path` leads, and reads in the help what is possible there.
fn possible(whole: &Value, path: &[String], choice: bool) -> Possible {
    let mut changed = whole.clone();
    let mut map = &mut changed;
    for step in path {
        map = match step.parse::<usize>() {
            Ok(n) if map.is_array() => &mut map[n],
            _ => &mut map[step.as_str()],
        };
    }
    let map = map.as_object_mut().expect("a map");
    let value = if choice { map.iter().next().map_or(Value::Null, |(_, v)| v.clone()) } else { Value::Null };
    if choice {
        *map = Map::new();
    }
    map.insert(STRANGER.to_owned(), value);
    // JSON is YAML.
    let d = spec::read(changed.to_string().as_bytes(), Path::new("."), &[]).expect_err("an unknown key");
    let mut wanted = path.join(".");
    wanted = if wanted.is_empty() { STRANGER.to_owned() } else { format!("{wanted}.{STRANGER}") };
    let one = d.0.iter().find(|d| d.path == wanted).unwrap_or_else(|| panic!("{wanted}: nobody minds\n{d}"));
    let code = match path.last().map(String::as_str) {
        Some("plasticity") => "S015",
        _ if choice => "S009",
        _ => "S012",
    };
    assert_eq!(one.code, code, "{one}");
    let help = one.help.as_deref().unwrap_or_default();
    if help.starts_with("nothing can be said here") {
        return Possible { count: 0, names: BTreeSet::new() };
    }
    let list = help.split("possible: ").nth(1).unwrap_or_else(|| panic!("{wanted}: {help}"));
    let names: BTreeSet<String> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|n| n.trim_start_matches('{').split(':').next().unwrap_or_default().to_owned())
        .collect();
    let more: usize =
        list.split(" and ").nth(1).and_then(|t| t.split(' ').next()?.parse().ok()).unwrap_or_default();
    Possible { count: names.len() + more, names }
}

fn is_choice(schema: &Value) -> bool {
    schema["maxProperties"] == 1
}

/// Follows `$ref`: the pointer of the real schema.
fn resolve(schema: &Value, pointer: &str) -> String {
    match at(schema, pointer)["$ref"].as_str() {
        Some(there) => resolve(schema, there),
        None => pointer.to_owned(),
    }
}

/// (pointer in the schema, path in the file) of every map with a fixed list of keys.
fn closed_maps(
    schema: &Value,
    pointer: &str,
    value: &Value,
    path: &mut Vec<String>,
    found: &mut Vec<(String, Vec<String>)>,
) {
    let pointer = resolve(schema, pointer);
    let here = at(schema, &pointer);
    for n in 0..here["anyOf"].as_array().map_or(0, Vec::len) {
        let form = format!("{pointer}/anyOf/{n}");
        if check(schema, &form, value).is_ok() {
            return closed_maps(schema, &form, value, path, found);
        }
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        path.push(n.to_string());
        closed_maps(schema, &format!("{pointer}/items"), item, path, found);
        path.pop();
    }
    let Some(map) = value.as_object() else { return };
    let closed = here["additionalProperties"] == false;
    if closed {
        found.push((pointer.clone(), path.clone()));
    }
    for (key, child) in map {
        let inner = if here["properties"].get(key).is_some() {
            format!("{pointer}/properties/{key}")
        } else if here["additionalProperties"].is_object() {
            format!("{pointer}/additionalProperties")
        } else {
            continue;
        };
        path.push(key.clone());
        closed_maps(schema, &inner, child, path, found);
        path.pop();
    }
}

/// Pointers of every map with a fixed list of keys, wherever it stands in the schema.
fn every_closed_map(schema: &Value, pointer: &str, found: &mut Vec<String>) {
    match at(schema, pointer) {
        Value::Object(map) => {
            if map.get("type").is_some_and(|t| t == "object")
                && map.get("additionalProperties") == Some(&false.into())
            {
                found.push(pointer.to_owned());
            }
            for key in map.keys().filter(|k| *k != "$schema") {
                every_closed_map(schema, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for n in 0..items.len() {
                every_closed_map(schema, &format!("{pointer}/{n}"), found);
            }
        }
        _ => {}
    }
}
