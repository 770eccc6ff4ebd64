//! Back through one head, from `dL/du` to its keys, queries, values and gates.

use super::maps::{dot, outer, slope, sum_tokens, times_slopes};
use super::types::{GateGradient, MemoryGradient};
use super::{linear, recurrent, tiles};
use crate::attention::forward::decay_of;
use crate::attention::forward::inputs::Inputs;
use crate::attention::forward::plan::{Plan, Seat, Slot};
use crate::attention::forward::room::{Room, n_rates, side_of};
use crate::attention::forward::tiles::Scoring;
use crate::attention::{Gate, Head, Kernel, Memory, Normalisation, Rate};
use crate::linalg::{Operand, Real, gemm};
use nalgebra::{DMatrix, DVector};

/// Derivatives by what a head projects its streams to.
pub(super) struct Back<T: Real> {
    pub queries: DMatrix<T>,
    pub keys: DMatrix<T>,
    pub values: DMatrix<T>,
    /// by the decay, 0 where there is none
    pub decay: T,
    /// by the rates of a delta or gated memory, `[1 or rows, n_context]`, empty where there are none
    pub rates: DMatrix<T>,
}

impl<T: Real> Back<T> {
    pub fn zeros(x: &Inputs<T>) -> Self {
        let like = |m: &DMatrix<T>| DMatrix::zeros(m.nrows(), m.ncols());
        let (queries, keys, values) = (like(&x.queries), like(&x.keys), like(&x.values));
        Self { queries, keys, values, decay: T::zero(), rates: DMatrix::zeros(0, 0) }
    }
}

/// One head's derivatives by its projections (before any map), by its scale and by its memory rule.
pub(super) struct HeadBack<T: Real> {
    pub queries: DMatrix<T>,
    pub keys: DMatrix<T>,
    /// as many rows as the slot: the row of ones, where there is one, has derivative 0
    pub values: DMatrix<T>,
    /// by the features of the gate, where there is one
    pub gate: Option<DMatrix<T>>,
    pub scale: T,
    /// but for features and bias of a gate, which are projections
    pub memory: MemoryGradient<T>,
}

/// What a head has read, kept by a forward pass.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a, T: Real> {
    pub head: &'a Head<T>,
    pub seat: Seat,
    pub plan: &'a Plan<T>,
    pub room: &'a Room<T>,
    pub n_query: usize,
    pub n_context: usize,
}

impl<T: Real> Kept<'_, T> {
    fn view(&self, slot: Slot, n: usize) -> Operand<'_, T> {
        self.plan.stacks[slot.stack].view(slot, 0, n)
    }
}

/// Back through a head, from `d_read = dL/du` `[d_v, n_query]`.
pub(super) fn backward<T: Real>(kept: Kept<'_, T>, mut d_read: DMatrix<T>, parallel: bool) -> HeadBack<T> {
    let Kept { head, seat, n_query, n_context, .. } = kept;
    let features = copy(kept.view(seat.query, n_query));
    let x = Inputs {
        queries: &features * head.scale,
        keys: copy(kept.view(seat.key, n_context)),
        values: copy(kept.view(seat.value, n_context)),
    };
    if head.normalisation == Normalisation::Sum {
        d_read = undivide(&d_read, &kept.room.read);
    }
    let mut back = through(kept, &x, &d_read, parallel);
    drop(d_read);
    if head.normalisation == Normalisation::Sum {
        back.values.row_mut(seat.value.rows - 1).fill(T::zero());
    }

    // q = scale * map(z): first the scale, then the map.
    let scale = dot(back.queries.as_slice(), features.as_slice());
    back.queries *= head.scale;
    if let Kernel::Feature { key, query } = head.kernel {
        times_slopes(&mut back.queries, query, &features);
        times_slopes(&mut back.keys, key, &x.keys);
    }
    let (memory, gate) = match &head.memory {
        Memory::None | Memory::Hebbian => (MemoryGradient::None, None),
        Memory::Decay(_) => (MemoryGradient::Decay(back.decay), None),
        Memory::Delta(Rate::Constant(_)) => (MemoryGradient::Rate(back.rates.sum()), None),
        Memory::Delta(Rate::Gate(gate)) | Memory::Gated { gate, .. } => {
            let values = copy(kept.view(seat.gate.unwrap_or_default(), n_context));
            let (gradient, features) = through_gate(gate, &values, &back.rates);
            (MemoryGradient::Gate(gradient), Some(features))
        }
    };
    HeadBack { queries: back.queries, keys: back.keys, values: back.values, gate, scale, memory }
}

