//! From a wired circuit to attention heads, in steps that can each be printed.
//!
//! 1. `factor` evaluates every population symbolically, as a sum of products of linear forms of the tokens (`value`,
//!    `term`, `atoms`): `activate` applies nonlinear activations, `memory` folds over the context, `bias` keeps the
//!    biases of plus/minus halves until they meet, `near` tells their numbers from rounding. What breaks the form is a `reason`.
//! 2. `relay` walks the relays in order and says which of them end a block; `pull` collects what arrives there, as
//!    output columns times terms and as direct paths (`block_form`).
//! 3. `heads` colours context factors key or value (`colour`) and factorises (`components`, `rank`); `build_head`,
//!    `delta_head` and `divide` write the matrices and check the normalisation.
//! 4. [`explain`] keeps the projections, and so the lines of the file, behind each matrix.
//!
//! It sees populations, compartments and projections; nothing in a circuit says "head".
//!
//! **Deliberately absent:** random numbers (weights are drawn earlier, by name), files, simulators.

mod activate;
mod atoms;
mod bias;
mod block_form;
mod build_head;
mod colour;
mod components;
mod delta_head;
mod divide;
mod division;
pub mod explain;
mod factor;
mod hash;
mod heads;
mod map_form;
mod maps;
mod memory;
mod near;
mod pull;
mod rank;
mod reason;
mod relay;
mod rows;
mod sets;
mod show;
mod size;
mod stages;
mod structured;
mod term;
mod tokenwise;
mod value;

pub use build_head::HeadForm;
pub use show::FactorText;

use crate::attention::{Block, Residual, Stage, TokenMap};
use crate::circuit::Circuit;
use crate::diag::{Diagnostic, codes};
use std::collections::BTreeSet;

/// A compiled circuit: its blocks in order, the one of the output last.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub blocks: Vec<CompiledBlock>,
    /// functions of single tokens before, between and behind the blocks
    pub maps: Vec<CompiledMap>,
    /// all stages in order, the one of the output last
    pub steps: Vec<Step>,
    /// streams and relays by name, each with its width and the input stream whose clock it follows
    pub streams: Vec<StreamInfo>,
    /// the factor form as text
    pub factors: FactorText,
}

/// A token stream: an input, or the output of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    pub name: String,
    pub d_model: usize,
    pub clock: String,
}

/// A map of single tokens, and where it came from.
#[derive(Clone, Debug)]
pub struct CompiledMap {
    pub map: TokenMap,
    /// its cells, as the file has them
    pub parts: Vec<MapPart>,
    /// streams and cells that its output reads
    pub sources: Vec<String>,
}

/// Cells of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapPart {
    pub name: String,
    pub activation: String,
    /// part of a delayed loop
    pub looped: bool,
    /// projections (by number) that end on them
    pub projections: Vec<u32>,
}

/// One stage of a compiled circuit, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Map(usize),
    Block(usize),
}

/// A block and the provenance of its heads.
#[derive(Clone, Debug)]
pub struct CompiledBlock {
    pub block: Block,
    pub heads: Vec<HeadForm>,
    /// projections (by number) behind each residual, and behind the output bias
    pub residual: Vec<Vec<u32>>,
    pub bias: Vec<u32>,
}

impl Compiled {
    /// The blocks alone, in order.
    #[must_use]
    pub fn plain_blocks(&self) -> Vec<Block> {
        self.blocks.iter().map(|b| b.block.clone()).collect()
    }

    /// The relay, or the map, that the circuit answers with.
    #[must_use]
    pub fn output_name(&self) -> &str {
        match self.steps.last() {
            Some(Step::Map(m)) => &self.maps[*m].map.name,
            Some(Step::Block(b)) => &self.blocks[*b].block.relay,
            None => "",
        }
    }

    /// Maps and blocks, in order.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Map(m) => Stage::Map(self.maps[*m].map.clone()),
                Step::Block(b) => Stage::Block(self.blocks[*b].block.clone()),
            })
            .collect()
    }
}

