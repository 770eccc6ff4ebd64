//! A circuit evaluated cell by cell, population after population.
//!
//! Every cell of every column `(i, j)` is computed by its own loop over the cells that project to it: no heads,
//! no matrix products, no algebra. Meant for a handful of tokens.
//!
//! **What a projection does to indices** (`circuits/README.md`): an index that only the target has is broadcast;
//! `context` that only the source has is summed over `M(i)`; from a `[query]` source to a `[context]` target the
//! projection is token-aligned, `j := i`. Anything else is an error.
//!
//! **What diverges** is a number that is none: x/0, a square root of a number below 0, a pool of exponentials that underflowed,
//! a loop that does not settle. [`diverged`] names the first population that has one.

mod activation;
mod arrive;
mod net;
mod positions;
mod settle;
mod sweep;
#[cfg(test)]
mod tests;

pub use net::{
    Accumulate, Activation, CellError, Compartment, Kind, Mask, Net, Part, Population, Projection, Sent,
    StreamData,
};
pub use positions::{Pairing, Positions};
pub use sweep::{diverged, evaluate};
