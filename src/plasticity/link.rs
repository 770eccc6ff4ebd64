//! Which columns of the source reach which columns of the target, and weight matrices on the way: forwards, backwards,
//! and the sum of outer products.

use crate::circuit::{AxisMap, Weights};
use crate::linalg::{Operand, gemm_into};
use crate::simulate::cells::columns::Columns;
use crate::spec::MaskSpec;
use nalgebra::DMatrix;

/// No column.
const NONE: u32 = u32::MAX;
/// Products of fewer multiplications run as plain loops, which take no room for panels.
const WORTH_PACKING: usize = 40_000;

/// Which source columns reach which target columns.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// column for column
    Same,
    /// target column `t` reads source column `from[t]`
    Spread { from: Vec<u32>, sources: usize },
    /// source column `s` is added to target column `to[s]`, or goes nowhere
    Gather { to: Vec<u32>, targets: usize },
    /// target column `i` reads the source columns that the mask lets it see
    Window { mask: MaskSpec, sources: usize, targets: usize },
    /// the same backwards: source column `i` is added to the target columns that it sees
    Back { mask: MaskSpec, sources: usize, targets: usize },
}

impl Link {
    /// Every target column reads the one whose number `of` gives for its query and context.
    pub fn spread(target: Columns, sources: usize, of: impl Fn(usize, usize) -> usize) -> Self {
        Self::Spread { from: each(target).map(|(i, j)| number(of(i, j))).collect(), sources }
    }

    /// Every source column is added to the one whose number `of` gives for its query and context.
    pub fn gather(source: Columns, targets: usize, of: impl Fn(usize, usize) -> Option<usize>) -> Self {
        Self::Gather { to: each(source).map(|(i, j)| of(i, j).map_or(NONE, number)).collect(), targets }
    }

    /// The link that carries derivatives back.
    pub fn reversed(&self) -> Self {
        match self.clone() {
            Self::Same => Self::Same,
            Self::Spread { from, sources } => Self::Gather { to: from, targets: sources },
            Self::Gather { to, targets } => Self::Spread { from: to, sources: targets },
            Self::Window { mask, sources, targets } => {
                Self::Back { mask, sources: targets, targets: sources }
            }
            Self::Back { mask, sources, targets } => {
                Self::Window { mask, sources: targets, targets: sources }
            }
        }
    }

    /// Columns in which the matrix works: the fewer of both sides.
    fn middle(&self, source: usize, target: usize) -> usize {
        if matches!(self, Self::Spread { .. }) { source } else { target }
    }

    /// `y += ` what the link brings of `x`, both with `n` numbers in a column.
    fn bring(&self, n: usize, x: &[f64], y: &mut [f64]) {
        let add = |y: &mut [f64], x: &[f64]| y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        match self {
            Self::Same => add(y, x),
            Self::Spread { from, .. } => {
                for (y, s) in y.chunks_exact_mut(n).zip(from).filter(|(_, s)| **s != NONE) {
                    add(y, &x[*s as usize * n..][..n]);
                }
            }
            Self::Gather { to, .. } => {
                for (x, t) in x.chunks_exact(n).zip(to).filter(|(_, t)| **t != NONE) {
                    add(&mut y[*t as usize * n..][..n], x);
                }
            }
            Self::Window { mask, sources, targets } => {
                for i in 0..*targets {
                    for j in mask.seen(i, *sources) {
                        add(&mut y[i * n..][..n], &x[j * n..][..n]);
                    }
                }
            }
            Self::Back { mask, sources, targets } => {
                for i in 0..*sources {
                    for j in mask.seen(i, *targets) {
                        add(&mut y[j * n..][..n], &x[i * n..][..n]);
                    }
                }
            }
        }
    }
}

fn number(column: usize) -> u32 {
    u32::try_from(column).unwrap_or(NONE)
}

/// Query and context of every column, in order.
fn each(columns: Columns) -> impl Iterator<Item = (usize, usize)> {
    let (rows, pairs) = match columns {
        Columns::Once => (1, false),
        Columns::Line(n) => (n, false),
        Columns::Pairs { queries, .. } => (queries, true),
    };
    (0..rows).flat_map(move |i| {
        let first = columns.first(i);
        let row = if pairs { first..first + columns.row(i).len() } else { i..i + 1 };
        row.map(move |j| (i, j))
    })
}

/// Room that products work in; grows to what the largest projection needs, then stays.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub gathered: Vec<f64>,
    pub pooled: Vec<f64>,
    pub rows: Vec<f64>,
}

