//! Projections and their weights as written.

use super::declare::{Hand, TEXT, form};
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
    /// what its draw is named by, of a part of another file
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<DrawnSpec>,
}

form! {
    /// The seed and the name of a draw, if not the circuit's seed and the projection's name.
    pub struct DrawnSpec: Eq = "a map with `seed` and `name`" {
        seed: u64, Hand(super::decode::seed, super::schema::seed), !;
        /// of a projection
        name: String, TEXT, !;
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_additive(effect: &Effect) -> bool {
    *effect == Effect::Additive
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GainSpec {
    Number(f64),
    /// 1/n
    Inv(f64),
    /// 1/sqrt(n)
    InvSqrt(f64),
}

impl GainSpec {
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Number(g) => g,
            Self::Inv(n) => 1.0 / n,
            Self::InvSqrt(n) => 1.0 / n.sqrt(),
        }
    }
}

impl Serialize for GainSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, n) = match self {
            Self::Number(g) => return serializer.serialize_f64(*g),
            Self::Inv(n) => ("inv", n),
            Self::InvSqrt(n) => ("inv_sqrt", n),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, n)?;
        map.end()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsSpec {
    Ones,
    Identity,
    Zeros,
    /// `identity - ones/n`: takes the mean over the cells away
    Centre,
    /// `[I; J]`: what arrives, then its quarter turn
    Rotate(Pairing),
    /// Kronecker product; all factors but one say their shape
    Kron(Vec<WeightsSpec>),
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
    #[serde(untagged)]
    Shaped(ShapedWeights),
}

/// A form that says its own shape, as the factors of a Kronecker product need: `{identity: 4}`, `{ones: [1, 2]}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapedWeights {
    Identity(usize),
    Centre(usize),
    /// rows, columns
    Ones([usize; 2]),
    /// rows, columns
    Zeros([usize; 2]),
}

impl ShapedWeights {
    /// Rows and columns.
    #[must_use]
    pub fn shape(self) -> (usize, usize) {
        match self {
            Self::Identity(n) | Self::Centre(n) => (n, n),
            Self::Ones([rows, columns]) | Self::Zeros([rows, columns]) => (rows, columns),
        }
    }

    /// The form without its shape.
    #[must_use]
    pub fn form(self) -> WeightsSpec {
        match self {
            Self::Identity(_) => WeightsSpec::Identity,
            Self::Centre(_) => WeightsSpec::Centre,
            Self::Ones(_) => WeightsSpec::Ones,
            Self::Zeros(_) => WeightsSpec::Zeros,
        }
    }
}

/// Which two of n numbers turn together: number f and number f + n/2, or 2f and 2f + 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    Halves,
    Pairs,
}

impl Pairing {
    pub const NAMES: [(&'static str, Self); 2] = [("halves", Self::Halves), ("pairs", Self::Pairs)];

    /// The quarter turn J of `n` numbers (even): where number `i` of J x comes from, and its sign.
    /// J (a, b) = (-b, a) for every two that turn together (Su et al. 2021, arXiv 2104.09864, eq. 34).
    #[must_use]
    pub fn quarter_turn(self, i: usize, n: usize) -> (usize, f64) {
        let (first, partner) = match self {
            Self::Halves => (i < n / 2, (i + n / 2) % n),
            Self::Pairs => (i.is_multiple_of(2), i ^ 1),
        };
        (partner, if first { -1.0 } else { 1.0 })
    }
}

impl WeightsSpec {
    /// The forms that are one word.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("ones", Self::Ones),
        ("identity", Self::Identity),
        ("zeros", Self::Zeros),
        ("centre", Self::Centre),
    ];

    /// Rows and columns, of the forms that say them.
    #[must_use]
    pub fn shape(&self) -> Option<(usize, usize)> {
        match self {
            Self::Shaped(shaped) => Some(shaped.shape()),
            Self::Values(rows) => Some((rows.len(), rows.first().map_or(0, Vec::len))),
            Self::Kron(factors) => factors.iter().try_fold((1usize, 1usize), |(rows, columns), factor| {
                let (r, c) = factor.shape()?;
                Some((rows.saturating_mul(r), columns.saturating_mul(c)))
            }),
            _ => None,
        }
    }
}

/// Width of a normal draw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    Std(f64),
    /// variance `c / columns`
    FanIn(f64),
}
