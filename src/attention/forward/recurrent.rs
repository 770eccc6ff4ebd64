//! Memories token by token: gated ones, and any other that is small.
//!
//! delta: `M_t = M_{t-1} + diag(b_t) (v_t - M_{t-1} k_t) k_t^T` (Widrow & Hoff 1960; Schlag et al. 2021,
//! arXiv 2102.11174); gated: `M_t = diag(g_t) M_{t-1} + v_t k_t^T`, or with the gains on the columns; plain:
//! `M_t = g M_{t-1} + v_t k_t^T`. A token writes and reads in one sweep over the memory.

use super::View;
use crate::attention::{GateSide, Mask};
use crate::linalg::Real;
use multiversion::multiversion;
use multiversion::target::target_cfg_f;

/// Bytes of a memory that a token may sweep over where chunks of tokens would do.
const SMALL: usize = 8192;

/// Whether a memory of that many numbers is faster token by token than in chunks.
pub(in crate::attention) fn is_small<T>(numbers: usize) -> bool {
    numbers * size_of::<T>() <= SMALL
}

/// How a token changes the memory.
#[derive(Clone, Copy)]
pub(in crate::attention) enum Rule<T> {
    Plain(T),
    Delta,
    Gated(GateSide),
}

/// What one token writes and asks, and how the memory fades.
#[derive(Clone, Copy)]
struct Token<'a, T> {
    key: &'a [T],
    query: &'a [T],
    value: &'a [T],
    rates: &'a [T],
    scale: T,
    mask: Mask,
    rule: Rule<T>,
    /// whether the processor multiplies and adds in one
    fused: bool,
    /// a second memory that is read and not written, or nothing
    base: &'a [T],
}

impl<T: Real> Token<'_, T> {
    /// `sum + x y`.
    #[inline(always)]
    fn add(&self, sum: T, x: T, y: T) -> T {
        if self.fused { x.mul_add(y, sum) } else { sum + x * y }
    }
}

