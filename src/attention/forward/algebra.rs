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
//!
//! Second moments square what they are made of, and where heads cancel each other their rounding would be seen in the
//! output. So in single precision tokens are multiplied in blocks of [`TOKENS`], and what follows, which does not grow with
//! the tokens, is in double precision up to `A`.

use super::blocks::{BLOCK, chunks};
use crate::attention::{Block, FeatureMap, Head, Kernel, Mask, Memory, Normalisation, Streams};
use crate::linalg::{Operand, Real, count, gemm_into, real};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::borrow::Cow;

/// Columns of a product that one thread makes.
const PANEL: usize = 64;

/// Multiplications that the way through second moments has to save at least.
const OVERHEAD: usize = 1 << 15;

/// Tokens whose products are summed in single precision.
const TOKENS: usize = 64;

/// Second moments of the tokens of two streams on one clock.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Moments {
    pub value_stream: String,
    pub key_stream: String,
    /// `C = sum_j x^v_j (x^k_j)^T`, `[d_v_stream, d_k_stream]`
    pub c: Vec<f64>,
    /// sums of the tokens of either stream
    pub values: Vec<f64>,
    pub keys: Vec<f64>,
    pub tokens: usize,
}

/// What the heads do to the tokens of one query stream, with the residual paths from there.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Map<T> {
    pub stream: String,
    /// `[d_model, d_stream]`
    pub matrix: Vec<T>,
    /// the same before it is rounded
    exact: Vec<f64>,
}

/// One head.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Part {
    /// index of the head in its block
    pub head: usize,
    pub moments: usize,
    pub map: usize,
    /// `W_V C`, `[d_v, d_k_stream]`
    pub moved: Vec<f64>,
    /// `M`, `[d_v, d_k]`
    pub memory: Vec<f64>,
    /// `W_O M`, not yet scaled, `[d_model, d_k]`
    pub read: Vec<f64>,
}

/// All heads of a block that are one matrix.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Algebra<T> {
    pub moments: Vec<Moments>,
    pub maps: Vec<Map<T>>,
    pub parts: Vec<Part>,
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
/// The way back, if there will be one, saves twice what the way there does.
pub(in crate::attention) fn pays<T: Real>(block: &Block<T>, streams: &Streams<T>, and_back: bool) -> bool {
    // Operations in double precision count as those of `T` that take as long.
    let slow = size_of::<f64>() / size_of::<T>();
    let tokens = |name: &str| streams.get(name).map_or(0, DMatrix::ncols);
    let (mut by_tokens, mut by_algebra) = (0, 0);
    let mut seen: Vec<[&str; 2]> = Vec::new();
    for h in block.heads.iter().filter(|h| applies(h)) {
        let (n_q, n_c) = (tokens(&h.query_stream), tokens(&h.context_stream));
        let (d_k, d_v) = (h.d_key(), h.d_value());
        by_tokens += n_q * (h.w_q.len() + h.w_o.len() + d_k * d_v);
        by_tokens += n_c * (h.w_k.len() + h.w_v.len() + d_k * d_v);
        by_algebra += slow * (d_v + block.d_model) * (d_k + h.w_k.ncols());
        by_algebra += slow * (h.w_v.len() * h.w_k.ncols() + block.d_model * (d_v * d_k + h.w_q.len()));
        if !seen.contains(&[&h.value_stream, &h.context_stream]) {
            seen.push([&h.value_stream, &h.context_stream]);
            by_algebra += n_c * h.w_v.ncols() * h.w_k.ncols();
        }
        if !seen.contains(&[&h.query_stream, ""]) {
            seen.push([&h.query_stream, ""]);
            by_algebra += n_q * block.d_model * h.w_q.ncols();
        }
    }
    by_algebra + OVERHEAD / if and_back { 3 } else { 1 } < by_tokens
}

