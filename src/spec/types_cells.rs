//! Relays, areas and populations as written.

use super::declare::{Form, Kind, NOT_NEGATIVE, NUMBER, TIME, form};
use super::fields::{At, Decoder};
use super::node::Value as Node;
use super::types::{ActivationSpec, CableSpec, MaskSpec, SpikeTrainsSpec, Table, Time};
use crate::diag::{Diagnostic, Span, codes};
use serde::Serialize;
use serde::Serializer;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pathway {
    Core,
    Matrix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Plus,
    Minus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Index {
    Query,
    Context,
}

/// What every population and relay may say about its cells in time; carried for the cell simulator.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CellOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<TauSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prospective: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseSpec>,
    /// its cells fire at given or drawn times
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spike_trains: Option<SpikeTrainsSpec>,
    /// its cell is a branched cable (populations only)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cable: Option<CableSpec>,
}

impl CellOptions {
    /// The cells fire or receive spikes: they have no rates.
    #[must_use]
    pub fn spikes(&self) -> bool {
        self.spike_trains.is_some() || self.cable.is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum TauSpec {
    Both(Time),
    Each { basal: Time, apical: Time },
}

form! {
    pub struct TwoTaus = "a time or a map with `basal` and `apical`" {
        basal: Time, TIME, !;
        apical: Time, TIME, !;
    }
}

impl Form for TauSpec {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        if matches!(at.node.value, Node::Map(_)) {
            return TwoTaus::read(d, at).map(|two| Self::Each { basal: two.basal, apical: two.apical });
        }
        TIME.read(d, at).map(Self::Both)
    }

    fn schema() -> Value {
        json!({"anyOf": [TIME.schema(), TwoTaus::schema()]})
    }
}

impl Serialize for TauSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Both(time) => time.serialize(serializer),
            Self::Each { basal, apical } => TwoTaus { basal: *basal, apical: *apical }.serialize(serializer),
        }
    }
}

form! {
    /// What bounds what a cell sends (of a memory, its state).
    pub struct LimitsSpec = "a map with `min` and `max`" {
        min: f64, NUMBER, !;
        max: f64, NUMBER, !;
    } then is_wide
}

fn is_wide(limits: &LimitsSpec, d: &mut Decoder, path: &str, span: Option<Span>) -> Option<()> {
    let (min, max) = (limits.min, limits.max);
    if min < max {
        return Some(());
    }
    d.error(
        Diagnostic::error(codes::S006, path, format!("`min` {min} is not below `max` {max}"))
            .help("swap them or widen the range")
            .at(span),
    );
    None
}

form! {
    /// A Gaussian current into the basal compartment.
    pub struct NoiseSpec = "a map with `std`" {
        /// of the potential that it causes, for any step
        std: f64, NOT_NEGATIVE, !;
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RelaySpec {
    pub pathway: Pathway,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Vec<Index>>,
    pub cells: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    #[serde(flatten)]
    pub options: CellOptions,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AreaSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskSpec>,
    pub microcolumns: MicrocolumnsSpec,
    pub populations: Table<PopulationSpec>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MicrocolumnsSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Vec<Index>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PopulationSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell_type: Option<String>,
    pub cells: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Vec<Index>>,
    pub activation: ActivationSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<AccumulateSpec>,
    #[serde(flatten)]
    pub options: CellOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccumulateSpec {
    Hebbian {
        rate: f64,
    },
    Decay {
        g: f64,
        rate: f64,
    },
    Delta {
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
    },
    Gated {},
}

impl AccumulateSpec {
    /// Does its rule read the compartment `gate`?
    #[must_use]
    pub fn has_gate(self) -> bool {
        matches!(self, Self::Gated {} | Self::Delta { .. })
    }
}
