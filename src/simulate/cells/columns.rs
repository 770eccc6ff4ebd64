//! Which copies of a population exist, and how they are numbered.
//!
//! A population is replicated over token indices; each copy is a *column* of its `microcolumns x cells` numbers.
//! Columns lie one after another, so a population's numbers are a matrix `[cells, columns]`, column-major. Pairs of
//! tokens lie query by query, and only those that the mask lets exist: of query `i` the context tokens that it sees, which
//! lie side by side.

use crate::vocabulary::Mask;
use std::ops::Range;

/// The columns of a population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// one, the same for every token
    Once,
    /// one for each token of a clock
    Line(usize),
    /// one for each pair of tokens that the mask allows
    Pairs { queries: usize, contexts: usize, mask: Mask },
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
            Self::Pairs { contexts, mask, .. } => before(mask, i, contexts),
        }
    }

    /// Columns of query `i`.
    pub fn row(self, i: usize) -> Range<usize> {
        self.start(i)..self.start(i + 1)
    }

    /// Context token of the first column of query `i`, among pairs.
    pub fn first(self, i: usize) -> usize {
        let Self::Pairs { contexts, mask, .. } = self else { return 0 };
        mask.seen(i, contexts).start
    }

    /// Query and context of a column: the last row that starts at or before it.
    pub fn locate(self, column: usize) -> (usize, usize) {
        let Self::Pairs { queries, .. } = self else { return (column, column) };
        let (mut low, mut high) = (0, queries);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if self.start(middle) <= column { low = middle } else { high = middle }
        }
        (low, self.first(low) + column - self.start(low))
    }
}

/// Pairs of the first `i` queries.
fn before(mask: Mask, i: usize, contexts: usize) -> usize {
    // 0 + 1 + ... + m
    let triangle = |m: usize| m.saturating_mul(m + 1) / 2;
    let window = mask.window().unwrap_or(contexts).min(contexts);
    // Rows of 1, 2, ... pairs up to the window, then as wide as it.
    let ramp = |rows: usize| triangle(rows) - triangle(rows.saturating_sub(window));
    match mask {
        Mask::Full => i.saturating_mul(contexts),
        Mask::Causal => triangle(i),
        Mask::Strict => triangle(i.saturating_sub(1)),
        Mask::CausalWindow(_) => ramp(i),
        Mask::StrictWindow(_) => ramp(i.saturating_sub(1)),
        Mask::FullWindow(_) => {
            let ahead = i.saturating_mul(window + 1) + triangle(i.saturating_sub(1));
            let beyond = triangle((i + window).saturating_sub(contexts));
            ahead - beyond - triangle(i.saturating_sub(window + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_numbered_row_by_row() {
        let windows = Mask::WHOLE.into_iter().flat_map(|m| [1, 2, 4, 5, 9].map(|w| m.within(w)));
        for mask in Mask::WHOLE.into_iter().chain(windows) {
            let columns = Columns::Pairs { queries: 5, contexts: 5, mask };
            let mut next = 0;
            for i in 0..5 {
                assert_eq!(columns.row(i).len(), mask.seen(i, 5).len(), "{mask:?}");
                for (j, column) in mask.seen(i, 5).zip(columns.row(i)) {
                    assert_eq!(column, next, "{mask:?}");
                    assert_eq!(columns.locate(column), (i, j), "{mask:?}");
                    next += 1;
                }
            }
            assert_eq!(columns.count(), next, "{mask:?}");
        }
    }
}
