//! The circuit of a run directory: what was run, standing on its own wherever the directory goes.

use crate::attention::Streams;
use crate::diag::Diagnostic;
use crate::files::{Array, read_array};
use crate::simulate::inputs::Overrides;
use crate::spec::{CircuitSpec, Document, InputSpec, WeightsSpec};
use std::path::Path;

/// Arrays that weights were read from, beside the circuit.
pub const FILES: &str = "files.safetensors";
/// Tokens of every stream that was read.
pub const INPUTS: &str = "inputs.npz";

/// The circuit with every file in it replaced by its copy in the run directory, and the arrays of [`FILES`].
///
/// Tokens given with `--tokens` or read from a file become arrays of [`INPUTS`]; drawn tokens stay draws.
///
/// # Errors
/// Weight files that changed since they were read and can no longer be.
pub fn resolved(
    document: &Document,
    inputs: &Streams,
    overrides: &Overrides,
) -> Result<(CircuitSpec, Vec<(String, Array)>), Diagnostic> {
    let mut spec = document.spec.clone();
    for (name, stream) in &mut spec.tokens.streams.0 {
        let Some(InputSpec::File { path, .. }) = &mut stream.input else {
            if overrides.contains_key(name) {
                stream.input = Some(copy(name));
            }
            continue;
        };
        if inputs.contains_key(name) {
            stream.input = Some(copy(name));
        } else {
            // Nothing reads it: no copy, but a path that still leads there.
            let there = document.folder.join(&*path);
            *path = std::path::absolute(&there).unwrap_or(there).display().to_string();
        }
    }
    let mut arrays = Vec::new();
    for (name, projection) in &mut spec.projections.0 {
        weights(&mut projection.weights, name, &document.folder, &mut arrays)?;
    }
    Ok((spec, arrays))
}

fn copy(stream: &str) -> InputSpec {
    InputSpec::File { path: INPUTS.to_owned(), array: Some(stream.to_owned()) }
}

fn weights(
    spec: &mut WeightsSpec,
    name: &str,
    folder: &Path,
    arrays: &mut Vec<(String, Array)>,
) -> Result<(), Diagnostic> {
    match spec {
        WeightsSpec::File { path, tensor } => {
            arrays.push((name.to_owned(), read_array(&folder.join(&*path), tensor.as_deref())?));
            *spec = WeightsSpec::File { path: FILES.to_owned(), tensor: Some(name.to_owned()) };
            Ok(())
        }
        WeightsSpec::Blocks { of: inner, .. }
        | WeightsSpec::PlusOf { weights: inner, .. }
        | WeightsSpec::MinusOf { weights: inner, .. } => weights(inner, name, folder, arrays),
        _ => Ok(()),
    }
}
