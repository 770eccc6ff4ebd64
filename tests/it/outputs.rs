//! `check --tokens --outputs`: circuits beside what PyTorch computed, layer by layer, and files that do not go together.

use super::binary::{json_in, run_in, text};
use super::cli_check::{folder, import};
use super::support::root;
use pulvinar::files::{Array, Dtype, read_array, write_npy_array};
use std::path::{Path, PathBuf};

fn recorded(name: &str, ending: &str) -> PathBuf {
    root().join(format!("tests/golden/recorded/{name}.{ending}"))
}

/// `x.npy`, `y.npy` and, if there is one, `context.npy` of a layer.
fn unpack(here: &Path, name: &str) -> bool {
    let mut crossed = false;
    for array in ["x", "y", "context"] {
        if let Ok(found) = read_array(&recorded(name, "npz"), Some(array)) {
            write_npy_array(&here.join(format!("{array}.npy")), &found).expect("written");
            crossed |= array == "context";
        }
    }
    crossed
}

/// Layer, how it is imported beside `--heads 2`, and the largest error of what it gives, over the largest output.
const LAYERS: &[(&str, &[&str], f64)] = &[
    ("bert", &[], 1e-13),
    ("roberta", &[], 1e-13),
    ("electra", &[], 1e-13),
    ("bert_cross", &[], 1e-13),
    ("gpt2", &[], 1e-13),
    // Its module computes the softmax in single precision, whatever the model's.
    ("gpt_neo", &[], 1e-5),
    ("opt", &["--mask", "causal"], 1e-13),
    ("bart_encoder", &[], 1e-13),
    ("bart_decoder", &["--mask", "causal"], 1e-13),
    ("bart_cross", &[], 1e-13),
    ("marian", &[], 1e-13),
    ("whisper", &[], 1e-13),
    ("clip_text", &["--mask", "causal"], 1e-13),
    ("clip_vision", &[], 1e-13),
    ("wav2vec2", &[], 1e-13),
    ("torch_self", &["--mask", "causal"], 1e-13),
    ("torch_cross", &[], 1e-13),
];

#[test]
fn layers_of_transformers_compute_what_pytorch_recorded() {
    for (name, how, limit) in LAYERS {
        let dir = folder();
        let here = dir.path();
        let crossed = unpack(here, name);
        let file = recorded(name, "safetensors");
        import(here, "c", &[&[text(&file), "--heads", "2"], *how].concat());
        let mut args = vec!["check", "c.yaml", "--outputs", "y.npy", "--tokens", "x.npy"];
        if crossed {
            args.extend(["--tokens", "context=context.npy"]);
        }
        let (code, object) = json_in(here, &args);
        assert_eq!((code, &object["equivalent"]), (0, &true.into()), "{name}: {object}");
        let error = object["max_rel_error"].as_f64().expect("a number");
        assert!(error <= *limit, "{name}: {error:e}");
        assert_eq!((&object["method"], &object["conditional"]), (&"outputs".into(), &false.into()), "{name}");
        assert_eq!(object["tolerance"].as_f64(), Some(1e-5), "{name}");
        assert_eq!(object["largest_output"].as_f64().map(|x| x > 0.1), Some(true), "{name}");
        let tokens = object["tokens"].as_array().expect("a list").len();
        let y = read_array(&here.join("y.npy"), None).expect("there");
        assert_eq!(tokens, y.shape[..2].iter().product::<usize>(), "{name}");
    }
}

