//! `pulvinar verify DIR`: is a run directory whole, and what made it?

use super::args::Verify;
use super::report::{Outcome, Reporter};
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::files::manifest::{Manifest, State, sum};
use pulvinar::files::{is_claimed, list_arrays, safetensors, settle};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Exit code of what is not whole.
const NOT_WHOLE: u8 = 1;
/// Looks at a directory that is being written, and the pause between them.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// One file of a directory.
struct Seen {
    name: String,
    state: State,
    bytes: Option<u64>,
    sha256: Option<String>,
}

/// What was found.
#[derive(Default)]
struct Found {
    seen: Vec<Seen>,
    /// files that no manifest lists
    unlisted: Vec<String>,
    /// why it is not whole
    wrong: Vec<String>,
    /// the manifest, as far as it says who made it
    made: Map<String, Value>,
    checksums: bool,
}

pub fn run(args: &Verify, out: &Reporter) -> Outcome {
    let path = &args.path;
    let about = std::fs::metadata(path).map_err(|e| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { codes::F001 } else { codes::F003 };
        Diagnostic::error(code, "", format!("`{}`: {e}", path.display())).help("name a run directory")
    })?;
    let found = if about.is_dir() { directory(path, "")? } else { file(path)? };
    let whole = found.wrong.is_empty();
    if out.json {
        out.object("verify", whole, found.object());
    } else {
        out.result(&found.text(path));
    }
    if whole && !found.checksums {
        out.note("note: written without checksums: that the files are there and can be read is all that was compared");
    }
    Ok(if whole { 0 } else { NOT_WHOLE })
}

/// A single file that carries its checksum.
fn file(path: &Path) -> Result<Found, Diagnostic> {
    let mut found = Found::default();
    let name = path.display().to_string();
    let (bytes, sha256) =
        sum(path).map_err(|e| Diagnostic::error(codes::F003, "", format!("`{name}`: {e}")))?;
    let state = match safetensors::open(path) {
        Ok(reader) => {
            found.checksums = reader.seal().is_some();
            if found.checksums { State::Whole } else { State::There }
        }
        Err(d) if [codes::F022, codes::F007].contains(&d.code) => {
            found.wrong.push(d.message);
            State::Changed
        }
        Err(d) => return Err(d),
    };
    found.seen.push(Seen { name, state, bytes: Some(bytes), sha256: Some(sha256) });
    Ok(found)
}

/// A run directory; a training that writes on while it is looked at is looked at again.
fn directory(dir: &Path, inside: &str) -> Result<Found, Diagnostic> {
    for _ in 0..LOOKS {
        let found = look(dir, inside)?;
        if found.wrong.is_empty() || !is_claimed(dir) {
            return Ok(found);
        }
        std::thread::sleep(PAUSE);
    }
    look(dir, inside)
}

