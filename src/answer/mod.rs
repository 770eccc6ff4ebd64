//! What a verb found, as data: text and JSON are views of it, and so can be what other programs are handed.
//!
//! Each answer serialises to the keys of the JSON that its verb prints, in that order, and prints as the text for people. It lives
//! beside the numbers that it is made of, so that it needs neither the command line nor a terminal.
//!
//! **Deliberately absent:** exit codes, colours, files.

pub mod compile;
mod text;

pub use compile::Compile;

use serde::Serialize;
use serde_json::{Map, Value};

/// The keys of an answer; what is no number or infinite is null.
#[must_use]
pub fn keys(answer: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(answer) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    }
}
