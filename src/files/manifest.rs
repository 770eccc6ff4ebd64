//! The manifest of a run directory: what made it, and the size and SHA-256 of every file in it.
//!
//! It is written last and vouches for the others, and for itself: `manifest_sha256` is the hash of its own text with zeros
//! in place of that hash. Manifests of older versions list names only; such a directory is read, and
//! [`inputs::note_unsummed`] keeps that it was.

use super::{Bad, inputs, is_claimed, seal, settle, stage, write::parent};
use crate::diag::Diagnostic;
use crate::seed::{Checksum, sha256_hex};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Its name.
pub const MANIFEST: &str = "manifest.json";
/// Its own hash.
const SEAL: &str = "manifest_sha256";
/// What stands before it.
const KEY: &str = "\"manifest_sha256\": \"";
/// Longest manifest that is read.
const MOST_BYTES: u64 = 1 << 24;
/// A directory that is written meanwhile is looked at so often.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// Size and SHA-256 of a file.
///
/// # Errors
/// As the system reports them.
pub fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut checksum, mut length) = (Checksum::default(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((length, checksum.hex()));
        }
        checksum.add(&buffer[..n]);
        length += n as u64;
    }
}

/// What a manifest says about files: names, and where they lie.
///
/// # Errors
/// `F004` for a file that is not there or cannot be read back.
pub fn sums(files: &[(String, PathBuf)]) -> Result<Map<String, Value>, Diagnostic> {
    let one = |(name, path): &(String, PathBuf)| {
        let (bytes, sha256) =
            sum(path).map_err(|e| Bad::new("F004", format!("could not be read back: {e}")).in_file(path))?;
        Ok((name.clone(), json!({"bytes": bytes, "sha256": sha256})))
    };
    files.iter().map(one).collect()
}

/// The text of a manifest that says `about` and vouches for files by their [`sums`].
#[must_use]
pub fn text(mut about: Map<String, Value>, sums: Map<String, Value>) -> String {
    // The list holds itself: one that ends with the manifest is whole.
    let names: Vec<&str> = sums.keys().map(String::as_str).chain([MANIFEST]).collect();
    about.insert("files".to_owned(), json!(names));
    about.insert("checksums".to_owned(), Value::Object(sums));
    about.insert(SEAL.to_owned(), json!(seal::ZEROS));
    seal::close(&format!("{:#}\n", Value::Object(about)), KEY)
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Whole,
    /// there, and nothing says what it should hold
    There,
    Missing,
    Changed,
    /// the system does not let it be read
    Unreadable,
}

impl State {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::There => "there",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Unreadable => "unreadable",
        }
    }

    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Whole | Self::There)
    }
}

/// A manifest that was read.
#[derive(Clone, Debug)]
pub struct Manifest {
    folder: PathBuf,
    /// as written, for looking whether it changed
    raw: Vec<u8>,
    pub says: Map<String, Value>,
    /// names of the files that it vouches for, without its own
    pub files: Vec<String>,
}

impl Manifest {
    /// The manifest of a run directory, if it has one; other programs' files of that name are none.
    ///
    /// # Errors
    /// `F022` for one that is damaged, `F003` for one that cannot be read.
    pub fn of(folder: &Path) -> Result<Option<Self>, Diagnostic> {
        let path = folder.join(MANIFEST);
        let damaged = |what: String| {
            Bad::new("F022", what)
                .help("the file was changed or is damaged: take a copy, or run it again")
                .in_file(&path)
        };
        let mut raw = Vec::new();
        match File::open(&path).and_then(|f| f.take(MOST_BYTES + 1).read_to_end(&mut raw)) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(Bad::new("F003", format!("could not be read: {e}")).in_file(&path)),
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&raw);
        let value = serde_json::from_str::<Value>(&text).ok();
        let Some(says) = value.and_then(|v| v.as_object().cloned()) else {
            let is_ours = ["\"pulvinar\"", "\"circuit_sha256\"", SEAL].iter().any(|key| text.contains(key));
            return if is_ours {
                Err(damaged("is not the JSON object that was written".to_owned()))
            } else {
                Ok(None)
            };
        };
        // A damaged one of ours has still one of these words.
        if !["pulvinar", "checksums", SEAL, "circuit_sha256"].iter().any(|key| says.contains_key(*key)) {
            return Ok(None);
        }
        let sealed = seal::open(&raw, KEY)
            .is_some_and(|open| says.get(SEAL).and_then(Value::as_str) == Some(&sha256_hex(&open)));
        let is_older = !["checksums", SEAL].iter().any(|key| text.contains(key));
        if !sealed && !is_older {
            return Err(damaged("its text does not have the SHA-256 that it says".to_owned()));
        }
        let listed = says.get("files").and_then(Value::as_array);
        let names: Option<Vec<String>> =
            listed.and_then(|all| all.iter().map(|n| n.as_str().map(str::to_owned)).collect());
        let Some(mut files) = names else {
            return Err(damaged("does not list its files".to_owned()));
        };
        files.retain(|name| name != MANIFEST);
        if let Some(name) = files.iter().find(|name| !name.split('/').all(stage::is_plain)) {
            return Err(damaged(format!("lists `{name}`, which is not in its directory")));
        }
        Ok(Some(Self { folder: folder.to_owned(), files, says, raw }))
    }

    /// Does it know what its files should hold?
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        self.says.contains_key("checksums")
    }

    /// What became of a file that it lists.
    #[must_use]
    pub fn state(&self, name: &str) -> State {
        let path = self.folder.join(name);
        let want = self.says.get("checksums").and_then(|all| all.get(name));
        match (sum(&path), want) {
            (Err(e), _) if e.kind() == io::ErrorKind::NotFound => State::Missing,
            (Err(_), _) => State::Unreadable,
            (Ok(_), None) if self.has_checksums() => State::Changed,
            (Ok(_), None) => State::There,
            (Ok((bytes, sha256)), Some(want)) if want["bytes"] == bytes && want["sha256"] == sha256 => {
                State::Whole
            }
            (Ok(_), Some(_)) => State::Changed,
        }
    }
}

/// Before a file is read that lies in a run directory: it must be what the manifest there vouches for.
///
/// A folder without a manifest of ours is none of our business.
///
/// # Errors
/// `F022` for a file that is missing or changed, or a damaged manifest; as [`settle`].
pub fn trusted(path: &Path) -> Result<(), Diagnostic> {
    let folder = parent(path);
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return Ok(()) };
    for look in 1.. {
        settle(folder)?;
        // A training may be about to put the next checkpoint in place.
        let found = Manifest::of(folder)?;
        if (found.is_none() || !path.exists()) && is_claimed(folder) && look < LOOKS {
            std::thread::sleep(PAUSE);
            continue;
        }
        let Some(manifest) = found else { break };
        if !manifest.files.iter().any(|f| f == name) {
            break;
        }
        if !manifest.has_checksums() {
            inputs::note_unsummed(folder);
            break;
        }
        let state = if inputs::is_checked(path) { State::Whole } else { manifest.state(name) };
        if state == State::Whole {
            inputs::checked(path);
            break;
        }
        // A training writes on while others read.
        let changed = std::fs::read(folder.join(MANIFEST)).is_ok_and(|now| now != manifest.raw);
        if !changed || look == LOOKS {
            let what = format!("is {}: it is not the file that {MANIFEST} vouches for", state.name());
            return Err(Bad::new("F022", what)
                .help(
                    "the run directory is damaged or was changed (`pulvinar verify DIR`); to change a circuit, copy it \
                     out of its run directory",
                )
                .in_file(path));
        }
    }
    Ok(())
}
