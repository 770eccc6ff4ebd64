//! Reading a tree of nodes key by key: wrong types, unknown and repeated keys become diagnostics, reading goes on.

use super::node::{Key, Node, Value, shorten};
use super::types::{Carried, Table, Time};
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean, one_of};

/// Largest count of anything that a file may name: cells, microcolumns, tokens.
pub const MAX_COUNT: i128 = 100_000_000;

/// A node and the path that leads to it.
#[derive(Clone, Copy)]
pub struct At<'a> {
    pub node: &'a Node,
    pub path: &'a str,
}

/// Collects the mistakes while a tree is read.
#[derive(Default)]
pub struct Decoder {
    pub diagnostics: Diagnostics,
}

/// The entries of a map that is being read.
pub struct Fields<'a> {
    pub(super) entries: &'a [(Key, Node)],
    pub path: String,
    pub(super) span: Option<crate::diag::Span>,
    pub(super) asked: Vec<&'static str>,
}

pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The value at a path, for messages: `beta`, or item 2 of it.
pub fn subject(path: &str) -> String {
    let mut parts = path.rsplit('.');
    let last = parts.next().unwrap_or_default();
    match (last.parse::<usize>(), parts.next()) {
        _ if path.is_empty() => "the file".to_owned(),
        (Ok(number), Some(list)) => format!("item {} of `{}`", number + 1, shorten(list)),
        _ => format!("`{}`", shorten(last)),
    }
}

/// `$mk*2`, `2 * $mk`, `$d + 1`: what looks like a sum or a product, of parameters or numbers.
fn is_arithmetic(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '_' | '.' | ' ' | '(' | ')');
    let operator = |c: char| matches!(c, '*' | '/' | '+' | '-' | '^' | '%');
    text.contains(|c: char| c == '$' || c.is_ascii_digit())
        && text.trim_start_matches('-').contains(operator)
        && text.chars().all(|c| known(c) || operator(c))
}

/// A name that can stand in a reference: letters, digits and `_`, not starting with a digit.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 100
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The name of a relay, area, projection or stream: one of a part has the part's before it, `L0.HO`.
pub fn is_part_name(name: &str) -> bool {
    name.split('.').all(is_name)
}

impl Decoder {
    pub fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// `expected ..., found ...` at a node.
    pub fn wrong<T>(&mut self, at: At<'_>, expected: &str) -> Option<T> {
        let help = match &at.node.value {
            Value::Str(s) if expected.contains("number") && s.parse().is_ok_and(f64::is_finite) => {
                format!("write {expected}, without quotes")
            }
            Value::Str(s) if expected.contains("number") && is_arithmetic(s) => {
                "the language does not calculate: write the number itself, or a parameter that has its value (`$name`, \
                 set by `--set name=...`)"
                    .to_owned()
            }
            Value::Str(s) if expected.starts_with("a list of indices") => {
                format!("write `[{}]`, in brackets", shorten(s))
            }
            _ => format!("write {expected}"),
        };
        self.error(
            Diagnostic::error(
                codes::S002,
                at.path,
                format!("{} should be {expected}, found {}", subject(at.path), at.node.describe()),
            )
            .help(help)
            .at(at.node.span),
        );
        None
    }

