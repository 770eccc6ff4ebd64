//! All figures, in the order in which they are listed: one file per figure.
//!
//! **Deliberately absent:** drawing and files.

mod given;
mod gradients;
mod identity;
mod learning_curves;
mod locality_ladder;
mod one_head;
mod softmax_inhibition;
mod softmax_layer;
mod softmax_minilm;
#[cfg(test)]
mod tests;
mod trainings;

use super::sheet::Figure;
use crate::diag::Diagnostics;
use crate::experiments::Progress;
use std::path::Path;

/// Figures that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    CorticoThalamic,
    Memory,
    MatchAndControl,
}

impl Group {
    pub const ALL: [Self; 3] = [Self::CorticoThalamic, Self::Memory, Self::MatchAndControl];

    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CorticoThalamic => "cortico-thalamic",
            Self::Memory => "memory",
            Self::MatchAndControl => "match-and-control",
        }
    }
}

/// What a figure is made from.
pub struct Making<'a> {
    /// folder of circuit files
    pub circuits: &'a Path,
    /// many trials, for hours; otherwise the quick variant
    pub full: bool,
    pub progress: &'a dyn Progress,
}

/// Makes a figure; the errors are those of its circuits.
pub type Make = fn(&Making<'_>) -> Result<Figure, Diagnostics>;

/// A figure that can be made.
#[derive(Clone, Copy)]
pub struct Entry {
    /// name of its files
    pub name: &'static str,
    pub group: Group,
    /// one line
    pub about: &'static str,
    /// makes it, or nothing is there yet
    pub make: Option<Make>,
}

const MINILM: &str = "softmax-inhibition-minilm";

/// Every figure.
pub const ALL: &[Entry] = &[
    Entry {
        name: "identity",
        group: Group::CorticoThalamic,
        about: "one microcolumn, and cells against the identity that makes it a head",
        make: Some(identity::make),
    },
    Entry {
        name: "one-head",
        group: Group::CorticoThalamic,
        about: "one head from microcolumns, as attention mask and as key-value memory, beside a transformer head",
        make: Some(one_head::make),
    },
    Entry {
        name: "gradients",
        group: Group::CorticoThalamic,
        about: "what synapses change by local rules, against the exact gradient",
        make: Some(gradients::make),
    },
    Entry {
        name: "learning-curves",
        group: Group::CorticoThalamic,
        about: "learning curves of every rule, with the floors that theory sets",
        make: Some(learning_curves::make),
    },
    Entry {
        name: "locality-ladder",
        group: Group::CorticoThalamic,
        about: "one memory under rules that know less and less, and how far each gets",
        make: Some(locality_ladder::make),
    },
    Entry {
        name: "softmax-inhibition",
        group: Group::CorticoThalamic,
        about: "softmax by divisive inhibition: heads of a trained transformer as cells in time",
        make: Some(softmax_inhibition::make),
    },
    Entry {
        name: MINILM,
        group: Group::CorticoThalamic,
        about: "the same in all-MiniLM-L6-v2, where its weights are at hand",
        make: Some(softmax_minilm::make),
    },
];

impl Entry {
    /// Does it need files that are not in the repository? Such figures are not on the page of all figures, which is the same
    /// everywhere.
    #[must_use]
    pub fn stands_apart(&self) -> bool {
        self.name == MINILM
    }

    /// Why the figure cannot be made on this machine, if so: it is then listed with the reason, and its files stay as
    /// they are.
    #[must_use]
    pub fn absent(&self) -> Option<String> {
        if self.stands_apart() { softmax_minilm::absent() } else { None }
    }
}
