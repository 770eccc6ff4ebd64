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
        ("l.rotary_emb.inv_freq", "F012", "rotation"),
        ("l.rotary_emb.cos_cached", "F012", "rotation"),
        ("l.q_proj.lora_A.weight", "F012", "merge the adapters"),
        ("l.v_proj.lora_B.default.weight", "F012", "merge the adapters"),
        ("l.lora_E", "F012", "merge the adapters"),
        ("l.rel_pos_h", "F012", "depend on distance"),
        ("l.relative_position_bias_table", "F012", "depend on distance"),
        ("l.alibi_slopes", "F012", "depend on distance"),
        ("l.self.pos_bias_u", "F012", "depend on distance"),
        ("l.out_proj.weight", "F015", "`l.o_proj.weight` and `l.out_proj.weight`"),
    ];
    for (name, code, says) in rows {
        let tensors: Tensors<'_> = &with(name);
        let d = refused(&path, tensors, &[], &options("", 2));
        let said = d.to_string();
        assert_eq!(d.code, code, "{name}: {said}");
        assert!(said.contains(name) && said.contains(says), "{name}: {said}");
    }
    // What is beside the heads, or belongs to another layer, changes nothing.
    for name in ["l.norm.weight", "l.explora_tion", "rotary_emb.inv_freq", "m.q_proj.lora_A.weight"] {
        let list: Vec<_> = with(name).iter().map(|(n, shape)| ((*n).to_owned(), tensor(shape))).collect();
        write_safetensors(&path, &list, &[]).expect("written");
        let read = weights::read(&path, &options("l", 2)).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert_eq!(read.unused, if name.starts_with("l.") { vec![name] } else { vec![] });
    }
}
