//! Where results of one file go: what fits, what may be replaced, and stdout.

use super::args::Emit;
use super::report::{Failure, Reporter};
use clap::ValueEnum;
use pulvinar::diag::{Diagnostic, codes, one_of};
use pulvinar::files::inputs::is_read;
use pulvinar::files::{Manifest, atomic_write, not_an_input, remove_unfinished, write_device};
use std::io::Write as _;
use std::path::Path;

/// What each stage may be written to; the first ending is the one that is proposed.
const ENDINGS: [(Option<Emit>, &[&str]); 7] = [
    (None, &["safetensors"]),
    (Some(Emit::Heads), &["safetensors", "txt"]),
    (Some(Emit::Spec), &["yaml", "yml"]),
    (Some(Emit::Graph), &["txt"]),
    (Some(Emit::Factors), &["txt"]),
    (Some(Emit::Dot), &["dot", "gv"]),
    (Some(Emit::Svg), &["svg"]),
];

/// Endings of circuit files.
pub const CIRCUITS: &[&str] = &["yaml", "yml"];

/// Is it stdout?
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

fn ends(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|e| endings.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}

/// Before the work: does the ending fit, and may the file be written?
pub fn for_emit(path: &Path, emit: Option<Emit>, force: bool) -> Result<(), Failure> {
    let endings = ENDINGS.iter().find(|(stage, _)| *stage == emit).map_or(&[][..], |(_, endings)| *endings);
    let what = match emit.and_then(|stage| stage.to_possible_value()) {
        Some(name) => format!("`--emit {}`", name.get_name()),
        None => "the heads".to_owned(),
    };
    may_be_written(path, endings, &what, force)
}

/// Before the work: has `path` one of the `endings` of `what`, is it free or to be replaced, and is it no input?
pub fn may_be_written(path: &Path, endings: &[&str], what: &str, force: bool) -> Result<(), Failure> {
    if is_stdout(path) || is_device(path) {
        return Ok(());
    }
    if !ends(path, endings) {
        let ends = path
            .extension()
            .map_or_else(|| "has no ending".to_owned(), |e| format!("ends in `.{}`", e.to_string_lossy()));
        let listed: Vec<String> = endings.iter().map(|e| format!(".{e}")).collect();
        let message = format!("-o `{}` {ends}, which does not fit {what}", path.display());
        return Err(Diagnostic::error(codes::U007, "", message)
            .help(format!(
                "possible: {}; `pulvinar explain U007` lists all",
                one_of(listed.iter().map(String::as_str))
            ))
            .into());
    }
    is_free(path)?;
    if path.exists() && !force {
        return Err(Diagnostic::error(codes::F011, "", format!("`{}` exists", path.display()))
            .help("give another name, or --force to replace it")
            .into());
    }
    Ok(())
}

/// Neither a file that this run reads nor one of the run directory that it reads.
fn is_free(path: &Path) -> Result<(), Diagnostic> {
    not_an_input(path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(());
    };
    let is_of_run = Manifest::of(folder).ok().flatten().is_some_and(|m| m.files.iter().any(|f| f == name));
    if is_of_run && is_read(&folder.join("circuit.yaml")).is_some() {
        let what = format!("`{}`: belongs to the run directory that is read", path.display());
        return Err(Diagnostic::error(codes::F020, "", what).help("give another name to -o"));
    }
    Ok(())
}

/// Writes a text to a file, a device or stdout.
pub fn write(path: &Path, text: &str, out: &Reporter) -> Result<(), Failure> {
    put(path, |path| Ok(atomic_write(path, |sink| sink.write_all(text.as_bytes()))?), out)
}

/// The remark that a file was written.
pub fn say(path: &Path, out: &Reporter) {
    if !is_stdout(path) {
        out.note(&format!("wrote {}", path.display()));
    }
}

/// Writes a file by `write`, which makes a regular one; stdout and devices get its bytes.
pub fn put(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), Failure>,
    out: &Reporter,
) -> Result<(), Failure> {
    if is_stdout(path) || is_device(path) {
        let folder = tempfile::tempdir().map_err(|e| {
            Diagnostic::error(codes::F004, "", format!("no temporary folder: {e}"))
                .help("set TMPDIR to one that is writable")
        })?;
        let file = folder.path().join("output");
        write(&file)?;
        let bytes = std::fs::read(&file).map_err(|e| {
            Diagnostic::error(codes::F004, "", format!("`{}` could not be read back: {e}", file.display()))
        })?;
        if is_stdout(path) {
            out.print(&bytes);
        } else {
            write_device(path, &bytes)?;
        }
        return Ok(());
    }
    is_free(path)?;
    if let Some(folder) = path.parent() {
        remove_unfinished(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    }
    write(path)
}

/// Does `-o` take the place of what would be printed?
pub fn takes(emit: Emit, path: &Path) -> bool {
    emit != Emit::Heads || ends(path, &["txt"])
}
