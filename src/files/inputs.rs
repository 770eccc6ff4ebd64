//! Which files this process has read: no output may replace one of them.
//!
//! Every reader notes its file here when it opens it. Files are told apart by device and inode (by their canonical path
//! where there are none), so links of either kind lead to the same one.

use super::Bad;
use crate::diag::Diagnostic;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// What a file is, whatever its name.
#[cfg(unix)]
type Id = (u64, u64);
#[cfg(not(unix))]
type Id = PathBuf;

/// A file that was read.
struct Read {
    id: Id,
    path: PathBuf,
}

static READ: Mutex<Vec<Read>> = Mutex::new(Vec::new());
static UNSUMMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

#[cfg(unix)]
fn id(path: &Path) -> Option<Id> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> Option<Id> {
    std::fs::canonicalize(path).ok()
}

/// Notes that a file is read.
pub(crate) fn note(path: &Path) {
    let Some(id) = id(path) else { return };
    if let Ok(mut all) = READ.lock()
        && !all.iter().any(|r| r.id == id && r.path == path)
    {
        all.push(Read { id, path: path.to_owned() });
    }
}

/// The file that was read, if `target` is another name of it.
#[must_use]
pub fn is_read(target: &Path) -> Option<PathBuf> {
    let wanted = id(target)?;
    let all = READ.lock().ok()?;
    // Numbers of files that are gone are given to new ones.
    all.iter().find(|r| r.id == wanted && self::id(&r.path).as_ref() == Some(&wanted)).map(|r| r.path.clone())
}

static CHECKED: Mutex<Vec<(Id, SystemTime, u64)>> = Mutex::new(Vec::new());

/// What a file is, when it was changed and how long it is.
fn version(path: &Path) -> Option<(Id, SystemTime, u64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((id(path)?, about.modified().ok()?, about.len()))
}

/// Was this file compared with its checksum, as it is now?
pub(super) fn is_checked(path: &Path) -> bool {
    version(path).is_some_and(|v| CHECKED.lock().is_ok_and(|all| all.contains(&v)))
}

/// Notes that a file has the checksum that it should have.
pub(super) fn checked(path: &Path) {
    if let (Some(version), Ok(mut all)) = (version(path), CHECKED.lock())
        && !all.contains(&version)
    {
        all.push(version);
    }
}

/// Refuses to replace a file that this process has read.
///
/// # Errors
/// `F020`.
pub fn not_an_input(target: &Path) -> Result<(), Diagnostic> {
    let Some(read) = is_read(target) else { return Ok(()) };
    let what = if read == target {
        "is read by this run and would be replaced by its output".to_owned()
    } else {
        format!("is another name of `{}`, which this run reads and its output would replace", read.display())
    };
    Err(Bad::new("F020", what).help("give another name to -o").in_file(target))
}

/// Notes that a file, or a run directory, was read that carries no checksum.
pub fn note_unsummed(path: &Path) {
    if let Ok(mut all) = UNSUMMED.lock()
        && !all.iter().any(|p| p == path)
    {
        all.push(path.to_owned());
    }
}

/// What was read without a checksum, in order.
#[must_use]
pub fn unsummed() -> Vec<PathBuf> {
    UNSUMMED.lock().map(|all| all.clone()).unwrap_or_default()
}
