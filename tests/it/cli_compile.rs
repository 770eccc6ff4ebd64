//! `new`, `validate` and `compile`: the contract's keys, starters, heads files.

use crate::binary::{command, json, json_in, run, run_in, text};
use crate::support::{load, root, shipped};
use pulvinar::compile::compile;
use pulvinar::weights::{read_heads, write_heads};
use serde_json::Value;
use std::fs;

const BLOCK: [&str; 9] = [
    "d_model",
    "heads",
    "kernel",
    "lateral_singular_values",
    "mask",
    "memory",
    "normalisation",
    "relay",
    "residual",
];
const HEAD: [&str; 15] = [
    "area",
    "context_stream",
    "d_key",
    "d_value",
    "decay",
    "exponent",
    "kernel",
    "lateral_singular_value",
    "mask",
    "memory",
    "normalisation",
    "query_stream",
    "scale",
    "strength",
    "value_stream",
];

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("a map").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn name_of(file: &std::path::Path) -> String {
    file.file_stem().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn compile_reports_every_key_of_the_contract() {
    for file in shipped() {
        let (code, object) = json(&["compile", text(&file)]);
        let name = name_of(&file);
        assert_eq!(code, 0, "{name}: {object}");
        assert_eq!(object["name"], name);
        let blocks = object["blocks"].as_array().expect("blocks");
        assert!(!blocks.is_empty(), "{name}");
        for block in blocks {
            assert_eq!(keys(block), BLOCK, "{name}");
            let heads = block["heads"].as_array().expect("heads");
            for head in heads {
                assert_eq!(keys(head), HEAD, "{name}");
                assert!(head["strength"].as_f64().is_some_and(|s| s > 0.0), "{name}: {head}");
                let decays = head["memory"] == "decay";
                assert_eq!(head["decay"].is_number(), decays, "{name}: {head}");
            }
            for key in ["mask", "kernel", "normalisation", "memory"] {
                let mut all: Vec<&Value> = heads.iter().map(|h| &h[key]).collect();
                all.dedup();
                let want = match all[..] {
                    [] => "none",
                    [one] => one.as_str().expect("a word"),
                    _ => "mixed",
                };
                assert_eq!(block[key], want, "{name}: {key}");
            }
        }
        for key in BLOCK {
            assert_eq!(
                object[key],
                blocks[blocks.len() - 1][key],
                "{name}: the top repeats the output block"
            );
        }
    }
}

#[test]
fn what_heads_do_not_share_is_mixed() {
    let (_, object) = json(&["compile", "circuits/template_heads.yaml"]);
    for (key, want) in
        [("mask", "causal"), ("kernel", "mixed"), ("normalisation", "mixed"), ("memory", "mixed")]
    {
        assert_eq!(object[key], want, "{key}");
    }
    let kinds: Vec<String> = object["heads"]
        .as_array()
        .expect("heads")
        .iter()
        .map(|h| {
            format!("{} {} {} {}", h["area"], h["kernel"], h["normalisation"], h["memory"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        kinds,
        ["A1 linear none none", "A2 linear none none", "A3 exp sum none", "A4 linear none decay"]
    );
}

#[test]
fn a_stage_or_an_explanation_is_part_of_the_one_object() {
    let file = "circuits/rank_two_lateral.yaml";
    for stage in ["spec", "graph", "factors", "heads", "dot"] {
        let plain = run(&["compile", file, "--emit", stage]).stdout;
        let (code, object) = json(&["compile", file, "--emit", stage]);
        assert_eq!(
            (code, object["emit"].as_str(), object["text"].as_str()),
            (0, Some(stage), Some(plain.as_str()))
        );
    }
    let (_, object) = json(&["compile", file, "--explain"]);
    let plain = run(&["compile", file, "--explain"]).stdout;
    assert!(plain.ends_with(object["explain"].as_str().expect("text")), "{object}");
    assert_eq!(object["heads"].as_array().map(Vec::len), Some(2), "beside the report");
}

#[test]
fn unmet_expectations_come_with_the_report() {
    let dir = tempfile::tempdir().expect("a folder");
    let yaml = fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("there");
    fs::write(dir.path().join("c.yaml"), yaml.replace("count: 1", "count: 3")).expect("written");
    let (code, object) = json_in(dir.path(), &["compile", "c.yaml"]);
    assert_eq!((code, &object["ok"]), (1, &Value::Bool(false)));
    assert_eq!(object["heads"].as_array().map(Vec::len), Some(1));
    assert_eq!(object["diagnostics"][0]["path"], "expect.heads.count");
    let ran = run_in(dir.path(), &["compile", "c.yaml", "-o", "h.safetensors"]);
    assert!(ran.code == 1 && ran.stdout.contains("1 head in 1 block"), "{}", ran.stdout);
    assert!(dir.path().join("h.safetensors").exists(), "the heads are there to be looked at");
}

#[test]
fn validate_reports_each_file() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("bad.yaml"), "schema: pulvinar/1\nnome: x\n").expect("written");
    let good = root().join("circuits/one_microcolumn.yaml");
    let (code, object) = json_in(dir.path(), &["validate", text(&good), "bad.yaml"]);
    assert_eq!(code, 3);
    let oks: Vec<_> = object["files"].as_array().expect("files").iter().map(|f| f["ok"].as_bool()).collect();
    assert_eq!(oks, [Some(true), Some(false)]);
    let list = object["diagnostics"].as_array().expect("all of them");
    assert!(list.len() >= 4 && list.iter().all(|d| d["file"] == "bad.yaml"), "{object}");
    let all: Vec<String> = crate::support::every_shipped().iter().map(|f| text(f).to_owned()).collect();
    let mut args = vec!["validate"];
    args.extend(all.iter().map(String::as_str));
    let ran = run(&args);
    assert_eq!((ran.code, ran.stdout.matches(": valid\n").count()), (0, all.len()), "{}", ran.stderr);
}

#[test]
fn parameters_change_shapes() {
    let file = "circuits/one_head_attention_mask.yaml";
    let (_, object) = json(&["compile", file, "--set", "d_k=6", "--set", "d_v=2"]);
    assert_eq!((&object["heads"][0]["d_key"], &object["heads"][0]["d_value"]), (&6.into(), &2.into()));
    let (_, object) = json(&["compile", file, "--set", "d_k=6", "--set", "d_k=7"]);
    assert_eq!(object["heads"][0]["d_key"], 7, "the last one counts");
    let (_, object) = json(&["simulate", file, "--set", "d=5"]);
    assert_eq!(object["output_shape"], serde_json::json!([16, 5]));
    let (code, object) = json(&["compile", file, "--set", "d_k=four"]);
    assert_eq!((code, &object["diagnostics"][0]["code"]), (3, &"S002".into()), "{object}");
}

#[test]
fn every_starter_is_written_valid_and_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, list) = json(&["new"]);
    let names: Vec<&str> = list["templates"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t["name"].as_str().expect("a name"))
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        let file = format!("{name}.yaml");
        let (code, object) = json_in(dir.path(), &["new", name, "-o", &file]);
        assert_eq!((code, &object["files"][0]), (0, &Value::from(file.as_str())));
        let written = fs::read_to_string(dir.path().join(&file)).expect("written");
        assert_eq!(run(&["new", name]).stdout, written, "{name}: the same on stdout");
        assert!(written.starts_with('#'), "{name}: a starter is commented");
        let spiking = name == "match_and_control";
        for verb in ["validate", "compile", "simulate"] {
            let ran = run_in(dir.path(), &[verb, &file]);
            let want = if spiking && verb == "compile" { 3 } else { 0 };
            assert_eq!(ran.code, want, "{name} {verb}: {}", ran.stderr);
        }
        let again = run_in(dir.path(), &["new", "dale_head", "-o", &file]);
        assert!(again.code == 4 && again.stderr.contains("F011"), "{name}: {}", again.stderr);
        assert_eq!(fs::read_to_string(dir.path().join(&file)).expect("still there"), written);
        let forced = run_in(dir.path(), &["new", "dale_head", "-o", &file, "--force"]);
        assert_eq!(forced.code, 0, "{name}");
        assert_eq!(
            fs::read_to_string(dir.path().join(&file)).expect("there"),
            run(&["new", "dale_head"]).stdout
        );
    }
}

