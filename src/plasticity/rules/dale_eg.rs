//! The changes of [`Online`], applied as `w <- w exp(sign(w) step)`.
//!
//! A weight never changes its sign: excitatory synapses stay excitatory, and a weight of 0 stays 0.
//!
//! Source: exponentiated gradient (Kivinen & Warmuth 1997, doi 10.1006/inco.1996.2612) under Dale's law: Cornford et
//! al. 2024, bioRxiv 2024.10.25.620272.

use super::Online;
use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct DaleEg;

impl Rule for DaleEg {
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

    fn applied(&self, weight: f64, step: f64) -> f64 {
        if weight == 0.0 { 0.0 } else { weight * (weight.signum() * step).exp() }
    }
}
