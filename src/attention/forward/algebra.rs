//! Linear heads that see every token, as one matrix.
//!
//! A head with a full mask, no division and no decay reads `u_i = scale M q_i` from one memory
//! `M = sum_j v_j k_j^T`, and that is a function of the second moments `C = sum_j x_j x_j^T` of the context tokens:
//!
//! ```text
//! M = W_V C W_K^T + (W_V s) b_K^T + b_V (W_K s)^T + n b_V b_K^T,   s = sum_j x_j
//! y_i += F_h (W_Q x_i + b_Q),   F_h = scale W_O M
//! ```
//!
//! so that all such heads of one query stream are one matrix `A = R + sum_h F_h W_Q` beside the residual path. The
//! result is the same up to rounding; for many tokens it takes half the operations or fewer.

use super::blocks::chunks;
use crate::attention::{Block, FeatureMap, Head, Kernel, Mask, Memory, Normalisation, Streams};
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Columns of a product that one thread makes.
const PANEL: usize = 64;

/// Second moments of the tokens of two streams on one clock.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Moments<T> {
    pub value_stream: String,
    pub key_stream: String,
    /// `C = sum_j x^v_j (x^k_j)^T`, `[d_v_stream, d_k_stream]`
    pub c: Vec<T>,
    /// sums of the tokens of either stream
    pub values: Vec<T>,
    pub keys: Vec<T>,
    pub tokens: usize,
}

/// What the heads do to the tokens of one query stream, with the residual paths from there.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Map<T> {
    pub stream: String,
    /// `[d_model, d_stream]`
    pub matrix: Vec<T>,
}

/// One head.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Part<T> {
    /// index of the head in its block
    pub head: usize,
    pub moments: usize,
    pub map: usize,
    /// `W_V C`, `[d_v, d_k_stream]`
    pub moved: Vec<T>,
    /// `M`, `[d_v, d_k]`
    pub memory: Vec<T>,
    /// `W_O M`, not yet scaled, `[d_model, d_k]`
    pub read: Vec<T>,
}

/// All heads of a block that are one matrix.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Algebra<T> {
    pub moments: Vec<Moments<T>>,
    pub maps: Vec<Map<T>>,
    pub parts: Vec<Part<T>>,
}

/// Whether a head is a matrix on its query tokens.
pub(super) fn applies<T: Real>(head: &Head<T>) -> bool {
    let identity = Kernel::Feature { key: FeatureMap::Identity, query: FeatureMap::Identity };
    head.mask == Mask::Full
        && head.normalisation == Normalisation::None
        && (head.kernel == Kernel::Linear || head.kernel == identity)
        && matches!(head.memory, Memory::None | Memory::Hebbian)
}

/// Whether the algebra of all heads that allow it takes fewer operations than going token by token.
///
/// Never in single precision: second moments square what they are made of, and where heads cancel each other their rounding
/// is seen in the output (2e-5 of it where token by token stays below 1e-5).
pub(in crate::attention) fn pays<T: Real>(block: &Block<T>, streams: &Streams<T>) -> bool {
    if size_of::<T>() < size_of::<f64>() {
        return false;
    }
    let tokens = |name: &str| streams.get(name).map_or(0, DMatrix::ncols);
    let (mut by_tokens, mut by_algebra) = (0, 0);
    let mut seen: Vec<[&str; 2]> = Vec::new();
    for h in block.heads.iter().filter(|h| applies(h)) {
        let (n_q, n_c) = (tokens(&h.query_stream), tokens(&h.context_stream));
        let (d_k, d_v) = (h.d_key(), h.d_value());
        by_tokens += n_q * (h.w_q.len() + h.w_o.len() + d_k * d_v);
        by_tokens += n_c * (h.w_k.len() + h.w_v.len() + d_k * d_v);
        by_algebra += (d_v + block.d_model) * (d_k + h.w_k.ncols()) + h.w_v.len() * h.w_k.ncols();
        by_algebra += block.d_model * (d_v * d_k + h.w_q.len());
        if !seen.contains(&[&h.value_stream, &h.context_stream]) {
            seen.push([&h.value_stream, &h.context_stream]);
            by_algebra += n_c * h.w_v.ncols() * h.w_k.ncols();
        }
        if !seen.contains(&[&h.query_stream, ""]) {
            seen.push([&h.query_stream, ""]);
            by_algebra += n_q * block.d_model * h.w_q.ncols();
        }
    }
    by_algebra < by_tokens
}

impl<T: Real> Moments<T> {
    fn compute(&mut self, streams: &Streams<T>, parallel: bool) {
        let (v, k) = (&streams[&self.value_stream], &streams[&self.key_stream]);
        let (rows, n) = v.shape();
        let columns = k.nrows();
        self.tokens = n;
        self.c.resize(rows * columns, T::zero());
        let same = self.value_stream == self.key_stream;
        chunks(&mut self.c, rows, PANEL, parallel, |first, panel| {
            let count = panel.len() / rows;
            let right = Operand::of(k).rows(first, count).t();
            if !same {
                gemm_into(panel, T::one(), Operand::of(v), right, T::zero());
                return;
            }
            // Symmetric: the rows above the panel are those of another one.
            let height = rows - first;
            let mut lower = vec![T::zero(); height * count];
            gemm_into(&mut lower, T::one(), Operand::of(v).rows(first, height), right, T::zero());
            for (to, from) in panel.chunks_exact_mut(rows).zip(lower.chunks_exact(height)) {
                to[first..].copy_from_slice(from);
            }
        });
        if same {
            for i in 0..rows {
                for j in i + 1..rows {
                    self.c[j * rows + i] = self.c[i * rows + j];
                }
            }
        }
        sum_columns(v, &mut self.values);
        sum_columns(k, &mut self.keys);
    }
}

