//! One weight matrix applied to many columns at once, through `onto` and `pool`.

use super::pieces::{columns_of_piece, pieces};
use crate::circuit::{AxisMap, Synapses, Weights};
use crate::linalg::{Operand, gemm_into};
use std::borrow::Cow;

/// A projection's matrix between the cells of its source and of its target, and the room that it works in.
pub struct Product<'a> {
    synapses: Cow<'a, Synapses>,
    /// cells of the source, of the target
    from: usize,
    to: usize,
    /// `[columns of the matrix, n]`: sources after pooling
    pooled: Vec<f64>,
    /// `[rows of the matrix, n]`: targets before they are spread
    rows: Vec<f64>,
}

/// What the shorthand leaves to do.
enum Shape {
    /// `gain x`
    Scale(f64),
    /// every target takes the sum of all sources
    Sum(f64),
    /// a matrix, with pooling before and spreading after
    Matrix { pool: bool, spread: bool },
}

impl<'a> Product<'a> {
    /// Room for up to `n` columns.
    pub fn new(synapses: Cow<'a, Synapses>, from: usize, to: usize, n: usize) -> Self {
        let mut product = Self { synapses, from, to, pooled: Vec::new(), rows: Vec::new() };
        let (pooled, rows) = product.room(n);
        product.pooled = vec![0.0; pooled];
        product.rows = vec![0.0; rows];
        product
    }

    /// Numbers that [`Product::new`] will hold besides the weights.
    pub fn room(&self, n: usize) -> (usize, usize) {
        let w = &self.synapses.weights;
        match self.shape() {
            Shape::Matrix { pool, spread } => (
                if pool { w.columns().saturating_mul(n) } else { 0 },
                if spread { w.rows().saturating_mul(n) } else { 0 },
            ),
            _ => (0, 0),
        }
    }

    fn shape(&self) -> Shape {
        let all = |map: AxisMap| map == AxisMap::All;
        let Synapses { weights, onto, pool } = &*self.synapses;
        match weights {
            Weights::Identity { gain, .. } if all(*onto) && all(*pool) => Shape::Scale(*gain),
            Weights::Constant { value, .. } => Shape::Sum(*value),
            Weights::Identity { .. } | Weights::Dense(_) => {
                Shape::Matrix { pool: !all(*pool), spread: !all(*onto) }
            }
        }
    }

    /// `y = W x` for every column; `x` is `[sources, n]`, `y` is `[targets, n]`.
    pub fn put(&mut self, x: &[f64], y: &mut [f64]) {
        match self.shape() {
            Shape::Matrix { .. } => {
                y.fill(0.0);
                self.apply::<true>(x, y);
            }
            _ => self.apply::<false>(x, y),
        }
    }

    /// `y += W x` for every column; `x` is `[sources, n]`, `y` is `[targets, n]`.
    pub fn add(&mut self, x: &[f64], y: &mut [f64]) {
        self.apply::<true>(x, y);
    }

    /// `ADD`: to what `y` holds; else over it (not for matrices).
    fn apply<const ADD: bool>(&mut self, x: &[f64], y: &mut [f64]) {
        let (from, to) = (self.from, self.to);
        let n = y.len() / to.max(1);
        let operations = n.saturating_mul(from + to);
        let block = columns_of_piece(from.max(to));
        match self.shape() {
            Shape::Scale(gain) => pieces(y, block * to, operations, |k, y| {
                for (y, x) in y.iter_mut().zip(&x[k * block * from..]) {
                    *y = if ADD { *y + gain * x } else { gain * x };
                }
            }),
            Shape::Sum(value) => pieces(y, block * to, operations, |k, y| {
                for (y, x) in y.chunks_exact_mut(to).zip(x[k * block * from..].chunks_exact(from)) {
                    let sum = value * total(x);
                    y.iter_mut().for_each(|y| *y = if ADD { *y + sum } else { sum });
                }
            }),
            Shape::Matrix { pool, spread } => self.matrix(x, y, pool, spread),
        }
    }