fn copy<T: Real>(x: Operand<'_, T>) -> DMatrix<T> {
    let (rows, n) = x.shape();
    let mut out = DMatrix::zeros(rows, n);
    if rows > 0 {
        for (j, token) in out.as_mut_slice().chunks_exact_mut(rows).enumerate() {
            token.copy_from_slice(x.column(j));
        }
    }
    out
}

/// From `dL/du` of read-outs to keys, scaled queries and values.
fn through<T: Real>(kept: Kept<'_, T>, x: &Inputs<T>, d_read: &DMatrix<T>, parallel: bool) -> Back<T> {
    let Kept { head, room, n_query, n_context, .. } = kept;
    let rates = n_rates(head);
    match head.kernel {
        _ if rates > 0 => {
            let delta = matches!(head.memory, Memory::Delta(_));
            let rule = if delta { recurrent::Rule::Delta } else { recurrent::Rule::Gated(side_of(head)) };
            let rates = DMatrix::from_column_slice(rates, n_context, &room.rates[..rates * n_context]);
            recurrent::backward(x, d_read, head.mask, rule, &rates)
        }
        Kernel::Linear | Kernel::Feature { .. } => {
            linear::backward(x, d_read, head.mask, decay_of(head), parallel)
        }
        Kernel::Exp | Kernel::Power(_) => {
            tiles::backward(x, d_read, Scoring::of(head), &room.maxima[..n_query], parallel)
        }
    }
}

/// Derivatives by numerator and sum (the last row) of `u = numerator / sum`: `e / sum` and `-(e . u) / sum`.
///
/// `read` holds `u` and below it the sum. Where the sum is 0 the read-out is 0 by convention, a constant: both
/// derivatives are 0.
fn undivide<T: Real>(d_read: &DMatrix<T>, read: &[T]) -> DMatrix<T> {
    let rows = d_read.nrows();
    let mut out = DMatrix::zeros(rows + 1, d_read.ncols());
    for (i, token) in read.chunks_exact(rows + 1).take(d_read.ncols()).enumerate() {
        let (u, sum) = (&token[..rows], token[rows]);
        if sum.is_zero() {
            continue;
        }
        let e = d_read.column(i);
        for a in 0..rows {
            out[(a, i)] = e[a] / sum;
        }
        out[(rows, i)] = -dot(e.as_slice(), u) / sum;
    }
    out
}

/// Back through `g(x) = constant + weights * map(z)`, from `map(z)` and `dL/dg` `[n_rows, n_tokens]`: its constant and
/// weights, and `dL/dz`.
fn through_gate<T: Real>(
    gate: &Gate<T>,
    values: &DMatrix<T>,
    d_gains: &DMatrix<T>,
) -> (GateGradient<T>, DMatrix<T>) {
    let mut d_features = DMatrix::zeros(values.nrows(), values.ncols());
    gemm(&mut d_features, T::one(), &gate.weights, true, d_gains, false, T::zero());
    for (value, mut d) in values.column_iter().zip(d_features.column_iter_mut()) {
        for ((value, d), map) in value.iter().zip(d.iter_mut()).zip(&gate.maps) {
            *d *= slope(*map, *value);
        }
    }
    let gradient = GateGradient {
        constant: sum_tokens(d_gains),
        weights: outer(Operand::of(d_gains), Operand::of(values), false),
        features: DMatrix::zeros(0, 0),
        bias: DVector::zeros(0),
    };
    (gradient, d_features)
}