impl Moments {
    fn compute<T: Real>(&mut self, streams: &Streams<T>, parallel: bool) {
        let (v, k) = (&streams[&self.value_stream], &streams[&self.key_stream]);
        let (rows, n) = v.shape();
        let columns = k.nrows();
        self.tokens = n;
        self.c.clear();
        self.c.resize(rows * columns, 0.0);
        let same = self.value_stream == self.key_stream;
        let block = if size_of::<T>() < size_of::<f64>() { TOKENS } else { n.max(1) };
        chunks(&mut self.c, rows, PANEL, parallel, |first, panel| {
            let width = panel.len() / rows;
            // Symmetric: the rows above the panel are those of another one.
            let top = if same { first } else { 0 };
            let height = rows - top;
            let mut product = vec![T::zero(); height * width];
            for from in (0..n).step_by(block) {
                let count = block.min(n - from);
                let left = Operand::columns(v, from, count).rows(top, height);
                let right = Operand::columns(k, from, count).rows(first, width).t();
                gemm_into(&mut product, T::one(), left, right, T::zero());
                for (to, from) in panel.chunks_exact_mut(rows).zip(product.chunks_exact(height)) {
                    to[top..].iter_mut().zip(from).for_each(|(sum, x)| *sum += x.to_f64());
                }
            }
        });
        if same {
            for i in 0..rows {
                for j in i + 1..rows {
                    self.c[j * rows + i] = self.c[i * rows + j];
                }
            }
        }
        sum_columns(v, parallel, &mut self.values);
        if same {
            self.keys.clone_from(&self.values);
        } else {
            sum_columns(k, parallel, &mut self.keys);
        }
    }
}

/// Sums of blocks of tokens, added up in their order.
fn sum_columns<T: Real>(x: &DMatrix<T>, parallel: bool, sum: &mut Vec<f64>) {
    let rows = x.nrows().max(1);
    let width = x.ncols().div_ceil(BLOCK);
    let mut parts = vec![0.0; rows * width];
    chunks(&mut parts, rows, 1, parallel, |block, part| {
        for token in x.as_slice().chunks_exact(rows).skip(block * BLOCK).take(BLOCK) {
            part.iter_mut().zip(token).for_each(|(s, x)| *s += x.to_f64());
        }
    });
    sum.clear();
    sum.resize(x.nrows(), 0.0);
    for part in parts.chunks_exact(rows) {
        sum.iter_mut().zip(part).for_each(|(s, x)| *s += x);
    }
}

/// A head's matrices in double precision.
pub(in crate::attention) struct Wide<'a> {
    pub w_q: Cow<'a, DMatrix<f64>>,
    pub w_k: Cow<'a, DMatrix<f64>>,
    pub w_v: Cow<'a, DMatrix<f64>>,
    pub w_o: Cow<'a, DMatrix<f64>>,
}

impl<'a> Wide<'a> {
    pub fn of<T: Real>(head: &'a Head<T>) -> Self {
        let [w_q, w_k, w_v, w_o] = [&head.w_q, &head.w_k, &head.w_v, &head.w_o].map(T::wide);
        Self { w_q, w_k, w_v, w_o }
    }
}

