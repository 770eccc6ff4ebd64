//! Learning: local plasticity of the cells of a circuit, beside the exact gradient.
//!
//! 1. [`prepare()`] says what learns by which rule, and whether the rule finds what it is made of.
//! 2. [`Plan`] lays the circuit out for sequences of given lengths: columns, and the way of each projection (`link`).
//! 3. [`forward()`] evaluates every cell of a sequence, settled. [`errors()`] brings errors to the third compartments,
//!    through the circuit's own feedback projections. [`Learn`] lets a local rule see every synapse in turn, through
//!    [`Local`] and nothing else. [`backward()`] is the exact gradient, which no cell could compute.
//! 4. [`Trainer`] repeats that over [`Sequences`]; `optimise` makes steps of mean changes.
//!
//! **The loss** of a sequence is half the squared error of the output, summed over the counted tokens (not their mean).
//!
//! **The learning rate** is a number per synapse: a weight moves by rate x (mean over the batch of the change of a
//! sequence), as the optimiser makes it a step. It has no unit of time: learning acts on settled values, so `dt`, time
//! constants and durations do not matter. Cells that share the work share the change: with twice the cells at half
//! the weights behind them, the function moves at the same pace at twice the rate.
//!
//! **Deliberately absent:** heads and the compiler; files; learning while cells are still settling; rules that change
//! the circuit's graph.

mod adjoint;
pub mod checkpoint;
pub mod differences;
mod evaluate;
mod forward;
mod group;
mod link;
mod local;
mod memory;
pub mod metrics;
mod optimise;
mod plan;
mod prepare;
pub mod rules;
mod sequences;
mod settle;
pub mod tasks;
mod third;
mod token;
mod trainer;
mod update;
mod work;

pub use adjoint::backward;
pub use evaluate::{Changes, Evaluated, cosine};
pub use forward::forward;
pub use local::{Local, Rule};
pub use plan::Plan;
pub use prepare::{Plastic, Prepared, check, prepare, prepare_to_compare};
pub use sequences::{Sequences, Split};
pub use third::errors;
pub use trainer::{Stepped, Stop, Trainer};
pub use update::{Learn, Synaptic};
pub use work::{Numbers, Wild, Work};
