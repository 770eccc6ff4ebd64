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
use crate::attention::forward::carried::Carried;
use crate::attention::forward::recurrent::{self, Rule};
use crate::attention::forward::spare::Spare;
use crate::linalg::{Operand, Real, count, gemm_into, real};
use nalgebra::DMatrix;

/// Derivatives by keys, scaled queries, values and decay, from `read = dL/du` `[value rows, n_query]`; `divided` where the last
/// row is that of the sum that the others are divided by.
pub(super) fn backward<T: Real>(
    x: View<'_, T>,
    read: Operand<'_, T>,
    mask: Mask,
    decay: Option<T>,
    divided: bool,
    spare: &Spare<T>,
    parallel: bool,
) -> Back<T> {
    let size = x.values.shape().0 * x.keys.shape().0;
    match mask {
        _ if size == 0 || x.keys.shape().1 == 0 => Back::zeros(&x, spare),
        Mask::Full => full(x, read, decay, divided, spare, parallel),
        _ if decay.is_none() && recurrent::is_small::<T>(size) => swept(x, read, mask, spare),
        Mask::Causal => chunked(x, read, decay, 0, spare),
        // Windows have been refused by the forward pass.
        _ => chunked(x, read, decay, 1, spare),
    }
}

/// Small memories, token by token. Each of the three derivatives is a read-out of a memory of its own:
/// `dL/dq_i = (sum_j k_j v_j^T) e_i` over what `i` sees, `dL/dv_j = (sum_i e_i q_i^T) k_j` and
/// `dL/dk_j = (sum_i q_i e_i^T) v_j` over those who see `j`, from the last token to the first.
fn swept<T: Real>(x: View<'_, T>, read: Operand<'_, T>, mask: Mask, spare: &Spare<T>) -> Back<T> {
    let mut back = Back::unset(&x, spare);
    let mut memory = vec![T::zero(); x.keys.shape().0 * x.values.shape().0];
    let (one, mut carried) = (T::one(), Carried::default());
    let all = [
        (x.values, read, x.keys, one, false, &mut back.queries),
        (x.queries, x.keys, read, x.scale, true, &mut back.values),
        (read, x.values, x.queries, x.scale, true, &mut back.keys),
    ];
    for (keys, queries, values, scale, backwards, out) in all {
        memory.fill(T::zero());
        carried.reset();
        let view = View { queries, keys, values, scale, backwards };
        let out = out.as_mut_slice();
        carried.scan(view, mask, Rule::Plain(one), &[], &mut memory, out);
    }
    back
}

/// `M = sum_j g^(N-1-j) v_j k_j^T`, `R = sum_i e_i q_i^T`.
fn full<T: Real>(
    x: View<'_, T>,
    read: Operand<'_, T>,
    decay: Option<T>,
    divided: bool,
    spare: &Spare<T>,
    parallel: bool,
) -> Back<T> {
    let (d_k, n) = x.keys.shape();
    let mut back = Back::unset(&x, spare);
    let weights = if decay.is_some() { powers(decay, n) } else { Vec::new() };
    let memory = if decay.is_some() {
        let faded = DMatrix::from_fn(d_k, n, |b, j| x.keys.column(j)[b] * weights[n - 1 - j]);
        outer(x.values, Operand::of(&faded), spare, parallel)
    } else {
        outer(x.values, x.keys, spare, parallel)
    };
    let mut adjoint = outer(read, x.queries, spare, parallel);
    adjoint *= x.scale;
    let multiply = |out: &mut DMatrix<T>, m: Operand<'_, T>, x: Operand<'_, T>, fades: bool| {
        let rows = out.nrows();
        for_each_block(out, parallel, |first, block| {
            gemm_into(block, T::one(), m, x.cols(first, block.len() / rows), T::zero());
            if fades {
                for (j, token) in block.chunks_exact_mut(rows).enumerate() {
                    scale(token, weights[n - 1 - first - j]);
                }
            }
        });
    };
    multiply(&mut back.queries, Operand::of(&memory).t(), read, false);
    multiply(&mut back.values, Operand::of(&adjoint), x.keys, decay.is_some());
    multiply(&mut back.keys, Operand::of(&adjoint).t(), x.values, decay.is_some());
    if let Some(g) = decay {
        // Longer keys change no read-out that is divided by its sum, so `sum_j k_j . dL/dk_j = 0`: ages may be counted from
        // the middle, which leaves less to cancel.
        let youngest = if divided { -0.5 * count(n - 1) } else { 0.0 };
        let mut sum = 0.0;
        for j in 0..n {
            let d_key = back.keys.column(j);
            let pairs = x.keys.column(j).iter().zip(d_key.iter());
            let along = pairs.fold(0.0, |sum, (k, d)| sum + k.to_f64() * d.to_f64());
            sum += (youngest + count(n - 1 - j)) * along;
        }
        back.decay = real(sum / g.to_f64());
    }
    back
}

