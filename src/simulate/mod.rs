//! Runs circuits.
//!
//! - [`mod@inputs`]: the tokens of every stream, from the circuit file or from files given on the command line.
//! - [`algebraic`]: the compiled blocks, one after another; fast.
//! - [`pieces`]: the same on tokens that come piece by piece, in memory that does not grow with their number.
//! - [`cells`]: every cell in time.
//! - [`cable`]: a neuron as a branched cable, with spikes.
//! - [`spiking`]: circuits of spikes, run on it.
//! - [`mod@fingerprint`]: a hash of outputs that other processors give, too.
//!
//! **Deliberately absent:** anything that reads YAML or writes a run directory.

pub mod algebraic;
pub mod cable;
pub mod cells;
pub mod fingerprint;
pub mod inputs;
pub mod pieces;
pub mod positions;
pub mod spiking;

pub use algebraic::{Run, run, runaway};
pub use fingerprint::Fingerprint;
pub use inputs::inputs;
