//! Back through linear heads that see every token, as one matrix.
//!
//! With `M`, `C`, `s`, `F` of [`mod@crate::attention::forward`]'s `algebra`, `A` the matrix of the heads on one query stream, and
//! `G_i = dL/dy_i`:
//!
//! ```text
//! dL/dA = sum_i G_i x_i^T     dL/dF_h = dL/dA W_Q^T + (sum_i G_i) b_Q^T     dL/dM = W_O^T dL/dF scale
//! dL/dC = sum_h W_V^T dL/dM W_K     dL/dx_j += A^T G_j + dL/dC x_j + (dL/dC)^T x_j
//! ```
//!
//! No product is longer than the tokens are wide but for `dL/dA` and the last line; only those two are in the precision of the
//! block, all others in double precision, as on the way there.

use super::block::Path;
use super::maps::outer;
use super::types::{HeadGradient, MemoryGradient};
use crate::attention::forward::algebra::{Algebra, Moments, Part, Wide};
use crate::attention::forward::blocks::chunks;
use crate::attention::forward::spare::Spare;
use crate::attention::{Block, Head, Streams};
use crate::linalg::{Operand, Real, count, gemm_into, real};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Columns of a product that one thread makes.
const PANEL: usize = 64;

/// Derivatives by all that the heads are made of.
pub(super) struct Found<T: Real> {
    pub heads: BTreeMap<usize, HeadGradient<T>>,
    /// by the matrix of each query stream: also those by its residual paths
    pub maps: Vec<DMatrix<T>>,
    moments: Vec<ByMoments<T>>,
}

/// Derivatives by second moments and sums; where keys and values read one stream, `c` is `dL/dC + (dL/dC)^T`.
struct ByMoments<T: Real> {
    c: DMatrix<T>,
    values: Vec<T>,
    keys: Vec<T>,
}

/// One head's derivatives, and what it asks of its moments.
struct Share<'a, T: Real> {
    gradient: HeadGradient<T>,
    weights: Wide<'a>,
    /// `dL/dM W_K`, `[d_v, width]`
    moved: DMatrix<f64>,
    /// `dL/dM b_K` and `(dL/dM)^T b_V`
    values: DVector<f64>,
    keys: DVector<f64>,
}

/// From `d_output = dL/dY` and its sum over tokens.
pub(super) fn backward<T: Real>(
    block: &Block<T>,
    of: &Algebra<T>,
    streams: &Streams<T>,
    d_output: &DMatrix<T>,
    d_sum: &DVector<T>,
    spare: &Spare<T>,
    parallel: bool,
) -> Found<T> {
    let maps: Vec<DMatrix<T>> = of
        .maps
        .iter()
        .map(|m| outer(Operand::of(d_output), Operand::of(&streams[&m.stream]), spare, parallel))
        .collect();
    let wide: Vec<_> = maps.iter().map(T::wide).collect();
    let d_sum = d_sum.map(Real::to_f64);
    let one = |part: &Part| {
        share(&block.heads[part.head], part, &of.moments[part.moments], &wide[part.map], &d_sum)
    };
    let shares: Vec<Share<'_, T>> =
        if parallel { of.parts.par_iter().map(one).collect() } else { of.parts.iter().map(one).collect() };
    let moments = of.moments.iter().enumerate().map(|(m, moments)| {
        let heads = || {
            of.parts.iter().zip(&shares).filter(move |(part, _)| part.moments == m).map(|(_, share)| share)
        };
        by_moments(moments, &heads().collect::<Vec<_>>(), parallel)
    });
    let moments = moments.collect();
    let heads = of.parts.iter().zip(shares).map(|(part, share)| (part.head, share.gradient)).collect();
    Found { heads, maps, moments }
}

