//! Plain loops, straight from the definitions, to check everything else against.
//!
//! - [`heads`]: blocks of attention heads.
//! - [`gradients`]: their derivatives, pair of tokens by pair of tokens.
//! - [`cells`]: circuits, cell by cell (the meaning of circuits is in `circuits/README.md`).
//! - [`cable`]: a neuron as a branched cable, by dense matrices.
//!
//! All are slow on purpose; cells and heads know nothing of each other.
//!
//! **Deliberately absent:** any import from this crate or from a matrix library. A shared mistake would be
//! invisible.

pub mod cable;
pub mod cells;
pub mod gradients;
pub mod heads;
