//! The changes of [`Online`], with errors that come back through fixed random weights.
//!
//! The rule is the same at the synapse; what differs is the wiring: every feedback projection that would be the
//! transpose of a learning one gets weights of its own, drawn once. No synapse needs to know another's weight.
//!
//! Source: Lillicrap et al. 2016, doi 10.1038/ncomms13276.

use super::Online;
use crate::plasticity::local::{Local, Rule};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct FeedbackAlignment;

impl Rule for FeedbackAlignment {
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
}
