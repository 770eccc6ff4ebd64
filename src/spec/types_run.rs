//! What a run of cells records, and what is done to it, as written.

use super::types::Time;
use serde::Serialize;

/// A number of a cell that changes in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variable {
    /// what the population sends
    Rate,
    /// v of a compartment
    Potential,
    /// (sum of additive inputs) / (sum of divisive inputs) of a compartment
    Input,
}

/// A compartment that a trace can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompartmentSpec {
    Basal,
    Apical,
    Gate,
}

impl CompartmentSpec {
    pub const NAMES: [(&'static str, Self); 3] =
        [("basal", Self::Basal), ("apical", Self::Apical), ("gate", Self::Gate)];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Basal => "basal",
            Self::Apical => "apical",
            Self::Gate => "gate",
        }
    }
}

impl Variable {
    pub const NAMES: [(&'static str, Self); 3] =
        [("rate", Self::Rate), ("potential", Self::Potential), ("input", Self::Input)];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Potential => "potential",
            Self::Input => "input",
        }
    }
}

/// One trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordSpec {
    pub population: String,
    pub variable: Variable,
    /// of a potential or input
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compartment: Option<CompartmentSpec>,
    /// all if not given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<Vec<usize>>,
    /// query tokens; all if not given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Vec<usize>>,
    /// context tokens; all if not given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<usize>>,
    /// one sample every so many steps
    pub every: usize,
}

/// When a lesion acts; without an end, to the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WindowSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// One perturbation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LesionSpec {
    /// a fraction of the cells of a population sends nothing
    Silence {
        population: String,
        fraction: f64,
        #[serde(flatten)]
        window: WindowSpec,
    },
    /// a fraction of the synapses of a projection is gone
    Cut {
        projection: String,
        fraction: f64,
        #[serde(flatten)]
        window: WindowSpec,
    },
    /// all synapses of a projection are `gain` times as strong
    Scale {
        projection: String,
        gain: f64,
        #[serde(flatten)]
        window: WindowSpec,
    },
    /// a noise current into all cells of a population
    Noise {
        population: String,
        std: f64,
        #[serde(flatten)]
        window: WindowSpec,
    },
}

impl LesionSpec {
    #[must_use]
    pub fn window(&self) -> WindowSpec {
        match self {
            Self::Silence { window, .. }
            | Self::Cut { window, .. }
            | Self::Scale { window, .. }
            | Self::Noise { window, .. } => *window,
        }
    }

    /// The word that the file uses.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Silence { .. } => "silence",
            Self::Cut { .. } => "cut",
            Self::Scale { .. } => "scale",
            Self::Noise { .. } => "noise",
        }
    }

    /// Population or projection.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Silence { population: name, .. }
            | Self::Noise { population: name, .. }
            | Self::Cut { projection: name, .. }
            | Self::Scale { projection: name, .. } => name,
        }
    }
}
