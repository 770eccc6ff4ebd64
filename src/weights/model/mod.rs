//! Layers of models that say what they are: `config.json` beside the weights.
//!
//! 1. `config` reads it; `keys` lists every key that is asked for, and which others may change what a layer computes.
//! 2. `rows` is the table of architectures: places and names of the tensors (`names`), how they are fused
//!    (`fusing`), scale, mask; `refused` those that heads have no place for; and `features`: `norm`, `rotary`, `tables`.
//! 3. `place` finds the layer that is meant.
//! 4. `read` puts a layer's shapes, settings and [`Beyond`] together; its numbers are read as those of any other layer.
//!
//! What is not understood is refused by name: a model type, a key that may change something, a tensor of the layer.
//!
//! **Deliberately absent:** circuits (`import`); anything guessed from what a model is usually like.

pub(super) mod config;
pub mod features;
pub(super) mod fusing;
pub mod keys;
mod names;
mod norm;
mod place;
pub mod refused;
mod rotary;
pub mod rows;
mod tables;

pub use features::{Beyond, Pairing, QkNorm, Window};
pub use rotary::Rotary;
pub use tables::Distance;

use super::heads::Found;
use super::said::Said;
use super::tensors::{Counts, Named};
use super::usual::{Streams, Usual};
use super::{Attention, Options};
use crate::attention::Mask;
use crate::diag::{did_you_mean, one_of};
use crate::files::{Bad, Entry, Tensors};
use config::Config;
use features::Asked;
use refused::REFUSED;
use rows::{ARCHITECTURES, Architecture, Scale};
use serde_json::Value;
use std::collections::BTreeSet;

/// Which attention of a layer is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// of the only stack, or of the encoder, on its own tokens
    Encoder,
    /// of a decoder, on its own tokens
    Decoder,
    /// of a decoder, on the tokens of the encoder
    Cross,
}

impl Part {
    /// `encoder`, `decoder` or `cross`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
            Self::Cross => "cross",
        }
    }
}

/// Where modules of a kind are: `{l}` is the layer, `{s}` the stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub part: Part,
    pub path: &'static str,
    pub mask: Masking,
}

/// Masks of the modules of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masking {
    Full,
    Causal,
    /// causal where `is_decoder`
    Decoder,
}

/// The row of a model, by `--as` or by what its configuration says; `None` where neither does.
pub(super) fn row(config: Option<&Config>, options: &Options) -> Result<Option<&'static Architecture>, Bad> {
    let said = match config {
        Some(config) => config.word(keys::TYPE)?,
        None => None,
    };
    let Some(wanted) = options.like.as_deref().or(said) else { return Ok(None) };
    let known = || ARCHITECTURES.iter().flat_map(|row| row.types).copied();
    match ARCHITECTURES.iter().find(|row| row.types.contains(&wanted)) {
        Some(row) => Ok(Some(row)),
        None if options.like.is_some() => {
            Err(Bad::new("F034", format!("--as {wanted:?} is no type of models that is known"))
                .help(did_you_mean(wanted, known())))
        }
        None => Err(match REFUSED.iter().find(|(kind, _)| *kind == wanted) {
            Some((_, why)) => {
                Bad::new("F018", format!("`config.json`: models of type `{wanted}` have {why}"))
                    .help("heads have no place for that")
            }
            None => {
                let shown: String = wanted.chars().take(60).collect();
                let near = did_you_mean(wanted, known());
                Bad::new("F034", format!("`config.json`: models of type {shown:?} are not known")).help(format!(
                    "if its attention is that of another type, take the responsibility: --as TYPE ({near})"
                ))
            }
        }),
    }
}

