//! Norms of queries and keys, before anything else is done to them.

use super::features::{Asked, Kind};
use super::keys;
use crate::files::Bad;

/// Queries and keys are divided by their size: `gain * y / sqrt(mean(y^2) + epsilon) + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct QkNorm {
    /// the mean is subtracted first
    pub centred: bool,
    /// over all heads together, else head by head
    pub whole: bool,
    pub epsilon: f64,
    /// one number per row of the query and of the key matrix
    pub gain: [Vec<f64>; 2],
    pub bias: [Vec<f64>; 2],
}

impl QkNorm {
    pub(super) fn name(&self) -> String {
        let kind = if self.centred { "layer norm" } else { "RMS norm" };
        let over = if self.whole { " over all heads" } else { "" };
        format!("{kind} of queries and keys{over}")
    }
}

pub(super) fn find(kind: Kind, asked: &mut Asked) -> Result<Option<QkNorm>, Bad> {
    let said = asked.config.flag(keys::QK_NORM)?;
    let optional = matches!(kind, Kind::Layer | Kind::LayerByHead | Kind::ByHead);
    if optional && said != Some(true) {
        return Ok(None);
    }
    let epsilon = asked.config.number(keys::EPSILON)?.unwrap_or(match kind {
        Kind::Rms | Kind::RmsOnePlus | Kind::RmsOfAll => 1e-6,
        _ => 1e-5,
    });
    let (d, heads, shared) = (asked.d_key, asked.counts.heads, asked.counts.shared);
    let whole = kind == Kind::RmsOfAll;
    let mut gain = [Vec::new(), Vec::new()];
    let mut bias = [Vec::new(), Vec::new()];
    for (side, (letter, heads)) in [("q", heads), ("k", shared)].into_iter().enumerate() {
        let rows = heads * d;
        let (weights, biases) = match kind {
            Kind::LayerByHead => {
                let mut all = Vec::new();
                for h in 0..heads {
                    all.extend(needed(asked, &format!("{letter}_layernorm.norms.{h}.weight"), d)?);
                }
                (all, None)
            }
            Kind::Layer => {
                let stem = format!("{letter}_layernorm");
                let bias = asked.inside(&format!("{stem}.bias"))?.map(|a| a.data);
                (needed(asked, &format!("{stem}.weight"), d)?, bias)
            }
            Kind::ByHead => (needed(asked, &format!("{letter}_norm.weight"), rows)?, None),
            Kind::RmsOfAll => (needed(asked, &format!("{letter}_norm.weight"), rows)?, None),
            Kind::Rms | Kind::RmsOnePlus => (needed(asked, &format!("{letter}_norm.weight"), d)?, None),
        };
        let one = if kind == Kind::RmsOnePlus { 1.0 } else { 0.0 };
        let tiled =
            |list: &[f64], plus: f64| list.iter().cycle().take(rows).map(|w| w + plus).collect::<Vec<f64>>();
        gain[side] = tiled(&weights, one);
        bias[side] = biases.map_or_else(|| vec![0.0; rows], |b| tiled(&b, 0.0));
    }
    let centred = matches!(kind, Kind::Layer | Kind::LayerByHead | Kind::ByHead);
    Ok(Some(QkNorm { centred, whole, epsilon, gain, bias }))
}

fn needed(asked: &mut Asked, stem: &str, n: usize) -> Result<Vec<f64>, Bad> {
    let name = format!("{}{stem}", asked.prefix);
    match asked.tensor(&name)? {
        Some(array) if array.data.len() == n => Ok(array.data),
        Some(array) => Err(Bad::new(
            "F009",
            format!("tensor `{name}` has shape {:?}, {n} numbers are needed", array.shape),
        )),
        None => Err(Bad::new("F008", format!("no tensor `{name}`"))
            .help("queries and keys of this architecture are normalised")),
    }
}
