//! On a memory cell: `trace <- d(state)/d(current) x pre`, the last token alone, and `dw = -third x trace`. Elsewhere
//! the three-factor rule.
//!
//! A synapse without memory of its own: of the gradient's sum over the context it keeps the newest token. First rung
//! of the locality ladder below the exact rule.

use super::ThreeFactor;
use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct OwnToken;

impl Rule for OwnToken {
    const NEEDS_ERROR: bool = true;

    fn change(&self, s: &Local) -> f64 {
        ThreeFactor.change(s)
    }

    fn trace(&self, s: &Local) -> f64 {
        s.slope * s.pre
    }

    fn recalled(&self, s: &Local) -> f64 {
        -s.third * s.trace
    }
}
