//! What layers of a layout usually are where their file does not say.

use super::layers::Layer;
use super::{Attention, Scheme};
use crate::attention::Mask;

/// What is taken for a layer that does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usual {
    pub attention: Attention,
    /// softmax of scores over `sqrt(d_k)` is what a module of these names computes
    pub is_fixed: bool,
    pub mask: Mask,
    /// other than that of the attention
    pub scale: Option<f64>,
    /// how positions could enter the scores, denied
    pub positions: Option<&'static str>,
    pub streams: Streams,
    /// what a softmax module of these names may do without leaving a tensor, denied
    pub softmax: Option<&'static str>,
}

/// Where queries and keys of a module come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// from one stream, by its matrices or its name
    One,
    /// from two, by its name
    Two,
    /// from one or two
    Unknown,
}

/// Names of modules whose keys come from elsewhere.
const CROSS: [&str; 6] = [
    "encoder_attn",
    "crossattention",
    "cross_attn",
    "cross_attention",
    "multihead_attn",
    "encoder_decoder_attention",
];

/// Names of modules that attend to their own tokens.
const OWN: [&str; 3] = ["self_attn", "self_attention", "self_attn_module"];

impl Usual {
    pub(super) fn of(layer: Layer) -> Self {
        let module = layer.prefix.trim_end_matches('.');
        let ends = |word: &&str| module.split('.').next_back() == Some(word);
        let crossed = CROSS.iter().any(|word| module.split('.').any(|part| part == *word));
        let streams = match layer.layout.scheme {
            _ if crossed => Streams::Two,
            Scheme::Gpt2 => Streams::One,
            Scheme::Bert if ends(&"attention") => Streams::One,
            Scheme::Torch if OWN.iter().any(ends) => Streams::One,
            _ => Streams::Unknown,
        };
        // GPT-Neo: a module `attention` of its own in the module `attn`, with scores that are not divided.
        let neo = layer.layout.scheme == Scheme::Separate && module.ends_with("attn.attention");
        Self {
            attention: Attention::Softmax,
            is_fixed: layer.layout.scheme == Scheme::Torch,
            mask: match layer.layout.scheme {
                Scheme::Gpt2 => Mask::Causal,
                _ if neo => Mask::Causal,
                _ => Mask::Full,
            },
            scale: neo.then_some(1.0),
            positions: match layer.layout.scheme {
                Scheme::Torch | Scheme::Native => None,
                Scheme::Bert => Some("positions are absolute (position_embedding_type)"),
                Scheme::Gpt2 => Some("scores do not depend on distance"),
                Scheme::Separate | Scheme::Grouped | Scheme::TransformerLens | Scheme::Fused => {
                    Some("there are no rotary positions")
                }
            },
            streams,
            softmax: match layer.layout.scheme {
                Scheme::Torch => Some("no key of zeros is added (add_zero_attn)"),
                Scheme::Separate | Scheme::TransformerLens => Some("scores are not capped"),
                _ => None,
            },
        }
    }

    /// What leaves no tensor in the file and yet changes the scores, denied.
    pub(super) fn scores(self, attention: Attention) -> Option<&'static str> {
        match attention {
            Attention::Linear => Some("queries and keys pass no feature map"),
            Attention::Softmax => self.softmax,
        }
    }
}
