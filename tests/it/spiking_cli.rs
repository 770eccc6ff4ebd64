//! `simulate` on circuits of spikes: run directories, threads, trials, traces; and what other verbs say.

use crate::binary::{json_in, run, run_in};
use crate::spiking::{SMALL, matching};
use crate::support::root;
use pulvinar::files::read_array;
use serde_json::Value;
use std::fs;
use std::path::Path;

const FILE: &str = "circuits/match_and_control.yaml";

fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("c.yaml"), text).expect("written");
    dir
}

#[test]
fn run_directories_do_not_depend_on_threads() {
    let text = SMALL.to_owned()
        + "record: [{population: A1.neuron, compartment: spines, variable: calcium, every: 400}, {population: A1.neuron, compartment: soma, from: 1 s, until: 1.5 s, every: 40}]\n";
    let dir = folder(&text);
    let mut objects = Vec::new();
    for threads in ["1", "2"] {
        let (code, mut object) = json_in(dir.path(), &["simulate", "c.yaml", "-o", threads, "--threads", threads, "--trials", "4"]);
        assert_eq!(code, 0, "{object}");
        object["files"] = Value::Null;
        objects.push(object);
    }
    assert_eq!(objects[0], objects[1]);
    let names = ["circuit.yaml", "metrics.csv", "spikes.npz", "traces.npz"];
    for name in names {
        let read = |n: &str| fs::read(dir.path().join(n).join(name)).expect("there");
        assert!(read("1") == read("2"), "{name} depends on the number of threads");
    }
    let o = &objects[0];
    assert_eq!((o["mode"].as_str(), o["trials"].as_array().map(Vec::len)), (Some("spiking"), Some(4)));
    for key in ["success", "spurious", "spurious_if_any", "matched", "best_other", "matched_in_control"] {
        let mean = &o["summary"][key];
        assert!(mean["mean"].is_number() || key == "spurious_if_any", "{key}: {o}");
    }
    let shape = |n: &str| read_array(&dir.path().join("1/traces.npz"), Some(n)).expect("there").shape;
    assert_eq!(shape("A1.neuron.spines.calcium"), [4, 251, 6]);
    assert_eq!(shape("A1.neuron.soma.potential"), [4, 501, 1]);
    assert_eq!(shape("A1.neuron.soma.potential.t_ms"), [501]);
    let soma = read_array(&dir.path().join("1/spikes.npz"), Some("soma")).expect("there");
    assert_eq!(o["output_shape"], serde_json::json!(soma.shape));
    // The run again, from its own circuit; and from its spikes.
    let (_, again) = json_in(dir.path(), &["simulate", "1", "--threads", "2", "--trials", "4"]);
    assert_eq!((&again["output_sha256"], &again["summary"]), (&o["output_sha256"], &o["summary"]));
    let file = |array: &str| format!("spike_trains: {{file: {{path: 1/spikes.npz, array: {array}}}}}");
    let given = SMALL
        .replace("spike_trains: {renewal: {rate: $query, dead_time: 50 ms}}", &file("queries"))
        .replace("spike_trains: {renewal: {rate: 6 Hz, dead_time: 50 ms}}", &file("keys"));
    fs::write(dir.path().join("given.yaml"), given).expect("written");
    let args = ["simulate", "given.yaml", "--trials", "4", "-o", "2b"];
    let (code, replayed) = json_in(dir.path(), &args);
    assert_eq!((code, &replayed["output_sha256"]), (0, &o["output_sha256"]), "{replayed}");
    // Its run directory stands on its own.
    fs::remove_dir_all(dir.path().join("1")).expect("removed");
    let (_, again) = json_in(dir.path(), &["simulate", "2b", "--trials", "4"]);
    assert_eq!(again["output_sha256"], o["output_sha256"], "{again}");
    let refused = run_in(dir.path(), &["simulate", "2b", "--trials", "5"]);
    assert!(refused.code == 3 && refused.stderr.contains("C073") && refused.stderr.contains("4 trials"), "{}", refused.stderr);
}

