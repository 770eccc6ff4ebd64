//! `dw = -third x d(rate)/d(current) x pre`
//!
//! Where errors reach `third` through the transposed weights, this is the exact gradient of the squared error for
//! every weight of a circuit with one population per pair of tokens: all of its factors meet at the synapse.
//!
//! Source: the factors of the gradient of linear self-attention (THEORY in `circuits/README.md`, Errors and feedback);
//! three-factor rules in general: Fremaux & Gerstner 2016, doi 10.3389/fncir.2015.00085.

use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ThreeFactor;

impl Rule for ThreeFactor {
    const NEEDS_ERROR: bool = true;

    fn change(&self, s: &Local) -> f64 {
        -s.third * s.slope * s.pre
    }
}
