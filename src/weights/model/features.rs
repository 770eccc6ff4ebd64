//! What is done to queries, keys and scores of a layer: what a row of the table lists, with the numbers of its
//! configuration and its tensors.

use super::config::Config;
use super::keys;
use super::norm;
use super::rotary::{self, Rotary};
use super::tables::{self, Distance};
use crate::files::{Bad, Entry, Tensors};
use crate::weights::tensors::Counts;
use serde_json::Value;
use std::collections::BTreeSet;

pub use super::norm::QkNorm;
pub use super::rotary::Pairing;

/// One thing that the layers of an architecture do, or may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Feature {
    /// positions are in the tokens, if in anything
    Absolute,
    Norm(Kind),
    Rotary(Rope),
    Alibi(Slopes),
    /// a table of distances (T5)
    Table(Whose),
    /// a table of places in a square (Swin)
    Grid,
    Window(Reach, Layers),
    Softcap,
    Sinks,
}

/// Rotary positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rope {
    pub pairing: Pairing,
    pub dims: Dims,
    pub only: Only,
    /// layers with a window have a base of their own
    pub by_window: bool,
}

/// How many cells of a head are rotated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dims {
    /// this share where the configuration says none
    Share(f64),
    /// `rotary_dim`, else all
    Key,
}

/// Where a feature is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    Always,
    /// where its key says so
    Said,
    UnlessDenied,
    UnlessAlibi,
    /// where values are not rotated too
    QueriesAndKeys,
    LayersSaid,
    /// in layers with a window
    InWindow,
}

/// Slopes of ALiBi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slopes {
    pub when: Only,
    /// numbers of heads that are no powers of two take every second slope of the next one (MPT)
    pub by_two: bool,
    /// divided as scores are (Falcon)
    pub divided: bool,
}

/// Where a table of distances is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// in the first layer of the stack
    Stack,
    /// one for the model
    All,
}

/// Which tokens a window leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Back,
    Both,
}

/// Which layers have a window, where `layer_types` is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layers {
    All,
    Even,
    /// all but every n-th
    Pattern(usize),
    /// from `max_window_layers` on, if at all
    Above,
    /// all but one in so many, from 0
    Every,
    /// as `attention_layers` says
    Said,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rms,
    /// gains are 1 more than in the file
    RmsOnePlus,
    /// over all heads together
    RmsOfAll,
    Layer,
    /// layer norms with gains of their own for each head
    LayerByHead,
    /// one matrix of gains, a row for each head
    ByHead,
}

/// Which tokens `j` a query token `i` sees of those that the mask leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `i - w < j <= i`
    Back(usize),
    /// `|i - j| <= w`
    Both(usize),
}

/// What a layer does to queries, keys and scores that a plain head does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beyond {
    /// before anything else
    pub norm: Option<QkNorm>,
    pub rotary: Option<Rotary>,
    /// scores become `c tanh(s/c)`
    pub softcap: Option<f64>,
    /// is added to scores
    pub distance: Option<Distance>,
    pub window: Option<Window>,
    /// one score more in the sum of each head
    pub sinks: Option<Vec<f64>>,
    /// the number of tokens that was asked for
    pub length: Option<usize>,
}

impl Beyond {
    /// Whether heads are all there is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self { length: self.length, ..Self::default() }
    }

    /// What of it no circuit can say yet, in words.
    #[must_use]
    pub fn unsaid(&self) -> Vec<String> {
        let said = ["rotary", "distance", "sinks"];
        self.told().into_iter().filter(|(what, _)| !said.contains(what)).map(|(_, words)| words).collect()
    }

    /// What there is, in words: `rotary positions (4 of 8 cells, halves)`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.told().into_iter().map(|(_, words)| words).collect()
    }

    fn told(&self) -> Vec<(&'static str, String)> {
        let window = |w| match w {
            Window::Back(w) => format!("a window of {w} tokens"),
            Window::Both(w) => format!("a window of {w} tokens to each side"),
        };
        let all = [
            ("norm", self.norm.as_ref().map(QkNorm::name)),
            ("rotary", self.rotary.as_ref().map(Rotary::name)),
            ("softcap", self.softcap.map(|c| format!("scores capped at {c} by tanh"))),
            ("distance", self.distance.as_ref().map(Distance::name)),
            ("window", self.window.map(window)),
            ("sinks", self.sinks.as_ref().map(|_| "attention sinks".to_owned())),
        ];
        all.into_iter().filter_map(|(what, words)| Some((what, words?))).collect()
    }
}

/// The layer that features are asked of.
pub(super) struct Asked<'a> {
    pub config: &'a Config,
    pub file: &'a mut Tensors,
    pub entries: &'a [Entry],
    /// what the names of the module's tensors begin with
    pub prefix: &'a str,
    /// the same up to the layer's stack
    pub stack: String,
    pub layer: usize,
    pub counts: Counts,
    pub d_key: usize,
    pub causal: bool,
    pub length: Option<usize>,
    /// tensors that were read, by their whole names
    pub read: BTreeSet<String>,
}

impl Asked<'_> {
    /// A tensor of the file, which counts as read from now on.
    pub(super) fn tensor(&mut self, name: &str) -> Result<Option<crate::files::Array>, Bad> {
        if !self.entries.iter().any(|e| e.name == name) {
            return Ok(None);
        }
        let array = self.file.read(name)?;
        array.require_finite(&format!("tensor `{name}`"))?;
        self.read.insert(name.to_owned());
        Ok(Some(array))
    }

    pub(super) fn inside(&mut self, stem: &str) -> Result<Option<crate::files::Array>, Bad> {
        self.tensor(&format!("{}{stem}", self.prefix))
    }
}

