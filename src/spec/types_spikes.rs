//! Spike trains, neurons as cables and how a match-and-control run goes, as written.

use super::types::Time;
use serde::{Serialize, Serializer};

/// What a number with a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    NanoSiemens,
    NanoAmpere,
    Hertz,
    MilliVolt,
    /// of the integral of calcium to the fourth power, mM^4 ms
    Theta,
    MilliMolar,
}

impl Unit {
    /// What the file may write, and how many of the unit used inside that is; the first is that unit.
    #[must_use]
    pub fn spellings(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::NanoSiemens => &[("nS", 1.0), ("pS", 1e-3), ("uS", 1e3)],
            Self::NanoAmpere => &[("nA", 1.0), ("pA", 1e-3)],
            Self::Hertz => &[("Hz", 1.0), ("kHz", 1e3)],
            Self::MilliVolt => &[("mV", 1.0), ("V", 1e3)],
            Self::Theta => &[("mM^4 ms", 1.0), ("mM^4 s", 1e3)],
            Self::MilliMolar => &[("mM", 1.0), ("uM", 1e-3), ("nM", 1e-6)],
        }
    }

    /// The unit used inside.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spellings()[0].0
    }
}

/// A number with its unit, for example `0.032 nS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub value: f64,
    pub unit: Unit,
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{} {}", self.value, self.unit.name()))
    }
}

/// When the cells of a population fire.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpikeTrainsSpec {
    /// intervals are `dead_time` and an exponential rest
    Renewal { rate: Measured, dead_time: Time },
    /// ms; one train for each cell, the same in every trial
    Times {
        #[serde(serialize_with = "as_times")]
        trains: Vec<Vec<f64>>,
    },
    /// rows `cell, ms` or `trial, cell, ms`
    File {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        array: Option<String>,
    },
    /// the one cell repeats the train of the matched axon of this population
    Follow { population: String },
}

fn as_times<S: Serializer>(trains: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    let one = |train: &Vec<f64>| train.iter().map(|&ms| Time { ms }).collect::<Vec<_>>();
    trains.iter().map(one).collect::<Vec<_>>().serialize(serializer)
}

/// Resolution of a neuron.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolutionSpec {
    /// the published compartments, a head with a neck for each spine
    Full,
    /// one head for the spines of an axon
    #[default]
    Reduced,
}

impl ResolutionSpec {
    pub const NAMES: [(&'static str, Self); 2] = [("full", Self::Full), ("reduced", Self::Reduced)];
}

/// A neuron as a branched cable; what is not given is that of `resolution`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CableSpec {
    pub resolution: ResolutionSpec,
    /// compartments of the apical shaft
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shaft: Option<usize>,
    /// of the top of the shaft
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<usize>,
    /// of each tuft branch
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuft: Option<usize>,
    /// spines of the whole tuft; ten for each axon if not given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spines: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spines_per_head: Option<usize>,
    /// necks are compartments of their own
    #[serde(skip_serializing_if = "Option::is_none")]
    pub necks: Option<bool>,
    /// potential at the start
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Measured>,
}

/// A receptor: peak conductance of one spine, rise, decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ReceptorSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<Time>,
}

/// Short-term potentiation of the AMPA conductance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PotentiationSpec {
    /// threshold of the integral; the published one of the match window if not given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<Measured>,
    /// factor of the conductance at full potentiation
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<f64>,
    /// decay of the integral
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<Time>,
    /// time constant with which potentiation follows the integral
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Time>,
}

/// Synapses in spines; what is not given is as published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SynapsesSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ampa: Option<ReceptorSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nmda: Option<ReceptorSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calcium: Option<CalciumSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub potentiation: Option<PotentiationSpec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalciumSpec {
    pub decay: Time,
}

/// Current into the soma at each spike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PulseSpec {
    pub current: Measured,
    pub duration: Time,
}

/// What of a neuron is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpikeVariable {
    /// mV
    Potential,
    /// mM
    Calcium,
    /// integral of calcium to the fourth power, mM^4 ms
    Integral,
    /// the integral as potentiation sees it, mM^4 ms
    Lagged,
    /// factor of the AMPA conductance
    Gain,
}

impl SpikeVariable {
    pub const NAMES: [(&'static str, Self); 5] = [
        ("potential", Self::Potential),
        ("calcium", Self::Calcium),
        ("integral", Self::Integral),
        ("lagged", Self::Lagged),
        ("gain", Self::Gain),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, v)| *v == self).map_or("", |(n, _)| *n)
    }

    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Potential => "mV",
            Self::Calcium => "mM",
            Self::Integral | Self::Lagged => "mM^4 ms",
            Self::Gain => "1",
        }
    }
}

/// Where on a neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpikeCompartment {
    Soma,
    /// the first spine head of an axon
    Spines,
}

impl SpikeCompartment {
    pub const NAMES: [(&'static str, Self); 2] = [("soma", Self::Soma), ("spines", Self::Spines)];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, c)| *c == self).map_or("", |(n, _)| *n)
    }
}

/// One trace of a neuron.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpikeTraceSpec {
    pub population: String,
    pub compartment: SpikeCompartment,
    pub variable: SpikeVariable,
    /// of spines: whose; all if not given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axons: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// one sample every so many steps
    pub every: usize,
}

/// How much of the neuron is calculated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FidelitySpec {
    /// potentials of all compartments
    Cable,
    /// calcium jumps at somatic spikes, no potentials: the match phase in closed form
    Event(EventSpec),
}

/// Parameters of the closed form; what is not given is fitted to the published neuron.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EventSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
}

/// Which axon's spikes arrive just before those of the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchedSpec {
    /// axon 0 in trial 0, axon 1 in trial 1, ...
    #[default]
    InTurn,
    Axon(usize),
    /// queries and keys have nothing to do with each other
    None,
}

impl Serialize for MatchedSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::InTurn => serializer.serialize_str("in_turn"),
            Self::Axon(number) => serializer.serialize_u64(*number as u64),
            Self::None => serializer.serialize_str("nobody"),
        }
    }
}

/// The match phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MatchPhaseSpec {
    pub from: Time,
    pub duration: Time,
}

/// The control phase: the query is silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ControlPhaseSpec {
    /// between match and control nothing fires
    pub pause: Time,
    pub duration: Time,
}

/// Trials of a match phase, and maybe a control phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatchSpec {
    #[serde(rename = "match")]
    pub phase: MatchPhaseSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlPhaseSpec>,
    pub trials: usize,
    pub matched: MatchedSpec,
    /// from a spike of the matched axon to the query's spike in the spine
    pub lead: Time,
    /// standard deviation of the query's spikes around the followed train
    #[serde(skip_serializing_if = "is_zero")]
    pub jitter: Time,
    /// runs that the delay from soma to spines is measured in
    pub delay_runs: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(time: &Time) -> bool {
    time.ms == 0.0
}
