//! `train`: what it refuses, and how it stops when numbers go wild.

use crate::binary::{json_in, run_in};
use crate::cli_train::{circuit, folder_with, same_bytes};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SHORT: &str =
    "{steps: 20, batch: 4, evaluate: {every: 10, sequences: 8}, checkpoint: {every: 5}, rate: 0.0001}";

/// The code, and stderr holds every one of `want`.
fn refused(folder: &Path, args: &[&str], code: i32, want: &[&str]) {
    let ran = run_in(folder, args);
    assert_eq!(ran.code, code, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
    for word in want {
        assert!(ran.stderr.contains(word), "{}: no `{word}` in\n{}", ran.line, ran.stderr);
    }
    assert_eq!(ran.stdout, "", "{}", ran.line);
}

#[test]
fn only_the_same_training_goes_on() {
    let dir = folder_with(SHORT);
    let at = dir.path();
    let cosine = SHORT.replace("steps", "schedule: cosine, steps");
    fs::write(at.join("cosine.yaml"), circuit(&cosine)).expect("written");
    fs::write(at.join("other.yaml"), circuit(SHORT).replace("noise", "").replace("context: 8", "context: 9"))
        .expect("written");
    for (file, out) in [("c.yaml", "run"), ("cosine.yaml", "cosine"), ("other.yaml", "other")] {
        assert_eq!(run_in(at, &["train", file, "-o", out]).code, 0, "{file}");
    }
    assert_eq!(run_in(at, &["simulate", "c.yaml", "-o", "simulated"]).code, 0);
    fs::create_dir(at.join("empty")).expect("made");
    let settings = ["goes on with its own rules, rates, parameters and seed", "only --steps"];
    let rows: &[(&[&str], i32, &[&str])] = &[
        (&["--resume", "run", "--rule", "gradient"], 2, &settings),
        (&["--resume", "run", "--rate", "0.1"], 2, &settings),
        (&["--resume", "run", "--set", "d=3"], 2, &settings),
        (&["--resume", "run", "--seed", "3"], 2, &settings),
        (&["--resume", "run", "-o", "there"], 2, &["--output"]),
        (&["other.yaml", "--resume", "run"], 4, &["F017", "other.yaml", "run", "leave the file out"]),
        (&["--resume", "cosine", "--steps", "30"], 2, &["--steps", "schedule", "constant"]),
        (&["--resume", "run", "--steps", "7"], 2, &["--steps 7", "20 steps already"]),
        (&["--resume", "nowhere"], 4, &["F001", "nowhere/circuit.yaml", "-o DIR"]),
        (&["--resume", "empty"], 4, &["F001", "empty/circuit.yaml", "--force"]),
        (&["--resume", "simulated"], 4, &["F001", "simulated/checkpoint.safetensors"]),
        (&["c.yaml", "-o", "run"], 4, &["F011", "not empty", "--force"]),
        (&["c.yaml", "--rate", "-1"], 2, &["-1", "zero or positive"]),
        (&["c.yaml", "--steps", "0"], 2, &["'0'", "1 to 100000000"]),
        (&["c.yaml", "--steps", "-1"], 2, &["-1", "whole number"]),
        (&["c.yaml", "--rate", "nan"], 2, &["nan", "finite"]),
        (&["c.yaml", "--rule", "own_token"], 3, &["C063", "this circuit has no memory", "c.yaml:"]),
        (&[], 2, &["FILE"]),
    ];
    for (args, code, want) in rows {
        refused(at, &[&["train"], *args].concat(), *code, want);
    }
    // With the file that it was started from it goes on, and nothing of the above has left a trace.
    let before = fs::read(at.join("run/checkpoint.safetensors")).expect("there");
    assert_eq!(run_in(at, &["train", "c.yaml", "--resume", "run"]).code, 0);
    assert!(before == fs::read(at.join("run/checkpoint.safetensors")).expect("there"));
}

#[test]
fn checkpoints_that_are_broken_or_foreign_are_refused() {
    let dir = folder_with(SHORT);
    let at = dir.path();
    fs::write(at.join("other.yaml"), circuit(SHORT).replace("cells: 3", "cells: 4")).expect("written");
    assert_eq!(run_in(at, &["train", "c.yaml", "-o", "run"]).code, 0);
    assert_eq!(run_in(at, &["train", "other.yaml", "-o", "other"]).code, 0);
    let file = at.join("run/checkpoint.safetensors");
    let whole = fs::read(&file).expect("there");
    let foreign = fs::read(at.join("other/checkpoint.safetensors")).expect("there");
    let weights = fs::read(at.join("run/weights.safetensors")).expect("there");
    let renamed = |from: &str, to: &str| {
        let text = |s: &str| s.as_bytes().to_vec();
        let (from, to) = (text(from), text(to));
        let at = whole.windows(from.len()).position(|w| w == from).expect("it is there");
        [&whole[..at], &to[..], &whole[at + from.len()..]].concat()
    };
    let rows: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("truncated", whole[..whole.len() / 2].to_vec(), &["checkpoint.safetensors"]),
        ("a header alone", whole[..40].to_vec(), &["checkpoint.safetensors"]),
        ("empty", Vec::new(), &["checkpoint.safetensors"]),
        ("not of this kind", b"step,loss\n1,2\n".to_vec(), &["checkpoint.safetensors"]),
        ("of another circuit", foreign, &["F017", "another circuit"]),
        ("weights alone", weights, &["F017"]),
        ("a tensor short", renamed("weight.W_V", "weight.W_X"), &["F022", "SHA-256"]),
        ("without metrics in shape", renamed("[3,10]", "[5,06]"), &["checkpoint.safetensors"]),
    ];
    // The manifest vouches for one file only; without it the checkpoint speaks for itself.
    let manifest = at.join("run/manifest.json");
    let vouched = fs::read(&manifest).expect("there");
    for (claim, bytes, want) in rows {
        for want in [&["F022", "checkpoint.safetensors", "pulvinar verify"][..], want] {
            fs::write(&file, &bytes).expect("written");
            let ran = run_in(at, &["train", "--resume", "run"]);
            assert_eq!(ran.code, 4, "{claim}: {}{}", ran.stdout, ran.stderr);
            for word in want {
                assert!(ran.stderr.contains(word), "{claim}: no `{word}` in\n{}", ran.stderr);
            }
            assert!(fs::read(&file).expect("there") == bytes, "{claim}: it was replaced");
            let _ = fs::remove_file(&manifest);
        }
        fs::write(&manifest, &vouched).expect("written");
    }
    fs::write(&file, &whole).expect("written");
    assert_eq!(run_in(at, &["train", "--resume", "run"]).code, 0);
}