fn sum_columns<T: Real>(x: &DMatrix<T>, sum: &mut Vec<T>) {
    sum.clear();
    sum.resize(x.nrows(), T::zero());
    for token in x.as_slice().chunks_exact(x.nrows().max(1)) {
        sum.iter_mut().zip(token).for_each(|(s, x)| *s += *x);
    }
}

impl<T: Real> Part<T> {
    fn compute(&mut self, head: &Head<T>, moments: &Moments<T>) {
        let (d_k, d_v, d_model) = (head.d_key(), head.d_value(), head.w_o.nrows());
        let (rows, columns) = (head.w_v.ncols(), head.w_k.ncols());
        let one = T::one();
        for (room, size) in
            [(&mut self.moved, d_v * columns), (&mut self.memory, d_v * d_k), (&mut self.read, d_model * d_k)]
        {
            room.clear();
            room.resize(size, T::zero());
        }
        let c = Operand::from_columns(&moments.c, rows, columns);
        gemm_into(&mut self.moved, one, Operand::of(&head.w_v), c, T::zero());
        gemm_into(
            &mut self.memory,
            one,
            Operand::from_columns(&self.moved, d_v, columns),
            Operand::of(&head.w_k).t(),
            T::zero(),
        );
        let n: T = crate::linalg::real(crate::linalg::count(moments.tokens));
        for b in 0..d_k {
            let keys = (0..columns).fold(T::zero(), |sum, x| sum + head.w_k[(b, x)] * moments.keys[x]);
            let keys = keys + n * head.b_k[b];
            for a in 0..d_v {
                self.memory[b * d_v + a] += head.b_v[a] * keys;
            }
        }
        for a in 0..d_v {
            let values = (0..rows).fold(T::zero(), |sum, x| sum + head.w_v[(a, x)] * moments.values[x]);
            for b in 0..d_k {
                self.memory[b * d_v + a] += values * head.b_k[b];
            }
        }
        let memory = Operand::from_columns(&self.memory, d_v, d_k);
        gemm_into(&mut self.read, one, Operand::of(&head.w_o), memory, T::zero());
    }
}

impl<T: Real> Algebra<T> {
    /// Forgets the last block; room is used again.
    pub fn clear(&mut self) {
        self.moments.clear();
        self.maps.clear();
        self.parts.clear();
    }

    /// The matrices of the heads `which` of a block, and what they add to its constant output.
    pub fn compute(
        &mut self,
        block: &Block<T>,
        which: impl Iterator<Item = usize>,
        streams: &Streams<T>,
        bias: &mut [T],
        parallel: bool,
    ) {
        self.clear();
        for h in which {
            let head = &block.heads[h];
            let pair =
                |m: &Moments<T>| m.value_stream == head.value_stream && m.key_stream == head.context_stream;
            let moments = self.moments.iter().position(pair).unwrap_or_else(|| {
                let (value_stream, key_stream) = (head.value_stream.clone(), head.context_stream.clone());
                self.moments.push(Moments { value_stream, key_stream, ..Moments::default() });
                self.moments.len() - 1
            });
            let map = self.maps.iter().position(|m| m.stream == head.query_stream).unwrap_or_else(|| {
                self.maps.push(Map { stream: head.query_stream.clone(), matrix: Vec::new() });
                self.maps.len() - 1
            });
            self.parts.push(Part { head: h, moments, map, ..Part::default() });
        }
        for moments in &mut self.moments {
            moments.compute(streams, parallel);
        }
        let moments = &self.moments;
        let one = |part: &mut Part<T>| part.compute(&block.heads[part.head], &moments[part.moments]);
        if parallel {
            self.parts.par_iter_mut().for_each(one);
        } else {
            self.parts.iter_mut().for_each(one);
        }
        for part in &self.parts {
            let head = &block.heads[part.head];
            let read = Operand::from_columns(&part.read, block.d_model, head.d_key());
            let b_q = Operand::from_columns(head.b_q.as_slice(), head.d_key(), 1);
            gemm_into(bias, head.scale, read, b_q, T::one());
        }
        for (m, map) in self.maps.iter_mut().enumerate() {
            let width = streams[&map.stream].nrows();
            map.matrix.clear();
            map.matrix.resize(block.d_model * width, T::zero());
            for path in block.residual.iter().filter(|path| path.stream == map.stream) {
                map.matrix.iter_mut().zip(path.matrix.as_slice()).for_each(|(a, r)| *a += *r);
            }
            let parts = &self.parts;
            chunks(&mut map.matrix, block.d_model, PANEL, parallel, |first, panel| {
                let count = panel.len() / block.d_model;
                for part in parts.iter().filter(|part| part.map == m) {
                    let head = &block.heads[part.head];
                    let read = Operand::from_columns(&part.read, block.d_model, head.d_key());
                    gemm_into(panel, head.scale, read, Operand::columns(&head.w_q, first, count), T::one());
                }
            });
        }
    }
}
