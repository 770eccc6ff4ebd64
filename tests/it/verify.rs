//! `verify`, and what checksums refuse.

use crate::binary::{json, json_in, run_in, text};
use crate::cli_train::folder_with;
use crate::support::root;
use serde_json::Value;
use std::fs;
use std::path::Path;

const SHORT: &str = "{steps: 6, batch: 4, optimiser: adam, rate: 0.001, evaluate: {every: 2, sequences: 4}}";

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("there");
    let mut all: Vec<String> =
        entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

fn trained() -> tempfile::TempDir {
    let dir = folder_with(SHORT);
    assert_eq!(run_in(dir.path(), &["train", "c.yaml", "-o", "run"]).code, 0);
    dir
}

/// Bits of a file that are flipped one at a time: some of every part.
fn bits(length: usize, of: usize) -> impl Iterator<Item = usize> {
    (0..of).map(move |k| (k * 8 * length / of + k * 7919) % (8 * length))
}

#[test]
fn every_flipped_bit_of_a_run_directory_is_found() {
    let dir = trained();
    let run = dir.path().join("run");
    let listed = names(&run);
    assert_eq!(listed.len(), 6, "{listed:?}");
    let mut tried = 0;
    for name in &listed {
        let whole = fs::read(run.join(name)).expect("there");
        for bit in bits(whole.len(), 16) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(run.join(name), &bytes).expect("written");
            let (code, object) = json_in(dir.path(), &["verify", "run"]);
            assert_eq!((code, &object["whole"]), (1, &Value::Bool(false)), "{name}, bit {bit}: {object}");
            // The page and the table are nothing that a training goes on from.
            if !["report.html", "metrics.csv"].contains(&name.as_str()) {
                let ran = run_in(dir.path(), &["train", "--resume", "run"]);
                assert_eq!(ran.code, 4, "{name}, bit {bit}: {}{}", ran.stdout, ran.stderr);
                assert!(ran.stderr.contains("error[F022]"), "{name}, bit {bit}: {}", ran.stderr);
            }
            tried += 1;
        }
        fs::write(run.join(name), &whole).expect("written");
    }
    assert_eq!(tried, 96);
    assert_eq!(run_in(dir.path(), &["verify", "run"]).code, 0);
    assert_eq!(run_in(dir.path(), &["train", "--resume", "run"]).code, 0);
}

/// A checkpoint vouches for itself, too: without the manifest a flipped bit is refused or has no effect.
#[test]
fn checkpoints_without_a_manifest_refuse_flipped_bits() {
    let dir = trained();
    let run = dir.path().join("run");
    fs::remove_file(run.join("manifest.json")).expect("there");
    let whole = fs::read(run.join("checkpoint.safetensors")).expect("there");
    let weights = fs::read(run.join("weights.safetensors")).expect("there");
    for bit in bits(whole.len(), 120) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(run.join("checkpoint.safetensors"), &bytes).expect("written");
        let ran = run_in(dir.path(), &["train", "--resume", "run"]);
        if ran.code == 0 {
            assert!(fs::read(run.join("checkpoint.safetensors")).expect("there") == whole, "bit {bit}");
            assert!(fs::read(run.join("weights.safetensors")).expect("there") == weights, "bit {bit}");
            fs::remove_file(run.join("manifest.json")).expect("there");
        } else {
            assert_eq!(ran.code, 4, "bit {bit}: {}", ran.stderr);
        }
    }
}

#[test]
fn other_verbs_refuse_damaged_run_directories() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let circuit = root().join("circuits/one_head_attention_mask.yaml");
    assert_eq!(run_in(dir.path(), &["simulate", text(&circuit), "-o", "first"]).code, 0);
    let again = ["simulate", text(&circuit), "--tokens", "first/output.npy", "-o", "run"];
    assert_eq!(run_in(dir.path(), &again).code, 0);
    assert_eq!(run_in(dir.path(), &["compile", text(&circuit), "-o", "h.safetensors"]).code, 0);
    let rows: &[(&str, &[&str])] = &[
        ("circuit.yaml", &["simulate", "run"]),
        ("circuit.yaml", &["compile", "run/circuit.yaml"]),
        ("circuit.yaml", &["validate", "run"]),
        ("circuit.yaml", &["check", "run", "--against", "h.safetensors"]),
        ("inputs.npz", &["simulate", "run"]),
        ("output.npy", &["simulate", text(&circuit), "--tokens", "run/output.npy"]),
        ("output.npy", &["simulate", text(&circuit), "--tokens", "run/output.npy", "--stream"]),
        ("manifest.json", &["simulate", "run"]),
    ];
    for (name, args) in rows {
        assert_eq!(run_in(dir.path(), args).code, 0, "{args:?}");
        let whole = fs::read(at("run").join(name)).expect("there");
        let mut bytes = whole.clone();
        // A digit, somewhere in the middle: still a file of its kind.
        let middle = bytes.len() * 2 / 3;
        let digit = bytes[middle..].iter().position(u8::is_ascii_digit).map_or(middle, |d| middle + d);
        bytes[digit] ^= 1;
        fs::write(at("run").join(name), &bytes).expect("written");
        let ran = run_in(dir.path(), args);
        assert_eq!(ran.code, 4, "{name}, {args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("error[F022]") && ran.stderr.contains(name), "{name}: {}", ran.stderr);
        fs::write(at("run").join(name), &whole).expect("written");
    }
    // Heads carry their own.
    let mut bytes = fs::read(at("h.safetensors")).expect("there");
    let last = bytes.len() - 3;
    bytes[last] ^= 4;
    fs::write(at("h.safetensors"), &bytes).expect("written");
    let ran = run_in(dir.path(), &["check", "run", "--against", "h.safetensors"]);
    assert!(ran.code == 4 && ran.stderr.contains("F022"), "{}", ran.stderr);
    assert_eq!(run_in(dir.path(), &["verify", "h.safetensors"]).code, 1);
}