#[test]
fn divergence_names_step_and_parameter_and_keeps_the_last_good_checkpoint() {
    let dir = folder_with(
        "{steps: 500, batch: 4, rate: 0.5, evaluate: {every: 100, sequences: 8}, checkpoint: {every: 1}}",
    );
    let at = dir.path();
    let args = ["train", "c.yaml", "-o", "run"];
    refused(
        at,
        &args,
        1,
        &["R006", "at step ", "the largest weight is ", "of `W_", "run/checkpoint.safetensors", "--rate"],
    );
    let (code, object) = json_in(at, &["train", "c.yaml", "-o", "again"]);
    assert_eq!(code, 1, "{object}");
    let step = object["diverged_at"].as_u64().expect("a step");
    assert_eq!(object["steps"].as_u64(), Some(step), "a checkpoint after every good step: {object}");
    assert!(
        step > 0 && object["loss"].is_null() && object["checkpoint"] == "again/checkpoint.safetensors",
        "{object}"
    );
    let d = &object["diagnostics"][0];
    assert_eq!((&d["code"], &d["file"]), (&Value::from("R006"), &Value::from("c.yaml")));
    assert!(
        d["line"].is_u64()
            && d["message"].as_str().is_some_and(|m| m.starts_with(&format!("at step {step}, ")))
    );
    same_bytes(&at.join("run"), &at.join("again"), "divergence");

    // What is left there works, and goes on into the same wall.
    assert_eq!(run_in(at, &["compile", "run"]).code, 0);
    let before = fs::read(at.join("run/checkpoint.safetensors")).expect("there");
    let ran = run_in(at, &["train", "--resume", "run"]);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("at step {step}, ")), "{}", ran.stderr);
    assert!(before == fs::read(at.join("run/checkpoint.safetensors")).expect("there"));

    // Without a directory nothing is promised.
    let ran = run_in(at, &["train", "c.yaml"]);
    assert!(ran.code == 1 && !ran.stderr.contains("checkpoint"), "{}", ran.stderr);
    // By the gradient it diverges as well.
    refused(at, &["train", "c.yaml", "--rule", "gradient"], 1, &["R006", "of `W_"]);
}

