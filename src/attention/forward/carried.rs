//! States of memories in single precision, carried in double.
//!
//! A sum of single numbers stands still where it is 2^24 times as large as what is added. So tokens are summed in single
//! precision in blocks, and blocks in double: what memories in double precision are anyway, which do not come here.
//!
//! Memories that go in chunks of tokens ([`add`]) are rounded from the sum after each chunk. Those that go token by token
//! ([`Carried::scan`]) start each block empty and read from two memories, `M = left * base + recent`: the base, which
//! stood when the block began, and the recent one as it grows. Every rule allows that: a fading memory fades its base by
//! factors that are known, and a delta memory, which stores `v_t - M k_t`, stores `(v_t - base k_t) - recent k_t`.

use super::View;
use super::recurrent::{self, Rule};
use crate::attention::{GateSide, Mask};
use crate::linalg::{Operand, Real, gemm_into, real};
use multiversion::multiversion;

/// Tokens of a block: windows and pieces hold whole ones.
const BLOCK: usize = 256;

/// So many tokens at once are too few for products of matrices.
const FEW: usize = 4;

/// Memories of which a block leaves less than that are short: rounding does not add up in them.
const SHORT: f64 = 0.25;

/// Whether numbers of that kind are carried in a wider one.
pub(in crate::attention) const fn is_narrow<T>() -> bool {
    size_of::<T>() < size_of::<f64>()
}

/// `total = fade total + new`; `memory` is the total, rounded.
#[multiversion(targets("x86_64+avx2+fma"))]
pub(in crate::attention) fn add<T: Real>(total: &mut [f64], fade: f64, new: &[T], memory: &mut [T]) {
    for ((sum, x), m) in total.iter_mut().zip(new).zip(memory) {
        *sum = fade * *sum + x.to_f64();
        *m = real(*sum);
    }
}

/// A memory `[value rows, d_k]`, and room to work on it.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct State<T> {
    /// what products read; of a memory that goes token by token, what the last block wrote
    pub memory: Vec<T>,
    /// the sum that `memory` is rounded from, where single numbers go in chunks
    pub total: Vec<f64>,
    pub carried: Carried<T>,
    /// what a few tokens at a time have written since the sum was rounded
    recent: Vec<T>,
    /// how many
    waiting: usize,
    pub room: [Vec<T>; 3],
}

impl<T: Real> State<T> {
    /// Nothing is stored.
    pub fn clear(&mut self) {
        self.memory.clear();
        self.total.clear();
        self.recent.clear();
        self.waiting = 0;
        self.carried.reset();
    }

    /// An empty memory of so many numbers.
    pub fn start(&mut self, numbers: usize, by_tokens: bool) {
        self.memory.resize(numbers, T::zero());
        if is_narrow::<T>() && !by_tokens {
            self.total.resize(numbers, 0.0);
        }
    }

    /// A few tokens past a memory that goes in chunks: one by one into a memory beside it, which joins the sum after a
    /// block. Without that each token would go over sum and memory. Whether it was done.
    pub(super) fn trickle(
        &mut self,
        x: View<'_, T>,
        mask: Mask,
        rule: Rule<T>,
        rates: &[T],
        out: &mut [T],
    ) -> bool {
        let n = x.keys.shape().1;
        let is_few = n <= FEW && mask != Mask::Full && !self.total.is_empty();
        if !is_few || self.waiting + n > BLOCK {
            self.join();
        }
        if is_few {
            self.recent.resize(self.memory.len(), T::zero());
            recurrent::scan(x, mask, rule, rates, &self.memory, &mut self.recent, out);
            self.waiting += n;
        }
        is_few
    }

    fn join(&mut self) {
        if self.waiting > 0 {
            add(&mut self.total, 1.0, &self.recent, &mut self.memory);
            self.recent.fill(T::zero());
            self.waiting = 0;
        }
    }

    /// The whole memory.
    pub fn whole(&mut self, d_k: usize, by_tokens: bool) -> &[T] {
        if is_narrow::<T>() && by_tokens { self.carried.whole(&mut self.memory, d_k) } else { &self.memory }
    }
}

