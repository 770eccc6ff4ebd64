//! Synapses on memory cells stand still; elsewhere the three-factor rule.
//!
//! What can be learned when only the query and the output side are plastic.

use super::ThreeFactor;
use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct FrozenMemory;

impl Rule for FrozenMemory {
    const NEEDS_ERROR: bool = true;

    fn change(&self, s: &Local) -> f64 {
        ThreeFactor.change(s)
    }
}
