//! Back through delta and gated memories: the adjoint of the memory, token by token from the last to the first.
//!
//! With `R = dL/dM_t` (all later reads included):
//!
//! ```text
//! delta   M_t = M_{t-1} + diag(b_t) c_t k_t^T,  c_t = v_t - M_{t-1} k_t,  r = R k_t
//!         dL/db_t = c_t * r     dL/dv_t = b_t * r     dL/dk_t = R^T (b_t * c_t) - M_{t-1}^T (b_t * r)
//!         dL/dM_{t-1} = R - (b_t * r) k_t^T
//! gated   M_t = diag(g_t) M_{t-1} + v_t k_t^T
//!         dL/dg_t = rows of R * M_{t-1}     dL/dv_t = R k_t     dL/dk_t = R^T v_t     dL/dM_{t-1} = diag(g_t) R
//! ```
//!
//! and a read `u = M q` adds `e q^T` to `R`, `e = dL/du`. The states `M_{t-1}` are needed in reverse. A delta memory
//! cannot be run backwards stably, so the pass keeps one state in every `c = ceil(sqrt N)` tokens and recomputes the
//! `c` states between two of them: at most `2 sqrt(N) + 4` states of `d_v d_k` numbers, for one more forward pass.

use super::Back;
use super::maps::dot;
use crate::attention::forward::View;
use crate::attention::forward::spare::Spare;
use crate::attention::{GateSide, Mask};
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::DMatrix;

/// How a token changes the memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Delta,
    Gated(GateSide),
}

/// Derivatives by keys, scaled queries, values and rates (which is `[1 or rows, n_context]`), from `read = dL/du`.
pub(super) fn backward<T: Real>(
    x: View<'_, T>,
    read: Operand<'_, T>,
    mask: Mask,
    rule: Rule,
    rates: &DMatrix<T>,
    spare: &Spare<T>,
) -> Back<T> {
    let (d_v, d_k, n) = (x.values.shape().0, x.keys.shape().0, x.keys.shape().1);
    let mut back = Back::zeros(&x, spare);
    back.rates = DMatrix::zeros(rates.nrows(), n);
    if d_v * d_k == 0 {
        return back;
    }
    let size = d_v * d_k;
    let step = (1..).find(|c| c * c >= n).unwrap_or(1).max(1);
    let mut walk = Walk {
        x,
        read,
        mask,
        rule,
        rates,
        back,
        error: vec![T::zero(); d_v],
        missing: vec![T::zero(); d_v],
        adjoint: vec![T::zero(); size],
    };

    // One state in every `step` tokens.
    let mut kept = Vec::with_capacity(n.div_ceil(step) * size);
    let mut memory = vec![T::zero(); size];
    for t in 0..n {
        if t % step == 0 {
            kept.extend_from_slice(&memory);
        }
        walk.write(t, &mut memory);
    }
    if mask == Mask::Full {
        // All queries read the last state.
        gemm_into(&mut walk.adjoint, x.scale, read, x.queries.t(), T::zero());
        let memory = Operand::from_columns(&memory, d_v, d_k);
        gemm_into(walk.back.queries.as_mut_slice(), T::one(), memory.t(), read, T::zero());
    }

    // The states within each stretch, then back through it.
    let mut states = vec![T::zero(); (step + 1) * size];
    for (stretch, start) in kept.chunks_exact(size).enumerate().rev() {
        let first = stretch * step;
        let length = step.min(n - first);
        states[..size].copy_from_slice(start);
        for s in 0..length {
            let (before, after) = states[s * size..(s + 2) * size].split_at_mut(size);
            after.copy_from_slice(before);
            walk.write(first + s, after);
        }
        for s in (0..length).rev() {
            let (before, after) = states[s * size..(s + 2) * size].split_at(size);
            walk.back(first + s, before, after);
        }
    }
    walk.back
}

struct Walk<'a, T: Real> {
    x: View<'a, T>,
    read: Operand<'a, T>,
    mask: Mask,
    rule: Rule,
    rates: &'a DMatrix<T>,
    back: Back<T>,
    /// room for one value vector: `r`
    error: Vec<T>,
    /// and another: `c = v - M k`
    missing: Vec<T>,
    /// `R`, `[d_v, d_k]`
    adjoint: Vec<T>,
}

