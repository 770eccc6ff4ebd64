//! Back through one head, from `dL/du` to its keys, queries, values and gates.

use super::maps::{dot, outer, sum_tokens, times_slopes};
use super::types::{GateGradient, MemoryGradient};
use super::{linear, recurrent, sink, tiles};
use crate::attention::forward::inputs::affine;
use crate::attention::forward::plan::{Plan, Seat, Slot};
use crate::attention::forward::room::{Room, n_rates, side_of};
use crate::attention::forward::spare::Spare;
use crate::attention::forward::tiles::Scoring;
use crate::attention::forward::{View, decay_of};
use crate::attention::{Gate, Head, Kernel, Memory, Normalisation, Rate, Streams};
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
    /// by gain and bias of every link of the chain of functions
    pub function: Vec<[T; 2]>,
}

impl<T: Real> Back<T> {
    /// Of any value but for decay and rates.
    pub fn unset(x: &View<'_, T>, spare: &Spare<T>) -> Self {
        let like = |m: Operand<'_, T>| spare.matrix(m.shape().0, m.shape().1);
        let (queries, keys, values) = (like(x.queries), like(x.keys), like(x.values));
        let (rates, function) = (DMatrix::zeros(0, 0), Vec::new());
        Self { queries, keys, values, decay: T::zero(), rates, function }
    }

    pub fn zeros(x: &View<'_, T>, spare: &Spare<T>) -> Self {
        let mut all = Self::unset(x, spare);
        for m in [&mut all.queries, &mut all.keys, &mut all.values] {
            m.fill(T::zero());
        }
        all
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
    /// by the features of the sink, where there is one
    pub sink: Option<DMatrix<T>>,
    pub rest: Rest<T>,
}

/// What of a head's derivatives is ready before its projections are.
pub(super) struct Rest<T: Real> {
    pub scale: T,
    /// but for features and bias of a gate, which are projections
    pub memory: MemoryGradient<T>,
    /// by gain and bias of every link of the chain of functions
    pub function: Vec<[T; 2]>,
    /// but for features and bias
    pub sink: Option<GateGradient<T>>,
}

impl<T: Real> HeadBack<T> {
    /// What is left when the others have been used.
    pub fn rest(self, spare: &Spare<T>) -> Rest<T> {
        for d in [self.queries, self.keys, self.values] {
            spare.give_matrix(d);
        }
        self.rest
    }
}

/// What a head has read, kept by a forward pass.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a, T: Real> {
    pub head: &'a Head<T>,
    pub seat: Seat,
    pub plan: &'a Plan<T>,
    pub room: &'a Room<T>,
    pub streams: &'a Streams<T>,
    pub n_query: usize,
    pub n_context: usize,
}

impl<T: Real> Kept<'_, T> {
    fn view(&self, slot: Slot, n: usize) -> Operand<'_, T> {
        self.plan.stacks[slot.stack].view(slot, 0, n)
    }
}