fn share<'a, T: Real>(
    head: &'a Head<T>,
    part: &Part,
    moments: &Moments,
    d_map: &DMatrix<f64>,
    d_sum: &DVector<f64>,
) -> Share<'a, T> {
    let weights = Wide::of(head);
    let [b_q, b_k, b_v] = [&head.b_q, &head.b_k, &head.b_v].map(|b| b.map(Real::to_f64));
    let (scale, n) = (head.scale.to_f64(), count(moments.tokens));
    let (d_k, d_v, d_model) = (head.d_key(), head.d_value(), head.w_o.nrows());
    let read = Operand::from_columns(&part.read, d_model, d_k);
    let memory = Operand::from_columns(&part.memory, d_v, d_k);
    let moved = Operand::from_columns(&part.moved, d_v, head.w_k.ncols());
    let c = Operand::from_columns(&moments.c, head.w_v.ncols(), head.w_k.ncols());
    let product = |rows: usize, columns: usize, alpha: f64, a: Operand<'_, f64>, b: Operand<'_, f64>| {
        let mut out = DMatrix::zeros(rows, columns);
        gemm_into(out.as_mut_slice(), alpha, a, b, 0.0);
        out
    };

    let d_w_q = product(d_k, head.w_q.ncols(), scale, read.t(), Operand::of(d_map));
    let d_b_q = product(d_k, 1, scale, read.t(), Operand::from_columns(d_sum.as_slice(), d_model, 1));
    let mut d_fold = product(d_model, d_k, 1.0, Operand::of(d_map), Operand::of(&weights.w_q).t());
    d_fold.ger(1.0, d_sum, &b_q, 1.0);
    let d_scale = part.read.iter().zip(d_fold.iter()).fold(0.0, |sum, (a, b)| sum + *a * *b);
    d_fold *= scale;
    let d_w_o = product(d_model, d_v, 1.0, Operand::of(&d_fold), memory.t());
    let d_memory = product(d_v, d_k, 1.0, Operand::of(&weights.w_o).t(), Operand::of(&d_fold));

    // M = W_V C W_K^T + (W_V s_V) b_K^T + b_V (W_K s_K)^T + n b_V b_K^T.
    let sums = |w: &DMatrix<f64>, sum: &[f64], b: &DVector<f64>| w * DVector::from_column_slice(sum) + b * n;
    let values = &d_memory * &b_k;
    let keys = d_memory.transpose() * &b_v;
    let d_b_v = &d_memory * sums(&weights.w_k, &moments.keys, &b_k);
    let d_b_k = d_memory.transpose() * sums(&weights.w_v, &moments.values, &b_v);
    let onward = product(d_v, head.w_k.ncols(), 1.0, Operand::of(&d_memory), Operand::of(&weights.w_k));
    let mut d_w_v = product(d_v, head.w_v.ncols(), 1.0, Operand::of(&onward), c.t());
    d_w_v.ger(1.0, &values, &DVector::from_column_slice(&moments.values), 1.0);
    let mut d_w_k = product(d_k, head.w_k.ncols(), 1.0, Operand::of(&d_memory).t(), moved);
    d_w_k.ger(1.0, &keys, &DVector::from_column_slice(&moments.keys), 1.0);
    let gradient = HeadGradient {
        w_q: round(&d_w_q),
        w_k: round(&d_w_k),
        w_v: round(&d_w_v),
        w_o: round(&d_w_o),
        b_q: d_b_q.column(0).map(real),
        b_k: d_b_k.map(real),
        b_v: d_b_v.map(real),
        scale: real(d_scale),
        memory: MemoryGradient::None,
        function: Vec::new(),
        sink: None,
    };
    Share { gradient, weights, moved: onward, values, keys }
}

fn round<T: Real>(m: &DMatrix<f64>) -> DMatrix<T> {
    m.map(real)
}

fn by_moments<T: Real>(of: &Moments, heads: &[&Share<'_, T>], parallel: bool) -> ByMoments<T> {
    let (rows, columns) = (of.values.len(), of.keys.len());
    let mut c = DMatrix::zeros(rows, columns);
    let same = of.value_stream == of.key_stream;
    chunks(c.as_mut_slice(), rows, PANEL, parallel, |first, panel| {
        let width = panel.len() / rows;
        for share in heads {
            let moved = Operand::columns(&share.moved, first, width);
            gemm_into(panel, 1.0, Operand::of(&share.weights.w_v).t(), moved, 1.0);
        }
    });
    if same {
        c = &c + c.transpose();
    }
    let mut values = DVector::zeros(rows);
    let mut keys = DVector::zeros(columns);
    for share in heads {
        values += share.weights.w_v.transpose() * &share.values;
        keys += share.weights.w_k.transpose() * &share.keys;
    }
    if same {
        values += &keys;
    }
    let rounded = |sum: DVector<f64>| sum.iter().map(|x| real(*x)).collect();
    ByMoments { c: round(&c), values: rounded(values), keys: rounded(keys) }
}

impl<T: Real> Found<T> {
    /// How the streams reach the output through the heads and the residual paths beside them.
    pub fn paths<'a>(
        &'a self,
        of: &'a Algebra<T>,
        streams: &'a Streams<T>,
        d_output: &'a DMatrix<T>,
    ) -> Vec<Path<'a, T>> {
        let mut paths = Vec::new();
        for map in &of.maps {
            let width = streams[&map.stream].nrows();
            let weights = Operand::from_columns(&map.matrix, d_output.nrows(), width).t();
            paths.push(Path { stream: &map.stream, weights, d: Operand::of(d_output), constant: None });
        }
        for (moments, d) in of.moments.iter().zip(&self.moments) {
            let (values, keys) = (&streams[&moments.value_stream], &streams[&moments.key_stream]);
            let (stream, constant) = (&moments.value_stream, Some(d.values.as_slice()));
            paths.push(Path { stream, weights: Operand::of(&d.c), d: Operand::of(keys), constant });
            if moments.value_stream != moments.key_stream {
                let (stream, constant) = (&moments.key_stream, Some(d.keys.as_slice()));
                paths.push(Path { stream, weights: Operand::of(&d.c).t(), d: Operand::of(values), constant });
            }
        }
        paths
    }
}
