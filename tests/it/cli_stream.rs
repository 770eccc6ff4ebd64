//! `simulate --stream`: tokens piece by piece.

use crate::binary::{command, finish, json, json_in, run, text};
use crate::support::{load, root};
use nalgebra::DMatrix;
use pulvinar::attention::{Mask, Streams};
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostic;
use pulvinar::files::{NpyRows, read_tokens, write_csv, write_npy};
use pulvinar::linalg::Real;
use pulvinar::simulate::pieces::{self, Feed, Feeds, PIECE};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// More than two pieces, and no whole number of anything.
const N: usize = 2 * PIECE + 1031;

fn numbers(width: usize, n: usize, salt: usize) -> DMatrix<f64> {
    DMatrix::from_fn(width, n, |i, j| {
        let x = ((j * width + i) * 7919 + salt * 104_729) % 2003;
        x as f64 / 1001.0 - 1.0
    })
}

/// The output of the circuit's blocks on made-up tokens, in pieces and whole.
fn both<T: Real>(name: &str, mask: Option<Mask>, n: usize, folder: &Path) -> (DMatrix<f64>, DMatrix<f64>) {
    let (_, circuit) = load(&root().join(format!("circuits/{name}.yaml")));
    let mut blocks = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}")).plain_blocks();
    for head in blocks.iter_mut().flat_map(|block| &mut block.heads) {
        head.mask = mask.unwrap_or(head.mask);
    }
    let (mut streams, mut feeds) = (Streams::new(), Feeds::new());
    for (s, stream) in circuit.streams.iter().enumerate() {
        // Another clock has another number of tokens.
        let n = if stream.clock > 0 { n / 2 + 7 } else { n };
        // Short vectors: a delta memory with long keys runs away.
        let tokens = numbers(stream.d_model, n, s) * 0.2;
        let file = folder.join(format!("{name}.{}.npy", stream.name));
        write_npy(&file, &tokens).unwrap_or_else(|d| panic!("{name}: {d}"));
        let rows = NpyRows::open(&file).unwrap_or_else(|d| panic!("{name}: {d}"));
        feeds
            .insert(stream.name.clone(), if s == 0 { Feed::Rows(rows) } else { Feed::Whole(tokens.clone()) });
        streams.insert(stream.name.clone(), tokens);
    }
    let whole = pulvinar::simulate::run::<T>(&blocks, &streams).unwrap_or_else(|d| panic!("{name}: {d}"));
    let blocks: Vec<_> = blocks.iter().map(|block| block.cast::<T>()).collect();
    let (mut all, mut done) = (Vec::new(), 0);
    let output = |y: &DMatrix<T>| {
        all.extend(y.iter().map(|x| x.to_f64()));
        Ok::<_, Diagnostic>(())
    };
    let count = || {
        done += 1;
        Ok(())
    };
    let shape = pieces::output_shape(&blocks, &feeds);
    pieces::run(&blocks, &mut feeds, output, count).unwrap_or_else(|d| panic!("{name}: {d}"));
    assert_eq!(done, pieces::n_passes(&blocks) * pieces::n_pieces(&feeds), "{name}");
    (DMatrix::from_vec(shape.1, shape.0, all), whole.output.map(|x| x.to_f64()))
}

const CAUSAL: [&str; 7] = [
    "one_head_attention_mask",
    "multihead_cortico_thalamic",
    "decay_memory",
    "delta_memory",
    "gated_memory",
    "feature_map_memory",
    "three_level_hierarchy",
];

#[test]
fn pieces_of_causal_circuits_give_the_bytes_of_the_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in CAUSAL {
        for n in [0, 1, PIECE - 1, PIECE, PIECE + 1, N] {
            let (pieces, whole) = both::<f64>(name, None, n, dir.path());
            assert!(pieces == whole, "{name}, {n} tokens");
        }
        let (pieces, whole) = both::<f32>(name, None, N, dir.path());
        assert!(pieces == whole, "{name} in single precision");
    }
}

