//! The answer of `compile`: every block and its heads, with all their numbers where these are asked for.

use crate::attention::{self, Gate, Kernel, Memory, Rate};
use crate::circuit::Circuit;
use crate::compile::{Compiled, CompiledBlock, CompiledMap, HeadForm, Step};
use nalgebra::{DMatrix, DVector};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a circuit compiles to: the stage that ends in `output`, then all blocks and all stages.
#[derive(Clone, Debug, Serialize)]
pub struct Compile<'a> {
    #[serde(flatten)]
    pub output: Option<Output<'a>>,
    pub blocks: Vec<Block<'a>>,
    /// maps and blocks in order
    pub stages: Vec<Stage<'a>>,
    pub name: &'a str,
    pub seed: u64,
}

/// The last stage.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Output<'a> {
    Block(Block<'a>),
    Map(Map<'a>),
}

/// One stage; blocks by their number.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Stage<'a> {
    Map(Map<'a>),
    Block { relay: &'a str, block: usize },
}

/// A map of single tokens: the stream that it makes, those that it reads, and its cells.
#[derive(Clone, Debug, Serialize)]
pub struct Map<'a> {
    pub relay: &'a str,
    pub d_model: usize,
    pub reads: Vec<&'a str>,
    pub cells: Vec<Cells<'a>>,
    #[serde(skip)]
    pub(super) sources: &'a [String],
}

/// A population of a map.
#[derive(Clone, Debug, Serialize)]
pub struct Cells<'a> {
    pub population: &'a str,
    pub activation: &'a str,
    /// part of a delayed loop
    #[serde(rename = "loop")]
    pub looped: bool,
}

/// One block. Mask, kernel, normalisation and memory are what all heads share, else `mixed`.
#[derive(Clone, Debug, Serialize)]
pub struct Block<'a> {
    pub relay: &'a str,
    pub d_model: usize,
    pub mask: Cow<'static, str>,
    pub kernel: Cow<'static, str>,
    pub normalisation: Cow<'static, str>,
    pub memory: Cow<'static, str>,
    /// streams that direct paths start from
    pub residual: Vec<&'a str>,
    pub lateral_singular_values: Vec<f64>,
    pub heads: Vec<Head<'a>>,
    #[serde(flatten)]
    pub numbers: Option<BlockNumbers<'a>>,
    #[serde(skip)]
    pub(super) has_bias: bool,
}

/// One head without its matrices.
#[derive(Clone, Debug, Serialize)]
pub struct Head<'a> {
    pub d_key: usize,
    pub d_value: usize,
    /// functional norm of the head
    pub strength: f64,
    pub lateral_singular_value: f64,
    pub area: &'a str,
    pub mask: Cow<'static, str>,
    pub kernel: &'static str,
    /// of a power
    pub exponent: Option<u32>,
    /// functions of the score, first to last, of a chain of them
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub score: Vec<String>,
    pub scale: f64,
    pub normalisation: &'static str,
    /// whether the sum of scores has a further term of the query token
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sink: bool,
    pub memory: &'static str,
    /// of a memory that decays by a constant
    pub decay: Option<f64>,
    pub query_stream: &'a str,
    pub context_stream: &'a str,
    pub value_stream: &'a str,
    #[serde(flatten)]
    pub numbers: Option<HeadNumbers<'a>>,
}

/// Rows of a matrix.
type Rows = Vec<Vec<f64>>;

/// The matrices of a head, row by row, under the names that heads files give them.
#[derive(Clone, Debug, Serialize)]
pub struct HeadNumbers<'a> {
    /// `[d_key, d_query_stream]`
    #[serde(rename = "W_Q")]
    pub w_q: Rows,
    /// `[d_key, d_context_stream]`
    #[serde(rename = "W_K")]
    pub w_k: Rows,
    /// `[d_value, d_value_stream]`
    #[serde(rename = "W_V")]
    pub w_v: Rows,
    /// `[d_model, d_value]`
    #[serde(rename = "W_O")]
    pub w_o: Rows,
    #[serde(rename = "b_Q")]
    pub b_q: Vec<f64>,
    #[serde(rename = "b_K")]
    pub b_k: Vec<f64>,
    #[serde(rename = "b_V")]
    pub b_v: Vec<f64>,
    /// maps of key and query cells, of a feature kernel
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// of the delta rule, where it is a constant
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// of a gated memory, or the rate of the delta rule where it depends on the context
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateNumbers<'a>>,
}

/// Elementwise maps of a feature kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Features {
    pub key: String,
    pub query: String,
}

/// Gains `constant + weights * map(features x + bias)`.
#[derive(Clone, Debug, Serialize)]
pub struct GateNumbers<'a> {
    /// side of the memory that a gate scales; none for a rate
    pub side: Option<attention::GateSide>,
    pub stream: &'a str,
    pub constant: Vec<f64>,
    pub weights: Rows,
    pub features: Rows,
    pub bias: Vec<f64>,
    pub maps: Vec<String>,
}

/// What a block has beside its heads.
#[derive(Clone, Debug, Serialize)]
pub struct BlockNumbers<'a> {
    /// `[d_model, d_stream]` for each stream of the residual
    #[serde(rename = "R")]
    pub residual: BTreeMap<&'a str, Rows>,
    #[serde(rename = "b_O")]
    pub b_o: Vec<f64>,
}

impl<'a> Compile<'a> {
    /// The answer without matrices.
    #[must_use]
    pub fn of(circuit: &'a Circuit, compiled: &'a Compiled) -> Self {
        Self::made(circuit, compiled, false)
    }

    /// The same with every number of every head.
    #[must_use]
    pub fn with_numbers(circuit: &'a Circuit, compiled: &'a Compiled) -> Self {
        Self::made(circuit, compiled, true)
    }