#[test]
fn verify_says_what_is_whole_and_what_made_it() {
    let dir = trained();
    let run = dir.path().join("run");
    let (code, object) = json_in(dir.path(), &["verify", "run"]);
    assert_eq!(code, 0, "{object}");
    assert_eq!((&object["whole"], &object["checksums"]), (&Value::Bool(true), &Value::Bool(true)));
    let made = &object["made_by"];
    assert_eq!((&made["verb"], &made["steps"], &made["ended"]), (&"train".into(), &6.into(), &true.into()));
    assert_eq!(made["pulvinar"], env!("CARGO_PKG_VERSION"));
    for file in object["files"].as_array().expect("files") {
        let bytes = fs::read(run.join(file["name"].as_str().expect("a name"))).expect("there");
        assert_eq!(file["state"], "whole");
        assert_eq!(file["bytes"], bytes.len());
        assert_eq!(file["sha256"], pulvinar::seed::sha256_hex(&bytes));
    }
    let ran = run_in(dir.path(), &["verify", "run"]);
    assert!(ran.stdout.contains("verb train") && ran.stdout.ends_with("run: whole\n"), "{}", ran.stdout);

    let spoil: [(&str, &dyn Fn(), &str); 4] = [
        ("missing", &|| fs::remove_file(run.join("metrics.csv")).expect("there"), "`metrics.csv` is missing"),
        (
            "longer",
            &|| fs::write(run.join("metrics.csv"), b"1\n").expect("written"),
            "`metrics.csv` is changed",
        ),
        ("no manifest", &|| fs::remove_file(run.join("manifest.json")).expect("there"), "no manifest"),
        (
            "no JSON",
            &|| fs::write(run.join("manifest.json"), b"{\"pulvinar\": ").expect("written"),
            "manifest.json",
        ),
    ];
    for (claim, change, want) in spoil {
        change();
        let (code, object) = json_in(dir.path(), &["verify", "run"]);
        assert_eq!(code, 1, "{claim}: {object}");
        assert!(object["wrong"].to_string().contains(want), "{claim}: {object}");
    }
    // A manifest that leads elsewhere is none.
    fs::write(run.join("manifest.json"), "{\"pulvinar\": \"0.1.0\", \"files\": [\"../c.yaml\"]}")
        .expect("written");
    let (code, object) = json_in(dir.path(), &["verify", "run"]);
    assert!(code == 1 && object["wrong"].to_string().contains("../c.yaml"), "{object}");
    for (args, code) in [(["verify", "none"], 4), (["verify", "c.yaml"], 1), (["verify", "."], 1)] {
        assert_eq!(run_in(dir.path(), &args).code, code, "{args:?}");
    }
    let empty = tempfile::tempdir().expect("a folder");
    assert_eq!(run_in(empty.path(), &["verify", "."]).code, 1);
}

#[test]
fn files_of_older_versions_are_read_and_said() {
    let older = root().join("tests/older/0.1.0");
    for name in ["simulate", "interrupted", "spiking"] {
        let (code, object) = json(&["verify", text(&older.join(name))]);
        assert_eq!((code, &object["checksums"]), (0, &Value::Bool(false)), "{object}");
    }
    let ran = run_in(root(), &["simulate", text(&older.join("simulate"))]);
    assert!(ran.code == 0 && ran.stderr.contains("carries no checksum"), "{}", ran.stderr);
    // A training that was killed before there was a manifest.
    let killed = text(&older.join("killed")).to_owned();
    assert_eq!(run_in(root(), &["verify", &killed]).code, 1);
    let ran = run_in(root(), &["compile", &killed]);
    assert!(ran.code == 0 && ran.stderr.contains("carries no checksum"), "{}", ran.stderr);
    let ran = run_in(root(), &["verify", text(&older.join("heads.safetensors"))]);
    assert!(ran.code == 0 && ran.stderr.contains("without checksums"), "{}", ran.stderr);
}

