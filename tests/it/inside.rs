//! Layers with something inside that a head has no place for: all refused, none misread.

use super::binary::{json_in, run_in, text};
use super::cli_check::folder;
use super::weights::{options, tensor};
use pulvinar::attention::Mask;
use pulvinar::diag::Diagnostic;
use pulvinar::files::{Array, Dtype, write_safetensors};
use pulvinar::weights::{self, Loaded, Options};
use std::path::Path;

type Tensor = (String, Array);

/// `q_proj` to `o_proj` of two heads on 8 numbers.
fn separate(prefix: &str) -> Vec<Tensor> {
    ["q_proj", "k_proj", "v_proj", "o_proj"].map(|n| (format!("{prefix}{n}.weight"), tensor(&[8, 8]))).into()
}

fn bert(prefix: &str) -> Vec<Tensor> {
    ["self.query", "self.key", "self.value", "output.dense"]
        .map(|n| (format!("{prefix}{n}.weight"), tensor(&[8, 8])))
        .into()
}

fn gpt2(prefix: &str) -> Vec<Tensor> {
    let shapes = [("c_attn", [8, 24]), ("c_proj", [8, 8])];
    shapes.map(|(n, shape)| (format!("{prefix}{n}.weight"), tensor(&shape))).into()
}

fn torch(prefix: &str) -> Vec<Tensor> {
    let shapes = [("in_proj_weight", [24, 8]), ("out_proj.weight", [8, 8])];
    shapes.map(|(n, shape)| (format!("{prefix}{n}"), tensor(&shape))).into()
}

fn read(path: &Path, tensors: &[Tensor], asked: &Options) -> Result<Loaded, Diagnostic> {
    write_safetensors(path, tensors, &[]).expect("written");
    weights::read(path, asked)
}

/// What is beside the four matrices, by the public names of each kind of layer, and what is said of it.
const BESIDE: &[(&str, &[&str], &str)] = &[
    // Linear attention with gates, decays, convolutions, norms and feature maps.
    (
        "gated linear attention",
        &[
            "g_proj.weight",
            "gk_proj.0.weight",
            "gk_proj.1.weight",
            "gk_proj.1.bias",
            "g_norm_swish_gate.weight",
        ],
        "normalise the heads",
    ),
    (
        "delta rule",
        &["b_proj.weight", "q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight", "o_norm.weight"],
        "set how strongly",
    ),
    ("retention", &["g_proj.weight", "g_norm_swish_gate.weight", "rotary.inv_freq"], "g_proj.weight"),
    (
        "gated delta rule",
        &[
            "A_log",
            "dt_bias",
            "a_proj.weight",
            "b_proj.weight",
            "q_conv1d.weight",
            "g_proj.weight",
            "o_norm.weight",
        ],
        "let what is remembered fade",
    ),
    ("lightning attention", &["g_proj.weight", "g_norm.weight"], "normalise the heads"),
    ("feature maps", &["feature_map_q.layer.weight", "feature_map_k.layer.weight"], "map queries and keys"),
    ("a norm of heads", &["norm.weight"], "normalise tokens inside"),
    ("forgetting attention", &["f_proj.weight", "f_proj.bias"], "fade"),
    // Softmax attention with more to it.
    ("LoRA", &["q_proj.lora_A.weight", "q_proj.lora_B.weight"], "merge the adapters"),
    ("IA3", &["k_proj.ia3_l.default"], "merge the adapters"),
    ("LoHa", &["q_proj.hada_w1_a", "q_proj.hada_w1_b"], "merge the adapters"),
    ("a bottleneck adapter", &["adapter.down.weight", "adapter.up.weight"], "merge the adapters"),
    ("quantised", &["q_proj.weight_scale", "q_proj.input_scale"], "scale weights that were quantised"),
    (
        "quantised otherwise",
        &["q_proj.weight.absmax", "q_proj.weight.quant_map"],
        "scale weights that were quantised",
    ),
    ("sinks", &["sinks"], "add a score to every sum"),
    ("head scales", &["head_scale"], "scale heads"),
    ("a norm before the output", &["inner_attn_ln.weight", "inner_attn_ln.bias"], "normalise the heads"),
    ("QK norm", &["q_norm.weight", "k_norm.weight"], "normalise"),
    ("differential attention", &["lambda_q1", "lambda_k1", "subln.weight"], "subtract one softmax"),
    ("relative keys", &["rel_pos_bias.relative_attention_bias.weight"], "depend on distance"),
    ("XLNet", &["r_r_bias", "r_w_bias", "r_s_bias", "seg_embed"], "depend on distance"),
    ("DeBERTa", &["pos_proj.weight", "pos_q_proj.weight"], "depend on distance"),
    ("Longformer", &["query_global.weight", "key_global.weight"], "let some tokens see all others"),
    ("WavLM", &["gru_rel_pos_const", "gru_rel_pos_linear.weight", "rel_attn_embed.weight"], "gate scores"),
    ("T5", &["relative_attention_bias.weight"], "depend on distance"),
    ("a learnt temperature", &["logit_scale"], "scale the scores"),
    ("memory slots", &["mem_k", "mem_v"], "add keys"),
    ("nobody knows", &["zeta"], "does not know"),
];