/// What the form cannot hold, and what the message says of it.
const REFUSED: [(&str, &str); 2] =
    [("feature_map_memory", "feature-map kernel"), ("gated_memory", "gated memory")];

#[test]
fn heads_files_read_back_bit_for_bit_or_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, again) = (dir.path().join("heads.safetensors"), dir.path().join("again.safetensors"));
    for file in shipped() {
        let name = name_of(&file);
        let before = fs::read(&path).ok();
        let ran = run(&["compile", text(&file), "-o", text(&path), "--force"]);
        if let Some((_, what)) = REFUSED.iter().find(|(n, _)| *n == name) {
            assert_eq!(ran.code, 4, "{name}: {}", ran.stderr);
            for word in ["F012", "head 0 (area `A1`)", what] {
                assert!(ran.stderr.contains(word), "{name}: {word}\n{}", ran.stderr);
            }
            assert!(before.is_some() && fs::read(&path).ok() == before, "{name}: the earlier file is whole");
            continue;
        }
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let (_, circuit) = load(&file);
        let want = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}")).plain_blocks();
        let got = read_heads(&path).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert!(got == want, "{name}: blocks differ");
        // Equal numbers may differ in the sign of zero; equal bytes may not.
        write_heads(&again, &got).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert!(
            fs::read(&again).expect("written") == fs::read(&path).expect("written"),
            "{name}: bytes differ"
        );
    }
}

