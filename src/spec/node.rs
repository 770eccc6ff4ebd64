//! YAML text -> a tree of nodes that know their line and column.
//!
//! `serde_yaml` tells positions only in its errors. So every key and scalar is read by a visitor that stores the
//! value and then raises an error; the parent catches the error and takes the position from it. One pass, exact
//! positions, and duplicate keys stay visible.
//!
//! Hostile text is refused before it is parsed: size, encoding and nesting are checked on the raw bytes.

use super::{guard, syntax};
use crate::diag::{Diagnostic, Span, codes};
use crate::memory;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Largest circuit file, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 64;
/// Most scalars, lists and maps in one file, aliases expanded.
pub(super) const MAX_NODES: usize = 4_000_000;

/// Bytes that the parser and the tree take for each byte of a text that is all values.
const TREE: usize = 80;

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
            Value::Float(x) if !x.is_finite() => format!("`{}`", self.text()),
            Value::Float(x) => format!("the number {x:?}"),
            Value::Str(s) => format!("the text `{}`", shorten(s)),
            Value::Seq(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// A scalar as a reader would write it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.value {
            Value::Float(x) if x.is_nan() => ".nan".to_owned(),
            Value::Float(x) if x.is_infinite() => if *x > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
            Value::Str(s) => shorten(s),
            _ => self.describe(),
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
    let text = guard::text(bytes)?;
    memory::check(codes::C080, "", "the text of the circuit", memory::bytes(text.len(), TREE))?;
    let mut slot = Slot::default();
    // Without aliases a text has fewer values than twice its bytes.
    let mut budget = MAX_NODES.min(100_000 + 2 * text.len());
    let reader = Reader { slot: &mut slot, budget: &mut budget };
    let result = reader.deserialize(serde_yaml::Deserializer::from_str(text));
    match (result, slot.raised) {
        (Ok(()), _) => {}
        (Err(error), true) => {
            if let Some(node) = &mut slot.node {
                node.span = place_of(&error, node);
            }
        }
        (Err(error), false) => return Err(syntax::error(&error, text)),
    }
    match slot.node {
        Some(Node { value: Value::Null, .. }) | None => Err(guard::empty()),
        Some(node) => Ok(node),
    }
}

fn clamped(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn node_length(node: &Node) -> u32 {
    match &node.value {
        Value::Str(s) => clamped(s.lines().next().map_or(1, |l| l.chars().count()).max(1)),
        Value::Int(i) => clamped(i.to_string().len()),
        Value::Float(x) => clamped(x.to_string().len()),
        Value::Bool(b) => clamped(b.to_string().len()),
        _ => 1,
    }
}

/// The place that an error tells. The parser keeps silent about one place only: the very first byte.
fn place_of(error: &impl fmt::Display, node: &Node) -> Option<Span> {
    let length = node_length(node);
    syntax::span_in(&error.to_string(), length).or(Some(Span { line: 1, column: 1, length }))
}

const RAISED: &str = "position";
pub const TOO_MANY: &str = "too many values";

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
                node.span = place_of(&error, node);
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
            // A map stands where its key stands: that is where a missing entry is missed.
            if value.span.is_none() || matches!(value.value, Value::Null | Value::Map(_)) {
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
        assert_eq!(node.span.map(|s| (s.line, s.column)), Some((1, 1)), "the first byte has a place too");
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
