//! Exit codes, and what goes to stdout and what to stderr.

use crate::binary::{Ran, command, finish, json_in, one_object, run, run_in};
use crate::support::root;
use std::fs;
use std::process::Stdio;
use tempfile::TempDir;

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");
const CROSS: &str = include_str!("../../circuits/cross_attention.yaml");

/// One head whose scores are divided by their sum: with tokens 1 and -1 the sum is zero and the values are not.
const ZERO: &str = "
schema: pulvinar/1
name: zero
tokens: {d_model: 1, input: {values: [[1], [-1]]}}
thalamus:
  Q: {pathway: core, per: [query], cells: 1}
  C: {pathway: matrix, per: [context], cells: 1}
  H: {pathway: core, per: [query], cells: 1}
areas:
  A:
    microcolumns: {per: [query, context]}
    populations:
      score: {cells: 1, activation: product}
      deep: {cells: 1, activation: product}
      total: {cells: 1, per: [query]}
      readout: {cells: 1, per: [query]}
projections:
  K: {from: C, to: A.score.apical, weights: ones}
  Q: {from: Q, to: A.score.basal, weights: ones}
  V: {from: C, to: A.deep.basal, weights: ones}
  w: {from: A.score, to: A.deep.apical, weights: ones}
  sum: {from: A.score, to: A.total.basal, weights: ones}
  u: {from: A.deep, to: A.readout.basal, weights: ones}
  divide: {from: A.total, to: A.readout.basal, weights: ones, effect: divisive}
  O: {from: A.readout, to: H.basal, weights: ones}
output: H
";

/// A folder of circuits, good and bad.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("written");
    let changed = |name: &str, text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        write(name, text.replace(from, to).as_bytes());
    };
    write("head.yaml", HEAD.as_bytes());
    write("cross.yaml", CROSS.as_bytes());
    write("zero.yaml", ZERO.as_bytes());
    changed("seven.yaml", HEAD, "count: 1", "count: 7");
    changed("blocks.yaml", HEAD, "expect: {heads", "expect: {blocks: 2, heads");
    changed("misspelt.yaml", HEAD, "activation:", "activaton:");
    changed("unknown.yaml", HEAD, "from: VP_core", "from: VP_cor");
    changed("degree.yaml", HEAD, "W_V:  {from: VP_matrix", "W_V:  {from: VP_core");
    changed("no_input.yaml", HEAD, "  input: {gaussian: {length: 16}}\n", "");
    changed(
        "no_weights.yaml",
        HEAD,
        "{from: A1.deep,        to: HO.basal,              weights: {normal: {fan_in: 1}}}",
        "{from: A1.deep, to: HO.basal, weights: {file: {path: none.npy}}}",
    );
    changed("lesion.yaml", HEAD, "output: HO", "lesions: [{silence: {population: A1.deep}}]\noutput: HO");
    write("bytes.yaml", b"schema: pulvinar/1\nname: \xff\xfe\n");
    write("empty.yaml", b"");
    write("broken.yaml", b"schema: [pulvinar/1\n");
    write("huge.csv", "1e200,1,1,1,1,1,1,1\n".repeat(3).as_bytes());
    write("narrow.csv", b"1,2\n3,4\n");
    write("words.csv", b"1,2,3,4,5,6,7,8\n1,2,3,4,5,6,7,eight\n");
    write("nan.csv", b"1,2,3,4,5,6,7,nan\n");
    write("tokens.txt", b"1 2 3\n");
    fs::create_dir(dir.path().join("full")).expect("made");
    write("full/kept.txt", b"here before");
    write("kept.yaml", b"here before");
    dir
}

/// (claim, code of the diagnostic, arguments), by exit code
type Row = (&'static str, &'static str, &'static [&'static str]);

