//! What a verdict rests on and neither the file nor the options say.

use super::Attention;
use crate::attention::Mask;
use std::fmt;

/// What an assumption is about, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// kernel and normalisation
    Attention,
    /// what else could be done to queries, keys and scores without leaving a tensor
    Scores,
    Mask,
    /// how far back a causal mask reaches
    Window,
    /// which axis of a matrix is which
    Storage,
    Memory,
    /// positions that enter the scores
    Positions,
    Scale,
    Streams,
    Residual,
}

/// Who said it in place of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// nobody: files of this layout usually are so
    Usual,
    /// the circuit that the heads are compared with
    Circuit,
}

/// Something that a verdict holds under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assumption {
    pub about: About,
    pub origin: Origin,
    /// what goes after "if": `the mask is full`
    pub clause: String,
}

/// What a comparison with heads of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// the same function, and nothing was assumed
    Yes,
    /// the same function if all of this holds
    If(Vec<Assumption>),
    /// not the same function, whatever was assumed
    No(Vec<Assumption>),
}

impl Assumption {
    pub(crate) fn new(about: About, origin: Origin, clause: impl Into<String>) -> Self {
        Self { about, origin, clause: clause.into() }
    }

    pub(super) fn attention(attention: Attention, origin: Origin) -> Self {
        Self::new(About::Attention, origin, format!("the attention is {}", attention.name()))
    }

    pub(super) fn mask(mask: Mask, origin: Origin) -> Self {
        Self::new(About::Mask, origin, format!("the mask is {}", mask.name()))
    }

    pub(super) fn usual(about: About, clause: impl Into<String>) -> Self {
        Self::new(about, Origin::Usual, clause)
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.origin == Origin::Circuit && self.about != About::Residual;
        let from = if told { ", as in the circuit" } else { "" };
        write!(f, "{}{from}", self.clause)
    }
}

impl Verdict {
    /// The verdict on functions that are `equivalent` under what was assumed.
    #[must_use]
    pub fn of(equivalent: bool, assumed: &[Assumption]) -> Self {
        match (equivalent, assumed) {
            (false, _) => Self::No(assumed.to_vec()),
            (true, []) => Self::Yes,
            (true, _) => Self::If(assumed.to_vec()),
        }
    }

    /// Whether it is a yes, with or without an if.
    #[must_use]
    pub fn is_equivalent(&self) -> bool {
        !matches!(self, Self::No(_))
    }

    /// Whether something was assumed.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        !self.assumed().is_empty()
    }

    #[must_use]
    pub fn assumed(&self) -> &[Assumption] {
        match self {
            Self::Yes => &[],
            Self::If(list) | Self::No(list) => list,
        }
    }
}

/// `equivalent`, `equivalent if a, b and c`, `NOT equivalent`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("equivalent"),
            Self::If(list) => {
                let clauses: Vec<&str> = list.iter().map(|a| a.clause.as_str()).collect();
                write!(f, "equivalent if {}", and(&clauses))
            }
            Self::No(_) => f.write_str("NOT equivalent"),
        }
    }
}

/// `a, b and c`.
fn and(list: &[&str]) -> String {
    match list {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
