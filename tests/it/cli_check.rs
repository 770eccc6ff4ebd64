//! `check` and `import` as a user runs them.

use crate::binary::{json_in, run_in, text};
use crate::support::root;
use crate::weights::fixture;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Imports a layer of the PyTorch fixtures to `NAME.yaml` in `folder`.
pub fn import(folder: &Path, name: &str, args: &[&str]) {
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
    import(here, "linear", &[f64_, "--heads", "2", "--attention", "linear"]);
    let memory = ["--attention", "linear", "--circuit", "key-value-memory"];
    import(here, "memory", &[&[f64_, "--heads", "2"], &memory[..]].concat());
    import(here, "softmax", &[f64_, "--heads", "2", "--attention", "softmax", "--mask", "causal"]);
    let two: &[&str] = &["--heads", "2"];
    /// Circuit, file, more flags, exit code, method, part of the report.
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], i32, &'a str, &'a str);
    let cases: &[Case] = &[
        ("linear", f64_, &[], 0, "certificate_compensated", "for all inputs of all lengths"),
        (
            "memory",
            f64_,
            &[],
            0,
            "certificate_compensated",
            "assumed: the attention is linear, as in the circuit\n  assumed: queries and keys pass no feature map\n  assumed: the mask is full, as in the circuit",
        ),
        (
            "softmax",
            f64_,
            &[],
            0,
            "probe",
            "(add_zero_attn), the mask is causal and queries and keys come from one stream: softmax.yaml",
        ),
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
        assert!(first.starts_with(if *code == 0 { "equivalent if " } else { "NOT equivalent:" }), "{first}");
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
    import(here, "one", &[&layer[..], &["--attention", "linear"]].concat());
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
        "conditional",
        "assumed",
        "not_read",
        "ignored",
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

/// One projection changed: it is named with its line.
#[test]
fn the_projection_at_fault_is_named() {
    let dir = folder();
    let here = dir.path();
    let file = fixture("bert.safetensors");
    let layer = [text(&file), "--prefix", "encoder.layer.1", "--heads", "2"];
    let cases = [
        ("one", &[][..], "H1_W_K", "tensor: H1_W_K}}", "weights: {rank: {of: 2, std: 0.5}}", "W_K"),
        ("two", &[][..], "H0_W_Q", "H0_W_Q}}", "H0_W_Q}}, gain: 1.5", "W_Q"),
        ("three", &["--attention", "softmax"][..], "H0_b_Q", "H0_b_Q}}", "H0_b_Q}}, gain: 1.5", "W_Q"),
        (
            "four",
            &["--attention", "linear", "--circuit", "key-value-memory"][..],
            "H1_b_V",
            "H1_b_V}}",
            "H1_b_V}}, gain: -1",
            "W_V",
        ),
    ];
    for (name, more, projection, from, to, matrix) in cases {
        let mut args = layer.to_vec();
        args.extend(more);
        import(here, name, &args);
        let path = here.join(format!("{name}.yaml"));
        let yaml = fs::read_to_string(&path).expect("written");
        let line =
            yaml.lines().position(|l| l.trim_start().starts_with(&format!("{projection}:"))).expect("there")
                + 1;
        let changed = if to.starts_with("weights") {
            let old = yaml
                .lines()
                .nth(line - 1)
                .and_then(|l| l.find("weights:").map(|i| &l[i..]))
                .expect("weights");
            yaml.replace(old, &format!("{to}}}"))
        } else {
            yaml.replace(from, to)
        };
        assert_ne!(changed, yaml, "{name}");
        fs::write(&path, changed).expect("written");
        let circuit = format!("{name}.yaml");
        let mut args = vec!["check", &circuit, "--against"];
        args.extend(layer);
        let ran = run_in(here, &args);
        assert_eq!(ran.code, 1, "{}: {}", ran.line, ran.stderr);
        let said = ran.stdout.lines().find(|l| l.contains("alone makes the difference")).unwrap_or_default();
        let place = format!("{projection} (line {line})");
        assert!(said.contains(&place) && said.contains(matrix), "{name}: {place}\n{}", ran.stdout);
        let (_, object) = json_in(here, &args);
        let blamed: Vec<&Value> =
            object["heads"].as_array().expect("heads").iter().map(|h| &h["blame"][0]).collect();
        let found = blamed.iter().any(|b| {
            b["projections"]
                .as_array()
                .is_some_and(|l| l.iter().any(|p| p["name"] == projection && p["line"] == line))
        });
        assert!(found, "{name}: {blamed:?}");
    }
}

#[test]
fn every_compiled_circuit_is_the_function_of_its_heads() {
    let dir = folder();
    let here = dir.path();
    let mut compared = 0;
    for path in crate::support::shipped() {
        let circuit = text(&path);
        let ran = run_in(here, &["compile", circuit, "-o", "h.safetensors", "--force"]);
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
        let ran = run_in(here, &["compile", &format!("{file}.yaml"), "-o", "h.safetensors", "--force"]);
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
        "assumed: the attention is softmax",
        "assumed: the mask is full",
        "not read: encoder.layer.1.attention.output.LayerNorm.bias",
        "model.get_submodule(\"encoder.layer.1.attention.self.query\").register_forward_hook(",
        "pulvinar check layer.yaml --tokens x.npy --outputs y.npy",
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