/// Compiles a circuit to blocks of heads.
///
/// # Errors
/// One `N...` diagnostic that names the population or projection at which the circuit stops being attention.
pub fn compile(circuit: &Circuit) -> Result<Compiled, Diagnostic> {
    compiled(circuit).map_err(|mut d| {
        circuit.places.locate_one(&mut d);
        d
    })
}

/// Compiles a circuit for whatever reads blocks of heads alone.
///
/// # Errors
/// As [`compile`] and [`heads_alone`].
pub fn compile_heads(circuit: &Circuit) -> Result<Compiled, Diagnostic> {
    let compiled = compile(circuit)?;
    heads_alone(&compiled).map(|()| compiled)
}

/// Is a compiled circuit heads alone?
///
/// # Errors
/// `U004` that names a map.
pub fn heads_alone(compiled: &Compiled) -> Result<(), Diagnostic> {
    let Some(map) = compiled.maps.first() else { return Ok(()) };
    let what = format!("the circuit has the map `{}`; this verb reads blocks of heads alone", map.map.name);
    Err(Diagnostic::error(codes::U004, "", what)
        .help("`compile` prints maps, `simulate` runs them (not with `--stream`), and `check --outputs` compares what they give"))
}

fn compiled(circuit: &Circuit) -> Result<Compiled, Diagnostic> {
    size::check(circuit)?;
    // Forms without maps come first; then what no factor can be becomes a map, then whatever stands in the way of one.
    let tokenwise = tokenwise::Tokenwise::of(circuit);
    let mut next = tokenwise.maps();
    // What is part of a loop has no value but where it settles.
    let mut lifted = if circuit.recurrent.is_empty() { BTreeSet::new() } else { std::mem::take(&mut next) };
    loop {
        let mut factors = factor::Factors::new(circuit, &tokenwise, &lifted);
        let fault = match attempt(&mut factors) {
            Ok(compiled) => return Ok(compiled),
            Err(fault) => fault,
        };
        next.extend(factors.culprits(&fault));
        next.retain(|id| !lifted.contains(id));
        if next.is_empty() {
            return Err(*fault.diagnostic);
        }
        lifted.append(&mut next);
    }
}

fn attempt(factors: &mut factor::Factors<'_>) -> Result<Compiled, reason::Fault> {
    let forms = factors.blocks()?;
    let text: Vec<String> = forms.iter().map(|form| show::block(form, factors)).collect();
    let mut blocks = Vec::with_capacity(forms.len());
    for form in &forms {
        let heads = heads::heads(form, factors)?;
        let streams = &factors.streams;
        let list = |o: atoms::Origin| factors.parts.projections(o);
        blocks.push(CompiledBlock {
            block: Block {
                relay: form.relay.clone(),
                d_model: form.d_model,
                clock_stream: streams[form.stream].clock.clone(),
                heads: heads.iter().map(|h| h.head.clone()).collect(),
                residual: form
                    .residual
                    .iter()
                    .map(|p| Residual { stream: streams[p.stream].name.clone(), matrix: p.matrix.clone() })
                    .collect(),
                b_o: form.bias.clone(),
            },
            heads,
            residual: form.residual.iter().map(|p| list(p.origin)).collect(),
            bias: form.bias_origin.map_or_else(Vec::new, list),
        });
    }
    let (maps, steps) = stages::stages(factors, &blocks);
    let kept = |(number, s): &(usize, &factor::StreamForm)| {
        !factors.is_map(*number) || maps.iter().any(|m| m.map.name == s.name)
    };
    let info = |(_, s): (usize, &factor::StreamForm)| StreamInfo {
        name: s.name.clone(),
        d_model: s.d_model,
        clock: s.clock.clone(),
    };
    let streams = factors.streams.iter().enumerate().filter(kept).map(info).collect();
    let factors = FactorText::of(&text, &maps, &steps);
    Ok(Compiled { blocks, maps, steps, streams, factors })
}
