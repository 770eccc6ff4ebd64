//! Analytic gradients of stacks of blocks and maps: from `dL/dY` to `dL/d` every parameter and every input stream.
//!
//! With `e_i = W_O^T dL/dy_i`, `u_i` the read-out, `w_ij` the weight of token `j` for query `i` (kernel, mask and
//! decay), `g_ij = e_i . v_j` and unnormalised linear heads (`w_ij = k_j . q_i`):
//!
//! ```text
//! dL/dW_O = sum_i  dL/dy_i u_i^T        dL/dW_V = sum_ij w_ij e_i x_j^T
//! dL/dW_Q = sum_ij g_ij k_j x_i^T       dL/dW_K = sum_ij g_ij q_i x_j^T
//! ```
//!
//! 1. [`Tape::record`] runs the blocks and keeps keys, queries, values and read-outs.
//! 2. `block` goes back through the output matrices of all heads at once; `algebra` through linear heads that were one
//!    matrix on their query tokens, which takes less than half the operations for many tokens.
//! 3. `head` goes back through the division by the sum of scores, which is one more value row: with `u = n / s`,
//!    `dL/dn = e / s` and `dL/ds = -(e . u) / s`.
//! 4. One of three evaluators goes from read-outs to keys, queries, values, decay and rates, as in
//!    [`mod@super::forward`]: `linear` (linear and feature kernels, cost linear in the number of tokens), `tiles`
//!    (exponential and power kernels) or `recurrent` (delta and gated memories). Then scale, feature maps and gates.
//! 5. `block` goes back through the projections of all heads, stacked as in the forward pass; then the streams, in the
//!    order of the paths.
//!
//! Where there is no derivative: relu has slope 0 at 0; sign has slope 0 everywhere, also at its jump; a read-out of
//! 0/0 is 0 and a constant, so its derivatives are 0. The derivative by a decay of 1 is that from within.
//!
//! **Memory.** Keys, queries, values and read-outs of every head and their derivatives, each as long as the tokens;
//! beyond them one state and one chunk of at most 64 tokens per linear head, two tiles of 128 x 256 scores and four
//! sums for keys and values per exponential or power head, and `2 sqrt(N) + 4` states per delta or gated head.
//! No matrix of all pairs of tokens exists. A step in the memory of the one before ([`Tape::record_with`],
//! [`squared_error_into`], [`Tape::into_workspaces_with`]) asks for no long vector. Blocks have constant sizes and sums a fixed order: the bytes do not
//! depend on the number of threads.
//!
//! Sources: reverse accumulation (Linnainmaa 1970); softmax in tiles after Dao et al. 2022 (arXiv 2205.14135);
//! linear heads as a scan of states, Katharopoulos et al. 2020 (arXiv 2006.16236); the adjoints of the decay (carried
//! forwards) and of the memories are this project's derivation.
//!
//! ```
//! use pulvinar::attention::gradient::{Counted, Tape, parameters_mut, squared_error};
//! use pulvinar::attention::{Block, Residual, Streams};
//! use nalgebra::{DMatrix, DVector};
//!
//! // y = R x + b, to be taught y = x on two tokens.
//! let residual = vec![Residual { stream: "x".into(), matrix: DMatrix::zeros(2, 2) }];
//! let clock_stream = "x".to_owned();
//! let (heads, b_o) = (Vec::new(), DVector::zeros(2));
//! let mut blocks = [Block { relay: "HO".into(), d_model: 2, clock_stream, heads, residual, b_o }];
//! let x = DMatrix::<f64>::identity(2, 2);
//! let streams = Streams::from([("x".to_owned(), x.clone())]);
//! let mut loss = f64::INFINITY;
//! for _ in 0..100 {
//!     let tape = Tape::record(&blocks, &streams)?;
//!     let (now, d_output) = squared_error(tape.output(), &x, Counted::All)?;
//!     loss = now;
//!     let gradient = tape.backward(&d_output)?;
//!     for ((_, w), (_, d)) in parameters_mut(&mut blocks[0]).into_iter().zip(gradient.blocks[0].tensors()) {
//!         w.iter_mut().zip(d).for_each(|(w, d)| *w -= 0.3 * d);
//!     }
//! }
//! assert!(loss < 1e-12);
//! # Ok::<(), pulvinar::attention::ForwardError>(())
//! ```
//!
//! **Deliberately absent:** optimisers, local learning rules, circuits; derivatives by the lateral matrix of a
//! circuit, which compiled heads no longer show.

mod algebra;
mod block;
mod head;
mod linear;
mod loss;
mod maps;
mod recurrent;
mod sink;
mod tape;
#[cfg(test)]
mod tests;
mod tiles;
mod types;

pub use loss::{Counted, squared_error, squared_error_into};
pub use tape::Tape;
pub use types::{
    BlockGradient, GateGradient, Gradient, HeadGradient, MemoryGradient, StackGradient, parameters_mut,
};

use super::stage::AsStage;
use super::{Block, ForwardError, Streams};
use crate::linalg::Real;
use head::Back;
use nalgebra::DMatrix;

/// Derivatives of a loss by every parameter and input stream of one block, from `d_output = dL/dY`
/// `[d_model, n_tokens]`.
///
/// Runs the block forwards first; [`Tape`] does that once for output and gradient. Cost: about three times the
/// forward pass, linear in the number of tokens wherever the forward pass is.
///
/// # Errors
/// As [`super::forward()`]; [`ForwardError::Shape`] if `d_output` does not fit the output;
/// [`ForwardError::GradientNotFinite`] on overflow, or when `d_output` is not finite.
pub fn backward<T: Real>(
    block: &Block<T>,
    streams: &Streams<T>,
    d_output: &DMatrix<T>,
) -> Result<Gradient<T>, ForwardError> {
    let gradient = backward_stack(std::slice::from_ref(block), streams, d_output);
    let StackGradient { mut blocks, streams, .. } = gradient.map_err(ForwardError::without_block)?;
    let block = blocks.pop().ok_or(ForwardError::NoBlock)?;
    Ok(Gradient { block, streams })
}

/// Derivatives by every parameter of a stack of stages and by its input streams, from `d_output`, the derivative by
/// the output of the last one.
///
/// Stages (or blocks) read the inputs and the outputs of earlier ones, which are streams of their names.
///
/// # Errors
/// As [`Tape::record`] and [`Tape::backward`].
pub fn backward_stack<T: Real>(
    stages: &[impl AsStage<T>],
    inputs: &Streams<T>,
    d_output: &DMatrix<T>,
) -> Result<StackGradient<T>, ForwardError> {
    Tape::record(stages, inputs)?.backward(d_output)
}
