//! Match-and-control: the published protocols on the cable neuron, and what they compute as attention.
//!
//! - [`lab`]: the neuron, how it is run and how often; [`mod@published`]: the numbers to compare with.
//! - [`spine`]: delay of the somatic spike in the spines, calcium against the offset of key and query.
//! - [`kernel`]: calcium as a sum over pairs of spikes.
//! - [`matching`]: matched against unmatched axons after a match phase; [`control`]: who drives the soma after it.
//! - [`potentiation`]: gain against calcium, and single trials in time.
//! - [`code`], [`attention`], [`fits`]: vectors as spike trains, which axon wins, and which kernel of a transformer that is.
//!
//! The match phase also runs in closed form (`simulate::cable::event`); control phases never do.
//!
//! # Source
//! Ellwood 2024 (match-and-control); the comparison with kernels of transformers is ours.

pub mod attention;
pub mod code;
pub mod control;
pub mod fits;
pub mod kernel;
pub mod lab;
pub mod matching;
pub mod potentiation;
pub mod published;
mod report;
pub mod spine;
mod stats;

pub use lab::{Fidelity, Lab, Plan, Sizes};
pub use report::report;
pub(super) use report::run;
pub use stats::Estimate;
