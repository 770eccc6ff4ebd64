//! Transformer weights in every naming scheme: read, run, and compared with PyTorch; and files that are wrong.

use super::support::{relative, root};
use pulvinar::attention::{Block, Kernel, Mask, Normalisation, Streams, forward};
use pulvinar::diag::Diagnostic;
use pulvinar::files::{Array, Dtype, read_array, read_tokens, write_safetensors};
use pulvinar::weights::{self, Attention, Loaded, Options, Scheme, write_heads};
use std::path::{Path, PathBuf};

pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/golden/weights").join(name)
}

/// `prefix` as a user would type it, empty for none; `heads` 0 for none.
pub fn options(prefix: &str, heads: usize) -> Options {
    Options {
        prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
        heads: (heads > 0).then_some(heads),
        ..Options::default()
    }
}

pub fn load(case: &str, options: &Options) -> Loaded {
    weights::read(&fixture(&format!("{case}.safetensors")), options).unwrap_or_else(|d| panic!("{case}: {d}"))
}

/// Case, prefix, heads, scheme, and the prefix of the layer that is found.
pub const CASES: &[(&str, &str, usize, Scheme, &str)] = &[
    ("torch_f64", "", 2, Scheme::Torch, ""),
    ("torch_f32", "", 2, Scheme::Torch, ""),
    ("torch_f16", "", 2, Scheme::Torch, ""),
    ("torch_bf16", "", 2, Scheme::Torch, ""),
    ("torch_unbiased", "", 2, Scheme::Torch, ""),
    ("torch_widths", "", 2, Scheme::Torch, ""),
    ("torch_encoder", "layers.1", 2, Scheme::Torch, "layers.1.self_attn."),
    ("separate", "decoder.layers.10.", 2, Scheme::Separate, "decoder.layers.10.self_attn."),
    ("separate_unbiased", "", 2, Scheme::Separate, "model.layers.0.self_attn."),
    ("grouped", "model.layers.1.self_attn", 4, Scheme::Grouped, "model.layers.1.self_attn."),
    ("bert", "encoder.layer.1.", 2, Scheme::Bert, "encoder.layer.1.attention."),
    ("gpt2", "h.1", 2, Scheme::Gpt2, "h.1.attn."),
    ("metadata", "", 0, Scheme::Separate, ""),
];

fn tokens(case: &str) -> Streams {
    let golden = fixture("golden.npz");
    [("main", "x"), ("context", "context"), ("values", "values")]
        .into_iter()
        .filter_map(|(stream, name)| {
            Some((stream.to_owned(), read_tokens(&golden, Some(&format!("{case}.{name}"))).ok()?))
        })
        .collect()
}

#[test]
fn every_scheme_computes_what_pytorch_computes() {
    let variants = [
        ("softmax", Attention::Softmax, Mask::Full),
        ("causal", Attention::Softmax, Mask::Causal),
        ("linear", Attention::Linear, Mask::Full),
    ];
    for &(case, prefix, heads, scheme, found) in CASES {
        let streams = tokens(case);
        for (name, attention, mask) in variants {
            let asked = Options { attention: Some(attention), mask: Some(mask), ..options(prefix, heads) };
            let loaded = load(case, &asked);
            assert_eq!((loaded.scheme, loaded.prefix.as_str()), (scheme, found), "{case}");
            let want = read_tokens(&fixture("golden.npz"), Some(&format!("{case}.{name}"))).unwrap();
            let single = loaded.dtypes == ["f32"];
            let limit = if single { 1e-5 } else { 1e-12 };
            let double = forward(&loaded.block, &streams).unwrap_or_else(|e| panic!("{case}: {e}"));
            let error = relative(&double, &want);
            assert!(error < limit, "{case}, {name}: {error:e}");
            let narrow = streams.iter().map(|(k, x)| (k.clone(), x.map(|v| v as f32))).collect();
            let low = forward(&loaded.block.cast::<f32>(), &narrow).unwrap().map(f64::from);
            let error = relative(&low, &want);
            assert!(error < 1e-5, "{case}, {name}, run in f32: {error:e}");
        }
    }
}

