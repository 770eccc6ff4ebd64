//! On a memory cell: `trace <- keep x trace + d(state)/d(current) x pre` at every token, `dw = -third x trace` at every
//! query. Elsewhere the three-factor rule.
//!
//! Exact for hebbian, decay and gated memories while the weights stand still within a sequence, without going back
//! through time; a trace lives at its synapse, and its size does not depend on the number of tokens. With updates at
//! every token it is a truly online rule, whose deviation is of first order in the learning rate.
//!
//! Source: eligibility traces (Williams & Zipser 1989 for a single linear unit, where real-time recurrent learning is
//! local); its form for key-value memories is this project's derivation.

use super::ThreeFactor;
use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Online;

impl Rule for Online {
    const NEEDS_ERROR: bool = true;

    fn change(&self, s: &Local) -> f64 {
        ThreeFactor.change(s)
    }

    fn trace(&self, s: &Local) -> f64 {
        s.keep * s.trace + s.slope * s.pre
    }

    fn recalled(&self, s: &Local) -> f64 {
        -s.third * s.trace
    }
}
