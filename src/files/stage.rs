//! Results of several files that appear together, whole, or not at all.
//!
//! 1. [`Claim`]: one writer for each folder.
//! 2. [`Stage`]: the new files are written and synced in a folder `.writing-...` inside, where nobody reads them.
//! 3. [`Stage::commit`]: a list of what is to be moved reaches the disk first. Then the old files move away, the one that
//!    vouches for the others (a manifest) before them; then the new files move in, the one that vouches for them last.
//!    If a move fails, all moves are taken back. If the program dies between two of them, whoever comes next, reader or
//!    writer, finds the list and completes them ([`super::settle`]).
//!
//! So a folder holds the old result, the new one, or, for the moment of the moves, no file that vouches for it; and never
//! the files of two results under one manifest. Files of others in the folder stay.

use super::write::{PREFIX, refused};
use super::{Bad, Claim, disk};
use crate::diag::Diagnostic;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What is to be moved, in order.
pub(super) const LIST: &str = ".moves";
/// Where the old files go.
const OLD: &str = ".old";
/// What goes when the program ends early.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Held while files are moved.
static MOVING: Mutex<()> = Mutex::new(());

pub(super) fn begun(path: &Path) {
    if let Ok(mut live) = LIVE.lock() {
        live.insert(path.to_owned());
    }
}

pub(super) fn ended(path: &Path) {
    if let Ok(mut live) = LIVE.lock() {
        live.remove(path);
    }
}

/// Before the program ends in the middle of its work: waits for moves under way and removes what is not finished.
pub fn abandon() {
    // Nothing moves from now on.
    std::mem::forget(MOVING.lock());
    let live = LIVE.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default();
    // What is inside a folder comes after it in the order of names, and has to go before.
    for path in live.iter().rev() {
        let _ = if path.is_dir() && is_stage(path) {
            disk::remove_dir_all(path)
        } else if path.is_dir() {
            disk::remove_dir(path)
        } else {
            disk::remove_file(path)
        };
    }
}

/// Is this the folder of a stage?
pub(super) fn is_stage(folder: &Path) -> bool {
    folder.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX))
}

/// New files that nobody sees yet.
#[derive(Debug)]
pub struct Stage<'a> {
    claim: &'a Claim,
    work: PathBuf,
}

impl<'a> Stage<'a> {
    /// A new, empty one in the folder `work`.
    pub(super) fn new(claim: &'a Claim, work: PathBuf) -> Result<Self, Diagnostic> {
        begun(&work);
        let stage = Self { claim, work };
        disk::create_dir(&stage.work).map_err(|e| refused(&stage.work, &e))?;
        Ok(stage)
    }