#[test]
fn circuits_that_cannot_learn_say_why() {
    let dir = folder_with(SHORT);
    let at = dir.path();
    let whole = circuit(SHORT);
    let rows: &[(&str, &str, &str, i32, &[&str])] = &[
        (
            "no task",
            "task: {in_context_regression: {context: 8}}\n",
            "",
            2,
            &["no task", "task: {in_context_regression"],
        ),
        (
            "nobody learns",
            ", plasticity: {three_factor: {rate: 0.01}}",
            "",
            3,
            &["C063", "no projection of this circuit learns"],
        ),
        ("no errors", "  fb_A:", "  #", 3, &["C063", "third compartment of `A1.superficial`", "c.yaml:22:"]),
        ("width", "main:   {d_model: 5", "main:   {d_model: 6", 3, &["c.yaml:", "VP_core"]),
        (
            "another target",
            "context: 8}",
            "context: 8, target: goal}",
            3,
            &["C001", "no stream `goal`", "c.yaml:"],
        ),
        ("token by token", "batch: 4", "batch: 4, update: token", 3, &["C063", "token", "update: sequence"]),
        ("no steps", "steps: 20", "steps: -1", 3, &["c.yaml:", "steps"]),
        ("a rule that is none", "three_factor", "three_factors", 3, &["c.yaml:22:", "three_factor`"]),
    ];
    for (claim, from, to, code, want) in rows {
        assert!(whole.contains(from), "{claim}");
        fs::write(at.join("c.yaml"), whole.replace(from, to)).expect("written");
        let ran = run_in(at, &["train", "c.yaml"]);
        assert_eq!(ran.code, *code, "{claim}: {}", ran.stderr);
        for word in *want {
            assert!(ran.stderr.contains(word), "{claim}: no `{word}` in\n{}", ran.stderr);
        }
    }
}

/// One cause, one error: no token is drawn or counted from an array that could not be read.
#[test]
fn numbers_that_are_none_in_training_data_are_the_only_complaint() {
    use pulvinar::files::{Array, Dtype, write_npz};
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    let array = |wrong: Option<f64>| {
        let mut data: Vec<f64> = (0..5 * 3 * 4).map(|i| f64::from(i).sin()).collect();
        if let Some(x) = wrong {
            data[17] = x;
        }
        Array { shape: vec![5, 3, 4], data, dtype: Dtype::F64 }
    };
    let task = "task: {file: {path: d.npz, tokens: {main: x}, target: t, held_out: 0.2}}";
    fs::write(at.join("c.yaml"), crate::cli_train::circuit_of("causal", 4, 4, task, SHORT)).expect("written");
    let rows = [
        ("x", Some(f64::NAN), None, "`x` [1, 1, 1] is NaN"),
        ("x", Some(f64::NEG_INFINITY), None, "`x` [1, 1, 1] is -inf"),
        ("x", None, Some(f64::NAN), "`t` [1, 1, 1] is NaN"),
        ("x", None, Some(f64::INFINITY), "`t` [1, 1, 1] is inf"),
        ("other", None, None, "no array `x`"),
    ];
    for (name, x, t, want) in rows {
        write_npz(&at.join("d.npz"), &[(name.to_owned(), array(x)), ("t".to_owned(), array(t))])
            .expect("written");
        for verb in ["validate", "train"] {
            let ran = run_in(at, &[verb, "c.yaml"]);
            assert_eq!(ran.code, 4, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
            assert!(ran.stderr.contains(want), "{}: no `{want}` in\n{}", ran.line, ran.stderr);
            assert_eq!(ran.stderr.matches("error[").count(), 1, "{}: {}", ran.line, ran.stderr);
        }
    }
}
