//! Which copies of a population exist, and how they are numbered.
//!
//! A population is replicated over token indices; each copy is a *column* of its `microcolumns x cells` numbers.
//! Columns lie one after another, so a population's numbers are a matrix `[cells, columns]`, column-major. Pairs of
//! tokens lie query by query, and only those that the mask lets exist: of query `i` the first `seen(i)` tokens of
//! the context.

use crate::spec::MaskSpec;
use std::ops::Range;

/// The columns of a population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// one, the same for every token
    Once,
    /// one for each token of a clock
    Line(usize),
    /// one for each pair of tokens that the mask allows
    Pairs { queries: usize, contexts: usize, mask: MaskSpec },
}

/// How many tokens of the context query `i` sees; they are the first ones.
pub fn seen(mask: MaskSpec, i: usize, contexts: usize) -> usize {
    match mask {
        MaskSpec::Full => contexts,
        MaskSpec::Causal => (i + 1).min(contexts),
        MaskSpec::Strict => i.min(contexts),
    }
}

impl Columns {
    /// Number of columns; saturates instead of overflowing.
    pub fn count(self) -> usize {
        match self {
            Self::Once => 1,
            Self::Line(n) => n,
            Self::Pairs { queries, .. } => self.start(queries),
        }
    }

    /// First column of query `i`.
    fn start(self, i: usize) -> usize {
        match self {
            Self::Once => 0,
            Self::Line(_) => i,
            Self::Pairs { contexts, mask: MaskSpec::Full, .. } => i.saturating_mul(contexts),
            Self::Pairs { mask: MaskSpec::Causal, .. } => i.saturating_mul(i + 1) / 2,
            Self::Pairs { mask: MaskSpec::Strict, .. } => i.saturating_mul(i.saturating_sub(1)) / 2,
        }
    }

    /// Columns of query `i`.
    pub fn row(self, i: usize) -> Range<usize> {
        self.start(i)..self.start(i + 1)
    }

    /// Query and context of a column: the last row that starts at or before it.
    pub fn locate(self, column: usize) -> (usize, usize) {
        let Self::Pairs { queries, .. } = self else { return (column, column) };
        let (mut low, mut high) = (0, queries);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if self.start(middle) <= column { low = middle } else { high = middle }
        }
        (low, column - self.start(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_numbered_row_by_row() {
        for mask in [MaskSpec::Full, MaskSpec::Causal, MaskSpec::Strict] {
            let columns = Columns::Pairs { queries: 5, contexts: 5, mask };
            let mut next = 0;
            for i in 0..5 {
                assert_eq!(columns.row(i).len(), seen(mask, i, 5), "{mask:?}");
                for (j, column) in columns.row(i).enumerate() {
                    assert_eq!(column, next, "{mask:?}");
                    assert_eq!(columns.locate(column), (i, j), "{mask:?}");
                    next += 1;
                }
            }
            assert_eq!(columns.count(), next, "{mask:?}");
        }
    }
}
