//! A result that could not be printed is no success; a reader that goes away is no error.

use crate::binary::{command, run, run_in};
use crate::support::root;
use std::fs::{self, File};
use std::process::Stdio;
use tempfile::TempDir;

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");

/// Circuits, heads, a run directory and a training.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
    write("head.yaml", HEAD);
    write("other.yaml", &HEAD.replace("seed: 42", "seed: 43"));
    write("seven.yaml", &HEAD.replace("count: 1", "count: 7"));
    write("bad.yaml", &HEAD.replace("activation:", "activaton:"));
    write(
        "learn.yaml",
        &super::cli_train::circuit("{steps: 2, batch: 2, rate: 0.001, evaluate: {every: 1, sequences: 4}}"),
    );
    let ok = |args: &[&str]| {
        let ran = run_in(dir.path(), args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    };
    ok(&["compile", "head.yaml", "-o", "head.safetensors"]);
    ok(&["simulate", "head.yaml", "-o", "run"]);
    ok(&["simulate", "head.yaml", "-o", "broken"]);
    fs::write(dir.path().join("broken/output.npy"), b"").expect("written");
    dir
}

/// The verb's own code, and the words.
const ROWS: &[(u8, &[&str])] = &[
    (0, &["new"]),
    (0, &["new", "dale_head"]),
    (0, &["validate", "head.yaml"]),
    (0, &["compile", "head.yaml"]),
    (0, &["compile", "head.yaml", "--emit", "svg"]),
    (0, &["compile", "head.yaml", "--emit", "spec"]),
    (0, &["compile", "head.yaml", "--explain"]),
    (0, &["compile", "head.yaml", "--dale"]),
    (1, &["compile", "seven.yaml"]),
    (0, &["simulate", "head.yaml"]),
    (0, &["simulate", "head.yaml", "--mode", "cells"]),
    (0, &["check", "head.yaml", "--against", "head.safetensors"]),
    (1, &["check", "other.yaml", "--against", "head.safetensors"]),
    (0, &["check", "learn.yaml", "--gradients"]),
    (0, &["train", "learn.yaml"]),
    (0, &["experiment"]),
    (0, &["experiment", "conditioning", "--print"]),
    (0, &["figures", "--list"]),
    (0, &["schema"]),
    (0, &["explain"]),
    (0, &["explain", "C010"]),
    (0, &["completions", "zsh"]),
    (0, &["man"]),
    (0, &["verify", "run"]),
    (1, &["verify", "broken"]),
    (0, &["--help"]),
    (0, &["--version"]),
    (0, &["train", "--help"]),
];

/// In JSON also the refusals are results.
const REFUSED: &[(u8, &[&str])] = &[
    (2, &["compile", "head.yaml", "--emit", "ast"]),
    (3, &["compile", "bad.yaml"]),
    (4, &["compile", "none.yaml"]),
];

fn rows() -> impl Iterator<Item = (u8, Vec<&'static str>)> {
    let texts = ROWS.iter().map(|(code, args)| (*code, args.to_vec()));
    let objects =
        ROWS.iter().chain(REFUSED).map(|(code, args)| (*code, [args, &["--format", "json"][..]].concat()));
    texts.chain(objects)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_never_success() {
    let dir = folder();
    for (_, args) in rows() {
        let full = File::options().write(true).open("/dev/full").expect("there");
        let output = command(dir.path(), &args).stdout(full).stderr(Stdio::piped()).output().expect("ran");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {stderr}");
        assert!(stderr.contains("F004") && stderr.contains("stdout"), "{args:?}: {stderr}");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_returns_the_answer_quietly() {
    let dir = folder();
    for (code, args) in rows() {
        let quiet = run_in(dir.path(), &args);
        assert_eq!(quiet.code, i32::from(code), "{args:?}: {}", quiet.stderr);
        let mut child = command(dir.path(), &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{args:?}: {e}"));
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("{args:?}: {e}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(code)), "{args:?}: {stderr}");
        assert_eq!(stderr, quiet.stderr, "{args:?}: nothing about the pipe");
    }
}

/// A disk that takes a part: no result is cut short in silence.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_in_the_middle_of_a_result_is_an_error() {
    let dir = folder();
    let program = env!("CARGO_BIN_EXE_pulvinar");
    for args in ["compile head.yaml --emit svg", "schema", "completions bash", "man", "explain --format json"]
    {
        let line = format!("ulimit -f 2; exec {program} {args} > cut.txt");
        let output = std::process::Command::new("sh")
            .args(["-c", &line])
            .current_dir(dir.path())
            .output()
            .expect("ran");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{args}: {stderr}");
        assert!(stderr.contains("F004"), "{args}: {stderr}");
        let whole = run_in(dir.path(), &args.split(' ').collect::<Vec<_>>());
        assert!(fs::read(dir.path().join("cut.txt")).expect("there").len() < whole.stdout.len(), "{args}");
    }
}

#[test]
fn what_is_printed_is_whole_where_somebody_reads() {
    let svg = run(&["compile", "circuits/match_and_control.yaml", "--emit", "svg"]);
    assert!(svg.code == 0 && svg.stdout.trim_end().ends_with("</svg>"), "{}", svg.stderr);
    assert!(root().is_dir());
}
