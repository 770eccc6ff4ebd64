//! What the experiments do with a circuit, as written in `protocol`: one key for each experiment.

use super::declare::{
    BELOW_ONE, COUNT, Count, End, FORM, FRACTION, Form, Hand, Kind, List, NUMBER, Named, POSITIVE, Range,
    TEXT, UNIT, Whole, form, words,
};
use super::fields::{At, Decoder, is_name, join};
use super::node::{Value as Node, shorten};
use super::schema::NAME;
use super::types::{MatchSpec, Table};
use crate::diag::{Diagnostic, Span, codes, did_you_mean};
use serde::Serialize;
use serde_json::{Value, json};

/// Most trials of one training.
const MOST_TRIALS: usize = 1_000_000;

const TRIALS: Whole = Whole(Range("a whole number from 2 to 1000000", End::At(2.0), End::At(1e6)));
/// Stored pairs over key cells.
const LOAD: Range = Range("positive, at most 1000", End::Beyond(0.0), End::At(1e3));
const COUNTS: List<Count> = List { what: "a list of whole numbers, such as `[16, 64]`", least: 1, of: COUNT };

const fn list(of: Range) -> List<Range> {
    List { what: "a list of numbers, such as `[0.5, 1]`", least: 1, of }
}

form! {
    /// What `pulvinar experiment NAME` does with the circuit: each experiment reads its own key.
    pub struct ProtocolSpec: Default = "a map from experiments to what they do" {
        capacity: CapacitySpec, FORM, ?;
        crossover: CrossoverSpec, FORM, ?;
        /// conditioning protocols by name
        conditioning: Table<ConditioningSpec>, Named("conditioning protocols", FORM), [Table::default()];
        identify: IdentifySpec, FORM, ?;
        depth: DepthSpec, FORM, ?;
        hopfield: HopfieldSpec, FORM, ?;
        equilibrium: EquilibriumSpec, FORM, ?;
        digits: RetrievalSpec, FORM, ?;
        /// of circuits of spikes
        match_and_control: MatchSpec, Hand(super::decode_spikes::match_and_control, super::schema_spikes::match_and_control), ?;
    }
}

form! {
    /// Recall error against the number of stored pairs.
    pub struct CapacitySpec = "a map with `d`, `load`, `ages` and `trials`" {
        /// values of the parameter `d`
        d: Vec<usize>, COUNTS, !;
        /// stored pairs M over d
        load: Vec<f64>, list(LOAD), !;
        /// how many writes ago a pair was stored, for forgetting memories
        ages: Vec<usize>, COUNTS, !;
        trials: usize, TRIALS, !;
    }
}

form! {
    /// Where one memory wins by squared error and another by decoding.
    pub struct CrossoverSpec = "a map with `load` and `trials`" {
        /// stored pairs M over d
        load: Vec<f64>, list(LOAD), !;
        trials: usize, TRIALS, !;
    }
}

form! {
    /// Which memory rule made these recalls?
    pub struct IdentifySpec = "a map with `circuits`, `noise`, `load`, `g` and `rate`" {
        circuits: usize, TRIALS, !;
        /// standard deviation of the noise over the root mean square of the recalls
        noise: f64, FRACTION, !;
        /// stored pairs M over d, drawn between two numbers
        load: [f64; 2], Between(LOAD), !;
        /// values of the parameter `g`, drawn between two numbers
        g: [f64; 2], Between(UNIT), !;
        /// values of the parameter `rate`, drawn between two numbers
        rate: [f64; 2], Between(UNIT), !;
    }
}

form! {
    /// Recall through layers.
    pub struct DepthSpec = "a map with `redundancy`, `pairs` and `trials`" {
        /// values of the parameter `R`
        redundancy: Vec<usize>, COUNTS, !;
        /// stored pairs M
        pairs: Vec<usize>, COUNTS, !;
        trials: usize, TRIALS, !;
    }
}

