//! YAML text -> a tree of nodes that know their line and column.
//!
//! `serde_yaml` tells positions only in its errors. So every key and scalar is read by a visitor that stores the
//! value and then raises an error; the parent catches the error and takes the position from it. One pass, exact
//! positions, and duplicate keys stay visible.
//!
//! Hostile text is refused before it is parsed: size, encoding and nesting are checked on the raw bytes.

use crate::diag::{Diagnostic, Span, codes};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Largest circuit file, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 64;
/// Most scalars, lists and maps in one file, aliases expanded.
const MAX_NODES: usize = 4_000_000;

/// A value of the document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Option<Span>,
}

/// A key of a map and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub span: Option<Span>,
}

impl Node {
    /// `a map`, `the number 3`, ... for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(b) => format!("`{b}`"),
            Value::Int(i) => format!("the number {i}"),
            Value::Float(x) => format!("the number {x}"),
            Value::Str(s) => format!("`{}`", shorten(s)),
            Value::Seq(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// The entry `name` of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&Key, &Node)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.name == name).map(|(k, n)| (k, n)),
            _ => None,
        }
    }
}

/// Cuts long text for a message.
#[must_use]
pub fn shorten(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(61).collect();
    if clean.chars().count() > 60 { clean.chars().take(57).collect::<String>() + "..." } else { clean }
}

/// Parses one YAML document.
///
/// # Errors
/// One `Y...` diagnostic: not UTF-8, empty, too large, too deep, not YAML, more than one document.
pub fn parse(bytes: &[u8]) -> Result<Node, Diagnostic> {
    let text = guard(bytes)?;
    let mut slot = Slot::default();
    let mut budget = MAX_NODES;
    let reader = Reader { slot: &mut slot, budget: &mut budget };
    let result = reader.deserialize(serde_yaml::Deserializer::from_str(text));
    match (result, slot.raised) {
        (Ok(()), _) => {}
        (Err(error), true) => {
            if let Some(node) = &mut slot.node {
                node.span = span_of(&error.to_string(), node_length(node));
            }
        }
        (Err(error), false) => return Err(syntax_error(&error)),
    }
    match slot.node {
        Some(Node { value: Value::Null, .. }) | None => Err(empty()),
        Some(node) => Ok(node),
    }
}

fn empty() -> Diagnostic {
    Diagnostic::error(codes::Y002, "", "the file holds no YAML document")
        .help("start from `pulvinar new attention_mask_head`")
}

fn syntax_error(error: &serde_yaml::Error) -> Diagnostic {
    let text = error.to_string();
    let span = error
        .location()
        .map(|l| Span { line: clamp(l.line()), column: clamp(l.column()), length: 1 })
        .or_else(|| span_of(&text, 1));
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    if text.contains("more than one document") {
        return Diagnostic::error(codes::Y006, "", "the file holds more than one YAML document")
            .help("keep one circuit per file: remove the `---` line");
    }
    if text.contains("recursion limit") {
        return too_deep().at(span);
    }
    if text.contains("repetition limit") || text.contains(TOO_MANY) {
        return Diagnostic::error(
            codes::Y005,
            "",
            "the document grows too large when its aliases are expanded",
        )
        .help("write the repeated parts out, or use fewer aliases")
        .at(span);
    }
    if text.contains("invalid type: enum") {
        return Diagnostic::error(
            codes::Y007,
            "",
            "YAML tags (`!name`) are not part of the circuit language",
        )
        .help("write `name: value` or `{name: value}`")
        .at(span);
    }
    Diagnostic::error(codes::Y003, "", format!("not valid YAML: {message}"))
        .help("check indentation, colons and closing brackets near this place")
        .at(span)
}

