//! Back through linear and feature heads: two states, cost linear in the number of tokens.
//!
//! With `u_i = M_i q_i`, `M_t = g M_{t-1} + v_t k_t^T` and `e_i = dL/du_i`, the adjoint state runs the other way,
//! `R_t = g R_{t+1} + e_t q_t^T` (indices for the causal mask), and
//!
//! ```text
//! dL/dq_i = M_i^T e_i     dL/dv_j = R_j k_j     dL/dk_j = R_j^T v_j
//! ```
//!
//! Small memories of causal and strict heads go token by token. Others run in chunks like the forward pass: forwards for
//! `M` (queries, and the pairs within a chunk), then backwards for `R`. The derivative by the decay is carried forwards
//! as `D = dM/dg`, so that it is a sum of small terms and not a difference of large ones.

use super::Back;
use super::maps::{dot, outer};
use crate::attention::Mask;
use crate::attention::forward::View;
use crate::attention::forward::blocks::{for_each_block, powers};
use crate::attention::forward::inputs::Inputs;
use crate::attention::forward::recurrent::{self, Rule};
use crate::linalg::{Operand, Real, count, gemm_into, real};
use nalgebra::DMatrix;

/// Derivatives by keys, queries, values and decay, from `d_read = dL/du` `[value rows, n_query]`.
pub(super) fn backward<T: Real>(
    x: &Inputs<T>,
    d_read: &DMatrix<T>,
    mask: Mask,
    decay: Option<T>,
    parallel: bool,
) -> Back<T> {
    match mask {
        Mask::Full => full(x, d_read, decay, parallel),
        _ if decay.is_none() && recurrent::is_small::<T>(x.values.nrows() * x.keys.nrows()) => {
            swept(x, d_read, mask)
        }
        Mask::Causal => chunked(x, d_read, decay, 0),
        Mask::Strict => chunked(x, d_read, decay, 1),
    }
}

/// Small memories, token by token. Each of the three derivatives is a read-out of a memory of its own:
/// `dL/dq_i = (sum_j k_j v_j^T) e_i` over what `i` sees, `dL/dv_j = (sum_i e_i q_i^T) k_j` and
/// `dL/dk_j = (sum_i q_i e_i^T) v_j` over those who see `j`, from the last token to the first.
fn swept<T: Real>(x: &Inputs<T>, d_read: &DMatrix<T>, mask: Mask) -> Back<T> {
    let mut back = Back::zeros(x);
    let [k, q, v, e] = [&x.keys, &x.queries, &x.values, d_read].map(Operand::of);
    let mut memory = vec![T::zero(); k.shape().0 * v.shape().0];
    let all = [
        (v, e, k, false, &mut back.queries),
        (q, k, e, true, &mut back.values),
        (e, v, q, true, &mut back.keys),
    ];
    for (keys, queries, values, backwards, out) in all {
        memory.fill(T::zero());
        let view = View { queries, keys, values, scale: T::one(), backwards };
        let out = out.as_mut_slice();
        recurrent::scan(view, mask, Rule::Plain(T::one()), &[], &mut memory, out);
    }
    back
}

/// `M = sum_j g^(N-1-j) v_j k_j^T`, `R = sum_i e_i q_i^T`.
fn full<T: Real>(x: &Inputs<T>, d_read: &DMatrix<T>, decay: Option<T>, parallel: bool) -> Back<T> {
    let (d_k, n) = x.keys.shape();
    let mut back = Back::zeros(x);
    let weights = if decay.is_some() { powers(decay, n) } else { Vec::new() };
    let memory = if decay.is_some() {
        let faded = DMatrix::from_fn(d_k, n, |b, j| x.keys[(b, j)] * weights[n - 1 - j]);
        outer(Operand::of(&x.values), Operand::of(&faded), parallel)
    } else {
        outer(Operand::of(&x.values), Operand::of(&x.keys), parallel)
    };
    let adjoint = outer(Operand::of(d_read), Operand::of(&x.queries), parallel);
    let multiply = |out: &mut DMatrix<T>, m: Operand<'_, T>, x: &DMatrix<T>, fades: bool| {
        let rows = out.nrows();
        for_each_block(out, parallel, |first, block| {
            let x = Operand::columns(x, first, block.len() / rows);
            gemm_into(block, T::one(), m, x, T::zero());
            if fades {
                for (j, token) in block.chunks_exact_mut(rows).enumerate() {
                    scale(token, weights[n - 1 - first - j]);
                }
            }
        });
    };
    multiply(&mut back.queries, Operand::of(&memory).t(), d_read, false);
    multiply(&mut back.values, Operand::of(&adjoint), &x.keys, decay.is_some());
    multiply(&mut back.keys, Operand::of(&adjoint).t(), &x.values, decay.is_some());
    if let Some(g) = decay {
        let mut sum = T::zero();
        for j in 0..n {
            let along = dot(x.keys.column(j).as_slice(), back.keys.column(j).as_slice());
            sum += real::<T>(count(n - 1 - j)) * along;
        }
        back.decay = sum / g;
    }
    back
}

