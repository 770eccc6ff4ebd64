//! Models in several files, files that are something else, and layouts that look like others.

use super::binary::{json_in, run_in, text};
use super::cli_check::{folder, import};
use super::support::relative;
use super::weights::{options, tensor};
use nalgebra::DMatrix;
use pulvinar::attention::{Mask, Streams, forward};
use pulvinar::files::{Array, Dtype, write_safetensors};
use pulvinar::weights::{self, Options, Scheme};
use std::fs;
use std::path::Path;

type Tensor = (String, Array);

fn save(path: &Path, tensors: &[(&str, &[usize])]) {
    let all: Vec<Tensor> = tensors.iter().map(|(n, shape)| ((*n).to_owned(), tensor(shape))).collect();
    write_safetensors(path, &all, &[]).expect("written");
}

const Q: (&str, &[usize]) = ("l.self_attn.q_proj.weight", &[8, 8]);
const K: (&str, &[usize]) = ("l.self_attn.k_proj.weight", &[8, 8]);
const V: (&str, &[usize]) = ("l.self_attn.v_proj.weight", &[8, 8]);
const O: (&str, &[usize]) = ("l.self_attn.o_proj.weight", &[8, 8]);
const NORM: (&str, &[usize]) = ("l.self_attn.q_norm.weight", &[4]);

const ONE: &str = "model-00001-of-00002.safetensors";
const TWO: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn index(here: &Path, map: &[(&str, &str)]) {
    let map: serde_json::Map<String, serde_json::Value> =
        map.iter().map(|(n, f)| ((*n).to_owned(), (*f).into())).collect();
    fs::write(here.join(INDEX), serde_json::json!({"metadata": {}, "weight_map": map}).to_string())
        .expect("written");
}

#[test]
fn a_model_in_several_files_is_one_model() {
    let dir = folder();
    let here = dir.path();
    save(&here.join("whole.safetensors"), &[Q, K, V, O]);
    let whole = weights::read(&here.join("whole.safetensors"), &options("", 2)).expect("read").block;
    fs::remove_file(here.join("whole.safetensors")).expect("gone");
    save(&here.join(ONE), &[Q, K, V]);
    save(&here.join(TWO), &[O]);
    let full = [(Q.0, ONE), (K.0, ONE), (V.0, ONE), (O.0, TWO)];
    // By the names of the shards alone, then by the index, whatever is named.
    for indexed in [false, true] {
        if indexed {
            index(here, &full);
        }
        for name in ["", ONE, TWO, INDEX] {
            if name == INDEX && !indexed {
                continue;
            }
            let read =
                weights::read(&here.join(name), &options("", 2)).unwrap_or_else(|d| panic!("{name}: {d}"));
            assert_eq!(read.block, whole, "{name}");
        }
    }
    import(here, "c", &[ONE, "--heads", "2"]);
    let (code, object) = json_in(here, &["check", "c.yaml", "--against", INDEX, "--heads", "2"]);
    assert_eq!((code, &object["conditional"]), (0, &true.into()), "{object}");
    // What is in another shard is inside the layer all the same.
    save(&here.join(TWO), &[O, NORM]);
    for name in ["", ONE, TWO] {
        let d = weights::read(&here.join(name), &options("", 2)).expect_err("a norm");
        assert!(d.code == "F018" && d.message.contains(NORM.0), "{d}");
    }
    save(&here.join(TWO), &[O]);
    for (claim, map, code, says) in [
        (
            "a tensor that is elsewhere",
            vec![(Q.0, ONE), (K.0, TWO), (V.0, ONE), (O.0, TWO)],
            "F007",
            "does not",
        ),
        ("a tensor that is nowhere", vec![(Q.0, ONE), ("l.z", TWO)], "F007", "`l.z`"),
        (
            "a shard that is missing",
            vec![(Q.0, ONE), (O.0, "model-00003-of-00003.safetensors")],
            "F001",
            "no such file",
        ),
        ("a path that leads away", vec![(Q.0, "../model.safetensors")], "F007", "no file beside it"),
        ("another format", vec![(Q.0, "pytorch_model.bin")], "F007", "no file beside it"),
        ("nothing", vec![], "F007", "0 shards"),
    ] {
        index(here, &map);
        let d = weights::read(&here.join(ONE), &options("", 2)).expect_err(claim);
        assert!(d.code == code && d.to_string().contains(says), "{claim}: {d}");
    }
    for broken in ["{", "[]", "{\"weight_map\": 3}", "{\"weight_map\": {\"a\": 3}}"] {
        fs::write(here.join(INDEX), broken).expect("written");
        assert_eq!(weights::read(here, &options("", 2)).expect_err(broken).code, "F007", "{broken}");
    }
    fs::remove_file(here.join(INDEX)).expect("gone");
    fs::remove_file(here.join(TWO)).expect("gone");
    let d = weights::read(&here.join(ONE), &options("", 2)).expect_err("half a model");
    assert!(d.code == "F001" && d.message.contains("one of 2 shards, and 1 of them"), "{d}");
    // The same tensor twice is nobody's.
    save(&here.join(TWO), &[O, Q]);
    assert_eq!(weights::read(&here.join(ONE), &options("", 2)).expect_err("twice").code, "F007");
}