#[test]
fn full_masks_take_another_pass() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in CAUSAL.into_iter().chain(["cross_attention", "associative_memory"]) {
        for n in [1, PIECE + 1, N] {
            let (pieces, whole) = both::<f64>(name, Some(Mask::Full), n, dir.path());
            let gap = (&pieces - &whole).amax() / whole.amax().max(1e-300);
            assert!(gap < 1e-12, "{name}, {n} tokens: {gap:e}");
        }
    }
}

fn hash(args: &[&str]) -> Value {
    let (code, object) = json(args);
    assert_eq!(code, 0, "{args:?}: {object}");
    object["output_sha256"].clone()
}

#[test]
fn a_streamed_run_directory_holds_the_run_and_runs_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tokens, out) = (dir.path().join("tokens.npy"), dir.path().join("run"));
    write_npy(&tokens, &numbers(8, N, 3)).expect("written");
    let circuit = "circuits/multihead_cortico_thalamic.yaml";
    let whole = ["simulate", circuit, "--tokens", text(&tokens), "--precision", "f32"];
    let (code, object) = json(&[&whole[..], &["--stream", "-o", text(&out), "--threads", "1"]].concat());
    assert_eq!(code, 0, "{object}");
    assert_eq!(object["output_shape"], serde_json::json!([N, 8]));
    assert_eq!(object["output_sha256"], hash(&whole));
    let mut found: Vec<String> = fs::read_dir(&out)
        .expect("made")
        .map(|e| e.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, ["circuit.yaml", "manifest.json", "output.npy", "report.html", "weights.safetensors"]);
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(out.join("manifest.json")).expect("read")).expect("JSON");
    assert_eq!(manifest["output_sha256"], object["output_sha256"]);
    assert_eq!(manifest["tokens"], serde_json::json!([text(&tokens)]));
    let page = fs::read_to_string(out.join("report.html")).expect("read");
    assert!(page.contains(&format!("{N} tokens x 8")), "{page}");
    // The tokens stay where they are, and the circuit of the directory knows where.
    let again = dir.path().join("elsewhere");
    fs::create_dir(&again).expect("made");
    let (code, repeated) =
        json_in(&again, &["simulate", text(&out.join("circuit.yaml")), "--stream", "--precision", "f32"]);
    assert_eq!((code, &repeated["output_sha256"]), (0, &object["output_sha256"]), "{repeated}");
    let output = read_tokens(&out.join("output.npy"), None).expect("read");
    assert_eq!(output.shape(), (8, N));

    // What is not an .npy file is read whole, and drawn tokens are drawn.
    let csv = dir.path().join("tokens.csv");
    let rows: Vec<Vec<f64>> = numbers(8, 40, 3).column_iter().map(|x| x.iter().copied().collect()).collect();
    write_csv::<&str, _>(&csv, &[], &rows).expect("written");
    let from_csv = ["simulate", circuit, "--tokens", text(&csv)];
    assert_eq!(hash(&[&from_csv[..], &["--stream"]].concat()), hash(&from_csv));
    assert_eq!(hash(&["simulate", circuit, "--stream"]), hash(&["simulate", circuit]));
}

