//! What a circuit learns, from what and how, as written: `plasticity`, `loss`, `task`, `train`.

use super::types::Table;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A learning rule of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleName {
    ThreeFactor,
    Online,
    OwnToken,
    FrozenMemory,
    FeedbackAlignment,
    KolenPollack,
    DaleEg,
    Hebbian,
    Oja,
}

impl RuleName {
    pub const NAMES: [(&'static str, Self); 9] = [
        ("three_factor", Self::ThreeFactor),
        ("online", Self::Online),
        ("own_token", Self::OwnToken),
        ("frozen_memory", Self::FrozenMemory),
        ("feedback_alignment", Self::FeedbackAlignment),
        ("kolen_pollack", Self::KolenPollack),
        ("dale_eg", Self::DaleEg),
        ("hebbian", Self::Hebbian),
        ("oja", Self::Oja),
    ];

    /// The word that the file uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, r)| *r == self).map_or("", |(n, _)| *n)
    }

    /// The rule that the file calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, r)| *r)
    }
}

/// The learning rule of a projection: `{three_factor: {rate: 0.001}}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlasticitySpec {
    pub rule: RuleName,
    /// learning rate, zero or positive
    pub rate: f64,
    /// `kolen_pollack` only: the part of each weight, and of its feedback weight, that a step takes away, from 0, below 1
    pub decay: f64,
}

impl PlasticitySpec {
    /// `decay` where the file names none.
    pub const DECAY: f64 = 0.001;
}

impl Serialize for PlasticitySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Parameters {
            rate: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            decay: Option<f64>,
        }
        let decay = (self.rule == RuleName::KolenPollack).then_some(self.decay);
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.rule.name(), &Parameters { rate: self.rate, decay })?;
        map.end()
    }
}

/// Which tokens of a sequence have a say in the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CountedSpec {
    #[default]
    All,
    Last,
}

/// Half the squared error, summed over the counted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LossSpec {
    pub on: CountedSpec,
}

/// Where sequences of tokens and targets come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskSpec {
    Teacher(TeacherSpec),
    InContextRegression(RegressionSpec),
    AssociativeRecall(RecallSpec),
    Digits(DigitsSpec),
    File(FileTaskSpec),
}

/// The targets are another circuit's output, or that of the heads in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TeacherSpec {
    #[serde(flatten)]
    pub from: TeacherFrom,
    /// the stream that a teacher with one stream reads; others read streams of the same names
    pub tokens: String,
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TeacherFrom {
    Heads {
        heads: String,
        /// the layer: what its tensor names begin with
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
    },
    Circuit {
        circuit: String,
    },
}

/// Linear regression from examples in the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegressionSpec {
    /// number of examples
    pub context: usize,
    /// standard deviation of what is added to their y
    pub noise: f64,
    pub tokens: TokensOf,
    pub target: String,
}

/// A value is asked for by its key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecallSpec {
    pub pairs: usize,
    pub tokens: TokensOf,
    pub target: String,
}

/// Where the examples of a sequence stand, and where its question.
#[derive(Clone, Debug, PartialEq)]
pub enum TokensOf {
    /// in one stream, the question last
    One(String),
    /// in two streams: the question is the only token of `query`
    Two { query: String, context: String },
}

impl Serialize for TokensOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(name) => serializer.serialize_str(name),
            Self::Two { query, context } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("query", query)?;
                map.serialize_entry("context", context)?;
                map.end()
            }
        }
    }
}

/// Handwritten digits, row by row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DigitsSpec {
    /// an npz with `images` `[n, 64]`, pixels from 0 to 16, and `labels` `[n]`
    pub path: String,
    /// fraction of the images that is kept for evaluation
    pub held_out: f64,
    pub tokens: String,
    pub target: String,
}

/// Sequences from a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileTaskSpec {
    /// an npz; each array is `[sequences, n_tokens, d_model]`
    pub path: String,
    /// the array of each stream
    pub tokens: Table<String>,
    /// the array of the one stream that carries the targets
    pub target: Table<String>,
    /// fraction of the sequences that is kept for evaluation
    pub held_out: f64,
}

