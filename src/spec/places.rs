//! Where everything stands in the file that a circuit was read from.

use super::node::{Node, Value};
use crate::diag::{Diagnostic, Diagnostics, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Places by path (`projections.W_K.to`); none for a circuit that was made without a file. All are equal: where a circuit stands
/// is no part of what it says.
#[derive(Clone, Debug, Default)]
pub struct Places(Option<Arc<Known>>);

#[derive(Debug)]
struct Known {
    tree: Node,
    /// path that a template wrote -> path that asked for it
    written: BTreeMap<String, String>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    pub(super) fn new(tree: Node, written: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Some(Arc::new(Known { tree, written: written.into_iter().collect() })))
    }

    /// The place of a path: its value, or the nearest part of it that the file has.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<Span> {
        let known = self.0.as_deref()?;
        // Templates write projections, `projections.NAME`, and parts all kinds of things, `areas.L0.A`.
        let ends: Vec<usize> = path.match_indices('.').map(|(at, _)| at).chain([path.len()]).collect();
        let asked = ends.iter().rev().find_map(|end| known.written.get(&path[..*end]));
        place(&known.tree, asked.map_or(path, String::as_str))
    }

    /// Fills in the place of a diagnostic that has only a path.
    pub fn locate_one(&self, diagnostic: &mut Diagnostic) {
        if diagnostic.span.is_none() && !diagnostic.path.is_empty() {
            diagnostic.span = self.place(&diagnostic.path);
        }
    }

    /// The same for several, which it puts in the order of the file.
    pub fn locate(&self, diagnostics: &mut Diagnostics) {
        if self.0.is_some() {
            diagnostics.0.iter_mut().for_each(|d| self.locate_one(d));
            diagnostics.sort();
        }
    }
}

/// The place of a path in a tree.
pub(super) fn place(tree: &Node, path: &str) -> Option<Span> {
    let mut at = tree;
    let mut found = None;
    let mut rest = path;
    while !rest.is_empty() {
        let step = rest.split('.').next().unwrap_or(rest);
        if let (Value::Seq(items), Ok(number)) = (&at.value, step.parse::<usize>()) {
            let Some(next) = items.get(number) else { break };
            (found, at) = (next.span.or(found), next);
            rest = rest[step.len()..].trim_start_matches('.');
            continue;
        }
        // Names of parts hold dots: `L0.HO`.
        let ends = rest.match_indices('.').map(|(at, _)| at).chain([rest.len()]);
        let Some((end, (key, next))) = ends.filter_map(|end| Some((end, at.get(&rest[..end])?))).next()
        else {
            break;
        };
        rest = rest[end..].trim_start_matches('.');
        let scalar = !matches!(next.value, Value::Map(_) | Value::Seq(_) | Value::Null);
        found = if rest.is_empty() && scalar { next.span } else { key.span };
        at = next;
    }
    found
}
