//! A circuit of spikes, run: trials of match and control on its neuron.
//!
//! 1. [`Plan::of`] turns the wired circuit into a neuron, a run and trains; sizes, times and files are checked here.
//! 2. `trains` draws the trials, each from a random stream of its own; `run` runs them, on the cable or in closed form.
//! 3. [`score`] says who controlled the soma, with means and standard errors.
//!
//! What is drawn is what the published protocols of [`super::cable::protocol`] draw, where a circuit states the same
//! experiment: the same seed gives the same trials.
//!
//! **Deliberately absent:** equations of the neuron, which are the cable's; rates; files that are written.

mod neuron;
mod plan;
mod run;
pub mod score;
mod sources;
mod traces;
mod trains;

pub use plan::{Phases, Plan};
pub use run::{Runs, run};
pub use score::{Mean, Scored, Summary};
pub use traces::Trace;

use crate::circuit::SpikeCircuit;
use crate::diag::Diagnostics;
use std::path::Path;

/// Everything that keeps a circuit of spikes from running; files of trains are read.
///
/// # Errors
/// See [`Plan::of`].
pub fn check(circuit: &SpikeCircuit, folder: &Path) -> Result<(), Diagnostics> {
    Plan::of(circuit, folder).map(|_| ())
}