#[test]
fn reports_say_what_was_run() {
    let dir = folder(&matching());
    let ran = run_in(dir.path(), &["simulate", "c.yaml", "--record", "A1.neuron.soma@40", "--set", "matched=2"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for words in ["small: 6 axons of 10 spines", "match 50 to 550 ms; theta 6.03922e-14 mM^4 ms; 3 trials", "matched axon above theta"] {
        assert!(ran.stdout.contains(words), "{words}\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("spurious"), "without a control phase: {}", ran.stdout);
    let rows = [
        (vec!["--record", "A1.neuron.somma"], 2, "`soma`"),
        (vec!["--record", "A1.neuron.soma:calcium"], 2, "the soma has no calcium"),
        (vec!["--record", "A1.neuron.spines:calzium"], 2, "`calcium`"),
        (vec!["--record", "A1.neuron.spines@0"], 2, "no number of steps"),
        (vec!["--record", "A1.neurone.soma"], 3, "C010"),
        (vec!["--tokens", "x.npy"], 2, "--tokens says nothing about spikes"),
        (vec!["--lesion", "cut=K"], 2, "--lesion says nothing about spikes"),
        (vec!["--precision", "f32"], 2, "U004"),
        (vec!["--trials", "0"], 2, "1..=1000000"),
    ];
    for (more, code, words) in rows {
        let args = [vec!["simulate", "c.yaml"], more].concat();
        let ran = run_in(dir.path(), &args);
        assert!(ran.code == code && ran.stderr.contains(words), "{}: {} {}", ran.line, ran.code, ran.stderr);
    }
}

#[test]
fn other_verbs_say_that_spikes_are_not_attention() {
    let heads = "tests/golden/transformer/model.safetensors";
    let rows: &[&[&str]] = &[
        &["compile", FILE],
        &["compile", FILE, "--emit", "heads"],
        &["compile", FILE, "--emit", "svg", "--explain"],
        &["compile", FILE, "--dale"],
        &["simulate", FILE, "--mode", "algebraic"],
        &["simulate", FILE, "--mode", "cells"],
        &["check", FILE, "--against", heads],
        &["check", FILE, "--gradients"],
        &["train", FILE],
    ];
    for args in rows {
        let ran = run(args);
        assert_eq!(ran.code, 3, "{}: {}", ran.line, ran.stderr);
        assert!(ran.stderr.contains("error[N025]"), "{}: {}", ran.line, ran.stderr);
        assert!(ran.stderr.contains("match_and_control.yaml:20:"), "{}: the place\n{}", ran.line, ran.stderr);
    }
    for (args, words) in [
        (&["simulate", "circuits/delta_memory.yaml", "--mode", "spiking"], "this circuit has rates, not spikes"),
        (&["simulate", "circuits/delta_memory.yaml", "--trials", "3"], "--trials is of circuits of spikes"),
    ] {
        let ran = run(args);
        assert!(ran.code == 2 && ran.stderr.contains(words), "{}", ran.stderr);
    }
    let experiment = run(&["experiment", "capacity", FILE]);
    assert!(experiment.code == 2 && experiment.stderr.contains("no `protocol.capacity`"), "{}", experiment.stderr);
    let import = run(&["import", FILE, "-o", "x.yaml"]);
    assert!(import.code == 4 && !import.stderr.is_empty(), "{}: {}", import.code, import.stderr);
    assert!(run(&["explain", "N025"]).stdout.contains("k' K q"));
}

#[test]
fn stages_are_printed_and_drawn() {
    let graph = run(&["compile", FILE, "--emit", "graph"]).stdout;
    assert!(graph.contains("K: A1.keys -> A1.neuron.spines [150 axons x 10 spines] delay 1 ms"), "{graph}");
    let dot = run(&["compile", FILE, "--emit", "dot"]).stdout;
    assert!(dot.starts_with("digraph {") && dot.contains("headlabel=\"spines\""), "{dot}");
    let svg = run(&["compile", FILE, "--emit", "svg"]).stdout;
    for word in ["match_and_control", "keys", "neuron", "query", "cable", "6 Hz", "spikes"] {
        assert!(svg.contains(word), "{word}");
    }
    assert!(!svg.contains("mask"), "no tokens, no mask");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("c.svg");
    let ran = run(&["compile", FILE, "--emit", "svg", "-o", file.to_str().expect("UTF-8")]);
    assert!(ran.code == 0 && fs::read_to_string(&file).expect("there") == svg);
    assert!(Path::new(root()).join(FILE).exists());
    let emitted = run(&["compile", FILE, "--emit", "spec"]).stdout;
    fs::write(dir.path().join("again.yaml"), &emitted).expect("written");
    assert_eq!(run_in(dir.path(), &["compile", "again.yaml", "--emit", "spec"]).stdout, emitted);
}