#[test]
fn layers_with_more_inside_are_refused_in_every_layout() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    type Layout = fn(&str) -> Vec<Tensor>;
    let layouts: [(&str, Layout); 4] =
        [("m.0.self_attn.", separate), ("m.0.attention.", bert), ("m.0.attn.", gpt2), ("", torch)];
    for (claim, names, says) in BESIDE {
        for (prefix, layout) in layouts {
            let mut all = layout(prefix);
            all.extend(names.iter().map(|n| (format!("{prefix}{n}"), tensor(&[8, 8]))));
            let d = read(&path, &all, &options("", 2)).expect_err(claim);
            let said = d.to_string();
            assert_eq!(d.code, "F018", "{claim}: {said}");
            assert!(said.contains(says) && said.contains("--ignore"), "{claim}: {said}");
            assert!(names.iter().any(|n| said.contains(&format!("`{prefix}{n}`"))), "{claim}: {said}");
            // Each alone is enough, and all together can be ignored, with or without the prefix.
            for name in *names {
                let one = [layout(prefix), vec![(format!("{prefix}{name}"), tensor(&[3]))]].concat();
                let d = read(&path, &one, &options("", 2)).expect_err(name);
                assert_eq!(d.code, "F018", "{claim}: {d}");
            }
            let ignore: Vec<String> = names.iter().map(|n| format!("{prefix}{n}")).collect();
            let loaded = read(&path, &all, &Options { ignore: ignore.clone(), ..options("", 2) });
            let loaded = loaded.unwrap_or_else(|d| panic!("{claim}: {d}"));
            let sorted = |mut list: Vec<String>| {
                list.sort();
                list
            };
            assert_eq!(sorted(loaded.ignored), sorted(ignore.clone()), "{claim}");
            assert_eq!(sorted(loaded.not_read), sorted(ignore), "{claim}");
        }
    }
}

#[test]
fn only_what_is_outside_or_harmless_is_passed_over() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let with = |layer: Vec<Tensor>, name: &str, array: Array| {
        let all = [layer, vec![(name.to_owned(), array)]].concat();
        read(&path, &all, &options("m.1", 2)).map(|l| l.not_read)
    };
    let own = |name: &str| with(separate("m.1.self_attn."), name, tensor(&[8, 8]));
    // Other modules of the layer and of other layers.
    for name in [
        "m.1.norm1.weight",
        "m.1.mlp.gate_proj.weight",
        "m.0.self_attn.q_norm.weight",
        "m.embed.weight",
        "n.rotary_emb.inv_freq",
        "m.1.self_attn_norm.weight",
    ] {
        assert_eq!(own(name).unwrap_or_else(|d| panic!("{name}: {d}")), [""; 0], "{name}");
    }
    // What all layers share enters their scores, wherever it stands.
    for name in [
        "rotary_emb.inv_freq",
        "m.rotary_emb.inv_freq",
        "m.relative_attention_bias.weight",
        "m.0.self_attn.relative_attention_bias.weight",
        "m.rel_embeddings.weight",
        "alibi_slopes",
    ] {
        assert_eq!(own(name).expect_err(name).code, "F018", "{name}");
    }
    // BERT's LayerNorm acts on what comes out; one before the queries does not.
    let norm = |stem: &str| with(bert("m.1.attention."), &format!("m.1.attention.{stem}"), tensor(&[8]));
    for stem in ["output.LayerNorm.weight", "output.LayerNorm.bias", "output.LayerNorm.gamma"] {
        assert_eq!(norm(stem).expect("read"), [format!("m.1.attention.{stem}")]);
    }
    for stem in [
        "LayerNorm.weight",
        "self.LayerNorm.weight",
        "output.LayerNorm.scale",
        "output.adapters.a.weight",
        "output.dense.lora_A.weight",
    ] {
        assert_eq!(norm(stem).expect_err(stem).code, "F018", "{stem}");
    }
    // The same name in another layout is no such thing.
    assert_eq!(own("m.1.self_attn.output.LayerNorm.weight").expect_err("a norm").code, "F018");
    let flat =
        |values: &[f64]| Array { shape: vec![1, values.len()], data: values.to_vec(), dtype: Dtype::I64 };
    assert_eq!(
        with(separate("m.1.self_attn."), "m.1.self_attn.position_ids", flat(&[0.0, 1.0, 2.0]))
            .expect("ids")
            .len(),
        1
    );
    let odd = with(separate("m.1.self_attn."), "m.1.self_attn.position_ids", flat(&[0.0, 2.0, 1.0]));
    assert_eq!(odd.expect_err("permuted").code, "F018");
    let filling = |x: f64| Array { shape: vec![], data: vec![x], dtype: Dtype::F32 };
    for x in [f64::NEG_INFINITY, -1e9, -1e4] {
        assert_eq!(with(gpt2("m.1.attn."), "m.1.attn.masked_bias", filling(x)).expect("a filling").len(), 1);
    }
    for x in [-1.0, 0.0, f64::NAN, 1e9] {
        let d = with(gpt2("m.1.attn."), "m.1.attn.masked_bias", filling(x)).expect_err("no filling");
        assert_eq!(d.code, "F018", "{x}: {d}");
    }
    // A bias of one number in a model of one dimension is no mask.
    assert_eq!(own("m.1.self_attn.bias").expect_err("not square by name").code, "F012");
}

