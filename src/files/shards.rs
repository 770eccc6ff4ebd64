//! Tensors of one model in one file or in several: `model-00001-of-00002.safetensors` and so on, with an index beside
//! them (`model.safetensors.index.json`) that says which file holds which tensor.
//!
//! The directory, the index or any one shard name the whole model: what is asked of a layer must not depend on which
//! file was named.
//!
//! **Deliberately absent:** downloads; what `config.json` says (`weights`).

use super::json::read_json;
use super::safetensors::{self, Reader};
use super::{Array, Bad, Entry};
use crate::diag::{Diagnostic, one_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest index.
const MAX_INDEX: u64 = 64 << 20;

/// Most shards of a model.
const MAX_SHARDS: usize = 4096;

/// Files of other formats that models come in.
const OTHERS: [&str; 6] = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.pt",
    "tf_model.h5",
    "flax_model.msgpack",
    "model.onnx",
];

/// All tensors of a model.
#[derive(Debug)]
pub(crate) struct Tensors {
    parts: Vec<Reader>,
    /// Which part holds a tensor; empty where there is one part.
    holder: BTreeMap<String, usize>,
}

impl Tensors {
    /// Opens a file, or all files of a model.
    ///
    /// # Errors
    /// As for each file; `F001` for shards that are not there, `F007` for an index that does not fit its shards, `F015`
    /// for a directory of several models.
    pub(crate) fn open(path: &Path) -> Result<Self, Diagnostic> {
        if path.is_dir() {
            return match in_directory(path).map_err(|bad| bad.in_file(path))? {
                Found::Index(index) => Self::indexed(&index),
                Found::File(file) => Self::open(&file),
            };
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".safetensors.index.json") {
            return Self::indexed(path);
        }
        let Some((stem, _, count)) = shard(&name) else {
            return Ok(Self { parts: vec![safetensors::open(path)?], holder: BTreeMap::new() });
        };
        let index = path.with_file_name(format!("{stem}.safetensors.index.json"));
        if index.is_file() {
            return Self::indexed(&index);
        }
        // Without an index the names say how many there are.
        let names = (1..=count).map(|n| format!("{stem}-{n:05}-of-{count:05}.safetensors"));
        let names: Vec<String> = names.take(MAX_SHARDS).collect();
        let missing = names.iter().filter(|n| !path.with_file_name(n).is_file()).count();
        if missing > 0 || !names.contains(&name) {
            // The file may not be there at all.
            safetensors::open(path)?;
            return Err(Bad::new(
                "F001",
                format!("is one of {count} shards, and {missing} of them are not beside it"),
            )
            .help("a layer may be spread over several; fetch the others and the index, `model.safetensors.index.json`")
            .in_file(path));
        }
        Self::of(shards(path, &names)?).map_err(|bad| bad.in_file(path))
    }

    fn indexed(index: &Path) -> Result<Self, Diagnostic> {
        let map = weight_map(index)?;
        let files: BTreeSet<&String> = map.values().collect();
        let names: Vec<String> = files.into_iter().cloned().collect();
        let tensors = Self::of(shards(index, &names)?).map_err(|bad| bad.in_file(index))?;
        let held = |name: &String| match tensors.parts.len() {
            1 => Some(&names[0]).filter(|_| tensors.parts[0].names().binary_search(name).is_ok()),
            _ => tensors.holder.get(name).map(|at| &names[*at]),
        };
        match map.iter().find(|(name, file)| held(name) != Some(*file)) {
            None => Ok(tensors),
            Some((name, file)) => {
                Err(Bad::malformed(format!("says that `{file}` holds tensor `{name}`, which it does not"))
                    .help("index and shards are of different models, or a download was cut short")
                    .in_file(index))
            }
        }
    }

    fn of(parts: Vec<Reader>) -> Result<Self, Bad> {
        let mut holder = BTreeMap::new();
        if parts.len() > 1 {
            for (at, part) in parts.iter().enumerate() {
                for name in part.names() {
                    if let Some(other) = holder.insert(name.clone(), at) {
                        return Err(Bad::malformed(format!(
                            "tensor `{name}` is in two shards, number {} and {}",
                            other + 1,
                            at + 1
                        )));
                    }
                }
            }
        }
        Ok(Self { parts, holder })
    }

    /// Names, shapes and types, sorted by name.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.parts.iter().flat_map(Reader::entries).collect();
        if self.parts.len() > 1 {
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        all
    }