#[test]
fn half_precision_is_read_exactly() {
    for case in ["torch_f16", "torch_bf16"] {
        let block = load(case, &options("", 2)).block;
        let whole =
            |name: &str| read_array(&fixture("widened.npz"), Some(&format!("{case}.{name}"))).unwrap();
        let (packed, bias, out) = (whole("in_proj_weight"), whole("in_proj_bias"), whole("out_proj.weight"));
        for (h, head) in block.heads.iter().enumerate() {
            for (side, w, b) in
                [(0, &head.w_q, &head.b_q), (1, &head.w_k, &head.b_k), (2, &head.w_v, &head.b_v)]
            {
                for r in 0..4 {
                    let row = side * 8 + h * 4 + r;
                    assert_eq!(b[r].to_bits(), bias.data[row].to_bits(), "{case}");
                    for c in 0..8 {
                        assert_eq!(w[(r, c)].to_bits(), packed.data[row * 8 + c].to_bits(), "{case}");
                        assert_eq!(head.w_o[(c, r)], out.data[c * 8 + h * 4 + r], "{case}");
                    }
                }
            }
        }
        assert_eq!(block.b_o.as_slice(), whole("out_proj.bias").data, "{case}");
    }
}

#[test]
fn what_was_read_is_written_and_read_natively_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one.safetensors"), dir.path().join("two.safetensors"));
    let mut all = Vec::new();
    for &(case, prefix, heads, ..) in CASES {
        let asked = Options { attention: Some(Attention::Softmax), ..options(prefix, heads) };
        let block = load(case, &asked).block;
        write_heads(&one, std::slice::from_ref(&block)).unwrap();
        let back = weights::read(&one, &Options::default()).unwrap();
        assert_eq!(back.scheme, Scheme::Native);
        assert_eq!(bits(&back.block), bits(&block), "{case}");
        assert_eq!(back.block, block, "{case}");
        assert!(back.assumed.is_empty() && back.overruled.is_empty(), "{case}: {:?}", back.assumed);
        write_heads(&two, &[back.block]).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap(), "{case}");
        all.push(block);
    }
    // A stack: the last block unless another is asked for, by number or by prefix.
    write_heads(&one, &all).unwrap();
    assert_eq!(weights::read(&one, &Options::default()).unwrap().block, all[all.len() - 1]);
    for asked in [Options { block: Some(2), ..Options::default() }, options("block.2", 0)] {
        let read = weights::read(&one, &asked).unwrap();
        assert_eq!((&read.block, read.blocks, read.prefix.as_str()), (&all[1], all.len(), "block.2."));
    }
}

fn bits(block: &Block) -> Vec<u64> {
    let heads = block.heads.iter().flat_map(|h| {
        let matrices = [&h.w_q, &h.w_k, &h.w_v, &h.w_o].into_iter().flat_map(|m| m.iter().copied());
        let biases = [&h.b_q, &h.b_k, &h.b_v].into_iter().flat_map(|b| b.iter().copied());
        matrices.chain(biases).chain([h.scale]).collect::<Vec<f64>>()
    });
    heads.chain(block.b_o.iter().copied()).map(f64::to_bits).collect()
}

#[test]
fn selected_heads_keep_their_order() {
    // Selected heads, in the order asked for, and what stays with them.
    let some = load("grouped", &Options { select: Some(vec![3, 1]), ..options("model.layers.1", 4) });
    let all = load("grouped", &options("model.layers.1", 4));
    assert_eq!(some.block.heads, [all.block.heads[3].clone(), all.block.heads[1].clone()]);
    assert_eq!((some.heads, some.selected.as_slice()), (4, &[3, 1][..]));
    assert_eq!(all.block.heads[0].w_k, all.block.heads[1].w_k);
    assert_ne!(all.block.heads[1].w_k, all.block.heads[2].w_k);
}