/// Defaults of tasks.
impl TaskSpec {
    pub const TOKENS: &'static str = "main";
    pub const TARGET: &'static str = "target";
    pub const HELD_OUT: f64 = 0.2;

    /// The word that the file uses.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Teacher(_) => "teacher",
            Self::InContextRegression(_) => "in_context_regression",
            Self::AssociativeRecall(_) => "associative_recall",
            Self::Digits(_) => "digits",
            Self::File(_) => "file",
        }
    }
}

/// How training goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrainSpec {
    /// updates of the weights
    pub steps: usize,
    /// sequences for each of them
    pub batch: usize,
    pub optimiser: OptimiserSpec,
    /// takes the place of the rates of all rules
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub schedule: ScheduleSpec,
    pub update: UpdateSpec,
    pub evaluate: EvaluateSpec,
    pub checkpoint: CheckpointSpec,
    /// takes the place of the rules of all projections that have one
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RouteSpec>,
    /// a held-out loss below which training ends
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_below: Option<f64>,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 16,
            optimiser: OptimiserSpec::Plain,
            rate: None,
            schedule: ScheduleSpec::Constant,
            update: UpdateSpec::Sequence,
            evaluate: EvaluateSpec::default(),
            checkpoint: CheckpointSpec::default(),
            rule: None,
            stop_below: None,
        }
    }
}

/// What is made of a gradient before it changes a weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserSpec {
    Plain,
    Momentum { beta: f64 },
    Adam { beta1: f64, beta2: f64, epsilon: f64 },
}

impl OptimiserSpec {
    pub const MOMENTUM: Self = Self::Momentum { beta: 0.9 };
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// The word that the file uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Momentum { .. } => "momentum",
            Self::Adam { .. } => "adam",
        }
    }
}

/// How the learning rate goes over the `steps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleSpec {
    Constant,
    /// `rate (1 + cos(pi t / steps)) / 2`
    Cosine,
    /// `rate (1 - t / steps)`
    Linear,
}

impl ScheduleSpec {
    pub const NAMES: [(&'static str, Self); 3] =
        [("constant", Self::Constant), ("cosine", Self::Cosine), ("linear", Self::Linear)];

    /// The factor of the rate at step `step` (from 0) of `steps`: 1 at the first, above 0 at the last.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn factor(self, step: usize, steps: usize) -> f64 {
        let passed = step as f64 / steps.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => f64::midpoint(1.0, (std::f64::consts::PI * passed.min(1.0)).cos()),
            Self::Linear => (1.0 - passed).max(0.0),
        }
    }
}

/// When weights change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateSpec {
    /// after the sequences of a batch
    Sequence,
    /// after every token
    Token,
}

/// How often, and on how much, the held-out loss is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluateSpec {
    /// steps
    pub every: usize,
    /// held-out sequences, at most; finite data may have fewer
    pub sequences: usize,
    /// held-out sequences when training is over, if not as many
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_end: Option<usize>,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self { every: 100, sequences: 256, at_end: None }
    }
}

/// How often the state is written to the run directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointSpec {
    /// steps
    pub every: usize,
}

impl Default for CheckpointSpec {
    fn default() -> Self {
        Self { every: 1000 }
    }
}

/// What changes the weights of the projections that learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteSpec {
    /// the analytic gradient
    Gradient,
    Rule(RuleName),
}

impl RouteSpec {
    /// The gradient, then all rules.
    pub const NAMES: [(&'static str, Self); RuleName::NAMES.len() + 1] = {
        let mut all = [("gradient", Self::Gradient); RuleName::NAMES.len() + 1];
        let mut k = 0;
        while k < RuleName::NAMES.len() {
            let (name, rule) = RuleName::NAMES[k];
            all[k + 1] = (name, Self::Rule(rule));
            k += 1;
        }
        all
    };

    /// The word that the file uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Rule(rule) => rule.name(),
        }
    }
}

impl Serialize for RouteSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
