//! `train`: every kind of task, every rule, and the directory that other verbs read.

use crate::binary::{json_in, run_in, text};
use crate::cli_train::{circuit_of, folder_with, same, same_bytes};
use crate::learning_rules::memory_circuit;
use crate::support::root;
use pulvinar::files::{Array, Dtype, write_npz};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn ok(folder: &Path, args: &[&str]) -> Value {
    let (code, object) = json_in(folder, args);
    assert_eq!(code, 0, "{args:?}: {object}");
    object
}

/// The held-out losses of metrics.csv.
fn losses(run: &Path) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).expect("there");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = header.iter().position(|h| *h == "held_out_loss").expect("a column");
    lines.map(|l| l.split(',').nth(column).expect("a cell").parse().expect("a number")).collect()
}

#[test]
fn every_kind_of_task_learns() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    let data = |shape: [usize; 3], slope: f64| {
        let data = (0..shape.iter().product::<usize>()).map(|i| slope * (i as f64).sin()).collect();
        Array { shape: shape.to_vec(), data, dtype: Dtype::F64 }
    };
    write_npz(
        &at.join("d.npz"),
        &[("x".to_owned(), data([40, 6, 4], 1.0)), ("y".to_owned(), data([40, 6, 4], 0.5))],
    )
    .expect("written");
    let train = "{steps: 60, batch: 8, rate: 0.01, optimiser: adam, evaluate: {every: 20, sequences: 64}}";
    let teacher =
        circuit_of("causal", 4, 4, "", "{}").replace("seed: 1", "seed: 9").replace("std: 0.2", "std: 0.5");
    fs::write(at.join("teacher.yaml"), teacher).expect("written");
    ok(at, &["compile", "teacher.yaml", "-o", "heads.safetensors"]);
    let digits = format!(
        "task: {{digits: {{path: {}}}}}\nloss: {{on: last}}",
        text(&root().join("circuits/data/digits.npz"))
    );
    let rows = [
        ("of_circuit", "causal", 4, 4, "task: {teacher: {circuit: teacher.yaml}}"),
        ("of_heads", "causal", 4, 4, "task: {teacher: {heads: heads.safetensors}}"),
        ("regression", "strict", 5, 1, "task: {in_context_regression: {context: 8}}\nloss: {on: last}"),
        ("recall", "strict", 7, 3, "task: {associative_recall: {pairs: 4}}\nloss: {on: last}"),
        ("digits", "full", 16, 10, digits.as_str()),
        ("file", "causal", 4, 4, "task: {file: {path: d.npz, tokens: {main: x}, target: y}}"),
    ];
    let mut distances = Vec::new();
    for (name, mask, d, out, task) in rows {
        let file = format!("{name}.yaml");
        fs::write(at.join(&file), circuit_of(mask, d, out, task, train)).expect("written");
        let object = ok(at, &["train", &file, "-o", &format!("run_{name}")]);
        let run = at.join(format!("run_{name}"));
        let held_out = losses(&run);
        assert_eq!(held_out.len(), 4, "{name}: steps 0, 20, 40, 60");
        assert!(held_out[3] < held_out[0], "{name}: {held_out:?}");
        assert!(same(object["loss"].as_f64().expect("a loss"), held_out[3]), "{name}: {object}");
        assert_eq!(object["accuracy"].is_f64(), name == "digits", "{name}: {object}");
        assert_eq!(object["squared_error"].is_object(), name == "regression", "{name}: {object}");
        let distance = object["teacher"]["relative_distance"].as_f64();
        assert_eq!(distance.is_some(), name.starts_with("of_"), "{name}: {object}");
        distances.extend(distance);
        let words = run_in(at, &["train", "--resume", text(&run)]);
        let said = words.stdout.contains("distance from the teacher: ");
        assert_eq!((words.code, said), (0, distance.is_some()), "{name}: {}{}", words.stdout, words.stderr);

        // The directory is a circuit: from anywhere, for every verb that reads one.
        let elsewhere = tempfile::tempdir().expect("a folder");
        for verb in [
            &["compile"][..],
            &["validate"],
            &["simulate"],
            &["check", "--gradients"],
            &["train", "--steps", "1"],
        ] {
            let ran = run_in(elsewhere.path(), &[&verb[..1], &[text(&run)], &verb[1..]].concat());
            assert_eq!(ran.code, 0, "{name}, {verb:?}: {}{}", ran.stdout, ran.stderr);
        }
    }
    // A teacher is the same function, written as a circuit or as its heads.
    assert!((distances[0] - distances[1]).abs() < 1e-9 && distances[0] > 1e-6, "{distances:?}");
}

#[test]
fn a_learner_that_starts_as_its_teacher_is_at_no_distance() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    let task = "task: {teacher: {circuit: teacher.yaml}}";
    let learner = circuit_of("causal", 4, 4, task, "{steps: 3}");
    fs::write(at.join("teacher.yaml"), learner.replace(task, "")).expect("written");
    fs::write(at.join("c.yaml"), learner).expect("written");
    let object = ok(at, &["train", "c.yaml"]);
    assert!(object["teacher"]["relative_distance"].as_f64().is_some_and(|d| d < 1e-12), "{object}");
    assert!(object["loss"].as_f64().is_some_and(|loss| loss < 1e-24), "{object}");
}

