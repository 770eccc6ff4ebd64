//! What lesions change: the same run without them, and, for one linear block, the mean over all tokens in closed form.

use crate::attention::equivalence::expected_squared_gap;
use crate::circuit::Circuit;
use crate::compile::compile;
use crate::simulate::cells::{Settings, lesioned};
use nalgebra::DMatrix;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The change against the intact circuit.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// largest |y' - y|
    pub max_abs: f64,
    /// mean over tokens of |y' - y|^2
    pub mean_squared: f64,
    /// square root of sum |y' - y|^2 / sum |y|^2
    pub relative: f64,
    /// `E |y' - y|^2`, mean over tokens, for independent N(0, 1) tokens
    pub expected_squared: Option<f64>,
}

/// Compares the outputs of two runs.
pub fn change(
    circuit: &Circuit,
    settings: &Settings,
    intact: &DMatrix<f64>,
    output: &DMatrix<f64>,
) -> Option<Change> {
    if intact.shape() != output.shape() || !intact.iter().chain(output.iter()).all(|x| x.is_finite()) {
        return None;
    }
    let gap = output - intact;
    let (squared, size) = (gap.norm_squared(), intact.norm_squared());
    let tokens = crate::linalg::count(gap.ncols().max(1));
    Some(Change {
        max_abs: if gap.is_empty() { 0.0 } else { gap.amax() },
        mean_squared: squared / tokens,
        relative: if squared == 0.0 { 0.0 } else { (squared / size).sqrt() },
        expected_squared: expected(circuit, settings, gap.ncols()),
    })
}

/// The expectation, where both circuits are one linear block and the lesions act on the whole run.
fn expected(circuit: &Circuit, settings: &Settings, tokens: usize) -> Option<f64> {
    let left = lesioned(circuit, &settings.lesions).ok()??;
    let (intact, left) = (compile(circuit).ok()?, compile(&left).ok()?);
    let ([a], [b]) = (intact.blocks.as_slice(), left.blocks.as_slice()) else { return None };
    expected_squared_gap(&a.block, &b.block, tokens).ok().map(|g| g.mean)
}

impl Change {
    pub fn json(&self) -> Value {
        let finite = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
        json!({
            "max_abs": finite(self.max_abs),
            "mean_squared": finite(self.mean_squared),
            "relative": finite(self.relative),
            "expected_squared": self.expected_squared.map_or(Value::Null, finite),
        })
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "against the intact circuit: relative change {:.4}, mean |dy|^2 {:.6}, largest |dy| {:.6}\n",
            self.relative, self.mean_squared, self.max_abs
        );
        if let Some(expected) = self.expected_squared {
            let _ = writeln!(text, "expected mean |dy|^2 for tokens from N(0, 1): {expected:.6}");
        }
        text
    }
}
