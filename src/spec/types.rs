//! The circuit as written: names are still names, weights are still recipes, `$parameters` are filled in.

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
    pub tokens: TokensSpec,
    pub thalamus: Table<RelaySpec>,
    pub areas: Table<AreaSpec>,
    pub projections: Table<ProjectionSpec>,
    pub output: OutputSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<ExpectSpec>,
    #[serde(flatten)]
    pub reserved: Reserved,
}

/// Top-level sections that other verbs read; checked and carried.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reserved {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulation: Option<SimulationSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lesions: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Carried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Carried>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokensSpec {
    pub streams: Table<StreamSpec>,
    pub mask: MaskSpec,
    pub layout: LayoutSpec,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamSpec {
    pub d_model: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSpec>,
    /// another stream whose token index this one shares
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskSpec {
    Full,
    Causal,
    Strict,
}

impl MaskSpec {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Causal => "causal",
            Self::Strict => "strict",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutSpec {
    Space {},
    Time { duration: Time, gap: Time },
}

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
}

#[derive(Clone, Debug, PartialEq)]
pub enum TauSpec {
    Both(Time),
    Each { basal: Time, apical: Time },
}

impl Serialize for TauSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Both(time) => time.serialize(serializer),
            Self::Each { basal, apical } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("basal", basal)?;
                map.serialize_entry("apical", apical)?;
                map.end()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitsSpec {
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoiseSpec {
    pub std: f64,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationSpec {
    /// basal x apical
    Product,
    Linear,
    Relu,
    Exp,
    EluPlusOne,
    Sigmoid,
    Sign,
    Power {
        exponent: u32,
    },
}

impl ActivationSpec {
    /// Those without a parameter, by the name that the file uses.
    pub const NAMED: [(&'static str, Self); 7] = [
        ("product", Self::Product),
        ("linear", Self::Linear),
        ("relu", Self::Relu),
        ("exp", Self::Exp),
        ("elu_plus_one", Self::EluPlusOne),
        ("sigmoid", Self::Sigmoid),
        ("sign", Self::Sign),
    ];

    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Power { exponent } => format!("power {exponent}"),
            other => Self::NAMED.iter().find(|(_, a)| *a == other).map_or("", |(n, _)| *n).to_owned(),
        }
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    Cells,
    Microcolumns,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Additive,
    Divisive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    Excitatory,
    Inhibitory,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProjectionSpec {
    pub from: String,
    pub to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onto: Option<Axis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Axis>,
    pub weights: WeightsSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<GainSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    #[serde(skip_serializing_if = "is_additive")]
    pub effect: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plasticity: Option<Table<Carried>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_additive(effect: &Effect) -> bool {
    *effect == Effect::Additive
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GainSpec {
    Number(f64),
    InvSqrt(f64),
}

impl GainSpec {
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Number(g) => g,
            Self::InvSqrt(n) => 1.0 / n.sqrt(),
        }
    }
}

impl Serialize for GainSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(g) => serializer.serialize_f64(*g),
            Self::InvSqrt(n) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("inv_sqrt", n)?;
                map.end()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsSpec {
    Ones,
    Identity,
    Zeros,
    Normal(Spread),
    Uniform {
        low: f64,
        high: f64,
    },
    File {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tensor: Option<String>,
    },
    Values(Vec<Vec<f64>>),
    Blocks {
        count: usize,
        of: Box<WeightsSpec>,
    },
    Rank {
        of: usize,
        std: f64,
    },
    SameAs(String),
    TransposeOf(String),
    PlusOf {
        weights: Box<WeightsSpec>,
        draw: String,
    },
    MinusOf {
        weights: Box<WeightsSpec>,
        draw: String,
    },
}

/// Width of a normal draw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    Std(f64),
    /// variance `c / columns`
    FanIn(f64),
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

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulationSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dt: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrator: Option<Integrator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopSpec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrator {
    Euler,
    ExponentialEuler,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StopSpec {
    Settle,
    Duration(Time),
}

impl Serialize for StopSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Settle => serializer.serialize_str("settle"),
            Self::Duration(time) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("duration", time)?;
                map.end()
            }
        }
    }
}
