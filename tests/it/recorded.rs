//! Attention layers of trained networks beside what PyTorch recorded of them: reading, and comparing.
//!
//! A recording is a `.safetensors` as `recorder` in `tests/golden/bert.py` writes it, with `NAME` an example (a digit,
//! a sentence), `P` a precision: `layer.N.NAME.input.P` and `.output.P`, `[n_tokens, D]`; of some examples also
//! `layer.N.NAME.map.H` `[n_query, n_context]` and `layer.N.NAME.head.H` `[n_tokens, D]`, both f64. The output is that
//! of the attention layer with its output bias, before residual and LayerNorm.

use nalgebra::DMatrix;
use pulvinar::attention::{Block, Streams, attention_map, forward};
use pulvinar::files::{list_arrays, read_tokens};
use pulvinar::linalg::Real;
use pulvinar::weights::{self, Attention, Loaded, Options};
use std::collections::BTreeSet;
use std::path::Path;

/// Double precision against PyTorch's: some hundred products in another order.
pub const F64: f64 = 1e-10;
/// Single precision against PyTorch's.
pub const F32: f64 = 1e-5;

/// What went in and came out of one layer for one example; `[D, n_tokens]`.
pub struct Example {
    pub name: String,
    pub input: DMatrix<f64>,
    pub output: DMatrix<f64>,
    pub input_f32: DMatrix<f32>,
    pub output_f32: DMatrix<f32>,
    /// `[n_query, n_context]` of every head; empty where not recorded
    pub maps: Vec<DMatrix<f64>>,
    /// what every head adds to the output; empty where not recorded
    pub by_head: Vec<DMatrix<f64>>,
}

/// One attention layer as the library reads it, and its examples.
pub struct Layer {
    pub index: usize,
    pub loaded: Loaded,
    pub examples: Vec<Example>,
}

/// How far a block is from what was recorded, relative to the largest recorded output of the layer.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    pub double: f64,
    pub single: f64,
}

/// What says that layer `index` of a BERT encoder is meant, with softmax.
pub fn options(index: usize, heads: usize) -> Options {
    Options {
        prefix: Some(format!("encoder.layer.{index}")),
        heads: Some(heads),
        attention: Some(Attention::Softmax),
        ..Options::default()
    }
}

/// The layers of an encoder, one at a time, with their examples.
pub fn layers<'a>(
    model: &'a Path,
    recording: &'a Path,
    count: usize,
    heads: usize,
) -> impl Iterator<Item = Layer> + 'a {
    (0..count).map(move |index| {
        let loaded = weights::read(model, &options(index, heads)).unwrap_or_else(|d| panic!("{d}"));
        Layer { index, loaded, examples: examples(recording, index) }
    })
}

/// Everything recorded of one layer, sorted by name.
fn examples(recording: &Path, index: usize) -> Vec<Example> {
    let entries = list_arrays(recording).unwrap_or_else(|d| panic!("{d}"));
    let arrays: BTreeSet<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    let layer = format!("layer.{index}.");
    let names = arrays.iter().filter_map(|a| a.strip_prefix(layer.as_str())?.strip_suffix(".input.f64"));
    let read = |array: &str| read_tokens(recording, Some(array)).unwrap_or_else(|d| panic!("{d}"));
    let all: Vec<Example> = names
        .map(|name| {
            let of = |what: &str| read(&format!("{layer}{name}.{what}"));
            let single = |what: &str| of(what).map(|x| x as f32);
            let every = |what: &str| -> Vec<DMatrix<f64>> {
                let array = |h: usize| format!("{layer}{name}.{what}.{h}");
                (0..).map(array).take_while(|a| arrays.contains(a.as_str())).map(|a| read(&a)).collect()
            };
            Example {
                name: name.to_owned(),
                input: of("input.f64"),
                output: of("output.f64"),
                input_f32: single("input.f32"),
                output_f32: single("output.f32"),
                // Tokens are columns here; a map has its query tokens in rows.
                maps: every("map").iter().map(DMatrix::transpose).collect(),
                by_head: every("head"),
            }
        })
        .collect();
    assert!(!all.is_empty(), "{} records nothing of layer {index}", recording.display());
    all
}

/// The stream `main`, which every imported layer reads.
pub fn main_stream<T: Real>(tokens: &DMatrix<T>) -> Streams<T> {
    Streams::from([("main".to_owned(), tokens.clone())])
}

/// `max |a - b| / max |b|` over all pairs together.
fn largest<T: Real>(pairs: &[(DMatrix<T>, &DMatrix<T>)]) -> f64 {
    let most = |m: &DMatrix<T>| m.iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
    let (mut difference, mut size) = (0.0f64, 0.0f64);
    for (got, want) in pairs {
        assert_eq!(got.shape(), want.shape(), "shapes");
        difference = difference.max(most(&(got - *want)));
        size = size.max(most(want));
    }
    assert!(size > 1e-3, "the recorded output is next to nothing");
    difference / size
}

/// Runs a block on all examples of a layer, in both precisions.
pub fn errors(block: &Block, examples: &[Example]) -> Errors {
    let run = |e: &Example| forward(block, &main_stream(&e.input)).unwrap_or_else(|d| panic!("{d}"));
    let double: Vec<_> = examples.iter().map(|e| (run(e), &e.output)).collect();
    let narrow = block.cast::<f32>();
    let run = |e: &Example| forward(&narrow, &main_stream(&e.input_f32)).unwrap_or_else(|d| panic!("{d}"));
    let single: Vec<_> = examples.iter().map(|e| (run(e), &e.output_f32)).collect();
    Errors { double: largest(&double), single: largest(&single) }
}

/// The largest error of an attention map (a weight is at most 1), and of one head's part of the output relative to the
/// largest such part; `None` where no example has them.
pub fn errors_by_head(layer: &Layer) -> Option<(f64, f64)> {
    let block = &layer.loaded.block;
    let with_maps: Vec<&Example> = layer.examples.iter().filter(|e| !e.maps.is_empty()).collect();
    let (mut map, mut pairs) = (0.0f64, Vec::new());
    for example in &with_maps {
        let streams = main_stream(&example.input);
        assert_eq!((example.maps.len(), example.by_head.len()), (block.heads.len(), block.heads.len()));
        for (h, head) in block.heads.iter().enumerate() {
            let got = attention_map(block, h, &streams).unwrap_or_else(|d| panic!("{d}"));
            assert_eq!(got.shape(), example.maps[h].shape());
            map = map.max((got - &example.maps[h]).amax());
            let mut alone = Block { heads: vec![head.clone()], ..block.clone() };
            alone.b_o.fill(0.0);
            let part = forward(&alone, &streams).unwrap_or_else(|d| panic!("{d}"));
            pairs.push((part, &example.by_head[h]));
        }
    }
    (!pairs.is_empty()).then(|| (map, largest(&pairs)))
}