/// The first `n` numbers, zeroed.
pub fn cleared(room: &mut Vec<f64>, n: usize) -> &mut [f64] {
    if room.len() < n {
        room.resize(n, 0.0);
    }
    let room = &mut room[..n];
    room.fill(0.0);
    room
}

/// The way of a projection: its link, and how cells address the rows and columns of its matrix.
#[derive(Clone, Debug)]
pub struct Way {
    pub link: Link,
    pub onto: AxisMap,
    pub pool: AxisMap,
    /// cells of the source and of the target
    pub n_from: usize,
    pub n_to: usize,
    /// their columns
    pub sources: usize,
    pub targets: usize,
}

impl Way {
    /// `y += W x` along the link; `x` is `[n_from, sources]`, `y` is `[n_to, targets]`.
    pub fn forward(&self, w: &Weights, x: &[f64], y: &mut [f64], room: &mut Room) {
        let m = self.link.middle(self.sources, self.targets);
        let Room { gathered, pooled, rows } = room;
        let p = self.arriving(x, m, w.columns(), gathered, pooled);
        let r = cleared(rows, w.rows() * m);
        times(w, p, r);
        if matches!(self.link, Link::Spread { .. }) {
            let wide = if self.onto == AxisMap::All {
                &*r
            } else {
                let wide = cleared(gathered, self.n_to * m);
                unfold(self.onto, r, wide, w.rows(), self.n_to);
                wide
            };
            self.link.bring(self.n_to, wide, y);
        } else {
            unfold(self.onto, r, y, w.rows(), self.n_to);
        }
    }

    /// Backwards: `d_x += W^T d_y` along the link, and `d_w += d_y x^T`, where they are asked for.
    pub fn backward(
        &self,
        w: &Weights,
        x: &[f64],
        d_y: &[f64],
        d_x: Option<&mut [f64]>,
        d_w: Option<&mut DMatrix<f64>>,
        room: &mut Room,
    ) {
        let m = self.link.middle(self.sources, self.targets);
        let spread = matches!(self.link, Link::Spread { .. });
        let (n_rows, n_columns) = (w.rows(), w.columns());
        let Room { gathered, pooled, rows } = room;
        let r = cleared(rows, n_rows * m);
        if spread {
            let narrow = cleared(gathered, self.n_to * m);
            self.link.reversed_bring(self.n_to, d_y, narrow);
            fold(self.onto, narrow, r, n_rows, self.n_to);
        } else {
            fold(self.onto, d_y, r, n_rows, self.n_to);
        }
        if let Some(d_w) = d_w {
            let p = self.arriving(x, m, n_columns, gathered, pooled);
            outer(d_w, r, p);
        }
        if let Some(d_x) = d_x {
            let v = cleared(pooled, n_columns * m);
            times_transposed(w, r, v);
            if spread {
                unfold(self.pool, v, d_x, n_columns, self.n_from);
            } else if self.pool == AxisMap::All {
                self.link.reversed_bring(self.n_from, v, d_x);
            } else {
                let wide = cleared(gathered, self.n_from * m);
                unfold(self.pool, v, wide, n_columns, self.n_from);
                self.link.reversed_bring(self.n_from, wide, d_x);
            }
        }
    }

    /// What the synapses see: sources summed along the link (not spread yet) and pooled, `[columns, m]`.
    pub fn arriving<'r>(
        &self,
        x: &'r [f64],
        m: usize,
        columns: usize,
        gathered: &'r mut Vec<f64>,
        pooled: &'r mut Vec<f64>,
    ) -> &'r [f64] {
        let x = match self.link {
            Link::Same | Link::Spread { .. } => x,
            _ => {
                let sums = cleared(gathered, self.n_from * m);
                self.link.bring(self.n_from, x, sums);
                sums
            }
        };
        if self.pool == AxisMap::All {
            return x;
        }
        let p = cleared(pooled, columns * m);
        fold(self.pool, x, p, columns, self.n_from);
        p
    }

    /// Column of [`Way::arriving`] that the synapses of target column `t` see, and the number of its columns.
    pub fn column_of(&self, t: usize) -> Option<usize> {
        match &self.link {
            Link::Spread { from, .. } => Some(from[t] as usize).filter(|_| from[t] != NONE),
            _ => Some(t),
        }
    }

    pub fn middle(&self) -> usize {
        self.link.middle(self.sources, self.targets)
    }
}

