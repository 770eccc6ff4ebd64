//! What lesions change: the same run without them, and, for one linear block, the mean over all tokens in closed form.

use nalgebra::DMatrix;
use pulvinar::attention::equivalence::expected_squared_gap;
use pulvinar::circuit::Circuit;
use pulvinar::compile::{Compiled, compile_heads};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most key and value cells of both blocks together that the closed form is worked out for: its cost is their square.
const MOST_CELLS: usize = 1600;

/// The change against the intact circuit.
#[derive(Clone, Debug)]
pub struct Change {
    /// largest |y' - y|
    pub max_abs: f64,
    /// mean over tokens of |y' - y|^2
    pub mean_squared: f64,
    /// square root of sum |y' - y|^2 / sum |y|^2
    pub relative: f64,
    /// the mean for independent N(0, 1) tokens
    pub expected: Expected,
}

/// `E |y' - y|^2`, mean over tokens.
#[derive(Clone, Debug)]
pub enum Expected {
    Squared(f64),
    /// the lesions split the heads into so many key and value cells
    TooLarge(usize),
    /// no closed form, and why
    None(String),
}

/// Compares the outputs of two runs; `left` is what the lesioned circuit compiles to, or why there is no such thing.
pub fn change(
    circuit: &Circuit,
    left: Result<&Compiled, String>,
    intact: &DMatrix<f64>,
    output: &DMatrix<f64>,
) -> Option<Change> {
    if intact.shape() != output.shape() || !intact.iter().chain(output.iter()).all(|x| x.is_finite()) {
        return None;
    }
    let gap = output - intact;
    let (squared, size) = (gap.norm_squared(), intact.norm_squared());
    let tokens = pulvinar::linalg::count(gap.ncols().max(1));
    Some(Change {
        max_abs: if gap.is_empty() { 0.0 } else { gap.amax() },
        mean_squared: squared / tokens,
        relative: if squared == 0.0 { 0.0 } else { (squared / size).sqrt() },
        expected: left.and_then(|left| expected(circuit, left, gap.ncols())).unwrap_or_else(Expected::None),
    })
}

/// The expectation, where both circuits are one linear block.
fn expected(circuit: &Circuit, left: &Compiled, tokens: usize) -> Result<Expected, String> {
    let intact = compile_heads(circuit).map_err(|d| format!("{} ({})", d.message, d.code))?;
    let ([a], [b]) = (intact.blocks.as_slice(), left.blocks.as_slice()) else {
        return Err("there is more than one block".to_owned());
    };
    let heads = a.block.heads.iter().chain(&b.block.heads);
    let cells: usize = heads.map(|h| h.d_key() + h.d_value()).sum();
    if cells > MOST_CELLS {
        return Ok(Expected::TooLarge(cells));
    }
    let gap = expected_squared_gap(&a.block, &b.block, tokens).map_err(|why| why.to_string())?;
    Ok(Expected::Squared(gap.mean))
}

impl Change {
    pub fn json(&self) -> Value {
        let finite = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
        json!({
            "max_abs": finite(self.max_abs),
            "mean_squared": finite(self.mean_squared),
            "relative": finite(self.relative),
            "expected_squared": match self.expected {
                Expected::Squared(x) => finite(x),
                _ => Value::Null,
            },
            "not_expected": match &self.expected {
                Expected::Squared(_) => Value::Null,
                Expected::TooLarge(n) => json!(format!("{n} key and value cells")),
                Expected::None(why) => json!(why),
            },
        })
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "against the intact circuit: relative change {:.4}, mean |dy|^2 {:.6}, largest |dy| {:.6}\n",
            self.relative, self.mean_squared, self.max_abs
        );
        let _ = match &self.expected {
            Expected::Squared(x) => writeln!(text, "expected mean |dy|^2 for tokens from N(0, 1): {x:.6}"),
            Expected::TooLarge(n) => writeln!(
                text,
                "expected mean |dy|^2: not worked out, the heads have {n} key and value cells (at most {MOST_CELLS})"
            ),
            Expected::None(why) => writeln!(text, "expected mean |dy|^2: none, {why}"),
        };
        text
    }
}
