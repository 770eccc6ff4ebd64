//! Small slips of users, each answered by its cause: tables of pandas and R, files without tokens, units, codes, memories that decay
//! to nothing, tasks whose file is at fault.

use crate::binary::{json_in, run, run_in};
use pulvinar::files::{Array, Dtype, write_npy_array, write_npz, write_safetensors};
use pulvinar::{circuit, compile, spec};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const THREE: &str = "schema: pulvinar/1
name: three
seed: 1
tokens: {d_model: 3, mask: causal, input: {gaussian: {length: 4}}}
thalamus:
  Q: {pathway: core, per: [query], cells: 3}
  C: {pathway: matrix, per: [context], cells: 3}
  HO: {pathway: core, per: [query], cells: 3}
areas:
  A: {template: {key_value_memory_head: {query: Q, context: C, to: HO, d_k: 2, d_v: 2}}}
output: HO
";

const ROWS: &str = "0.126,-0.132,0.64\n0.105,-0.536,0.362\n1.304,0.947,-0.704\n";

fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("three.yaml"), THREE).expect("written");
    dir
}

#[test]
fn tables_of_pandas_and_r() {
    let dir = folder();
    let indexed = |header: &str, from: usize| {
        let rows = ROWS.lines().enumerate().map(|(k, row)| format!("{},{row}\n", k + from));
        format!("{header}\n{}", rows.collect::<String>())
    };
    let good: &[(&str, String, bool)] = &[
        ("plain.csv", ROWS.to_owned(), false),
        ("names.csv", format!("a,b,c\n{ROWS}"), false),
        ("pandas.csv", format!("0,1,2\n{ROWS}"), true),
        ("pandas_crlf.csv", format!("\u{feff}0,1,2\r\n{}", ROWS.replace('\n', "\r\n")), true),
        ("r.csv", format!("\"V1\",\"V2\",\"V3\"\n{ROWS}"), false),
    ];
    let mut hashes = std::collections::BTreeSet::new();
    for (name, text, said) in good {
        fs::write(dir.path().join(name), text).expect("written");
        let ran = run_in(dir.path(), &["simulate", "three.yaml", "--tokens", name]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        assert_eq!(
            ran.stderr.contains("its first line, 0 to 2, was taken for the names of columns"),
            *said,
            "{name}: {}",
            ran.stderr
        );
        let (_, object) = json_in(dir.path(), &["simulate", "three.yaml", "--tokens", name]);
        assert_eq!(object["output_shape"][0], 3, "{name}");
        hashes.insert(object["output_sha256"].as_str().expect("a hash").to_owned());
        let named = THREE.replace("{gaussian: {length: 4}}", &format!("{{file: {{path: {name}}}}}"));
        fs::write(dir.path().join("own.yaml"), named).expect("written");
        let own = run_in(dir.path(), &["simulate", "own.yaml"]);
        assert_eq!(
            (own.code, own.stderr.contains("was taken for the names")),
            (0, *said),
            "{name}: {}",
            own.stderr
        );
    }
    assert_eq!(hashes.len(), 1, "the same tokens each time");
    for (name, text, word) in [
        ("index.csv", indexed(",a,b,c", 0), "an empty name"),
        ("index_numbers.csv", indexed(",0,1,2", 0), "an empty name"),
        ("index_r.csv", indexed("\"\",\"V1\",\"V2\",\"V3\"", 1), "an empty name"),
        ("index_named.csv", indexed("index,a,b,c", 0), "`index`"),
        ("index_again.csv", indexed("Unnamed: 0,a,b,c", 0), "`Unnamed: 0`"),
        ("write_table.csv", indexed("\"V1\",\"V2\",\"V3\"", 1), "line 2 has 4 cells"),
    ] {
        fs::write(dir.path().join(name), text).expect("written");
        let ran = run_in(dir.path(), &["simulate", "three.yaml", "--tokens", name]);
        assert_eq!(ran.code, 4, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("index=False") && ran.stderr.contains("row.names = FALSE"),
            "{name}: {}",
            ran.stderr
        );
    }
}

#[test]
fn no_tokens_are_refused_in_every_format_and_empty_in_the_library() {
    let dir = folder();
    let none = Array { shape: vec![0, 3], data: Vec::new(), dtype: Dtype::F64 };
    let at = |name: &str| dir.path().join(name);
    fs::write(at("x.csv"), "a,b,c\n").expect("written");
    fs::write(at("y.csv"), "0,1,2\n").expect("written");
    write_npy_array(&at("x.npy"), &none).expect("written");
    write_npz(&at("x.npz"), &[("main".to_owned(), none.clone())]).expect("written");
    write_safetensors(&at("x.safetensors"), &[("main".to_owned(), none)], &[]).expect("written");
    let verbs: &[&[&str]] = &[
        &["simulate", "three.yaml"],
        &["simulate", "three.yaml", "--mode", "cells"],
        &["check", "three.yaml", "--gradients"],
    ];
    for name in ["x.csv", "y.csv", "x.npy", "x.npz", "x.safetensors"] {
        for verb in verbs {
            let ran = run_in(dir.path(), &[verb, &["--tokens", name][..]].concat());
            assert_eq!(ran.code, 4, "{}: {}", ran.line, ran.stderr);
            assert!(ran.stderr.contains("error[F030]"), "{}: {}", ran.line, ran.stderr);
        }
    }
    let ran = run_in(dir.path(), &["simulate", "three.yaml", "--stream", "--tokens", "x.npy"]);
    assert!(ran.code == 4 && ran.stderr.contains("error[F030]"), "{}", ran.stderr);
    // The library runs on nothing, and gives nothing.
    let document = spec::read(THREE.as_bytes(), Path::new("."), &[]).expect("reads");
    let wired = circuit::wire(&document.spec, Path::new(".")).expect("is wired");
    let blocks = compile::compile(&wired).expect("compiles").plain_blocks();
    let streams = [("main".to_owned(), nalgebra::DMatrix::zeros(3, 0))].into();
    let ran = pulvinar::simulate::run::<f64>(&blocks, &streams).expect("runs");
    assert_eq!(ran.output.shape(), (3, 0));
}

#[test]
fn a_decay_that_single_precision_cannot_hold() {
    let dir = folder();
    let text = THREE.replace("d_v: 2}", "d_v: 2, memory: {decay: {g: 1e-100}}}");
    assert_ne!(text, THREE);
    fs::write(dir.path().join("decay.yaml"), text).expect("written");
    let args = ["simulate", "decay.yaml", "--precision"];
    let ran = run_in(dir.path(), &[&args[..], &["f32"]].concat());
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("decays by 1e-100, which is 0 in single precision"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--precision f64") && !ran.stderr.contains("decay 0"), "{}", ran.stderr);
    assert_eq!(run_in(dir.path(), &[&args[..], &["f64"]].concat()).code, 0);
}

#[test]
fn both_signs_for_micro_are_one_unit() {
    let read = |tau: &str| {
        let text = THREE.replace("cells: 3}\nareas", &format!("cells: 3, tau: {tau}}}\nareas"));
        assert_ne!(text, THREE);
        spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}")).spec
    };
    let plain = spec::to_yaml(&read("10000 us"));
    for tau in ["10000 \u{3bc}s", "10000\u{b5}s", "10 ms"] {
        assert_eq!(spec::to_yaml(&read(tau)), plain, "{tau}");
    }
}

#[test]
fn codes_that_do_not_exist_have_neighbours() {
    for (code, nearest) in [
        ("Z999", ""),
        ("C0101", "`C080`"),
        ("c81", "`C080`"),
        ("F099", "`F031`"),
        ("", ""),
        ("N9999999999", ""),
    ] {
        let ran = run(&["explain", code]);
        assert_eq!(ran.code, 2, "{code}: {}", ran.stderr);
        assert!(ran.stderr.contains("nearest: `") && ran.stderr.contains(nearest), "{code}: {}", ran.stderr);
        assert!(ran.stderr.len() < 400, "{code}: {}", ran.stderr);
    }
    assert_eq!(run(&["explain", "c080"]).code, 0);
}

/// Tokens that cannot be read are the mistake; that the relays have none then is no second one.
#[test]
fn the_file_of_a_task_is_at_fault_alone() {
    let dir = folder();
    let task = "loss: {on: all}\ntask: {file: {path: data.npz, tokens: {main: x}, target: t, held_out: 0.2}}\ntrain: {steps: 2, batch: 4, rate: 0.01, rule: gradient}\n";
    let streams = "tokens: {streams: {main: {d_model: 3}, target: {d_model: 3, clock: main}}, mask: causal}";
    let text =
        THREE.replace("tokens: {d_model: 3, mask: causal, input: {gaussian: {length: 4}}}", streams) + task;
    fs::write(dir.path().join("learn.yaml"), text).expect("written");
    let array = |x: f64, shape: [usize; 3]| {
        let mut data = vec![0.5; shape.iter().product()];
        data[7] = x;
        Array { shape: shape.to_vec(), data, dtype: Dtype::F64 }
    };
    type Row<'a> = (&'a [(&'a str, f64, [usize; 3])], &'a str);
    let rows: &[Row<'_>] = &[
        (&[("x", f64::NAN, [10, 4, 3]), ("t", 0.0, [10, 4, 3])], "F010"),
        (&[("x", f64::INFINITY, [10, 4, 3]), ("t", 0.0, [10, 4, 3])], "F010"),
        (&[("y", 0.0, [10, 4, 3]), ("t", 0.0, [10, 4, 3])], "F008"),
        (&[("x", 0.0, [10, 4, 2]), ("t", 0.0, [10, 4, 3])], "F009"),
        (&[("x", 0.0, [10, 4, 3]), ("t", f64::NAN, [10, 4, 3])], "F010"),
    ];
    for (arrays, code) in rows {
        let all: Vec<(String, Array)> =
            arrays.iter().map(|(n, x, shape)| ((*n).to_owned(), array(*x, *shape))).collect();
        write_npz(&dir.path().join("data.npz"), &all).expect("written");
        for verb in ["train", "validate"] {
            let (_, object) = json_in(dir.path(), &[verb, "learn.yaml"]);
            let found: Vec<&str> = object["diagnostics"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|d| d["code"].as_str())
                .collect();
            assert_eq!(found, [*code], "{verb}: {object}");
        }
    }
}

#[test]
fn native_tensors_behind_a_prefix_are_read_as_another_layout_and_said_so() {
    let dir = folder();
    let one = |shape: &[usize]| Array {
        shape: shape.to_vec(),
        data: vec![0.5; shape.iter().product()],
        dtype: Dtype::F64,
    };
    // 2 numbers, heads of 3 cells; natively 3 numbers and heads of 2.
    let names = [("W_Q", [1, 2, 3]), ("W_K", [1, 2, 3]), ("W_V", [1, 2, 3]), ("W_O", [1, 3, 2])];
    let save = |shapes: &[(&str, [usize; 3])]| {
        let tensors: Vec<(String, Array)> =
            shapes.iter().map(|(n, shape)| (format!("model.{n}"), one(shape))).collect();
        write_safetensors(&dir.path().join("m.safetensors"), &tensors, &[]).expect("written");
    };
    save(&names);
    let ran = run_in(dir.path(), &["import", "m.safetensors", "-o", "m.yaml", "--check"]);
    let verdict = ran.stdout.lines().find(|l| l.starts_with("equivalent")).unwrap_or_default();
    assert!(
        ran.code == 0 && verdict.contains("native axes would fit better"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    // Without one of them, what is lacking has a name.
    save(&names[..3]);
    let ran = run_in(dir.path(), &["import", "m.safetensors", "-o", "n.yaml"]);
    assert!(ran.code == 4 && ran.stderr.contains("W_O") && !ran.stderr.contains("lacks ;"), "{}", ran.stderr);
}

/// Mistakes that later stages of the library find know their line, without a program around them.
#[test]
fn errors_of_the_library_keep_their_lines() {
    let wire = |text: &str| {
        let document = spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
        circuit::wire(&document.spec, &document.folder)
    };
    let lines = |text: &str| -> Vec<(&'static str, Option<u32>)> {
        wire(text).expect_err("a mistake").0.iter().map(|d| (d.code, d.span.map(|s| s.line))).collect()
    };
    let skip = "projections:\n  skip: {from: Q, to: HO.basl, weights: identity}\n  more: {from: Qu, to: HO.basal, weights: identity}\noutput: HO";
    assert_eq!(lines(&THREE.replace("output: HO", skip)), [("C012", Some(12)), ("C010", Some(13))]);
    assert_eq!(lines(&THREE.replace("output: HO", "output: HA")), [("C010", Some(11))]);
    assert_eq!(
        lines(&THREE.replace("query: Q,", "query: X,")),
        [("C010", Some(10))],
        "where the template asked for it"
    );
    let swapped = THREE.replace("query: Q, context: C", "query: C, context: Q");
    if let Ok(circuit) = wire(&swapped) {
        let refused = compile::compile(&circuit).expect_err("no attention");
        assert!(refused.span.is_some(), "{refused}");
    }
    let spikes = include_str!("../../circuits/match_and_control.yaml").replace("output: ", "output: no_");
    let document = spec::read(spikes.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
    let refused = circuit::spikes(&document.spec).expect_err("no such output");
    assert!(refused.0.iter().all(|d| d.span.is_some()), "{refused}");
}

#[test]
fn only_memories_with_a_gate_are_offered_one() {
    let help = |text: &str| {
        let document = spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
        let found = circuit::wire(&document.spec, Path::new(".")).expect_err("a mistake");
        found.0.iter().find(|d| d.code == "C012").expect("C012").help.clone().unwrap_or_default()
    };
    let to = |target: &str| {
        THREE.replace(
            "output: HO",
            &format!("projections:\n  g: {{from: tonic, to: {target}, weights: ones}}\noutput: HO"),
        )
    };
    assert!(!help(&to("A.superficial.gat")).contains("`gate`"), "hebbian memories have none");
    assert!(!help(&to("HO.gat")).contains("`gate`"), "relays have none");
    let gated = to("A.superficial.gat").replace("d_v: 2}", "d_v: 2, memory: {gated: {}}}");
    assert!(help(&gated).contains("did you mean `gate`"));
}
