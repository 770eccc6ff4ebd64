//! All figures, in the order in which they are listed: one file per figure.
//!
//! **Deliberately absent:** drawing and files.

mod given;
mod identity;
mod one_head;
mod overview;
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
];