#[test]
fn what_cannot_be_streamed_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| text(&dir.path().join(name)).to_owned();
    let mut tokens = numbers(8, PIECE + 20, 1);
    write_npy(Path::new(&at("good.npy")), &tokens).expect("written");
    write_npy(Path::new(&at("narrow.npy")), &numbers(7, 3, 1)).expect("written");
    tokens[(3, PIECE + 5)] = f64::NAN;
    write_npy(Path::new(&at("nan.npy")), &tokens).expect("written");
    tokens[(3, PIECE + 5)] = 1e300;
    write_npy(Path::new(&at("huge.npy")), &tokens).expect("written");
    fs::write(at("short.npy"), &fs::read(at("good.npy")).expect("read")[..4000]).expect("written");
    let four = "circuits/multihead_cortico_thalamic.yaml";
    let nan = format!("[{}, 3] is NaN", PIECE + 5);
    let diverged = format!("token {}", PIECE + 5);
    for (file, tokens, more, code, said) in [
        ("circuits/softmax_divisive.yaml", None, &[][..], 2, "cannot read its tokens piece by piece"),
        (four, Some("good.npy"), &["--mode", "cells"], 2, "--stream is of compiled heads"),
        ("circuits/match_and_control.yaml", None, &[], 2, "--stream says nothing about spikes"),
        (four, Some("narrow.npy"), &[], 4, "have 7 numbers each, but d_model is 8"),
        (four, Some("none.npy"), &[], 4, "no such file"),
        (four, Some("short.npy"), &[], 4, "the header promises shape"),
        (four, Some("nan.npy"), &[], 4, &nan),
        (four, Some("huge.npy"), &[], 1, &diverged),
    ] {
        let given = tokens.map(at);
        let mut args = vec!["simulate", file, "--stream"];
        args.extend(given.iter().flat_map(|file| ["--tokens", file.as_str()]));
        args.extend(more);
        let ran = run(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{}: {}", ran.line, ran.stderr);
        assert!(ran.stderr.contains(said), "{}: {}", ran.line, ran.stderr);
    }
    // Too long to be held: the error knows a way.
    fs::write(at("long.npy"), b"").expect("written");
    fs::OpenOptions::new().write(true).open(at("long.npy")).expect("open").set_len(1 << 33).expect("sparse");
    let ran = run(&["simulate", four, "--tokens", &at("long.npy")]);
    assert!(ran.code == 4 && ran.stderr.contains("simulate --stream"), "{}", ran.stderr);
    // A file that the circuit names is missed at the line that names it, streamed or not.
    let text = fs::read_to_string(root().join(four)).expect("read");
    let own = text.replace("{gaussian: {length: 12}}", "{file: {path: lost.npy}}");
    fs::write(at("own.yaml"), own).expect("written");
    let (code, whole) = json(&["simulate", &at("own.yaml")]);
    let (same, streamed) = json(&["simulate", &at("own.yaml"), "--stream"]);
    assert_eq!((code, same, &streamed["diagnostics"]), (4, 4, &whole["diagnostics"]));
    assert!(streamed["diagnostics"][0]["line"].is_u64(), "{streamed}");
    // A run that fails late leaves neither an output nor rubbish, and the output of an earlier run as it was.
    let out = at("run");
    assert_eq!(run(&["simulate", four, "--stream", "--tokens", &at("good.npy"), "-o", &out]).code, 0);
    let before = fs::read(Path::new(&out).join("output.npy")).expect("read");
    let args = ["simulate", four, "--stream", "--tokens", &at("nan.npy"), "-o", &out, "--force"];
    assert_eq!(run(&args).code, 4);
    assert_eq!(fs::read(Path::new(&out).join("output.npy")).expect("read"), before);
    assert_eq!(fs::read_dir(&out).expect("there").count(), 5);
}

/// A file of 164 MB in 120 MB of address space, program included.
#[cfg(target_os = "linux")]
#[test]
fn the_file_may_be_larger_than_memory() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tokens.npy");
    write_npy(&path, &DMatrix::<f64>::zeros(8, 0)).expect("written");
    let header = String::from_utf8_lossy(&fs::read(&path).expect("read")[10..]).into_owned();
    let n = 2_560_000;
    let longer = header.replace("(0, 8)", &format!("({n}, 8)"));
    let longer = format!("{}\n", &longer[..header.len() - 1]);
    let start = [&fs::read(&path).expect("read")[..10], longer.as_bytes()].concat();
    fs::write(&path, &start).expect("written");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len((start.len() + n * 64) as u64).expect("sparse zeros");
    let circuit = root().join("circuits/one_head_attention_mask.yaml");
    let args = [
        "simulate",
        text(&circuit),
        "--stream",
        "--threads",
        "1",
        "--format",
        "json",
        "--tokens",
        text(&path),
    ];
    let program = command(root(), &[]).get_program().to_owned();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v 120000 && exec \"$0\" \"$@\""]).arg(program).args(args);
    let ran = finish(&mut shell, &args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(&format!("\"output_shape\":[{n},")), "{}", ran.stdout);
}
