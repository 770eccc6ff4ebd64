//! What the experiments do with a circuit, as written in `protocol`: one key for each experiment.

use super::types::{MatchSpec, Table};
use serde::Serialize;

/// The section `protocol`. Each experiment reads its own key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProtocolSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacitySpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crossover: Option<CrossoverSpec>,
    /// conditioning protocols by name
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub conditioning: Table<ConditioningSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identify: Option<IdentifySpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<DepthSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hopfield: Option<HopfieldSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equilibrium: Option<EquilibriumSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<RetrievalSpec>,
    /// of circuits of spikes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_and_control: Option<MatchSpec>,
}

/// Recall error against the number of stored pairs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CapacitySpec {
    /// values of the parameter `d`
    pub d: Vec<usize>,
    /// stored pairs M over d
    pub load: Vec<f64>,
    /// how many writes ago a pair was stored, for forgetting memories
    pub ages: Vec<usize>,
    pub trials: usize,
}

/// Where one memory wins by squared error and another by decoding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossoverSpec {
    /// stored pairs M over d
    pub load: Vec<f64>,
    pub trials: usize,
}

/// One conditioning protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditioningSpec {
    pub train: Vec<PhaseSpec>,
    /// the training that it is compared with
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub control: Vec<PhaseSpec>,
    /// what is shown at the end, without US
    pub test: StimuliSpec,
    /// what animals do
    pub shows: Shows,
}

/// Trials that are repeated in turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseSpec {
    pub repeat: usize,
    pub trials: Vec<TrialSpec>,
}

/// One trial; nothing at all is a rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialSpec {
    pub cs: StimuliSpec,
    /// strength of the unconditioned stimulus
    pub us: f64,
}

/// Conditioned stimuli that are present together, each with its intensity.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StimuliSpec(pub Table<f64>);

/// The finding that a protocol is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shows {
    /// a response
    Positive,
    /// less than no response
    Negative,
    /// less than after the control
    Less,
    /// more than after the control
    More,
}

impl Shows {
    pub const NAMES: [(&'static str, Self); 4] = [
        ("positive", Self::Positive),
        ("negative", Self::Negative),
        ("less", Self::Less),
        ("more", Self::More),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Less => "less",
            Self::More => "more",
        }
    }

    /// Whether the finding is about a difference between two trainings.
    #[must_use]
    pub fn needs_control(self) -> bool {
        matches!(self, Self::Less | Self::More)
    }
}

/// Which memory rule made these recalls?
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdentifySpec {
    pub circuits: usize,
    /// standard deviation of the noise over the root mean square of the recalls
    pub noise: f64,
    /// stored pairs M over d, drawn between two numbers
    pub load: [f64; 2],
    /// values of the parameter `g`, drawn between two numbers
    pub g: [f64; 2],
    /// values of the parameter `rate`, drawn between two numbers
    pub rate: [f64; 2],
}

/// Recall through layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DepthSpec {
    /// values of the parameter `R`
    pub redundancy: Vec<usize>,
    /// stored pairs M
    pub pairs: Vec<usize>,
    pub trials: usize,
}

/// Retrieval by iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopfieldSpec {
    /// stored patterns of the one-step retrieval, and their norm
    pub patterns: usize,
    pub norm: f64,
    /// inverse temperatures of the fixed points
    pub beta: Vec<f64>,
    /// numbers of cells of the capacity fit
    pub n: Vec<usize>,
    pub trials: usize,
    /// cells, fraction of zeros and runs of the network of diluted patterns
    pub cells: usize,
    pub dilution: f64,
    pub runs: usize,
}

/// A memory that settles.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EquilibriumSpec {
    /// stored pairs M over d
    pub load: Vec<f64>,
    pub trials: usize,
}

/// Retrieval of handwritten digits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetrievalSpec {
    /// the images, `[n, 64]`, array `images`
    pub path: String,
    /// numbers of stored images
    pub stored: Vec<usize>,
    /// fractions of the pixels that a cue keeps
    pub kept: Vec<f64>,
    /// how often a delta memory sees all images
    pub passes: usize,
    pub trials: usize,
}
