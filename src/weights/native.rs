//! The native heads file: a `.safetensors` that holds blocks without loss.
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `W_Q` `W_K` | `[H, d_k, D]` | `d_k` of the widest head; rows beyond a narrower one are zero |
//! | `W_V` | `[H, d_v, D]` | likewise `d_v` |
//! | `W_O` | `[H, D, d_v]` | |
//! | `b_Q` `b_K` `b_V` | `[H, d]` | only where some bias is not zero |
//! | `b_O` | `[D]` | only where not zero |
//! | `R.STREAM` | `[D, D_stream]` | one per residual stream |
//!
//! Metadata, comma-separated with one entry per head: `kernel`, `scale`, `normalisation`, `mask`, `memory`, `decay`
//! (1 where there is none), `rate` (0 where there is none), `query_stream`, `context_stream`, `d_key`, `d_value`,
//! `area`; and only where it says something new: `exponent` (some head has a power kernel), `value_stream` (some
//! differs from the context stream), `query_width`, `context_width`, `value_width` (some head reads a narrower stream
//! than the tensor has columns). One value per block: `relay`, `clock_stream`, and `residual`, the streams in order.
//!
//! The last axis of `W_Q`, `W_K`, `W_V` is as wide as the widest stream read; columns beyond a narrower one are zero.
//! A single block has bare names; the blocks of a stack are prefixed `block.1.` upward, tensors and metadata alike.
//!
//! **Deliberately absent:** gated memories and rates, feature-map kernels (`F012`).

mod metadata;
mod read;
mod write;

#[cfg(test)]
mod tests;

use crate::attention::Block;
use crate::diag::Diagnostic;
use crate::files::{Bad, Entry, Tensors};
use std::collections::BTreeMap;
use std::path::Path;

/// The metadata keys of a block.
const KEYS: [&str; 19] = [
    "kernel",
    "exponent",
    "scale",
    "normalisation",
    "mask",
    "memory",
    "decay",
    "rate",
    "query_stream",
    "context_stream",
    "value_stream",
    "query_width",
    "context_width",
    "value_width",
    "d_key",
    "d_value",
    "area",
    "relay",
    "clock_stream",
];

/// A block as read, and what the file did not say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeBlock {
    pub block: Block,
    /// Metadata keys that the file lacks and for which the usual value was taken: `kernel` linear, `scale` 1
    /// (`1/sqrt(d_k)` for an exp kernel), `normalisation` none (sum for an exp kernel), `mask` full, `memory` none,
    /// `query_stream` and `context_stream` `main`, `clock_stream` the first query stream, `relay` `output`.
    pub assumed: Vec<&'static str>,
}

/// Writes blocks, first to last; the numbers are `f64` and the bytes depend only on the blocks.
///
/// # Errors
/// `F012` for what the file cannot hold, naming the head (counted from 0) and its area: gated memories or rates,
/// feature-map kernels, powers below 2, names with commas. `F009` if the matrices of a head do not fit each other,
/// `F010` for a number that is not finite, `F004` if the file cannot be written.
pub fn write_heads(path: &Path, blocks: &[Block]) -> Result<(), Diagnostic> {
    write::heads(path, blocks)
}

/// Reads blocks, first to last.
///
/// # Errors
/// As [`read_heads_stated`].
pub fn read_heads(path: &Path) -> Result<Vec<Block>, Diagnostic> {
    Ok(read_heads_stated(path)?.into_iter().map(|b| b.block).collect())
}

/// Reads blocks, and says what the file left open.
///
/// # Errors
/// `F001` to `F007` as for any file; `F009` if tensors are missing, unknown or of the wrong shape, or metadata does
/// not have one readable entry per head, or anything but zeros lies beyond the width of a head; `F010` for a number that
/// is not finite.
pub fn read_heads_stated(path: &Path) -> Result<Vec<NativeBlock>, Diagnostic> {
    let mut file = Tensors::open(path)?;
    blocks_of(&mut file).map_err(|bad| bad.in_file(path))
}

/// Blocks of an open file.
pub(super) fn blocks_of(file: &mut Tensors) -> Result<Vec<NativeBlock>, Bad> {
    read::blocks(file)
}

/// Whether metadata says anything of heads.
pub(super) fn is_described(metadata: &BTreeMap<String, String>) -> bool {
    metadata.keys().any(|key| KEYS.contains(&read::split(key).1))
}

/// Whether names, shapes and metadata are those of this layout, and not of TransformerLens, whose names are the same.
///
/// # Errors
/// `F009` where they are of neither.
pub(super) fn is_native_form(entries: &[Entry], metadata: &BTreeMap<String, String>) -> Result<bool, Bad> {
    if !is_native(entries) {
        return Ok(false);
    }
    let shape = |name: &str| {
        let found = ["", "block.1."].iter().find_map(|prefix| {
            let name = format!("{prefix}{name}");
            entries.iter().find(|e| e.name == name)
        });
        found.map_or(&[][..], |e| &e.shape)
    };
    let (&[_, d_key, d_model], &[_, a, b]) = (shape("W_Q"), shape("W_O")) else { return Ok(true) };
    if is_described(metadata) || d_key <= d_model {
        return Ok(true);
    }
    // [heads, d_model, d_head] and [heads, d_head, d_model].
    let turned = b == d_key && entries.iter().any(|e| e.name == "W_Q");
    if turned && a == shape("W_V").get(2).copied().unwrap_or(a) {
        return Ok(false);
    }
    Err(Bad::new(
        "F009",
        format!("heads of {d_key} query cells read {d_model} numbers: the axes seem to be in another order"),
    )
    .help("native files hold W_Q [heads, d_head, d_model]; where this is meant, metadata (`kernel`, `mask`, ...) says so"))
}

/// Whether a file with these tensors has this layout, by the names alone.
#[must_use]
pub fn is_native(entries: &[Entry]) -> bool {
    let has = |name: &str| entries.iter().any(|e| e.name == name);
    ["", "block.1."]
        .iter()
        .any(|prefix| ["W_Q", "W_K", "W_V", "W_O"].iter().all(|t| has(&format!("{prefix}{t}"))))
}

/// `block.2.` in a stack, nothing for a single block; `index` counts from 0.
fn prefix(index: usize, blocks: usize) -> String {
    if blocks == 1 { String::new() } else { format!("block.{}.", index + 1) }
}
