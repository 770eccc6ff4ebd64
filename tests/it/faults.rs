//! Every single change of the disk fails once, and the program is killed at each: in every verb that writes.
//!
//! The n-th change (creation, write, sync, rename, removal) is made to fail by a switch that only builds with debug assertions
//! have. After a failure the result is the old one or the new one, whole, and the exit code says which; after a kill it is so as
//! soon as somebody looks, and the next run finds nothing in its way. Inputs are never touched.

use crate::binary::{command, run_in};
use crate::cli_train::circuit;
use crate::fault_bench::{Bench, Case, Files, files};
use std::fs;
use std::path::Path;

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");
const SPIKES: &str = include_str!("../../circuits/match_and_control.yaml");
const LEARN: &str =
    "{steps: 3, batch: 2, rate: 0.001, evaluate: {every: 2, sequences: 4}, checkpoint: {every: 2}}";

fn text(name: &str, text: &str) -> Files {
    Files::from([(name.to_owned(), text.as_bytes().to_vec())])
}

fn head() -> Files {
    text("head.yaml", HEAD)
}

/// A run directory in `out`.
fn directory(name: &'static str, args: &'static [&'static str], old: &'static [&'static str]) -> Case {
    Case { name, args, old, dir: "out", is_course: false }
}

#[test]
fn compile_and_new() {
    let case = |name, args, old| Case { name, args, old, dir: "", is_course: false };
    for (name, args, old) in [
        (
            "compile",
            &["compile", "head.yaml", "-o", "h.safetensors"][..],
            &["compile", "head.yaml", "-o", "h.safetensors", "--seed", "7"][..],
        ),
        (
            "compile --emit svg",
            &["compile", "head.yaml", "-o", "h.svg", "--emit", "svg"],
            &["compile", "head.yaml", "-o", "h.svg", "--emit", "svg", "--set", "d_k=2"],
        ),
        ("new", &["new", "dale_head", "-o", "n.yaml"], &["new", "multihead", "-o", "n.yaml"]),
    ] {
        Bench::new(case(name, args, old), head()).all();
    }
}

#[test]
fn import() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("head.yaml"), HEAD).expect("written");
    for (seed, name) in [("1", "a.safetensors"), ("2", "b.safetensors")] {
        assert_eq!(run_in(dir.path(), &["compile", "head.yaml", "--seed", seed, "-o", name]).code, 0);
    }
    let case = Case {
        name: "import",
        args: &["import", "a.safetensors", "-o", "i.yaml"],
        old: &["import", "b.safetensors", "-o", "i.yaml", "--circuit", "key-value-memory"],
        dir: "",
        is_course: false,
    };
    Bench::new(case, files(dir.path())).all();
}

#[test]
fn simulate() {
    let args = &["simulate", "head.yaml", "-o", "out"];
    let old = &["simulate", "head.yaml", "-o", "out", "--seed", "7"];
    Bench::new(directory("simulate", args, old), head()).all();
}

#[test]
fn simulate_cells() {
    let args = &["simulate", "head.yaml", "-o", "out", "--mode", "cells", "--set", "d_k=1"];
    let old = &["simulate", "head.yaml", "-o", "out", "--mode", "cells", "--record", "A1.deep"];
    let few = HEAD.replace("length: 16", "length: 2");
    Bench::new(directory("cells", args, old), text("head.yaml", &few)).all();
}

#[test]
fn simulate_a_stream() {
    let args = &["simulate", "head.yaml", "-o", "out", "--stream"];
    let old = &["simulate", "head.yaml", "-o", "out"];
    Bench::new(directory("stream", args, old), head()).all();
}

#[test]
fn simulate_spikes() {
    let args = &["simulate", "spikes.yaml", "-o", "out", "--trials", "1", "--seed", "2"];
    let old = &["simulate", "spikes.yaml", "-o", "out", "--trials", "1"];
    let bench = Bench::new(directory("spikes", args, old), text("spikes.yaml", SPIKES));
    // Each run takes its time: every change fails, some are killed.
    bench.failing("error", &bench.old, &bench.new, 1);
    bench.killed(&bench.old, &bench.new, 5);
}

