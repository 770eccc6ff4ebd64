//! Back through one head, from `dL/dY` to its parameters, keys, queries, values and gates.

use super::maps::{dot, outer, slope, sum_tokens, times_slopes, transposed};
use super::types::{GateGradient, HeadGradient, MemoryGradient};
use super::{linear, recurrent, tiles};
use crate::attention::forward::inputs::{Inputs, Reader, affine};
use crate::attention::forward::tiles::Scoring;
use crate::attention::forward::{Read, decay_of};
use crate::attention::{ForwardError, Gate, Head, Kernel, Memory, Normalisation, Rate};
use crate::linalg::Real;
use nalgebra::DMatrix;

/// Derivatives by what a head projects its streams to.
pub(super) struct Back<T: Real> {
    pub queries: DMatrix<T>,
    pub keys: DMatrix<T>,
    pub values: DMatrix<T>,
    /// by the decay, 0 where there is none
    pub decay: T,
    /// by the rates of a delta or gated memory, `[1 or rows, n_context]`, empty where there are none
    pub rates: DMatrix<T>,
}

impl<T: Real> Back<T> {
    pub fn zeros(x: &Inputs<T>) -> Self {
        let like = |m: &DMatrix<T>| DMatrix::zeros(m.nrows(), m.ncols());
        let (queries, keys, values) = (like(&x.queries), like(&x.keys), like(&x.values));
        Self { queries, keys, values, decay: T::zero(), rates: DMatrix::zeros(0, 0) }
    }
}

/// One head's derivatives by its parameters, and by its projections (before any map) for the streams.
pub(super) struct HeadBack<T: Real> {
    pub gradient: HeadGradient<T>,
    pub queries: DMatrix<T>,
    pub keys: DMatrix<T>,
    pub values: DMatrix<T>,
    /// by the features of the gate, where there is one
    pub gate: Option<DMatrix<T>>,
}

/// Back through the head of `reader`, which read `read`.
pub(super) fn backward<T: Real>(
    reader: &Reader<'_, T>,
    read: &Read<T>,
    d_output: &DMatrix<T>,
) -> Result<HeadBack<T>, ForwardError> {
    let Reader { head, streams, parallel, .. } = *reader;
    let w_o = outer(d_output, &read.output, parallel);
    let mut d_read = transposed(&head.w_o, d_output, parallel);
    if head.normalisation == Normalisation::Sum {
        d_read = undivide(&d_read, read);
    }
    let mut back = through(head, read, &d_read, parallel);
    drop(d_read);
    if head.normalisation == Normalisation::Sum {
        let last = back.values.nrows() - 1;
        back.values = back.values.remove_row(last);
    }

    // q = scale * map(z): first the scale, then the map.
    let features = unscaled(reader, read)?;
    let scale = dot(back.queries.as_slice(), features.as_slice());
    back.queries *= head.scale;
    if let Kernel::Feature { key, query } = head.kernel {
        times_slopes(&mut back.queries, query, &features);
        times_slopes(&mut back.keys, key, &read.inputs.keys);
    }
    drop(features);

    let (memory, gate) = match &head.memory {
        Memory::None | Memory::Hebbian => (MemoryGradient::None, None),
        Memory::Decay(_) => (MemoryGradient::Decay(back.decay), None),
        Memory::Delta(Rate::Constant(_)) => (MemoryGradient::Rate(back.rates.sum()), None),
        Memory::Delta(Rate::Gate(gate)) | Memory::Gated { gate, .. } => {
            let (gradient, features) = through_gate(gate, &streams[&gate.stream], &back.rates, parallel);
            (MemoryGradient::Gate(gradient), Some(features))
        }
    };
    let gradient = HeadGradient {
        w_q: outer(&back.queries, &streams[&head.query_stream], parallel),
        w_k: outer(&back.keys, &streams[&head.context_stream], parallel),
        w_v: outer(&back.values, &streams[&head.value_stream], parallel),
        w_o,
        b_q: sum_tokens(&back.queries),
        b_k: sum_tokens(&back.keys),
        b_v: sum_tokens(&back.values),
        scale,
        memory,
    };
    Ok(HeadBack { gradient, queries: back.queries, keys: back.keys, values: back.values, gate })
}

/// From `dL/du` of read-outs to keys, scaled queries and values.
fn through<T: Real>(head: &Head<T>, read: &Read<T>, d_read: &DMatrix<T>, parallel: bool) -> Back<T> {
    let x = &read.inputs;
    match (&read.rates, head.kernel) {
        (Some((rates, side)), _) => {
            let delta = matches!(head.memory, Memory::Delta(_));
            let rule = if delta { recurrent::Rule::Delta } else { recurrent::Rule::Gated(*side) };
            recurrent::backward(x, d_read, head.mask, rule, rates)
        }
        (None, Kernel::Linear | Kernel::Feature { .. }) => {
            linear::backward(x, d_read, head.mask, decay_of(head), parallel)
        }
        (None, Kernel::Exp | Kernel::Power(_)) => {
            tiles::backward(x, d_read, Scoring::of(head), &read.maxima, parallel)
        }
    }
}

/// Derivatives by numerator and sum (the last row) of `u = numerator / sum`: `e / sum` and `-(e . u) / sum`.
///
/// Where the sum is 0 the read-out is 0 by convention, a constant: both derivatives are 0.
fn undivide<T: Real>(d_read: &DMatrix<T>, read: &Read<T>) -> DMatrix<T> {
    let rows = d_read.nrows();
    let mut out = DMatrix::zeros(rows + 1, d_read.ncols());
    for (i, sum) in read.sums.iter().enumerate().filter(|(_, sum)| !sum.is_zero()) {
        let (e, u) = (d_read.column(i), read.output.column(i));
        for a in 0..rows {
            out[(a, i)] = e[a] / *sum;
        }
        out[(rows, i)] = -dot(e.as_slice(), u.as_slice()) / *sum;
    }
    out
}

/// The queries before they were multiplied by the scale.
fn unscaled<T: Real>(reader: &Reader<'_, T>, read: &Read<T>) -> Result<DMatrix<T>, ForwardError> {
    let scale = reader.head.scale;
    if scale.is_zero() {
        return Ok(reader.unscaled()?.queries);
    }
    Ok(&read.inputs.queries / scale)
}

/// Back through `g(x) = constant + weights * map(features x + bias)`, from `dL/dg` `[n_rows, n_tokens]`: its
/// parameters, and `dL/d(features x + bias)`.
fn through_gate<T: Real>(
    gate: &Gate<T>,
    x: &DMatrix<T>,
    d_gains: &DMatrix<T>,
    parallel: bool,
) -> (GateGradient<T>, DMatrix<T>) {
    let mut values = affine(&gate.features, &gate.bias, x, parallel);
    let mut d_features = transposed(&gate.weights, d_gains, parallel);
    for (mut value, mut d) in values.column_iter_mut().zip(d_features.column_iter_mut()) {
        for ((value, d), map) in value.iter_mut().zip(d.iter_mut()).zip(&gate.maps) {
            *value = map.apply(*value);
            *d *= slope(*map, *value);
        }
    }
    let gradient = GateGradient {
        constant: sum_tokens(d_gains),
        weights: outer(d_gains, &values, parallel),
        features: outer(&d_features, x, parallel),
        bias: sum_tokens(&d_features),
    };
    (gradient, d_features)
}