#[test]
fn ignoring_has_to_be_meant() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let all =
        [separate("m.self_attn."), vec![("m.self_attn.q_norm.weight".to_owned(), tensor(&[4]))]].concat();
    let ignoring =
        |name: &str| read(&path, &all, &Options { ignore: vec![name.to_owned()], ..options("", 2) });
    assert_eq!(ignoring("q_norm.weight").expect("by its own name").ignored, ["m.self_attn.q_norm.weight"]);
    for (name, code, says) in [
        ("q_norm", "F008", "possible: `m.self_attn.q_norm.weight`"),
        ("m.self_attn.q_proj.weight", "F018", "is read, so it cannot be ignored"),
        ("", "F008", "no tensor ``"),
        ("norm", "F008", "possible: `m.self_attn.q_norm.weight`"),
    ] {
        let d = ignoring(name).expect_err(name);
        assert!(d.code == code && d.to_string().contains(says), "{name}: {d}");
    }
    // The report, the circuit and the JSON repeat it; so does the verdict.
    let here = dir.path();
    let args = [
        "import",
        text(&path),
        "--heads",
        "2",
        "--ignore",
        "q_norm.weight",
        "-o",
        "x.yaml",
        "--check",
        "--force",
    ];
    let ran = run_in(here, &args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stdout.matches("ignored as asked for: m.self_attn.q_norm.weight").count(),
        2,
        "{}",
        ran.stdout
    );
    let verdict = ran.stdout.lines().find(|l| l.starts_with("equivalent if ")).expect("a verdict");
    assert!(verdict.ends_with("without 1 ignored tensor"), "{verdict}");
    let yaml = std::fs::read_to_string(here.join("x.yaml")).expect("written");
    assert!(
        yaml.lines().any(|l| l.starts_with("# Ignored ") && l.ends_with("m.self_attn.q_norm.weight")),
        "{yaml}"
    );
    let (code, object) = json_in(here, &args);
    let name = serde_json::json!(["m.self_attn.q_norm.weight"]);
    assert_eq!((code, &object["ignored"], &object["not_read"]), (0, &name, &name), "{object}");
    assert_eq!(
        (&object["check"]["ignored"], &object["check"]["conditional"]),
        (&name, &true.into()),
        "{object}"
    );
    // A yes with an if is none for those who are strict.
    let strict = [&args[..], &["--strict"]].concat();
    let (code, object) = json_in(here, &strict);
    assert_eq!(
        (code, &object["ok"], &object["check"]["equivalent"]),
        (1, &false.into(), &true.into()),
        "{object}"
    );
}

/// `n` by `n`, by what stands at query `i` and key `j`.
fn square(n: usize, dtype: Dtype, at: impl Fn(usize, usize) -> f64) -> Array {
    let data = (0..n * n).map(|k| at(k / n, k % n)).collect();
    Array { shape: vec![1, 1, n, n], data, dtype }
}

