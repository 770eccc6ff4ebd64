//! A pyramidal neuron as a branched cable, for match-and-control: attention by short-term Hebbian potentiation, in spikes.
//!
//! Keys and queries are spike trains. Where the spikes of an axon arrive shortly before the soma's, calcium builds up in
//! its spines; their AMPA synapses are potentiated for some seconds, and that axon takes control of the soma.
//!
//! - [`morphology`]: sections of cable, cut into a tree of compartments.
//! - [`pyramidal`]: the published neuron, at any resolution.
//! - [`rates`], [`tables`]: gates of the channels.
//! - [`spines`]: synapses, calcium, potentiation.
//! - [`mod@run`]: trials side by side (`lanes`) and over threads.
//! - [`trains`], [`protocol`], [`score`]: spike trains, the published experiments, what counts as success.
//! - [`event`]: the match phase in closed form, without potentials.
//!
//! Numerics are those of the published simulations: fixed steps, backward Euler for the potentials by elimination along
//! the tree (Hines), exact exponentials for the gates, spikes due by the middle of a step arrive at its beginning.
//!
//! **Deliberately absent:** YAML; pictures; diffusion of calcium; plasticity other than potentiation.

pub mod error;
pub mod event;
mod lanes;
mod model;
pub mod morphology;
pub mod protocol;
pub mod pyramidal;
pub mod rates;
pub mod run;
pub mod score;
pub mod spines;
pub mod tables;
pub mod trains;

pub use error::CableError;
pub use pyramidal::{Head, Neuron, Pyramidal};
pub use run::{Outcome, Quantity, Record, Run, Trial, run};