/// Causal (`lag` 0) and strict (`lag` 1) heads.
fn chunked<T: Real>(
    x: View<'_, T>,
    read: Operand<'_, T>,
    decay: Option<T>,
    lag: usize,
    spare: &Spare<T>,
) -> Back<T> {
    let (rows, d_k, n) = (x.values.shape().0, x.keys.shape().0, x.keys.shape().1);
    let mut back = Back::unset(&x, spare);
    let size = d_k.max(rows).clamp(32, 64).min(n);
    let fade = decay.map(|g| (g, powers(decay, size)));
    let mut sweep = Sweep { x, read, lag, fade, size, room: Room::new(rows, d_k, size) };
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
    x: View<'a, T>,
    read: Operand<'a, T>,
    lag: usize,
    /// the decay and its powers `g^0 .. g^size`
    fade: Option<(T, Vec<T>)>,
    size: usize,
    room: Room<T>,
}

/// Memory of a sweep: two states and a few chunks.
struct Room<T> {
    /// `M^T` before the chunk, `[d_k, rows]`; on the way back `R` after it, `[rows, d_k]`
    state: Vec<T>,
    /// `dM^T/dg`
    slope: Vec<T>,
    /// `[context, query]` of a chunk: scores, and `v_j . e_i`
    scores: Vec<T>,
    gains: Vec<T>,
    /// one chunk of keys, queries or values, faded
    faded: Vec<T>,
    product: Vec<T>,
}

