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
#[cfg(test)]
mod tests;
mod tokens_one_by_one;
mod trainings;

use super::sheet::Figure;
use crate::experiments::Progress;
use pulvinar::diag::Diagnostics;
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
    pub make: Make,
    /// of a figure that needs files beside the repository: why it cannot be made on this machine, if so
    pub apart: Option<fn() -> Option<String>>,
}

/// Every figure.
pub const ALL: &[Entry] = &[
    entry(
        "overview",
        Group::CorticoThalamic,
        "the program in one picture: a file, its circuit, its heads, and cells that agree with them",
        overview::make,
    ),
    entry(
        "identity",
        Group::CorticoThalamic,
        "one microcolumn, and cells against the identity that makes it a head",
        identity::make,
    ),
    entry(
        "one-head",
        Group::CorticoThalamic,
        "one head from microcolumns, as attention mask and as key-value memory, beside a transformer head",
        one_head::make,
    ),
    entry(
        "multihead",
        Group::CorticoThalamic,
        "parallel cortico-thalamic loops are multihead attention, one head per area",
        multihead::make,
    ),
    entry(
        "cross-attention",
        Group::CorticoThalamic,
        "the memory of one area, read by the queries of another",
        cross_attention::make,
    ),
    entry(
        "lateral-rank",
        Group::CorticoThalamic,
        "heads of one area are the rank of its lateral weights, and what noise in the wiring does",
        lateral_rank::make,
    ),
    entry(
        "gradients",
        Group::CorticoThalamic,
        "what synapses change by local rules, against the exact gradient",
        gradients::make,
    ),
    entry(
        "learning-curves",
        Group::CorticoThalamic,
        "learning curves of every rule, with the floors that theory sets",
        learning_curves::make,
    ),
    entry(
        "locality-ladder",
        Group::CorticoThalamic,
        "one memory under rules that know less and less, and how far each gets",
        locality_ladder::make,
    ),
    entry(
        "cells-in-time",
        Group::CorticoThalamic,
        "leaky cells on their way to the algebra, cells that read ahead, and tokens one after another",
        cells_in_time::make,
    ),
    entry(
        "softmax-inhibition",
        Group::CorticoThalamic,
        "softmax by divisive inhibition: heads of a trained transformer as cells in time",
        softmax_inhibition::make,
    ),
    Entry {
        apart: Some(softmax_minilm::absent),
        ..entry(
            "softmax-inhibition-minilm",
            Group::CorticoThalamic,
            "the same in all-MiniLM-L6-v2, where its weights are at hand",
            softmax_minilm::make,
        )
    },
    entry(
        "capacity",
        Group::Memory,
        "recall error against load for each memory rule, beside the laws; two criteria, two winners",
        capacity::make,
    ),
    entry(
        "conditioning",
        Group::Memory,
        "Pavlovian protocols trial by trial, and which rules show them",
        conditioning::make,
    ),
    entry(
        "hopfield",
        Group::Memory,
        "retrieval, fixed points, energy and capacities of attention heads whose answer is the next cue",
        hopfield::make,
    ),
    entry("digit-retrieval", Group::Memory, "handwritten digits from corrupted cues", digit_retrieval::make),
    match_and_control::ALL[0],
    match_and_control::ALL[1],
    match_and_control::ALL[2],
    match_and_control::ALL[3],
    match_and_control::ALL[4],
    match_and_control::ALL[5],
    match_and_control::ALL[6],
];

/// A figure that is made from the repository alone.
const fn entry(name: &'static str, group: Group, about: &'static str, make: Make) -> Entry {
    Entry { name, group, about, make, apart: None }
}

impl Entry {
    /// Does it need files that are not in the repository? Such figures are not on the page of all figures, which is the same
    /// everywhere.
    #[must_use]
    pub fn stands_apart(&self) -> bool {
        self.apart.is_some()
    }

    /// Why the figure cannot be made on this machine, if so: it is then listed with the reason, and its files stay as
    /// they are.
    #[must_use]
    pub fn absent(&self) -> Option<String> {
        self.apart.and_then(|why| why())
    }
}