#[test]
fn a_native_file_read_as_another_attention() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heads.safetensors");
    let softmax = Options { attention: Some(Attention::Softmax), ..options("", 2) };
    write_heads(&path, &[load("torch_f64", &softmax).block]).unwrap();
    let linear = Options {
        attention: Some(Attention::Linear),
        mask: Some(Mask::Strict),
        select: Some(vec![1]),
        ..Options::default()
    };
    let read = weights::read(&path, &linear).unwrap();
    assert_eq!(read.overruled.len(), 2, "{:?}", read.overruled);
    let head = &read.block.heads[0];
    assert_eq!(
        (head.kernel, head.normalisation, head.mask),
        (Kernel::Linear, Normalisation::None, Mask::Strict)
    );
    assert_eq!(head.scale.to_bits(), 1f64.to_bits());
    assert!(read.notes.iter().any(|a| a.contains("belong to all heads")), "{:?}", read.notes);

    // Only the four matrices: everything else is assumed, and an option takes the place of an assumption.
    let cube = |name: &str| (name.to_owned(), tensor(&[2, 4, 4]));
    let bare: Vec<_> = ["W_Q", "W_K", "W_V", "W_O"].map(cube).into();
    write_safetensors(&path, &bare, &[]).unwrap();
    let read = weights::read(&path, &softmax).unwrap();
    assert!(read.overruled.is_empty(), "{:?}", read.overruled);
    assert_eq!(read.block.heads[0].scale.to_bits(), 0.5f64.to_bits());
    assert!(!read.stated.mask && !read.stated.attention && read.stated.residual);
    let silent = weights::read(&path, &Options::default()).unwrap();
    assert_eq!((silent.assumed.len(), silent.notes.len()), (6, 2), "{:?}", silent.assumed);
    let square = silent.assumed.iter().any(|a| a.clause.contains("other axes would fit"));
    assert!(square, "{:?}", silent.assumed);
}

pub fn tensor(shape: &[usize]) -> Array {
    let n = shape.iter().product::<usize>();
    let data = (0..n).map(|i| i as f64 / 8.0 - 1.0).collect();
    Array { shape: shape.to_vec(), data, dtype: Dtype::F32 }
}

/// Tensors of a file; a shape each.
pub type Tensors<'a> = &'a [(&'a str, &'a [usize])];

pub fn refused(path: &Path, tensors: Tensors<'_>, meta: &[(&str, &str)], options: &Options) -> Diagnostic {
    let tensors: Vec<_> = tensors.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect();
    let metadata: Vec<_> = meta.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    write_safetensors(path, &tensors, &metadata).unwrap();
    match weights::read(path, options) {
        Err(d) => d,
        Ok(read) => panic!("{tensors:?} was read: {read:?}"),
    }
}

const TORCH: Tensors<'static> = &[("in_proj_weight", &[24, 8]), ("out_proj.weight", &[8, 8])];