    /// Opens a map and reports repeated keys.
    pub fn map<'a>(&mut self, at: At<'a>, expected: &str) -> Option<Fields<'a>> {
        let Value::Map(entries) = &at.node.value else {
            return self.wrong(at, expected);
        };
        self.repeated_keys(entries, at.path);
        Some(Fields { entries, path: at.path.to_owned(), span: at.node.span, asked: Vec::new() })
    }

    fn repeated_keys(&mut self, entries: &[(Key, Node)], path: &str) {
        let mut seen = std::collections::BTreeMap::new();
        for (key, _) in entries {
            if let Some(first) = seen.insert(key.name.as_str(), key.span) {
                let line = first.map_or(String::new(), |s| format!(" (first on line {})", s.line));
                self.error(
                    Diagnostic::error(
                        codes::S003,
                        join(path, &key.name),
                        format!("key `{}` stands here twice{line}", shorten(&key.name)),
                    )
                    .help("keep one of the two")
                    .at(key.span),
                );
            }
        }
    }

    /// A map from names of the user's choice to values.
    pub fn table<T>(
        &mut self,
        at: At<'_>,
        what: &str,
        mut read: impl FnMut(&mut Self, At<'_>) -> Option<T>,
    ) -> Option<Table<T>> {
        let fields = self.map(at, &format!("a map of {what}"))?;
        let mut table = Table::default();
        for (key, node) in fields.entries {
            let path = join(at.path, &key.name);
            let part = matches!(what, "relays" | "areas" | "projections" | "streams");
            if !(is_name(&key.name) || part && is_part_name(&key.name)) {
                self.error(
                    Diagnostic::error(codes::S004, &path, format!("`{}` is not a name", shorten(&key.name)))
                        .help("names have letters, digits and `_`, and do not start with a digit")
                        .at(key.span),
                );
            }
            if let Some(value) = read(self, At { node, path: &path }) {
                table.0.push((key.name.clone(), value));
            }
        }
        Some(table)
    }

    pub fn string(&mut self, at: At<'_>) -> Option<String> {
        match &at.node.value {
            Value::Str(s) => Some(s.clone()),
            _ => self.wrong(at, "text"),
        }
    }

    pub fn boolean(&mut self, at: At<'_>) -> Option<bool> {
        match &at.node.value {
            Value::Bool(b) => Some(*b),
            _ => self.wrong(at, "true or false"),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn number(&mut self, at: At<'_>) -> Option<f64> {
        let x = match &at.node.value {
            Value::Int(i) => *i as f64,
            Value::Float(x) => *x,
            // YAML takes `inf` and `1e999` for text.
            Value::Str(s) if s.parse().is_ok_and(|x: f64| !x.is_finite()) => f64::INFINITY,
            _ => return self.wrong(at, "a number"),
        };
        if x.is_finite() {
            return Some(x);
        }
        self.error(
            Diagnostic::error(codes::S005, at.path, format!("`{}` is not a finite number", at.node.text()))
                .help("write a finite number")
                .at(at.node.span),
        );
        None
    }

    /// A number that satisfies `rule`, which `wanted` puts into words.
    pub fn number_where(&mut self, at: At<'_>, wanted: &str, rule: impl Fn(f64) -> bool) -> Option<f64> {
        let x = self.number(at)?;
        if rule(x) {
            return Some(x);
        }
        let name = subject(at.path);
        self.error(
            Diagnostic::error(codes::S006, at.path, format!("{name} is {x}, but must be {wanted}"))
                .help(format!("choose a value that is {wanted}"))
                .at(at.node.span),
        );
        None
    }

    /// A whole number from 1 to [`MAX_COUNT`].
    pub fn count(&mut self, at: At<'_>) -> Option<usize> {
        let name = subject(at.path);
        match at.node.value {
            Value::Int(i) if (1..=MAX_COUNT).contains(&i) => usize::try_from(i).ok(),
            Value::Int(i) if i > MAX_COUNT => {
                self.error(
                    Diagnostic::error(
                        codes::S007,
                        at.path,
                        format!("{name} is {i}; the most that a circuit may name is {MAX_COUNT}"),
                    )
                    .help("use a smaller circuit; nothing was allocated")
                    .at(at.node.span),
                );
                None
            }
            Value::Int(i) => {
                self.error(
                    Diagnostic::error(codes::S006, at.path, format!("{name} is {i}, but must be at least 1"))
                        .help("write a whole number, 1 or more")
                        .at(at.node.span),
                );
                None
            }
            _ => self.wrong(at, "a whole number"),
        }
    }

    pub fn time(&mut self, at: At<'_>, zero_allowed: bool) -> Option<Time> {
        let name = subject(at.path);
        let least = if zero_allowed { "0 or more" } else { "positive" };
        let problem = match &at.node.value {
            Value::Str(text) => match crate::units::parse_time_ms(text) {
                Ok(ms) if ms > 0.0 || (zero_allowed && ms == 0.0) => return Some(Time { ms }),
                Ok(ms) => format!("{name} is {ms} ms, but must be {least}"),
                Err(problem) => format!("{name}: {problem}"),
            },
            Value::Int(_) | Value::Float(_) => format!("{name} is {} without a unit", at.node.describe()),
            _ => return self.wrong(at, "a time such as `10 ms`"),
        };
        self.error(
            Diagnostic::error(codes::S008, at.path, problem)
                .help("write a time with its unit: `10 ms`, `0.2 s`, `500 us`")
                .at(at.node.span),
        );
        None
    }

    /// One of a fixed list of words.
    pub fn word<T: Copy>(&mut self, at: At<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let names = || words.iter().map(|(n, _)| *n);
        let Value::Str(given) = &at.node.value else {
            let list = names().collect::<Vec<_>>().join(" | ");
            return self.wrong(at, &format!("one of {list}"));
        };
        if let Some((_, value)) = words.iter().find(|(n, _)| n == given) {
            return Some(*value);
        }
        self.unknown_word(at, given, names());
        None
    }

    pub fn unknown_word<'b>(
        &mut self,
        at: At<'_>,
        given: &str,
        names: impl IntoIterator<Item = &'b str> + Clone,
    ) {
        let name = subject(at.path);
        self.error(
            Diagnostic::error(codes::S009, at.path, format!("`{}` is not a value of {name}", shorten(given)))
                .help(did_you_mean(given, names))
                .at(at.node.span),
        );
    }

    /// A map with exactly one key: the choice, and what belongs to it.
    pub fn choice<'a>(&mut self, at: At<'a>, expected: &str) -> Option<(&'a Key, &'a Node)> {
        match &at.node.value {
            Value::Map(entries) if entries.len() == 1 => Some((&entries[0].0, &entries[0].1)),
            Value::Map(entries)
                if !entries.is_empty()
                    && entries.iter().all(|(k, _)| *k == Key { span: k.span, ..entries[0].0.clone() }) =>
            {
                self.repeated_keys(entries, at.path);
                None
            }
            Value::Map(entries) => {
                let found = one_of(entries.iter().map(|(k, _)| k.name.as_str()));
                self.error(
                    Diagnostic::error(
                        codes::S010,
                        at.path,
                        format!("exactly one choice belongs here, found {found}"),
                    )
                    .help(format!("write {expected}"))
                    .at(at.node.span),
                );
                None
            }
            _ => self.wrong(at, expected),
        }
    }

    /// A rectangular list of lists of numbers.
    pub fn matrix(&mut self, at: At<'_>) -> Option<Vec<Vec<f64>>> {
        let Value::Seq(rows) = &at.node.value else {
            return self.wrong(at, "a list of rows");
        };
        let mut matrix = Vec::with_capacity(rows.len());
        for row in rows {
            let Value::Seq(cells) = &row.value else {
                return self.wrong(At { node: row, path: at.path }, "a list of rows");
            };
            let mut numbers = Vec::with_capacity(cells.len());
            for cell in cells {
                numbers.push(self.number(At { node: cell, path: at.path })?);
            }
            matrix.push(numbers);
        }
        let width = matrix.first().map_or(0, Vec::len);
        if width == 0 {
            return self.wrong(at, "a list of rows with at least one number each");
        }
        if let Some((i, row)) = matrix.iter().enumerate().find(|(_, r)| r.len() != width) {
            self.error(
                Diagnostic::error(
                    codes::S011,
                    at.path,
                    format!("row {} has {} numbers, but the first row has {width}", i + 1, row.len()),
                )
                .help("all rows need the same length")
                .at(rows[i].span),
            );
            return None;
        }
        Some(matrix)
    }

    /// Any YAML, kept for a later stage; numbers must be finite.
    pub fn carried(&mut self, at: At<'_>) -> Option<Carried> {
        Some(Carried(self.json(at)?))
    }

    fn json(&mut self, at: At<'_>) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match &at.node.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Str(s) => Json::String(s.clone()),
            Value::Int(i) => match i64::try_from(*i) {
                Ok(i) => Json::from(i),
                Err(_) => Json::from(u64::try_from(*i).unwrap_or(u64::MAX)),
            },
            Value::Float(_) => Json::from(self.number(at)?),
            Value::Seq(items) => Json::Array(
                items.iter().map(|node| self.json(At { node, path: at.path })).collect::<Option<Vec<_>>>()?,
            ),
            Value::Map(_) => {
                let fields = self.map(at, "a map")?;
                let mut map = serde_json::Map::new();
                for (key, node) in fields.entries {
                    let path = join(at.path, &key.name);
                    map.insert(key.name.clone(), self.json(At { node, path: &path })?);
                }
                Json::Object(map)
            }
        })
    }
}