form! {
    /// Retrieval by iteration.
    pub struct HopfieldSpec = "a map with `patterns`, `norm`, `beta`, `n`, `trials`, `cells`, `dilution` and `runs`" {
        /// stored patterns of the one-step retrieval
        patterns: usize, COUNT, !;
        /// their length
        norm: f64, POSITIVE, !;
        /// inverse temperatures of the fixed points
        beta: Vec<f64>, list(POSITIVE), !;
        /// numbers of cells of the capacity fit
        n: Vec<usize>, COUNTS, !;
        trials: usize, TRIALS, !;
        /// of the network of diluted patterns
        cells: usize, COUNT, !;
        /// fraction of zeros of its patterns
        dilution: f64, BELOW_ONE, !;
        /// of that network
        runs: usize, TRIALS, !;
    }
}

form! {
    /// A memory that settles.
    pub struct EquilibriumSpec = "a map with `load` and `trials`" {
        /// stored pairs M over d
        load: Vec<f64>, list(LOAD), !;
        trials: usize, TRIALS, !;
    }
}

form! {
    /// Retrieval of handwritten digits.
    pub struct RetrievalSpec = "a map with `path`, `stored`, `kept`, `passes` and `trials`" {
        /// the images, `[n, 64]`, array `images`
        path: String, TEXT, !;
        /// numbers of stored images
        stored: Vec<usize>, COUNTS, !;
        /// fractions of the pixels that a cue keeps
        kept: Vec<f64>, list(UNIT), !;
        /// how often a delta memory sees all images
        passes: usize, COUNT, !;
        trials: usize, TRIALS, !;
    }
}

/// Two numbers of a range, the smaller one first.
struct Between(Range);

impl Kind<[f64; 2]> for Between {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<[f64; 2]> {
        let expected = "two numbers, the smaller one first, such as `[0.5, 0.9]`";
        match &at.node.value {
            Node::Seq(items) if items.len() == 2 => {}
            _ => return d.wrong(at, expected),
        }
        let both: Vec<f64> = list(self.0).read(d, at)?;
        match both.as_slice() {
            [low, high] if low <= high => Some([*low, *high]),
            [low, high] => {
                d.error(
                    Diagnostic::error(
                        codes::S006,
                        at.path,
                        format!("the range from {low} to {high} is empty"),
                    )
                    .help(format!("write {expected}"))
                    .at(at.node.span),
                );
                None
            }
            _ => None,
        }
    }

    fn schema(&self) -> Value {
        json!({"type": "array", "minItems": 2, "maxItems": 2, "items": self.0.schema()})
    }
}

form! {
    /// One conditioning protocol.
    pub struct ConditioningSpec = "a map with `train`, `test` and `shows`" {
        train: Vec<PhaseSpec>, Training, !;
        /// the training that it is compared with
        control: Vec<PhaseSpec>, Training, [Vec::new()];
        /// what is shown at the end, without US
        test: StimuliSpec, FORM, !;
        /// what animals do
        shows: Shows, FORM, !;
    } then is_complete
}

/// A test must not ask for a stimulus that no trial has shown: that would be a slip of the pen.
fn is_complete(spec: &ConditioningSpec, d: &mut Decoder, at: &str, span: Option<Span>) -> Option<()> {
    let control = join(at, "control");
    let slip = d.diagnostics.0.iter().any(|e| e.path.starts_with(&control));
    if spec.shows.needs_control() && spec.control.is_empty() && !slip {
        let what = format!("`{at}` says `shows: {}`, but has no `control`", spec.shows.name());
        d.error(
            Diagnostic::error(codes::S001, at, what)
                .help("add the training that it is compared with: `control: [...]`")
                .at(span),
        );
        return None;
    }
    let phases = spec.train.iter().chain(&spec.control);
    let mut shown: Vec<&str> = phases.flat_map(|p| &p.trials).flat_map(|t| t.cs.0.names()).collect();
    shown.sort_unstable();
    shown.dedup();
    let path = join(at, "test");
    if spec.test.0.is_empty() {
        let what = "the test shows nothing";
        d.error(Diagnostic::error(codes::S001, path, what).help("name a stimulus: `test: [A]`"));
        return None;
    }
    for name in spec.test.0.names() {
        if !shown.contains(&name) {
            let what = format!("no trial shows `{}`", shorten(name));
            d.error(
                Diagnostic::error(codes::S009, path, what).help(did_you_mean(name, shown.iter().copied())),
            );
            return None;
        }
    }
    Some(())
}

