//! What a projection brings to the columns of its target: the matrix, and what becomes of the token indices.
//!
//! Sums over the context come before the matrix, broadcasts after it, so that the product is done once for each
//! column that is really different.

use super::columns::Columns;
use super::pieces::{columns_of_piece, pieces};
use super::product::Product;
use crate::circuit::Synapses;
use crate::vocabulary::Mask;
use std::borrow::Cow;

/// What happens to token indices on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// column for column (also token-aligned: query i to context i)
    Same,
    /// pairs to fewer pairs
    Narrow,
    /// one column to all
    Once,
    /// a token's column to all pairs with that query
    Query,
    /// a token's column to all pairs with that context
    Context,
    /// the sum over the context that a query sees
    Sum(Mask),
}

/// A projection at work.
pub struct Arrival<'a> {
    route: Route,
    from: Columns,
    to: Columns,
    n_from: usize,
    n_to: usize,
    product: Product<'a>,
    /// `[source cells, n]`, sums or chosen pairs
    gathered: Vec<f64>,
    /// `[target cells, n]`, to be broadcast
    arrived: Vec<f64>,
}

/// Numbers that an arrival keeps beside the weights.
pub fn room(route: Route, from: Columns, to: Columns, n_from: usize, n_to: usize) -> usize {
    let (gathered, arrived) = widths(route, from, to);
    // The matrix may need a copy of what it reads and of what it makes.
    let most = (n_from + n_to).saturating_mul(gathered.max(arrived).max(from.count().min(to.count())));
    n_from.saturating_mul(gathered).saturating_add(n_to.saturating_mul(arrived)).saturating_add(most)
}

/// Columns of `gathered` and of `arrived`.
fn widths(route: Route, from: Columns, to: Columns) -> (usize, usize) {
    match route {
        Route::Same => (0, 0),
        Route::Narrow => (to.count(), 0),
        Route::Once | Route::Query | Route::Context => (0, from.count()),
        Route::Sum(_) if collapses(route, from) => (1, 1),
        Route::Sum(_) => (to.count(), 0),
    }
}

/// A full sum over a line is the same for all queries.
fn collapses(route: Route, from: Columns) -> bool {
    matches!((route, from), (Route::Sum(Mask::Full), Columns::Line(_)))
}

impl<'a> Arrival<'a> {
    /// `n_from` and `n_to` are cells of the source and of the target.
    pub fn new(
        route: Route,
        synapses: Cow<'a, Synapses>,
        (from, n_from): (Columns, usize),
        (to, n_to): (Columns, usize),
    ) -> Self {
        let (gathered, arrived) = widths(route, from, to);
        let n = gathered.max(arrived).max(if route == Route::Same { to.count() } else { 0 });
        Self {
            route,
            from,
            to,
            n_from,
            n_to,
            product: Product::new(synapses, n_from, n_to, n),
            gathered: vec![0.0; n_from * gathered],
            arrived: vec![0.0; n_to * arrived],
        }
    }

    /// Takes another matrix of the same shape.
    pub fn replace(&mut self, synapses: Cow<'a, Synapses>) {
        let (gathered, arrived) = widths(self.route, self.from, self.to);
        let n = gathered.max(arrived).max(if self.route == Route::Same { self.to.count() } else { 0 });
        self.product = Product::new(synapses, self.n_from, self.n_to, n);
    }

    /// Writes over `target` `[target cells, columns]` what `source` `[source cells, columns]` sends.
    pub fn put(&mut self, source: &[f64], target: &mut [f64]) {
        if self.route == Route::Same {
            self.product.put(source, target);
        } else {
            target.fill(0.0);
            self.add(source, target);
        }
    }

    /// Adds to `target` `[target cells, columns]` what `source` `[source cells, columns]` sends.
    pub fn add(&mut self, source: &[f64], target: &mut [f64]) {
        match self.route {
            Route::Same => self.product.add(source, target),
            Route::Narrow => {
                self.choose(source);
                self.product.add(&self.gathered, target);
            }
            Route::Sum(mask) => {
                match self.from {
                    Columns::Pairs { .. } => self.sum_pairs(mask, source),
                    _ => self.sum_line(mask, source),
                }
                if self.arrived.is_empty() {
                    self.product.add(&self.gathered, target);
                } else {
                    self.arrived.fill(0.0);
                    self.product.add(&self.gathered, &mut self.arrived);
                    self.broadcast(target, |_| 0);
                }
            }
            Route::Once | Route::Query | Route::Context => {
                self.arrived.fill(0.0);
                self.product.add(source, &mut self.arrived);
                match self.route {
                    Route::Query => self.broadcast(target, |(i, _)| i),
                    Route::Context => self.broadcast(target, |(_, j)| j),
                    _ => self.broadcast(target, |_| 0),
                }
            }
        }
    }

