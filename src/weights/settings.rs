//! Kernel, scale and mask: from the options, else from the file, else from the circuit beside it, else the usual; and an
//! account of which.

use super::assumption::{About, Assumption, Origin};
use super::said::Said;
use super::usual::{Streams, Usual};
use super::{Attention, Options, Stated};
use crate::attention::{Block, Kernel, Mask, Memory, Normalisation};
use crate::files::Bad;

/// What the heads of a layer have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub kernel: Kernel,
    pub normalisation: Normalisation,
    pub scale: f64,
    pub mask: Mask,
    pub streams: Streams,
    pub assumed: Vec<Assumption>,
}

/// What the circuit says where the file does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hints {
    pub attention: Option<Attention>,
    pub mask: Option<Mask>,
    /// its heads have several masks
    pub masks_differ: bool,
}

impl Hints {
    pub(super) fn of(circuit: Option<&Block>) -> Self {
        let Some(block) = circuit else { return Self::default() };
        let kinds = [Attention::Softmax, Attention::Linear].into_iter();
        let shared = |kind: &Attention| {
            let (kernel, normalisation) = kernel_of(*kind);
            !block.heads.is_empty()
                && block.heads.iter().all(|h| h.kernel == kernel && h.normalisation == normalisation)
        };
        let first = block.heads.first().map(|h| h.mask);
        let masks_differ = block.heads.iter().any(|h| Some(h.mask) != first);
        Self { attention: { kinds }.find(shared), mask: first, masks_differ }
    }

    /// The mask of all heads of the circuit, if there is one.
    fn mask(self) -> Result<Option<Mask>, Bad> {
        if self.masks_differ {
            return Err(Bad::new(
                "R004",
                "the circuit's heads have different masks, and the file does not say which head has which",
            )
            .help("give --mask, or compare with a native heads file, which states them"));
        }
        Ok(self.mask)
    }
}

/// What options say, what the file says, and what is usual where neither does.
pub(super) struct Wishes<'a> {
    pub said: &'a Said,
    pub options: &'a Options,
    pub hints: Hints,
    pub usual: Usual,
    pub stated: &'a mut Stated,
    pub overruled: &'a mut Vec<String>,
}

impl Wishes<'_> {
    /// `shapes`: the number of heads where the tensors say it.
    pub(super) fn heads(&mut self, shapes: Option<usize>) -> Result<Option<usize>, Bad> {
        let asked = self.options.heads;
        if let Some(n) = shapes {
            self.stated.heads = true;
            return match asked.filter(|h| *h != n) {
                Some(h) => Err(Bad::new("F016", format!("the layer has {n} heads, --heads says {h}"))
                    .help("files of this layout say how many heads there are; leave --heads out")),
                None => Ok(Some(n)),
            };
        }
        let Some(says) = self.said.heads else { return Ok(asked) };
        self.stated.heads = true;
        if let Some(asked) = asked.filter(|h| *h != says) {
            self.overruled.push(format!("{asked} heads as asked for; {} says {says}", self.said.by));
        }
        Ok(asked.or(Some(says)))
    }

    /// `buffer`: the mask that the file holds as a tensor.
    /// `one_width`: queries and keys could be from one stream.
    pub(super) fn settle(
        mut self,
        d_key: usize,
        one_width: bool,
        buffer: Option<Mask>,
    ) -> Result<Settings, Bad> {
        let mut assumed = Vec::new();
        let says = self.said.attention;
        let attention = self.attention(says, &mut assumed);
        if says != Some(attention)
            && let Some(words) = self.usual.scores(attention)
        {
            assumed.push(Assumption::usual(About::Scores, words));
        }
        let mask = self.mask(buffer, &mut assumed)?;
        if !self.said.positions {
            assumed.extend(self.usual.positions.map(|words| Assumption::usual(About::Positions, words)));
        }
        let scale = self.scale(attention, says, d_key, &mut assumed);
        let streams = if one_width { self.streams(&mut assumed) } else { Streams::Two };
        let (kernel, normalisation) = kernel_of(attention);
        Ok(Settings { kernel, normalisation, scale, mask, streams, assumed })
    }

    fn attention(&mut self, says: Option<Attention>, assumed: &mut Vec<Assumption>) -> Attention {
        self.stated.attention = says.is_some();
        if let (Some(asked), Some(says)) = (self.options.attention, says)
            && asked != says
        {
            let (asked, says) = (asked.name(), says.name());
            self.overruled.push(format!("{asked} attention as asked for; {} says {says}", self.said.by));
        }
        if let Some(known) = self.options.attention.or(says) {
            return known;
        }
        let (attention, origin) = match self.hints.attention {
            Some(hint) => (hint, Origin::Circuit),
            None => (self.usual.attention, Origin::Usual),
        };
        if !(self.usual.is_fixed && attention == self.usual.attention) {
            assumed.push(Assumption::attention(attention, origin));
        }
        attention
    }

    fn mask(&mut self, buffer: Option<Mask>, assumed: &mut Vec<Assumption>) -> Result<Mask, Bad> {
        let said = self.said.mask.or(buffer);
        self.stated.mask = said.is_some();
        if let (Some(said), Some(held)) = (said, buffer)
            && said != held
        {
            return Err(Bad::new(
                "F009",
                format!(
                    "{} says that the mask is {}, a tensor that it is {}",
                    if self.said.by == "the file" { "metadata" } else { self.said.by },
                    said.name(),
                    held.name()
                ),
            ));
        }
        if let (Some(asked), Some(said)) = (self.options.mask, said)
            && asked != said
        {
            self.overruled.push(format!(
                "{} mask as asked for; {} says {}",
                asked.name(),
                self.said.by,
                said.name()
            ));
        }
        let mask = match self.options.mask.or(said) {
            Some(known) => known,
            None => {
                let (mask, origin) = match self.hints.mask()? {
                    Some(hint) => (hint, Origin::Circuit),
                    None => (self.usual.mask, Origin::Usual),
                };
                assumed.push(Assumption::mask(mask, origin));
                mask
            }
        };
        // `--mask causal` says which tokens are not seen, not how far back the others are.
        if said != Some(mask) && mask != Mask::Full && !self.usual.is_fixed {
            assumed.push(Assumption::usual(About::Window, "there is no window"));
        }
        Ok(mask)
    }

    fn scale(
        &mut self,
        attention: Attention,
        says: Option<Attention>,
        d_key: usize,
        assumed: &mut Vec<Assumption>,
    ) -> f64 {
        let stated = self.said.scale;
        self.stated.scale = stated.is_some();
        if let Some(asked) = self.options.scale {
            if let Some(says) = stated.filter(|s| s.to_bits() != asked.to_bits()) {
                self.overruled.push(format!("scale {asked} as asked for; {} says {says}", self.said.by));
            }
            return asked;
        }
        // A scale that was stated together with another kernel belongs to that kernel.
        let against = says.is_some_and(|s| s != attention);
        if let Some(stated) = stated.filter(|_| !against) {
            return stated;
        }
        let own = self.usual.scale.filter(|_| attention == self.usual.attention);
        let clause = match own {
            Some(scale) => format!("the scale is {scale}"),
            None => format!("the {}", scale_words(attention)),
        };
        if !(self.usual.is_fixed && attention == self.usual.attention) {
            assumed.push(Assumption::usual(About::Scale, clause));
        }
        own.unwrap_or_else(|| usual_scale(attention, d_key))
    }

    fn streams(&mut self, assumed: &mut Vec<Assumption>) -> Streams {
        if let Some(streams) = self.said.streams {
            self.stated.streams = true;
            return streams;
        }
        if self.usual.streams == Streams::Unknown {
            assumed.push(Assumption::usual(About::Streams, "queries and keys come from one stream"));
        }
        self.usual.streams
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
        Attention::Linear => "scale is 1",
        Attention::Softmax => "scale is 1/sqrt(d_k)",
    }
}

