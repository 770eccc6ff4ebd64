//! The circuit as written: names are still names, weights are still recipes, `$parameters` are filled in.

use super::Places;
pub use super::types_cells::*;
pub use super::types_learn::*;
pub use super::types_positions::*;
pub use super::types_projection::*;
pub use super::types_protocol::*;
pub use super::types_run::*;
pub use super::types_spikes::*;
pub use super::types_task::*;
pub use crate::vocabulary::{Activation as ActivationSpec, Mask as MaskSpec};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The schema line that every file opens with.
pub const SCHEMA: &str = "pulvinar/1";

/// A map that keeps the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<T>(pub Vec<(String, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|(n, _)| n.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(n, t)| (n.as_str(), t))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A part of the file that later stages read: any YAML.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Carried(pub serde_json::Value);

/// A time with its unit, for example `10 ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    pub ms: f64,
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::units::format_time_ms(self.ms))
    }
}

/// A circuit file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CircuitSpec {
    pub schema: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub seed: u64,
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub parameters: Table<Carried>,
    #[serde(skip_serializing_if = "no_tokens")]
    pub tokens: TokensSpec,
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub thalamus: Table<RelaySpec>,
    pub areas: Table<AreaSpec>,
    pub projections: Table<ProjectionSpec>,
    pub output: OutputSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<ExpectSpec>,
    #[serde(flatten)]
    pub reserved: Reserved,
    /// where it was read from
    #[serde(skip)]
    pub places: Places,
}

fn no_tokens(tokens: &TokensSpec) -> bool {
    tokens.streams.is_empty()
}

impl CircuitSpec {
    /// Some of its cells fire or receive spikes.
    #[must_use]
    pub fn spikes(&self) -> bool {
        let cells = self.areas.iter().flat_map(|(_, a)| a.populations.iter());
        self.thalamus.iter().any(|(_, r)| r.options.spikes())
            || cells.into_iter().any(|(_, p)| p.options.spikes())
    }
}

/// Top-level sections that other verbs read; checked and carried.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reserved {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulation: Option<SimulationSpec>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub record: Vec<RecordSpec>,
    /// `record` in a circuit of spikes
    #[serde(rename = "record", skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<SpikeTraceSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseSpec>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lesions: Vec<LesionSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<FidelitySpec>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokensSpec {
    pub streams: Table<StreamSpec>,
    pub mask: MaskSpec,
    pub layout: LayoutSpec,
}

impl TokensSpec {
    /// No streams: the circuit speaks of spikes.
    #[must_use]
    pub fn none() -> Self {
        Self { streams: Table::default(), mask: MaskSpec::Full, layout: LayoutSpec::Space {} }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct StreamSpec {
    pub d_model: usize,
    pub input: Option<InputSpec>,
    /// another stream whose token index this one shares
    pub clock: Option<String>,
    /// its tokens are functions of their number, `d_model` their width
    pub positions: Option<PositionsSpec>,
}

impl Serialize for StreamSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.positions {
            Some(positions) => {
                map.serialize_entry("positions", &positions.kind)?;
                if positions.offset != 0 {
                    map.serialize_entry("offset", &positions.offset)?;
                }
            }
            None => map.serialize_entry("d_model", &self.d_model)?,
        }
        if let Some(input) = &self.input {
            map.serialize_entry("input", input)?;
        }
        if let Some(clock) = &self.clock {
            map.serialize_entry("clock", clock)?;
        }
        map.end()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpec {
    /// independent N(0, std^2)
    Gaussian { length: usize, std: f64 },
    File {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        array: Option<String>,
    },
    /// one row per token
    Values(Vec<Vec<f64>>),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutSpec {
    Space {},
    Time { duration: Time, gap: Time },
}

#[derive(Clone, Debug, PartialEq)]
pub enum OutputSpec {
    Relay(String),
    Signed { plus: String, minus: String },
}

impl Serialize for OutputSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Relay(name) => serializer.serialize_str(name),
            Self::Signed { plus, minus } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("plus", plus)?;
                map.serialize_entry("minus", minus)?;
                map.end()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExpectSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<ExpectHeads>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExpectHeads {
    pub count: usize,
    /// heads at least this strong, relative to the strongest one of the output block, are counted
    pub above: f64,
}
