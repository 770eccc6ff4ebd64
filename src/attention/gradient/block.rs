//! Back through one block: the heads, then their projections, stacked as in the forward pass.

use super::algebra;
use super::head::{self, HeadBack, Kept, Rest};
use super::maps::{outer, sum_tokens};
use super::types::{BlockGradient, HeadGradient, MemoryGradient};
use crate::attention::forward::Workspace;
use crate::attention::forward::blocks::{BLOCK, chunks};
use crate::attention::forward::plan::{Route, Seat, Slot, Stack};
use crate::attention::forward::spare::Spare;
use crate::attention::{Block, Streams};
use crate::linalg::{Operand, Real, copy_rows, gemm_into};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

/// One way from a stream to the output: `dL/dx_j += W^T d_j + constant` for every token.
pub(super) struct Path<'a, T: Real> {
    pub stream: &'a str,
    /// `W^T`, `[width of the stream, rows of d]`
    pub weights: Operand<'a, T>,
    /// `[rows, n_tokens]`
    pub d: Operand<'a, T>,
    pub constant: Option<&'a [T]>,
}

/// Back through one block, which left `kept`; what its input streams get is added to `d_streams`.
pub(super) fn backward<T: Real>(
    block: &Block<T>,
    kept: &Workspace<T>,
    streams: &Streams<T>,
    d_output: &DMatrix<T>,
    d_streams: &mut Streams<T>,
    parallel: bool,
) -> BlockGradient<T> {
    let (plan, spare) = (&kept.plan, &kept.spare);
    let n = d_output.ncols();
    let b_o = sum_tokens(d_output, parallel);
    let moments = algebra::backward(block, &kept.algebra, streams, d_output, &b_o, spare, parallel);

    // Heads, from dL/du = W_O^T dL/dy.
    let wide = plan.read_outs;
    let mut d_reads = spare.matrix(wide, n);
    let w_o = Operand::from_columns(&plan.w_o, block.d_model, wide);
    chunks(d_reads.as_mut_slice(), wide, BLOCK, parallel, |first, d| {
        let y = Operand::columns(d_output, first, d.len() / wide);
        gemm_into(d, T::one(), w_o.t(), y, T::zero());
    });
    let read_outs = Operand::from_columns(&kept.read_outs[..wide * n], wide, n);
    let d_w_o = outer(Operand::of(d_output), read_outs, spare, parallel);
    let one = |h: usize| {
        let (head, seat) = (&block.heads[h], plan.seats[h]);
        if seat.route == Route::Algebra {
            return None;
        }
        let n_context = streams[&head.context_stream].ncols();
        let kept = Kept { head, seat, plan, room: &kept.rooms[h], streams, n_query: n, n_context };
        let d_read = Operand::of(&d_reads).rows(seat.read_out, seat.read_rows);
        Some(head::backward(kept, d_read, spare, parallel))
    };
    let heads = 0..block.heads.len();
    let backs: Vec<Option<HeadBack<T>>> =
        if parallel { heads.into_par_iter().map(one).collect() } else { heads.map(one).collect() };
    spare.give_matrix(d_reads);

    // Projections.
    let tokens: Vec<DMatrix<T>> = (0..plan.stacks.len())
        .map(|s| gathered(s, &plan.stacks[s], &plan.seats, &backs, streams, spare, parallel))
        .collect();
    let backs: Vec<_> = backs.into_iter().map(|back| back.map(|back| back.rest(spare))).collect();
    let stacked: Vec<Option<(DMatrix<T>, DVector<T>)>> = plan
        .stacks
        .iter()
        .zip(&tokens)
        .map(|(stack, d)| {
            let by_weights = |d| outer(Operand::of(d), Operand::of(&streams[&stack.stream]), spare, parallel);
            (stack.rows > 0).then(|| (by_weights(d), sum_tokens(d, parallel)))
        })
        .collect();

    // Streams.
    let mut paths = moments.paths(&kept.algebra, streams, d_output);
    for path in
        block.residual.iter().filter(|path| !kept.algebra.maps.iter().any(|map| map.stream == path.stream))
    {
        let (weights, d) = (Operand::of(&path.matrix).t(), Operand::of(d_output));
        paths.push(Path { stream: &path.stream, weights, d, constant: None });
    }
    for (stack, d) in plan.stacks.iter().zip(&tokens).filter(|(stack, _)| stack.rows > 0) {
        let weights = Operand::from_columns(&stack.weights, stack.rows, stack.width).t();
        paths.push(Path { stream: &stack.stream, weights, d: Operand::of(d), constant: None });
    }
    add_up(&paths, streams, d_streams, spare, parallel);
    drop(paths);
    tokens.into_iter().for_each(|d| spare.give_matrix(d));

    let mut by_algebra = moments.heads;
    let heads = backs.into_iter().enumerate().map(|(h, back)| match back {
        Some(back) => gradient_of(block, h, &plan.seats[h], back, &stacked, &d_w_o, spare),
        None => by_algebra.remove(&h).unwrap_or_else(|| unreachable!("a head goes back by the way it came")),
    });
    let heads = heads.collect();
    stacked.into_iter().flatten().for_each(|(w, _)| spare.give_matrix(w));
    spare.give_matrix(d_w_o);
    let residual = block.residual.iter().map(|path| {
        let shared = kept.algebra.maps.iter().position(|map| map.stream == path.stream);
        shared.map_or_else(
            || outer(Operand::of(d_output), Operand::of(&streams[&path.stream]), spare, parallel),
            |m| moments.maps[m].clone(),
        )
    });
    BlockGradient { heads, residual: residual.collect(), b_o }
}

