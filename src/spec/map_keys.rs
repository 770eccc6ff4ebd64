//! The keys of one map: optional, required, unknown.

use super::fields::{At, Decoder, Fields, join};
use super::node::{Node, shorten};
use crate::diag::{Diagnostic, codes, did_you_mean};

impl<'a> Fields<'a> {
    /// The node under `name`.
    pub fn given(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(k, _)| k.name == name).map(|(_, n)| n)
    }

    /// The node under `name`, and notes that the name is a valid one.
    pub fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.asked.push(name);
        self.given(name)
    }

    /// Notes that a key is a valid one, read or not.
    pub fn asked_also(&mut self, name: &'static str) {
        self.asked.push(name);
    }

    /// Reads an optional key.
    pub fn optional<T>(
        &mut self,
        d: &mut Decoder,
        name: &'static str,
        read: impl FnOnce(&mut Decoder, At<'_>) -> Option<T>,
    ) -> Option<T> {
        let (node, path) = self.place(name)?;
        read(d, At { node, path: &path })
    }

    /// Reads a key that must be there.
    pub fn required<T>(
        &mut self,
        d: &mut Decoder,
        name: &'static str,
        read: impl FnOnce(&mut Decoder, At<'_>) -> Option<T>,
    ) -> Option<T> {
        let Some((node, path)) = self.place(name) else {
            self.missing(d, name);
            return None;
        };
        read(d, At { node, path: &path })
    }

    /// A key's node and path. Not part of the generic callers, of which there are many.
    #[inline(never)]
    fn place(&mut self, name: &'static str) -> Option<(&'a Node, String)> {
        let node = self.node(name)?;
        Some((node, join(&self.path, name)))
    }

    #[inline(never)]
    fn missing(&self, d: &mut Decoder, name: &str) {
        let owner = if self.path.is_empty() { "the circuit".to_owned() } else { format!("`{}`", self.path) };
        d.error(
            Diagnostic::error(codes::S001, &self.path, format!("{owner} has no `{name}`"))
                .help(format!("add `{name}: ...`; `pulvinar explain S001` lists what each part needs"))
                .at(self.span),
        );
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, d: &mut Decoder) {
        for (key, _) in self.entries {
            if !self.asked.contains(&key.name.as_str()) {
                let owner =
                    if self.path.is_empty() { "a circuit".to_owned() } else { format!("`{}`", self.path) };
                let hint = if key.name == "<<" {
                    "merge keys (`<<`) are not read: write the keys out".to_owned()
                } else if self.asked.is_empty() {
                    "nothing can be said here: write `{}`".to_owned()
                } else {
                    let names: std::collections::BTreeSet<&str> = self.asked.iter().copied().collect();
                    did_you_mean(&key.name, names)
                };
                d.error(
                    Diagnostic::error(
                        codes::S012,
                        join(&self.path, &key.name),
                        format!("unknown key `{}` in {owner}", shorten(&key.name)),
                    )
                    .help(hint)
                    .at(key.span),
                );
            }
        }
    }
}