impl Link {
    /// As [`Link::bring`] of the reversed link, without making it.
    fn reversed_bring(&self, n: usize, x: &[f64], y: &mut [f64]) {
        let add = |y: &mut [f64], x: &[f64]| y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        match self {
            Self::Same => add(y, x),
            Self::Spread { from, .. } => {
                for (x, s) in x.chunks_exact(n).zip(from).filter(|(_, s)| **s != NONE) {
                    add(&mut y[*s as usize * n..][..n], x);
                }
            }
            Self::Gather { to, .. } => {
                for (y, t) in y.chunks_exact_mut(n).zip(to).filter(|(_, t)| **t != NONE) {
                    add(y, &x[*t as usize * n..][..n]);
                }
            }
            Self::Window { .. } | Self::Back { .. } => self.reversed().bring(n, x, y),
        }
    }
}

/// Cells to the rows (or columns) of a matrix that they address: shared ones take the sum.
fn fold(map: AxisMap, x: &[f64], out: &mut [f64], size: usize, cells: usize) {
    for (out, x) in out.chunks_exact_mut(size).zip(x.chunks_exact(cells)) {
        match map {
            AxisMap::All => out.iter_mut().zip(x).for_each(|(o, x)| *o += x),
            _ => x.iter().enumerate().for_each(|(c, x)| out[map.of(c)] += x),
        }
    }
}

/// Rows (or columns) of a matrix to the cells that address them.
fn unfold(map: AxisMap, rows: &[f64], y: &mut [f64], size: usize, cells: usize) {
    for (y, r) in y.chunks_exact_mut(cells).zip(rows.chunks_exact(size)) {
        match map {
            AxisMap::All => y.iter_mut().zip(r).for_each(|(y, r)| *y += r),
            _ => y.iter_mut().enumerate().for_each(|(c, y)| *y += r[map.of(c)]),
        }
    }
}

/// `r += W p`, column by column.
fn times(w: &Weights, p: &[f64], r: &mut [f64]) {
    match w {
        Weights::Identity { gain, .. } => r.iter_mut().zip(p).for_each(|(r, p)| *r += gain * p),
        Weights::Constant { rows, columns, value } => {
            for (r, p) in r.chunks_exact_mut(*rows).zip(p.chunks_exact(*columns)) {
                let sum: f64 = p.iter().sum();
                r.iter_mut().for_each(|r| *r += value * sum);
            }
        }
        Weights::Dense(w) => {
            let (rows, columns) = w.shape();
            let m = p.len() / columns.max(1);
            if rows * columns * m >= WORTH_PACKING {
                return gemm_into(r, 1.0, Operand::of(w), Operand::from_columns(p, columns, m), 1.0);
            }
            for (r, p) in r.chunks_exact_mut(rows).zip(p.chunks_exact(columns)) {
                for (w, p) in w.as_slice().chunks_exact(rows).zip(p) {
                    r.iter_mut().zip(w).for_each(|(r, w)| *r += w * p);
                }
            }
        }
    }
}

/// `v += W^T r`, column by column.
fn times_transposed(w: &Weights, r: &[f64], v: &mut [f64]) {
    match w {
        Weights::Identity { .. } => times(w, r, v),
        Weights::Constant { rows, columns, value } => {
            for (v, r) in v.chunks_exact_mut(*columns).zip(r.chunks_exact(*rows)) {
                let sum: f64 = r.iter().sum();
                v.iter_mut().for_each(|v| *v += value * sum);
            }
        }
        Weights::Dense(w) => {
            let (rows, columns) = w.shape();
            let m = r.len() / rows.max(1);
            if rows * columns * m >= WORTH_PACKING {
                return gemm_into(v, 1.0, Operand::of(w).t(), Operand::from_columns(r, rows, m), 1.0);
            }
            for (v, r) in v.chunks_exact_mut(columns).zip(r.chunks_exact(rows)) {
                for (v, w) in v.iter_mut().zip(w.as_slice().chunks_exact(rows)) {
                    *v += w.iter().zip(r).map(|(w, r)| w * r).sum::<f64>();
                }
            }
        }
    }
}

/// `d_w += r p^T`, summed over columns.
fn outer(d_w: &mut DMatrix<f64>, r: &[f64], p: &[f64]) {
    let (rows, columns) = d_w.shape();
    let m = r.len() / rows.max(1);
    if rows * columns * m >= WORTH_PACKING {
        let (r, p) = (Operand::from_columns(r, rows, m), Operand::from_columns(p, columns, m));
        return gemm_into(d_w.as_mut_slice(), 1.0, r, p.t(), 1.0);
    }
    for (r, p) in r.chunks_exact(rows).zip(p.chunks_exact(columns)) {
        for (d, p) in d_w.as_mut_slice().chunks_exact_mut(rows).zip(p) {
            d.iter_mut().zip(r).for_each(|(d, r)| *d += r * p);
        }
    }
}
