//! Where sequences of tokens and targets come from, as written: `task`.

use super::declare::{COUNT, FORM, Form, Hand, INSIDE, Kind, NOT_NEGATIVE, Named, TEXT, choice, form};
use super::fields::{At, Decoder, join};
use super::node::Value as Node;
use super::types::Table;
use crate::diag::{Diagnostic, codes};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

choice! {
    /// Where sequences of tokens and targets come from.
    pub enum TaskSpec = "a task", "one task, for example `{in_context_regression: {context: 8}}`" {
        Teacher = "teacher" (TeacherSpec, FORM);
        InContextRegression = "in_context_regression" (RegressionSpec, FORM);
        AssociativeRecall = "associative_recall" (RecallSpec, FORM);
        Digits = "digits" (DigitsSpec, FORM);
        File = "file" (FileTaskSpec, FORM);
    }
}

/// The name of a stream.
const STREAM: Hand<String> = Hand(
    |d, at| match &at.node.value {
        Node::Str(name) => Some(name.clone()),
        _ => d.wrong(at, "the name of a stream"),
    },
    || json!({"type": "string"}),
);

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

form! {
    pub struct TeacherKeys = "a map with `heads: FILE.safetensors` or `circuit: FILE.yaml`" {
        /// a file of heads
        heads: String, TEXT, ?;
        /// of `heads`, the layer: what its tensor names begin with
        prefix: String, TEXT, ?;
        /// a circuit file, or a run directory
        circuit: String, TEXT, ?;
        /// the stream that a teacher with one stream reads; others read streams of the same names
        tokens: String, STREAM, (TaskSpec::TOKENS.to_owned());
        /// the stream that carries the targets
        target: String, STREAM, (TaskSpec::TARGET.to_owned());
    }
}

impl Form for TeacherSpec {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        let keys = TeacherKeys::read(d, at)?;
        let given = |name: &str| at.node.get(name).is_some();
        if given("heads") == given("circuit") {
            let what = "a teacher is either the `heads` of a file or a `circuit`";
            d.error(
                Diagnostic::error(codes::S010, at.path, what)
                    .help("write `heads: FILE.safetensors` or `circuit: FILE.yaml`, one of the two")
                    .at(at.node.span),
            );
            return None;
        }
        if let (true, Some((key, _))) = (given("circuit"), at.node.get("prefix")) {
            d.error(
                Diagnostic::error(
                    codes::S012,
                    join(at.path, "prefix"),
                    format!("unknown key `prefix` in `{}`", at.path),
                )
                .help("a prefix is of the `heads` of a file: leave it out")
                .at(key.span),
            );
            return None;
        }
        let from = match (keys.heads, keys.circuit) {
            (Some(heads), None) => TeacherFrom::Heads { heads, prefix: keys.prefix },
            (None, Some(circuit)) => TeacherFrom::Circuit { circuit },
            _ => return None,
        };
        Some(Self { from, tokens: keys.tokens, target: keys.target })
    }

    fn schema() -> Value {
        let mut schema = TeacherKeys::schema();
        schema["oneOf"] = json!([
            {"required": ["heads"]},
            {"required": ["circuit"], "not": {"required": ["prefix"]}},
        ]);
        schema
    }
}

form! {
    /// Linear regression from examples in the context.
    pub struct RegressionSpec = "a map with `context`" {
        /// number of examples
        context: usize, COUNT, !;
        /// standard deviation of what is added to their y
        noise: f64, NOT_NEGATIVE, (0.0);
        /// one stream, the question last; or two
        tokens: TokensOf, FORM, (TokensOf::One(TaskSpec::TOKENS.to_owned()));
        /// the stream that carries the targets
        target: String, STREAM, (TaskSpec::TARGET.to_owned());
    }
}