    fn made(circuit: &'a Circuit, compiled: &'a Compiled, numbers: bool) -> Self {
        let blocks: Vec<Block<'a>> = compiled.blocks.iter().map(|b| Block::of(b, numbers)).collect();
        let stage = |step: &Step| match *step {
            Step::Map(m) => Stage::Map(Map::of(&compiled.maps[m])),
            Step::Block(block) => Stage::Block { relay: &compiled.blocks[block].block.relay, block },
        };
        let output = match compiled.steps.last() {
            Some(Step::Map(m)) => Some(Output::Map(Map::of(&compiled.maps[*m]))),
            _ => blocks.last().cloned().map(Output::Block),
        };
        let stages = compiled.steps.iter().map(stage).collect();
        Self { output, blocks, stages, name: &circuit.name, seed: circuit.seed }
    }
}

impl<'a> Map<'a> {
    fn of(map: &'a CompiledMap) -> Self {
        let cells = map.parts.iter().map(|p| Cells {
            population: &p.name,
            activation: &p.activation,
            looped: p.looped,
        });
        Self {
            relay: &map.map.name,
            d_model: map.map.d_model(),
            reads: map.map.inputs.iter().map(|i| i.stream.as_str()).collect(),
            cells: cells.collect(),
            sources: &map.sources,
        }
    }
}

impl<'a> Block<'a> {
    fn of(block: &'a CompiledBlock, numbers: bool) -> Self {
        let b = &block.block;
        let shared = |get: fn(&attention::Head) -> Cow<'static, str>| -> Cow<'static, str> {
            let mut names = b.heads.iter().map(get);
            match names.next() {
                None => "none".into(),
                Some(first) if names.all(|n| n == first) => first,
                Some(_) => "mixed".into(),
            }
        };
        Self {
            relay: &b.relay,
            d_model: b.d_model,
            mask: shared(|h| h.mask.name()),
            kernel: shared(|h| h.kernel.name().into()),
            normalisation: shared(|h| h.normalisation.name().into()),
            memory: shared(|h| h.memory.name().into()),
            residual: b.residual.iter().map(|r| r.stream.as_str()).collect(),
            lateral_singular_values: block.heads.iter().map(|h| h.singular).collect(),
            heads: block.heads.iter().map(|h| Head::of(h, numbers)).collect(),
            numbers: numbers.then(|| BlockNumbers {
                residual: b.residual.iter().map(|r| (r.stream.as_str(), rows(&r.matrix))).collect(),
                b_o: list(&b.b_o),
            }),
            has_bias: b.b_o.iter().any(|x| *x != 0.0),
        }
    }
}

impl<'a> Head<'a> {
    fn of(form: &'a HeadForm, numbers: bool) -> Self {
        let head = &form.head;
        Self {
            d_key: head.d_key(),
            d_value: head.d_value(),
            strength: form.strength,
            lateral_singular_value: form.singular,
            area: &head.area,
            mask: head.mask.name(),
            kernel: head.kernel.name(),
            exponent: match head.kernel {
                Kernel::Power(n) => Some(n),
                _ => None,
            },
            score: head.function.iter().map(|link| link.activation.name()).collect(),
            scale: head.scale,
            normalisation: head.normalisation.name(),
            sink: head.sink.is_some(),
            memory: head.memory.name(),
            decay: match head.memory {
                Memory::Decay(g) => Some(g),
                _ => None,
            },
            query_stream: &head.query_stream,
            context_stream: &head.context_stream,
            value_stream: &head.value_stream,
            numbers: numbers.then(|| HeadNumbers::of(head)),
        }
    }

    /// The kernel in one word for people.
    pub(super) fn kind(&self) -> String {
        let kernel = match self.exponent {
            Some(n) => format!("power {n}"),
            None => self.kernel.to_owned(),
        };
        let sink = if self.sink { ", sink" } else { "" };
        match (self.kernel, self.normalisation) {
            ("exp", "sum") => format!("softmax{sink}"),
            (_, "sum") => format!("{kernel} / sum{sink}"),
            _ => kernel,
        }
    }
}

impl<'a> HeadNumbers<'a> {
    fn of(head: &'a attention::Head) -> Self {
        let (rate, gate) = match &head.memory {
            Memory::Delta(Rate::Constant(rate)) => (Some(*rate), None),
            Memory::Delta(Rate::Gate(gate)) => (None, Some(GateNumbers::of(None, gate))),
            Memory::Gated { side, gate } => (None, Some(GateNumbers::of(Some(*side), gate))),
            Memory::None | Memory::Hebbian | Memory::Decay(_) => (None, None),
        };
        Self {
            w_q: rows(&head.w_q),
            w_k: rows(&head.w_k),
            w_v: rows(&head.w_v),
            w_o: rows(&head.w_o),
            b_q: list(&head.b_q),
            b_k: list(&head.b_k),
            b_v: list(&head.b_v),
            features: match head.kernel {
                Kernel::Feature { key, query } => Some(Features { key: key.name(), query: query.name() }),
                _ => None,
            },
            rate,
            gate,
        }
    }
}

impl<'a> GateNumbers<'a> {
    fn of(side: Option<attention::GateSide>, gate: &'a Gate) -> Self {
        Self {
            side,
            stream: &gate.stream,
            constant: list(&gate.constant),
            weights: rows(&gate.weights),
            features: rows(&gate.features),
            bias: list(&gate.bias),
            maps: gate.maps.iter().map(|m| m.name()).collect(),
        }
    }
}

fn rows(m: &DMatrix<f64>) -> Rows {
    m.row_iter().map(|row| row.iter().copied().collect()).collect()
}

fn list(v: &DVector<f64>) -> Vec<f64> {
    v.iter().copied().collect()
}