#[test]
fn masks_are_known_by_what_is_in_them() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let layers: [(&str, Vec<Tensor>); 3] = [
        ("a.attn.", gpt2("a.attn.")),
        ("a.self_attn.", separate("a.self_attn.")),
        ("a.attention.", bert("a.attention.")),
    ];
    let far = |allowed: bool| if allowed { 0.0 } else { -1e9 };
    let one = |allowed: bool| f64::from(u8::from(allowed));
    type Row = (&'static str, Array, Result<Option<Mask>, &'static str>);
    let rows: Vec<Row> = vec![
        ("causal", square(5, Dtype::Bool, |i, j| one(j <= i)), Ok(Some(Mask::Causal))),
        ("causal in bytes", square(5, Dtype::U8, |i, j| one(j <= i)), Ok(Some(Mask::Causal))),
        ("causal as what is masked", square(5, Dtype::Bool, |i, j| one(j > i)), Ok(Some(Mask::Causal))),
        ("causal as added", square(5, Dtype::F32, |i, j| far(j <= i)), Ok(Some(Mask::Causal))),
        ("strict", square(5, Dtype::F32, |i, j| one(j < i)), Ok(Some(Mask::Strict))),
        ("full", square(5, Dtype::F32, |_, _| 1.0), Ok(Some(Mask::Full))),
        ("nothing added", square(5, Dtype::F32, |_, _| 0.0), Ok(Some(Mask::Full))),
        ("one token says nothing", square(1, Dtype::Bool, |_, _| 1.0), Ok(None)),
        (
            "a window as long as the mask",
            square(5, Dtype::Bool, |i, j| one(j <= i && i - j < 5)),
            Ok(Some(Mask::Causal)),
        ),
        ("a window", square(6, Dtype::Bool, |i, j| one(j <= i && i - j < 3)), Err("a window of 3 tokens")),
        (
            "a window as added",
            square(6, Dtype::F32, |i, j| far(j <= i && i - j < 2)),
            Err("a window of 2 tokens"),
        ),
        ("the future", square(5, Dtype::Bool, |i, j| one(j >= i)), Err("token 0 sees token 1")),
        (
            "a prefix that all see",
            square(5, Dtype::Bool, |i, j| one(j <= i || j < 2)),
            Err("token 0 sees token 1"),
        ),
        (
            "one hole",
            square(5, Dtype::Bool, |i, j| one(j <= i && (i, j) != (4, 1))),
            Err("token 4 does not see token 1"),
        ),
        ("nobody sees anything", square(5, Dtype::Bool, |_, _| 0.0), Err("neither 1 and 0")),
        ("slopes", square(5, Dtype::F32, |i, j| -(i as f64) + j as f64), Err("neither 1 and 0")),
        ("not a number", square(2, Dtype::F32, |_, _| f64::NAN), Err("neither 1 and 0")),
    ];
    for (claim, mask, want) in &rows {
        for (prefix, layer) in &layers {
            let all = [layer.clone(), vec![(format!("{prefix}bias"), mask.clone())]].concat();
            match (read(&path, &all, &options("", 2)), want) {
                (Ok(loaded), Ok(Some(mask))) => {
                    assert!(
                        loaded.block.heads.iter().all(|h| h.mask == *mask) && loaded.stated.mask,
                        "{claim}"
                    );
                    assert!(loaded.not_read.is_empty() && loaded.mask_tensor.is_some(), "{claim}");
                }
                (Ok(loaded), Ok(None)) => {
                    assert!(!loaded.stated.mask && loaded.not_read.len() == 1, "{claim}")
                }
                (Err(d), Err(says)) => {
                    assert!(d.code == "F012" && d.to_string().contains(says), "{claim}: {d}");
                    let asked = Options {
                        ignore: vec!["bias".to_owned()],
                        mask: Some(Mask::Causal),
                        ..options("", 2)
                    };
                    assert!(read(&path, &all, &asked).is_ok_and(|l| l.ignored.len() == 1), "{claim}");
                }
                (got, _) => panic!("{claim}: {got:?}"),
            }
        }
    }
    // Two masks that say two things.
    let two = [
        gpt2("a.attn."),
        vec![("a.attn.bias".to_owned(), rows[0].1.clone()), ("a.attn.mask".to_owned(), rows[5].1.clone())],
    ]
    .concat();
    assert_eq!(read(&path, &two, &options("", 2)).expect_err("two masks").code, "F012");
}

#[test]
fn metadata_that_says_more_is_not_passed_over() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let with = |key: &str, value: &str, ignore: &[&str]| {
        let meta = [(key.to_owned(), value.to_owned()), ("format".to_owned(), "pt".to_owned())];
        write_safetensors(&path, &separate("m.self_attn."), &meta).expect("written");
        let ignore = ignore.iter().map(|i| (*i).to_owned()).collect();
        weights::read(&path, &Options { ignore, ..options("", 2) })
    };
    for key in ["rope_theta", "sliding_window", "attn_softcap", "alibi", "clip_qkv"] {
        let d = with(key, "4", &[]).expect_err(key);
        assert!(d.code == "F018" && d.to_string().contains(key), "{d}");
        assert_eq!(with(key, "4", &[key]).expect("ignored").ignored, [key]);
    }
    assert_eq!(with("position", "rotary", &[]).expect_err("rotary").code, "F018");
    let about = |loaded: Loaded| loaded.assumed.iter().map(|a| a.about).collect::<Vec<_>>();
    let silent = about(with("author", "me", &[]).expect("read"));
    let none = about(with("position", "none", &[]).expect("read"));
    assert_eq!(silent.len(), none.len() + 1);
}
