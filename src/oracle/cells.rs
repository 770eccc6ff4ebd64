//! A circuit evaluated cell by cell, population after population.
//!
//! Every cell of every column `(i, j)` is computed by its own loop over the cells that project to it: no heads,
//! no matrix products, no algebra. Meant for a handful of tokens.
//!
//! **What a projection does to indices** (`circuits/README.md`): an index that only the target has is broadcast;
//! `context` that only the source has is summed over `M(i)`; from a `[query]` source to a `[context]` target the
//! projection is token-aligned, `j := i`. Anything else is an error.

mod net;
mod sweep;
#[cfg(test)]
mod tests;

pub use net::{
    Accumulate, Activation, CellError, Compartment, Kind, Mask, Net, Part, Population, Projection, Sent,
    StreamData,
};
pub use sweep::evaluate;
