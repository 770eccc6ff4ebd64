//! What a schema can say it says: the JSON Schema and the decoder refuse the same files, in both directions.

use crate::mistakes::files_of;
use crate::schema::schema;
use crate::schema_check::check;
use crate::schema_examples::examples;
use crate::support::root;
use pulvinar::diag::Diagnostics;
use pulvinar::spec;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Codes of what no schema can say, and why.
const BEYOND: &[(&str, &str)] = &[
    ("S003", "JSON has no repeated keys"),
    ("S005", "JSON has no numbers that are none"),
    ("S011", "rows of equal length, lists as long as a number says"),
    ("S016", "names that a template has taken"),
    ("S018", "what `parameters` names"),
    ("S019", "what a trace is of"),
    ("S020", "the units of neurons, which are not declared yet"),
    ("S023", "what another file holds"),
    ("S021", "one factor without a shape"),
];

/// The decoder's complaint, if a schema could have said it too.
fn sayable(d: &Diagnostics) -> Option<String> {
    let relation = |text: &str| {
        [
            "is not below",
            "is empty",
            "must be even",
            "no trial shows",
            "needs",
            "has no `control`",
            "shows nothing",
            "is too long",
        ]
        .iter()
        .any(|r| text.contains(r))
    };
    // A parameter that is missing reads as 1: what follows from that is no mistake of its own. What a trace may say depends on
    // what the circuit is of.
    if d.0.iter().any(|d| d.code == "S018" || d.path.ends_with(".circuit") || d.path.starts_with("record.")) {
        return None;
    }
    let beyond = |code: &str| BEYOND.iter().any(|(c, _)| *c == code);
    let found = d.0.iter().find(|d| d.code.starts_with('S') && !beyond(d.code) && !relation(&d.message));
    found.map(ToString::to_string)
}

/// Parameters filled in, as the decoder does before it reads.
fn filled(value: &Value, parameters: &Value) -> Value {
    match value {
        Value::String(s) => s.strip_prefix('$').and_then(|n| parameters.get(n)).unwrap_or(value).clone(),
        Value::Array(items) => items.iter().map(|v| filled(v, parameters)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (k.clone(), if k == "parameters" { v.clone() } else { filled(v, parameters) }))
            .collect(),
        other => other.clone(),
    }
}

/// Why the two disagree about a file, if they do.
fn apart(schema: &Value, value: &Value) -> Option<String> {
    // JSON is YAML.
    let read = spec::read(value.to_string().as_bytes(), Path::new("."), &[]);
    let value = filled(value, &value["parameters"]);
    match (read, check(schema, "#", &value)) {
        (Ok(_), Err(said)) => Some(format!("the decoder takes what the schema refuses: {said}")),
        (Err(d), Ok(())) => {
            sayable(&d).map(|said| format!("the schema takes what the decoder refuses: {said}"))
        }
        _ => None,
    }
}

#[test]
fn wrong_circuits_are_wrong_for_both() {
    let schema = schema();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for file in files_of(&root().join("tests/bad"), "yaml") {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let Ok(value) = serde_yaml::from_str::<Value>(&text) else { continue };
        compared += 1;
        wrong.extend(apart(&schema, &value).map(|why| format!("{}: {why}", file.display())));
    }
    assert!(compared > 150, "{compared} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every place of a value that holds no further one, as JSON pointers, and every map and list.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(k, v)| places(v, &format!("{at}/{}", k.replace('/', "~1")), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, v)| places(v, &format!("{at}/{n}"), found))
        }
        _ => {}
    }
    if !at.is_empty() {
        found.push(at.to_owned());
    }
}

#[test]
fn examples_with_one_value_changed_are_right_or_wrong_for_both() {
    let schema = schema();
    let mut rng = ChaCha8Rng::seed_from_u64(18);
    let values = [
        json!(-1),
        json!(0),
        json!(0.5),
        json!(1),
        json!(2),
        json!(2.5),
        json!(65),
        json!(1_000_001),
        json!(1e9),
        json!("5 parsecs"),
        json!("-3 ms"),
        json!("0 ms"),
        json!("10 ms"),
        json!("0.0e3 s"),
        json!(".5e-3 s"),
        json!("word"),
        json!("no name"),
        json!("full"),
        json!("query"),
        json!("ones"),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
        json!([0.5]),
        json!([2, 1]),
        json!({"basal": "1 ms"}),
        json!({"value": 1}),
    ];
    let mut wrong = Vec::new();
    for text in &examples() {
        let whole: Value = serde_yaml::from_str(text).expect("YAML");
        let mut all = Vec::new();
        places(&whole, "", &mut all);
        for _ in 0..400 {
            let place = &all[rng.random_range(0..all.len())];
            let mut changed = whole.clone();
            let what = if rng.random_range(0..5) == 0 {
                // Taken away.
                let (parent, key) = place.rsplit_once('/').expect("a place");
                match changed.pointer_mut(parent).expect("there") {
                    Value::Object(map) => drop(map.shift_remove(&key.replace("~1", "/"))),
                    Value::Array(items) => drop(items.remove(key.parse().expect("a number"))),
                    _ => {}
                }
                "nothing".to_owned()
            } else {
                let new = &values[rng.random_range(0..values.len())];
                *changed.pointer_mut(place).expect("there") = new.clone();
                new.to_string()
            };
            wrong.extend(apart(&schema, &changed).map(|why| format!("{place} is {what}: {why}")));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// The table of the reference is what the declarations say; `UPDATE_EXPECT=1` writes it.
#[test]
fn the_reference_is_written_from_the_declarations() {
    let file = root().join("circuits/README.md");
    let text = fs::read_to_string(&file).expect("the reference");
    let (start, end) = ("<!-- declared keys -->\n", "<!-- end of declared keys -->\n");
    let (before, rest) = text.split_once(start).expect("where the table starts");
    let (table, after) = rest.split_once(end).expect("where the table ends");
    let want = spec::reference();
    if table != want && std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&file, format!("{before}{start}{want}{end}{after}")).expect("written");
        return;
    }
    assert!(table == want, "circuits/README.md is another table: UPDATE_EXPECT=1 writes it");
}
