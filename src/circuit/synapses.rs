//! Weight matrices: drawing them, and the shorthand of `onto` and `pool`.

use nalgebra::DMatrix;

/// How an address of a population maps to a row or column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisMap {
    /// one row for each cell
    All,
    /// one row for each cell of a microcolumn, the same in every column
    Cells { cells: usize },
    /// one row for each microcolumn, the same for all its cells
    Microcolumns { cells: usize },
}

impl AxisMap {
    /// Row (or column) of the matrix for cell `address`.
    #[must_use]
    pub fn of(self, address: usize) -> usize {
        match self {
            Self::All => address,
            Self::Cells { cells } => address % cells,
            Self::Microcolumns { cells } => address / cells,
        }
    }
}

/// The numbers of a projection.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// `gain` on the diagonal
    Identity { n: usize, gain: f64 },
    /// the same number everywhere
    Constant { rows: usize, columns: usize, value: f64 },
    /// `[rows, columns]`
    Dense(DMatrix<f64>),
}

impl Weights {
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Identity { n, .. } => *n,
            Self::Constant { rows, .. } => *rows,
            Self::Dense(m) => m.nrows(),
        }
    }

    #[must_use]
    pub fn columns(&self) -> usize {
        match self {
            Self::Identity { n, .. } => *n,
            Self::Constant { columns, .. } => *columns,
            Self::Dense(m) => m.ncols(),
        }
    }

    /// Rows times columns, also of what is not stored.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.rows().saturating_mul(self.columns())
    }

    /// All entries are in memory.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Dense(_))
    }

    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> f64 {
        match self {
            Self::Identity { gain, .. } => {
                if row == column {
                    *gain
                } else {
                    0.0
                }
            }
            Self::Constant { value, .. } => *value,
            Self::Dense(m) => m[(row, column)],
        }
    }

    #[must_use]
    pub fn scaled(self, gain: f64) -> Self {
        match self {
            Self::Identity { n, gain: g } => Self::Identity { n, gain: g * gain },
            Self::Constant { rows, columns, value } => Self::Constant { rows, columns, value: value * gain },
            Self::Dense(m) => Self::Dense(m * gain),
        }
    }

    #[must_use]
    pub fn absolute(&self) -> Self {
        match self {
            Self::Identity { n, gain } => Self::Identity { n: *n, gain: gain.abs() },
            Self::Constant { rows, columns, value } => {
                Self::Constant { rows: *rows, columns: *columns, value: value.abs() }
            }
            Self::Dense(m) => Self::Dense(m.abs()),
        }
    }

    #[must_use]
    pub fn transposed(&self) -> Self {
        match self {
            Self::Identity { .. } => self.clone(),
            Self::Constant { rows, columns, value } => {
                Self::Constant { rows: *columns, columns: *rows, value: *value }
            }
            Self::Dense(m) => Self::Dense(m.transpose()),
        }
    }

    /// `(row, column)` of the first entry for which `wrong` holds.
    pub fn find(&self, wrong: impl Fn(f64) -> bool) -> Option<(usize, usize, f64)> {
        match self {
            Self::Identity { gain, .. } => wrong(*gain).then_some((0, 0, *gain)),
            Self::Constant { value, .. } => wrong(*value).then_some((0, 0, *value)),
            Self::Dense(m) => (0..m.nrows())
                .flat_map(|i| (0..m.ncols()).map(move |j| (i, j)))
                .find(|(i, j)| wrong(m[(*i, *j)]))
                .map(|(i, j)| (i, j, m[(i, j)])),
        }
    }

    /// All entries, written out.
    #[must_use]
    pub fn dense(&self) -> DMatrix<f64> {
        match self {
            Self::Dense(m) => m.clone(),
            _ => DMatrix::from_fn(self.rows(), self.columns(), |i, j| self.get(i, j)),
        }
    }
}

/// A weight matrix and the cells that its rows and columns address. Gain is included.
#[derive(Clone, Debug, PartialEq)]
pub struct Synapses {
    pub weights: Weights,
    /// target cell -> row (`onto`)
    pub onto: AxisMap,
    /// source cell -> column (`pool`)
    pub pool: AxisMap,
}

impl Synapses {
    /// Weight from source cell `from` to target cell `to`.
    #[must_use]
    pub fn weight(&self, to: usize, from: usize) -> f64 {
        self.weights.get(self.onto.of(to), self.pool.of(from))
    }

    /// Source cells and weights of the target cell `to`, zero weights left out.
    pub fn incoming(&self, to: usize, n_sources: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let row = self.onto.of(to);
        let direct = match (&self.weights, self.pool) {
            (Weights::Identity { .. }, AxisMap::All) => Some(row),
            _ => None,
        };
        let range = match direct {
            Some(column) => column..column + 1,
            None => 0..n_sources,
        };
        range.map(move |from| (from, self.weights.get(row, self.pool.of(from)))).filter(|(_, w)| *w != 0.0)
    }

    /// The full matrix `[n_targets, n_sources]`.
    #[must_use]
    pub fn full(&self, n_targets: usize, n_sources: usize) -> DMatrix<f64> {
        DMatrix::from_fn(n_targets, n_sources, |i, j| self.weight(i, j))
    }

    /// Entries of the matrix as written; an identity counts its diagonal.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.weights {
            Weights::Identity { n, .. } => *n,
            w => w.rows() * w.columns(),
        }
    }
}
