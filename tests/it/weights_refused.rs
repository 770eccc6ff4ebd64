//! Weights that are refused, and what `import` and `check` say of those that are not.

use crate::binary::{json_in, run_in, text};
use crate::cli_check::{folder, import};
use crate::support::root;
use crate::weights::{Tensors, fixture, load, options, refused, tensor};
use pulvinar::files::write_safetensors;
use pulvinar::weights;
use serde_json::{Value, json};
use std::fs;

const LAYER: [(&str, &[usize]); 4] = [
    ("l.q_proj.weight", &[8, 8]),
    ("l.k_proj.weight", &[8, 8]),
    ("l.v_proj.weight", &[8, 8]),
    ("l.o_proj.weight", &[8, 8]),
];

#[test]
fn tensors_that_change_what_the_heads_compute() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let with = |more: &'static str| -> Vec<(&str, &[usize])> {
        LAYER.into_iter().chain([(more, &[8, 8][..])]).collect()
    };
    let rows = [
        ("l.rotary_emb.inv_freq", "F018", "rotate queries and keys"),
        ("l.rotary_emb.cos_cached", "F018", "rotate queries and keys"),
        ("l.q_proj.lora_A.weight", "F018", "merge the adapters"),
        ("l.v_proj.lora_B.default.weight", "F018", "merge the adapters"),
        ("l.lora_E", "F018", "merge the adapters"),
        ("l.rel_pos_h", "F018", "depend on distance"),
        ("l.relative_position_bias_table", "F018", "depend on distance"),
        ("l.alibi_slopes", "F018", "depend on distance"),
        ("l.self.pos_bias_u", "F018", "depend on distance"),
        ("l.norm.weight", "F018", "normalise tokens inside"),
        ("l.explora_tion", "F018", "does not know"),
        ("rotary_emb.inv_freq", "F018", "which all layers share"),
        ("l.out_proj.weight", "F015", "`l.o_proj.weight` and `l.out_proj.weight`"),
    ];
    for (name, code, says) in rows {
        let tensors: Tensors<'_> = &with(name);
        let d = refused(&path, tensors, &[], &options("", 2));
        let said = d.to_string();
        assert_eq!(d.code, code, "{name}: {said}");
        assert!(said.contains(name) && said.contains(says), "{name}: {said}");
    }
    // What is outside the module, or belongs to another layer, changes nothing.
    for name in ["norm.weight", "m.rotary_emb.inv_freq", "m.q_proj.lora_A.weight"] {
        let list: Vec<_> = with(name).iter().map(|(n, shape)| ((*n).to_owned(), tensor(shape))).collect();
        write_safetensors(&path, &list, &[]).expect("written");
        let read = weights::read(&path, &options("l", 2)).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert_eq!((read.not_read, read.ignored), (vec![], vec![]));
    }
}

#[test]
fn files_that_pytorch_saved_otherwise() {
    let dir = folder();
    let path = dir.path().join("w.pt");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        weights::read(&path, &options("", 2)).expect_err("no safetensors")
    };
    let long = |start: &[u8]| [start, &[b'x'; 2000]].concat();
    for (bytes, says) in [
        (long(b"PK\x03\x04\0\0\x08\x08"), "a PyTorch archive (zip)"),
        (long(b"\x80\x02\x8a\x0al\xfc\x9cF"), "a pickle"),
        // As the length of a header this is one that the file has room for.
        (long(b"\x80\x04\0\0\0\0\0\0"), "a pickle"),
    ] {
        let d = read(&bytes);
        assert_eq!(d.code, "F007", "{d}");
        let said = d.to_string();
        assert!(said.contains(says) && said.contains("safetensors.torch.save_file"), "{said}");
    }
    assert!(!read(&long(b"PL\x03\x04\0\0\x08\x08")).to_string().contains("torch.save_file"));
    // A safetensors file whose header happens to have that length is one.
    let good = fs::read(fixture("torch_f64.safetensors")).expect("there");
    let size = u64::from_le_bytes(good[..8].try_into().expect("eight")) as usize;
    assert!(size < 0x280, "{size}");
    let header = [&good[8..8 + size], &vec![b' '; 0x280 - size][..]].concat();
    fs::write(&path, [&0x280u64.to_le_bytes()[..], &header, &good[8 + size..]].concat()).expect("written");
    let read = weights::read(&path, &options("", 2)).expect("safetensors");
    assert_eq!(read.block, load("torch_f64", &options("", 2)).block);
}

#[test]
fn the_nearest_prefixes_come_first() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let names: Vec<String> = (0..30)
        .flat_map(|n| LAYER.map(|(name, _)| name.replace("l.", &format!("model.layers.{n}.self_attn."))))
        .collect();
    let tensors: Vec<(&str, &[usize])> = names.iter().map(|n| (n.as_str(), &[8, 8][..])).collect();
    for (asked, first) in [
        ("layers.23", 23),
        ("layers.23.self_attn", 23),
        ("layer.7", 7),
        ("23.self_attn.", 23),
        ("model.layer.4", 4),
    ] {
        let d = refused(&path, &tensors, &[], &options(asked, 2));
        assert_eq!(d.code, "F015", "{asked}: {d}");
        let help = d.help.unwrap_or_default();
        let want = format!("--prefix can be `model.layers.{first}.self_attn.`, `");
        assert!(help.starts_with(&want), "{asked}: {help}");
    }
}

