//! Large delta memories in chunks of tokens: the WY form.
//!
//! `M_t = M_{t-1} + diag(b_t) (v_t - M_{t-1} k_t) k_t^T` adds `w_t k_t^T` for every token of a chunk, with
//!
//! ```text
//! w_t = b_t * (v_t - M k_t - sum_{s < t} w_s (k_s . k_t))     M: the memory before the chunk
//! ```
//!
//! so that all but a small triangular system are products of matrices. Source: Bischof & Van Loan 1987 for the form; Yang
//! et al. 2024 (arXiv 2406.06484) for delta memories, there with one rate for all rows.

use super::View;
use super::carried::{State, write};
use super::recurrent::Rule;
use crate::attention::Mask;
use crate::linalg::{Operand, Real, gemm_into};
use multiversion::multiversion;
use multiversion::target::target_cfg_f;

/// Tokens of a chunk.
const CHUNK: usize = 16;

/// Read-outs `[d_v, n]` (nothing with a full mask); `memory` moves on. `rates` is `[1 or d_v, n]`.
pub(super) fn scan<T: Real>(x: View<'_, T>, mask: Mask, rates: &[T], state: &mut State<T>, out: &mut [T]) {
    let (one, zero) = (T::one(), T::zero());
    let (d_v, n) = x.values.shape();
    let d_k = x.keys.shape().0;
    let n_rates = rates.len() / n.max(1);
    if state.trickle(x, mask, Rule::Delta, rates, out) {
        return;
    }
    let State { memory, total, room: [pairs, written, product], .. } = state;
    pairs.resize(CHUNK * CHUNK, zero);
    written.resize(CHUNK * d_v, zero);
    for first in (0..n).step_by(CHUNK) {
        let count = CHUNK.min(n - first);
        let [keys, values] = [x.keys, x.values].map(|m| m.cols(first, count));
        let written = &mut written[..count * d_v];
        for (j, w) in written.chunks_exact_mut(d_v).enumerate() {
            w.copy_from_slice(values.column(j));
        }
        let pairs = &mut pairs[..count * count];
        gemm_into(written, -one, Operand::from_columns(memory, d_v, d_k), keys, one);
        gemm_into(pairs, one, keys.t(), keys, zero);
        solve(written, pairs, &rates[first * n_rates..(first + count) * n_rates], d_v);
        let w = Operand::from_columns(written, d_v, count);
        if mask != Mask::Full {
            let queries = x.queries.cols(first, count);
            let out = &mut out[first * d_v..(first + count) * d_v];
            gemm_into(out, x.scale, Operand::from_columns(memory, d_v, d_k), queries, zero);
            gemm_into(pairs, x.scale, keys.t(), queries, zero);
            for (i, column) in pairs.chunks_exact_mut(count).enumerate() {
                column[i + usize::from(mask == Mask::Causal)..].fill(zero);
            }
            gemm_into(out, one, w, Operand::from_columns(pairs, count, count), one);
        }
        write(memory, total, product, w, keys, &[]);
    }
}

/// From `v_t - M k_t` to `w_t`, token after token; `pairs` holds `k_s . k_t`.
#[multiversion(targets("x86_64+avx2+fma"))]
fn solve<T: Real>(written: &mut [T], pairs: &[T], rates: &[T], d_v: usize) {
    let fused = target_cfg_f!(target_feature = "fma");
    let count = written.len() / d_v;
    for t in 0..count {
        let (before, now) = written.split_at_mut(t * d_v);
        let pairs = &pairs[t * count..][..t];
        let rates = &rates[t * (rates.len() / count)..][..rates.len() / count];
        let mut row = 0;
        while row + 32 <= d_v {
            rows::<T, 32>(before, &mut now[..d_v], pairs, rates, row, fused);
            row += 32;
        }
        while row + 8 <= d_v {
            rows::<T, 8>(before, &mut now[..d_v], pairs, rates, row, fused);
            row += 8;
        }
        while row < d_v {
            rows::<T, 1>(before, &mut now[..d_v], pairs, rates, row, fused);
            row += 1;
        }
    }
}

/// `R` rows of one token, from `row` on.
#[inline(always)]
fn rows<T: Real, const R: usize>(
    before: &[T],
    now: &mut [T],
    pairs: &[T],
    rates: &[T],
    row: usize,
    fused: bool,
) {
    let d_v = now.len();
    let Some(now) = now[row..].first_chunk_mut::<R>() else { return };
    let mut sum = *now;
    for (w, pair) in before.chunks_exact(d_v).zip(pairs) {
        let Some(w) = w[row..].first_chunk::<R>() else { return };
        for a in 0..R {
            sum[a] = if fused { w[a].mul_add(-*pair, sum[a]) } else { sum[a] - w[a] * *pair };
        }
    }
    if let [rate] = rates {
        for x in &mut sum {
            *x *= *rate;
        }
    } else if let Some(rates) = rates[row..].first_chunk::<R>() {
        for a in 0..R {
            sum[a] *= rates[a];
        }
    }
    *now = sum;
}