/// What of the features of a row is in force in one layer.
pub(super) fn find(features: &[Feature], asked: &mut Asked) -> Result<Beyond, Bad> {
    let mut beyond = Beyond { length: asked.length, ..Beyond::default() };
    for feature in features {
        if let Feature::Window(reach, layers) = feature {
            beyond.window = window(*reach, *layers, asked)?;
        }
    }
    let windowed = beyond.window.is_some();
    for feature in features {
        match *feature {
            Feature::Absolute => absolute(asked.config)?,
            Feature::Norm(kind) => beyond.norm = norm::find(kind, asked)?,
            Feature::Rotary(rope) if is_on(rope.only, windowed, asked)? => {
                beyond.rotary = Some(rotary::find(rope, windowed, asked)?);
            }
            Feature::Alibi(slopes) if is_sloped(slopes.when, asked.config)? => {
                beyond.distance = Some(tables::slopes(slopes, asked)?);
            }
            Feature::Table(whose) => beyond.distance = tables::buckets(whose, asked)?,
            Feature::Grid => beyond.distance = Some(tables::grid(asked)?),
            Feature::Softcap => beyond.softcap = asked.config.number(keys::SOFTCAP)?.filter(|c| *c != 0.0),
            Feature::Sinks => beyond.sinks = asked.inside("sinks")?.map(|array| array.data),
            // Its keys are known, and not in force here.
            Feature::Rotary(_) => asked.config.know(rotary::KEYS),
            Feature::Alibi(_) | Feature::Window(..) => {}
        }
    }
    if beyond.sinks.as_ref().is_some_and(|s| s.len() != asked.counts.heads) {
        return Err(Bad::new(
            "F009",
            format!("`{}sinks` does not hold one number for each head", asked.prefix),
        ));
    }
    Ok(beyond)
}

/// Positions of other kinds would enter the scores.
fn absolute(config: &Config) -> Result<(), Bad> {
    match config.word(keys::POSITIONS)? {
        None | Some("absolute") => Ok(()),
        Some(other) => Err(unknown("position_embedding_type", other)),
    }
}

/// A value of the configuration that would make another function of the heads.
pub(super) fn unknown(key: &str, value: &str) -> Bad {
    let shown: String = value.chars().take(60).collect();
    Bad::new("F018", format!("`config.json`: `{key}` is {shown:?}, which this program does not know"))
        .help("only models without it can be read")
}

fn is_on(only: Only, windowed: bool, asked: &Asked) -> Result<bool, Bad> {
    let config = asked.config;
    Ok(match only {
        Only::Always | Only::UnlessDenied => true,
        Only::Said => match config.word(keys::POSITIONS)? {
            Some("rotary") => true,
            None | Some("absolute") => false,
            Some(other) => return Err(unknown("position_embedding_type", other)),
        },
        Only::UnlessAlibi => config.flag(keys::ALIBI)? != Some(true),
        Only::QueriesAndKeys => {
            if config.flag(keys::ROTARY_VALUE)? == Some(true) {
                return Err(unknown("rotary_value", "true"));
            }
            true
        }
        Only::LayersSaid => match config.list(keys::NO_ROPE)?.and_then(|list| list.get(asked.layer)) {
            Some(on) => {
                config.know(&[keys::NO_ROPE_EVERY]);
                on.as_u64() != Some(0)
            }
            None => {
                let every = config.whole(keys::NO_ROPE_EVERY)?.unwrap_or(4).max(1);
                !(asked.layer + 1).is_multiple_of(every)
            }
        },
        Only::InWindow => windowed,
    })
}

fn is_sloped(when: Only, config: &Config) -> Result<bool, Bad> {
    Ok(match when {
        Only::Said => config.flag(keys::ALIBI)? == Some(true),
        Only::UnlessDenied => config.flag(keys::ALIBI)? != Some(false),
        _ => true,
    })
}

fn window(reach: Reach, layers: Layers, asked: &Asked) -> Result<Option<Window>, Bad> {
    let config = asked.config;
    let said = config.list(keys::LAYER_TYPES)?.and_then(|list| list.get(asked.layer)).and_then(Value::as_str);
    let here = match (said, layers) {
        (Some("sliding_attention" | "local"), _) => true,
        (Some("full_attention" | "global"), _) => false,
        (Some(other), _) => return Err(unknown("layer_types", other)),
        (None, Layers::All) => true,
        (None, Layers::Even) => asked.layer.is_multiple_of(2),
        (None, Layers::Pattern(usual)) => {
            let every = config.whole(keys::PATTERN)?.unwrap_or(usual).max(1);
            !(asked.layer + 1).is_multiple_of(every)
        }
        (None, Layers::Above) => {
            let from = config.whole(keys::FULL_BELOW)?.unwrap_or(usize::MAX);
            asked.layer >= from
        }
        (None, Layers::Every) => {
            let every = config.whole(keys::EVERY)?.unwrap_or(3).max(1);
            !asked.layer.is_multiple_of(every)
        }
        (None, Layers::Said) => {
            return Err(Bad::new(
                "F015",
                format!("`config.json` does not say of layer {} whether it is local", asked.layer),
            )
            .help("`attention_layers` lists them: local or global"));
        }
    };
    // Asked for whether or not this layer has one: the keys are understood.
    let (half, whole) = (config.whole(keys::LOCAL)?, config.whole(keys::WINDOW)?);
    let used = layers != Layers::Above || config.flag(keys::USE_WINDOW)? == Some(true) || said.is_some();
    let width = match reach {
        Reach::Back => whole.map(Window::Back),
        Reach::Both => half.map(|w| Window::Both(w / 2)),
    };
    Ok(width.filter(|w| here && used && !matches!(w, Window::Back(0) | Window::Both(0))))
}
