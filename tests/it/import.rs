//! Transformer heads as circuits: every layout, every wiring, there and back again.

use super::recorded::{Example, Layer, errors};
use super::weights::{CASES, fixture, options};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::equivalence::{Comparison, Method, Wish, compare};
use pulvinar::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Rate, Residual};
use pulvinar::compile::compile;
use pulvinar::files::write_safetensors;
use pulvinar::weights::{self, Attention, Imported, Loaded, Options, Style, Wiring, import, write_heads};
use pulvinar::{circuit, spec};
use std::path::Path;

fn style(wiring: Option<Wiring>) -> Style {
    Style {
        name: "imported".into(),
        weights_file: "imported.weights.safetensors".into(),
        wiring,
        ignored: Vec::new(),
    }
}

/// The circuit of a block, written to `folder` and compiled.
fn compiled(
    folder: &Path,
    block: &Block,
    numbers: &[usize],
    wiring: Option<Wiring>,
) -> (Imported, Vec<Block>) {
    let imported =
        import::import(Path::new("heads"), block, numbers, &style(wiring)).unwrap_or_else(|d| panic!("{d}"));
    write_safetensors(&folder.join("imported.weights.safetensors"), &imported.weights, &[]).expect("written");
    let document = spec::read(imported.yaml.as_bytes(), folder, &[])
        .unwrap_or_else(|d| panic!("{d}\n{}", imported.yaml));
    let circuit = circuit::wire(&document.spec, folder).unwrap_or_else(|d| panic!("{d}\n{}", imported.yaml));
    let blocks = compile(&circuit).unwrap_or_else(|d| panic!("{d}\n{}", imported.yaml)).plain_blocks();
    (imported, blocks)
}

fn verdict(a: &Block, b: &Block) -> Comparison {
    let wish = Wish { tolerance: 1e-13, inputs: Vec::new(), exact: false, seed: 5 };
    compare(a, b, &wish).unwrap_or_else(|e| panic!("{e}"))
}

/// Import, compile, compare; then write the heads, import those, and find the same bytes.
fn there_and_back(claim: &str, loaded: &Loaded, wiring: Option<Wiring>) {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (first, blocks) = compiled(here.path(), &loaded.block, &loaded.selected, wiring);
    assert_eq!(blocks.len(), 1, "{claim}");
    let found = verdict(&blocks[0], &loaded.block);
    assert!(found.equivalent, "{claim}: {}", found.relative_distance);
    assert_eq!(blocks[0].heads.len(), loaded.block.heads.len(), "{claim}: one area, one head");

    let heads = here.path().join("heads.safetensors");
    write_heads(&heads, &blocks).unwrap_or_else(|d| panic!("{claim}: {d}"));
    let again = weights::read(&heads, &Options::default()).unwrap_or_else(|d| panic!("{claim}: {d}"));
    assert!(again.assumed.is_empty(), "{claim}: {:?}", again.assumed);
    let (second, _) = compiled(there.path(), &again.block, &again.selected, None);
    assert_eq!(first.yaml, second.yaml, "{claim}");
    let bytes = |folder: &Path| std::fs::read(folder.join("imported.weights.safetensors")).expect("there");
    assert_eq!(bytes(here.path()), bytes(there.path()), "{claim}");
}

#[test]
fn circuits_of_every_layout_are_the_layer() {
    let (mask, memory) = (Some(Wiring::AttentionMask), Some(Wiring::KeyValueMemory));
    for &(case, prefix, heads, ..) in CASES {
        for (attention, mask, wiring) in [
            (Attention::Softmax, Mask::Full, None),
            (Attention::Softmax, Mask::Causal, mask),
            (Attention::Softmax, Mask::Strict, mask),
            (Attention::Linear, Mask::Full, mask),
            (Attention::Linear, Mask::Strict, memory),
            (Attention::Linear, Mask::Causal, memory),
        ] {
            let asked = Options { attention: Some(attention), mask: Some(mask), ..options(prefix, heads) };
            let path = fixture(&format!("{case}.safetensors"));
            let loaded = weights::read(&path, &asked).unwrap_or_else(|d| panic!("{case}: {d}"));
            there_and_back(&format!("{case} {attention:?} {mask:?} {wiring:?}"), &loaded, wiring);
        }
    }
}

