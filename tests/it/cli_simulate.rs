//! `simulate`: run directories, tokens from files, precision, seeds, threads.

use crate::binary::{json, json_in, text};
use crate::support::{root, shipped};
use nalgebra::DMatrix;
use pulvinar::files::{
    Array, list_arrays, read_array, read_tokens, write_csv, write_npy_array, write_npz, write_safetensors,
};
use pulvinar::seed::sha256_hex;
use pulvinar::spec;
use serde_json::{Value, json as value};
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn hash(args: &[&str]) -> String {
    let (code, object) = json(args);
    assert_eq!(code, 0, "{args:?}: {object}");
    object["output_sha256"].as_str().expect("a hash").to_owned()
}

/// The bytes that the hash is of: the numbers, token after token, little endian.
fn hash_of(array: &Array, single: bool) -> String {
    #[allow(clippy::cast_possible_truncation)]
    let bytes: Vec<u8> = if single {
        array.data.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()
    } else {
        array.data.iter().flat_map(|x| x.to_le_bytes()).collect()
    };
    sha256_hex(&bytes)
}

#[test]
fn run_directories_hold_the_run_and_run_again() {
    let dir = tempfile::tempdir().expect("a folder");
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        for precision in ["f64", "f32"] {
            let out = dir.path().join(format!("runs/{name}_{precision}"));
            let (code, object) =
                json(&["simulate", text(&file), "-o", text(&out), "--precision", precision, "--seed", "123"]);
            assert_eq!(code, 0, "{name}: {object}");
            let mut found: Vec<String> = fs::read_dir(&out)
                .expect("made")
                .map(|e| e.expect("readable").file_name().to_string_lossy().into_owned())
                .collect();
            found.sort();
            let want = [
                "circuit.yaml",
                "inputs.npz",
                "manifest.json",
                "output.npy",
                "report.html",
                "weights.safetensors",
            ];
            assert_eq!(found, want, "{name}: nothing else, no temporary files");
            let mut listed: Vec<&str> =
                object["files"].as_array().expect("files").iter().filter_map(Value::as_str).collect();
            listed.sort_unstable();
            assert_eq!(listed, want, "{name}");

            let output = read_array(&out.join("output.npy"), None).expect("readable");
            assert_eq!(object["output_shape"], value!(output.shape), "{name}");
            assert_eq!(object["output_sha256"], hash_of(&output, precision == "f32"), "{name}");
            let manifest: Value =
                serde_json::from_slice(&fs::read(out.join("manifest.json")).expect("there")).expect("JSON");
            let yaml = fs::read(out.join("circuit.yaml")).expect("there");
            for (key, want) in [
                ("pulvinar", value!(env!("CARGO_PKG_VERSION"))),
                ("circuit", value!(name)),
                ("circuit_sha256", value!(sha256_hex(&yaml))),
                ("seed", value!(123)),
                ("precision", value!(precision)),
                ("output_sha256", object["output_sha256"].clone()),
                ("output_shape", object["output_shape"].clone()),
            ] {
                assert_eq!(manifest[key], want, "{name}: {key}");
            }
            for key in ["threads", "parameters", "files", "tokens", "mode", "verb"] {
                assert!(!manifest[key].is_null(), "{name}: {key}");
            }
            let weights = list_arrays(&out.join("weights.safetensors")).expect("readable");
            let document = spec::read_file(&out.join("circuit.yaml"), &[]).expect("valid");
            assert_eq!(weights.len(), document.spec.projections.0.len(), "{name}");
            assert_eq!(document.spec.seed, 123, "{name}");

            let moved = dir.path().join("moved");
            fs::rename(&out, &moved).expect("moved");
            let (code, again) =
                json_in(dir.path(), &["simulate", "moved/circuit.yaml", "--precision", precision]);
            assert_eq!((code, &again["output_sha256"]), (0, &object["output_sha256"]), "{name}");
            fs::remove_dir_all(&moved).expect("removed");
        }
    }
}

