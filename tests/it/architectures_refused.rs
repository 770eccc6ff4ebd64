//! Models whose `config.json` says what is not understood, or contradicts the weights.

use super::support::root;
use pulvinar::weights::{self, Options, Part};
use serde_json::Value;

/// A copy of a recorded model whose configuration is changed.
fn changed(name: &str, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let from = root().join("tests/golden/architectures").join(name);
    std::fs::copy(from.join("model.safetensors"), dir.path().join("model.safetensors")).expect("copied");
    let text = std::fs::read_to_string(from.join("config.json")).expect("there");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    change(config.as_object_mut().expect("an object"));
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    dir
}

#[test]
fn what_is_not_understood_is_refused_by_its_name() {
    let set = |key: &'static str, value: Value| {
        move |c: &mut serde_json::Map<String, Value>| {
            c.insert(key.to_owned(), value);
        }
    };
    let options = || Options { layer: Some(1), ..Options::default() };
    type Row =
        (&'static str, &'static str, tempfile::TempDir, Options, &'static str, &'static [&'static str]);
    let rows: Vec<Row> = vec![
        (
            "a type that is not known",
            "bert",
            changed("bert", set("model_type", "brand_new".into())),
            options(),
            "F034",
            &["\"brand_new\"", "--as TYPE"],
        ),
        (
            "a type that is near a known one",
            "llama",
            changed("llama", set("model_type", "lama".into())),
            options(),
            "F034",
            &["\"lama\"", "`llama`"],
        ),
        (
            "no type of that name",
            "bert",
            changed("bert", |_| {}),
            Options { like: Some("brt".into()), ..options() },
            "F034",
            &["--as \"brt\"", "`bert`"],
        ),
        (
            "a key that may change scores",
            "bert",
            changed("bert", set("attn_softcap", 5.0.into())),
            options(),
            "F018",
            &["attn_softcap", "--ignore attn_softcap"],
        ),
        (
            "rotary positions in BERT",
            "bert",
            changed("bert", set("rope_theta", 1e4.into())),
            options(),
            "F018",
            &["rope_theta"],
        ),
        (
            "relative keys",
            "bert",
            changed("bert", set("position_embedding_type", "relative_key".into())),
            options(),
            "F018",
            &["relative_key"],
        ),
        (
            "a window where none is known",
            "opt",
            changed("opt", set("sliding_window", 4.into())),
            options(),
            "F018",
            &["sliding_window"],
        ),
        (
            "queries that are clipped",
            "olmo",
            changed("olmo", set("clip_qkv", 8.0.into())),
            options(),
            "F018",
            &["clip_qkv"],
        ),
        (
            "an unknown scaling of frequencies",
            "llama",
            changed("llama", |c| c["rope_parameters"]["rope_type"] = "spiral".into()),
            options(),
            "F018",
            &["spiral"],
        ),
        (
            "frequencies of another length",
            "llama_dynamic",
            changed("llama_dynamic", |_| {}),
            options(),
            "F018",
            &["depend on the number of tokens", "--length N"],
        ),
        (
            "values that are rotated",
            "roformer",
            changed("roformer", set("rotary_value", true.into())),
            options(),
            "F018",
            &["rotary_value"],
        ),
        (
            "a layer of an unknown kind",
            "gemma2",
            changed("gemma2", |c| c["layer_types"][1] = "chunked_attention".into()),
            options(),
            "F018",
            &["chunked_attention"],
        ),
        (
            "no layer of that number",
            "bert",
            changed("bert", |_| {}),
            Options { layer: Some(7), ..options() },
            "F015",
            &["no layer 7", "2 layers", "0 to 1"],
        ),
        ("several layers", "bert", changed("bert", |_| {}), Options::default(), "F015", &["--layer 0 to 1"]),
        (
            "encoder or decoder",
            "bart_encoder",
            changed("bart_encoder", |_| {}),
            options(),
            "F015",
            &["--part decoder or encoder"],
        ),
        (
            "no cross-attention",
            "bert",
            changed("bert", |_| {}),
            Options { part: Some(Part::Cross), ..options() },
            "F015",
            &["part `cross`"],
        ),
        (
            "heads of another model",
            "llama",
            changed("llama", set("num_key_value_heads", 4.into())),
            options(),
            "F009",
            &["4 key and value heads", "has 2"],
        ),
        (
            "a width of another model",
            "llama",
            changed("llama", set("head_dim", 8.into())),
            options(),
            "F009",
            &["heads of 8 cells", "has 4"],
        ),
        (
            "fused rows that do not divide",
            "falcon",
            changed("falcon", set("num_attention_heads", 5.into())),
            options(),
            "F009",
            &["24 rows"],
        ),
        (
            "heads that contradict",
            "bert",
            changed("bert", |_| {}),
            Options { heads: Some(2), ..options() },
            "F016",
            &["there are 4 heads", "--heads 2"],
        ),
        (
            "no heads said",
            "bert",
            changed("bert", |c| _ = c.remove("num_attention_heads")),
            options(),
            "F016",
            &["--heads H"],
        ),
        (
            "words for numbers",
            "bert",
            changed("bert", set("num_attention_heads", "four".into())),
            options(),
            "F009",
            &["num_attention_heads", "four"],
        ),
        ("no object", "bert", changed("bert", |_| {}), options(), "", &[]),
    ];
    for (claim, name, dir, options, code, words) in rows {
        let read = weights::read_layer(dir.path(), &options);
        if code.is_empty() {
            assert!(read.is_ok(), "{claim}");
            continue;
        }
        let refused = match read {
            Ok(_) => panic!("{claim} ({name}): was read"),
            Err(d) => d,
        };
        let said = format!("{} {}", refused.message, refused.help.unwrap_or_default());
        assert_eq!(refused.code, code, "{claim}: {said}");
        assert!(words.iter().all(|w| said.contains(w)), "{claim}: {said}");
    }
}

#[test]
fn what_one_takes_responsibility_for_is_said() {
    let dir = changed("bert", |c| {
        c.insert("model_type".to_owned(), "brand_new".into());
        c.insert("attn_softcap".to_owned(), 5.0.into());
    });
    let options = Options {
        layer: Some(1),
        like: Some("bert".into()),
        ignore: vec!["attn_softcap".into()],
        ..Options::default()
    };
    let read = weights::read(dir.path(), &options).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(read.ignored, ["attn_softcap"]);
    let said: Vec<String> = read.assumed.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["the model computes attention as models of type `bert` do"]);
    // The layer is the one that PyTorch ran, read by its place or by its names.
    let by_prefix = Options { layer: None, prefix: Some("encoder.layer.1".into()), ..options };
    let again = weights::read(dir.path(), &by_prefix).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(read.block, again.block);
}
