//! One declaration per key of the language. From the name of a key, its type, what may stand there and its doc line come the
//! field, the decoder with its sentences, the printed form, and the JSON Schema with its descriptions.
//!
//! - `form!` declares a map: `key: Type, KIND, MODE;` where the mode is `!` (must be there), `?` (may be left out), `(x)` (x if
//!   it is left out, and printed), `[x]` (the same, not printed) or `*` (the keys of another map, in this one).
//! - `words!` declares words, `choice!` maps with exactly one key.
//! - A [`Kind`] says what may stand under a key: a number in a range, a count, a time, a list, another form.

pub(super) use super::declare_macros::{choice, form, words};
use super::fields::{At, Decoder, Fields, join};
use super::schema::{object, r};
use super::types::{Table, Time};
use crate::diag::Span;
use serde_json::{Map, Value, json};

/// A part of the language: how it is read, and what editors are told.
pub trait Form: Sized {
    fn read(d: &mut Decoder, at: At<'_>) -> Option<Self>;
    fn schema() -> Value;
}

/// A map of keys that may also stand among those of another map.
pub trait Part: Sized {
    fn keys_of(d: &mut Decoder, f: &mut Fields<'_>) -> Option<Self>;
    fn describe(keys: &mut Keys);
    /// # Errors
    /// The serialiser's.
    fn write<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// What may stand under a key.
pub trait Kind<T> {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<T>;
    fn schema(&self) -> Value;
}

/// Properties of a map while its schema is written.
#[derive(Default)]
pub struct Keys {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Keys {
    pub fn add(
        &mut self,
        key: &'static str,
        mut schema: Value,
        doc: &str,
        must: bool,
        default: Option<Value>,
    ) {
        let own = schema["description"].as_str().map(str::to_owned);
        let text: Vec<&str> =
            [doc.trim(), own.as_deref().unwrap_or_default()].into_iter().filter(|t| !t.is_empty()).collect();
        match &mut schema {
            Value::Object(map) if text.is_empty() => {
                map.remove("description");
            }
            _ => schema["description"] = json!(text.join("; ")),
        }
        if let Some(default) = default {
            schema["default"] = default;
        }
        self.properties.insert(key.to_owned(), schema);
        if must {
            self.required.push(key);
        }
    }

    /// The schema of the map.
    pub fn object(self, doc: &str) -> Value {
        let mut schema = object(Value::Object(self.properties), &self.required);
        if !doc.trim().is_empty() {
            schema["description"] = json!(doc.trim());
        }
        schema
    }
}

/// Another declaration.
pub struct Declared;
pub const FORM: Declared = Declared;

impl<T: Form> Kind<T> for Declared {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<T> {
        T::read(d, at)
    }

    fn schema(&self) -> Value {
        T::schema()
    }
}

/// What is read by a function of its own.
pub struct Hand<T>(pub fn(&mut Decoder, At<'_>) -> Option<T>, pub fn() -> Value);

impl<T> Kind<T> for Hand<T> {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<T> {
        (self.0)(d, at)
    }

    fn schema(&self) -> Value {
        (self.1)()
    }
}

/// An end of a range.
#[derive(Clone, Copy)]
pub enum End {
    None,
    /// belongs to the range
    At(f64),
    /// does not
    Beyond(f64),
}

/// Numbers of a range, and the range in words.
#[derive(Clone, Copy)]
pub struct Range(pub &'static str, pub End, pub End);

pub const NUMBER: Range = Range("a number", End::None, End::None);
pub const POSITIVE: Range = Range("positive", End::Beyond(0.0), End::None);
pub const NOT_NEGATIVE: Range = Range("zero or positive", End::At(0.0), End::None);
pub const FRACTION: Range = Range("from 0 to 1", End::At(0.0), End::At(1.0));
pub const BELOW_ONE: Range = Range("from 0, below 1", End::At(0.0), End::Beyond(1.0));
pub const UNIT: Range = Range("above 0 and at most 1", End::Beyond(0.0), End::At(1.0));
pub const INSIDE: Range = Range("above 0 and below 1", End::Beyond(0.0), End::Beyond(1.0));

impl Range {
    pub fn holds(self, x: f64) -> bool {
        let above = match self.1 {
            End::None => true,
            End::At(least) => x >= least,
            End::Beyond(least) => x > least,
        };
        let below = match self.2 {
            End::None => true,
            End::At(most) => x <= most,
            End::Beyond(most) => x < most,
        };
        above && below
    }

    fn limits(self, kind: &str) -> Value {
        let mut schema = json!({"type": kind});
        let ends = [(self.1, "minimum", "exclusiveMinimum"), (self.2, "maximum", "exclusiveMaximum")];
        for (end, at, beyond) in ends {
            match end {
                End::None => {}
                End::At(x) => schema[at] = json!(x),
                End::Beyond(x) => schema[beyond] = json!(x),
            }
        }
        json!({"anyOf": [schema, r("parameter")]})
    }
}

impl Kind<f64> for Range {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<f64> {
        d.number_where(at, self.0, |x| self.holds(x))
    }

    fn schema(&self) -> Value {
        if matches!((self.1, self.2), (End::None, End::None)) { r("number") } else { self.limits("number") }
    }
}

/// Whole numbers of a range.
pub struct Whole(pub Range);

impl Kind<usize> for Whole {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<usize> {
        let n = d.number_where(at, self.0.0, |x| x.fract() == 0.0 && self.0.holds(x))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(n as usize)
    }

    fn schema(&self) -> Value {
        self.0.limits("integer")
    }
}

/// From 1 to [`super::fields::MAX_COUNT`].
pub struct Count;
pub const COUNT: Count = Count;

impl Kind<usize> for Count {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<usize> {
        d.count(at)
    }

    fn schema(&self) -> Value {
        r("count")
    }
}

pub const TEXT: Hand<String> = Hand(Decoder::string, || json!({"type": "string"}));
pub const TIME: Hand<Time> = Hand(|d, at| d.time(at, false), || r("time"));
pub const TIME_OR_ZERO: Hand<Time> = Hand(|d, at| d.time(at, true), || r("time_or_zero"));

/// A list of at least `least`, each item with a path of its own; `what` says what belongs there.
pub struct List<K> {
    pub what: &'static str,
    pub least: usize,
    pub of: K,
}

impl<T, K: Kind<T>> Kind<Vec<T>> for List<K> {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<Vec<T>> {
        let super::node::Value::Seq(items) = &at.node.value else { return d.wrong(at, self.what) };
        if items.len() < self.least {
            return d.wrong(at, self.what);
        }
        let mut all = Vec::with_capacity(items.len());
        for (number, node) in items.iter().enumerate() {
            let path = join(at.path, &number.to_string());
            all.extend(self.of.read(d, At { node, path: &path }));
        }
        Some(all)
    }

    fn schema(&self) -> Value {
        let mut schema = json!({"type": "array", "items": self.of.schema()});
        if self.least > 0 {
            schema["minItems"] = json!(self.least);
        }
        schema
    }
}

/// A map from names of the user's choice; `.0` says what they name.
pub struct Named<K>(pub &'static str, pub K);

impl<T, K: Kind<T>> Kind<Table<T>> for Named<K> {
    fn read(&self, d: &mut Decoder, at: At<'_>) -> Option<Table<T>> {
        d.table(at, self.0, |d, at| self.1.read(d, at))
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "propertyNames": {"pattern": super::schema::NAME}, "additionalProperties": self.1.schema()})
    }
}

/// What a form says of itself once all of its keys are read: `None` after an error.
pub type Check<T> = fn(&T, &mut Decoder, &str, Option<Span>) -> Option<()>;

/// A schema with this description, if it has none.
pub fn said(mut schema: Value, doc: &str) -> Value {
    if !doc.trim().is_empty() && schema["description"].is_null() {
        schema["description"] = json!(doc.trim());
    } else if schema["description"].is_null()
        && let Value::Object(map) = &mut schema
    {
        map.remove("description");
    }
    schema
}
