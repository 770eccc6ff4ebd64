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
//! No product is longer than the tokens are wide but for `dL/dA` and the last line.

use super::block::Path;
use super::maps::outer;
use super::types::{HeadGradient, MemoryGradient};
use crate::attention::forward::algebra::{Algebra, Moments, Part};
use crate::attention::forward::blocks::chunks;
use crate::attention::{Block, Head, Streams};
use crate::linalg::{Operand, Real, count, gemm, gemm_into, real};
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
struct Share<T: Real> {
    gradient: HeadGradient<T>,
    /// `dL/dM W_K`, `[d_v, width]`
    moved: DMatrix<T>,
    /// `dL/dM b_K` and `(dL/dM)^T b_V`
    values: DVector<T>,
    keys: DVector<T>,
}

/// From `d_output = dL/dY` and its sum over tokens.
pub(super) fn backward<T: Real>(
    block: &Block<T>,
    of: &Algebra<T>,
    streams: &Streams<T>,
    d_output: &DMatrix<T>,
    d_sum: &DVector<T>,
    parallel: bool,
) -> Found<T> {
    let maps: Vec<DMatrix<T>> = of
        .maps
        .iter()
        .map(|m| outer(Operand::of(d_output), Operand::of(&streams[&m.stream]), parallel))
        .collect();
    let one = |part: &Part<T>| {
        share(&block.heads[part.head], part, &of.moments[part.moments], &maps[part.map], d_sum)
    };
    let shares: Vec<Share<T>> =
        if parallel { of.parts.par_iter().map(one).collect() } else { of.parts.iter().map(one).collect() };
    let moments = of.moments.iter().enumerate().map(|(m, moments)| {
        let heads = || {
            of.parts
                .iter()
                .zip(&shares)
                .filter(move |(part, _)| part.moments == m)
                .map(|(part, share)| (&block.heads[part.head], share))
        };
        by_moments(moments, &heads().collect::<Vec<_>>(), parallel)
    });
    let moments = moments.collect();
    let heads = of.parts.iter().zip(shares).map(|(part, share)| (part.head, share.gradient)).collect();
    Found { heads, maps, moments }
}

fn share<T: Real>(
    head: &Head<T>,
    part: &Part<T>,
    moments: &Moments<T>,
    d_map: &DMatrix<T>,
    d_sum: &DVector<T>,
) -> Share<T> {
    let (one, zero) = (T::one(), T::zero());
    let (d_k, d_v, d_model) = (head.d_key(), head.d_value(), head.w_o.nrows());
    let read = Operand::from_columns(&part.read, d_model, d_k);
    let memory = Operand::from_columns(&part.memory, d_v, d_k);
    let moved = Operand::from_columns(&part.moved, d_v, head.w_k.ncols());
    let c = Operand::from_columns(&moments.c, head.w_v.ncols(), head.w_k.ncols());
    let product = |rows: usize, columns: usize, alpha: T, a: Operand<'_, T>, b: Operand<'_, T>| {
        let mut out = DMatrix::zeros(rows, columns);
        gemm_into(out.as_mut_slice(), alpha, a, b, zero);
        out
    };
    let column = |v: &DVector<T>| -> DMatrix<T> { DMatrix::from_column_slice(v.len(), 1, v.as_slice()) };

    let w_q = product(d_k, head.w_q.ncols(), head.scale, read.t(), Operand::of(d_map));
    let b_q = product(d_k, 1, head.scale, read.t(), Operand::of(&column(d_sum)));
    let mut d_fold = product(d_model, d_k, one, Operand::of(d_map), Operand::of(&head.w_q).t());
    d_fold.ger(one, d_sum, &head.b_q, one);
    let scale = part.read.iter().zip(d_fold.iter()).fold(zero, |sum, (a, b)| sum + *a * *b);
    d_fold *= head.scale;
    let w_o = product(d_model, d_v, one, Operand::of(&d_fold), memory.t());
    let mut d_memory = DMatrix::zeros(d_v, d_k);
    gemm(&mut d_memory, one, &head.w_o, true, &d_fold, false, zero);

    // M = W_V C W_K^T + (W_V s_V) b_K^T + b_V (W_K s_K)^T + n b_V b_K^T.
    let n: T = real(count(moments.tokens));
    let sums = |w: &DMatrix<T>, sum: &[T], b: &DVector<T>| w * DVector::from_column_slice(sum) + b * n;
    let values = &d_memory * &head.b_k;
    let keys = d_memory.transpose() * &head.b_v;
    let b_v = &d_memory * sums(&head.w_k, &moments.keys, &head.b_k);
    let b_k = d_memory.transpose() * sums(&head.w_v, &moments.values, &head.b_v);
    let onward = product(d_v, head.w_k.ncols(), one, Operand::of(&d_memory), Operand::of(&head.w_k));
    let mut w_v = product(d_v, head.w_v.ncols(), one, Operand::of(&onward), c.t());
    w_v.ger(one, &values, &DVector::from_column_slice(&moments.values), one);
    let mut w_k = product(d_k, head.w_k.ncols(), one, Operand::of(&d_memory).t(), moved);
    w_k.ger(one, &keys, &DVector::from_column_slice(&moments.keys), one);
    let b_q = b_q.column(0).into_owned();
    let gradient = HeadGradient { w_q, w_k, w_v, w_o, b_q, b_k, b_v, scale, memory: MemoryGradient::None };
    Share { gradient, moved: onward, values, keys }
}

fn by_moments<T: Real>(of: &Moments<T>, heads: &[(&Head<T>, &Share<T>)], parallel: bool) -> ByMoments<T> {
    let (rows, columns) = (of.values.len(), of.keys.len());
    let mut c = DMatrix::zeros(rows, columns);
    let same = of.value_stream == of.key_stream;
    chunks(c.as_mut_slice(), rows, PANEL, parallel, |first, panel| {
        let width = panel.len() / rows;
        for (head, share) in heads {
            let moved = Operand::columns(&share.moved, first, width);
            gemm_into(panel, T::one(), Operand::of(&head.w_v).t(), moved, T::one());
        }
    });
    if same {
        c = &c + c.transpose();
    }
    let mut values = DVector::zeros(rows);
    let mut keys = DVector::zeros(columns);
    for (head, share) in heads {
        values += head.w_v.transpose() * &share.values;
        keys += head.w_k.transpose() * &share.keys;
    }
    if same {
        values += &keys;
    }
    ByMoments { c, values: values.as_slice().to_vec(), keys: keys.as_slice().to_vec() }
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