    /// Where a new file is written.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Where it will be.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// Puts the new files in place, all of them. `last` vouches for the others; `gone` are files of the earlier result that the
    /// new one does not have.
    ///
    /// # Errors
    /// `F004` if the system refuses: then the folder is as it was. `F020` if this process has read a file that would go.
    pub fn commit(self, last: Option<&str>, gone: &[String]) -> Result<(), Diagnostic> {
        let folder = self.claim.folder();
        let wrong = |e: &io::Error| refused(folder, e);
        let mut place = Vec::new();
        for entry in fs::read_dir(&self.work).map_err(|e| wrong(&e))? {
            place.push(entry.map_err(|e| wrong(&e))?.file_name().to_string_lossy().into_owned());
        }
        place.sort_by_key(|name| (Some(name.as_str()) == last, name.clone()));
        let mut away: Vec<String> = place.iter().chain(gone).cloned().collect();
        away.retain(|name| fs::symlink_metadata(folder.join(name)).is_ok());
        away.sort_by_key(|name| (Some(name.as_str()) != last, name.clone()));
        away.dedup();
        for target in away.iter().map(|name| folder.join(name)) {
            if fs::symlink_metadata(&target).is_ok_and(|about| about.is_dir()) {
                return Err(Bad::new("F002", "is a directory; it cannot be replaced by a file")
                    .help("move it elsewhere, or give another -o")
                    .in_file(&target));
            }
        }
        self.claim.guard(&away)?;
        let moves = Moves { away, place };
        let written = || {
            disk::create_dir(&self.work.join(OLD))?;
            let list = self.work.join(format!("{LIST}.new"));
            let file = disk::create(&list)?;
            io::Write::write_all(&mut disk::Written { file: &file, path: &list }, moves.text().as_bytes())?;
            disk::sync(&file, &list)?;
            disk::rename(&list, &self.work.join(LIST))?;
            disk::sync_dir(&self.work)
        };
        written().map_err(|e| wrong(&e))?;
        let _moving = MOVING.lock();
        match moves.play(folder, &self.work) {
            Ok(()) => {
                clear(&self.work);
                Ok(())
            }
            Err(e) => {
                moves.take_back(folder, &self.work).map_err(|second| {
                    self.claim.leave();
                    Bad::new("F004", format!("could not be put in place: {e}, nor taken back: {second}"))
                        .help(format!("old and new files are in `{}`", self.work.display()))
                        .in_file(folder)
                })?;
                Err(wrong(&e))
            }
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // A list that stands is for the next writer.
        if self.work.exists() && !self.work.join(LIST).exists() {
            let _ = disk::remove_dir_all(&self.work);
        }
        ended(&self.work);
    }
}

/// Names that move, in order.
pub(super) struct Moves {
    away: Vec<String>,
    place: Vec<String>,
}

impl Moves {
    fn text(&self) -> String {
        json!({"away": self.away, "place": self.place}).to_string()
    }

    /// Moves what has not moved yet.
    pub(super) fn play(&self, folder: &Path, work: &Path) -> io::Result<()> {
        let old = work.join(OLD);
        for name in &self.away {
            let is_new = self.place.contains(name) && !there(&work.join(name));
            if !is_new && !there(&old.join(name)) && there(&folder.join(name)) {
                disk::rename(&folder.join(name), &old.join(name))?;
            }
        }
        for name in &self.place {
            if there(&work.join(name)) {
                disk::rename(&work.join(name), &folder.join(name))?;
            }
        }
        disk::sync_dir(folder)
    }

    /// Moves everything back, in the opposite order; then there is no list any more.
    fn take_back(&self, folder: &Path, work: &Path) -> io::Result<()> {
        let old = work.join(OLD);
        for name in self.place.iter().rev() {
            if !there(&work.join(name)) {
                disk::rename(&folder.join(name), &work.join(name))?;
            }
        }
        for name in self.away.iter().rev() {
            if there(&old.join(name)) {
                disk::rename(&old.join(name), &folder.join(name))?;
            }
        }
        disk::remove_file(&work.join(LIST))
    }
}

fn there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The list of a stage whose moves have begun.
pub(super) fn moves(work: &Path) -> Option<Moves> {
    let text = fs::read_to_string(work.join(LIST)).ok()?;
    let list: Value = serde_json::from_str(&text).ok()?;
    let names = |key: &str| -> Option<Vec<String>> {
        let all = list[key].as_array()?;
        all.iter().map(|name| name.as_str().filter(|n| is_plain(n)).map(str::to_owned)).collect()
    };
    Some(Moves { away: names("away")?, place: names("place")? })
}

/// One name, which leads nowhere else.
pub(super) fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None))
}

/// After the moves; it does no harm if something stays, once the list is gone.
pub(super) fn clear(work: &Path) {
    if disk::remove_file(&work.join(LIST)).is_ok() {
        let _ = disk::remove_dir_all(work);
    }
}

/// Folders of stages in `folder`.
pub(super) fn stages(folder: &Path, key: &str) -> Vec<PathBuf> {
    let prefix = if key.is_empty() { PREFIX.to_owned() } else { format!("{PREFIX}{key}-") };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str());
        let rest = name.and_then(|n| n.strip_prefix(&prefix));
        rest.is_some_and(|r| r.bytes().all(|b| b.is_ascii_alphanumeric())) && path.is_dir()
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(is_ours).collect();
    all.sort();
    all
}