/// Everything about a layer but its numbers.
pub(super) fn read<'a>(
    file: &mut Tensors,
    entries: &'a [Entry],
    row: &'static Architecture,
    config: &Config,
    options: &Options,
) -> Result<Found<'a>, Bad> {
    let there = place::find(entries, row, options, config)?;
    let named = Named::of(there.layer, entries)?;
    let heads = heads(config, there.place.part, there.stage, options)?;
    let shared = row.fusing.shared(config, heads)?;
    let counts = Counts { heads, shared, fusing: row.fusing.resolved(config)? };
    let shapes = named.measured(Some(counts))?;
    let split = shapes.split(heads)?;
    if split.shared != shared {
        let (held, prefix) = (split.shared, there.layer.prefix);
        return Err(Bad::new(
            "F009",
            format!("`config.json`: {shared} key and value heads; by its shapes `{prefix}` has {held}"),
        )
        .help("file and configuration are of different models"));
    }
    if let Some(said) = config.whole(keys::HEAD_DIM)?.filter(|d| *d != split.d_key) {
        let held = split.d_key;
        return Err(Bad::new(
            "F009",
            format!("`config.json`: heads of {said} cells; by its shapes the layer has {held}"),
        )
        .help("file and configuration are of different models"));
    }
    let mask = match there.place.mask {
        Masking::Full => Mask::Full,
        Masking::Causal => Mask::Causal,
        Masking::Decoder if config.flag(keys::IS_DECODER)? == Some(true) => Mask::Causal,
        Masking::Decoder => Mask::Full,
    };
    let scale = scale(row.scale, config, there.number, split.d_key)?;
    let mut asked = Asked {
        config,
        file,
        entries,
        prefix: there.layer.prefix,
        stack: there.stack(),
        layer: there.number,
        counts,
        d_key: split.d_key,
        causal: mask == Mask::Causal,
        length: options.length,
        read: BTreeSet::new(),
    };
    let beyond = features::find(row.features, &mut asked)?;
    let mut read = asked.read;
    let inside = |e: &&Entry| {
        e.name
            .strip_prefix(there.layer.prefix)
            .is_some_and(|stem| row.around.iter().any(|part| stem.starts_with(part)))
    };
    let around: Vec<String> = entries.iter().filter(inside).map(|e| e.name.clone()).collect();
    read.retain(|name| !around.contains(name));
    let ignored = refuse_strangers(config, row, options)?;
    let one = there.place.part != Part::Cross;
    Ok(Found {
        named,
        said: Said {
            heads: Some(heads),
            attention: Some(Attention::Softmax),
            scale: Some(scale),
            mask: Some(mask),
            positions: true,
            streams: Some(if one { Streams::One } else { Streams::Two }),
            by: "config.json",
        },
        usual: Usual::of(there.layer),
        counts: Some(counts),
        beyond,
        read,
        around,
        ignored,
        like: options.like.clone(),
    })
}

/// Query heads, of a part where parts differ, of a stage where stages do.
fn heads(config: &Config, part: Part, stage: usize, options: &Options) -> Result<usize, Bad> {
    let own = if part == Part::Encoder { keys::ENCODER_HEADS } else { keys::DECODER_HEADS };
    let said = match config.whole(own)? {
        Some(n) => Some(n),
        None => match config.value(keys::HEADS) {
            Some(Value::Array(list)) => {
                list.get(stage).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
            }
            _ => config.whole(keys::HEADS)?,
        },
    };
    config.know(&[keys::ENCODER_HEADS, keys::DECODER_HEADS]);
    match (said, options.heads) {
        (Some(0), _) => Err(Bad::new("F016", "`config.json` says that there are no heads")),
        (Some(said), Some(asked)) if said != asked => {
            Err(Bad::new("F016", format!("`config.json` says that there are {said} heads, --heads {asked}"))
                .help("leave --heads out"))
        }
        (Some(said), _) => Ok(said),
        (None, Some(asked)) => Ok(asked),
        (None, None) => {
            Err(Bad::new("F016", "`config.json` does not say how many heads there are: give --heads H"))
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn scale(how: Scale, config: &Config, layer: usize, d_key: usize) -> Result<f64, Bad> {
    let root = 1.0 / (d_key as f64).sqrt();
    Ok(match how {
        Scale::Root => root,
        Scale::One => 1.0,
        Scale::Multiplier => config.number(keys::MULTIPLIER)?.unwrap_or(root),
        Scale::Query => match config.number(keys::QUERY_SCALAR)? {
            Some(scalar) if scalar > 0.0 => scalar.powf(-0.5),
            _ => return Err(Bad::new("F009", "`config.json` does not say `query_pre_attn_scalar`")),
        },
        Scale::Switched => {
            let scale = if config.flag(keys::SCALED)? == Some(false) { 1.0 } else { root };
            if config.flag(keys::BY_LAYER)? == Some(true) { scale / (layer as f64 + 1.0) } else { scale }
        }
    })
}

/// Keys that may change what the layer computes, and that its architecture does not know: those to be left out as asked
/// for, unless there are others.
fn refuse_strangers(config: &Config, row: &Architecture, options: &Options) -> Result<Vec<String>, Bad> {
    let all = config.strangers();
    let (asked, strangers): (Vec<&str>, Vec<&str>) =
        all.into_iter().partition(|key| options.ignore.iter().any(|i| i == key));
    let Some(first) = strangers.first() else { return Ok(asked.into_iter().map(str::to_owned).collect()) };
    let more = match &strangers[1..] {
        [] => String::new(),
        rest => format!("; nor are {}", one_of(rest.iter().copied())),
    };
    Err(Bad::new(
        "F018",
        format!("`config.json`: key `{first}` is not known of models of type `{}`{more}", row.types[0]),
    )
    .help(format!("it may change what the layer computes; or take the responsibility: --ignore {first}")))
}