fn too_deep() -> Diagnostic {
    Diagnostic::error(codes::Y004, "", format!("nested deeper than {MAX_DEPTH} levels"))
        .help("a circuit needs fewer than ten levels; look for a bracket that is never closed")
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Checks on the raw bytes: size, encoding, nesting.
fn guard(bytes: &[u8]) -> Result<&str, Diagnostic> {
    if bytes.len() > MAX_BYTES {
        return Err(Diagnostic::error(
            codes::Y008,
            "",
            format!("the file has {} bytes; a circuit file may have at most {MAX_BYTES}", bytes.len()),
        )
        .help("put large matrices into a .safetensors or .npy file and use `{file: {path: ...}}`"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(Diagnostic::error(codes::Y001, "", "the file is UTF-16, not UTF-8")
            .help("save it as UTF-8 (in most editors: Save with encoding)"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count();
        let column = before.iter().rev().take_while(|b| **b != b'\n').count();
        let bad = bytes[e.valid_up_to()];
        Diagnostic::error(
            codes::Y001,
            "",
            format!("the file is not UTF-8: byte 0x{bad:02X} at offset {}", e.valid_up_to()),
        )
        .help("save it as UTF-8 (in most editors: Save with encoding)")
        .at(Some(Span { line: clamp(line + 1), column: clamp(column + 1), length: 1 }))
    })?;
    if text.trim().is_empty() {
        return Err(empty());
    }
    check_depth(text)?;
    Ok(text)
}

/// Refuses deep nesting before the parser sees it (its time grows with the square of the depth).
fn check_depth(text: &str) -> Result<(), Diagnostic> {
    let mut depth = 0usize;
    for (number, line) in text.lines().enumerate() {
        let dashes = leading_markers(line);
        let mut quote: Option<char> = None;
        let mut previous = ' ';
        for (column, c) in line.chars().enumerate() {
            match (quote, c) {
                (Some(q), c) if c == q && !(q == '"' && previous == '\\') => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if !previous.is_alphanumeric() => quote = Some(c),
                (None, '#') if previous.is_whitespace() => break,
                (None, '[' | '{') => depth += 1,
                (None, ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            previous = c;
            if depth + dashes > MAX_DEPTH {
                return Err(too_deep().at(Some(Span {
                    line: clamp(number + 1),
                    column: clamp(column + 1),
                    length: 1,
                })));
            }
        }
    }
    Ok(())
}

/// Number of `- ` or `? ` at the start of a line: each opens one more level.
fn leading_markers(line: &str) -> usize {
    line.split_whitespace().take_while(|word| *word == "-" || *word == "?").count()
}

/// Takes `at line L column C` out of an error's text.
fn span_of(text: &str, length: u32) -> Option<Span> {
    let (_, tail) = text.rsplit_once(" at line ")?;
    let (line, column) = tail.split_once(" column ")?;
    let digits = |s: &str| s.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some(Span { line: digits(line)?, column: digits(column)?, length })
}

fn node_length(node: &Node) -> u32 {
    match &node.value {
        Value::Str(s) => clamp(s.lines().next().map_or(1, |l| l.chars().count()).max(1)),
        Value::Int(i) => clamp(i.to_string().len()),
        Value::Float(x) => clamp(x.to_string().len()),
        Value::Bool(b) => clamp(b.to_string().len()),
        _ => 1,
    }
}

const RAISED: &str = "position";
const TOO_MANY: &str = "too many values";

#[derive(Default)]
struct Slot {
    node: Option<Node>,
    /// the error is ours: the value is in `node`
    raised: bool,
}

struct Reader<'a> {
    slot: &'a mut Slot,
    budget: &'a mut usize,
}

impl Reader<'_> {
    fn raise<E: serde::de::Error>(self, value: Value) -> Result<(), E> {
        self.slot.node = Some(Node { value, span: None });
        self.slot.raised = true;
        Err(E::custom(RAISED))
    }
}

/// Reads one child; the position comes from the error that a scalar raises.
fn child<E: fmt::Display>(
    budget: &mut usize,
    read: impl FnOnce(Reader<'_>) -> Result<Option<()>, E>,
) -> Result<Option<Node>, E> {
    let mut slot = Slot::default();
    match read(Reader { slot: &mut slot, budget }) {
        Ok(None) => Ok(None),
        Ok(Some(())) => Ok(slot.node),
        Err(error) if slot.raised => {
            let mut node = slot.node;
            if let Some(node) = &mut node {
                node.span = span_of(&error.to_string(), node_length(node));
            }
            Ok(node)
        }
        Err(error) => Err(error),
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        use serde::de::Error;
        if *self.budget == 0 {
            return Err(D::Error::custom(TOO_MANY));
        }
        *self.budget -= 1;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<(), E> {
        self.raise(Value::Bool(v))
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<(), E> {
        self.raise(Value::Int(v.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<(), E> {
        self.raise(Value::Int(v.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, v: i128) -> Result<(), E> {
        self.raise(Value::Int(v))
    }

    fn visit_u128<E: serde::de::Error>(self, v: u128) -> Result<(), E> {
        self.raise(Value::Int(i128::try_from(v).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<(), E> {
        self.raise(Value::Float(v))
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<(), E> {
        self.raise(Value::Str(v.to_owned()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.raise(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.raise(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut items = Vec::new();
        while let Some(node) = child(self.budget, |r| seq.next_element_seed(r))? {
            items.push(node);
        }
        let span = items.first().and_then(|n| n.span).map(|s| Span { length: 1, ..s });
        self.slot.node = Some(Node { value: Value::Seq(items), span });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = child(self.budget, |r| map.next_key_seed(r))? {
            let name = match key.value {
                Value::Str(s) => s,
                Value::Int(i) => i.to_string(),
                Value::Float(x) => x.to_string(),
                Value::Bool(b) => b.to_string(),
                Value::Null => "null".to_owned(),
                Value::Seq(_) | Value::Map(_) => {
                    use serde::de::Error;
                    return Err(A::Error::custom("a key must be a plain word"));
                }
            };
            let Some(mut value) = child(self.budget, |r| map.next_value_seed(r).map(Some))? else { continue };
            if value.span.is_none() || matches!(value.value, Value::Null) {
                value.span = key.span;
            }
            entries.push((Key { name, span: key.span }, value));
        }
        let span = entries.first().and_then(|(k, _)| k.span).map(|s| Span { length: 1, ..s });
        self.slot.node = Some(Node { value: Value::Map(entries), span });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(node: &Node, path: &[&str]) -> (u32, u32) {
        let mut at = node;
        for step in path {
            at = at.get(step).expect("path exists").1;
        }
        let span = at.span.expect("has a span");
        (span.line, span.column)
    }

    #[test]
    fn every_scalar_knows_its_place() {
        let text = "a: 1\nb:\n  c: [x, {d: true}]\n  e: 'q'\nf: {g: {h: 2.5}, i: ~}\na: 2\n";
        let node = parse(text.as_bytes()).expect("parses");
        assert_eq!(place(&node, &["a"]), (1, 4));
        assert_eq!(place(&node, &["b", "c"]), (3, 7));
        assert_eq!(place(&node, &["b", "e"]), (4, 6));
        assert_eq!(place(&node, &["f", "g", "h"]), (5, 12));
        let Value::Map(entries) = &node.value else { panic!("a map") };
        assert_eq!(entries.iter().filter(|(k, _)| k.name == "a").count(), 2, "duplicate keys stay visible");
        let (_, b) = node.get("b").expect("b");
        let Value::Seq(items) = &b.get("c").expect("c").1.value else { panic!("a list") };
        assert_eq!(items[0].value, Value::Str("x".into()));
        assert_eq!(place(&items[1], &["d"]), (3, 14));
    }

    #[test]
    fn aliases_and_bom_are_read() {
        let node = parse("\u{FEFF}a: &x {b: 1}\nc: *x\n".as_bytes()).expect("parses");
        assert_eq!(node.get("c").expect("c").1.get("b").expect("b").1.value, Value::Int(1));
    }

    #[test]
    fn hostile_text_is_refused() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let dashes = "- ".repeat(100_000);
        let bomb = {
            let mut t = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
            for i in 1..12 {
                let prev = format!("*a{},", i - 1).repeat(10);
                t += &format!("a{i}: &a{i} [{}]\n", prev.trim_end_matches(','));
            }
            t
        };
        let rows: &[(&str, &[u8], &str)] = &[
            ("nested brackets", deep.as_bytes(), "Y004"),
            ("nested dashes", dashes.as_bytes(), "Y004"),
            ("alias bomb", bomb.as_bytes(), "Y005"),
            ("UTF-16", b"\xFF\xFEa\0:\0", "Y001"),
            ("Latin-1", b"name: caf\xE9\n", "Y001"),
            ("empty", b"", "Y002"),
            ("only a comment", b"# nothing\n", "Y002"),
            ("unclosed", b"a: [1, 2\nb: 3\n", "Y003"),
            ("two documents", b"a: 1\n---\nb: 2\n", "Y006"),
            ("tag", b"a: !thing 1\n", "Y007"),
        ];
        for (claim, bytes, code) in rows {
            let start = std::time::Instant::now();
            let got = parse(bytes).expect_err(claim);
            assert_eq!(got.code, *code, "{claim}: {got}");
            assert!(start.elapsed().as_secs() < 5, "{claim} took {:?}", start.elapsed());
        }
        assert_eq!(parse(&vec![b'a'; MAX_BYTES + 1]).expect_err("large").code, "Y008");
    }
}