impl<T: Real> Walk<'_, T> {
    fn rate(&self, row: usize, t: usize) -> T {
        self.rates[(self.rate_row(row), t)]
    }

    fn rate_row(&self, row: usize) -> usize {
        if self.rates.nrows() == 1 { 0 } else { row }
    }

    /// `M_{t-1}` to `M_t`.
    fn write(&mut self, t: usize, memory: &mut [T]) {
        let (key, value) = (self.x.keys.column(t), self.x.values.column(t));
        match self.rule {
            Rule::Delta => {
                multiply(memory, key, &mut self.error);
                for (a, v) in value.iter().enumerate() {
                    self.error[a] = self.rate(a, t) * (*v - self.error[a]);
                }
            }
            Rule::Gated(side) => {
                self.gain(t, side, memory);
                self.error.copy_from_slice(value);
            }
        }
        add_outer(memory, &self.error, key);
    }

    /// Multiplies rows or columns by the gains of token `t`.
    fn gain(&self, t: usize, side: GateSide, memory: &mut [T]) {
        for (b, column) in memory.chunks_exact_mut(self.error.len()).enumerate() {
            for (a, m) in column.iter_mut().enumerate() {
                *m *= self.rate(if side == GateSide::Value { a } else { b }, t);
            }
        }
    }

    /// One token back: reads and the write of token `t`, between the states `before` and `after` it.
    fn back(&mut self, t: usize, before: &[T], after: &[T]) {
        if self.mask == Mask::Causal {
            self.read(t, after);
        }
        let (key, value) = (self.x.keys.column(t), self.x.values.column(t));
        multiply(&self.adjoint, key, &mut self.error); // r = R k
        match self.rule {
            Rule::Delta => self.back_delta(t, before, key, value),
            Rule::Gated(side) => {
                let mut values = self.back.values.column_mut(t);
                values.as_mut_slice().copy_from_slice(&self.error);
                multiply_transposed(&self.adjoint, value, self.back.keys.column_mut(t).as_mut_slice());
                let d_v = value.len();
                for (b, (r, m)) in self.adjoint.chunks_exact(d_v).zip(before.chunks_exact(d_v)).enumerate() {
                    for (a, (r, m)) in r.iter().zip(m).enumerate() {
                        let row = self.rate_row(if side == GateSide::Value { a } else { b });
                        self.back.rates[(row, t)] += *r * *m;
                    }
                }
                let mut adjoint = std::mem::take(&mut self.adjoint);
                self.gain(t, side, &mut adjoint);
                self.adjoint = adjoint;
            }
        }
        if self.mask == Mask::Strict {
            self.read(t, before);
        }
    }

    /// The write of a delta memory; `self.error` holds `r`.
    fn back_delta(&mut self, t: usize, before: &[T], key: &[T], value: &[T]) {
        let d_v = value.len();
        let mut missing = std::mem::take(&mut self.missing);
        multiply(before, key, &mut missing);
        for a in 0..d_v {
            missing[a] = value[a] - missing[a];
            let (rate, row) = (self.rate(a, t), self.rate_row(a));
            self.back.rates[(row, t)] += missing[a] * self.error[a];
            missing[a] *= rate;
            self.error[a] *= rate;
            self.back.values[(a, t)] = self.error[a];
        }
        let columns = self.adjoint.chunks_exact_mut(d_v).zip(before.chunks_exact(d_v));
        for (b, (r, m)) in columns.enumerate() {
            self.back.keys[(b, t)] = dot(r, &missing) - dot(m, &self.error);
            for (r, e) in r.iter_mut().zip(&self.error) {
                *r -= *e * key[b];
            }
        }
        self.missing = missing;
    }

    /// The read of token `t` from the state `memory`.
    fn read(&mut self, t: usize, memory: &[T]) {
        let (e, q) = (self.read.column(t), self.x.queries.column(t));
        multiply_transposed(memory, e, self.back.queries.column_mut(t).as_mut_slice());
        self.error.iter_mut().zip(e).for_each(|(scaled, e)| *scaled = *e * self.x.scale);
        add_outer(&mut self.adjoint, &self.error, q);
    }
}

/// `out = M x`.
fn multiply<T: Real>(memory: &[T], x: &[T], out: &mut [T]) {
    out.fill(T::zero());
    for (column, b) in memory.chunks_exact(out.len()).zip(x) {
        for (u, m) in out.iter_mut().zip(column) {
            *u += *m * *b;
        }
    }
}

/// `out = M^T x`.
fn multiply_transposed<T: Real>(memory: &[T], x: &[T], out: &mut [T]) {
    for (column, out) in memory.chunks_exact(x.len()).zip(out) {
        *out = dot(column, x);
    }
}

/// `M += a b^T`.
fn add_outer<T: Real>(memory: &mut [T], a: &[T], b: &[T]) {
    for (column, b) in memory.chunks_exact_mut(a.len()).zip(b) {
        for (m, a) in column.iter_mut().zip(a) {
            *m += *a * *b;
        }
    }
}
