//! What a file says of its heads, by metadata or `config.json`.

use super::Attention;
use super::usual::Streams;
use crate::attention::Mask;
use crate::diag::did_you_mean;
use crate::files::Bad;
use std::collections::BTreeMap;

/// Words for attention in metadata.
const WORDS: [(&str, Attention); 3] =
    [("linear", Attention::Linear), ("softmax", Attention::Softmax), ("exp", Attention::Softmax)];

/// What the file, its metadata or `config.json` says of a layer that is not native.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub heads: Option<usize>,
    pub attention: Option<Attention>,
    pub scale: Option<f64>,
    pub mask: Option<Mask>,
    /// that scores do not depend on positions, or how they do
    pub positions: bool,
    pub streams: Option<Streams>,
    /// who says it, in words
    pub by: &'static str,
}

impl Said {
    /// By the keys `heads`, `attention` or `kernel`, `scale`, `mask`, `position`, `query_stream` and `context_stream`.
    pub(super) fn of_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, Bad> {
        let parsed = |key: &str, needed: &str| -> Result<Option<f64>, Bad> {
            let Some(text) = metadata.get(key) else { return Ok(None) };
            let number: Option<f64> = text.trim().parse().ok().filter(|x: &f64| x.is_finite());
            number.map(Some).ok_or_else(|| wrong(key, text, needed))
        };
        let heads = match metadata.get("heads") {
            Some(text) => Some(text.trim().parse().map_err(|_| wrong("heads", text, "a number of heads"))?),
            None => None,
        };
        let mask = match metadata.get("mask") {
            Some(text) => {
                Some(Mask::WHOLE.into_iter().find(|m| m.word() == text.trim()).ok_or_else(|| {
                    wrong("mask", text, "a mask").help(did_you_mean(text, Mask::WHOLE.map(Mask::word)))
                })?)
            }
            None => None,
        };
        let positions = match metadata.get("position").map(|text| text.trim()) {
            Some("none") => true,
            None => false,
            Some(other) => {
                return Err(Bad::new(
                    "F018",
                    format!("metadata `position` is {:?}, which heads have no place for", shown(other)),
                )
                .help("only layers whose scores do not depend on positions can be read"));
            }
        };
        let name = |key: &str| metadata.get(key).map(|text| text.trim());
        let streams = match (name("query_stream"), name("context_stream")) {
            (Some(query), Some(context)) if query == context => Some(Streams::One),
            (Some(_), Some(_)) => Some(Streams::Two),
            _ => None,
        };
        Ok(Self {
            heads,
            attention: says_attention(metadata)?,
            scale: parsed("scale", "a finite number")?,
            mask,
            positions,
            streams,
            by: "the file",
        })
    }
}

fn wrong(key: &str, text: &str, needed: &str) -> Bad {
    let shown: String = text.chars().take(60).collect();
    Bad::new("F009", format!("metadata `{key}` is {shown:?}, {needed} is needed"))
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

fn says_attention(metadata: &BTreeMap<String, String>) -> Result<Option<Attention>, Bad> {
    let said = |key: &str| {
        let Some(text) = metadata.get(key) else { return Ok(None) };
        let word = WORDS.iter().find(|(word, _)| *word == text.trim()).map(|(_, a)| Some(*a));
        word.ok_or_else(|| {
            wrong(key, text, "linear or softmax").help(did_you_mean(text, WORDS.map(|(word, _)| word)))
        })
    };
    let (attention, kernel) = (said("attention")?, said("kernel")?);
    match (attention, kernel) {
        (Some(a), Some(k)) if a != k => {
            Err(Bad::new("F009", "metadata `attention` and `kernel` contradict each other"))
        }
        _ => Ok(attention.or(kernel)),
    }
}
