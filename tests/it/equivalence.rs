//! Circuits that must compile to the same function, and circuits that must not.

use crate::support::{from_text, load, root};
use pulvinar::attention::Block;
use pulvinar::attention::equivalence::{Method, distance, matched_heads, witness};
use pulvinar::circuit::Circuit;
use pulvinar::compile::compile;

fn block(circuit: &Circuit) -> Block {
    let compiled = compile(circuit).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(compiled.blocks.len(), 1);
    compiled.blocks[0].block.clone()
}

fn shipped(name: &str) -> Block {
    block(&load(&root().join("circuits").join(name)).1)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join("circuits").join(name)).expect("a shipped circuit")
}

fn compiled(text: &str) -> Block {
    block(&from_text(text).unwrap_or_else(|e| panic!("{e}")).1)
}

#[test]
fn a_memory_is_the_mask_of_the_same_draws() {
    let (mask, memory) = (shipped("one_head_attention_mask.yaml"), shipped("one_head_key_value_memory.yaml"));
    let found = distance(&mask, &memory).expect("linear heads");
    assert!(found.is_within(1e-13), "{found:?}");
    assert_eq!(found.method, Method::CertificateCompensated);
    let heads = matched_heads(&mask, &memory).expect("same widths");
    assert!(heads.len() == 1 && heads[0].same_kind && heads[0].cosine > 1.0 - 1e-12, "{heads:?}");
}

#[test]
fn a_broadcasting_cell_is_all_ones() {
    let text = read("broadcast_lateral.yaml");
    let ones: String = text
        .lines()
        .filter(|l| !l.trim_start().starts_with("score:") && !l.trim_start().starts_with("beta:"))
        .map(|l| l.replace("from: A1.score, ", "from: A1.superficial, ") + "\n")
        .collect();
    assert_ne!(ones.lines().count(), text.lines().count());
    let found = distance(&compiled(&text), &compiled(&ones)).expect("linear heads");
    assert!(found.is_within(1e-13), "{found:?}");
}

#[test]
fn other_draws_masks_and_paths_are_other_functions() {
    let text = read("one_head_attention_mask.yaml");
    let original = compiled(&text);
    for (from, to) in [
        ("seed: 42", "seed: 43"),
        ("mask: causal", "mask: full"),
        ("mask: causal", "mask: strict"),
        ("weights: identity}", "weights: identity, gain: 1.001}"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let other = compiled(&changed);
        let found = distance(&original, &other).expect("linear heads");
        assert!(found.total.relative() > 1e-4, "{to}: {found:?}");
        let shown = witness(&original, &other).expect("linear heads");
        assert!(shown.measured > 1e-4, "{to}: {shown:?}");
        assert!((shown.predicted / shown.measured - 1.0).abs() < 1e-9, "{to}: {shown:?}");
    }
}

#[test]
fn softmax_delta_and_gated_heads_are_refused_by_name() {
    for (name, what) in [
        ("softmax_divisive.yaml", "kernel is exp"),
        ("delta_memory.yaml", "memory is delta"),
        ("gated_memory.yaml", "memory is gated"),
        ("polynomial_kernel.yaml", "kernel is power"),
    ] {
        let block = shipped(name);
        let error = distance(&block, &block).expect_err("no linear head").to_string();
        assert!(error.starts_with("block A, head 0: ") && error.contains(what), "{name}: {error}");
    }
}

#[test]
fn a_fading_memory_is_itself_and_not_one_that_keeps() {
    let block = shipped("decay_memory.yaml");
    let found = distance(&block, &block).expect("linear heads");
    assert!(found.is_within(1e-15) && found.groups.iter().all(|g| g.decay < 1.0), "{found:?}");
    let mut keeps = block.clone();
    keeps.heads.iter_mut().for_each(|h| h.memory = pulvinar::attention::Memory::Hebbian);
    assert!(!distance(&block, &keeps).expect("linear heads").is_within(0.1));
}
