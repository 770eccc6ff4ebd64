//! Blocks of attention heads: what a circuit compiles to, and how to run it.
//!
//! A [`Block`] maps token streams to one output stream,
//! `y_i = b_O + sum_s R_s x^s_i + sum_h W_O^h u^h_i` (Granier & Senn 2025 for the linear head; kernels,
//! normalisation, masks and memory rules other than `none` and `hebbian` are this project's extension).
//! Tokens are the **columns** of a `[d_model, n_tokens]` matrix, so that a token is contiguous in memory.
//!
//! - [`block`]: the types of a block; [`token_map`]: those of a map of single tokens; [`Stage`]: either of the two.
//! - [`mod@forward`]: runs a block; cost linear in the number of tokens for linear heads.
//! - [`gradient`]: derivatives of a loss by every parameter and input stream of a block or a stack of blocks.
//! - `cast`: the same block in another precision.
//! - [`equivalence`]: whether two blocks are the same function, without running them.
//! - [`norm`]: the functional size of a head, free of the choice of gauge.
//!
//! **Deliberately absent:** circuits, YAML, files.

pub mod block;
mod cast;
pub mod equivalence;
pub mod forward;
mod function;
pub mod gradient;
pub mod growth;
pub mod norm;
mod stage;
pub mod token_map;

pub use block::{
    Block, FeatureMap, Gate, GateSide, Head, Kernel, Link, Mask, Memory, Normalisation, Rate, Residual,
    Streams,
};
pub use forward::{ForwardError, Stream, Workspace, attention_map, forward};
pub use norm::{functional_inner, strength};
pub use stage::{AsStage, MapStream, Stage, StageRef, StageStream};
pub use token_map::TokenMap;