impl Part {
    fn compute<T: Real>(&mut self, head: &Head<T>, wide: &Wide<'_>, moments: &Moments) {
        let (d_k, d_v, d_model) = (head.d_key(), head.d_value(), head.w_o.nrows());
        let (rows, columns) = (head.w_v.ncols(), head.w_k.ncols());
        let (w_k, w_v) = (&wide.w_k, &wide.w_v);
        for (room, size) in
            [(&mut self.moved, d_v * columns), (&mut self.memory, d_v * d_k), (&mut self.read, d_model * d_k)]
        {
            room.clear();
            room.resize(size, 0.0);
        }
        let c = Operand::from_columns(&moments.c, rows, columns);
        gemm_into(&mut self.moved, 1.0, Operand::of(w_v), c, 0.0);
        let moved = Operand::from_columns(&self.moved, d_v, columns);
        gemm_into(&mut self.memory, 1.0, moved, Operand::of(w_k).t(), 0.0);
        let n = count(moments.tokens);
        for b in 0..d_k {
            let keys = (0..columns).fold(0.0, |sum, x| sum + w_k[(b, x)] * moments.keys[x]);
            let keys = keys + n * head.b_k[b].to_f64();
            for a in 0..d_v {
                self.memory[b * d_v + a] += head.b_v[a].to_f64() * keys;
            }
        }
        for a in 0..d_v {
            let values = (0..rows).fold(0.0, |sum, x| sum + w_v[(a, x)] * moments.values[x]);
            for b in 0..d_k {
                self.memory[b * d_v + a] += values * head.b_k[b].to_f64();
            }
        }
        let memory = Operand::from_columns(&self.memory, d_v, d_k);
        gemm_into(&mut self.read, 1.0, Operand::of(&wide.w_o), memory, 0.0);
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
                |m: &Moments| m.value_stream == head.value_stream && m.key_stream == head.context_stream;
            let moments = self.moments.iter().position(pair).unwrap_or_else(|| {
                let (value_stream, key_stream) = (head.value_stream.clone(), head.context_stream.clone());
                self.moments.push(Moments { value_stream, key_stream, ..Moments::default() });
                self.moments.len() - 1
            });
            let map = self.maps.iter().position(|m| m.stream == head.query_stream).unwrap_or_else(|| {
                self.maps.push(Map { stream: head.query_stream.clone(), ..Map::default() });
                self.maps.len() - 1
            });
            self.parts.push(Part { head: h, moments, map, ..Part::default() });
        }
        for moments in &mut self.moments {
            moments.compute(streams, parallel);
        }
        let moments = &self.moments;
        let wide = |part: &Part| Wide::of(&block.heads[part.head]);
        let wides: Vec<Wide<'_>> = if parallel {
            self.parts.par_iter().map(wide).collect()
        } else {
            self.parts.iter().map(wide).collect()
        };
        let one = |(part, wide): (&mut Part, &Wide<'_>)| {
            part.compute(&block.heads[part.head], wide, &moments[part.moments]);
        };
        if parallel {
            self.parts.par_iter_mut().zip(&wides).for_each(one);
        } else {
            self.parts.iter_mut().zip(&wides).for_each(one);
        }
        let mut constant = vec![0.0; block.d_model];
        for part in &self.parts {
            let head = &block.heads[part.head];
            let read = Operand::from_columns(&part.read, block.d_model, head.d_key());
            let b_q: Vec<f64> = head.b_q.iter().map(|x| x.to_f64()).collect();
            let b_q = Operand::from_columns(&b_q, head.d_key(), 1);
            gemm_into(&mut constant, head.scale.to_f64(), read, b_q, 1.0);
        }
        bias.iter_mut().zip(constant).for_each(|(b, c)| *b += real(c));
        for (m, map) in self.maps.iter_mut().enumerate() {
            let width = streams[&map.stream].nrows();
            map.exact.clear();
            map.exact.resize(block.d_model * width, 0.0);
            for path in block.residual.iter().filter(|path| path.stream == map.stream) {
                map.exact.iter_mut().zip(path.matrix.as_slice()).for_each(|(a, r)| *a += r.to_f64());
            }
            let parts = &self.parts;
            chunks(&mut map.exact, block.d_model, PANEL, parallel, |first, panel| {
                let count = panel.len() / block.d_model;
                for (part, wide) in parts.iter().zip(&wides).filter(|(part, _)| part.map == m) {
                    let head = &block.heads[part.head];
                    let read = Operand::from_columns(&part.read, block.d_model, head.d_key());
                    let w_q = Operand::columns(&wide.w_q, first, count);
                    gemm_into(panel, head.scale.to_f64(), read, w_q, 1.0);
                }
            });
            map.matrix.clear();
            map.matrix.extend(map.exact.iter().map(|x| real::<T>(*x)));
        }
    }
}