    fn matrix(&mut self, x: &[f64], y: &mut [f64], pool: bool, spread: bool) {
        let (from, to) = (self.from, self.to);
        let n = y.len() / to.max(1);
        let synapses: &Synapses = &self.synapses;
        let weights = &synapses.weights;
        let (rows, columns) = (weights.rows(), weights.columns());
        let block = columns_of_piece(from.max(to).max(rows).max(columns));
        if pool {
            let map = synapses.pool;
            pieces(&mut self.pooled[..columns * n], block * columns, n * from, |k, pooled| {
                pooled.fill(0.0);
                for (p, x) in pooled.chunks_exact_mut(columns).zip(x[k * block * from..].chunks_exact(from)) {
                    fold(map, p, x);
                }
            });
        }
        let source = if pool { &self.pooled[..columns * n] } else { x };
        let multiply = |k: usize, out: &mut [f64], keep: f64| {
            let width = out.len() / rows;
            let x = &source[k * block * columns..][..width * columns];
            match weights {
                Weights::Dense(w) => {
                    gemm_into(out, 1.0, Operand::of(w), Operand::from_columns(x, columns, width), keep);
                }
                Weights::Identity { gain, .. } => {
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = keep * *out + gain * x;
                    }
                }
                Weights::Constant { .. } => unreachable!("constants are sums"),
            }
        };
        let operations = n.saturating_mul(2 * rows * columns.min(rows.max(16)));
        if !spread {
            pieces(y, block * rows, operations, |k, out| multiply(k, out, 1.0));
            return;
        }
        pieces(&mut self.rows[..rows * n], block * rows, operations, |k, out| {
            if matches!(weights, Weights::Identity { .. }) {
                out.fill(0.0);
            }
            multiply(k, out, 0.0);
        });
        let (map, results) = (synapses.onto, &self.rows);
        pieces(y, block * to, n * to, |k, y| {
            for (y, r) in y.chunks_exact_mut(to).zip(results[k * block * rows..].chunks_exact(rows)) {
                unfold(map, y, r);
            }
        });
    }
}

/// Sum of a column, in four lanes.
fn total(x: &[f64]) -> f64 {
    let (chunks, rest) = x.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for chunk in chunks {
        for (l, x) in lanes.iter_mut().zip(chunk) {
            *l += x;
        }
    }
    lanes[0] + lanes[1] + (lanes[2] + lanes[3]) + rest.iter().sum::<f64>()
}

/// Adds the cells of one column up to the columns of the matrix that they share.
fn fold(map: AxisMap, pooled: &mut [f64], x: &[f64]) {
    match map {
        AxisMap::All => pooled.copy_from_slice(x),
        AxisMap::Cells { cells } => {
            for microcolumn in x.chunks_exact(cells) {
                for (p, x) in pooled.iter_mut().zip(microcolumn) {
                    *p += x;
                }
            }
        }
        AxisMap::Microcolumns { cells } => {
            for (p, microcolumn) in pooled.iter_mut().zip(x.chunks_exact(cells)) {
                *p += microcolumn.iter().sum::<f64>();
            }
        }
    }
}

/// Adds the row that each cell addresses to the cell.
fn unfold(map: AxisMap, y: &mut [f64], rows: &[f64]) {
    match map {
        AxisMap::All => y.iter_mut().zip(rows).for_each(|(y, r)| *y += r),
        AxisMap::Cells { cells } => {
            for microcolumn in y.chunks_exact_mut(cells) {
                microcolumn.iter_mut().zip(rows).for_each(|(y, r)| *y += r);
            }
        }
        AxisMap::Microcolumns { cells } => {
            for (microcolumn, r) in y.chunks_exact_mut(cells).zip(rows) {
                microcolumn.iter_mut().for_each(|y| *y += r);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    #[test]
    fn every_shorthand_is_its_full_matrix() {
        let (microcolumns, cells) = (3, 4);
        let n = 7;
        let size = microcolumns * cells;
        let maps = [AxisMap::All, AxisMap::Cells { cells }, AxisMap::Microcolumns { cells }];
        let length = |map| match map {
            AxisMap::All => size,
            AxisMap::Cells { .. } => cells,
            AxisMap::Microcolumns { .. } => microcolumns,
        };
        for onto in maps {
            for pool in maps {
                let (rows, columns) = (length(onto), length(pool));
                let dense = DMatrix::from_fn(rows, columns, |i, j| ((i * 5 + j * 3) % 7) as f64 - 3.0);
                let mut kinds = vec![Weights::Dense(dense), Weights::Constant { rows, columns, value: -0.5 }];
                if rows == columns {
                    kinds.push(Weights::Identity { n: rows, gain: 2.0 });
                }
                for weights in kinds {
                    let synapses = Synapses { weights, onto, pool };
                    let x = DMatrix::from_fn(size, n, |i, j| ((i * 7 + j * 11) % 13) as f64 - 6.0);
                    let start = DMatrix::from_element(size, n, 0.25);
                    let want = &start + synapses.full(size, size) * &x;
                    let mut got = start.clone();
                    let mut product = Product::new(Cow::Borrowed(&synapses), size, size, n);
                    product.add(x.as_slice(), got.as_mut_slice());
                    assert!((&got - &want).amax() < 1e-12, "{onto:?} {pool:?} {synapses:?}");
                    // A second time: the room that it works in holds old numbers.
                    let mut again = start.clone();
                    product.add(x.as_slice(), again.as_mut_slice());
                    assert_eq!(got, again);
                }
            }
        }
    }
}