/// Read-outs `[d_v, n]` (nothing with a full mask); `memory` moves on. `rates` is `[1 or rows, n]`. Beside it tokens read
/// from `base`, a memory that stands still, if it is not empty.
pub(in crate::attention) fn scan<T: Real>(
    x: View<'_, T>,
    mask: Mask,
    rule: Rule<T>,
    rates: &[T],
    base: &[T],
    memory: &mut [T],
    out: &mut [T],
) {
    let (d_v, n) = x.values.shape();
    if d_v > 0 && n > 0 {
        walk(x, mask, rule, rates, base, memory, out);
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn walk<T: Real>(
    x: View<'_, T>,
    mask: Mask,
    rule: Rule<T>,
    rates: &[T],
    base: &[T],
    memory: &mut [T],
    out: &mut [T],
) {
    let fused = target_cfg_f!(target_feature = "fma");
    if base.is_empty() {
        steps::<T, false>(x, mask, rule, rates, base, memory, out, fused);
    } else {
        steps::<T, true>(x, mask, rule, rates, base, memory, out, fused);
    }
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn steps<T: Real, const BASE: bool>(
    x: View<'_, T>,
    mask: Mask,
    rule: Rule<T>,
    rates: &[T],
    base: &[T],
    memory: &mut [T],
    out: &mut [T],
    fused: bool,
) {
    let (d_v, n) = x.values.shape();
    let n_rates = rates.len() / n;
    for step in 0..n {
        let t = if x.backwards { n - 1 - step } else { step };
        let (key, value) = (x.keys.column(t), x.values.column(t));
        let query = if mask == Mask::Full { key } else { x.queries.column(t) };
        let out: &mut [T] = if mask == Mask::Full { &mut [] } else { &mut out[t * d_v..(t + 1) * d_v] };
        let rates = &rates[t * n_rates..(t + 1) * n_rates];
        let token = Token { key, query, value, rates, scale: x.scale, mask, rule, fused, base };
        // Rows that fit in the registers while the token goes over their columns.
        let mut row = 0;
        while size_of::<T>() < size_of::<f64>() && row + 16 <= d_v {
            rows::<T, 16, BASE>(token, row, memory, out);
            row += 16;
        }
        while row + 8 <= d_v {
            rows::<T, 8, BASE>(token, row, memory, out);
            row += 8;
        }
        while row + 4 <= d_v {
            rows::<T, 4, BASE>(token, row, memory, out);
            row += 4;
        }
        while row < d_v {
            rows::<T, 1, BASE>(token, row, memory, out);
            row += 1;
        }
    }
}

/// One token on `R` rows from `row` on: no row of a memory knows of another.
#[inline(always)]
fn rows<T: Real, const R: usize, const BASE: bool>(
    x: Token<'_, T>,
    row: usize,
    memory: &mut [T],
    out: &mut [T],
) {
    let d_v = x.value.len();
    let Some(value) = x.value[row..].first_chunk::<R>() else { return };
    let mut written = *value;
    if let Rule::Delta = x.rule {
        let mut recalled = [T::zero(); R];
        if BASE {
            // A sum of its own, which does not wait for the other.
            let mut still = [T::zero(); R];
            let both = memory.chunks_exact(d_v).zip(x.base.chunks_exact(d_v));
            for ((column, base), k) in both.zip(x.key) {
                let Some(m) = column[row..].first_chunk::<R>() else { return };
                let Some(s) = base[row..].first_chunk::<R>() else { return };
                for a in 0..R {
                    recalled[a] = x.add(recalled[a], m[a], *k);
                }
                for a in 0..R {
                    still[a] = x.add(still[a], s[a], *k);
                }
            }
            for a in 0..R {
                written[a] -= still[a];
            }
        } else {
            for (column, k) in memory.chunks_exact(d_v).zip(x.key) {
                let Some(m) = column[row..].first_chunk::<R>() else { return };
                for a in 0..R {
                    recalled[a] = x.add(recalled[a], m[a], *k);
                }
            }
        }
        for a in 0..R {
            written[a] = x.rates[if x.rates.len() == 1 { 0 } else { row + a }] * (written[a] - recalled[a]);
        }
    }
    let gains: [T; R] = match x.rule {
        Rule::Gated(GateSide::Value) if x.rates.len() > 1 => {
            x.rates[row..].first_chunk::<R>().map_or([T::one(); R], |gains| *gains)
        }
        _ => [T::one(); R],
    };
    let out: &mut [T] = if x.mask == Mask::Full { &mut [] } else { &mut out[row..row + R] };
    match x.rule {
        Rule::Plain(g) if g == T::one() => sweep::<T, R, BASE>(x, row, &written, memory, out, |_, _, m| m),
        Rule::Plain(g) => sweep::<T, R, BASE>(x, row, &written, memory, out, |_, _, m| m * g),
        Rule::Delta => sweep::<T, R, BASE>(x, row, &written, memory, out, |_, _, m| m),
        Rule::Gated(GateSide::Value) if x.rates.len() > 1 => {
            sweep::<T, R, BASE>(x, row, &written, memory, out, |a, _, m| m * gains[a]);
        }
        Rule::Gated(_) => {
            let wide = x.rates.len() > 1;
            sweep::<T, R, BASE>(x, row, &written, memory, out, |_, b, m| {
                m * x.rates[if wide { b } else { 0 }]
            });
        }
    }
}

/// One token; `fade(a, b, m)` is what is left of the number in row `a` and column `b`.
#[inline(always)]
fn sweep<T: Real, const R: usize, const BASE: bool>(
    x: Token<'_, T>,
    row: usize,
    written: &[T; R],
    memory: &mut [T],
    out: &mut [T],
    fade: impl Fn(usize, usize, T) -> T,
) {
    let d_v = x.value.len();
    let (mut read, mut still) = ([T::zero(); R], [T::zero(); R]);
    let mut base = x.base.chunks_exact(d_v);
    for (b, column) in memory.chunks_exact_mut(d_v).enumerate() {
        let (k, q) = (x.key[b], x.query[b]);
        let Some(part) = column[row..].first_chunk_mut::<R>() else { return };
        // One short loop for each result: so they vectorise.
        let mut m = *part;
        if x.mask == Mask::Strict {
            for a in 0..R {
                read[a] = x.add(read[a], m[a], q);
            }
        }
        for a in 0..R {
            m[a] = x.add(fade(a, b, m[a]), written[a], k);
        }
        if x.mask == Mask::Causal {
            for a in 0..R {
                read[a] = x.add(read[a], m[a], q);
            }
        }
        *part = m;
        if BASE && x.mask != Mask::Full {
            let Some(m) = base.next().and_then(|column| column[row..].first_chunk::<R>()) else { return };
            for a in 0..R {
                still[a] = x.add(still[a], m[a], q);
            }
        }
    }
    if BASE {
        for a in 0..R {
            read[a] += still[a];
        }
    }
    if let Some(out) = out.first_chunk_mut::<R>() {
        *out = read.map(|u| u * x.scale);
    }
}