#[test]
fn import_says_what_the_heads_are() {
    let dir = folder();
    let here = dir.path();
    let (gpt2, grouped) = (fixture("gpt2.safetensors"), fixture("grouped.safetensors"));
    let gpt2 = ["import", text(&gpt2), "--prefix", "h.0", "--heads", "2", "-o", "x.yaml"];
    let ran = run_in(here, &gpt2);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("  d_k 4, d_v 4, softmax attention, mask causal, stated by `h.0.attn.bias`\n")
    );
    assert!(ran.stdout.contains("  not read: h.0.attn.masked_bias\n"), "{}", ran.stdout);
    let full = [&gpt2[..], &["--mask", "full"]].concat();
    let ran = run_in(here, &full);
    assert!(ran.stdout.contains("softmax attention, mask full\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("overruled: full mask as asked for; the file says causal"), "{}", ran.stdout);
    let grouped = [
        "import",
        text(&grouped),
        "--prefix",
        "model.layers.1",
        "--heads",
        "4",
        "--attention",
        "softmax",
        "--select",
        "3,1",
        "-o",
        "x.yaml",
    ];
    let ran = run_in(here, &grouped);
    let line = "  4 heads sharing 2 key/value heads, d_k 2, d_v 2, softmax attention, mask full\n";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    let pick = |args: &[&str]| {
        let (code, object) = json_in(here, args);
        assert_eq!(code, 0, "{object}");
        ["d_key", "d_value", "n_heads", "n_key_value_heads", "attention", "memory", "mask", "mask_tensor"]
            .map(|key| object.get(key).unwrap_or_else(|| panic!("{key}: {object}")).clone())
    };
    assert_eq!(
        Value::from(pick(&gpt2).to_vec()),
        json!([4, 4, 2, 2, "softmax", "none", "causal", "h.0.attn.bias"])
    );
    assert_eq!(Value::from(pick(&full).to_vec()), json!([4, 4, 2, 2, "softmax", "none", "full", null]));
    assert_eq!(Value::from(pick(&grouped).to_vec()), json!([2, 2, 4, 2, "softmax", "none", "full", null]));
}

#[test]
fn heads_of_several_kinds_are_imported_apart() {
    let dir = folder();
    let here = dir.path();
    let circuit = root().join("circuits/template_heads.yaml");
    let ran = run_in(here, &["compile", text(&circuit), "-o", "heads.safetensors"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let all = ["import", "heads.safetensors", "-o", "x.yaml"];
    for more in [&[][..], &["--circuit", "attention-mask"], &["--circuit", "key-value-memory"]] {
        let (code, object) = json_in(here, &[&all[..], more].concat());
        let d = &object["diagnostics"][0];
        assert_eq!((code, &d["code"]), (4, &json!("F012")), "{more:?}: {object}");
        let said = format!("{} {}", d["message"], d["help"]);
        let want = "heads 0, 1, 2 can be an attention mask, head 3 only a key-value memory";
        assert!(said.contains(want), "{more:?}: {said}");
        assert!(said.contains("--select 0,1,2 --circuit attention-mask"), "{more:?}: {said}");
        assert!(said.contains("--select 3 --circuit key-value-memory"), "{more:?}: {said}");
    }
    // The advice holds.
    for (select, wiring, attention) in [
        ("0,1,2", "attention-mask", json!(["linear", "linear", "softmax"])),
        ("3", "key-value-memory", json!("linear")),
    ] {
        let more = ["--select", select, "--circuit", wiring, "--force"];
        let (code, object) = json_in(here, &[&all[..], &more].concat());
        assert_eq!((code, &object["attention"]), (0, &attention), "{object}");
    }
    // Where one wiring holds all of them the advice is that of the head.
    let (_, object) =
        json_in(here, &[&all[..], &["--select", "2", "--circuit", "key-value-memory"]].concat());
    assert!(object["diagnostics"][0]["message"].as_str().is_some_and(|m| m.contains("head 2: ")), "{object}");
}

#[test]
fn check_answers_where_nothing_can_be_compared_or_certified() {
    let dir = folder();
    let here = dir.path();
    let (file, digits) =
        (fixture("torch_f64.safetensors"), root().join("circuits/data/transformer/model.safetensors"));
    let (file, digits) = (text(&file), text(&digits));
    import(here, "soft", &[file, "--heads", "2", "--attention", "softmax"]);
    import(here, "linear", &[file, "--heads", "2", "--attention", "linear"]);
    let wide = ["check", "linear.yaml", "--against", digits, "--prefix", "encoder.layer.1", "--heads", "2"];
    let (code, object) = json_in(here, &wide);
    assert_eq!((code, &object["diagnostics"][0]["code"]), (1, &json!("R004")), "{object}");
    assert_eq!((&object["ok"], &object["equivalent"]), (&json!(false), &json!(false)), "{object}");
    // Any other failure is no answer.
    let (code, object) = json_in(here, &["check", "linear.yaml", "--against", "none.safetensors"]);
    assert_eq!((code, object.get("equivalent")), (4, None), "{object}");

    for (circuit, exact, noted) in
        [("soft.yaml", true, true), ("soft.yaml", false, false), ("linear.yaml", true, false)]
    {
        let mut args = vec!["check", circuit, "--against", file, "--heads", "2"];
        args.extend(exact.then_some("--exact"));
        let ran = run_in(here, &args);
        assert_eq!(ran.code, 0, "{}: {}", ran.line, ran.stderr);
        assert_eq!(ran.stderr.contains("--exact was ignored"), noted, "{}: {}", ran.line, ran.stderr);
    }
}
