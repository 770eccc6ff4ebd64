//! The forward pass against the oracle, on random heads of every supported kind.

mod agreement;
mod failures;
mod random;
