//! What the tests of diagnostics share: all mistakes of a circuit, from its text to its heads, whatever the memory of the machine.

use super::support::root;
use pulvinar::diag::Diagnostics;
use pulvinar::model::Model;
use pulvinar::spec::{TaskSpec, read, read_file};
use pulvinar::weights::dale::rewrite;
use std::path::{Path, PathBuf};

/// Files of a folder with one ending, in order of their names; none if there is no such folder.
pub fn files_of(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

/// Every mistake that a circuit file holds, each with its place; none for a circuit that is attention. Files named
/// `no_dale_...` are attention, and are rewritten with plus and minus cells.
pub fn mistakes_of(path: &Path) -> Diagnostics {
    let dale = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("no_dale_"));
    let beyond = if dale { without_dale } else { mistakes_beyond_text };
    read_file(path, &[]).map_or_else(|d| d, |document| beyond(&Model::of(document)))
}

/// Why a circuit that is attention has no plus/minus form.
fn without_dale(model: &Model) -> Diagnostics {
    let mistakes = mistakes_beyond_text(model);
    match model.circuit() {
        Ok(circuit) if !mistakes.has_errors() => {
            rewrite(model.spec(), &circuit).map_or_else(|d| model.placed(d), |_| mistakes)
        }
        _ => mistakes,
    }
}

/// The same for text whose relative paths start at the root of the repository.
pub fn mistakes_in(text: &[u8]) -> Diagnostics {
    read(text, root(), &[]).map_or_else(|d| d, |document| mistakes_beyond_text(&Model::of(document)))
}

/// What wiring, compiling, the cells and the rules find in a document that could be read, and why the circuit cannot learn from its
/// task. A teacher is another file, and not looked for here.
pub fn mistakes_beyond_text(model: &Model) -> Diagnostics {
    let mut mistakes = model.mistakes();
    if model.spec().spikes() && !mistakes.has_errors() {
        // That it is not attention.
        return model.circuit().err().unwrap_or_default();
    }
    if model.circuit().is_ok() && !matches!(model.spec().reserved.task, Some(TaskSpec::Teacher(_))) {
        mistakes.0.extend(model.task().err().unwrap_or_default().0);
    }
    mistakes.sort();
    mistakes
}
