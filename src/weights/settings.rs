//! Kernel, scale and mask: from the options, else from the file, else the usual, and an account of which.

use super::{Attention, Options, Stated};
use crate::attention::{Block, Kernel, Mask, Memory, Normalisation};
use crate::diag::did_you_mean;
use crate::files::Bad;
use std::collections::BTreeMap;

/// Words for attention in metadata.
const WORDS: [(&str, Attention); 3] =
    [("linear", Attention::Linear), ("softmax", Attention::Softmax), ("exp", Attention::Softmax)];

const MASKS: [Mask; 3] = [Mask::Full, Mask::Causal, Mask::Strict];

/// What the heads of a layer have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub kernel: Kernel,
    pub normalisation: Normalisation,
    pub scale: f64,
    pub mask: Mask,
    pub assumed: Vec<String>,
}

/// What options and metadata (`heads`, `attention` or `kernel`, `scale`, `mask`) say of a layer that is not native.
pub(super) struct Wishes<'a> {
    metadata: &'a BTreeMap<String, String>,
    options: &'a Options,
    stated: &'a mut Stated,
    overruled: &'a mut Vec<String>,
}

fn wrong(key: &str, text: &str, needed: &str) -> Bad {
    let shown: String = text.chars().take(60).collect();
    Bad::new("F009", format!("metadata `{key}` is {shown:?}, {needed} is needed"))
}

impl<'a> Wishes<'a> {
    pub(super) fn new(
        metadata: &'a BTreeMap<String, String>,
        options: &'a Options,
        stated: &'a mut Stated,
        overruled: &'a mut Vec<String>,
    ) -> Self {
        Self { metadata, options, stated, overruled }
    }

    pub(super) fn heads(&mut self) -> Result<Option<usize>, Bad> {
        let Some(text) = self.metadata.get("heads") else { return Ok(self.options.heads) };
        let says: usize = text.trim().parse().map_err(|_| wrong("heads", text, "a number of heads"))?;
        self.stated.heads = true;
        if let Some(asked) = self.options.heads.filter(|h| *h != says) {
            self.overruled.push(format!("{asked} heads as asked for; the file says {says}"));
        }
        Ok(self.options.heads.or(Some(says)))
    }

    /// `buffer`: the file holds a causal mask as a tensor.
    pub(super) fn settle(self, d_key: usize, buffer: bool) -> Result<Settings, Bad> {
        let Self { metadata, options, stated, overruled } = self;
        let mut assumed = Vec::new();
        let says = says_attention(metadata)?;
        stated.attention = says.is_some();
        let attention = match (options.attention, says) {
            (Some(asked), Some(says)) if asked != says => {
                let (asked, says) = (asked.name(), says.name());
                overruled.push(format!("{asked} attention as asked for; the file says {says}"));
                options.attention
            }
            (asked, says) => asked.or(says),
        };
        if attention.is_none() {
            assumed.push("linear attention: neither the file nor --attention says".to_owned());
        }
        let attention = attention.unwrap_or(Attention::Linear);

        let scale = match metadata.get("scale") {
            Some(text) => {
                let needed = || wrong("scale", text, "a finite number");
                let scale: f64 = text.trim().parse().map_err(|_| needed())?;
                stated.scale = true;
                Some(if scale.is_finite() { scale } else { return Err(needed()) })
            }
            None => None,
        };
        let against = says.is_some_and(|s| s != attention);
        let scale = scale.filter(|_| !against).unwrap_or_else(|| {
            assumed.push(format!("{}, as usual for {} attention", scale_words(attention), attention.name()));
            usual_scale(attention, d_key)
        });

        let said = match metadata.get("mask") {
            Some(text) => Some(MASKS.into_iter().find(|m| m.name() == text.trim()).ok_or_else(|| {
                wrong("mask", text, "a mask").help(did_you_mean(text, MASKS.map(Mask::name)))
            })?),
            None => buffer.then_some(Mask::Causal),
        };
        stated.mask = said.is_some();
        if let (Some(asked), Some(said)) = (options.mask, said)
            && asked != said
        {
            overruled.push(format!("{} mask as asked for; the file says {}", asked.name(), said.name()));
        }
        let mask = options.mask.or(said).unwrap_or_else(|| {
            assumed.push("full mask: neither the file nor --mask says".to_owned());
            Mask::Full
        });
        let (kernel, normalisation) = kernel_of(attention);
        Ok(Settings { kernel, normalisation, scale, mask, assumed })
    }
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

fn kernel_of(attention: Attention) -> (Kernel, Normalisation) {
    match attention {
        Attention::Linear => (Kernel::Linear, Normalisation::None),
        Attention::Softmax => (Kernel::Exp, Normalisation::Sum),
    }
}

#[allow(clippy::cast_precision_loss)]
fn usual_scale(attention: Attention, d_key: usize) -> f64 {
    match attention {
        Attention::Linear => 1.0,
        Attention::Softmax => 1.0 / (d_key.max(1) as f64).sqrt(),
    }
}

fn scale_words(attention: Attention) -> &'static str {
    match attention {
        Attention::Linear => "scale 1",
        Attention::Softmax => "scale 1/sqrt(d_k)",
    }
}

/// Puts the options into a native block, and says what of it was nowhere stated or stated otherwise.
pub(super) fn overrule(
    block: &mut Block,
    options: &Options,
    stated: Stated,
    assumed: &mut Vec<String>,
    overruled: &mut Vec<String>,
) -> Result<(), Bad> {
    let mut against = Vec::new();
    for (h, head) in block.heads.iter_mut().enumerate() {
        let Some(asked) = options.attention else { break };
        let wanted = kernel_of(asked);
        if (head.kernel, head.normalisation) == wanted {
            continue;
        }
        if asked == Attention::Softmax && matches!(head.memory, Memory::Delta(_) | Memory::Gated { .. }) {
            let memory = head.memory.name();
            return Err(Bad::new(
                "F012",
                format!("head {h} has a {memory} memory and cannot be read as softmax"),
            ));
        }
        (head.kernel, head.normalisation) = wanted;
        // A scale that was stated together with another kernel belongs to that kernel.
        if stated.attention || !stated.scale {
            head.scale = usual_scale(asked, head.d_key());
        }
        against.push(h.to_string());
    }
    if let Some(asked) = options.attention {
        if stated.attention && !against.is_empty() {
            overruled.push(format!(
                "{} attention with {} as asked for; the file says otherwise for heads {}",
                asked.name(),
                scale_words(asked),
                against.join(", ")
            ));
        } else if !stated.scale {
            assumed.push(format!("{}, as usual for {} attention", scale_words(asked), asked.name()));
        }
    } else {
        if !stated.attention {
            assumed.push(
                "linear kernel, and division by the sum where the kernel is exp, unless stated: \
                 metadata says not all of it and --attention nothing"
                    .to_owned(),
            );
        }
        if !stated.scale {
            assumed.push("scale 1, or 1/sqrt(d_k) for an exp kernel: the file does not say".to_owned());
        }
    }
    if let Some(mask) = options.mask {
        let others: Vec<&str> =
            block.heads.iter().map(|h| h.mask.name()).filter(|m| *m != mask.name()).collect();
        if let (true, Some(first)) = (stated.mask, others.first()) {
            overruled.push(format!("{} mask as asked for; the file says {first}", mask.name()));
        }
        block.heads.iter_mut().for_each(|h| h.mask = mask);
    } else if !stated.mask {
        assumed.push("full mask: neither the file nor --mask says".to_owned());
    }
    Ok(())
}
