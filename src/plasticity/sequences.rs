//! Where sequences to learn from come from.

use crate::attention::Streams;
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
    fn fill(&self, split: Split, index: u64, room: &mut Streams);

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
