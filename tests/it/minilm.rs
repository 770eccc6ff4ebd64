//! A sentence model of 22 million weights, all-MiniLM-L6-v2: its 72 heads as the library reads them compute what PyTorch
//! computed. Ignored, and run where `PULVINAR_REAL_WEIGHTS` names its `model.safetensors`; `tests/golden/minilm.py` says how to get
//! it and writes the recording: `PULVINAR_REAL_ACTIVATIONS`, or `activations.safetensors` beside the weights.

use super::import::circuit_agrees;
use super::recorded::{Errors, F32, F64, Layer, errors, errors_by_head, layers, options};
use pulvinar::weights::{self, Scheme};
use std::path::PathBuf;

const LAYERS: usize = 6;
const HEADS: usize = 12;
const D: usize = 384;

/// Weights and recording.
fn files() -> (PathBuf, PathBuf) {
    let model = std::env::var_os("PULVINAR_REAL_WEIGHTS").map(PathBuf::from).expect(
        "PULVINAR_REAL_WEIGHTS names the model.safetensors (tests/golden/minilm.py says how to get it)",
    );
    let recording = std::env::var_os("PULVINAR_REAL_ACTIVATIONS")
        .map_or_else(|| model.with_file_name("activations.safetensors"), PathBuf::from);
    for file in [&model, &recording] {
        assert!(file.is_file(), "{} is not there; run tests/golden/minilm.py", file.display());
    }
    (model, recording)
}

/// Calls `check` for one layer after the other.
fn for_each_layer(check: impl Fn(&Layer)) {
    let (model, recording) = files();
    layers(&model, &recording, LAYERS, HEADS).for_each(|layer| check(&layer));
}

#[test]
#[ignore = "needs all-MiniLM-L6-v2: PULVINAR_REAL_WEIGHTS=model.safetensors cargo test --release --test it minilm -- --ignored"]
fn every_layer_computes_what_pytorch_computes() {
    for_each_layer(|layer| {
        let (at, loaded) = (layer.index, &layer.loaded);
        assert_eq!((loaded.scheme, loaded.heads, loaded.block.heads.len()), (Scheme::Bert, HEADS, HEADS));
        assert_eq!(loaded.prefix, format!("encoder.layer.{at}.attention."));
        assert!(loaded.block.heads.iter().all(|h| h.w_q.shape() == (D / HEADS, D)), "layer {at}");
        assert!(loaded.block.b_o.amax() > 1e-3, "layer {at} has an output bias");
        let Errors { double, single } = errors(&loaded.block, &layer.examples);
        let tokens: usize = layer.examples.iter().map(|e| e.input.ncols()).sum();
        println!(
            "layer {at}: {HEADS} heads, {tokens} tokens in {} sentences: f64 {double:.1e}, f32 {single:.1e}",
            layer.examples.len()
        );
        assert!(double < F64 && single < F32, "layer {at}: f64 {double:e}, f32 {single:e}");
    });
}

#[test]
#[ignore = "needs all-MiniLM-L6-v2: PULVINAR_REAL_WEIGHTS=model.safetensors cargo test --release --test it minilm -- --ignored"]
fn every_layer_as_a_circuit_computes_what_pytorch_computes() {
    for_each_layer(|layer| circuit_agrees(layer, F64, F32));
}

#[test]
#[ignore = "needs all-MiniLM-L6-v2: PULVINAR_REAL_WEIGHTS=model.safetensors cargo test --release --test it minilm -- --ignored"]
fn every_head_attends_where_pytorch_does() {
    for_each_layer(|layer| {
        let (map, part) = errors_by_head(layer).expect("some sentences have maps");
        println!("layer {}: maps {map:.1e}, heads one by one {part:.1e}", layer.index);
        assert!(map < F64 && part < F64, "layer {}: maps {map:e}, heads {part:e}", layer.index);
    });
}

#[test]
#[ignore = "needs all-MiniLM-L6-v2: PULVINAR_REAL_WEIGHTS=model.safetensors cargo test --release --test it minilm -- --ignored"]
fn another_number_of_heads_does_not_agree() {
    let (model, recording) = files();
    for layer in layers(&model, &recording, LAYERS, HEADS) {
        for heads in [HEADS / 2, HEADS * 2] {
            let wrong =
                weights::read(&model, &options(layer.index, heads)).unwrap_or_else(|d| panic!("{d}")).block;
            let found = errors(&wrong, &layer.examples);
            let least = found.double.min(found.single);
            assert!(least > 1e-3, "layer {}, {heads} heads: agrees to {least:e}", layer.index);
        }
    }
}