#[test]
fn directories_say_what_was_looked_for() {
    let dir = folder();
    let here = dir.path();
    let refused = |says: &str, code: &str| {
        let d = weights::read(here, &options("", 2)).expect_err(says);
        assert!(d.code == code && d.to_string().contains(says), "{d}");
    };
    refused("looked for `model.safetensors.index.json`, `model.safetensors` and any other", "F001");
    fs::write(here.join("config.json"), "{}").expect("written");
    refused("there is a `config.json`, but not the weights", "F001");
    fs::write(here.join("pytorch_model.bin"), "PK").expect("written");
    refused("`pytorch_model.bin` cannot be read", "F001");
    save(&here.join("b.safetensors"), &[Q, K, V, O]);
    let read = weights::read(here, &options("", 2)).expect("the only one");
    assert!(
        read.notes.iter().any(|n| n.contains("`config.json` beside the weights was not read")),
        "{:?}",
        read.notes
    );
    save(&here.join("a.safetensors"), &[Q]);
    refused("name one file: `a.safetensors`, `b.safetensors`", "F015");
    save(&here.join("model.safetensors"), &[Q, K, V, O]);
    assert!(weights::read(here, &options("", 2)).is_ok());
}

#[test]
fn other_formats_are_named() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let rows: &[(&[u8], &str, &str)] = &[
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html><html><head><title>Not found", "web page", "fetch the file itself"),
        (b"{\"error\": \"Repository not found\"}", "JSON", "directory that holds it"),
        (b"GGUF\x03\0\0\0\x04\0\0\0\0\0\0\0", "GGUF", "convert"),
        (b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0x.npy", ".npz", "name it .npz"),
        (
            b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl",
            "PyTorch archive",
            "save_file",
        ),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03abcdef", "gzip", "gunzip"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0\0", "HDF5", "save"),
        (b"\x08\x07\x12\x07pytorch\x1a\x03abc", "ONNX", "export"),
        (b"\x93NUMPY\x01\0v\0{'descr'", ".npy", "name it .npy"),
        (b"pulvinar import model.safetensors\n", "text", "holds the numbers"),
    ];
    for (bytes, what, help) in rows {
        fs::write(&path, [*bytes, &[b'\n'; 30]].concat()).expect("written");
        let d = weights::read(&path, &options("", 2)).expect_err(what);
        let said = d.to_string();
        assert!(d.code == "F007" && said.contains(what) && said.contains(help), "{said}");
        assert!(!said.contains("a header of"), "{said}");
    }
    // Tokens that were not fetched either.
    let (npy, csv) = (dir.path().join("x.npy"), dir.path().join("x.csv"));
    for file in [&npy, &csv] {
        fs::write(file, rows[0].0).expect("written");
        let d = pulvinar::files::read_tokens(file, None).expect_err("a pointer");
        assert!(d.to_string().contains("git lfs pull"), "{d}");
    }
}