form! {
    /// A value is asked for by its key.
    pub struct RecallSpec = "a map with `pairs`" {
        /// keys and values, before the question
        pairs: usize, COUNT, !;
        /// one stream, the question last; or two
        tokens: TokensOf, FORM, (TokensOf::One(TaskSpec::TOKENS.to_owned()));
        /// the stream that carries the targets
        target: String, STREAM, (TaskSpec::TARGET.to_owned());
    }
}

/// Where the examples of a sequence stand, and where its question.
#[derive(Clone, Debug, PartialEq)]
pub enum TokensOf {
    /// in one stream, the question last
    One(String),
    /// in two streams: the question is the only token of `query`
    Two { query: String, context: String },
}

form! {
    pub struct TwoStreams = "the name of a stream, or `{query: STREAM, context: STREAM}`" {
        /// the stream of the question, its only token
        query: String, TEXT, !;
        /// the stream of the examples
        context: String, TEXT, !;
    }
}

impl Form for TokensOf {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self> {
        match &at.node.value {
            Node::Str(name) => Some(Self::One(name.clone())),
            _ => TwoStreams::read(d, at).map(|two| Self::Two { query: two.query, context: two.context }),
        }
    }

    fn schema() -> Value {
        json!({"anyOf": [{"type": "string"}, TwoStreams::schema()]})
    }
}

impl Serialize for TokensOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(name) => serializer.serialize_str(name),
            Self::Two { query, context } => {
                TwoStreams { query: query.clone(), context: context.clone() }.serialize(serializer)
            }
        }
    }
}

form! {
    /// Handwritten digits, row by row.
    pub struct DigitsSpec = "a map with `path`" {
        /// an npz with `images` `[n, 64]`, pixels from 0 to 16, and `labels` `[n]`
        path: String, TEXT, !;
        /// fraction of the images that is kept for evaluation
        held_out: f64, INSIDE, (TaskSpec::HELD_OUT);
        /// the stream of the rows
        tokens: String, STREAM, (TaskSpec::TOKENS.to_owned());
        /// the stream that carries the targets
        target: String, STREAM, (TaskSpec::TARGET.to_owned());
    }
}

form! {
    /// Sequences from a file.
    pub struct FileTaskSpec = "a map with `path`, `tokens` and `target`" {
        /// an npz; each array is `[sequences, n_tokens, d_model]`
        path: String, TEXT, !;
        /// the array of each stream
        tokens: Table<String>, Hand(arrays, arrays_schema), !;
        /// the array of the one stream that carries the targets
        target: Table<String>, Hand(target, target_schema), !;
        /// fraction of the sequences that is kept for evaluation
        held_out: f64, INSIDE, (TaskSpec::HELD_OUT);
    }
}

/// `{STREAM: ARRAY, ...}`, at least one.
fn arrays(d: &mut Decoder, at: At<'_>) -> Option<Table<String>> {
    let arrays = Named("streams and their arrays", TEXT).read(d, at)?;
    if arrays.is_empty() {
        return d.wrong(at, "a map with at least one `STREAM: ARRAY`");
    }
    Some(arrays)
}

fn arrays_schema() -> Value {
    json!({"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}})
}

fn target(d: &mut Decoder, at: At<'_>) -> Option<Table<String>> {
    match &at.node.value {
        Node::Str(array) => Some(Table(vec![(TaskSpec::TARGET.to_owned(), array.clone())])),
        _ => {
            d.choice(at, "the name of an array, or one `STREAM: ARRAY`")?;
            arrays(d, at)
        }
    }
}

fn target_schema() -> Value {
    let one = json!({"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "string"}});
    json!({"anyOf": [{"type": "string"}, one]})
}

/// Defaults of tasks.
impl TaskSpec {
    pub const TOKENS: &'static str = "main";
    pub const TARGET: &'static str = "target";
    pub const HELD_OUT: f64 = 0.2;

    /// The word that the file uses.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::KEYS[match self {
            Self::Teacher(_) => 0,
            Self::InContextRegression(_) => 1,
            Self::AssociativeRecall(_) => 2,
            Self::Digits(_) => 3,
            Self::File(_) => 4,
        }]
    }
}