#[test]
fn some_heads_keep_their_numbers() {
    let asked = Options {
        select: Some(vec![2, 0]),
        attention: Some(Attention::Softmax),
        ..options("model.layers.1.self_attn", 4)
    };
    let loaded = weights::read(&fixture("grouped.safetensors"), &asked).unwrap_or_else(|d| panic!("{d}"));
    let imported = import::import(Path::new("heads"), &loaded.block, &loaded.selected, &style(None)).unwrap();
    assert_eq!(imported.areas, ["H2", "H0"]);
    assert!(imported.weights.iter().any(|(name, _)| name == "H2_W_Q"), "{:?}", imported.yaml);
    there_and_back("selected", &loaded, None);
}

fn random(rows: usize, columns: usize, seed: &mut u64) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((*seed >> 33) as f64) / f64::from(u32::MAX) - 0.25
    })
}

/// A head with biases on tokens of width 5.
pub fn head(d_k: usize, d_v: usize, seed: u64) -> Head {
    let s = &mut seed.wrapping_add(99);
    let mut vector = |n: usize| DVector::from_vec(random(n, 1, s).as_slice().to_vec());
    let (b_q, b_k, b_v) = (vector(d_k), vector(d_k), vector(d_v));
    Head {
        w_q: random(d_k, 5, s),
        w_k: random(d_k, 5, s),
        w_v: random(d_v, 5, s),
        w_o: random(5, d_v, s),
        b_q,
        b_k,
        b_v,
        scale: 1.0,
        kernel: Kernel::Linear,
        normalisation: Normalisation::None,
        mask: Mask::Causal,
        memory: Memory::None,
        query_stream: "main".into(),
        context_stream: "main".into(),
        value_stream: "main".into(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    }
}

pub fn block(heads: Vec<Head>) -> Block {
    Block {
        relay: "R".into(),
        d_model: 5,
        clock_stream: "main".into(),
        heads,
        residual: vec![Residual { stream: "main".into(), matrix: DMatrix::identity(5, 5) }],
        b_o: DVector::from_element(5, 0.25),
    }
}

#[test]
fn heads_of_all_kinds_become_circuits() {
    let with = |change: fn(&mut Head)| {
        let mut all = vec![head(2, 3, 1), head(3, 2, 2)];
        all.iter_mut().for_each(change);
        block(all)
    };
    let mut elsewhere = with(|h| {
        h.mask = Mask::Full;
        h.context_stream = "sound".into();
        h.value_stream = "sound".into();
    });
    elsewhere.residual.push(Residual { stream: "touch".into(), matrix: random(5, 4, &mut 8) });
    let mut mixed = with(|_| ());
    mixed.heads[1].mask = Mask::Strict;
    mixed.heads[0].area = "V1".into();
    mixed.heads[1].area = "V1".into();
    let cases: Vec<(&str, Block, Option<Wiring>)> = vec![
        ("linear", with(|_| ()), None),
        ("fading", with(|h| h.memory = Memory::Decay(0.75)), None),
        ("fading, full", with(|h| (h.memory, h.mask) = (Memory::Decay(0.75), Mask::Full)), None),
        ("delta", with(|h| h.memory = Memory::Delta(Rate::Constant(0.3))), None),
        ("exponential", with(|h| h.kernel = Kernel::Exp), None),
        ("cubic", with(|h| h.kernel = Kernel::Power(3)), None),
        (
            "squared, divided",
            with(|h| (h.kernel, h.normalisation) = (Kernel::Power(2), Normalisation::Sum)),
            None,
        ),
        (
            "softmax of another scale",
            with(|h| (h.kernel, h.normalisation, h.scale) = (Kernel::Exp, Normalisation::Sum, 0.3)),
            None,
        ),
        ("two clocks", elsewhere, Some(Wiring::KeyValueMemory)),
        ("two masks, one name", mixed, Some(Wiring::AttentionMask)),
    ];
    for (claim, block, wiring) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let (imported, blocks) = compiled(folder.path(), &block, &[0, 1], wiring);
        let found = verdict(&blocks[0], &block);
        assert!(found.equivalent, "{claim}: {}\n{}", found.relative_distance, imported.yaml);
        // The same comparison notices one weight.
        let mut other = block.clone();
        other.heads[1].w_k[(0, 3)] += 1e-6;
        assert!(!verdict(&blocks[0], &other).equivalent, "{claim}: one weight more");
    }
    // A scale goes into the gain of the lateral weights.
    let folder = tempfile::tempdir().expect("a folder");
    let scaled = with(|h| h.scale = -0.5);
    let (imported, blocks) = compiled(folder.path(), &scaled, &[0, 1], None);
    assert!(verdict(&blocks[0], &scaled).equivalent && imported.yaml.contains("gain: -0.5"));
}