const YES: &[Row] = &[
    ("version", "", &["--version"]),
    ("help", "", &["--help"]),
    ("help of a verb", "", &["compile", "--help"]),
    ("templates", "", &["new"]),
    ("a template", "", &["new", "multihead"]),
    ("a valid circuit", "", &["validate", "head.yaml"]),
    ("two valid circuits", "", &["validate", "head.yaml", "cross.yaml"]),
    ("validity does not ask what is expected", "", &["validate", "seven.yaml"]),
    ("compile", "", &["compile", "head.yaml"]),
    ("compile and explain", "", &["compile", "head.yaml", "--explain"]),
    ("the written circuit of what is not attention", "", &["compile", "degree.yaml", "--emit", "spec"]),
    ("the graph of what is not attention", "", &["compile", "degree.yaml", "--emit", "graph"]),
    ("simulate", "", &["simulate", "head.yaml"]),
    ("cells in time", "", &["simulate", "head.yaml", "--mode", "cells"]),
    ("cells of what is not attention", "", &["simulate", "degree.yaml", "--mode", "cells"]),
    ("lesions are carried", "", &["compile", "lesion.yaml"]),
    ("schema", "", &["schema"]),
    ("all codes", "", &["explain"]),
    ("a code", "", &["explain", "C010"]),
    ("a code in small letters", "", &["explain", "c010"]),
    ("completions", "", &["completions", "bash"]),
    ("manual", "", &["man"]),
];

const NO: &[Row] = &[
    ("heads that were expected", "R002", &["compile", "seven.yaml"]),
    ("blocks that were expected", "R002", &["compile", "blocks.yaml"]),
    ("overflow", "R001", &["simulate", "head.yaml", "--tokens", "huge.csv"]),
    (
        "overflow in single precision",
        "R001",
        &["simulate", "head.yaml", "--tokens", "huge.csv", "--precision", "f32"],
    ),
    ("a number divided by zero", "R001", &["simulate", "zero.yaml"]),
    ("cells that overflow", "R001", &["simulate", "head.yaml", "--tokens", "huge.csv", "--mode", "cells"]),
    ("cells divided by zero", "R001", &["simulate", "zero.yaml", "--mode", "cells"]),
];

const USAGE: &[Row] = &[
    ("no verb", "U005", &[]),
    ("a verb that is not there", "U005", &["comple"]),
    ("a flag that is not there", "U005", &["compile", "head.yaml", "--emitt", "spec"]),
    ("a stage that is not there", "U005", &["compile", "head.yaml", "--emit", "ast"]),
    ("no file", "U005", &["compile"]),
    ("no shell of that name", "U005", &["completions", "cshell"]),
    ("no template of that name", "U005", &["new", "multi_head"]),
    ("no code of that name", "U005", &["explain", "C999"]),
    ("no threads", "U005", &["simulate", "head.yaml", "--threads", "0"]),
    ("a seed below zero", "U005", &["simulate", "head.yaml", "--seed=-1"]),
    ("--set without a value", "U005", &["compile", "head.yaml", "--set", "d_k"]),
    ("no such parameter", "U001", &["compile", "head.yaml", "--set", "dk=3"]),
    ("no such stream", "U002", &["simulate", "cross.yaml", "--tokens", "smell=narrow.csv"]),
    ("which stream?", "U002", &["simulate", "cross.yaml", "--tokens", "narrow.csv"]),
    ("a stream twice", "U002", &["simulate", "head.yaml", "--tokens", "a.csv", "--tokens", "main=b.csv"]),
    ("no tokens", "U003", &["simulate", "no_input.yaml"]),
    ("plus and minus cells of heads", "U005", &["compile", "head.yaml", "--dale", "--emit", "heads"]),
    ("cells in f32", "U004", &["simulate", "head.yaml", "--mode", "cells", "--precision", "f32"]),
    ("prospective heads", "U005", &["simulate", "head.yaml", "--prospective"]),
    ("spikes", "U004", &["simulate", "head.yaml", "--mode", "spiking"]),
    ("traces of heads", "U005", &["simulate", "head.yaml", "--record", "A1.deep"]),
    ("lesions of heads", "U005", &["simulate", "head.yaml", "--lesion", "A1.deep"]),
    ("lesions in the file", "U004", &["simulate", "lesion.yaml"]),
];

