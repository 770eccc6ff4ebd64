//! `dw = rate x pre`
//!
//! No error enters: what fires together wires together, without end. Below every other rung of the ladder.
//!
//! Source: Hebb 1949.

use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Hebbian;

impl Rule for Hebbian {
    fn change(&self, s: &Local) -> f64 {
        s.rate * s.pre
    }
}