#[test]
fn a_run_directory_carries_the_files_that_its_circuit_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let yaml = fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("there");
    let changed = yaml
        .replace("to: A1.superficial.basal,  weights: {normal: {fan_in: 1}}", "to: A1.superficial.basal, gain: 0.3, weights: {file: {path: in/q.npy}}")
        .replace("to: A1.superficial.apical, weights: {normal: {fan_in: 1}}", "to: A1.superficial.apical, weights: {plus_of: {weights: {file: {path: in/k.npz, tensor: b}}, draw: k}}")
        .replace("{gaussian: {length: 16}}", "{file: {path: in/x.csv}}");
    assert_eq!(changed.matches("file:").count(), 3);
    fs::create_dir(at("in")).expect("made");
    fs::write(at("c.yaml"), changed).expect("written");
    let numbers = |rows: usize, columns: usize, c: f64| {
        DMatrix::from_fn(rows, columns, |i, j| ((i * columns + j) as f64 * c).sin())
    };
    write_npy_array(&at("in/q.npy"), &Array::from_matrix(&numbers(4, 8, 0.7))).expect("written");
    let two = [("a", 0.1), ("b", 0.3)].map(|(n, c)| (n.to_owned(), Array::from_matrix(&numbers(4, 8, c))));
    write_npz(&at("in/k.npz"), &two).expect("written");
    write_csv(
        &at("in/x.csv"),
        &[] as &[&str],
        numbers(5, 8, 1.3).row_iter().map(|r| r.iter().copied().collect::<Vec<f64>>()),
    )
    .expect("written");
    let (code, first) = json_in(dir.path(), &["simulate", "c.yaml", "-o", "run"]);
    assert_eq!((code, &first["output_shape"]), (0, &value!([5, 8])), "{first}");
    assert!(first["files"].as_array().expect("files").contains(&value!("files.safetensors")), "{first}");
    fs::remove_dir_all(at("in")).expect("removed");
    fs::rename(at("run"), at("elsewhere")).expect("moved");
    let (code, again) = json_in(dir.path(), &["simulate", "elsewhere/circuit.yaml"]);
    assert_eq!((code, &again["output_sha256"]), (0, &first["output_sha256"]), "{again}");
    // Never over itself: what is read is not replaced.
    let (code, again) =
        json_in(dir.path(), &["simulate", "elsewhere/circuit.yaml", "-o", "elsewhere", "--force"]);
    assert_eq!((code, &again["diagnostics"][0]["code"]), (4, &value!("F020")), "{again}");
    let (_, again) = json_in(dir.path(), &["simulate", "elsewhere/circuit.yaml"]);
    assert_eq!(again["output_sha256"], first["output_sha256"]);
}

#[test]
fn full_directories_are_refused_before_the_work_and_replaced_by_force() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("run");
    let args = ["simulate", "circuits/one_microcolumn.yaml", "-o", text(&out)];
    assert_eq!(json(&args).0, 0);
    let before = fs::read(out.join("output.npy")).expect("there");
    let mut seeded = args.to_vec();
    seeded.extend(["--seed", "9"]);
    let (code, object) = json(&seeded);
    assert_eq!((code, &object["diagnostics"][0]["code"]), (4, &value!("F011")));
    assert_eq!(fs::read(out.join("output.npy")).expect("there"), before, "untouched");
    seeded.push("--force");
    assert_eq!(json(&seeded).0, 0);
    assert_ne!(fs::read(out.join("output.npy")).expect("there"), before, "replaced");
}

#[test]
fn the_resolved_circuit_reads_back_as_the_same_circuit() {
    for file in crate::support::every_shipped() {
        let read = |p: &Path| spec::read_file(p, &[]).unwrap_or_else(|d| panic!("{}: {d}", p.display()));
        let first = read(&file);
        let yaml = spec::to_yaml(&first.spec);
        let again = spec::read(yaml.as_bytes(), &first.folder, &[])
            .unwrap_or_else(|d| panic!("{}: {d}\n{yaml}", file.display()));
        assert!(first.spec == again.spec, "{}:\n{yaml}", file.display());
        assert_eq!(spec::to_yaml(&again.spec), yaml, "{}", file.display());
    }
}