/// Puts what the options and else the circuit say into a native block, and tells what of it was nowhere stated or
/// stated otherwise.
pub(super) fn overrule(
    block: &mut Block,
    options: &Options,
    hints: Hints,
    stated: Stated,
    overruled: &mut Vec<String>,
) -> Result<Vec<Assumption>, Bad> {
    let mut assumed = Vec::new();
    let hint = hints.attention.filter(|_| !stated.attention);
    let mut against = Vec::new();
    for (h, head) in block.heads.iter_mut().enumerate() {
        let Some(asked) = options.attention.or(hint) else { break };
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
    match (options.attention, hint) {
        (Some(asked), _) if stated.attention && !against.is_empty() => {
            overruled.push(format!(
                "{} attention with {} as asked for; the file says otherwise for heads {}",
                asked.name(),
                scale_words(asked).replacen("scale is", "scale", 1),
                against.join(", ")
            ));
        }
        (Some(_), _) => {}
        (None, Some(hint)) => assumed.push(Assumption::attention(hint, Origin::Circuit)),
        (None, None) if !stated.attention => assumed.push(Assumption::usual(
            About::Attention,
            "kernels are linear, and divided by their sum where they are exp, unless stated",
        )),
        (None, None) => {}
    }
    if let Some(mask) = options.mask {
        let other = block.heads.iter().map(|h| h.mask).find(|m| *m != mask);
        if let (true, Some(first)) = (stated.mask, other) {
            overruled.push(format!("{} mask as asked for; the file says {}", mask.name(), first.name()));
        }
        block.heads.iter_mut().for_each(|h| h.mask = mask);
    } else if !stated.mask {
        let hint = hints.mask()?;
        let mask = hint.unwrap_or(Mask::Full);
        block.heads.iter_mut().for_each(|h| h.mask = mask);
        assumed.push(Assumption::mask(mask, if hint.is_some() { Origin::Circuit } else { Origin::Usual }));
    }
    if let Some(scale) = options.scale {
        let other = block.heads.iter().map(|h| h.scale).find(|s| s.to_bits() != scale.to_bits());
        if let (true, Some(other)) = (stated.scale, other) {
            overruled.push(format!("scale {scale} as asked for; the file says {other}"));
        }
        block.heads.iter_mut().for_each(|h| h.scale = scale);
    } else if !stated.scale {
        let words = match options.attention.or(hint) {
            Some(known) => format!("the {}", scale_words(known)),
            None => "the scale is 1, or 1/sqrt(d_k) for an exp kernel".to_owned(),
        };
        assumed.push(Assumption::usual(About::Scale, words));
    }
    Ok(assumed)
}
