//! `dw = rate x (pre - rate x w)`
//!
//! Hebbian growth with a decay that keeps the weights of a linear cell on the unit sphere, along the first principal
//! component of its input. No error enters.
//!
//! Source: Oja 1982, doi 10.1007/BF00275687.

use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Oja;

impl Rule for Oja {
    fn change(&self, s: &Local) -> f64 {
        s.rate * (s.pre - s.rate * s.weight)
    }
}