/// Causal (`lag` 0) and strict (`lag` 1) heads.
fn chunked<T: Real>(x: &Inputs<T>, d_read: &DMatrix<T>, decay: Option<T>, lag: usize) -> Back<T> {
    let (rows, d_k, n) = (x.values.nrows(), x.keys.nrows(), x.keys.ncols());
    let mut back = Back::zeros(x);
    if rows == 0 || d_k == 0 || n == 0 {
        return back;
    }
    let size = d_k.max(rows).clamp(32, 64).min(n);
    let mut sweep = Sweep {
        x,
        d_read,
        lag,
        fade: decay.map(|g| (g, powers(decay, size))),
        size,
        room: Room::new(x, size),
    };
    for first in (0..n).step_by(size) {
        sweep.forwards(first, &mut back);
    }
    sweep.room.state.fill(T::zero());
    for first in (0..n).step_by(size).rev() {
        sweep.backwards(first, &mut back);
    }
    back
}

/// One pass over the chunks.
struct Sweep<'a, T: Real> {
    x: &'a Inputs<T>,
    d_read: &'a DMatrix<T>,
    lag: usize,
    /// the decay and its powers `g^0 .. g^size`
    fade: Option<(T, Vec<T>)>,
    size: usize,
    room: Room<T>,
}

/// Memory of a sweep: two states and a few chunks.
struct Room<T> {
    /// `M` before the chunk, then `R` after it: `[rows, d_k]`
    state: Vec<T>,
    /// `dM/dg`
    slope: Vec<T>,
    /// `[context, query]` of a chunk: scores, and `v_j . e_i`
    scores: Vec<T>,
    gains: Vec<T>,
    /// one chunk of keys, queries or values, faded
    faded: Vec<T>,
    product: Vec<T>,
}

impl<T: Real> Room<T> {
    fn new(x: &Inputs<T>, size: usize) -> Self {
        let (rows, d_k) = (x.values.nrows(), x.keys.nrows());
        let zeros = |n| vec![T::zero(); n];
        let wide = rows.max(d_k) * size;
        Self {
            state: zeros(rows * d_k),
            slope: zeros(rows * d_k),
            scores: zeros(size * size),
            gains: zeros(size * size),
            faded: zeros(wide),
            product: zeros(wide),
        }
    }
}

