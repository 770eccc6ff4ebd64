//! `check` and `import` as a user runs them.

use crate::binary::{json_in, run_in, text};
use crate::support::root;
use crate::weights::fixture;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Imports a layer of the PyTorch fixtures to `NAME.yaml` in `folder`.
fn import(folder: &Path, name: &str, args: &[&str]) {
    let output = format!("{name}.yaml");
    let mut all = vec!["import"];
    all.extend(args);
    all.extend(["-o", &output]);
    let ran = run_in(folder, &all);
    assert_eq!(ran.code, 0, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
}

#[test]
fn the_verdict_is_right_in_both_directions() {
    let dir = folder();
    let here = dir.path();
    let (f64_, bf16, other) =
        (fixture("torch_f64.safetensors"), fixture("torch_bf16.safetensors"), fixture("gpt2.safetensors"));
    let (f64_, bf16, other) = (text(&f64_), text(&bf16), text(&other));
    import(here, "linear", &[f64_, "--heads", "2"]);
    import(here, "memory", &[f64_, "--heads", "2", "--circuit", "key-value-memory"]);
    import(here, "softmax", &[f64_, "--heads", "2", "--attention", "softmax", "--mask", "causal"]);
    let two: &[&str] = &["--heads", "2"];
    // circuit, file, more flags, exit code, method, part of the report
    let cases: &[(&str, &str, &[&str], i32, &str, &str)] = &[
        ("linear", f64_, &[], 0, "certificate_compensated", "for all inputs of all lengths"),
        ("memory", f64_, &[], 0, "certificate_compensated", "linear attention; full mask"),
        ("softmax", f64_, &[], 0, "probe", "softmax attention; causal mask"),
        ("linear", bf16, &[], 1, "certificate", "two unit tokens show it"),
        ("linear", bf16, &["--tolerance", "2"], 0, "certificate", "same function"),
        ("softmax", bf16, &[], 1, "probe", "QK and OV differ by"),
        ("linear", f64_, &["--mask", "causal"], 1, "certificate", "NOT equivalent"),
        ("softmax", f64_, &["--mask", "full"], 1, "probe", "full mask"),
        ("linear", f64_, &["--attention", "softmax"], 1, "probe", "NOT equivalent"),
        ("softmax", f64_, &["--attention", "linear"], 1, "probe", "linear head"),
        (
            "linear",
            f64_,
            &["--attention", "linear"],
            0,
            "certificate_compensated",
            "softmax of the same weights differs",
        ),
        ("linear", f64_, &["--select", "1,0"], 0, "certificate_compensated", "equivalent"),
        (
            "linear",
            f64_,
            &["--select", "1"],
            1,
            "certificate",
            "number of heads: 2 in the circuit, 1 in the file",
        ),
        ("linear", other, &["--prefix", "h.1"], 1, "certificate", "NOT equivalent"),
    ];
    for (circuit, file, more, code, method, says) in cases {
        let circuit = format!("{circuit}.yaml");
        let mut args = vec!["check", &circuit, "--against", file];
        args.extend(two);
        args.extend(*more);
        let ran = run_in(here, &args);
        assert_eq!(ran.code, *code, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(says), "{}: {}", ran.line, ran.stdout);
        let first = ran.stdout.lines().next().unwrap_or_default();
        assert!(first.starts_with(if *code == 0 { "equivalent:" } else { "NOT equivalent:" }), "{first}");
        let (json_code, object) = json_in(here, &args);
        assert_eq!((json_code, object["equivalent"].as_bool()), (*code, Some(*code == 0)), "{}", ran.line);
        assert_eq!(object["method"], *method, "{}", ran.line);
    }
}

#[test]
fn the_object_has_the_keys_that_scripts_read() {
    let dir = folder();
    let here = dir.path();
    let file = fixture("bert.safetensors");
    let layer = [text(&file), "--prefix", "encoder.layer.1", "--heads", "2"];
    import(here, "one", &layer);
    let check = |tail: &[&str]| {
        let mut args = vec!["check", "one.yaml", "--against"];
        args.extend(layer);
        args.extend(tail);
        json_in(here, &args)
    };
    let (code, same) = check(&[]);
    assert_eq!((code, &same["schema"]), (0, &Value::from("pulvinar.check/1")));
    for key in [
        "equivalent",
        "relative_distance",
        "tolerance",
        "method",
        "max_abs_error",
        "max_rel_error",
        "heads",
        "witness",
    ] {
        assert!(same.get(key).is_some(), "{key}: {same}");
    }
    assert!(same["witness"].is_null() && same["relative_distance"].as_f64().unwrap() < 1e-13);
    let heads = same["heads"].as_array().expect("a list");
    assert_eq!(heads.len(), 2);
    for key in
        ["head", "against", "relative_distance", "max_abs_error", "max_rel_error", "dtype", "qk_cosine"]
    {
        assert!(heads.iter().all(|h| h.get(key).is_some()), "{key}: {heads:?}");
    }
    // Another layer: a witness that anyone can run.
    let other = [text(&file), "--prefix", "encoder.layer.0", "--heads", "2"];
    let mut args = vec!["check", "one.yaml", "--against"];
    args.extend(other);
    let (code, apart) = json_in(here, &args);
    assert_eq!(code, 1);
    let witness = &apart["witness"];
    let (predicted, measured) =
        (witness["predicted"].as_f64().unwrap(), witness["measured"].as_f64().unwrap());
    assert!(predicted > 0.0 && (predicted / measured - 1.0).abs() < 1e-9, "{witness}");
    let tokens = witness["streams"]["main"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 2);
    assert!(apart["expected_squared_gap"]["mean"].as_f64().unwrap() > 0.0);
    // Tokens of one's own.
    fs::write(here.join("t.csv"), "1,2,3,4,5,6,7,8\n8,7,6,5,4,3,2,1\n").expect("written");
    let width = same["heads"].as_array().map_or(0, Vec::len);
    assert_eq!(width, 2);
    let (code, ran) = check(&["--tokens", "t.csv"]);
    assert!(code == 4 || ran["ran_on"][0] == "t.csv", "{ran}");
}

#[test]
fn every_compiled_circuit_is_the_function_of_its_heads() {
    let dir = folder();
    let here = dir.path();
    let mut compared = 0;
    for path in crate::support::shipped() {
        let circuit = text(&path);
        let ran = run_in(here, &["compile", circuit, "-o", "h.safetensors"]);
        if ran.code != 0 {
            assert!(ran.stderr.contains("F012"), "{}: {}", ran.line, ran.stderr);
            continue;
        }
        let (code, object) = json_in(here, &["check", circuit, "--against", "h.safetensors"]);
        assert_eq!(code, 0, "{circuit}: {object}");
        let of = object["block"]["of"].as_u64().expect("a number");
        for block in 1..=of {
            let block = block.to_string();
            let (code, object) =
                json_in(here, &["check", circuit, "--against", "h.safetensors", "--block", &block]);
            assert_eq!(code, 0, "{circuit} {block}: {object}");
        }
        compared += 1;
    }
    assert!(compared >= 18, "{compared}");
}

#[test]
fn exact_arithmetic_finds_a_true_zero() {
    let dir = folder();
    let here = dir.path();
    let circuit = fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("shipped");
    let whole = |seed: u64| {
        let mut text = String::new();
        for line in circuit.lines() {
            // Small whole numbers in place of draws.
            let rows = |r: usize, c: usize| -> String {
                let row = |i: usize| {
                    (0..c)
                        .map(|j| (((i * 7 + j * 3 + seed as usize) % 5) as i64 - 2).to_string())
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                format!(
                    "{{values: [{}]}}",
                    (0..r).map(|i| format!("[{}]", row(i))).collect::<Vec<_>>().join(", ")
                )
            };
            let (r, c) = if line.trim_start().starts_with("W_O") { (8, 4) } else { (4, 8) };
            text += &(line.replace("{normal: {fan_in: 1}}", &rows(r, c)) + "\n");
        }
        text
    };
    fs::write(here.join("a.yaml"), whole(0)).expect("written");
    fs::write(here.join("b.yaml"), whole(1)).expect("written");
    for (file, zero) in [("a", true), ("b", false)] {
        let ran = run_in(here, &["compile", &format!("{file}.yaml"), "-o", "h.safetensors"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let (code, object) = json_in(here, &["check", "a.yaml", "--against", "h.safetensors", "--exact"]);
        assert_eq!(code, i32::from(!zero), "{object}");
        assert_eq!(object["exact_squared_distance"]["numerator"] == "0", zero, "{object}");
    }
    let ran = run_in(here, &["check", "a.yaml", "--against", "h.safetensors", "--exact"]);
    assert!(ran.stdout.contains("in exact arithmetic"), "{}", ran.stdout);
}

#[test]
fn an_import_says_where_everything_went() {
    let dir = folder();
    let here = dir.path();
    let file = fixture("bert.safetensors");
    let args = ["import", text(&file), "--prefix", "encoder.layer.1", "--heads", "2", "-o", "layer.yaml"];
    let ran = run_in(here, &args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for says in [
        "assumed: linear attention",
        "assumed: full mask",
        "layer.weights.safetensors",
        "H0_W_K",
        "areas H0, H1",
    ] {
        assert!(ran.stdout.contains(says), "{says}: {}", ran.stdout);
    }
    let yaml = fs::read_to_string(here.join("layer.yaml")).expect("written");
    assert!(yaml.contains("name: layer\n") && yaml.contains("path: layer.weights.safetensors"), "{yaml}");
    // Again: the same bytes, without being asked. A file of one's own is not replaced.
    let (code, object) = json_in(here, &args);
    assert_eq!(code, 0);
    assert_eq!(object["files"].as_array().map(Vec::len), Some(2), "{object}");
    assert_eq!(fs::read_to_string(here.join("layer.yaml")).expect("there"), yaml);
    fs::write(here.join("layer.yaml"), "mine\n").expect("written");
    let ran = run_in(here, &args);
    assert!(ran.code == 4 && ran.stderr.contains("F011"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(here.join("layer.yaml")).expect("there"), "mine\n");
    let mut forced = args.to_vec();
    forced.push("--force");
    assert_eq!(run_in(here, &forced).code, 0);
    // What validate and simulate make of it.
    assert_eq!(run_in(here, &["validate", "layer.yaml"]).code, 0);
    assert_eq!(run_in(here, &["simulate", "layer.yaml"]).code, 0);
}

#[test]
fn wrong_calls_are_answered() {
    let dir = folder();
    let here = dir.path();
    let bert = fixture("bert.safetensors");
    let bert = text(&bert);
    import(here, "ok", &[bert, "--prefix", "encoder.layer.1", "--heads", "2"]);
    fs::copy(root().join("circuits/decoder.yaml"), here.join("decoder.yaml")).expect("copied");
    let digits = root().join("tests/golden/transformer/model.safetensors");
    let digits = text(&digits);
    fs::write(here.join("cut.safetensors"), &fs::read(bert).expect("there")[..200]).expect("written");
    fs::write(here.join("huge.safetensors"), [0xff; 64]).expect("written");
    fs::write(here.join("bad.yaml"), "schema: pulvinar/1\nname: [").expect("written");
    let layer = ["--prefix", "encoder.layer.1", "--heads", "2"];
    // arguments, exit code, code, part of the message
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["import", "none.safetensors", "-o", "x.yaml"], 4, "F001", "none.safetensors"),
        (&["import", "cut.safetensors", "-o", "x.yaml"], 4, "F007", "cut.safetensors"),
        (&["import", "huge.safetensors", "-o", "x.yaml"], 4, "F007", "huge.safetensors"),
        (&["import", bert, "-o", "x.yaml"], 4, "F015", "--prefix"),
        (&["import", bert, "--prefix", "encoder.layer.1", "-o", "x.yaml"], 4, "F016", "--heads"),
        (
            &["import", bert, "--prefix", "encoder.layer.1", "--heads", "3", "-o", "x.yaml"],
            4,
            "F016",
            "divide",
        ),
        (
            &[
                "import",
                bert,
                "--prefix",
                "encoder.layer.1",
                "--heads",
                "2",
                "--select",
                "0,2",
                "-o",
                "x.yaml",
            ],
            4,
            "F015",
            "head 2",
        ),
        (&["import", bert, "--prefix", "encoder.layer.1", "--heads", "2", "-o", "x.txt"], 2, "U005", "x.txt"),
        (
            &[
                "import",
                bert,
                "--prefix",
                "encoder.layer.1",
                "--heads",
                "2",
                "--attention",
                "softmax",
                "--circuit",
                "key-value-memory",
                "-o",
                "x.yaml",
            ],
            4,
            "F012",
            "softmax",
        ),
        (&["import", "ok.weights.safetensors", "-o", "x.yaml"], 4, "F014", "H0_W_K"),
        (&["check", "ok.yaml", "--against", "none.safetensors"], 4, "F001", "none.safetensors"),
        (&["check", "ok.yaml", "--against", bert], 4, "F015", "--prefix"),
        (&["check", "none.yaml", "--against", bert], 4, "F001", "none.yaml"),
        (&["check", "bad.yaml", "--against", bert], 3, "Y003", "bad.yaml"),
        (&["check", "ok.yaml"], 2, "U005", "--against"),
        (&["check", "ok.yaml", "--gradients"], 2, "U004", "gradients"),
        (&["check", "ok.yaml", "--against", bert, "--tolerance", "-1"], 2, "U005", "tolerance"),
        (
            &["check", "ok.yaml", "--against", digits, layer[0], layer[1], layer[2], layer[3]],
            1,
            "R004",
            "wide",
        ),
        (
            &[
                "check",
                "decoder.yaml",
                "--against",
                bert,
                "--block",
                "9",
                layer[0],
                layer[1],
                layer[2],
                layer[3],
            ],
            2,
            "U005",
            "2 blocks",
        ),
        (
            &[
                "check",
                "ok.yaml",
                "--against",
                bert,
                "--tokens",
                "none.csv",
                layer[0],
                layer[1],
                layer[2],
                layer[3],
            ],
            4,
            "F001",
            "none.csv",
        ),
    ];
    for (args, code, name, says) in cases {
        let ran = run_in(here, args);
        assert_eq!(ran.code, *code, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
        if *name != "U005" {
            assert!(ran.stderr.contains(name), "{}: {}", ran.line, ran.stderr);
        }
        assert!(ran.stderr.contains(says), "{}: {}", ran.line, ran.stderr);
        assert!(ran.stdout.is_empty(), "{}: {}", ran.line, ran.stdout);
        let (json_code, object) = json_in(here, args);
        assert_eq!(
            (json_code, &object["diagnostics"][0]["code"]),
            (*code, &Value::from(*name)),
            "{}",
            ran.line
        );
        assert!(
            !here.join("x.yaml").exists() && !here.join("x.weights.safetensors").exists(),
            "{}",
            ran.line
        );
    }
}

#[test]
fn a_circuit_of_several_masks_needs_to_be_told() {
    let dir = folder();
    let here = dir.path();
    let file = fixture("bert.safetensors");
    let layer = [text(&file), "--prefix", "encoder.layer.1", "--heads", "2"];
    import(here, "one", &layer);
    let yaml = fs::read_to_string(here.join("one.yaml")).expect("written");
    fs::write(here.join("two.yaml"), yaml.replace("  H1:\n", "  H1:\n    mask: strict\n")).expect("written");
    let mut args = vec!["check", "two.yaml", "--against"];
    args.extend(layer);
    let ran = run_in(here, &args);
    assert!(ran.code == 1 && ran.stderr.contains("R004") && ran.stderr.contains("--mask"), "{}", ran.stderr);
    args.extend(["--mask", "full"]);
    let ran = run_in(here, &args);
    assert!(ran.code == 1 && ran.stdout.starts_with("NOT equivalent"), "{}{}", ran.stdout, ran.stderr);
    // A native file states them.
    assert_eq!(run_in(here, &["compile", "two.yaml", "-o", "h.safetensors"]).code, 0);
    let ran = run_in(here, &["check", "two.yaml", "--against", "h.safetensors"]);
    assert!(ran.code == 0 && ran.stdout.contains("mixed mask"), "{}{}", ran.stdout, ran.stderr);
}
