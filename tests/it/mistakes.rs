//! What the tests of diagnostics share: all mistakes of a circuit, from its text to its heads.

use super::support::root;
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::plasticity::tasks::Task;
use pulvinar::spec::{Document, TaskSpec, read, read_file};
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
    read_file(path, &[]).map_or_else(|d| d, |document| beyond(&document))
}

/// Why a circuit that is attention has no plus/minus form.
fn without_dale(document: &Document) -> Diagnostics {
    let mut mistakes = mistakes_beyond_text(document);
    if let (false, Ok(circuit)) = (mistakes.has_errors(), wire(&document.spec, &document.folder))
        && let Err(d) = rewrite(&document.spec, &circuit)
    {
        mistakes = Diagnostics::from(d);
        document.locate(&mut mistakes);
    }
    mistakes
}

/// The same for text whose relative paths start at the root of the repository.
pub fn mistakes_in(text: &[u8]) -> Diagnostics {
    read(text, root(), &[]).map_or_else(|d| d, |document| mistakes_beyond_text(&document))
}

/// What wiring, compiling and the cells find in a document that could be read.
pub fn mistakes_beyond_text(document: &Document) -> Diagnostics {
    if let (true, Ok(circuit)) = (document.spec.spikes(), pulvinar::circuit::spikes(&document.spec))
        && let Err(mut mistakes) = pulvinar::simulate::spiking::check(&circuit, &document.folder)
    {
        document.locate(&mut mistakes);
        return mistakes;
    }
    let mut mistakes = match wire(&document.spec, &document.folder) {
        Ok(circuit) => {
            let mut mistakes = not_attention(&circuit);
            mistakes.0.extend(pulvinar::simulate::cells::check(&document.spec, &circuit).err());
            mistakes.0.extend(pulvinar::plasticity::check(&circuit).err().unwrap_or_default().0);
            mistakes.0.extend(task(document, &circuit));
            mistakes
        }
        Err(mistakes) => mistakes,
    };
    document.locate(&mut mistakes);
    mistakes
}

/// Why the circuit cannot learn from its task. A teacher is another file, and not looked for here.
fn task(document: &Document, circuit: &Circuit) -> Vec<Diagnostic> {
    match &document.spec.reserved.task {
        None | Some(TaskSpec::Teacher(_)) => Vec::new(),
        Some(task) => Task::new(task, circuit, &document.folder, None).map_or_else(|d| d.0, |_| Vec::new()),
    }
}

/// Why a circuit is not attention; nothing if it is.
fn not_attention(circuit: &Circuit) -> Diagnostics {
    compile(circuit).map_or_else(Diagnostics::from, |_| Diagnostics::new())
}