const CIRCUIT: &[Row] = &[
    ("a misspelt key", "S012", &["validate", "misspelt.yaml"]),
    ("an unknown population", "C010", &["compile", "unknown.yaml"]),
    ("one bad circuit among good ones", "C010", &["validate", "head.yaml", "unknown.yaml"]),
    ("a value of the query", "N001", &["compile", "degree.yaml"]),
    ("not attention is not valid", "N001", &["validate", "degree.yaml"]),
    ("not attention cannot run", "N001", &["simulate", "degree.yaml"]),
    ("bytes that are no text", "", &["validate", "bytes.yaml"]),
    ("an empty file", "", &["validate", "empty.yaml"]),
    ("broken YAML", "", &["compile", "broken.yaml"]),
    ("a parameter that makes no circuit", "S006", &["compile", "head.yaml", "--set", "d_k=0"]),
];

const FILE: &[Row] = &[
    ("no such circuit", "F001", &["compile", "none.yaml"]),
    ("a folder for a circuit", "F002", &["validate", "full"]),
    ("no such weights", "F001", &["compile", "no_weights.yaml"]),
    ("no such tokens", "F001", &["simulate", "head.yaml", "--tokens", "none.npy"]),
    ("tokens of another width", "F009", &["simulate", "head.yaml", "--tokens", "narrow.csv"]),
    ("tokens that are words", "F007", &["simulate", "head.yaml", "--tokens", "words.csv"]),
    ("tokens that are no numbers", "F010", &["simulate", "head.yaml", "--tokens", "nan.csv"]),
    ("tokens of no known form", "F006", &["simulate", "head.yaml", "--tokens", "tokens.txt"]),
    ("a full directory", "F011", &["simulate", "head.yaml", "-o", "full"]),
    ("a file for a directory", "F004", &["simulate", "head.yaml", "-o", "kept.yaml"]),
    ("a starter over a file", "F011", &["new", "multihead", "-o", "kept.yaml"]),
    ("heads into no folder", "F004", &["compile", "head.yaml", "-o", "none/heads.safetensors"]),
];

const ALL: [(i32, &[Row]); 5] = [(0, YES), (1, NO), (2, USAGE), (3, CIRCUIT), (4, FILE)];

#[test]
fn every_exit_code_with_stdout_for_results_and_stderr_for_diagnostics() {
    let dir = folder();
    for (code, rows) in ALL {
        for (claim, diagnostic, args) in rows {
            let Ran { code: got, stdout, stderr, line } = run_in(dir.path(), args);
            assert_eq!(got, code, "{claim}: {line}\n{stdout}{stderr}");
            assert!(!stdout.contains("error["), "{claim}: {line}\n{stdout}");
            match code {
                0 => {
                    assert!(!stdout.is_empty(), "{claim}: {line}");
                    assert!(stderr.is_empty(), "{claim}: {line}\n{stderr}");
                }
                _ => {
                    assert!(
                        stderr.starts_with("error") || *diagnostic == "U005",
                        "{claim}: {line}\n{stderr}"
                    );
                    if *diagnostic != "U005" {
                        assert!(stderr.contains(&format!("error[{diagnostic}")), "{claim}: {line}\n{stderr}");
                    }
                    // An answer of no may stand beside results; nothing else does.
                    let results = diagnostic == &"R002"
                        || args.contains(&"cells")
                        || args.len() > 2 && args[0] == "validate";
                    assert!(stdout.is_empty() || results, "{claim}: {line}\n{stdout}");
                }
            }
        }
    }
    assert_eq!(fs::read(dir.path().join("kept.yaml")).expect("there"), b"here before");
    assert_eq!(fs::read_dir(dir.path().join("full")).expect("there").count(), 1, "nothing was added");
}

#[test]
fn one_json_object_for_every_command_line() {
    let dir = folder();
    for (code, rows) in ALL {
        for (claim, diagnostic, args) in rows {
            if args.iter().any(|a| ["--version", "--help"].contains(a)) {
                continue;
            }
            let (got, object) = json_in(dir.path(), args);
            assert_eq!(got, code, "{claim}: {args:?} {object}");
            let verb = args.first().filter(|v| **v != "comple").unwrap_or(&"usage");
            assert_eq!(object["schema"], format!("pulvinar.{verb}/1"), "{claim}");
            let list = object["diagnostics"].as_array().map_or(&[][..], Vec::as_slice);
            assert_eq!(list.is_empty(), code == 0, "{claim}: {object}");
            let named = list.iter().any(|d| d["code"] == *diagnostic);
            assert!(named || diagnostic.is_empty(), "{claim}: {object}");
            for d in list {
                assert_eq!(d["severity"], "error", "{claim}");
                if code == 3 && !["empty.yaml", "bytes.yaml"].contains(&args[1]) && *diagnostic != "U001" {
                    assert!(d["line"].as_u64().is_some_and(|l| l > 0), "{claim}: no place in {d}");
                }
            }
        }
    }
}