#[test]
#[rustfmt::skip]
fn wrong_shapes_and_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.safetensors");
    let sep = |k: &'static [usize], v: &'static [usize], o: &'static [usize]| {
        [("q_proj.weight", &[8, 8][..]), ("k_proj.weight", k), ("v_proj.weight", v), ("o_proj.weight", o)]
    };
    let rows: &[(&str, Tensors<'_>, usize, &str, &[&str])] = &[
        ("nothing in it", &[], 2, "F014", &["no tensors at all"]),
        ("another kind of file", &[("conv.weight", &[4, 3])], 2, "F014", &["`conv.weight` [4, 3]", "no tensor is named like attention"]),
        ("many layers", &[("h.0.x.w", &[4]), ("h.1.x.w", &[4]), ("y", &[])], 2, "F014", &["`h.0.x.w` [4] (1 more like it), `y` []"]),
        ("half a native file", &[("W_Q", &[1, 2, 2]), ("W_K", &[1, 2, 2])], 2, "F008", &["no tensor `W_V`", "TransformerLens"]),
        ("no query", &[("a.k_proj.weight", &[8, 8]), ("a.v_proj.weight", &[8, 8])], 2, "F014", &["the nearest is separate q/k/v/o, which lacks `a.q_proj.weight`, `a.o_proj.weight` or"]),
        ("no output", &TORCH[..1], 2, "F008", &["no tensor `out_proj.weight`", "torch MultiheadAttention"]),
        ("no heads", TORCH, 0, "F016", &["--heads", "1, 2, 4, 8"]),
        ("heads that do not divide", TORCH, 3, "F016", &["3 heads do not divide the 8 rows", "1, 2, 4, 8"]),
        ("packed, not three", &[("in_proj_weight", &[16, 8]), TORCH[1]], 2, "F009", &["[16, 8]", "[3 D, D], for example [24, 8]"]),
        ("packed, transposed", &[("in_proj_weight", &[8, 24]), TORCH[1]], 2, "F009", &["transposed"]),
        ("packed, one axis", &[("in_proj_weight", &[24]), TORCH[1]], 2, "F009", &["[24]", "[3 D, D]"]),
        ("empty", &[("in_proj_weight", &[0, 0]), TORCH[1]], 2, "F009", &["[0, 0]"]),
        ("a bias too short", &[TORCH[0], TORCH[1], ("in_proj_bias", &[8])], 2, "F009", &["`in_proj_bias` has shape [8], [24]"]),
        ("an output too narrow", &[TORCH[0], ("out_proj.weight", &[8, 6])], 2, "F009", &["[8, 6]", "[8, 8]"]),
        ("an output of other tokens", &[TORCH[0], ("out_proj.weight", &[6, 8])], 2, "F009", &["[6, 8]", "[8, any]"]),
        ("an output bias too long", &[TORCH[0], TORCH[1], ("out_proj.bias", &[9])], 2, "F009", &["[9]", "[8]"]),
        ("another key", &[TORCH[0], TORCH[1], ("bias_k", &[1, 1, 8])], 2, "F018", &["`bias_k`", "add a key"]),
        ("normalised queries", &[sep(&[8, 8], &[8, 8], &[8, 8])[0], ("q_norm.weight", &[4])], 2, "F018", &["q_norm", "normalise queries"]),
        ("keys that are no heads", &sep(&[6, 8], &[6, 8], &[8, 8]), 2, "F009", &["`k_proj.weight`", "[n * 4, any]"]),
        ("three key heads for four", &sep(&[6, 8], &[6, 8], &[8, 8]), 4, "F009", &["n must divide 4"]),
        ("values that are no heads", &sep(&[4, 8], &[5, 8], &[8, 8]), 4, "F009", &["`v_proj.weight`", "multiple of 2"]),
        ("an output of other values", &sep(&[4, 8], &[2, 8], &[8, 8]), 4, "F009", &["`o_proj.weight`", "[8, 4]"]),
        ("GPT-2, half of it transposed", &[("c_attn.weight", &[16, 36]), ("c_proj.weight", &[16, 12])], 2, "F009", &["[16, 36]", "stored two ways"]),
        ("GPT-2, many queries for few keys", &[("c_attn.weight", &[8, 12]), ("c_proj.weight", &[8, 8])], 2, "F009", &["matrices of their own"]),
        ("GPT-2 with an odd mask", &[("c_attn.weight", &[8, 24]), ("c_proj.weight", &[8, 8]), ("bias", &[1, 1, 2, 2])], 2, "F012", &["`bias`"]),
    ];
    for (claim, tensors, heads, code, words) in rows {
        let d = refused(&path, tensors, &[], &options("", *heads));
        assert_eq!(d.code, *code, "{claim}: {d}");
        let text = d.to_string();
        for word in *words {
            assert!(text.contains(word), "{claim}: {word:?} is not in {text}");
        }
    }
    for (key, value, code) in [
        ("attention", "sofmax", "F009"), ("kernel", "", "F009"), ("mask", "half", "F009"), ("scale", "inf", "F009"),
        ("scale", "1,1", "F009"), ("heads", "-2", "F009"), ("heads", "0", "F016"), ("heads", "18446744073709551615", "F016"),
    ] {
        let d = refused(&path, TORCH, &[(key, value)], &options("", 0));
        if d.code != "F016" || key == "heads" {
            assert_eq!(d.code, code, "{key} = {value}: {d}");
        } else {
            assert_eq!(refused(&path, TORCH, &[(key, value)], &options("", 2)).code, code, "{key} = {value}");
        }
    }
}

