//! A transformer of two layers, trained on handwritten digits (`circuits/data/transformer`): its attention layers as the
//! library reads them compute what PyTorch computed, and the whole network with them still knows its digits.

use super::import::circuit_agrees;
use super::recorded::{F32, F64, Layer, errors, errors_by_head, layers, main_stream, options};
use super::support::{relative, root};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::{Block, Kernel, Mask, Normalisation, forward};
use pulvinar::files::{read_array, read_tokens};
use pulvinar::weights::{self, Attention, Options, Scheme};
use std::path::PathBuf;

const LAYERS: usize = 2;
const HEADS: usize = 4;
const D: usize = 32;
/// Images that training saw; the rest is held out.
const TRAIN: usize = 1437;
/// What `train_digits.py` printed, and `circuits/data/transformer/README.md` says.
const RIGHT: (usize, usize) = (344, 360);
/// LayerNorm's, as in BERT.
const EPS: f64 = 1e-12;

fn file(name: &str) -> PathBuf {
    root().join("circuits/data/transformer").join(name)
}

fn all_layers() -> Vec<Layer> {
    layers(&file("model.safetensors"), &file("activations.safetensors"), LAYERS, HEADS).collect()
}

#[test]
fn every_layer_is_read_whole() {
    for layer in all_layers() {
        let (at, loaded) = (layer.index, &layer.loaded);
        assert_eq!(loaded.scheme, Scheme::Bert);
        assert_eq!(loaded.prefix, format!("encoder.layer.{at}.attention."));
        assert_eq!((loaded.heads, loaded.selected.as_slice()), (HEADS, &[0, 1, 2, 3][..]));
        assert_eq!((loaded.block.heads.len(), loaded.block.d_model), (HEADS, D));
        assert!(loaded.overruled.is_empty(), "{:?}", loaded.overruled);
        assert!(loaded.block.b_o.amax() > 1e-3);
        for head in &loaded.block.heads {
            assert_eq!((head.d_key(), head.d_value()), (D / HEADS, D / HEADS));
            assert_eq!((head.kernel, head.normalisation), (Kernel::Exp, Normalisation::Sum));
            assert!((head.scale - 1.0 / 8f64.sqrt()).abs() < 1e-15 && head.mask == Mask::Full);
            assert!(head.b_q.amax() > 1e-3 && head.b_v.amax() > 1e-3, "biases came along");
        }
        assert_eq!(layer.examples.len(), 12, "twelve digits");
        assert!(layer.examples.iter().all(|e| e.input.shape() == (D, 8)), "eight pixel rows each");
    }
}

#[test]
fn every_layer_computes_what_pytorch_computes() {
    for layer in all_layers() {
        let found = errors(&layer.loaded.block, &layer.examples);
        println!("layer {}: f64 {:.1e}, f32 {:.1e}", layer.index, found.double, found.single);
        assert!(found.double < F64 && found.single < F32, "layer {}: {found:?}", layer.index);
    }
}

#[test]
fn every_layer_as_a_circuit_computes_what_pytorch_computes() {
    all_layers().iter().for_each(|layer| circuit_agrees(layer, F64, F32));
}

#[test]
fn every_head_attends_where_pytorch_does() {
    for layer in all_layers() {
        let (map, part) = errors_by_head(&layer).expect("two digits have maps");
        println!("layer {}: maps {map:.1e}, heads one by one {part:.1e}", layer.index);
        assert!(map < F64 && part < F64, "layer {}: maps {map:e}, heads {part:e}", layer.index);
    }
}

/// What is no more than a wrong reading of the file is far from the recording.
#[test]
fn wrong_readings_do_not_agree() {
    let read = |asked: &Options| {
        weights::read(&file("model.safetensors"), asked).unwrap_or_else(|d| panic!("{d}")).block
    };
    for layer in all_layers() {
        let right = || options(layer.index, HEADS);
        let changed = |change: fn(&mut Block)| {
            let mut block = layer.loaded.block.clone();
            change(&mut block);
            block
        };
        let rows: Vec<(&str, Block)> = vec![
            ("half as many heads", read(&options(layer.index, HEADS / 2))),
            ("twice as many heads", read(&options(layer.index, HEADS * 2))),
            ("linear attention", read(&Options { attention: Some(Attention::Linear), ..right() })),
            ("a causal mask", read(&Options { mask: Some(Mask::Causal), ..right() })),
            ("three of four heads", read(&Options { select: Some(vec![0, 1, 2]), ..right() })),
            ("the other layer", read(&options(1 - layer.index, HEADS))),
            ("no scale", changed(|b| b.heads.iter_mut().for_each(|h| h.scale = 1.0))),
            ("no query bias", changed(|b| b.heads.iter_mut().for_each(|h| h.b_q.fill(0.0)))),
            ("no value bias", changed(|b| b.heads.iter_mut().for_each(|h| h.b_v.fill(0.0)))),
            ("no output bias", changed(|b| b.b_o.fill(0.0))),
            (
                "values of another head",
                changed(|b| {
                    let first = b.heads[0].w_v.clone();
                    b.heads[0].w_v = std::mem::replace(&mut b.heads[1].w_v, first);
                }),
            ),
            (
                "queries for keys",
                changed(|b| {
                    for h in &mut b.heads {
                        std::mem::swap(&mut h.w_q, &mut h.w_k);
                        std::mem::swap(&mut h.b_q, &mut h.b_k);
                    }
                }),
            ),
        ];
        for (claim, block) in rows {
            let found = errors(&block, &layer.examples);
            let least = found.double.min(found.single);
            assert!(least > 1e-3, "layer {}, {claim}: agrees to {least:e}", layer.index);
        }
    }
}

