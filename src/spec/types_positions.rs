//! Streams whose tokens are functions of their number, as written.

use super::types::Pairing;
use serde::Serialize;

/// `positions` of a stream, and the number of its first token.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionsSpec {
    pub kind: PositionKind,
    pub offset: usize,
}

/// What a token of number i holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionKind {
    /// i
    Index {},
    /// 1 in place i of n, 0 elsewhere; i below n
    OneHot(usize),
    /// cosines, then sines, of i times each frequency (Su et al. 2021, arXiv 2104.09864)
    Rotary(RotarySpec),
    /// `sin(theta^(-2f/d_model) i)` in place 2f, the cosine in place 2f + 1 (Vaswani et al. 2017, arXiv 1706.03762)
    Sinusoid { d_model: usize, theta: f64 },
}

/// Rotary positions of `dims` numbers, an even number: two of them turn together, pair f by its frequency times i.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RotarySpec {
    pub dims: usize,
    #[serde(flatten)]
    pub turns: Turns,
    /// what cosines and sines are multiplied by
    pub scale: f64,
    pub pairing: Pairing,
}

/// Radians per token.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// `theta^(-2f/dims)` of pair f
    Theta(f64),
    /// of each pair
    Frequencies(Vec<f64>),
}

impl RotarySpec {
    /// Radians per token of pair `f`.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn frequency(&self, f: usize) -> f64 {
        match &self.turns {
            Turns::Theta(theta) => theta.powf(-2.0 * f as f64 / self.dims as f64),
            Turns::Frequencies(all) => all[f],
        }
    }
}

impl PositionsSpec {
    /// Numbers of a token.
    #[must_use]
    pub fn width(&self) -> usize {
        match &self.kind {
            PositionKind::Index {} => 1,
            PositionKind::OneHot(n) => *n,
            PositionKind::Rotary(r) => 2 * r.dims,
            PositionKind::Sinusoid { d_model, .. } => *d_model,
        }
    }

    /// The word that the file uses.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.kind {
            PositionKind::Index {} => "index",
            PositionKind::OneHot(_) => "one_hot",
            PositionKind::Rotary(_) => "rotary",
            PositionKind::Sinusoid { .. } => "sinusoid",
        }
    }
}
