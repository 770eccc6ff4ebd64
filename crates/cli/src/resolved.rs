//! The circuit of a run directory: what was run, standing on its own wherever the directory goes.

use pulvinar::attention::Streams;
use pulvinar::diag::Diagnostic;
use pulvinar::files::{Array, read_array};
use pulvinar::simulate::inputs::Overrides;
use pulvinar::spec::{CircuitSpec, Document, InputSpec, WeightsSpec};
use std::path::Path;

/// Arrays that weights were read from, beside the circuit.
pub const FILES: &str = "files.safetensors";
/// Tokens of every stream that was read.
pub const INPUTS: &str = "inputs.npz";

/// Where a run has its tokens from.
#[derive(Clone, Copy)]
pub enum Tokens<'a> {
    /// copied to the run directory
    Copied(&'a Streams),
    /// left where they are
    Left,
}

impl Tokens<'_> {
    fn are_copied(self, stream: &str) -> bool {
        matches!(self, Self::Copied(inputs) if inputs.contains_key(stream))
    }
}

/// The circuit with every file in it replaced by its copy in the run directory, and the arrays of [`FILES`].
///
/// Tokens given with `--tokens` or read from a file become arrays of [`INPUTS`] where they are copied, else paths that lead to them
/// from anywhere; drawn tokens stay draws.
///
/// # Errors
/// Weight files that changed since they were read and can no longer be.
pub fn resolved(
    document: &Document,
    tokens: Tokens<'_>,
    overrides: &Overrides,
) -> Result<(CircuitSpec, Vec<(String, Array)>), Diagnostic> {
    let mut spec = document.spec.clone();
    for (name, stream) in &mut spec.tokens.streams.0 {
        let read = match (&stream.input, overrides.get(name)) {
            (_, Some(file)) => Some((file.clone(), None)),
            (Some(InputSpec::File { path, array }), None) => {
                Some((document.folder.join(path), array.clone()))
            }
            _ => None,
        };
        if let Some((file, array)) = read {
            stream.positions = None;
            stream.input = Some(if tokens.are_copied(name) {
                InputSpec::File { path: INPUTS.to_owned(), array: Some(name.clone()) }
            } else {
                let path = std::path::absolute(&file).unwrap_or(file).display().to_string();
                InputSpec::File { path, array }
            });
        }
    }
    let mut arrays = Vec::new();
    for (name, projection) in &mut spec.projections.0 {
        weights(&mut projection.weights, name, &document.folder, &mut arrays)?;
    }
    Ok((spec, arrays))
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
        // One factor at most has no shape of its own: one file at most.
        WeightsSpec::Kron(factors) => {
            factors.iter_mut().try_for_each(|factor| weights(factor, name, folder, arrays))
        }
        _ => Ok(()),
    }
}