#[test]
fn wrong_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.safetensors");
    for (x, dtype, code) in
        [(f64::NAN, Dtype::F32, "F010"), (f64::INFINITY, Dtype::BF16, "F010"), (1.0, Dtype::I8, "F009")]
    {
        let mut list: Vec<(String, Array)> =
            TORCH.iter().map(|(n, s)| ((*n).to_owned(), tensor(s))).collect();
        list[1].1 = Array { dtype, data: vec![x; 64], ..tensor(&[8, 8]) };
        write_safetensors(&path, &list, &[]).unwrap();
        let d = weights::read(&path, &options("", 2)).unwrap_err();
        assert_eq!(d.code, code, "{d}");
        assert!(d.message.contains("out_proj.weight"), "{d}");
    }
    // A small file whose shared keys would fill the memory.
    let wide = 1 << 13;
    let list = [
        ("q_proj.weight", vec![wide, 1]),
        ("k_proj.weight", vec![1, wide]),
        ("v_proj.weight", vec![1, wide]),
        ("o_proj.weight", vec![1, wide]),
    ];
    write_safetensors(&path, &list.map(|(name, shape)| (name.to_owned(), tensor(&shape))), &[]).unwrap();
    assert_eq!(weights::read(&path, &options("", wide)).unwrap_err().code, "F005");
}

#[test]
fn layers_blocks_and_heads_that_are_not_there() {
    let of = |case: &str, options: Options| {
        weights::read(&fixture(&format!("{case}.safetensors")), &options).unwrap_err()
    };
    let help = of("separate", options("", 2)).help.unwrap();
    assert!(help.contains("`decoder.layers.2.self_attn.`, `decoder.layers.3."), "{help}");
    assert!(help.contains("layers.9.self_attn.`, `decoder.layers.10."), "{help}");
    let d = of("separate", options("decoder.layer.7.self_attn", 2));
    assert!(d.help.as_ref().unwrap().starts_with("--prefix can be `decoder.layers.7.self_attn.`"), "{d}");
    let d = of("bert", options("encoder.layer.2", 2));
    assert!(d.help.as_ref().unwrap().starts_with("--prefix can be `encoder.layer.0."), "{d}");
    let d = of("bert", options("encoder.layr.1", 2));
    assert!(d.help.as_ref().unwrap().starts_with("--prefix can be `encoder.layer.1."), "{d}");
    assert_eq!(of("bert", options("encoder", 2)).code, "F015");
    let select = |list: &[usize]| Options { select: Some(list.to_vec()), ..options("", 2) };
    for list in [&[2][..], &[0, 0], &[]] {
        assert_eq!(of("torch_f64", select(list)).code, "F015", "{list:?}");
    }
    assert_eq!(of("torch_f64", Options { block: Some(2), ..options("", 2) }).code, "F015");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stack.safetensors");
    let block = load("torch_f64", &options("", 2)).block;
    write_heads(&path, &[block.clone(), block]).unwrap();
    for asked in [
        Options { block: Some(0), ..Options::default() },
        Options { block: Some(3), ..Options::default() },
        Options { block: Some(1), ..options("block.2.", 0) },
        options("block.3", 0),
        options("encoder", 0),
    ] {
        assert_eq!(weights::read(&path, &asked).unwrap_err().code, "F015", "{asked:?}");
    }
    assert_eq!(weights::read(&path, &options("", 3)).unwrap_err().code, "F016");
    assert_eq!(weights::read(&dir.path().join("no.safetensors"), &options("", 3)).unwrap_err().code, "F001");
}

#[test]
fn damaged_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.safetensors");
    for (seed, &(case, prefix, heads, ..)) in CASES.iter().enumerate() {
        let good = std::fs::read(fixture(&format!("{case}.safetensors"))).unwrap();
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed as u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for round in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..=below(3) {
                // Mostly in the header: that is where the names, shapes and types are.
                let at = below(if round % 4 == 0 { bytes.len() } else { header });
                match below(3) {
                    0 => bytes[at] ^= 1 << below(8),
                    1 => bytes[at] = b"0189,[]{}\"-._FIB"[below(16)],
                    _ => bytes[at] = 0xff,
                }
            }
            if round % 10 == 9 {
                bytes.truncate(below(bytes.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            for asked in [options(prefix, heads), options("", 4)] {
                if let Ok(read) = weights::read(&path, &asked) {
                    assert!(bits(&read.block).iter().all(|b| f64::from_bits(*b).is_finite()), "{case}");
                }
            }
        }
    }
}
