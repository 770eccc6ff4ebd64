//! Gradients against plain loops, finite differences and the identities of the theory; failures; threads; precision.

mod differences;
mod failures;
mod identities;
mod loops;
mod memory;
mod precision;
mod stacks;

use super::{BlockGradient, Gradient, backward};
use crate::attention::forward::tests::random::Draw;
use crate::attention::{Block, Streams};
use nalgebra::DMatrix;

/// Derivatives by name.
type Named = Vec<(String, Vec<f64>)>;

fn named(block: &BlockGradient, streams: &Streams) -> Named {
    let mut all: Named = block.tensors().into_iter().map(|(name, d)| (name, d.to_vec())).collect();
    all.extend(streams.iter().map(|(name, d)| (format!("stream {name}"), d.as_slice().to_vec())));
    all
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Largest `|got - want| / |want|` of all tensors, and the name of that tensor.
///
/// A tensor that cancels (softmax does not see `b_K`) is measured against a thousandth of the largest one.
fn worst(got: &Named, want: &Named) -> (f64, String) {
    worst_above(1e-3, got, want)
}

/// The same with another least size, as a part of the largest tensor.
fn worst_above(least: f64, got: &Named, want: &Named) -> (f64, String) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().map(|(_, w)| norm(w)).fold(f64::MIN_POSITIVE, f64::max);
    let mut worst = (0.0, String::new());
    for ((name, g), (other, w)) in got.iter().zip(want) {
        assert_eq!((name, g.len()), (other, w.len()));
        let gap: Vec<f64> = g.iter().zip(w).map(|(g, w)| g - w).collect();
        let gap = norm(&gap) / norm(w).max(least * largest);
        assert!(!gap.is_nan(), "{name}");
        if gap > worst.0 {
            worst = (gap, name.clone());
        }
    }
    worst
}

/// Derivatives of `sum(d_output * y)` by everything, and that `d_output`.
fn gradient(block: &Block, streams: &Streams, draw: &mut Draw) -> (Gradient, DMatrix<f64>) {
    let d_output = draw.matrix(block.d_model, streams[&block.clock_stream].ncols());
    (backward(block, streams, &d_output).unwrap_or_else(|e| panic!("{e}")), d_output)
}
