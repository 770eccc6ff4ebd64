//! Small JSON files that stand beside weights.

use super::{Bad, guard};
use crate::diag::Diagnostic;
use std::io::Read;
use std::path::Path;

/// Reads a file of at most `most` bytes; `is_no` begins the message where it is not JSON (`is no index of shards`).
///
/// # Errors
/// `F001` to `F005` as for any file, `F007` where it is not JSON.
pub(crate) fn read_json(path: &Path, most: u64, is_no: &str) -> Result<serde_json::Value, Diagnostic> {
    let (file, _) = guard::open(path, most)?;
    let read = || -> Result<serde_json::Value, Bad> {
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(|e| Bad::malformed(format!("{is_no}: {e}")))
    };
    read().map_err(|bad| bad.in_file(path))
}
