//! The circuit file: YAML text -> [`CircuitSpec`], all mistakes at once.
//!
//! 1. [`node`] parses the text to a tree in which every value knows its line and column; `guard` refuses hostile text
//!    before that, `syntax` words what the parser says.
//! 2. `params` fills in `$name`, after `--set` took effect.
//! 3. `decode` reads the tree section by section (`fields` collects the mistakes), most of it by declarations (`declare`: key, type,
//!    range and doc, once for reader, printer and JSON Schema); [`template`] writes out areas
//!    that ask for it.
//! 4. `include` adds the circuits of other files under names of their own.
//! 5. [`Places`] keeps the tree, so that later stages can name a path (`projections.W_K.to`) and get its place.
//!
//! **Deliberately absent:** whether a name exists, whether shapes fit: that is [`crate::circuit`]'s.

mod declare;
mod declare_macros;
mod decode;
mod decode_cells;
mod decode_positions;
mod decode_spikes;
mod decode_tokens;
mod fields;
mod guard;
mod include;
mod map_keys;
mod misplaced;
pub mod node;
mod params;
mod places;
mod pretty;
mod reference;
pub mod schema;
mod schema_spikes;
mod syntax;
pub mod template;
pub mod types;
mod types_cells;
mod types_learn;
mod types_positions;
mod types_projection;
mod types_protocol;
mod types_run;
mod types_spikes;
mod types_task;
mod weights;

pub use fields::is_name;
pub use include::IncludeSpec;
pub use places::Places;
pub use pretty::{scalar, to_yaml};
pub use reference::reference;
pub use types::*;

use crate::diag::{Diagnostic, Diagnostics, Span};
use fields::{At, Decoder};
use std::path::{Path, PathBuf};

/// A circuit as written, and where everything stands in its file.
#[derive(Clone, Debug)]
pub struct Document {
    pub spec: CircuitSpec,
    /// folder that relative paths in the file start from
    pub folder: PathBuf,
}

/// Reads a circuit from YAML text.
///
/// `overrides` are the `--set name=value` pairs, `folder` is where relative paths inside the circuit start.
///
/// # Errors
/// Every mistake in the text, each with its place.
pub fn read(text: &[u8], folder: &Path, overrides: &[(String, String)]) -> Result<Document, Diagnostics> {
    read_part(text, folder, overrides, &[])
}

/// The same of a file that others include: `chain` leads to it.
fn read_part(
    text: &[u8],
    folder: &Path,
    overrides: &[(String, String)],
    chain: &[PathBuf],
) -> Result<Document, Diagnostics> {
    let mut tree = node::parse(text)?;
    let mut decoder = Decoder::default();
    misplaced::lift(&mut tree, &mut decoder.diagnostics);
    params::fill(&mut tree, overrides, &mut decoder.diagnostics);
    let decoded = decode::circuit(&mut decoder, At { node: &tree, path: "" });
    let mut diagnostics = decoder.diagnostics;
    match decoded {
        Some((mut spec, mut written, parts)) if !diagnostics.has_errors() => {
            written.extend(include::add(&mut spec, &parts, folder, chain, &mut diagnostics));
            spec.places = Places::new(tree, written);
            if diagnostics.has_errors() {
                spec.places.locate(&mut diagnostics);
                return Err(diagnostics);
            }
            Ok(Document { spec, folder: folder.to_owned() })
        }
        _ => {
            for d in diagnostics.0.iter_mut().filter(|d| d.span.is_none()) {
                d.span = places::place(&tree, &d.path);
            }
            diagnostics.sort();
            Err(diagnostics)
        }
    }
}

/// Reads a circuit file.
///
/// # Errors
/// `F...` when the file cannot be read, otherwise as [`read`].
pub fn read_file(path: &Path, overrides: &[(String, String)]) -> Result<Document, Diagnostics> {
    let bytes = read_bytes(path)?;
    let own = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    read_part(&bytes, path.parent().unwrap_or(Path::new("")), overrides, &[own])
}

/// The bytes of a circuit file, at most one more than [`node::MAX_BYTES`].
///
/// # Errors
/// `F001` no such file, `F002` a directory or device, `F003` the system's reason, `F022` one of a run directory that is not what
/// was written.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    use crate::diag::codes;
    use std::io::{ErrorKind, Read};
    let shown = path.display();
    let refused = |e: &std::io::Error| match e.kind() {
        ErrorKind::NotFound => Diagnostic::error(codes::F001, "", format!("no file `{shown}`"))
            .help("check the path; `pulvinar new attention_mask_head -o FILE` writes a starter circuit"),
        _ => Diagnostic::error(codes::F003, "", format!("`{shown}` could not be read: {e}"))
            .help("check the permissions"),
    };
    let metadata = std::fs::metadata(path).map_err(|e| refused(&e))?;
    if !metadata.is_file() {
        return Err(Diagnostic::error(codes::F002, "", format!("`{shown}` is not a regular file"))
            .help("name a circuit file, for example `circuits/one_head_attention_mask.yaml`"));
    }
    crate::files::manifest::trusted(path)?;
    let file = std::fs::File::open(path).map_err(|e| refused(&e))?;
    crate::files::inputs::note(path);
    let mut bytes = Vec::new();
    file.take(node::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| refused(&e))?;
    Ok(bytes)
}

impl Document {
    /// The place of a path such as `projections.W_K.to`: its value, or the nearest part of it that the file has.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<Span> {
        self.spec.places.place(path)
    }

    /// Line of a path, for provenance.
    #[must_use]
    pub fn line(&self, path: &str) -> Option<u32> {
        self.place(path).map(|s| s.line)
    }

    /// Fills in the places of diagnostics that have only a path, and orders them.
    pub fn locate(&self, diagnostics: &mut Diagnostics) {
        self.spec.places.locate(diagnostics);
    }

    /// The same for one.
    pub fn locate_one(&self, diagnostic: &mut Diagnostic) {
        self.spec.places.locate_one(diagnostic);
    }
}
