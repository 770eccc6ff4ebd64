//! Where sequences to learn from come from.

use super::tasks::Task;
use crate::attention::Streams;
use crate::diag::Diagnostic;
use nalgebra::DMatrix;

/// Which sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// to learn from
    Train,
    /// never learned from
    HeldOut,
}

/// A source of sequences with targets. Each is a pure function of the split and its number.
pub trait Sequences: Sync {
    /// Room for one sequence: a matrix `[d_model, n_tokens]` for each stream, the target among them.
    fn sample(&self) -> Streams;

    /// Writes sequence `index` into the room.
    ///
    /// # Errors
    /// Why there is no such sequence: a teacher that diverges, say.
    fn fill(&self, split: Split, index: u64, room: &mut Streams) -> Result<(), Diagnostic>;

    /// The stream that holds the targets of the output.
    fn target(&self) -> &str;

    /// Number of different sequences; none if there is no end of them.
    fn size(&self, _split: Split) -> Option<u64> {
        None
    }

    /// Right answers and questions among the counted tokens, where answers are right or wrong. Matrices are
    /// `[d_model, n_tokens]`.
    fn right(&self, _y: &DMatrix<f64>, _t: &DMatrix<f64>, _counted: &[bool]) -> Option<(usize, usize)> {
        None
    }
}

impl Sequences for Task {
    fn sample(&self) -> Streams {
        Self::sample(self)
    }

    fn fill(&self, split: Split, index: u64, room: &mut Streams) -> Result<(), Diagnostic> {
        Self::fill(self, split, index, room)
    }

    fn target(&self) -> &str {
        Self::target(self)
    }

    fn size(&self, split: Split) -> Option<u64> {
        Self::size(self, split)
    }

    fn right(&self, y: &DMatrix<f64>, t: &DMatrix<f64>, counted: &[bool]) -> Option<(usize, usize)> {
        Self::right(self, y, t, counted)
    }
}