#[test]
fn train_and_resume() {
    let case = Case {
        name: "train",
        args: &["train", "learn.yaml", "-o", "out"],
        old: &["simulate", "learn.yaml", "-o", "out"],
        dir: "out",
        is_course: true,
    };
    let bench = Bench::new(case, text("learn.yaml", &circuit(LEARN)));
    bench.failing("error", &bench.old, &bench.new, 1);
    bench.failing("dead", &bench.old, &bench.new, 5);
    bench.failing("full", &bench.old, &bench.new, 7);
    bench.killed(&bench.old, &bench.new, 3);
    // What was killed goes on to the same end.
    let (mut n, mut resumed) = (1, 0);
    loop {
        let after = bench.run(&bench.inputs, &format!("kill:{n}"));
        let Some(hit) = &after.hit else { break };
        if bench.verified(&after) == 0 {
            let second = command(after.folder.path(), &["train", "--resume", "out"])
                .env("PULVINAR_FAULT", format!("error:{}", 3 + n % 40))
                .output()
                .expect("ran");
            let stderr = String::from_utf8_lossy(&second.stderr);
            assert!(matches!(second.status.code(), Some(0 | 4)), "{hit}: {stderr}");
            assert_eq!(bench.verified(&after), 0, "{hit}: a failed resumption");
            let ran = run_in(after.folder.path(), &["train", "--resume", "out"]);
            assert_eq!(ran.code, 0, "{hit}: {}", ran.stderr);
            assert!(files(after.folder.path()) == bench.fresh, "{hit}: another end");
            resumed += 1;
        }
        n += 5;
    }
    assert!(resumed > 5, "only {resumed}");
}

#[test]
fn train_by_all_rules() {
    let case = Case {
        name: "ladder",
        args: &["train", "learn.yaml", "-o", "out", "--rule", "all"],
        old: &["train", "learn.yaml", "-o", "out", "--rule", "all", "--seed", "5"],
        dir: "out",
        is_course: true,
    };
    let short = circuit("{steps: 1, batch: 1, rate: 0.001, evaluate: {every: 1, sequences: 1}}");
    let bench = Bench::new(case, text("learn.yaml", &short));
    let mut n = 1;
    loop {
        let after = bench.run(&bench.old, &format!("kill:{n}"));
        let Some(hit) = &after.hit else { break };
        let now = files(after.folder.path());
        // Many trainings: whole, old or new, or it says that it did not end.
        let code = bench.verified(&after);
        let settled = files(after.folder.path());
        assert!(code == 1 || settled == bench.old || settled == bench.new, "{hit}: {:?}", now.keys());
        let ran =
            run_in(after.folder.path(), &["train", "learn.yaml", "-o", "out", "--rule", "all", "--force"]);
        assert_eq!(ran.code, 0, "{hit}: {}", ran.stderr);
        assert!(files(after.folder.path()) == bench.new, "{hit}");
        n += 61;
    }
    assert!(n > 100);
}

#[test]
fn experiment() {
    let ran = run_in(Path::new("."), &["experiment", "conditioning", "--print"]);
    let args = &["experiment", "conditioning", "c.yaml", "-o", "out", "--trials", "2"];
    let old = &["experiment", "conditioning", "c.yaml", "-o", "out", "--trials", "2", "--seed", "5"];
    Bench::new(directory("experiment", args, old), text("c.yaml", &ran.stdout)).all();
}

#[test]
fn figures() {
    const CIRCUITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../circuits");
    let case = Case {
        name: "figures",
        args: &["figures", "identity", "--circuits", CIRCUITS, "--image", "png", "--dpi", "40", "-o", "out"],
        old: &["figures", "identity", "--circuits", CIRCUITS, "--image", "png", "--dpi", "36", "-o", "out"],
        dir: "",
        is_course: false,
    };
    let bench = Bench::new(case, head());
    bench.failing("error", &bench.old, &bench.new, 1);
    bench.killed(&bench.old, &bench.new, 2);
}