/// `M = g^n M + sum_j v_j k_j^T` for a chunk of `n` tokens whose keys have faded; `weights` are the powers of `g`, empty without
/// one.
pub(super) fn write<T: Real>(
    memory: &mut [T],
    total: &mut [f64],
    room: &mut Vec<T>,
    values: Operand<'_, T>,
    keys: Operand<'_, T>,
    weights: &[T],
) {
    let n = keys.shape().1;
    if total.is_empty() {
        let fade = weights.get(n).copied().unwrap_or(T::one());
        return gemm_into(memory, T::one(), values, keys.t(), fade);
    }
    // Powers are rounded; many of them in a row would show it.
    let fade = weights.get(1).map_or(1.0, |g| g.to_f64().powi(i32::try_from(n).unwrap_or(i32::MAX)));
    room.resize(memory.len(), T::zero());
    gemm_into(room, T::one(), values, keys.t(), T::zero());
    add(total, fade, room, memory);
}

/// What the tokens of a block have left of its base.
#[derive(Clone, Debug)]
enum Left {
    All(f64),
    Rows(Vec<f64>),
    Columns(Vec<f64>),
}

/// A memory that goes token by token.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Carried<T> {
    /// the state when the block began; nothing in the first block
    total: Vec<f64>,
    /// the same, rounded
    base: Vec<T>,
    left: Option<Left>,
    /// tokens of the block so far
    tokens: usize,
    room: Vec<T>,
}

impl Left {
    fn new<T>(rule: Rule<T>, n_rates: usize, shape: (usize, usize)) -> Self {
        match rule {
            Rule::Gated(GateSide::Value) if n_rates > 1 => Self::Rows(vec![1.0; shape.0]),
            Rule::Gated(GateSide::Key) if n_rates > 1 => Self::Columns(vec![1.0; shape.1]),
            _ => Self::All(1.0),
        }
    }

    fn largest(&self) -> f64 {
        match self {
            Self::All(left) => left.abs(),
            Self::Rows(left) | Self::Columns(left) => left.iter().fold(0.0, |m: f64, left| m.max(left.abs())),
        }
    }

    /// One token passes.
    fn fade<T: Real>(&mut self, rule: Rule<T>, rates: &[T]) {
        match (self, rule) {
            (Self::All(left), Rule::Plain(g)) => *left *= g.to_f64(),
            (Self::All(left), Rule::Gated(_)) => *left *= rates[0].to_f64(),
            (Self::Rows(left) | Self::Columns(left), _) => {
                left.iter_mut().zip(rates).for_each(|(left, gate)| *left *= gate.to_f64());
            }
            (Self::All(_), Rule::Delta) => {}
        }
    }

    /// `to += left * from`, along rows or columns.
    fn add<T: Real>(&self, from: &[T], to: &mut [T]) {
        let pairs = to.iter_mut().zip(from);
        match self {
            Self::All(left) => {
                let left = real::<T>(*left);
                pairs.for_each(|(t, f)| *t += left * *f);
            }
            Self::Rows(left) | Self::Columns(left) => {
                pairs.zip(left).for_each(|((t, f), left)| *t += real::<T>(*left) * *f);
            }
        }
    }
}

impl<T: Real> Carried<T> {
    /// Before the first token.
    pub fn reset(&mut self) {
        self.total.clear();
        self.base.clear();
        self.left = None;
        self.tokens = 0;
    }

    /// As [`recurrent::scan`]; `recent` is the memory of the block.
    pub fn scan(
        &mut self,
        x: View<'_, T>,
        mask: Mask,
        rule: Rule<T>,
        rates: &[T],
        recent: &mut [T],
        out: &mut [T],
    ) {
        let (d_v, n) = x.values.shape();
        if !is_narrow::<T>() || d_v == 0 || n == 0 {
            return recurrent::scan(x, mask, rule, rates, &[], recent, out);
        }
        let n_rates = rates.len() / n;
        let mut done = 0;
        while done < n {
            if self.tokens == BLOCK {
                self.close(recent, x.keys.shape().0);
            }
            let count = (BLOCK - self.tokens).min(n - done);
            let first = if x.backwards { n - done - count } else { done };
            let [queries, keys, values] = [x.queries, x.keys, x.values].map(|m| m.cols(first, count));
            let part = View { queries, keys, values, ..x };
            let rates = &rates[first * n_rates..(first + count) * n_rates];
            let out: &mut [T] =
                if mask == Mask::Full { &mut [] } else { &mut out[first * d_v..(first + count) * d_v] };
            match rule {
                Rule::Plain(g) if g != T::one() => self.behind(part, mask, rule, rates, recent, out),
                Rule::Gated(_) => self.behind(part, mask, rule, rates, recent, out),
                Rule::Plain(_) | Rule::Delta => {
                    recurrent::scan(part, mask, rule, rates, &self.base, recent, out);
                }
            }
            self.tokens += count;
            done += count;
        }
    }