impl<T: Real> Sweep<'_, T> {
    /// Queries, the pairs within the chunk, and the decay; then `M` moves on.
    fn forwards(&mut self, first: usize, back: &mut Back<T>) {
        let (rows, d_k, n) = (self.x.values.nrows(), self.x.keys.nrows(), self.x.keys.ncols());
        let (one, lag) = (T::one(), self.lag);
        let count = self.size.min(n - first);
        let [keys, queries, values, read] = chunk(self.x, self.d_read, first, count);
        let Room { state, slope, scores, gains, faded, product } = &mut self.room;
        let memory = Operand::from_columns(state, rows, d_k);
        let d_queries = &mut back.queries.as_mut_slice()[first * d_k..(first + count) * d_k];

        // Earlier chunks: u_i = g^(i + 1 - lag) M q_i.
        match &self.fade {
            _ if first == 0 => {}
            None => gemm_into(d_queries, one, memory.t(), read, T::zero()),
            Some((g, weights)) => {
                let faded = &mut faded[..rows * count];
                faded.copy_from_slice(&self.d_read.as_slice()[first * rows..(first + count) * rows]);
                fade_tokens(faded, rows, |i| weights[i + 1 - lag]);
                let faded = Operand::from_columns(faded, rows, count);
                gemm_into(d_queries, one, memory.t(), faded, T::zero());
                let product = &mut product[..d_k * count];
                gemm_into(product, one, Operand::from_columns(slope, rows, d_k).t(), faded, T::zero());
                for i in 0..count {
                    let q = self.x.queries.column(first + i);
                    let (q, token) = (q.as_slice(), i * d_k..(i + 1) * d_k);
                    let age = real::<T>(crate::linalg::count(i + 1 - lag));
                    back.decay += age / *g * dot(q, &d_queries[token.clone()]) + dot(q, &product[token]);
                }
            }
        }

        // This chunk: u_i = sum_{j <= i - lag} g^(i - j - lag) (k_j . q_i) v_j.
        let (scores, gains) = (&mut scores[..count * count], &mut gains[..count * count]);
        gemm_into(scores, one, keys.t(), queries, T::zero());
        gemm_into(gains, one, values.t(), read, T::zero());
        for (i, (s, gain)) in scores.chunks_exact_mut(count).zip(gains.chunks_exact_mut(count)).enumerate() {
            let seen = i + 1 - lag;
            s[seen..].fill(T::zero());
            gain[seen..].fill(T::zero());
            if let Some((g, weights)) = &self.fade {
                let mut sum = T::zero();
                for (j, (s, gain)) in s[..seen].iter_mut().zip(&mut gain[..seen]).enumerate() {
                    let age = seen - 1 - j;
                    *s *= weights[age];
                    sum += real::<T>(crate::linalg::count(age)) * *s * *gain;
                    *gain *= weights[age];
                }
                back.decay += sum / *g;
            }
        }
        let scores = Operand::from_columns(scores, count, count);
        let gains = Operand::from_columns(gains, count, count);
        gemm_into(d_queries, one, keys, gains, one);
        let d_keys = &mut back.keys.as_mut_slice()[first * d_k..(first + count) * d_k];
        gemm_into(d_keys, one, queries, gains.t(), T::zero());
        let d_values = &mut back.values.as_mut_slice()[first * rows..(first + count) * rows];
        gemm_into(d_values, one, read, scores.t(), T::zero());

        // The state after this chunk, and its derivative by g.
        if first + count == n {
            return;
        }
        let Some((g, weights)) = &self.fade else {
            gemm_into(state, one, values, keys.t(), one);
            return;
        };
        let age = |j: usize| real::<T>(crate::linalg::count(count - 1 - j));
        let length = real::<T>(crate::linalg::count(count));
        for (d, m) in slope.iter_mut().zip(state.iter()) {
            *d = (*d * *g + length * *m) * weights[count - 1];
        }
        let source = &self.x.keys.as_slice()[first * d_k..(first + count) * d_k];
        let faded = &mut faded[..d_k * count];
        faded.copy_from_slice(source);
        fade_tokens(faded, d_k, |j| weights[count - 1 - j]);
        gemm_into(state, one, values, Operand::from_columns(faded, d_k, count).t(), weights[count]);
        fade_tokens(faded, d_k, |j| age(j) / *g);
        gemm_into(slope, one, values, Operand::from_columns(faded, d_k, count).t(), one);
    }

    /// Keys and values, read by later chunks; then `R` moves back.
    fn backwards(&mut self, first: usize, back: &mut Back<T>) {
        let (rows, d_k, n) = (self.x.values.nrows(), self.x.keys.nrows(), self.x.keys.ncols());
        let one = T::one();
        let count = self.size.min(n - first);
        let [keys, queries, values, read] = chunk(self.x, self.d_read, first, count);
        let Room { state, faded, product, .. } = &mut self.room;
        if first + count < n {
            let adjoint = Operand::from_columns(state, rows, d_k);
            let d_keys = &mut back.keys.as_mut_slice()[first * d_k..(first + count) * d_k];
            let d_values = &mut back.values.as_mut_slice()[first * rows..(first + count) * rows];
            if let Some((_, weights)) = &self.fade {
                let product_k = &mut product[..d_k * count];
                gemm_into(product_k, one, adjoint.t(), values, T::zero());
                add_faded(d_keys, product_k, d_k, |j| weights[count - 1 - j]);
                let product_v = &mut product[..rows * count];
                gemm_into(product_v, one, adjoint, keys, T::zero());
                add_faded(d_values, product_v, rows, |j| weights[count - 1 - j]);
            } else {
                gemm_into(d_keys, one, adjoint.t(), values, one);
                gemm_into(d_values, one, adjoint, keys, one);
            }
        }
        if first == 0 {
            return;
        }
        if let Some((_, weights)) = &self.fade {
            let faded = &mut faded[..rows * count];
            faded.copy_from_slice(&self.d_read.as_slice()[first * rows..(first + count) * rows]);
            fade_tokens(faded, rows, |i| weights[i + 1 - self.lag]);
            gemm_into(state, one, Operand::from_columns(faded, rows, count), queries.t(), weights[count]);
        } else {
            gemm_into(state, one, read, queries.t(), one);
        }
    }
}

/// Keys, queries, values and `dL/du` of one chunk.
fn chunk<'a, T: Real>(
    x: &'a Inputs<T>,
    d_read: &'a DMatrix<T>,
    first: usize,
    count: usize,
) -> [Operand<'a, T>; 4] {
    [&x.keys, &x.queries, &x.values, d_read].map(|m| Operand::columns(m, first, count))
}

fn scale<T: Real>(token: &mut [T], by: T) {
    token.iter_mut().for_each(|x| *x *= by);
}

fn fade_tokens<T: Real>(tokens: &mut [T], rows: usize, weight: impl Fn(usize) -> T) {
    for (i, token) in tokens.chunks_exact_mut(rows).enumerate() {
        scale(token, weight(i));
    }
}

fn add_faded<T: Real>(to: &mut [T], from: &[T], rows: usize, weight: impl Fn(usize) -> T) {
    for (j, (to, from)) in to.chunks_exact_mut(rows).zip(from.chunks_exact(rows)).enumerate() {
        let weight = weight(j);
        for (a, b) in to.iter_mut().zip(from) {
            *a += weight * *b;
        }
    }
}
