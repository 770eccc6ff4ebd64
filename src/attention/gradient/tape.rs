//! A stack of blocks, run forwards and kept for the way back.

use super::block;
use super::types::{BlockGradient, StackGradient};
use crate::attention::forward::{Workspace, is_parallel};
use crate::attention::{Block, ForwardError, Streams};
use crate::linalg::{Real, all_finite};
use nalgebra::DMatrix;
use std::borrow::Cow;

/// A forward pass through blocks that can be gone back through: one step of training computes nothing twice.
///
/// Beside the streams it holds keys, queries, values and read-outs of every head, `n_tokens (2 d_k + 3 d_v)` numbers
/// each; of linear heads that are one matrix (see [`mod@crate::attention::forward`]) only second moments of the tokens.
pub struct Tape<'a, T: Real = f64> {
    blocks: &'a [Block<T>],
    inputs: &'a Streams<T>,
    /// the inputs and the outputs of all blocks but the last
    streams: Cow<'a, Streams<T>>,
    kept: Vec<Workspace<T>>,
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
        Self::record_with(blocks, inputs, Vec::new())
    }

    /// The same in the memory of an earlier tape ([`Tape::into_workspaces`]), where every step of training finds its room.
    ///
    /// # Errors
    /// As [`Tape::record`].
    pub fn record_with(
        blocks: &'a [Block<T>],
        inputs: &'a Streams<T>,
        mut kept: Vec<Workspace<T>>,
    ) -> Result<Self, ForwardError> {
        kept.resize_with(blocks.len(), Workspace::new);
        let mut streams = Cow::Borrowed(inputs);
        let mut output: Option<DMatrix<T>> = None;
        for (b, (block, workspace)) in blocks.iter().zip(&mut kept).enumerate() {
            if let Some(output) = output.take() {
                let relay = blocks[b - 1].relay.clone();
                if streams.contains_key(&relay) {
                    return Err(ForwardError::RelayIsStream { relay });
                }
                streams.to_mut().insert(relay, output);
            }
            workspace.spare.next_pass();
            let n = streams.get(&block.clock_stream).map_or(0, DMatrix::ncols);
            let mut y = workspace.spare.matrix(block.d_model, n);
            workspace.run(block, &streams, true, &mut y).map_err(|e| e.in_block(&block.relay))?;
            output = Some(y);
        }
        let output = output.ok_or(ForwardError::NoBlock)?;
        Ok(Self { blocks, inputs, streams, kept, output })
    }

    /// Its memory, for the next tape.
    #[must_use]
    pub fn into_workspaces(self) -> Vec<Workspace<T>> {
        if let Some(last) = self.kept.last() {
            last.spare.give_matrix(self.output);
        }
        self.kept
    }

    /// The same with the memory of a gradient that has served, so that a step asks for no long vector.
    #[must_use]
    pub fn into_workspaces_with(self, gradient: StackGradient<T>) -> Vec<Workspace<T>> {
        let kept = self.into_workspaces();
        for (workspace, block) in kept.iter().zip(gradient.blocks) {
            let heads = block.heads.into_iter().flat_map(|head| [head.w_q, head.w_k, head.w_v, head.w_o]);
            heads.chain(block.residual).for_each(|d| workspace.spare.give_matrix(d));
        }
        if let Some(first) = kept.first() {
            gradient.streams.into_values().for_each(|d| first.spare.give_matrix(d));
        }
        kept
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
        for (b, (block, kept)) in self.blocks.iter().zip(&self.kept).enumerate().rev() {
            let last = b + 1 == self.blocks.len();
            let d_y = if last {
                Cow::Borrowed(d_output)
            } else {
                // A block that nobody reads has no influence.
                let output = &self.streams[&block.relay];
                Cow::Owned(d_streams.remove(&block.relay).unwrap_or_else(|| zeros_like(output)))
            };
            let parallel = is_parallel(block, &self.streams);
            let gradient = block::backward(block, kept, &self.streams, &d_y, &mut d_streams, parallel);
            check_finite(&gradient).map_err(|e| e.in_block(&block.relay))?;
            gradients.push(gradient);
        }
        gradients.reverse();
        let mut streams = Streams::new();
        for name in self.inputs.keys() {
            let d = d_streams.remove(name).unwrap_or_else(|| zeros_like(&self.streams[name]));
            if !all_finite(d.as_slice()) {
                return Err(ForwardError::GradientNotFinite { what: format!("stream `{name}`") });
            }
            streams.insert(name.clone(), d);
        }
        Ok(StackGradient { blocks: gradients, streams })
    }
}

fn zeros_like<T: Real>(m: &DMatrix<T>) -> DMatrix<T> {
    DMatrix::zeros(m.nrows(), m.ncols())
}

fn check_finite<T: Real>(gradient: &BlockGradient<T>) -> Result<(), ForwardError> {
    // Names cost more than the numbers of a small block.
    if gradient.is_finite() {
        return Ok(());
    }
    match gradient.tensors().into_iter().find(|(_, numbers)| !all_finite(numbers)) {
        Some((what, _)) => Err(ForwardError::GradientNotFinite { what }),
        None => Ok(()),
    }
}
