//! Forward synapses change as under [`Online`]; feedback synapses by `db = -pre x rate`, the same product seen from the
//! other side; both decay: `w <- w + step - decay x w`.
//!
//! Two matrices that get transposed changes and the same decay become each other's transpose, whatever they started
//! from: feedback learns to be exact with what each of its synapses sees.
//!
//! Source: Kolen & Pollack 1994, doi 10.1109/ICNN.1994.374486; Akrout et al. 2019, arXiv 1904.05391.

use super::Online;
use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct KolenPollack {
    /// the part of a weight that every step takes away
    pub decay: f64,
}

impl Rule for KolenPollack {
    const NEEDS_ERROR: bool = true;

    fn change(&self, s: &Local) -> f64 {
        Online.change(s)
    }

    fn trace(&self, s: &Local) -> f64 {
        Online.trace(s)
    }

    fn recalled(&self, s: &Local) -> f64 {
        Online.recalled(s)
    }

    fn feedback(&self, s: &Local) -> f64 {
        -s.pre * s.rate
    }

    fn applied(&self, weight: f64, step: f64) -> f64 {
        weight + step - self.decay * weight
    }
}
