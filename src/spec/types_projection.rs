//! Projections and their weights as written.

use super::types::{MaskSpec, PlasticitySpec, PulseSpec, SynapsesSpec, Time};
use serde::{Serialize, Serializer, ser::SerializeMap};

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
    pub plasticity: Option<PlasticitySpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
    /// receptors, of a projection to spines
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synapses: Option<SynapsesSpec>,
    /// current of a spike, of a projection to a soma
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulse: Option<PulseSpec>,
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