/// One look at a run directory; `inside` names it within the one that was asked for.
fn look(dir: &Path, inside: &str) -> Result<Found, Diagnostic> {
    let mut found = Found::default();
    if let Err(d) = settle(dir) {
        found.wrong.push(d.message);
    }
    let manifest = match Manifest::of(dir) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            let what = "has no manifest: nothing vouches for its files (a run that did not end, or no run directory)";
            found.wrong.push(format!("`{}` {what}", dir.display()));
            found.unlisted = unlisted(dir, &[])?;
            return Ok(found);
        }
        Err(d) if d.code == codes::F022 => {
            found.wrong.push(d.message);
            return Ok(found);
        }
        Err(d) => return Err(d),
    };
    found.checksums = manifest.has_checksums();
    for name in &manifest.files {
        let path = dir.join(name);
        let mut state = manifest.state(name);
        if state == State::There && is_broken(&path) {
            state = State::Changed;
        }
        if !state.is_good() {
            found.wrong.push(format!("`{inside}{name}` is {}", state.name()));
        }
        let (bytes, sha256) = sum(&path).ok().unzip();
        found.seen.push(Seen { name: format!("{inside}{name}"), state, bytes, sha256 });
        // Directories of runs within this one.
        if let Some((folder, "manifest.json")) = name.rsplit_once('/') {
            let part = directory(&dir.join(folder), &format!("{inside}{folder}/"))?;
            found.seen.extend(part.seen);
            found.wrong.extend(part.wrong);
            found.unlisted.extend(part.unlisted);
        }
    }
    let says = |key: &str| manifest.says.get(key).cloned();
    if says("ended") == Some(json!(false)) && !manifest.files.iter().any(|f| f == "checkpoint.safetensors") {
        found.wrong.push(format!("`{}` is of a run that did not end", dir.display()));
    }
    let own: Vec<String> =
        manifest.files.iter().map(|f| f.split('/').next().unwrap_or(f).to_owned()).collect();
    found.unlisted.extend(unlisted(dir, &own)?.into_iter().map(|name| format!("{inside}{name}")));
    for key in [
        "pulvinar",
        "verb",
        "experiment",
        "mode",
        "precision",
        "circuit",
        "circuit_sha256",
        "seed",
        "threads",
        "steps",
        "ended",
        "interrupted",
    ] {
        if let Some(value) = says(key) {
            found.made.insert(key.to_owned(), value);
        }
    }
    Ok(found)
}

/// A file of numbers that cannot be read, where there is no checksum.
fn is_broken(path: &Path) -> bool {
    let is_numbers = path.extension().is_some_and(|e| ["npy", "npz", "safetensors"].iter().any(|n| e == *n));
    is_numbers && list_arrays(path).is_err()
}

/// Names in a directory that its manifest does not list.
fn unlisted(dir: &Path, listed: &[String]) -> Result<Vec<String>, Diagnostic> {
    let wrong = |e| Diagnostic::error(codes::F003, "", format!("`{}`: {e}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name().to_string_lossy().into_owned();
        if name != pulvinar::files::MANIFEST && !listed.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

impl Found {
    fn object(&self) -> Map<String, Value> {
        let files: Vec<Value> = self
            .seen
            .iter()
            .map(|s| json!({"name": s.name, "state": s.state.name(), "bytes": s.bytes, "sha256": s.sha256}))
            .collect();
        let mut rest = Map::new();
        rest.insert("whole".to_owned(), json!(self.wrong.is_empty()));
        rest.insert("checksums".to_owned(), json!(self.checksums));
        rest.insert("made_by".to_owned(), Value::Object(self.made.clone()));
        rest.insert("files".to_owned(), json!(files));
        rest.insert("unlisted".to_owned(), json!(self.unlisted));
        rest.insert("wrong".to_owned(), json!(self.wrong));
        rest
    }

    fn text(&self, path: &Path) -> String {
        let mut text = String::new();
        let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        if !self.made.is_empty() {
            let parts: Vec<String> = self
                .made
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(key, v)| format!("{key} {}", plain(v)))
                .collect();
            let _ = writeln!(text, "made by {}", parts.join(", "));
        }
        let long = self.seen.iter().map(|s| s.name.len()).max().unwrap_or(0);
        for s in &self.seen {
            let bytes = s.bytes.map_or_else(String::new, |b| format!("  {b} bytes"));
            let _ = writeln!(text, "  {:<long$}  {:<10}{bytes}", s.name, s.state.name());
        }
        for name in &self.unlisted {
            let _ = writeln!(text, "  {name:<long$}  not part of the run");
        }
        for what in &self.wrong {
            let _ = writeln!(text, "  {what}");
        }
        let verdict = if self.wrong.is_empty() { "whole" } else { "NOT whole" };
        let _ = writeln!(text, "{}: {verdict}", path.display());
        if self.made.get("ended") == Some(&json!(false)) && self.wrong.is_empty() {
            let _ = writeln!(
                text,
                "the training has not ended; `pulvinar train --resume {}` goes on",
                path.display()
            );
        }
        text
    }
}
