//! The forward pass against the oracle, on random heads of every supported kind.

pub mod agreement;
mod failures;
pub mod functions;
pub mod random;
mod routes;
mod single;