#[test]
fn what_a_wiring_cannot_be_is_refused() {
    type Change = fn(&mut Head);
    let cases: [(&str, Wiring, Change, &str); 5] = [
        ("a memory that fades", Wiring::AttentionMask, |h| h.memory = Memory::Decay(0.5), "key-value-memory"),
        (
            "delta",
            Wiring::AttentionMask,
            |h| h.memory = Memory::Delta(Rate::Constant(0.5)),
            "key-value-memory",
        ),
        (
            "softmax",
            Wiring::KeyValueMemory,
            |h| (h.kernel, h.normalisation) = (Kernel::Exp, Normalisation::Sum),
            "attention-mask",
        ),
        ("power", Wiring::KeyValueMemory, |h| h.kernel = Kernel::Power(2), "attention-mask"),
        ("no name", Wiring::AttentionMask, |h| h.query_stream = "a b".into(), "letters"),
    ];
    for (claim, wiring, change, help) in cases {
        let mut heads = vec![head(2, 2, 3), head(2, 2, 4)];
        change(&mut heads[1]);
        let found = import::import(Path::new("w.safetensors"), &block(heads), &[0, 7], &style(Some(wiring)));
        let d = found.expect_err(claim);
        assert_eq!(d.code, "F012", "{claim}");
        assert!(d.help.as_deref().is_some_and(|h| h.contains(help)), "{claim}: {d:?}");
        assert!(d.message.contains("w.safetensors"), "{claim}: {d:?}");
        if claim != "no name" {
            assert!(d.message.contains("head 7"), "{claim}: {d:?}");
        }
    }
    let none = import::import(Path::new("w"), &block(Vec::new()), &[], &style(None));
    assert_eq!(none.expect_err("no heads").code, "F012");
}

#[test]
fn the_text_reads_like_one_that_a_person_wrote() {
    let mut one = head(2, 3, 1);
    (one.kernel, one.normalisation, one.scale) = (Kernel::Exp, Normalisation::Sum, 1.0 / 2f64.sqrt());
    let softmax = import::import(Path::new("w"), &block(vec![one]), &[3], &style(None)).unwrap();
    insta::assert_snapshot!("import_softmax", softmax.yaml);
    let mut two = block(vec![head(2, 2, 1), head(2, 2, 2)]);
    two.heads.iter_mut().for_each(|h| {
        h.memory = Memory::Decay(0.9);
        h.b_k.fill(0.0);
    });
    let memory = import::import(Path::new("w"), &two, &[0, 1], &style(None)).unwrap();
    insta::assert_snapshot!("import_memory", memory.yaml);
}

/// A layer of a trained network as a circuit: the same block, and still what PyTorch recorded.
pub fn circuit_agrees(layer: &Layer, double: f64, single: f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let (imported, blocks) = compiled(folder.path(), &layer.loaded.block, &layer.loaded.selected, None);
    assert_eq!(imported.wiring, Wiring::AttentionMask);
    let found = verdict(&blocks[0], &layer.loaded.block);
    assert!(
        found.equivalent && found.method == Method::Probe,
        "layer {}: {}",
        layer.index,
        found.relative_distance
    );
    let examples: &[Example] = &layer.examples;
    let found = errors(&blocks[0], examples);
    println!("layer {} as a circuit: f64 {:.1e}, f32 {:.1e}", layer.index, found.double, found.single);
    assert!(found.double < double && found.single < single, "layer {}: {found:?}", layer.index);
}