/// The network around the attention layers: embedding, LayerNorm, cells with ReLU, classifier.
struct Network {
    attention: Vec<Block>,
}

impl Network {
    fn matrix(name: &str) -> DMatrix<f64> {
        let name = format!("{name}.weight");
        read_tokens(&file("model.safetensors"), Some(&name)).unwrap_or_else(|d| panic!("{d}")).transpose()
    }

    fn vector(name: &str) -> DVector<f64> {
        let array = read_array(&file("model.safetensors"), Some(name)).unwrap_or_else(|d| panic!("{d}"));
        DVector::from_vec(array.data)
    }

    /// `W x + b` for every token.
    fn dense(name: &str, x: &DMatrix<f64>) -> DMatrix<f64> {
        let mut y = Self::matrix(name) * x;
        let bias = Self::vector(&format!("{name}.bias"));
        y.column_iter_mut().for_each(|mut token| token += &bias);
        y
    }

    fn norm(name: &str, mut x: DMatrix<f64>) -> DMatrix<f64> {
        let (gain, bias) = (Self::vector(&format!("{name}.weight")), Self::vector(&format!("{name}.bias")));
        for mut token in x.column_iter_mut() {
            token.add_scalar_mut(-token.mean());
            token /= (token.norm_squared() / D as f64 + EPS).sqrt();
            token.component_mul_assign(&gain);
            token += &bias;
        }
        x
    }

    /// Logits `[10, n_images]` of images whose pixel rows stand side by side, `[8, 8 n_images]`. Attention is run image
    /// by image, all else on all tokens at once.
    fn logits(&self, pixels: &DMatrix<f64>) -> DMatrix<f64> {
        let position = Self::matrix("embeddings.position_embeddings").transpose();
        let mut x = Self::dense("embeddings.row_embeddings", pixels);
        for (token, mut column) in x.column_iter_mut().enumerate() {
            column += position.column(token % 8);
        }
        let mut x = Self::norm("embeddings.LayerNorm", x);
        for (n, block) in self.attention.iter().enumerate() {
            let at = format!("encoder.layer.{n}");
            let mut y = DMatrix::zeros(D, x.ncols());
            for first in (0..x.ncols()).step_by(8) {
                let image = x.columns(first, 8).into_owned();
                let out = forward(block, &main_stream(&image)).unwrap_or_else(|d| panic!("{d}"));
                y.columns_mut(first, 8).copy_from(&out);
            }
            x = Self::norm(&format!("{at}.attention.output.LayerNorm"), x + y);
            let hidden = Self::dense(&format!("{at}.intermediate.dense"), &x).map(|h| h.max(0.0));
            x = Self::norm(
                &format!("{at}.output.LayerNorm"),
                &x + Self::dense(&format!("{at}.output.dense"), &hidden),
            );
        }
        let means: Vec<_> = (0..x.ncols() / 8).map(|i| x.columns(8 * i, 8).column_mean()).collect();
        Self::dense("classifier", &DMatrix::from_columns(&means))
    }
}

/// Pixel rows of all images, `[8, 8 n_images]`, from 0 to 1, and labels.
fn digits() -> (DMatrix<f64>, Vec<usize>) {
    let read = |name: &str| {
        read_array(&root().join("circuits/data/digits.npz"), Some(name))
            .unwrap_or_else(|d| panic!("{d}"))
            .data
    };
    let pixels = read("images");
    let labels = read("labels").iter().map(|l| *l as usize).collect();
    (DMatrix::from_vec(8, pixels.len() / 8, pixels) / 16.0, labels)
}

#[test]
fn the_network_knows_as_many_held_out_digits_as_in_pytorch() {
    let network = Network { attention: all_layers().into_iter().map(|l| l.loaded.block).collect() };
    let (pixels, labels) = digits();
    let held = pixels.columns(8 * TRAIN, pixels.ncols() - 8 * TRAIN).into_owned();
    let logits = network.logits(&held);
    let right =
        logits.column_iter().zip(&labels[TRAIN..]).filter(|(y, label)| y.argmax().0 == **label).count();
    assert_eq!((right, logits.ncols()), RIGHT);
    for example in &all_layers()[0].examples {
        let image: usize = example.name.strip_prefix("digit_").unwrap().parse().unwrap();
        let want = read_tokens(&file("activations.safetensors"), Some(&format!("{}.logits", example.name)))
            .unwrap_or_else(|d| panic!("{d}"));
        let got = logits.columns(image - TRAIN, 1).into_owned();
        let error = relative(&got, &want);
        assert!(error < F64, "image {image}: {error:e}");
    }
    // Without the attention layers it does not know them.
    let mut blind = network;
    for block in &mut blind.attention {
        block.heads.clear();
    }
    let logits = blind.logits(&held);
    let blind =
        logits.column_iter().zip(&labels[TRAIN..]).filter(|(y, label)| y.argmax().0 == **label).count();
    assert!(blind < RIGHT.0 / 2, "{blind} right without attention");
}
