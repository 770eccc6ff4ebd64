//! Transformer heads to a circuit: the text of a circuit file, and the weights that it reads.
//!
//! One cortical area per head, one relay of the core pathway for queries, one of the matrix pathway for keys and values, one
//! higher-order relay where all heads meet. The text is one that a person could have written; nothing in it says "head"
//! to the compiler. Compiling it gives the heads back.
//!
//! - `idle`: heads that compute nothing, or attend to all tokens alike.
//! - `plan`: names of areas, relays and streams; what each head needs.
//! - `text`: the YAML; `prose`: its comments.
//!
//! **Deliberately absent:** reading weights ([`super::read`]) and writing files; plus/minus cells.

mod idle;
mod plan;
mod prose;
mod text;

use crate::attention::Block;
use crate::diag::Diagnostic;
use crate::files::{Array, Dtype};
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
    let (alive, numbers, left_out) = idle::without_idle(block, numbers).map_err(|bad| bad.in_file(source))?;
    let plan = plan::Plan::of(&alive, &numbers, style).map_err(|bad| bad.in_file(source))?;
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
