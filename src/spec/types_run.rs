//! What a run of cells records, and what is done to it, as written.

use super::declare::{
    COUNT, FORM, FRACTION, Form, Hand, List, NOT_NEGATIVE, NUMBER, TEXT, TIME, TIME_OR_ZERO, choice, form,
    words,
};
use super::fields::{At, Decoder, MAX_COUNT};
use super::node::Value as Node;
use super::types::Time;
use crate::diag::{Diagnostic, Span, codes};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

words! {
    /// A number of a cell that changes in time.
    pub enum Variable {
        /// what the population sends
        Rate = "rate";
        /// v of a compartment
        Potential = "potential";
        /// (sum of additive inputs) / (sum of divisive inputs) of a compartment
        Input = "input";
    }
}

words! {
    /// A compartment that a trace can be of.
    pub enum CompartmentSpec {
        Basal = "basal";
        Apical = "apical";
        Gate = "gate";
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

form! {
    pub struct RecordKeys = "a map with `population`" {
        /// a population or a relay
        population: String, TEXT, !;
        /// of a potential or input
        compartment: CompartmentSpec, FORM, ?;
        /// `potential` if there is a compartment, else `rate`
        variable: Variable, FORM, ?;
        /// all if not given
        cells: Vec<usize>, INDICES, ?;
        /// query tokens; all if not given
        query: Vec<usize>, INDICES, ?;
        /// context tokens; all if not given
        context: Vec<usize>, INDICES, ?;
        /// one sample every so many steps
        every: usize, COUNT, (1);
    }
}

impl Form for RecordSpec {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        let keys = RecordKeys::read(d, at)?;
        let compartment = keys.compartment;
        let otherwise = if compartment.is_some() { Variable::Potential } else { Variable::Rate };
        let variable = keys.variable.unwrap_or(otherwise);
        if (variable == Variable::Rate) == compartment.is_some() {
            let (what, help) = if compartment.is_some() {
                (
                    "a rate is of a whole cell, not of a compartment",
                    "leave `compartment` out, or record its `potential`",
                )
            } else {
                ("which compartment?", "add `compartment: basal`, `apical` or `gate`")
            };
            d.error(Diagnostic::error(codes::S019, at.path, what).help(help).at(at.node.span));
            return None;
        }
        let RecordKeys { population, cells, query, context, every, .. } = keys;
        Some(Self { population, variable, compartment, cells, query, context, every })
    }

    fn schema() -> Value {
        RecordKeys::schema()
    }
}

/// Numbers of cells or tokens, from 0.
pub(super) const INDICES: Hand<Vec<usize>> = Hand(
    numbers,
    || json!({"type": "array", "items": {"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_COUNT as u64}}),
);

pub(super) fn numbers(d: &mut Decoder, at: At<'_>) -> Option<Vec<usize>> {
    let Node::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of numbers from 0, such as `[0, 3]`");
    };
    let mut numbers = Vec::with_capacity(items.len());
    for node in items {
        match node.value {
            Node::Int(i) if (0..MAX_COUNT).contains(&i) => numbers.push(usize::try_from(i).ok()?),
            _ => return d.wrong(At { node, path: at.path }, "whole numbers from 0"),
        }
    }
    Some(numbers)
}

form! {
    /// When a lesion acts; without an end, to the end of the run.
    pub struct WindowSpec: Copy, Default = "a map with `from` or `until`" {
        /// the whole run if not given
        from: Time, TIME_OR_ZERO, ?;
        /// the end of the run if not given
        until: Time, TIME, ?;
    } then is_some_time
}

fn is_some_time(window: &WindowSpec, d: &mut Decoder, path: &str, span: Option<Span>) -> Option<()> {
    let (Some(from), Some(until)) = (window.from, window.until) else { return Some(()) };
    if from.ms < until.ms {
        return Some(());
    }
    let what = format!("a window from {} ms until {} ms is empty", from.ms, until.ms);
    d.error(Diagnostic::error(codes::S006, path, what).help("let `until` come after `from`").at(span));
    None
}

choice! {
    /// One perturbation.
    pub enum LesionSpec = "a lesion", "`{silence: {population: A1.deep}}`, `{cut: {projection: W_K, fraction: 0.5}}`, `{scale: {projection: W_K, gain: 2}}` or `{noise: {population: A1.deep, std: 0.1}}`" {
        /// a fraction of the cells of a population sends nothing
        Silence = "silence": "a map that says what is hit" {
            population: String, TEXT, !;
            /// of the cells, drawn from the seed
            fraction: f64, FRACTION, (1.0);
            window: WindowSpec, FORM, * => flatten;
        };
        /// a fraction of the synapses of a projection is gone
        Cut = "cut": "a map that says what is hit" {
            projection: String, TEXT, !;
            /// of the entries of the matrix, drawn from the seed
            fraction: f64, FRACTION, (1.0);
            window: WindowSpec, FORM, * => flatten;
        };
        /// all synapses of a projection are `gain` times as strong
        Scale = "scale": "a map that says what is hit" {
            projection: String, TEXT, !;
            gain: f64, NUMBER, !;
            window: WindowSpec, FORM, * => flatten;
        };
        /// a noise current into all cells of a population
        Noise = "noise": "a map that says what is hit" {
            population: String, TEXT, !;
            /// of the potential that it causes
            std: f64, NOT_NEGATIVE, !;
            window: WindowSpec, FORM, * => flatten;
        };
    }
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

form! {
    /// How cells run in time.
    pub struct SimulationSpec = "a map with `dt`, `integrator` or `stop`" {
        /// 1 ms, a tenth of the shortest tau or the shortest delay if not given, whichever is least
        dt: Time, TIME, ?;
        /// exponential_euler if not given
        integrator: Integrator, FORM, ?;
        /// `settle` if not given, or `{duration: 500 ms}`
        stop: StopSpec, FORM, ?;
    }
}

words! {
    pub enum Integrator {
        /// needs a step below twice the shortest tau
        Euler = "euler";
        /// exact while inputs stand still
        ExponentialEuler = "exponential_euler";
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum StopSpec {
    Settle,
    Duration(Time),
}

form! {
    pub struct Lasting = "`settle` or `{duration: 500 ms}`" {
        duration: Time, TIME, !;
    }
}

impl Form for StopSpec {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        if matches!(at.node.value, Node::Map(_)) {
            return Lasting::read(d, at).map(|lasting| Self::Duration(lasting.duration));
        }
        d.word(at, &[("settle", ())]).map(|()| Self::Settle)
    }

    fn schema() -> Value {
        json!({"anyOf": [super::schema::word(&["settle"], ""), Lasting::schema()]})
    }
}

impl Serialize for StopSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Settle => serializer.serialize_str("settle"),
            Self::Duration(time) => Lasting { duration: *time }.serialize(serializer),
        }
    }
}

/// The list under `record` and `lesions`.
pub(super) const fn maps<K>(of: K) -> List<K> {
    List { what: "a list of maps", least: 0, of }
}
