//! Delta memories that run away, and those that only look like it.

use crate::binary::{json_in, run_in};
use crate::support::root;
use std::fs;

fn delta(set: &[(&str, &str)]) -> tempfile::TempDir {
    let mut text = fs::read_to_string(root().join("circuits/delta_memory.yaml")).expect("readable");
    for (from, to) in set {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("c.yaml"), text).expect("written");
    dir
}

const LENGTH: (&str, &str) = ("gaussian: {length: 16}", "gaussian: {length: 60}");

#[test]
fn a_memory_that_overshoots_is_named() {
    let dir = delta(&[LENGTH, ("rate: 0.1", "rate: 0.8")]);
    let ran = run_in(dir.path(), &["simulate", "c.yaml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for words in ["R005", "the delta memory `A1.superficial`", "rate x |key|^2", "lower the rate"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    for mode in ["algebraic", "cells"] {
        let (code, object) = json_in(dir.path(), &["simulate", "c.yaml", "--mode", mode]);
        let d = &object["diagnostics"][0];
        assert_eq!(
            (code, &d["code"], &d["severity"]),
            (0, &"R005".into(), &"warning".into()),
            "{mode}: {object}"
        );
        assert!(d["line"].as_u64().is_some_and(|l| l > 20), "{mode}: {d}");
    }
    let (_, single) = json_in(dir.path(), &["simulate", "c.yaml", "--precision", "f32"]);
    assert_eq!(single["diagnostics"][0]["code"], "R005", "{single}");
}

#[test]
fn memories_that_come_to_rest_are_not_accused() {
    let quiet: [(&str, &[(&str, &str)]); 5] = [
        ("as shipped", &[]),
        ("long", &[LENGTH]),
        // Some writes beyond 2, most of them below.
        ("a large key now and then", &[LENGTH, ("rate: 0.1", "rate: 0.3")]),
        // Values that grow are stored as they are.
        (
            "growing values",
            &[(
                "{gaussian: {length: 16}}",
                "{values: [[1,0,0,0,0,0,0,0],[0,1,0,0,0,0,0,0],[4,0,0,0,0,0,0,0],[0,4,0,0,0,0,0,0],[0,0,9,0,0,0,0,0],[0,0,0,30,0,0,0,0]]}",
            )],
        ),
        ("hebbian, as large", &[LENGTH, ("delta: {rate: $rate}", "hebbian: {}"), ("rate: 0.1}", "rate: 5}")]),
    ];
    for (claim, set) in quiet {
        let dir = delta(set);
        let (code, object) = json_in(dir.path(), &["simulate", "c.yaml"]);
        assert_eq!(code, 0, "{claim}: {object}");
        assert!(object.get("diagnostics").is_none(), "{claim}: {object}");
    }
}
