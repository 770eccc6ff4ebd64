//! All figures, in the order in which they are listed: one file per figure.
//!
//! **Deliberately absent:** drawing and files.

mod cells_in_time;
mod cross_attention;
mod given;
mod identity;
mod lateral_rank;
mod multihead;
mod one_head;
mod overview;
mod random_matrices;
#[cfg(test)]
mod tests;
mod tokens_one_by_one;

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
        name: "cells-in-time",
        group: Group::CorticoThalamic,
        about: "leaky cells on their way to the algebra, cells that read ahead, and tokens one after another",
        make: Some(cells_in_time::make),
    },
];
