//! A stack of blocks, run forwards and kept for the way back.

use super::head::{self, HeadBack};
use super::maps::{outer, sum_tokens};
use super::types::{BlockGradient, StackGradient};
use crate::attention::forward::blocks::for_each_block;
use crate::attention::forward::inputs::Reader;
use crate::attention::forward::{Read, is_parallel, run};
use crate::attention::{Block, ForwardError, Streams};
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A forward pass through blocks that can be gone back through: one step of training computes nothing twice.
///
/// Beside the streams it holds keys, queries, values and read-outs of every head, `n_tokens (2 d_k + 2 d_v)` numbers
/// each.
pub struct Tape<'a, T: Real = f64> {
    blocks: &'a [Block<T>],
    /// which of the streams were given, and are no block's output
    inputs: BTreeSet<String>,
    streams: Cow<'a, Streams<T>>,
    reads: Vec<Vec<Read<T>>>,
    output: DMatrix<T>,
}

impl<'a, T: Real> Tape<'a, T> {
    /// Runs the blocks in their order; the output of each is a stream with the name of its relay.
    ///
    /// # Errors
    /// - [`ForwardError::NoBlock`] without blocks, [`ForwardError::RelayIsStream`] if a block would replace a stream
    ///   that is already there;
    /// - [`ForwardError::InBlock`] with whatever [`crate::attention::forward()`] says of a block.
    pub fn record(blocks: &'a [Block<T>], inputs: &'a Streams<T>) -> Result<Self, ForwardError> {
        let mut streams = Cow::Borrowed(inputs);
        let mut reads = Vec::with_capacity(blocks.len());
        let mut output: Option<DMatrix<T>> = None;
        for (b, block) in blocks.iter().enumerate() {
            if let Some(output) = output.take() {
                let relay = blocks[b - 1].relay.clone();
                if streams.contains_key(&relay) {
                    return Err(ForwardError::RelayIsStream { relay });
                }
                streams.to_mut().insert(relay, output);
            }
            let (y, read) = run(block, &streams, true).map_err(|e| e.in_block(&block.relay))?;
            output = Some(y);
            reads.push(read);
        }
        let output = output.ok_or(ForwardError::NoBlock)?;
        Ok(Self { blocks, inputs: inputs.keys().cloned().collect(), streams, reads, output })
    }

    /// What the last block gives, `[d_model, n_tokens]`: the same bytes as [`crate::attention::forward()`].
    #[must_use]
    pub fn output(&self) -> &DMatrix<T> {
        &self.output
    }

    /// From `d_output = dL/d output` to the parameters of every block and to the input streams.
    ///
    /// # Errors
    /// - [`ForwardError::Shape`] if `d_output` does not have the shape of the output;
    /// - [`ForwardError::GradientNotFinite`] on overflow, or when `d_output` is not finite.
    pub fn backward(&self, d_output: &DMatrix<T>) -> Result<StackGradient<T>, ForwardError> {
        if d_output.shape() != self.output.shape() {
            let (what, other) = ("dL/d output".to_owned(), "the output".to_owned());
            let (shape, other_shape) = (d_output.shape(), self.output.shape());
            return Err(ForwardError::Shape { what, shape, other, other_shape });
        }
        let mut d_streams: Streams<T> = Streams::new();
        let mut gradients = Vec::with_capacity(self.blocks.len());
        for (b, (block, reads)) in self.blocks.iter().zip(&self.reads).enumerate().rev() {
            let last = b + 1 == self.blocks.len();
            let d_y = if last {
                Cow::Borrowed(d_output)
            } else {
                // A block that nobody reads has no influence.
                let output = &self.streams[&block.relay];
                Cow::Owned(d_streams.remove(&block.relay).unwrap_or_else(|| zeros_like(output)))
            };
            let gradient = back_through(block, &self.streams, reads, &d_y, &mut d_streams);
            gradients.push(gradient.map_err(|e| e.in_block(&block.relay))?);
        }
        gradients.reverse();
        let mut streams = Streams::new();
        for name in &self.inputs {
            let d = d_streams.remove(name).unwrap_or_else(|| zeros_like(&self.streams[name]));
            if !all_finite(d.as_slice()) {
                return Err(ForwardError::GradientNotFinite { what: format!("stream `{name}`") });
            }
            streams.insert(name.clone(), d);
        }
        Ok(StackGradient { blocks: gradients, streams })
    }
}

/// Back through one block; what its input streams get is added to `d_streams`.
fn back_through<T: Real>(
    block: &Block<T>,
    streams: &Streams<T>,
    reads: &[Read<T>],
    d_output: &DMatrix<T>,
    d_streams: &mut Streams<T>,
) -> Result<BlockGradient<T>, ForwardError> {
    let parallel = is_parallel(block, streams);
    let one =
        |(index, (head, read))| head::backward(&Reader { head, index, streams, parallel }, read, d_output);
    let heads = block.heads.iter().zip(reads).enumerate();
    let heads: Vec<Result<HeadBack<T>, ForwardError>> = if parallel {
        heads.collect::<Vec<_>>().into_par_iter().map(one).collect()
    } else {
        heads.map(one).collect()
    };
    let heads = heads.into_iter().collect::<Result<Vec<_>, _>>()?;

    let mut paths: Vec<(&str, &DMatrix<T>, &DMatrix<T>)> = Vec::new();
    for path in &block.residual {
        paths.push((&path.stream, &path.matrix, d_output));
    }
    for (head, back) in block.heads.iter().zip(&heads) {
        paths.push((&head.query_stream, &head.w_q, &back.queries));
        paths.push((&head.context_stream, &head.w_k, &back.keys));
        paths.push((&head.value_stream, &head.w_v, &back.values));
        if let (Some(gate), Some(d)) = (head.memory.gate(), &back.gate) {
            paths.push((&gate.stream, &gate.features, d));
        }
    }
    let names: BTreeSet<&str> = paths.iter().map(|(name, ..)| *name).collect();
    for name in names {
        let x = &streams[name];
        let d_x = d_streams.entry(name.to_owned()).or_insert_with(|| zeros_like(x));
        let rows = x.nrows();
        for_each_block(d_x, parallel, |first, d_x| {
            for (_, w, d) in paths.iter().filter(|(n, ..)| *n == name) {
                let d = Operand::columns(d, first, d_x.len() / rows);
                gemm_into(d_x, T::one(), Operand::of(w).t(), d, T::one());
            }
        });
    }

    let residual =
        block.residual.iter().map(|path| outer(d_output, &streams[&path.stream], parallel)).collect();
    let heads = heads.into_iter().map(|back| back.gradient).collect();
    let gradient = BlockGradient { heads, residual, b_o: sum_tokens(d_output) };
    match gradient.tensors().into_iter().find(|(_, numbers)| !all_finite(numbers)) {
        Some((what, _)) => Err(ForwardError::GradientNotFinite { what }),
        None => Ok(gradient),
    }
}

fn zeros_like<T: Real>(m: &DMatrix<T>) -> DMatrix<T> {
    DMatrix::zeros(m.nrows(), m.ncols())
}

fn all_finite<T: Real>(numbers: &[T]) -> bool {
    numbers.iter().all(|x| x.is_finite())
}