/// States that no training can reach are refused whoever sealed them.
#[test]
fn impossible_checkpoints_are_refused() {
    use pulvinar::files::{Array, list_arrays, read_array, safetensors, write_safetensors};
    let dir = trained();
    let run = dir.path().join("run");
    fs::remove_file(run.join("manifest.json")).expect("there");
    let file = run.join("checkpoint.safetensors");
    let kept = fs::read(&file).expect("there");
    let tensors = || -> Vec<(String, Array)> {
        let all = list_arrays(&file).expect("readable");
        all.into_iter()
            .map(|e| (e.name.clone(), read_array(&file, Some(&e.name)).expect("readable")))
            .collect()
    };
    let rows: &[(&str, &str, f64, &str)] = &[
        ("weight.W_K", "", f64::NAN, "F010"),
        ("mean.W_K", "", f64::INFINITY, "F010"),
        ("square.W_Q", "", -1e-9, "F017"),
        ("metrics", "", 2.5, "F017"),
        ("metrics", "", -1.0, "F017"),
        ("metrics", "", f64::NAN, "F017"),
        ("", "step", 1e12, "F017"),
        ("", "step", -1.0, "F017"),
        ("", "loss", f64::NAN, "F017"),
        ("", "loss", f64::INFINITY, "F017"),
    ];
    for (tensor, key, number, want) in rows {
        fs::write(&file, &kept).expect("written");
        let mut all = tensors();
        let metadata = safetensors::open(&file).expect("whole").metadata();
        for (name, array) in &mut all {
            if name == tensor {
                array.data[0] = *number;
            }
        }
        let metadata: Vec<(String, String)> = metadata
            .into_iter()
            .map(|(k, v)| if k == *key { (k, format!("{number}")) } else { (k, v) })
            .collect();
        write_safetensors(&file, &all, &metadata).expect("written");
        let ran = run_in(dir.path(), &["train", "--resume", "run"]);
        assert_eq!(ran.code, 4, "{tensor}{key} {number}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(want), "{tensor}{key} {number}: {}", ran.stderr);
    }
    fs::write(&file, &kept).expect("written");
    assert_eq!(run_in(dir.path(), &["train", "--resume", "run"]).code, 0);
}

/// The hash of rounded numbers, taken here from the file that was written.
#[test]
fn the_fingerprint_is_of_numbers_rounded_to_nine_digits() {
    let dir = tempfile::tempdir().expect("a folder");
    let circuit = root().join("circuits/multihead_cortico_thalamic.yaml");
    let (code, object) = json_in(dir.path(), &["simulate", text(&circuit), "-o", "run"]);
    assert_eq!(code, 0, "{object}");
    let y = pulvinar::files::read_array(&dir.path().join("run/output.npy"), None).expect("readable");
    let mut bytes: Vec<u8> = Vec::new();
    for token in y.data.chunks(y.shape[1]) {
        let largest = token.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        // By decimal text, another way than the program's.
        let scientific = format!("{largest:.8e}");
        let order: i64 = scientific.split('e').nth(1).expect("an order").parse().expect("a number");
        bytes.extend(order.to_le_bytes());
        for x in token {
            let places = usize::try_from((8 - order).max(0)).expect("small");
            let digits = format!("{x:.places$}").replace('.', "");
            bytes.extend(digits.parse::<i64>().expect("digits").to_le_bytes());
        }
    }
    assert_eq!(object["output_fingerprint"], pulvinar::seed::sha256_hex(&bytes));
    let single = json_in(dir.path(), &["simulate", text(&circuit), "--precision", "f32"]).1;
    assert!(single["output_fingerprint"].is_null() && single["output_sha256"].is_string(), "{single}");
    // Streamed, in trials, and by cells there is one, too.
    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.path().join("run/manifest.json")).expect("there"))
            .expect("JSON");
    assert_eq!(manifest["output_fingerprint"], object["output_fingerprint"]);
    let tokens = dir.path().join("run/output.npy");
    let words = ["simulate", text(&circuit), "--tokens", text(&tokens)];
    let whole = json_in(dir.path(), &words).1;
    let stream = json_in(dir.path(), &[&words[..], &["--stream"]].concat()).1;
    assert_eq!(whole["output_fingerprint"], stream["output_fingerprint"]);
    assert!(whole["output_fingerprint"].is_string(), "{whole}");
}