#[test]
fn quiet_silences_remarks_and_keeps_results_and_errors() {
    let dir = folder();
    let loud = run_in(dir.path(), &["compile", "head.yaml", "-o", "a.safetensors"]);
    let quiet = run_in(dir.path(), &["compile", "head.yaml", "-o", "b.safetensors", "--quiet"]);
    assert_eq!((loud.code, quiet.code), (0, 0));
    assert!(loud.stderr.contains("wrote a.safetensors"), "{}", loud.stderr);
    assert!(quiet.stderr.is_empty(), "{}", quiet.stderr);
    assert_eq!(loud.stdout, quiet.stdout);
    let bad = run_in(dir.path(), &["-q", "validate", "misspelt.yaml"]);
    assert!(bad.code == 3 && bad.stderr.contains("S012"), "{}", bad.stderr);
    let verbose = run_in(dir.path(), &["simulate", "head.yaml", "-v"]);
    assert!(verbose.stderr.contains("stream main: 16 tokens x 8"), "{}", verbose.stderr);
}

#[test]
fn colour_when_asked_for_and_never_in_a_pipe() {
    let dir = folder();
    let rows: &[&[&str]] = &[&["validate", "misspelt.yaml"], &["compile", "--bogus"], &["explain", "C999"]];
    for args in rows {
        for (claim, flag, no_color, wanted) in [
            ("a pipe has no colour", "auto", "", false),
            ("never is never", "never", "", false),
            ("always is always", "always", "", true),
            ("NO_COLOR is respected", "auto", "1", false),
            ("a flag is stronger than the environment", "always", "1", true),
        ] {
            let mut all = args.to_vec();
            all.extend(["--color", flag]);
            let mut command = command(dir.path(), &all);
            if !no_color.is_empty() {
                command.env("NO_COLOR", no_color);
            }
            let ran = finish(&mut command, &all);
            assert_eq!(ran.stderr.contains('\u{1b}'), wanted, "{claim}: {}\n{}", ran.line, ran.stderr);
            assert!(!ran.stdout.contains('\u{1b}'), "{claim}: {}", ran.line);
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let rows: &[&[&str]] = &[
        &["schema"],
        &["man"],
        &["completions", "zsh"],
        &["explain"],
        &["new", "dale_head"],
        &["--help"],
        &["compile", "circuits/dale_head.yaml", "--emit", "heads"],
        &["compile", "circuits/dale_head.yaml", "--format", "json"],
        &["simulate", "circuits/digits.yaml"],
    ];
    for args in rows {
        let mut child = command(root(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{args:?}: {e}"));
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("{args:?}: {e}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn helpers_say_what_they_should() {
    assert_eq!(run(&["--version"]).stdout, format!("pulvinar {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(&["--help"]).stdout;
    let codes = run(&["explain"]).stdout;
    let manual = run(&["man"]).stdout;
    for verb in
        ["new", "validate", "compile", "simulate", "experiment", "schema", "explain", "completions", "man"]
    {
        assert!(help.contains(&format!("\n  {verb}")), "{verb}\n{help}");
        assert!(manual.contains(&format!("pulvinar\\-{verb}")), "{verb}\n{manual}");
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            assert!(run(&["completions", shell]).stdout.contains(verb), "{verb} in {shell}");
        }
    }
    for code in pulvinar::diag::codes::ALL {
        assert!(codes.contains(&format!("{}  {}", code.code, code.title)), "{}", code.code);
        let one = run(&["explain", code.code]);
        assert!(one.stdout.contains(code.text), "{}", one.stdout);
    }
    let object = one_object(&run(&["schema", "--format", "json"]));
    assert_eq!(object["text"].as_str(), Some(run(&["schema"]).stdout.as_str()));
}