#[test]
fn tokens_in_four_formats_give_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let tokens = DMatrix::from_fn(8, 11, |i, j| ((i * 11 + j) as f64 * 0.37).sin() / 3.0);
    let array = Array::from_tokens(&tokens);
    let named = [("main".to_owned(), array.clone())];
    let many = [("other".to_owned(), Array::from_tokens(&(&tokens * 2.0))), named[0].clone()];
    write_npy_array(&at("x.npy"), &array).expect("written");
    write_npz(&at("x.npz"), &named).expect("written");
    write_npz(&at("many.npz"), &many).expect("written");
    write_safetensors(&at("x.safetensors"), &named, &[]).expect("written");
    write_csv(
        &at("x.csv"),
        &[] as &[&str],
        tokens.column_iter().map(|c| c.iter().copied().collect::<Vec<f64>>()),
    )
    .expect("written");
    let file = "circuits/one_head_attention_mask.yaml";
    let mut hashes = Vec::new();
    for name in ["x.npy", "x.npz", "many.npz", "x.safetensors", "x.csv"] {
        let path = at(name);
        let (code, object) = json(&["simulate", file, "--tokens", text(&path)]);
        assert_eq!((code, &object["output_shape"]), (0, &value!([11, 8])), "{name}: {object}");
        hashes.push(object["output_sha256"].clone());
        hashes.push(hash(&["simulate", file, "--tokens", &format!("main={}", text(&path))]).into());
    }
    let different: Vec<_> = hashes.iter().filter(|h| **h != hashes[0]).collect();
    assert!(different.is_empty(), "{hashes:?}");
    assert_ne!(hashes[0], hash(&["simulate", file]), "not the tokens of the circuit");

    // What was given is what the run directory runs again.
    let out = at("run");
    let (_, first) = json(&["simulate", file, "--tokens", text(&at("x.csv")), "-o", text(&out)]);
    assert_eq!(first["output_sha256"], hashes[0]);
    assert_eq!(hash(&["simulate", text(&out.join("circuit.yaml"))]), hashes[0]);
    assert_eq!(read_tokens(&out.join("inputs.npz"), Some("main")).expect("there"), tokens);
}

#[test]
fn each_stream_has_its_tokens() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("sounds.npy");
    let sounds = DMatrix::from_fn(6, 3, |i, j| ((i + 7 * j) as f64).cos());
    write_npy_array(&path, &Array::from_tokens(&sounds)).expect("written");
    let file = "circuits/cross_attention.yaml";
    let given = hash(&["simulate", file, "--tokens", &format!("sound={}", text(&path))]);
    assert_ne!(given, hash(&["simulate", file]));
    let (code, object) = json(&["simulate", file, "--tokens", &format!("vision={}", text(&path))]);
    assert_eq!((code, &object["diagnostics"][0]["code"]), (4, &value!("F009")), "{object}");
}

#[test]
fn seeds_change_the_numbers_and_repeat_them() {
    for file in shipped() {
        let file = text(&file);
        let own = hash(&["simulate", file]);
        assert_eq!(hash(&["simulate", file]), own, "{file}: the same twice");
        let one = hash(&["simulate", file, "--seed", "1001"]);
        assert_ne!(one, own, "{file}: another seed");
        assert_eq!(hash(&["simulate", file, "--seed", "1001"]), one, "{file}");
        assert_ne!(hash(&["simulate", file, "--seed", "18446744073709551615"]), one, "{file}");
    }
}

/// Eight heads of four kinds on 600 tokens of 64 numbers: enough work for threads to share.
fn large() -> String {
    let mut yaml = String::from(
        "schema: pulvinar/1\nname: large\nseed: 5\n\
         tokens: {d_model: 64, mask: causal, input: {gaussian: {length: 600, std: 0.3}}}\n\
         thalamus:\n  Q: {pathway: core, per: [query], cells: 64}\n  C: {pathway: matrix, per: [context], cells: 64}\n  \
         H: {pathway: core, per: [query], cells: 64}\nareas:\n",
    );
    let kinds = ["attention_mask_head", "broadcast_head", "softmax_head", "key_value_memory_head"];
    for (n, kind) in kinds.iter().chain(&kinds).enumerate() {
        let memory = if n == 7 { ", memory: {delta: {rate: 0.02}}" } else { "" };
        let _ = writeln!(
            yaml,
            "  A{n}: {{template: {{{kind}: {{query: Q, context: C, to: H, d_k: 8, d_v: 8{memory}}}}}}}"
        );
    }
    yaml + "projections: {skip: {from: Q, to: H.basal, weights: identity}}\noutput: H\n"
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("large.yaml");
    fs::write(&path, large()).expect("written");
    let mut files = shipped();
    files.push(path);
    for file in files {
        for precision in ["f64", "f32"] {
            let run = |n: &str| hash(&["simulate", text(&file), "--precision", precision, "--threads", n]);
            let one = run("1");
            for n in ["2", "3"] {
                assert_eq!(run(n), one, "{} in {precision} with {n} threads", file.display());
            }
        }
    }
}
