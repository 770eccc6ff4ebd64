//! Memories token by token: delta and gated ones, and any other that is small.
//!
//! delta: `M_t = M_{t-1} + diag(b_t) (v_t - M_{t-1} k_t) k_t^T` (Widrow & Hoff 1960; Schlag et al. 2021,
//! arXiv 2102.11174); gated: `M_t = diag(g_t) M_{t-1} + v_t k_t^T`, or with the gains on the columns; plain:
//! `M_t = g M_{t-1} + v_t k_t^T`. A token writes and reads in one sweep over the memory.

use super::View;
use crate::attention::{GateSide, Mask};
use crate::linalg::Real;
use multiversion::multiversion;

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

/// What one token writes and asks: its key, its query times the scale, and what goes along the key.
#[derive(Clone, Copy)]
struct Token<'a, T> {
    key: &'a [T],
    query: &'a [T],
    written: &'a [T],
    scale: T,
    mask: Mask,
}

/// Read-outs `[d_v, n]` (nothing with a full mask); `memory` moves on. `rates` is `[1 or rows, n]`.
pub(in crate::attention) fn scan<T: Real>(
    x: View<'_, T>,
    mask: Mask,
    rule: Rule<T>,
    rates: &[T],
    memory: &mut [T],
    error: &mut Vec<T>,
    out: &mut [T],
) {
    let (d_v, n) = x.values.shape();
    if d_v == 0 || n == 0 {
        return;
    }
    error.resize(d_v, T::zero());
    walk(x, mask, rule, rates, memory, error, out);
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn walk<T: Real>(
    x: View<'_, T>,
    mask: Mask,
    rule: Rule<T>,
    rates: &[T],
    memory: &mut [T],
    error: &mut [T],
    out: &mut [T],
) {
    let (d_v, n) = x.values.shape();
    let n_rates = rates.len() / n;
    for step in 0..n {
        let t = if x.backwards { n - 1 - step } else { step };
        let (key, value) = (x.keys.column(t), x.values.column(t));
        let query = if mask == Mask::Full { key } else { x.queries.column(t) };
        let out: &mut [T] = if mask == Mask::Full { &mut [] } else { &mut out[t * d_v..(t + 1) * d_v] };
        let rates = &rates[t * n_rates..(t + 1) * n_rates];
        let mut token = Token { key, query, written: value, scale: x.scale, mask };
        match rule {
            Rule::Plain(g) if g == T::one() => sweep(memory, token, out, |_, m| m),
            Rule::Plain(g) => sweep(memory, token, out, |_, m| m * g),
            Rule::Delta => {
                error.fill(T::zero());
                for (column, k) in memory.chunks_exact(d_v).zip(key) {
                    error.iter_mut().zip(column).for_each(|(e, m)| *e += *m * *k);
                }
                for (a, (e, v)) in error.iter_mut().zip(value).enumerate() {
                    *e = rates[if n_rates == 1 { 0 } else { a }] * (*v - *e);
                }
                token.written = error;
                sweep(memory, token, out, |_, m| m);
            }
            Rule::Gated(GateSide::Value) if n_rates > 1 => sweep_rows(memory, token, out, rates),
            Rule::Gated(_) => sweep(memory, token, out, |b, m| m * rates[if n_rates == 1 { 0 } else { b }]),
        }
    }
}

/// One token; `fade(b, m)` is what is left of a number in column `b`.
#[inline(always)]
fn sweep<T: Real>(memory: &mut [T], x: Token<'_, T>, out: &mut [T], fade: impl Fn(usize, T) -> T) {
    out.fill(T::zero());
    for (b, column) in memory.chunks_exact_mut(x.written.len()).enumerate() {
        let (k, q) = (x.key[b], x.scale * x.query[b]);
        let numbers = column.iter_mut().zip(x.written);
        match x.mask {
            Mask::Full => numbers.for_each(|(m, w)| *m = fade(b, *m) + *w * k),
            Mask::Causal => numbers.zip(&mut *out).for_each(|((m, w), u)| {
                *m = fade(b, *m) + *w * k;
                *u += *m * q;
            }),
            Mask::Strict => numbers.zip(&mut *out).for_each(|((m, w), u)| {
                *u += *m * q;
                *m = fade(b, *m) + *w * k;
            }),
        }
    }
}

/// The same with a gain for each row.
#[inline(always)]
fn sweep_rows<T: Real>(memory: &mut [T], x: Token<'_, T>, out: &mut [T], gains: &[T]) {
    out.fill(T::zero());
    for (b, column) in memory.chunks_exact_mut(x.written.len()).enumerate() {
        let (k, q) = (x.key[b], x.scale * x.query[b]);
        let numbers = column.iter_mut().zip(x.written).zip(gains);
        match x.mask {
            Mask::Full => numbers.for_each(|((m, w), g)| *m = *m * *g + *w * k),
            Mask::Causal => numbers.zip(&mut *out).for_each(|(((m, w), g), u)| {
                *m = *m * *g + *w * k;
                *u += *m * q;
            }),
            Mask::Strict => numbers.zip(&mut *out).for_each(|(((m, w), g), u)| {
                *u += *m * q;
                *m = *m * *g + *w * k;
            }),
        }
    }
}