/// Phases, one after another.
struct Training;

impl Training {
    const PHASES: List<super::declare::Declared> = List {
        what: "a list of phases, such as `[{repeat: 100, trials: [{cs: [A], us: 1}]}]`",
        least: 1,
        of: FORM,
    };
}

impl Kind<Vec<PhaseSpec>> for Training {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<Vec<PhaseSpec>> {
        let before = d.diagnostics.0.len();
        let phases: Vec<PhaseSpec> = Self::PHASES.read(d, at)?;
        let total =
            phases.iter().fold(0usize, |n, p| n.saturating_add(p.repeat.saturating_mul(p.trials.len())));
        if total > MOST_TRIALS {
            let what = format!("a training of {total} trials is too long; the most is {MOST_TRIALS}");
            d.error(Diagnostic::error(codes::S007, at.path, what).help("repeat less often").at(at.node.span));
            return None;
        }
        // A phase that could not be read would make a training that nobody wrote.
        (d.diagnostics.0.len() == before).then_some(phases)
    }

    fn schema(&self) -> Value {
        Kind::<Vec<PhaseSpec>>::schema(&Self::PHASES)
    }
}

form! {
    /// Trials that are repeated in turn.
    pub struct PhaseSpec = "a map with `trials`, and `repeat`" {
        repeat: usize, COUNT, (1);
        trials: Vec<TrialSpec>, List { what: "a list of trials", least: 1, of: FORM }, !;
    }
}

form! {
    /// One trial; nothing at all is a rest.
    pub struct TrialSpec = "a map with `cs` and `us`; `{}` is a rest" {
        cs: StimuliSpec, FORM, (StimuliSpec::default());
        /// strength of the unconditioned stimulus
        us: f64, NUMBER, (0.0);
    }
}

/// Conditioned stimuli that are present together, each with its intensity.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StimuliSpec(pub Table<f64>);

impl Form for StimuliSpec {
    /// `[A, B]`, or `{A: 1, B: 0.5}` with intensities.
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        let expected = "stimuli: `[A, B]`, or with intensities `{A: 1, B: 0.5}`";
        let Node::Seq(items) = &at.node.value else {
            if !matches!(at.node.value, Node::Map(_)) {
                return d.wrong(at, expected);
            }
            return d.table(at, "intensities", Decoder::number).map(Self);
        };
        let mut table = Table::default();
        for node in items {
            let at = At { node, path: at.path };
            let Node::Str(name) = &node.value else { return d.wrong(at, expected) };
            if !is_name(name) {
                let what = format!("`{}` is not a name", shorten(name));
                let help = "names have letters, digits and `_`, and do not start with a digit";
                d.error(Diagnostic::error(codes::S004, at.path, what).help(help).at(node.span));
                return None;
            }
            if table.get(name).is_some() {
                let what = format!("stimulus `{name}` stands here twice");
                let help = format!("a stronger stimulus is written `{{{name}: 2}}`");
                d.error(Diagnostic::error(codes::S003, at.path, what).help(help).at(node.span));
                return None;
            }
            table.0.push((name.clone(), 1.0));
        }
        Some(Self(table))
    }

    fn schema() -> Value {
        json!({"anyOf": [
            {"type": "array", "items": {"type": "string", "pattern": NAME}, "uniqueItems": true},
            {"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": NUMBER.schema()},
        ], "description": "[A, B], or with intensities {A: 1, B: 0.5}"})
    }
}

words! {
    /// The finding that a protocol is known for.
    pub enum Shows {
        /// a response
        Positive = "positive";
        /// less than no response
        Negative = "negative";
        /// less than after the control
        Less = "less";
        /// more than after the control
        More = "more";
    }
}

impl Shows {
    /// Whether the finding is about a difference between two trainings.
    #[must_use]
    pub fn needs_control(self) -> bool {
        matches!(self, Self::Less | Self::More)
    }
}
