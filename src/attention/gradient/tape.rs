//! A stack of stages, run forwards and kept for the way back.

use super::block;
use super::types::{BlockGradient, StackGradient};
use crate::attention::forward::Workspace;
use crate::attention::stage::{AsStage, StageRef};
use crate::attention::token_map::gradient as maps;
use crate::attention::{ForwardError, Streams};
use crate::linalg::{Real, all_finite};
use nalgebra::DMatrix;
use std::borrow::Cow;

/// A forward pass through blocks and maps that can be gone back through: one step of training computes nothing twice.
///
/// Beside the streams it holds keys, queries, values and read-outs of every head, `n_tokens (2 d_k + 3 d_v)` numbers
/// each; of linear heads that are one matrix (see [`mod@crate::attention::forward`]) only second moments of the tokens.
pub struct Tape<'a, T: Real = f64> {
    stages: Vec<StageRef<'a, T>>,
    inputs: &'a Streams<T>,
    /// the inputs and the outputs of all stages but the last
    streams: Cow<'a, Streams<T>>,
    kept: Vec<Workspace<T>>,
    output: DMatrix<T>,
}

impl<'a, T: Real> Tape<'a, T> {
    /// Runs the stages in their order; the output of each is a stream of its name.
    ///
    /// # Errors
    /// - [`ForwardError::NoBlock`] without stages, [`ForwardError::RelayIsStream`] if one would replace a stream
    ///   that is already there;
    /// - [`ForwardError::InBlock`] with whatever [`crate::attention::forward()`] says of a block, and
    ///   [`ForwardError::InMap`] with what [`crate::attention::Stage::forward`] says of a map.
    pub fn record(stages: &'a [impl AsStage<T>], inputs: &'a Streams<T>) -> Result<Self, ForwardError> {
        Self::record_with(stages, inputs, Vec::new())
    }

    /// The same in the memory of an earlier tape ([`Tape::into_workspaces`]), where every step of training finds its room.
    ///
    /// # Errors
    /// As [`Tape::record`].
    pub fn record_with(
        stages: &'a [impl AsStage<T>],
        inputs: &'a Streams<T>,
        mut kept: Vec<Workspace<T>>,
    ) -> Result<Self, ForwardError> {
        let stages: Vec<StageRef<'a, T>> = stages.iter().map(AsStage::as_stage).collect();
        kept.resize_with(stages.len(), Workspace::new);
        let mut streams = Cow::Borrowed(inputs);
        let mut output: Option<DMatrix<T>> = None;
        for (b, (stage, workspace)) in stages.iter().zip(&mut kept).enumerate() {
            if let Some(output) = output.take() {
                let relay = stages[b - 1].name().to_owned();
                if streams.contains_key(&relay) {
                    return Err(ForwardError::RelayIsStream { relay });
                }
                streams.to_mut().insert(relay, output);
            }
            workspace.spare.next_pass();
            let n = streams.get(stage.clock_stream()).map_or(0, DMatrix::ncols);
            let mut y = workspace.spare.matrix(stage.d_model(), n);
            stage.run(workspace, &streams, true, &mut y)?;
            output = Some(y);
        }
        let output = output.ok_or(ForwardError::NoBlock)?;
        Ok(Self { stages, inputs, streams, kept, output })
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

    /// From `d_output = dL/d output` to the parameters of every stage and to the input streams.
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
        let (mut gradients, mut of_maps) = (Vec::with_capacity(self.stages.len()), Vec::new());
        for (b, (stage, kept)) in self.stages.iter().zip(&self.kept).enumerate().rev() {
            let last = b + 1 == self.stages.len();
            let d_y = if last {
                Cow::Borrowed(d_output)
            } else {
                // A stage that nobody reads has no influence.
                let output = &self.streams[stage.name()];
                Cow::Owned(d_streams.remove(stage.name()).unwrap_or_else(|| zeros_like(output)))
            };
            let parallel = stage.is_parallel(&self.streams);
            match stage {
                StageRef::Block(of) => {
                    let gradient = block::backward(of, kept, &self.streams, &d_y, &mut d_streams, parallel);
                    check_finite(&gradient).map_err(|e| e.in_block(&of.relay))?;
                    gradients.push(gradient);
                }
                StageRef::Map(map) => {
                    let traces = &kept.traces;
                    let gradient = maps::backward(map, traces, &self.streams, &d_y, &mut d_streams, parallel);
                    of_maps.push(gradient.map_err(|e| e.in_map(&map.name))?);
                }
            }
        }
        gradients.reverse();
        of_maps.reverse();
        let mut streams = Streams::new();
        for name in self.inputs.keys() {
            let d = d_streams.remove(name).unwrap_or_else(|| zeros_like(&self.streams[name]));
            if !all_finite(d.as_slice()) {
                return Err(ForwardError::GradientNotFinite { what: format!("stream `{name}`") });
            }
            streams.insert(name.clone(), d);
        }
        Ok(StackGradient { blocks: gradients, maps: of_maps, streams })
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