    /// What the files say about themselves; the first that has a key is believed.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        self.parts.iter().rev().flat_map(Reader::metadata).collect()
    }

    /// The numbers of a tensor: see [`Reader::read`].
    pub(crate) fn read(&mut self, name: &str) -> Result<Array, Bad> {
        let at = self.holder.get(name).copied().unwrap_or(0);
        match self.parts.get_mut(at) {
            Some(part) => part.read(name),
            None => Err(Bad::new("F008", format!("no tensor `{name}`"))),
        }
    }
}

fn shards(beside: &Path, names: &[String]) -> Result<Vec<Reader>, Diagnostic> {
    names.iter().map(|name| safetensors::open(&beside.with_file_name(name))).collect()
}

/// `model`, 1 and 2 of `model-00001-of-00002.safetensors`.
fn shard(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, count) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let five = |text: &str| (text.len() == 5).then(|| text.parse::<usize>().ok()).flatten();
    Some((stem, five(number)?, five(count)?))
}

enum Found {
    Index(PathBuf),
    File(PathBuf),
}

/// The model of a directory.
fn in_directory(folder: &Path) -> Result<Found, Bad> {
    let entries = std::fs::read_dir(folder)?;
    let mut names: Vec<String> =
        entries.take(100_000).flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let ending = |end: &str| names.iter().filter(|n| n.ends_with(end)).cloned().collect::<Vec<_>>();
    let whole: Vec<String> = ending(".safetensors").into_iter().filter(|n| shard(n).is_none()).collect();
    let all: Vec<String> = ending(".safetensors");
    let usual = |list: &[String], name: &str| list.iter().find(|n| *n == name).cloned();
    let indices = ending(".safetensors.index.json");
    let file = |name: &String| Ok(Found::File(folder.join(name)));
    let index = |name: &String| Ok(Found::Index(folder.join(name)));
    if let Some(name) = usual(&indices, "model.safetensors.index.json") {
        return index(&name);
    }
    if let Some(name) = usual(&whole, "model.safetensors") {
        return file(&name);
    }
    let stems: BTreeSet<&str> = all.iter().filter_map(|n| shard(n)).map(|(stem, ..)| stem).collect();
    match (&indices[..], &whole[..], stems.len()) {
        ([one], [], _) => index(one),
        ([], [one], 0) => file(one),
        ([], [], 1) => file(&all[0]),
        ([], [], 0) => {
            let other = OTHERS.iter().find(|o| names.iter().any(|n| n == *o));
            let looked = "looked for `model.safetensors.index.json`, `model.safetensors` and any other `*.safetensors`";
            let bad = Bad::new("F001", format!("a directory without weights: {looked}"));
            Err(match other {
                Some(name) => bad.help(format!(
                    "`{name}` cannot be read: load the model with its own library and save it as safetensors"
                )),
                None if names.iter().any(|n| n == "config.json") => {
                    bad.help("there is a `config.json`, but not the weights that belong to it")
                }
                None => bad.help("name the directory that holds the weights, or the file itself"),
            })
        }
        _ => Err(Bad::new("F015", "a directory of several models")
            .help(format!("name one file: {}", one_of(indices.iter().chain(&all).map(String::as_str))))),
    }
}

/// Which file holds which tensor; files are beside the index.
fn weight_map(index: &Path) -> Result<BTreeMap<String, String>, Diagnostic> {
    let whole = read_json(index, MAX_INDEX, "is no index of shards")?;
    let read = || -> Result<BTreeMap<String, String>, Bad> {
        let map = whole.get("weight_map").and_then(serde_json::Value::as_object);
        let Some(map) = map else {
            return Err(Bad::malformed("is no index of shards: it has no `weight_map`"));
        };
        let one = |(name, file): (&String, &serde_json::Value)| match file.as_str() {
            Some(file) if is_plain(file) => Ok((name.clone(), file.to_owned())),
            _ => Err(Bad::malformed(format!(
                "tensor `{name}` is said to be in {file}, which is no file beside it"
            ))),
        };
        let map: BTreeMap<String, String> = map.iter().map(one).collect::<Result<_, _>>()?;
        let count = map.values().collect::<BTreeSet<_>>().len();
        if count == 0 || count > MAX_SHARDS {
            return Err(Bad::malformed(format!("names {count} shards, 1 to {MAX_SHARDS} can be read")));
        }
        Ok(map)
    };
    read().map_err(|bad| bad.in_file(index))
}

/// Whether it is the name of a file and no path elsewhere.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', '\0'])
}