impl<T: Real> Room<T> {
    fn new(rows: usize, d_k: usize, size: usize) -> Self {
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

impl<'a, T: Real> Sweep<'a, T> {
    /// Queries, the pairs within the chunk, and the decay; then `M` moves on.
    fn forwards(&mut self, first: usize, back: &mut Back<T>) {
        let (rows, d_k, n) = (self.x.values.shape().0, self.x.keys.shape().0, self.x.keys.shape().1);
        let (one, zero, lag, by) = (T::one(), T::zero(), self.lag, self.x.scale);
        let count = self.size.min(n - first);
        let [keys, queries, values, read] = self.chunk(first, count);
        let Room { state, slope, scores, gains, faded, product } = &mut self.room;
        let memory = Operand::from_columns(state, d_k, rows);
        let d_queries = &mut back.queries.as_mut_slice()[first * d_k..(first + count) * d_k];

        // Earlier chunks: u_i = g^(i + 1 - lag) M q_i.
        match &self.fade {
            _ if first == 0 => {}
            None => gemm_into(d_queries, one, memory, read, zero),
            Some((g, weights)) => {
                let faded = fade_tokens(read, faded, |i| weights[i + 1 - lag]);
                gemm_into(d_queries, one, memory, faded, zero);
                let product = &mut product[..d_k * count];
                gemm_into(product, by, Operand::from_columns(slope, d_k, rows), faded, zero);
                for i in 0..count {
                    let (q, token) = (queries.column(i), i * d_k..(i + 1) * d_k);
                    let age = by * real::<T>(crate::linalg::count(i + 1 - lag));
                    back.decay += age / *g * dot(q, &d_queries[token.clone()]) + dot(q, &product[token]);
                }
            }
        }

        // This chunk: u_i = sum_{j <= i - lag} g^(i - j - lag) (k_j . q_i) v_j.
        let (scores, gains) = (&mut scores[..count * count], &mut gains[..count * count]);
        gemm_into(scores, by, keys.t(), queries, zero);
        gemm_into(gains, one, values.t(), read, zero);
        for (i, (s, gain)) in scores.chunks_exact_mut(count).zip(gains.chunks_exact_mut(count)).enumerate() {
            let seen = i + 1 - lag;
            s[seen..].fill(zero);
            gain[seen..].fill(zero);
            if let Some((g, weights)) = &self.fade {
                let mut sum = zero;
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
        gemm_into(d_queries, one, keys, gains, if first == 0 { zero } else { one });
        let d_keys = &mut back.keys.as_mut_slice()[first * d_k..(first + count) * d_k];
        gemm_into(d_keys, by, queries, gains.t(), zero);
        let d_values = &mut back.values.as_mut_slice()[first * rows..(first + count) * rows];
        gemm_into(d_values, one, read, scores.t(), zero);

        // The state after this chunk, and its derivative by g.
        if first + count == n {
            return;
        }
        let Some((g, weights)) = &self.fade else {
            gemm_into(state, one, keys, values.t(), one);
            return;
        };
        let age = |j: usize| real::<T>(crate::linalg::count(count - 1 - j));
        let length = real::<T>(crate::linalg::count(count));
        for (d, m) in slope.iter_mut().zip(state.iter()) {
            *d = (*d * *g + length * *m) * weights[count - 1];
        }
        let passed = fade_tokens(keys, faded, |j| weights[count - 1 - j]);
        gemm_into(state, one, passed, values.t(), weights[count]);
        let aged = fade_tokens(keys, faded, |j| weights[count - 1 - j] * (age(j) / *g));
        gemm_into(slope, one, aged, values.t(), one);
    }

    /// Keys and values, read by later chunks; then `R` moves back.
    fn backwards(&mut self, first: usize, back: &mut Back<T>) {
        let (rows, d_k, n) = (self.x.values.shape().0, self.x.keys.shape().0, self.x.keys.shape().1);
        let (one, by) = (T::one(), self.x.scale);
        let count = self.size.min(n - first);
        let [keys, queries, values, read] = self.chunk(first, count);
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
            let faded = fade_tokens(read, faded, |i| weights[i + 1 - self.lag]);
            gemm_into(state, by, faded, queries.t(), weights[count]);
        } else {
            gemm_into(state, by, read, queries.t(), one);
        }
    }

    /// Keys, queries, values and `dL/du` of one chunk.
    fn chunk(&self, first: usize, count: usize) -> [Operand<'a, T>; 4] {
        [self.x.keys, self.x.queries, self.x.values, self.read].map(|m| m.cols(first, count))
    }
}

fn scale<T: Real>(token: &mut [T], by: T) {
    token.iter_mut().for_each(|x| *x *= by);
}

/// Tokens, each times its weight, in `room`.
fn fade_tokens<'a, T: Real>(
    tokens: Operand<'_, T>,
    room: &'a mut [T],
    weight: impl Fn(usize) -> T,
) -> Operand<'a, T> {
    let (rows, count) = tokens.shape();
    let room = &mut room[..rows * count];
    for (i, token) in room.chunks_exact_mut(rows).enumerate() {
        let weight = weight(i);
        token.iter_mut().zip(tokens.column(i)).for_each(|(to, x)| *to = *x * weight);
    }
    Operand::from_columns(room, rows, count)
}

fn add_faded<T: Real>(to: &mut [T], from: &[T], rows: usize, weight: impl Fn(usize) -> T) {
    for (j, (to, from)) in to.chunks_exact_mut(rows).zip(from.chunks_exact(rows)).enumerate() {
        let weight = weight(j);
        for (a, b) in to.iter_mut().zip(from) {
            *a += weight * *b;
        }
    }
}
