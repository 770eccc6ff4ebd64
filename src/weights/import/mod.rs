//! Transformer heads to a circuit: the text of a circuit file, and the weights that it reads.
//!
//! One cortical area per head, one relay of the core pathway for queries, one of the matrix pathway for keys and values, one
//! higher-order relay where all heads meet. The text is one that a person could have written; nothing in it says "head"
//! to the compiler. Compiling it gives the heads back.
//!
//! - `idle`: heads that compute nothing, or attend to all tokens alike.
//! - `plan`: names of areas, relays and streams; what each head needs.
//! - `places`: streams of positions. `areas`: the cells of one head; `sides`: what is done to its queries and keys first.
//! - `text`: the YAML; `prose`: its comments.
//!
//! **Deliberately absent:** reading weights ([`super::read`]) and writing files; plus/minus cells.

mod areas;
mod idle;
mod places;
mod plan;
mod prose;
mod sides;
mod text;

use super::Loaded;
use super::model::Beyond;
use crate::attention::Block;
use crate::diag::Diagnostic;
use crate::files::{Array, Bad, Dtype};
use nalgebra::{DMatrix, DVector};
use std::path::Path;

/// What the text of every imported circuit begins with.
pub const OPENING: &str = "# Imported: ";

/// How a head is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wiring {
    /// One microcolumn for each pair of tokens (Granier & Senn 2025, v1/v2).
    AttentionMask,
    /// The superficial cells of an area hold `sum_j v_j k_j^T` (Granier & Senn 2025, v3).
    KeyValueMemory,
}

/// What the circuit is to be called, and how it is wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// the circuit's name
    pub name: String,
    /// the file of weights as the circuit names it
    pub weights_file: String,
    /// chosen by the memories of the heads where absent
    pub wiring: Option<Wiring>,
    /// tensors of the layer that were left out as asked for: the text says so
    pub ignored: Vec<String>,
}

/// A circuit and its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub yaml: String,
    /// one tensor for each projection that reads the weights file, named like it; `[targets, sources]`, biases `[targets]`
    pub weights: Vec<(String, Array)>,
    pub wiring: Wiring,
    /// the area of each head that is in the circuit
    pub areas: Vec<String>,
    /// heads that are zero whatever the tokens, by their numbers: they have no cells
    pub left_out: Vec<usize>,
}

impl Wiring {
    /// The word of the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AttentionMask => "attention-mask",
            Self::KeyValueMemory => "key-value-memory",
        }
    }
}

/// Writes `block` as a circuit; head `h` of it is head `numbers[h]` of the file `source`, which messages name.
///
/// Heads that compute zero are left out.
///
/// # Errors
/// `F012` where no head is left, for a head whose scores are all equal (a circuit's score needs a query), and for one
/// that the wiring cannot be: memories other than `none` and `hebbian` need a key-value memory, scores
/// that are exponentiated, raised to a power or divided by their sum need an attention mask.
pub fn import(
    source: &Path,
    block: &Block,
    numbers: &[usize],
    style: &Style,
) -> Result<Imported, Diagnostic> {
    written(source, block, numbers, style, &Beyond::default(), 1)
}

/// Writes a layer as a circuit, with what it does beside its heads.
///
/// # Errors
/// As [`import()`]; `F018` where what it does needs the number of tokens (`--length`) or all heads together.
pub fn import_layer(source: &Path, loaded: &Loaded, style: &Style) -> Result<Imported, Diagnostic> {
    let beyond = &loaded.beyond;
    let unsaid = beyond.unsaid();
    if !unsaid.is_empty() {
        return Err(Bad::new(
            "F018",
            format!("no circuit can be written yet of a layer with {}", unsaid.join(", ")),
        )
        .help("only layers without it can be imported")
        .in_file(source));
    }
    let part = loaded.selected.len() < loaded.heads;
    if part && beyond.norm.as_ref().is_some_and(|n| n.whole) {
        return Err(Bad::new("F018", "queries and keys are normalised over all heads together")
            .help("import all heads: without --select")
            .in_file(source));
    }
    let group = loaded.heads / loaded.shared.max(1);
    written(source, &loaded.block, &loaded.selected, style, beyond, group)
}

fn written(
    source: &Path,
    block: &Block,
    numbers: &[usize],
    style: &Style,
    beyond: &Beyond,
    group: usize,
) -> Result<Imported, Diagnostic> {
    let bad = |bad: Bad| bad.in_file(source);
    // A score of places alone is one all the same, and a norm over all heads needs them all.
    let keep = beyond.distance.is_some() || beyond.norm.is_some();
    let (alive, numbers, left_out) = match keep {
        true => (block.clone(), numbers.to_vec(), Vec::new()),
        false => idle::without_idle(block, numbers).map_err(bad)?,
    };
    let plan = plan::Plan::of(&alive, &numbers, style, beyond, group).map_err(bad)?;
    let mut weights = Weights::default();
    let yaml = text::write(&plan, &mut weights);
    let areas = plan.areas.iter().map(|a| a.name.clone()).collect();
    Ok(Imported { yaml, weights: weights.0, wiring: plan.wiring, areas, left_out })
}

/// Tensors of the weights file.
#[derive(Debug, Default)]
struct Weights(Vec<(String, Array)>);

impl Weights {
    fn matrix(&mut self, name: &str, m: &DMatrix<f64>) {
        self.push(name, Array::from_matrix(m));
    }

    fn vector(&mut self, name: &str, v: &DVector<f64>) {
        self.push(name, Array::from_slice(v.as_slice()));
    }

    /// In single precision where that loses nothing.
    fn push(&mut self, name: &str, mut array: Array) {
        #[allow(clippy::cast_possible_truncation)]
        let single = array.data.iter().all(|x| f64::from(*x as f32).to_bits() == x.to_bits());
        array.dtype = if single { Dtype::F32 } else { Dtype::F64 };
        self.0.push((name.to_owned(), array));
    }
}
