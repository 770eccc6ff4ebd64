//! Products with weights that are not written out.

use crate::circuit::{AxisMap, Weights};
use nalgebra::DMatrix;

/// All cells' rows, written out.
pub fn expand(rows: &DMatrix<f64>, map: AxisMap, cells: usize) -> DMatrix<f64> {
    if map == AxisMap::All && rows.nrows() == cells {
        return rows.clone();
    }
    DMatrix::from_fn(cells, rows.ncols(), |c, j| rows[(map.of(c), j)])
}

pub fn pool_rows(
    rows: &DMatrix<f64>,
    map: AxisMap,
    pool: AxisMap,
    cells: usize,
    columns: usize,
) -> DMatrix<f64> {
    if map == AxisMap::All && pool == AxisMap::All {
        return rows.clone();
    }
    let mut pooled = DMatrix::zeros(columns, rows.ncols());
    for cell in 0..cells {
        let mut target = pooled.row_mut(pool.of(cell));
        target += rows.row(map.of(cell));
    }
    pooled
}

/// `W rows` without writing structured weights out.
pub fn multiply(w: &Weights, rows: &DMatrix<f64>) -> DMatrix<f64> {
    match w {
        Weights::Identity { gain, .. } => rows * *gain,
        Weights::Constant { rows: n, value, .. } => {
            let sums = rows.row_sum() * *value;
            DMatrix::from_fn(*n, rows.ncols(), |_, j| sums[j])
        }
        Weights::Dense(m) => m * rows,
    }
}
