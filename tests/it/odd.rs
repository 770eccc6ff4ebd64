//! Damage to valid circuits: odd values at any place of the document.

use serde_yaml::Value;

/// Values that belong nowhere, or seldom; and whether they are wrong wherever they stand.
pub fn values() -> Vec<(Value, bool)> {
    let list = |v: Value| Value::Sequence(vec![v]);
    let map = |k: &str, v: Value| Value::Mapping([(Value::from(k), v)].into_iter().collect());
    vec![
        (Value::Null, true),
        (Value::from(f64::NAN), true),
        (Value::from(f64::INFINITY), true),
        (Value::from(f64::NEG_INFINITY), true),
        (Value::from(-1), false),
        (Value::from(0), false),
        (Value::from(0.5), false),
        (Value::from(u64::MAX), false),
        (Value::from(true), false),
        (Value::from(""), false),
        (Value::from("$d"), false),
        (Value::from("A1.deep"), false),
        (Value::Sequence(vec![]), false),
        (list(Value::Null), false),
        (list(list(Value::from(1))), false),
        (Value::Mapping(serde_yaml::Mapping::new()), false),
        (map("x", Value::Null), true),
        (map("power", map("exponent", Value::from(2))), false),
    ]
}

fn parsed(text: &str) -> Value {
    serde_yaml::from_str(text).expect("a valid circuit")
}

/// The path of every value, entries of lists included.
pub fn places(text: &str) -> Vec<Vec<String>> {
    fn walk(value: &Value, at: &[String], found: &mut Vec<Vec<String>>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Mapping(m) => m.iter().map(|(k, v)| (k.as_str().expect("a name").to_owned(), v)).collect(),
            Value::Sequence(s) => s.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
            _ => Vec::new(),
        };
        for (step, child) in children {
            let mut path = at.to_vec();
            path.push(step);
            walk(child, &path, found);
            found.push(path);
        }
    }
    let mut found = Vec::new();
    walk(&parsed(text), &[], &mut found);
    found
}

/// The circuit with another value at a place.
pub fn put(text: &str, place: &[String], value: &Value) -> String {
    let mut root = parsed(text);
    let mut at = &mut root;
    for step in place {
        at = match at {
            Value::Sequence(items) => &mut items[step.parse::<usize>().expect("a position")],
            other => other.get_mut(step.as_str()).expect("the place exists"),
        };
    }
    *at = value.clone();
    serde_yaml::to_string(&root).expect("YAML")
}

/// The value at a place.
pub fn get(text: &str, place: &[String]) -> Value {
    let root = parsed(text);
    let mut at = &root;
    for step in place {
        at = match at {
            Value::Sequence(items) => &items[step.parse::<usize>().expect("a position")],
            other => other.get(step.as_str()).expect("the place exists"),
        };
    }
    at.clone()
}
