//! What a circuit learns and how, as written: `plasticity`, `loss`, `train`.

use super::declare::{BELOW_ONE, COUNT, FORM, Form, NOT_NEGATIVE, POSITIVE, choice, form, words};
use super::fields::{At, Decoder, join};
use super::node::{Value as Node, shorten};
use super::schema::{one_of, word};
use crate::diag::{Diagnostic, codes, did_you_mean};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

words! {
    /// A learning rule of a projection.
    pub enum RuleName: PartialOrd, Ord, Hash {
        ThreeFactor = "three_factor";
        Online = "online";
        OwnToken = "own_token";
        FrozenMemory = "frozen_memory";
        FeedbackAlignment = "feedback_alignment";
        KolenPollack = "kolen_pollack";
        DaleEg = "dale_eg";
        Hebbian = "hebbian";
        Oja = "oja";
    }
}

impl RuleName {
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

form! {
    pub struct RateOnly: Copy = "a map with `rate`" {
        /// learning rate
        rate: f64, NOT_NEGATIVE, !;
    }
}

form! {
    pub struct RateAndDecay: Copy = "a map with `rate`" {
        /// learning rate
        rate: f64, NOT_NEGATIVE, !;
        /// the part of each weight, and of its feedback weight, that a step takes away
        decay: f64, BELOW_ONE, (PlasticitySpec::DECAY);
    }
}

impl Form for PlasticitySpec {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        let (key, node) = d.choice(at, "one learning rule, for example `{three_factor: {rate: 0.001}}`")?;
        let path = join(at.path, &key.name);
        let Some(rule) = RuleName::named(&key.name) else {
            d.error(
                Diagnostic::error(codes::S015, &path, format!("no learning rule `{}`", shorten(&key.name)))
                    .help(did_you_mean(&key.name, RuleName::NAMES.map(|(n, _)| n)))
                    .at(key.span),
            );
            return None;
        };
        let at = At { node, path: &path };
        if rule == RuleName::KolenPollack {
            return RateAndDecay::read(d, at).map(|s| Self { rule, rate: s.rate, decay: s.decay });
        }
        RateOnly::read(d, at).map(|s| Self { rule, rate: s.rate, decay: 0.0 })
    }

    fn schema() -> Value {
        one_of(&RuleName::NAMES.map(|(name, rule)| {
            (name, if rule == RuleName::KolenPollack { RateAndDecay::schema() } else { RateOnly::schema() })
        }))
    }
}

impl Serialize for PlasticitySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (rate, decay) = (self.rate, self.decay);
        let mut map = serializer.serialize_map(Some(1))?;
        match self.rule {
            RuleName::KolenPollack => map.serialize_entry(self.rule.name(), &RateAndDecay { rate, decay })?,
            _ => map.serialize_entry(self.rule.name(), &RateOnly { rate })?,
        }
        map.end()
    }
}

words! {
    /// Which tokens of a sequence have a say in the loss.
    pub enum CountedSpec {
        All = "all";
        Last = "last";
    }
}

form! {
    /// Half the squared error, summed over the counted tokens.
    pub struct LossSpec: Copy, Eq = "`{on: all}` or `{on: last}`" {
        /// which tokens of a sequence count
        on: CountedSpec, FORM, (CountedSpec::All);
    }
}

impl Default for LossSpec {
    fn default() -> Self {
        Self { on: CountedSpec::All }
    }
}

form! {
    /// How training goes.
    pub struct TrainSpec: Copy = "a map, for example `{steps: 2000, batch: 16}`" {
        /// updates of the weights
        steps: usize, COUNT, (1000);
        /// sequences for each of them
        batch: usize, COUNT, (16);
        optimiser: OptimiserSpec, FORM, (OptimiserSpec::Plain);
        /// takes the place of the rates of all rules
        rate: f64, NOT_NEGATIVE, ?;
        /// of the learning rate
        schedule: ScheduleSpec, FORM, (ScheduleSpec::Constant);
        update: UpdateSpec, FORM, (UpdateSpec::Sequence);
        evaluate: EvaluateSpec, FORM, (EvaluateSpec::default());
        checkpoint: CheckpointSpec, FORM, (CheckpointSpec::default());
        /// takes the place of the rules of all projections that have one
        rule: RouteSpec, FORM, ?;
        /// a held-out loss below which training ends
        stop_below: f64, NOT_NEGATIVE, ?;
    }
}

/// What an empty map says.
fn empty<T: super::declare::Part>() -> T {
    let nothing = super::node::Node { value: Node::Map(Vec::new()), span: None };
    let mut d = Decoder::default();
    let mut f = d.map(At { node: &nothing, path: "" }, "a map").expect("a map");
    T::keys_of(&mut d, &mut f).expect("every key may be left out")
}

impl Default for TrainSpec {
    fn default() -> Self {
        empty()
    }
}

choice! {
    /// What is made of a gradient before it changes a weight.
    pub enum OptimiserSpec: Copy = "an optimiser with parameters", "`plain`, `{momentum: {beta: 0.9}}` or `{adam: {beta1: 0.9}}`" {
        @words { "plain" => Self::Plain, "momentum" => Self::MOMENTUM, "adam" => Self::ADAM } @units { Plain = "plain" }
        Momentum = "momentum": "a map with `beta`" {
            beta: f64, BELOW_ONE, !;
        };
        Adam = "adam": "a map with `beta1`, `beta2` or `epsilon`" {
            beta1: f64, BELOW_ONE, (0.9);
            beta2: f64, BELOW_ONE, (0.999);
            epsilon: f64, POSITIVE, (1e-8);
        };
    }
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

words! {
    /// How the learning rate goes over the `steps`.
    pub enum ScheduleSpec {
        Constant = "constant";
        /// rate (1 + cos(pi t / steps)) / 2
        Cosine = "cosine";
        /// rate (1 - t / steps)
        Linear = "linear";
    }
}

impl ScheduleSpec {
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

words! {
    /// When weights change.
    pub enum UpdateSpec {
        /// weights change after the sequences of a batch
        Sequence = "sequence";
        /// after every token
        Token = "token";
    }
}

form! {
    /// How often, and on how much, the held-out loss is measured.
    pub struct EvaluateSpec: Copy, Eq = "a map with `every`, `sequences` or `at_end`" {
        /// steps
        every: usize, COUNT, (100);
        /// held-out sequences, at most; finite data may have fewer
        sequences: usize, COUNT, (256);
        /// held-out sequences when training is over, if not as many
        at_end: usize, COUNT, ?;
    }
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        empty()
    }
}

form! {
    /// How often the state is written to the run directory.
    pub struct CheckpointSpec: Copy, Eq = "a map with `every`" {
        /// steps
        every: usize, COUNT, !;
    }
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

impl Form for RouteSpec {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        d.word(at, &Self::NAMES)
    }

    fn schema() -> Value {
        word(&Self::NAMES.map(|(name, _)| name), "")
    }
}

impl Serialize for RouteSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