/// Derivatives by the rows of a stack, `[rows, n_tokens]`.
fn gathered<T: Real>(
    stack: usize,
    of: &Stack<T>,
    seats: &[Seat],
    backs: &[Option<HeadBack<T>>],
    streams: &Streams<T>,
    spare: &Spare<T>,
    parallel: bool,
) -> DMatrix<T> {
    if of.rows == 0 {
        return DMatrix::zeros(0, 0);
    }
    let mut parts: Vec<(Slot, &DMatrix<T>)> = Vec::new();
    for (seat, back) in seats.iter().zip(backs) {
        if let Some(back) = back {
            let all = [(seat.query, &back.queries), (seat.key, &back.keys), (seat.value, &back.values)];
            parts.extend(
                all.into_iter()
                    .chain(seat.gate.zip(back.gate.as_ref()))
                    .chain(seat.sink.zip(back.sink.as_ref()))
                    .filter(|(slot, _)| slot.stack == stack),
            );
        }
    }
    let mut out = spare.matrix(of.rows, streams[&of.stream].ncols());
    chunks(out.as_mut_slice(), of.rows, BLOCK, parallel, |first, block| {
        for (slot, d) in parts.iter().filter(|(slot, _)| slot.rows > 0) {
            let from = &d.as_slice()[first * slot.rows..];
            copy_rows(&mut block[slot.first..], of.rows, from, slot.rows, slot.rows);
        }
    });
    out
}

/// `dL/dx` of every stream, over the paths that start there.
fn add_up<T: Real>(
    paths: &[Path<'_, T>],
    streams: &Streams<T>,
    d_streams: &mut Streams<T>,
    spare: &Spare<T>,
    parallel: bool,
) {
    for (name, x) in streams {
        if !paths.iter().any(|path| path.stream == name) {
            continue;
        }
        let first_path = if d_streams.contains_key(name) { T::one() } else { T::zero() };
        let d_x = d_streams.entry(name.clone()).or_insert_with(|| spare.matrix(x.nrows(), x.ncols()));
        let rows = x.nrows();
        chunks(d_x.as_mut_slice(), rows, BLOCK, parallel, |first, d_x| {
            for (p, path) in paths.iter().filter(|path| path.stream == name).enumerate() {
                let d = path.d.cols(first, d_x.len() / rows);
                gemm_into(d_x, T::one(), path.weights, d, if p == 0 { first_path } else { T::one() });
                if let Some(constant) = path.constant {
                    for token in d_x.chunks_exact_mut(rows) {
                        token.iter_mut().zip(constant).for_each(|(d, c)| *d += *c);
                    }
                }
            }
        });
    }
}

/// One head's derivatives, its projections cut out of the stacks.
fn gradient_of<T: Real>(
    block: &Block<T>,
    h: usize,
    seat: &Seat,
    back: Rest<T>,
    stacked: &[Option<(DMatrix<T>, DVector<T>)>],
    d_w_o: &DMatrix<T>,
    spare: &Spare<T>,
) -> HeadGradient<T> {
    let head = &block.heads[h];
    let cut = |slot: Slot, rows: usize| match &stacked[slot.stack] {
        Some((w, b)) => {
            let mut cut = spare.matrix(rows, w.ncols());
            if rows > 0 {
                let from = w.as_slice().get(slot.first..).unwrap_or_default();
                copy_rows(cut.as_mut_slice(), rows, from, w.nrows(), rows);
            }
            (cut, b.rows(slot.first, rows).into_owned())
        }
        None => (DMatrix::zeros(rows, 0), DVector::zeros(rows)),
    };
    let (w_q, b_q) = cut(seat.query, head.d_key());
    let (w_k, b_k) = cut(seat.key, head.d_key());
    let (w_v, b_v) = cut(seat.value, head.d_value());
    let Rest { scale, mut memory, function, mut sink } = back;
    if let (MemoryGradient::Gate(gate), Some(slot)) = (&mut memory, seat.gate) {
        (gate.features, gate.bias) = cut(slot, slot.rows);
    }
    if let (Some(sink), Some(slot)) = (&mut sink, seat.sink) {
        (sink.features, sink.bias) = cut(slot, slot.rows);
    }
    let mut w_o = spare.matrix(d_w_o.nrows(), seat.read_rows);
    let from = seat.read_out * d_w_o.nrows();
    w_o.as_mut_slice().copy_from_slice(&d_w_o.as_slice()[from..from + seat.read_rows * d_w_o.nrows()]);
    HeadGradient { w_q, w_k, w_v, w_o, b_q, b_k, b_v, scale, memory, function, sink }
}
