//! `config.json`: what it says, by the keys of [`keys`](super::keys), and what of it nobody asked for.

use super::keys::{CHANGES, HARMLESS, Key, ON};
use crate::diag::Diagnostic;
use crate::files::{Bad, read_json};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest `config.json`.
const MAX_BYTES: u64 = 16 << 20;

/// What a model says of itself. Objects are flat: `rope_scaling.factor`.
#[derive(Debug, Default)]
pub(in crate::weights) struct Config {
    pub path: PathBuf,
    values: BTreeMap<String, Value>,
    /// keys that some feature asked for, whether or not they are there
    asked: RefCell<BTreeSet<&'static str>>,
}

impl Config {
    /// The file beside the weights of `path`, which is a file, an index or a directory.
    pub(in crate::weights) fn beside(path: &Path) -> Result<Option<Self>, Diagnostic> {
        let folder = if path.is_dir() { Some(path) } else { path.parent() };
        let Some(path) = folder.map(|f| f.join("config.json")).filter(|p| p.is_file()) else {
            return Ok(None);
        };
        let whole = read_json(&path, MAX_BYTES, "is no configuration of a model")?;
        let Value::Object(whole) = whole else {
            return Err(Bad::malformed("is no configuration of a model: an object is needed").in_file(&path));
        };
        let mut values = BTreeMap::new();
        flatten("", whole, &mut values);
        Ok(Some(Self { path, values, asked: RefCell::default() }))
    }

    /// These keys are understood, also where nothing follows from them.
    pub(super) fn know(&self, keys: &[&'static Key]) {
        self.asked.borrow_mut().extend(keys.iter().flat_map(|key| key.names));
    }

    /// The value of the first of its names that has one; `null` is none.
    pub(super) fn value(&self, key: &'static Key) -> Option<&Value> {
        self.named(key).map(|(_, value)| value)
    }

    fn named(&self, key: &'static Key) -> Option<(&'static str, &Value)> {
        self.asked.borrow_mut().extend(key.names);
        let found = key.names.iter().find_map(|name| Some((*name, self.values.get(*name)?)));
        found.filter(|(_, value)| !value.is_null())
    }

    fn read<'a, T>(
        &'a self,
        key: &'static Key,
        needed: &str,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Bad> {
        let Some((name, value)) = self.named(key) else { return Ok(None) };
        of(value).map(Some).ok_or_else(|| {
            let shown: String = value.to_string().chars().take(60).collect();
            Bad::new("F009", format!("`config.json`: `{name}` is {shown}, {needed} is needed"))
        })
    }

    pub(super) fn whole(&self, key: &'static Key) -> Result<Option<usize>, Bad> {
        self.read(key, "a whole number", |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    pub(super) fn number(&self, key: &'static Key) -> Result<Option<f64>, Bad> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(super) fn flag(&self, key: &'static Key) -> Result<Option<bool>, Bad> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub(super) fn word(&self, key: &'static Key) -> Result<Option<&str>, Bad> {
        self.read(key, "a word", Value::as_str)
    }

    pub(super) fn list(&self, key: &'static Key) -> Result<Option<&[Value]>, Bad> {
        self.read(key, "a list", |v| v.as_array().map(Vec::as_slice))
    }

    pub(super) fn numbers(&self, key: &'static Key) -> Result<Option<Vec<f64>>, Bad> {
        let list = |v: &Value| v.as_array()?.iter().map(Value::as_f64).collect();
        self.read(key, "a list of numbers", list)
    }

    /// Keys by their names that may change what a layer computes, and that no feature of the model asked for.
    pub(super) fn strangers(&self) -> Vec<&str> {
        let asked = self.asked.borrow();
        let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
        let is_strange = |(name, value): &(&String, &Value)| {
            let word = last(name);
            !asked.contains(name.as_str())
                && CHANGES.iter().any(|part| word.contains(part))
                && !HARMLESS.contains(&word.as_str())
                && (!is_off(value) || ON.contains(&word.as_str()))
        };
        self.values.iter().filter(is_strange).map(|(name, _)| name.as_str()).collect()
    }
}

/// A value that says that there is no such thing.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => matches!(s.as_str(), "" | "none" | "absolute" | "default"),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(true) => false,
    }
}

fn flatten(before: &str, object: serde_json::Map<String, Value>, out: &mut BTreeMap<String, Value>) {
    for (key, value) in object {
        let name = if before.is_empty() { key } else { format!("{before}.{key}") };
        match value {
            Value::Object(inner) if !inner.is_empty() => flatten(&name, inner, out),
            value => {
                out.insert(name, value);
            }
        }
    }
}