#[test]
fn the_ladder_has_every_rule() {
    let dir = folder_with("{steps: 40, batch: 8, rate: 0.001, evaluate: {every: 20, sequences: 32}}");
    let at = dir.path();
    let object = ok(at, &["train", "c.yaml", "--rule", "all", "-o", "ladder"]);
    let rules = object["rules"].as_array().expect("rules");
    let names: Vec<&str> = rules.iter().filter_map(|r| r["rule"].as_str()).collect();
    let want = [
        "gradient",
        "three_factor",
        "online",
        "own_token",
        "frozen_memory",
        "feedback_alignment",
        "kolen_pollack",
        "dale_eg",
        "hebbian",
        "oja",
    ];
    assert_eq!(names, want);
    for rule in rules {
        let name = rule["rule"].as_str().expect("a name");
        let fits = !["own_token", "frozen_memory"].contains(&name);
        assert_eq!(rule["loss"].is_f64(), fits, "{rule}");
        assert_eq!(rule["diagnostics"][0]["code"] == "C063", !fits, "{rule}");
        assert_eq!(at.join("ladder").join(name).is_dir(), fits, "{name}");
        if fits {
            assert_eq!(run_in(at, &["compile", &format!("ladder/{name}")]).code, 0, "{name}");
        }
        if name == "three_factor" {
            assert!(rule["cosine"]["all"].as_f64().is_some_and(|c| (c - 1.0).abs() < 1e-12), "{rule}");
        }
    }
    // Each rule learns as it does alone.
    let alone = ok(at, &["train", "c.yaml", "--rule", "hebbian"]);
    assert_eq!(rules[8]["loss"], alone["loss"]);
    let csv = fs::read_to_string(at.join("ladder/ladder.csv")).expect("there");
    assert!(csv.starts_with("rule,step,loss,held_out_loss,standard_error,parameter,cosine\n"));
    // Three evaluations of W_K, W_Q, W_V, W_O and all; kolen_pollack also teaches the feedback.
    assert_eq!(csv.lines().filter(|l| l.starts_with("three_factor,")).count(), 15);
    assert_eq!(csv.lines().filter(|l| l.starts_with("kolen_pollack,")).count(), 18);
    let ran = run_in(at, &["train", "c.yaml", "--rule", "all"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for name in want {
        assert_eq!(
            ran.stdout.lines().filter(|l| l.split(' ').next() == Some(name)).count(),
            1,
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn training_ends_when_it_is_good_enough() {
    let dir = folder_with(
        "{steps: 400, batch: 8, rate: 0.01, optimiser: adam, stop_below: 1.9, evaluate: {every: 10, sequences: 64}}",
    );
    let at = dir.path();
    let object = ok(at, &["train", "c.yaml", "-o", "run"]);
    let held_out = losses(&at.join("run"));
    let steps = object["steps"].as_u64().expect("steps");
    assert!(steps > 0 && steps < 400 && steps.is_multiple_of(10), "{object}");
    assert_eq!(held_out.len() as u64, steps / 10 + 1);
    let (last, before) = held_out.split_last().expect("rows");
    assert!(*last < 1.9 && before.iter().all(|x| *x >= 1.9), "{held_out:?}");
    let before = fs::read(at.join("run/checkpoint.safetensors")).expect("there");
    assert_eq!(ok(at, &["train", "--resume", "run"])["steps"].as_u64(), Some(steps));
    assert!(before == fs::read(at.join("run/checkpoint.safetensors")).expect("there"));
}

#[test]
fn updates_at_every_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    let memory = memory_circuit(1, 4, 2, "{hebbian: {}}", false);
    fs::write(at.join("teacher.yaml"), memory.replace("name: memory", "name: memory\nseed: 5"))
        .expect("written");
    for optimiser in ["plain", "adam"] {
        let file = format!("by_{optimiser}");
        let yaml = format!("{file}.yaml");
        let train = format!(
            "{{steps: 40, batch: 3, rate: 0.0005, optimiser: {optimiser}, update: token, \
             evaluate: {{every: 10, sequences: 32}}, checkpoint: {{every: 15}}}}"
        );
        let text = format!("{memory}task: {{teacher: {{circuit: teacher.yaml}}}}\ntrain: {train}\n");
        fs::write(at.join(&yaml), text).expect("written");
        ok(at, &["train", &yaml, "-o", &file]);
        let held_out = losses(&at.join(&file));
        assert!(held_out.last() < held_out.first(), "{optimiser}: {held_out:?}");
        let short = format!("{file}_short");
        ok(at, &["train", &yaml, "--steps", "17", "-o", &short]);
        ok(at, &["train", "--resume", &short, "--steps", "40"]);
        same_bytes(&at.join(&file), &at.join(&short), "by tokens, resumed");
    }
}

/// Sequences of one token: updates at every token of three sequences are three steps of one, of Adam too.
#[test]
fn a_token_is_a_step_of_the_optimiser() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    let memory = memory_circuit(1, 4, 2, "{hebbian: {}}", false).replace("length: 6", "length: 1");
    fs::write(at.join("teacher.yaml"), memory.replace("name: memory", "name: memory\nseed: 5"))
        .expect("written");
    let weights = |update: &str, steps: usize, batch: usize| {
        let train =
            format!("{{steps: {steps}, batch: {batch}, rate: 0.01, optimiser: adam, update: {update}}}");
        let text = format!("{memory}task: {{teacher: {{circuit: teacher.yaml}}}}\ntrain: {train}\n");
        fs::write(at.join("c.yaml"), text).expect("written");
        ok(at, &["train", "c.yaml", "-o", update]);
        fs::read(at.join(update).join("weights.safetensors")).expect("there")
    };
    assert!(weights("token", 10, 3) == weights("sequence", 30, 1));
}