    /// Every column of the target takes the column of `arrived` that `which` says for its query and context.
    fn broadcast(&self, target: &mut [f64], which: impl Fn((usize, usize)) -> usize + Sync) {
        let (n, to, arrived) = (self.n_to, self.to, &self.arrived);
        let block = columns_of_piece(n);
        pieces(target, block * n, self.to.count() * n, |k, target| {
            let (mut i, mut j) = to.locate(k * block);
            for column in target.chunks_exact_mut(n) {
                if let Columns::Pairs { .. } = to {
                    while j >= to.first(i) + to.row(i).len() {
                        (i, j) = (i + 1, to.first(i + 1));
                    }
                }
                let from = &arrived[which((i, j)) * n..][..n];
                column.iter_mut().zip(from).for_each(|(y, x)| *y += x);
                match to {
                    Columns::Pairs { .. } => j += 1,
                    _ => (i, j) = (i + 1, j + 1),
                }
            }
        });
    }

    fn choose(&mut self, source: &[f64]) {
        let (n, from, to) = (self.n_from, self.from, self.to);
        let Columns::Pairs { queries, .. } = to else { return };
        for i in 0..queries {
            let row = to.row(i);
            let first = (from.row(i).start + to.first(i) - from.first(i)) * n;
            self.gathered[row.start * n..row.end * n].copy_from_slice(&source[first..first + row.len() * n]);
        }
    }

    fn sum_pairs(&mut self, mask: Mask, source: &[f64]) {
        let (n, from) = (self.n_from, self.from);
        let Columns::Pairs { contexts, .. } = from else { return };
        pieces(&mut self.gathered, n, from.count() * n, |i, sum| {
            let row = from.row(i);
            let (seen, first) = (mask.seen(i, contexts), from.first(i));
            let column = |j: usize| (row.start + j - first).min(row.end) * n;
            total(sum, &source[column(seen.start.max(first))..column(seen.end.max(first))]);
        });
    }

    fn sum_line(&mut self, mask: Mask, source: &[f64]) {
        let n = self.n_from;
        if mask == Mask::Full {
            if self.gathered.len() == n {
                total(&mut self.gathered, source);
            }
            return;
        }
        if mask.window().is_some() {
            let contexts = source.len() / n;
            pieces(&mut self.gathered, n, source.len(), |i, sum| {
                let seen = mask.seen(i, contexts);
                total(sum, &source[seen.start * n..seen.end * n]);
            });
            return;
        }
        let shift = usize::from(mask == Mask::Strict);
        for i in 0..self.to.count() {
            let (before, rest) = self.gathered.split_at_mut(i * n);
            let sum = &mut rest[..n];
            match i.checked_sub(1) {
                Some(last) => sum.copy_from_slice(&before[last * n..]),
                None => sum.fill(0.0),
            }
            if let Some(j) = i.checked_sub(shift)
                && let Some(x) = source.get(j * n..(j + 1) * n)
            {
                sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
            }
        }
    }
}

/// Sum of all columns.
fn total(sum: &mut [f64], columns: &[f64]) {
    sum.fill(0.0);
    if let [only] = sum {
        *only = columns.iter().sum();
        return;
    }
    match sum.len() {
        4 => total_of::<4>(sum, columns),
        8 => total_of::<8>(sum, columns),
        16 => total_of::<16>(sum, columns),
        n => {
            for column in columns.chunks_exact(n) {
                sum.iter_mut().zip(column).for_each(|(s, x)| *s += x);
            }
        }
    }
}

/// The same in the same order, with the sums in registers.
fn total_of<const N: usize>(sum: &mut [f64], columns: &[f64]) {
    let mut sums = [0.0; N];
    for column in columns.as_chunks::<N>().0 {
        for (s, x) in sums.iter_mut().zip(column) {
            *s += x;
        }
    }
    sum.copy_from_slice(&sums);
}