#[test]
fn models_without_attention_are_told_so() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let said = |tensors: &[(&str, &[usize])]| {
        save(&path, tensors);
        let d = weights::read(&path, &options("", 2)).expect_err("no layout");
        assert_eq!(d.code, "F014", "{d}");
        d.to_string()
    };
    let mamba = said(&[
        ("layers.0.mixer.A_log", &[8, 4]),
        ("layers.0.mixer.dt_proj.weight", &[8, 2]),
        ("layers.0.mixer.conv1d.weight", &[8, 1, 4]),
        ("embed.weight", &[9, 8]),
    ]);
    assert!(mamba.contains("no attention here: a state-space model") && !mamba.contains("embed"), "{mamba}");
    let rwkv = said(&[
        ("blocks.0.attention.time_decay", &[8]),
        ("blocks.0.attention.receptance.weight", &[8, 8]),
        ("blocks.0.attention.key.weight", &[8, 8]),
    ]);
    assert!(rwkv.contains("no attention here: a WKV model"), "{rwkv}");
    let fused = said(&[
        ("h.0.attn.qkv_proj.weight", &[24, 8]),
        ("h.0.attn.out_proj.weight", &[8, 8]),
        ("h.0.mlp.fc.weight", &[9, 8]),
    ]);
    assert!(fused.contains("`h.0.attn.qkv_proj.weight` [24, 8]") && !fused.contains("mlp"), "{fused}");
    assert!(
        fused.contains("the nearest is torch MultiheadAttention, which lacks `h.0.attn.in_proj_weight`"),
        "{fused}"
    );
    let none = said(&[("conv.weight", &[4, 3])]);
    assert!(
        none.contains("no tensor is named like attention") && none.contains("`c_attn.weight` (GPT-2)"),
        "{none}"
    );
}

/// Numbers that tell an axis from another.
fn drawn(shape: &[usize], seed: u64) -> Array {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let data = (0..shape.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f64) / f64::from(1 << 23) - 1.0
        })
        .collect();
    Array { shape: shape.to_vec(), data, dtype: Dtype::F64 }
}

/// `[a, b]` to `[b, a]`.
fn turned(m: &Array) -> Array {
    let (a, b) = (m.shape[0], m.shape[1]);
    let data = (0..a * b).map(|k| m.data[k % a * b + k / a]).collect();
    Array { shape: vec![b, a], data, dtype: m.dtype }
}

fn tokens() -> Streams {
    let x = drawn(&[6, 5], 9);
    [("main".to_owned(), DMatrix::from_column_slice(6, 5, &x.data))].into()
}

#[test]
fn gpt2_is_read_whichever_way_it_is_stored_and_pruned() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    // 3 heads of 2, one and two of them pruned.
    for (heads, n) in [(3, 6), (2, 4), (1, 2)] {
        let (attn, proj, bias) = (drawn(&[6, 3 * n], 1), drawn(&[n, 6], 2), drawn(&[3 * n], 3));
        let save = |attn: &Array, proj: &Array| {
            let all = [
                ("h.0.attn.c_attn.weight", attn),
                ("h.0.attn.c_proj.weight", proj),
                ("h.0.attn.c_attn.bias", &bias),
            ];
            let all: Vec<Tensor> = all.iter().map(|(n, a)| ((*n).to_owned(), (*a).clone())).collect();
            write_safetensors(&path, &all, &[]).expect("written");
            weights::read(&path, &options("", heads))
        };
        let conv = save(&attn, &proj).expect("as GPT-2 stores it");
        let linear = save(&turned(&attn), &turned(&proj)).expect("as linear layers store it");
        assert_eq!(conv.block, linear.block, "{n}");
        assert_eq!((conv.scheme, conv.block.heads[0].mask), (Scheme::Gpt2, Mask::Causal));
        // Q, K and V are thirds: the same function written as separate matrices.
        let part = |i: usize| {
            let rows = turned(&attn);
            Array {
                shape: vec![n, 6],
                data: rows.data[i * n * 6..(i + 1) * n * 6].to_vec(),
                dtype: Dtype::F64,
            }
        };
        let side = |i: usize| Array {
            shape: vec![n],
            data: bias.data[i * n..(i + 1) * n].to_vec(),
            dtype: Dtype::F64,
        };
        let names = ["q_proj", "k_proj", "v_proj"];
        let mut all: Vec<Tensor> = (0..3).map(|i| (format!("a.{}.weight", names[i]), part(i))).collect();
        all.extend((0..3).map(|i| (format!("a.{}.bias", names[i]), side(i))));
        all.push(("a.o_proj.weight".to_owned(), turned(&proj)));
        write_safetensors(&path, &all, &[]).expect("written");
        let apart =
            weights::read(&path, &Options { mask: Some(Mask::Causal), ..options("", heads) }).expect("read");
        assert_eq!(conv.block.heads, apart.block.heads, "{n}");
        // A square matrix might be stored either way, and that is said; those that are not say it themselves.
        let told =
            conv.assumed.iter().any(|a| a.clause == "`c_proj.weight` is stored the way `c_attn.weight` is");
        assert_eq!(told, n != 4, "{:?}", conv.assumed);
        match save(&attn, &turned(&proj)) {
            Ok(_) => assert_ne!(n, 4),
            Err(d) => assert!(n == 4 && d.message.contains("stored two ways"), "{d}"),
        }
    }
}