/// Back through a head, from `read = dL/du` `[d_v, n_query]`.
pub(super) fn backward<T: Real>(
    kept: Kept<'_, T>,
    read: Operand<'_, T>,
    spare: &Spare<T>,
    parallel: bool,
) -> HeadBack<T> {
    let Kept { head, seat, n_query, n_context, .. } = kept;
    let x = View {
        queries: kept.view(seat.query, n_query),
        keys: kept.view(seat.key, n_context),
        values: kept.view(seat.value, n_context),
        scale: head.scale,
        backwards: false,
    };
    let (mut sink, mut d_sink) = (None, None);
    let mut back = if head.normalisation == Normalisation::Sum {
        let parts = undivide(read, &kept.room.read, spare);
        let mut back = through(kept, x, Operand::of(&parts), spare, parallel);
        if let Some((of, slot)) = head.sink.as_ref().zip(seat.sink) {
            let sums = parts.row(parts.nrows() - 1);
            let maxima = Scoring::of(head).softmax.then_some(&kept.room.maxima[..n_query]);
            let (gradient, features) =
                sink::backward(of, kept.view(slot, n_query), sums.iter().copied(), maxima);
            (sink, d_sink) = (Some(gradient), Some(features));
        }
        spare.give_matrix(parts);
        back.values.row_mut(seat.value.rows - 1).fill(T::zero());
        back
    } else {
        through(kept, x, read, spare, parallel)
    };

    // q = scale * map(z): first the scale, then the map.
    let mut scale = T::zero();
    for (i, token) in back.queries.as_mut_slice().chunks_exact_mut(seat.query.rows.max(1)).enumerate() {
        scale += dot(token, x.queries.column(i));
        token.iter_mut().for_each(|d| *d *= head.scale);
    }
    if let Kernel::Feature { key, query } = head.kernel {
        let z = |w, b, stream: &String| affine(w, b, &kept.streams[stream], parallel);
        let queries = || z(&head.w_q, &head.b_q, &head.query_stream);
        times_slopes(&mut back.queries, query, x.queries, queries);
        let keys = || z(&head.w_k, &head.b_k, &head.context_stream);
        times_slopes(&mut back.keys, key, x.keys, keys);
    }
    let (memory, gate) = match &head.memory {
        Memory::None | Memory::Hebbian => (MemoryGradient::None, None),
        Memory::Decay(_) => (MemoryGradient::Decay(back.decay), None),
        Memory::Delta(Rate::Constant(_)) => (MemoryGradient::Rate(back.rates.sum()), None),
        Memory::Delta(Rate::Gate(gate)) | Memory::Gated { gate, .. } => {
            let values = copy(kept.view(seat.gate.unwrap_or_default(), n_context));
            let (gradient, features) = through_gate(gate, &kept.streams[&gate.stream], &values, &back.rates);
            (MemoryGradient::Gate(gradient), Some(features))
        }
    };
    let rest = Rest { scale, memory, function: back.function, sink };
    HeadBack { queries: back.queries, keys: back.keys, values: back.values, gate, sink: d_sink, rest }
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
fn through<T: Real>(
    kept: Kept<'_, T>,
    x: View<'_, T>,
    read: Operand<'_, T>,
    spare: &Spare<T>,
    parallel: bool,
) -> Back<T> {
    let Kept { head, room, n_query, n_context, .. } = kept;
    let rates = n_rates(head);
    match head.kernel {
        _ if rates > 0 => {
            let delta = matches!(head.memory, Memory::Delta(_));
            let rule = if delta { recurrent::Rule::Delta } else { recurrent::Rule::Gated(side_of(head)) };
            let rates = DMatrix::from_column_slice(rates, n_context, &room.rates[..rates * n_context]);
            recurrent::backward(x, read, head.mask, rule, &rates, spare)
        }
        Kernel::Linear | Kernel::Feature { .. } => {
            // With a sink, longer keys do change the quotient.
            let divided = head.normalisation == Normalisation::Sum && head.sink.is_none();
            linear::backward(x, read, head.mask, decay_of(head), divided, spare, parallel)
        }
        Kernel::Exp | Kernel::Power(_) | Kernel::Function => {
            tiles::backward(x, read, Scoring::of(head), &room.maxima[..n_query], spare, parallel)
        }
    }
}

/// Derivatives by numerator and sum (the last row) of `u = numerator / sum`: `e / sum` and `-(e . u) / sum`.
///
/// `room` holds `u` and below it the sum. Where the sum is 0 the read-out is 0 by convention, a constant: both
/// derivatives are 0.
fn undivide<T: Real>(read: Operand<'_, T>, room: &[T], spare: &Spare<T>) -> DMatrix<T> {
    let (rows, n) = read.shape();
    let mut out = spare.matrix(rows + 1, n);
    let tokens = out.as_mut_slice().chunks_exact_mut(rows + 1).zip(room.chunks_exact(rows + 1));
    for (i, (out, token)) in tokens.enumerate() {
        let (u, sum) = (&token[..rows], token[rows]);
        if sum.is_zero() {
            out.fill(T::zero());
            continue;
        }
        let e = read.column(i);
        out.iter_mut().zip(e).for_each(|(d, e)| *d = *e / sum);
        out[rows] = -dot(e, u) / sum;
    }
    out
}

/// Back through `g(x) = constant + weights * map(z)`, from `x`, `map(z)` and `dL/dg` `[n_rows, n_tokens]`: its constant and
/// weights, and `dL/dz`.
fn through_gate<T: Real>(
    gate: &Gate<T>,
    x: &DMatrix<T>,
    values: &DMatrix<T>,
    d_gains: &DMatrix<T>,
) -> (GateGradient<T>, DMatrix<T>) {
    let mut d_features = DMatrix::zeros(values.nrows(), values.ncols());
    gemm(&mut d_features, T::one(), &gate.weights, true, d_gains, false, T::zero());
    let reads_z = gate.maps.iter().any(|map| map.slope_reads_argument());
    let z = if reads_z { &affine(&gate.features, &gate.bias, x, false) } else { values };
    for (map, (value, (z, mut d))) in std::iter::zip(
        &gate.maps,
        std::iter::zip(values.row_iter(), z.row_iter().zip(d_features.row_iter_mut())),
    ) {
        for ((d, z), value) in d.iter_mut().zip(z.iter()).zip(value.iter()) {
            *d *= map.slope_at(*z, *value);
        }
    }
    let gradient = GateGradient {
        constant: sum_tokens(d_gains, false),
        weights: outer(Operand::of(d_gains), Operand::of(values), &Spare::new(), false),
        features: DMatrix::zeros(0, 0),
        bias: DVector::zeros(0),
    };
    (gradient, d_features)
}