    /// The whole state, rounded; a new block begins.
    pub fn whole(&mut self, recent: &mut [T], d_k: usize) -> &[T] {
        if self.tokens > 0 || self.total.is_empty() {
            self.settle(recent, d_k);
        }
        &self.base
    }

    /// Ends a block. A memory of which a block leaves little goes on in its own numbers: what they lose fades as well.
    fn close(&mut self, recent: &mut [T], d_k: usize) {
        self.tokens = 0;
        if self.total.is_empty() && self.left.take_if(|left| left.largest() < SHORT).is_some() {
            return;
        }
        self.settle(recent, d_k);
    }

    /// Recent tokens become part of the base.
    fn settle(&mut self, recent: &mut [T], d_k: usize) {
        let d_v = (recent.len() / d_k.max(1)).max(1);
        if self.total.is_empty() {
            self.total.resize(recent.len(), 0.0);
            // There was nothing that could fade.
            self.left = None;
        }
        self.base.resize(recent.len(), T::zero());
        let columns = self.total.chunks_exact_mut(d_v);
        match self.left.take() {
            Some(Left::Rows(left)) => {
                columns.for_each(|column| {
                    column.iter_mut().zip(&left).for_each(|(sum, left)| *sum *= left);
                });
            }
            Some(Left::Columns(left)) => {
                columns.zip(&left).for_each(|(column, left)| column.iter_mut().for_each(|sum| *sum *= left));
            }
            Some(Left::All(left)) => self.total.iter_mut().for_each(|sum| *sum *= left),
            None => {}
        }
        add(&mut self.total, 1.0, recent, &mut self.base);
        recent.fill(T::zero());
        self.tokens = 0;
    }

    /// Tokens of a block whose base fades.
    fn behind(
        &mut self,
        x: View<'_, T>,
        mask: Mask,
        rule: Rule<T>,
        rates: &[T],
        recent: &mut [T],
        out: &mut [T],
    ) {
        recurrent::scan(x, mask, rule, rates, &[], recent, out);
        let one = T::one();
        let (d_v, n) = x.values.shape();
        let d_k = x.keys.shape().0;
        let n_rates = rates.len() / n;
        let left = self.left.get_or_insert_with(|| Left::new(rule, n_rates, (d_v, d_k)));
        let rates = |t: usize| &rates[t * n_rates..(t + 1) * n_rates];
        if self.base.is_empty() {
            // What matters is how much the block leaves of what is before it.
            for t in 0..n {
                if t % 16 == 0 && left.largest() < SHORT {
                    break;
                }
                left.fade(rule, rates(t));
            }
            return;
        }
        let reads = mask != Mask::Full;
        let base = Operand::from_columns(&self.base, d_v, d_k);
        let room = &mut self.room;
        let by_columns = matches!(left, Left::Columns(_));
        room.clear();
        room.resize(if by_columns { d_k } else { d_v } * n, T::zero());
        if reads && !by_columns {
            gemm_into(room, x.scale, base, x.queries, T::zero());
        }
        for t in 0..n {
            if mask == Mask::Causal || !reads {
                left.fade(rule, rates(t));
            }
            if reads && by_columns {
                left.add(x.queries.column(t), &mut room[t * d_k..(t + 1) * d_k]);
            } else if reads {
                left.add(&room[t * d_v..(t + 1) * d_v], &mut out[t * d_v..(t + 1) * d_v]);
            }
            if mask == Mask::Strict {
                left.fade(rule, rates(t));
            }
        }
        if reads && by_columns {
            gemm_into(out, x.scale, base, Operand::from_columns(room, d_k, n), one);
        }
    }
}