#[test]
fn transformerlens_is_never_read_as_native() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    // 3 heads of 2 on 6 numbers, as TransformerLens has them and as GPT-2 would.
    let (q, k, v) = (drawn(&[3, 6, 2], 1), drawn(&[3, 6, 2], 2), drawn(&[3, 6, 2], 3));
    let (o, b_q, b_o) = (drawn(&[3, 2, 6], 4), drawn(&[3, 2], 5), drawn(&[6], 6));
    let named = |prefix: &str| -> Vec<Tensor> {
        [("W_Q", &q), ("W_K", &k), ("W_V", &v), ("W_O", &o), ("b_Q", &b_q), ("b_O", &b_o)]
            .iter()
            .map(|(n, a)| (format!("{prefix}{n}"), (*a).clone()))
            .collect()
    };
    // [heads, 6, 2] to [6, heads * 2]: columns head by head.
    let flat = |m: &Array| {
        let data = (0..36).map(|at| m.data[(at % 6 / 2) * 12 + at / 6 * 2 + at % 2]).collect();
        Array { shape: vec![6, 6], data, dtype: Dtype::F64 }
    };
    let bias = Array { shape: vec![6], ..b_q.clone() };
    let rows: Vec<Tensor> = [("q", &q), ("k", &k), ("v", &v)]
        .iter()
        .map(|(n, m)| (format!("a.{n}_proj.weight"), turned(&flat(m))))
        .chain([
            ("a.q_proj.bias".to_owned(), bias),
            ("a.out_proj.weight".to_owned(), turned(&Array { shape: vec![6, 6], ..o.clone() })),
            ("a.out_proj.bias".to_owned(), b_o.clone()),
        ])
        .collect();
    write_safetensors(&path, &rows, &[]).expect("written");
    let want = weights::read(&path, &options("", 3)).expect("separate").block;
    for prefix in ["", "blocks.0.attn.", "transformer.blocks.4.attn."] {
        write_safetensors(&path, &named(prefix), &[]).expect("written");
        let read = weights::read(&path, &Options::default()).unwrap_or_else(|d| panic!("{prefix}: {d}"));
        assert_eq!(
            (read.scheme, read.heads, read.block.d_model),
            (Scheme::TransformerLens, 3, 6),
            "{prefix}"
        );
        assert_eq!(read.block.heads, want.heads, "{prefix}");
        let (a, b) =
            (forward(&read.block, &tokens()).expect("runs"), forward(&want, &tokens()).expect("runs"));
        assert!(relative(&a, &b) < 1e-14, "{prefix}");
    }
    assert_eq!(weights::read(&path, &options("", 2)).expect_err("3 heads, not 2").code, "F016");
    // Axes that fit neither order are refused with the reason; native metadata settles the native one.
    let odd = [("W_Q", [3, 6, 2]), ("W_K", [3, 6, 2]), ("W_V", [3, 2, 2]), ("W_O", [3, 2, 2])];
    let save = |meta: &[(String, String)]| {
        let all: Vec<Tensor> = odd.iter().map(|(n, shape)| ((*n).to_owned(), drawn(shape, 7))).collect();
        write_safetensors(&path, &all, meta).expect("written");
        weights::read(&path, &Options::default())
    };
    let d = save(&[]).expect_err("heads wider than tokens");
    assert!(d.code == "F009" && d.to_string().contains("another order"), "{d}");
    let native = save(&[("kernel".to_owned(), "exp,exp,exp".to_owned())]).expect("native");
    assert_eq!((native.scheme, native.block.d_model), (Scheme::Native, 2));
}

#[test]
fn shards_that_lie_never_panic() {
    let dir = folder();
    let here = dir.path();
    save(&here.join(ONE), &[Q, K, V]);
    save(&here.join(TWO), &[O]);
    for name in [
        "model-00000-of-00002.safetensors",
        "model-00003-of-00002.safetensors",
        "model-00001-of-99999.safetensors",
        "model-00001-of-00000.safetensors",
        "a-1-of-2.safetensors",
    ] {
        fs::copy(here.join(ONE), here.join(name)).expect("copied");
        assert!(weights::read(&here.join(name), &options("", 2)).is_err(), "{name}");
        fs::remove_file(here.join(name)).expect("gone");
    }
    let ran = run_in(here, &["import", text(&here.join("nowhere")), "--heads", "2", "-o", "c.yaml"]);
    assert!(ran.code == 4 && ran.stderr.contains("F001"), "{}", ran.stderr);
}