#[test]
fn the_output_file_receives_what_emit_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let args = |stage: &'static str| ["compile", "circuits/decoder.yaml", "--emit", stage];
    let fits = [
        ("spec", "a.yaml"),
        ("spec", "b.YML"),
        ("graph", "g.txt"),
        ("factors", "f.txt"),
        ("heads", "h.txt"),
        ("dot", "d.dot"),
        ("dot", "d.gv"),
        ("svg", "s.svg"),
    ];
    for (stage, name) in fits {
        let ran = run(&[&args(stage)[..], &["-o", text(&at(name))]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{stage} {name}: {}", ran.stderr);
        assert_eq!(ran.stderr, format!("wrote {}\n", at(name).display()));
        let printed = run(&args(stage)).stdout;
        assert_eq!(fs::read_to_string(at(name)).expect("written"), printed, "{stage}");
        // stdout by its two names; of heads it gets the bytes (below).
        for out in ["-", "/dev/stdout"].into_iter().filter(|_| stage != "heads") {
            assert_eq!(run(&[&args(stage)[..], &["-o", out]].concat()).stdout, printed, "{stage} {out}");
        }
    }
    for with in [&["--emit", "heads"][..], &[]] {
        let (path, plain) = (at("h.safetensors"), ["compile", "circuits/decoder.yaml", "-o"]);
        let ran = run(&[&plain[..], &[text(&path), "--force"], with].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(read_heads(&path).is_ok(), "{with:?}");
        // Bytes that are no text go through stdout, too.
        let piped = command(root(), &[&plain[..], &["-"], with].concat()).output().expect("ran");
        assert!(piped.stdout == fs::read(&path).expect("written"), "{with:?}");
    }
    // An ending that does not fit is refused before anything is written, by any of these names.
    let not: &[(&[&str], &str)] = &[
        (&[], "heads.npz"),
        (&[], "heads"),
        (&[], "heads.yaml"),
        (&["--emit", "svg"], "mine.pdf"),
        (&["--emit", "svg"], "h2.safetensors"),
        (&["--emit", "dot"], "g.svg"),
        (&["--emit", "spec"], "s.json"),
        (&["--emit", "graph"], "g.dot"),
        (&["--emit", "factors"], "f.csv"),
        (&["--emit", "heads"], "h.npz"),
    ];
    for (emit, name) in not {
        let ran = run(&[&["compile", "circuits/decoder.yaml", "-o", text(&at(name))], *emit].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{emit:?} {name}");
        assert!(ran.stderr.contains("U007") && ran.stderr.contains("possible: `."), "{}", ran.stderr);
        assert!(!at(name).exists(), "{emit:?} {name}");
    }
    // What exists stays unless it is to be replaced; a device is no file.
    let kept = fs::read(at("d.dot")).expect("there");
    let again = [&args("dot")[..], &["-o"]].concat();
    let ran = run(&[&again[..], &[text(&at("d.dot"))]].concat());
    assert!(ran.code == 4 && ran.stderr.contains("F011") && ran.stderr.contains("--force"), "{}", ran.stderr);
    assert!(fs::read(at("d.dot")).expect("there") == kept);
    assert_eq!(run(&[&again[..], &[text(&at("d.dot")), "--force"]].concat()).code, 0);
    assert_eq!(run(&[&again[..], &["/dev/null"]].concat()).code, 0);
    let full = run(&[&again[..], &["/dev/full"]].concat());
    assert!(full.code == 4 && full.stderr.contains("F004"), "{}", full.stderr);
}

#[test]
fn dale_prints_a_circuit_and_says_what_is_missing() {
    let signed = run(&["compile", "circuits/learning_feedback.yaml", "--dale"]);
    assert_eq!(signed.code, 0, "{}", signed.stderr);
    let missing: Vec<&str> = signed.stderr.lines().collect();
    assert_eq!(missing.len(), 3, "{}", signed.stderr);
    for (line, word) in missing.iter().zip(["TEACH, ERR", "err, fb_O, fb_A", "W_K, W_Q, W_V, W_O"]) {
        assert!(line.ends_with(&format!("{word}.")), "{line}");
        assert!(signed.stdout.contains(&format!("# {line}\n")), "{line} stands at the top, too");
    }
    let (code, object) = json(&["compile", "circuits/learning_feedback.yaml", "--dale"]);
    assert_eq!((code, object["text"].as_str()), (0, Some(signed.stdout.as_str())));
    assert_eq!(object["remarks"].as_array().map(Vec::len), Some(3));
    // What is printed is a circuit file; rewritten once more it is the same circuit.
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("dale.yaml");
    fs::write(&file, &signed.stdout).expect("written");
    let again = run(&["compile", text(&file), "--dale"]);
    let body =
        |text: &str| text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((again.code, body(&again.stdout)), (0, body(&signed.stdout)));
}

/// The matrices of `--emit heads --format json` are those of the compiled heads; what reads the JSON here may be a last bit off.
#[test]
fn emitted_heads_are_numbers() {
    let file = "circuits/multihead_cortico_thalamic.yaml";
    let (code, object) = json(&["compile", file, "--emit", "heads"]);
    assert_eq!(code, 0);
    let (_, circuit) = load(&root().join(file));
    let want = compile(&circuit).expect("compiles").plain_blocks();
    let matrix = |v: &Value| {
        let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).expect("rows of numbers");
        nalgebra::DMatrix::from_row_iterator(rows.len(), rows[0].len(), rows.into_iter().flatten())
    };
    let list = |v: &Value| -> Vec<f64> { serde_json::from_value(v.clone()).expect("numbers") };
    let same = |a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 2.0 * f64::EPSILON * y.abs()), "{a:?} {b:?}");
    };
    let blocks = object["blocks"].as_array().expect("blocks");
    assert_eq!(blocks.len(), want.len());
    for (block, want) in blocks.iter().zip(&want) {
        let heads = block["heads"].as_array().expect("heads");
        assert_eq!(heads.len(), want.heads.len());
        assert!(!heads.is_empty());
        for (head, want) in heads.iter().zip(&want.heads) {
            for (name, want) in
                [("W_Q", &want.w_q), ("W_K", &want.w_k), ("W_V", &want.w_v), ("W_O", &want.w_o)]
            {
                same(matrix(&head[name]).as_slice(), want.as_slice());
            }
            for (name, want) in [("b_Q", &want.b_q), ("b_K", &want.b_k), ("b_V", &want.b_v)] {
                same(&list(&head[name]), want.as_slice());
            }
        }
        same(&list(&block["b_O"]), want.b_o.as_slice());
        for path in &want.residual {
            same(matrix(&block["R"][&path.stream]).as_slice(), path.matrix.as_slice());
        }
        assert!(!want.residual.is_empty());
    }
    // Without `--emit` the answer stays short.
    let (_, short) = json(&["compile", file]);
    assert!(short["blocks"][0]["heads"][0].get("W_Q").is_none());
    assert_eq!(short["blocks"][0]["heads"][0]["strength"], blocks[0]["heads"][0]["strength"]);
}