/// What a reading of the file cannot see, recorded outputs do.
#[test]
fn a_layer_that_rotates_is_found_out() {
    let dir = folder();
    let here = dir.path();
    unpack(here, "llama");
    let file = recorded("llama", "safetensors");
    let how = [text(&file), "--heads", "2", "--mask", "causal", "--check", "-o", "c.yaml"];
    let ran = run_in(here, &[&["import"], &how[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let verdict = ran.stdout.lines().find(|l| l.starts_with("equivalent if ")).expect("a verdict");
    assert!(
        verdict.contains("there are no rotary positions, the scale is 1/sqrt(d_k) and queries"),
        "{verdict}"
    );
    let strict = run_in(here, &[&["import"], &how[..], &["--strict"]].concat());
    assert_eq!(strict.code, 1, "{}", strict.stdout);
    let args = ["check", "c.yaml", "--tokens", "x.npy", "--outputs", "y.npy"];
    let ran = run_in(here, &args);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.starts_with("NOT equivalent: c.yaml and y.npy on 10 tokens of x.npy\n"),
        "{}",
        ran.stdout
    );
    let (code, object) = json_in(here, &args);
    let error = object["max_rel_error"].as_f64().expect("a number");
    assert!(code == 1 && error > 0.05 && object["ok"] == false, "{object}");
    // The first token of a sequence is not rotated.
    let first = &object["tokens"][0];
    assert!(first["max_rel_error"].as_f64().is_some_and(|e| e < 1e-13), "{first}");
    // The scale makes a difference as well.
    let file = recorded("bert", "safetensors");
    unpack(here, "bert");
    import(here, "s", &[text(&file), "--heads", "2", "--scale", "0.25"]);
    assert_eq!(run_in(here, &["check", "s.yaml", "--tokens", "x.npy", "--outputs", "y.npy"]).code, 1);
}

#[test]
fn the_tolerance_is_of_the_largest_output() {
    let dir = folder();
    let here = dir.path();
    unpack(here, "opt");
    let file = recorded("opt", "safetensors");
    import(here, "c", &[text(&file), "--heads", "2", "--mask", "causal"]);
    let y = read_array(&here.join("y.npy"), None).expect("there");
    let largest = y.data.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for (off, tolerance, code) in [
        (0.9e-5, None, 0),
        (1.1e-5, None, 1),
        (1e-3, Some("1e-2"), 0),
        (1e-9, Some("1e-10"), 1),
        (1e-3, Some("0"), 1),
    ] {
        let mut moved = y.clone();
        // The smallest entry of all, so that its own size would tell another story.
        let at =
            (0..moved.data.len()).min_by(|a, b| y.data[*a].abs().total_cmp(&y.data[*b].abs())).expect("one");
        moved.data[at] += off * largest;
        write_npy_array(&here.join("z.npy"), &moved).expect("written");
        let mut args = vec!["check", "c.yaml", "--tokens", "x.npy", "--outputs", "z.npy"];
        args.extend(tolerance.map(|t| ["--tolerance", t]).into_iter().flatten());
        let (got, object) = json_in(here, &args);
        assert_eq!(got, code, "{off}: {object}");
        let d = y.shape[2];
        let worst = &object["worst"];
        let place = [worst["sequence"].as_u64(), worst["token"].as_u64(), worst["cell"].as_u64()];
        let flat = [at / d / y.shape[1], at / d % y.shape[1], at % d].map(|i| Some(i as u64));
        assert_eq!(place, flat, "{worst}");
    }
}

#[test]
fn files_that_do_not_go_together() {
    let dir = folder();
    let here = dir.path();
    unpack(here, "bert_cross");
    let file = recorded("bert_cross", "safetensors");
    import(here, "cross", &[text(&file), "--heads", "2"]);
    let file = recorded("bert", "safetensors");
    import(here, "own", &[text(&file), "--heads", "2"]);
    let save = |name: &str, shape: &[usize], x: f64| {
        let data = vec![x; shape.iter().product()];
        write_npy_array(&here.join(name), &Array { shape: shape.to_vec(), data, dtype: Dtype::F64 })
            .expect("written");
    };
    save("one.npy", &[5, 8], 0.5);
    save("three.npy", &[3, 5, 8], 0.5);
    save("narrow.npy", &[2, 5, 7], 0.5);
    save("short.npy", &[2, 4, 8], 0.5);
    save("none.npy", &[0, 8], 0.5);
    save("nothing.npy", &[2, 0, 8], 0.5);
    save("flat.npy", &[8], 0.5);
    save("deep.npy", &[1, 2, 5, 8], 0.5);
    save("nan.npy", &[2, 5, 8], f64::NAN);
    save("inf.npy", &[5, 8], f64::INFINITY);
    save("huge.npy", &[2, 5, 8], 1e200);
    std::fs::write(here.join("lfs.npy"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        .expect("written");
    let rows: &[(&str, &[&str], &str, i32, &str)] = &[
        ("own", &["x.npy"], "three.npy", 4, "3 sequences of outputs, 2 of tokens"),
        ("own", &["x.npy"], "one.npy", 4, "1 sequences of outputs, 2 of tokens"),
        ("own", &["x.npy"], "narrow.npy", 4, "5 outputs of 7 numbers, but the circuit gives 5 of 8"),
        ("own", &["x.npy"], "short.npy", 4, "4 outputs of 8 numbers, but the circuit gives 5 of 8"),
        ("own", &["x.npy"], "none.npy", 4, "nothing to compare with"),
        ("own", &["none.npy"], "none.npy", 4, "no tokens in an array of shape [0, 8]"),
        ("own", &["nothing.npy"], "nothing.npy", 4, "no tokens in an array of shape [2, 0, 8]"),
        ("own", &["x.npy"], "flat.npy", 4, "[batch, n_tokens, d]"),
        ("own", &["flat.npy"], "one.npy", 4, "of shape [8] holds no tokens"),
        ("own", &["deep.npy"], "one.npy", 4, "of shape [1, 2, 5, 8] holds no tokens"),
        ("own", &["x.npy"], "nan.npy", 4, "F010"),
        ("own", &["inf.npy"], "one.npy", 4, "F010"),
        ("own", &["x.npy"], "lfs.npy", 4, "git lfs pull"),
        ("own", &["x.npy"], "nowhere.npy", 4, "F001"),
        ("own", &["narrow.npy"], "y.npy", 4, "7"),
        ("own", &["huge.npy"], "y.npy", 1, "R001"),
        ("own", &["context=x.npy"], "y.npy", 2, "no stream `context`"),
        ("cross", &["x.npy"], "y.npy", 2, "nobody gave the tokens of stream `context`"),
        ("cross", &["x.npy", "context=three.npy"], "y.npy", 4, "has 2 sequences, another 3"),
    ];
    for (circuit, tokens, outputs, code, says) in rows {
        let circuit = format!("{circuit}.yaml");
        let mut args = vec!["check", &circuit, "--outputs", outputs];
        args.extend(tokens.iter().flat_map(|t| ["--tokens", t]));
        let ran = run_in(here, &args);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(says), "{}: {said}", ran.line);
        assert_eq!(ran.code, *code, "{}: {said}", ran.line);
    }
    // One context for all sequences, and one sequence without a batch axis.
    let (code, _) = json_in(
        here,
        &["check", "cross.yaml", "--tokens", "x.npy", "--tokens", "context=one.npy", "--outputs", "y.npy"],
    );
    assert_eq!(code, 1);
    assert_eq!(run_in(here, &["check", "own.yaml", "--tokens", "one.npy", "--outputs", "one.npy"]).code, 1);
    // What needs tokens, and what has no meaning here.
    for more in [
        &[][..],
        &["--tokens", "x.npy", "--mask", "full"],
        &["--tokens", "x.npy", "--against", "w.safetensors"],
    ] {
        let ran = run_in(here, &[&["check", "own.yaml", "--outputs", "y.npy"], more].concat());
        assert_eq!(ran.code, 2, "{}: {}", ran.line, ran.stderr);
    }
}
