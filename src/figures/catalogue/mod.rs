//! All figures, in the order in which they are listed: one file per figure.
//!
//! **Deliberately absent:** drawing and files.

mod capacity;
mod cells_in_time;
mod conditioning;
mod cross_attention;
mod digit_retrieval;
mod given;
mod gradients;
mod hopfield;
mod identity;
mod lateral_rank;
mod learning_curves;
mod locality_ladder;
mod match_and_control;
mod multihead;
mod one_head;
mod overview;
mod random_matrices;
mod softmax_inhibition;
mod softmax_layer;
mod softmax_minilm;
mod tables;
mod tokens_one_by_one;
mod trainings;
#[cfg(test)]
mod tests;

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
        name: "overview",
        group: Group::CorticoThalamic,
        about: "the program in one picture: a file, its circuit, its heads, and cells that agree with them",
        make: Some(overview::make),
    },
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
        name: "multihead",
        group: Group::CorticoThalamic,
        about: "parallel cortico-thalamic loops are multihead attention, one head per area",
        make: Some(multihead::make),
    },
    Entry {
        name: "cross-attention",
        group: Group::CorticoThalamic,
        about: "the memory of one area, read by the queries of another",
        make: Some(cross_attention::make),
    },
    Entry {
        name: "lateral-rank",
        group: Group::CorticoThalamic,
        about: "heads of one area are the rank of its lateral weights, and what noise in the wiring does",
        make: Some(lateral_rank::make),
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
        name: "cells-in-time",
        group: Group::CorticoThalamic,
        about: "leaky cells on their way to the algebra, cells that read ahead, and tokens one after another",
        make: Some(cells_in_time::make),
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
    Entry {
        name: "capacity",
        group: Group::Memory,
        about: "recall error against load for each memory rule, beside the laws; two criteria, two winners",
        make: Some(capacity::make),
    },
    Entry {
        name: "conditioning",
        group: Group::Memory,
        about: "Pavlovian protocols trial by trial, and which rules show them",
        make: Some(conditioning::make),
    },
    Entry {
        name: "hopfield",
        group: Group::Memory,
        about: "retrieval, fixed points, energy and capacities of attention heads whose answer is the next cue",
        make: Some(hopfield::make),
    },
    Entry {
        name: "digit-retrieval",
        group: Group::Memory,
        about: "handwritten digits from corrupted cues",
        make: Some(digit_retrieval::make),
    },
    match_and_control::ALL[0],
    match_and_control::ALL[1],
    match_and_control::ALL[2],
    match_and_control::ALL[3],
    match_and_control::ALL[4],
    match_and_control::ALL[5],
    match_and_control::ALL[6],
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
