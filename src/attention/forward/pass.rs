//! The stages of a pass, and the memory that passes share.

use super::algebra::{Algebra, applies, pays};
use super::blocks::{BLOCK, chunks};
use super::error::ForwardError;
use super::plan::{Plan, Route};
use super::room::{Room, Window, first_not_finite};
use super::spare::Spare;
use super::{check, is_parallel};
use crate::attention::token_map::forward::Trace;
use crate::attention::{Block, Mask, Streams};
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tokens to a window.
const WINDOW: usize = 1024;

/// Memory of forward passes, used again by the next.
///
/// Passes over blocks and streams of the same shapes ask for no more of it; it may serve any blocks in turn. What it
/// holds never changes a result.
///
/// ```
/// use pulvinar::attention::{Block, Residual, Streams, Workspace};
/// use nalgebra::{DMatrix, DVector};
///
/// let residual = vec![Residual { stream: "x".into(), matrix: DMatrix::identity(2, 2) }];
/// let (clock_stream, b_o) = ("x".to_owned(), DVector::from_element(2, 1.0));
/// let block = Block { relay: "HO".into(), d_model: 2, clock_stream, heads: Vec::new(), residual, b_o };
/// let streams = Streams::from([("x".to_owned(), DMatrix::<f64>::identity(2, 2))]);
/// let (mut workspace, mut y) = (Workspace::new(), DMatrix::zeros(0, 0));
/// for _ in 0..3 {
///     workspace.forward(&block, &streams, &mut y)?;
///     assert_eq!(y.as_slice(), [2.0, 1.0, 1.0, 2.0]);
/// }
/// # Ok::<(), pulvinar::attention::ForwardError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Workspace<T: Real = f64> {
    pub(in crate::attention) plan: Plan<T>,
    pub(in crate::attention) rooms: Vec<Room<T>>,
    pub(in crate::attention) algebra: Algebra<T>,
    /// all read-outs, `[read-outs, tokens of a window]`
    pub(in crate::attention) read_outs: Vec<T>,
    /// what every token's output starts from
    bias: Vec<T>,
    /// of the way back
    pub(in crate::attention) spare: Spare<T>,
    /// of a map that may be gone back through
    pub(in crate::attention) traces: Vec<Trace<T>>,
    way: Way,
}

/// Which way heads go that are one matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// that of fewer operations
    Cheaper,
    Tokens,
    Moments,
}

impl<T: Real> Default for Workspace<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Workspace<T> {
    #[must_use]
    pub fn new() -> Self {
        let (algebra, plan) =
            (Algebra { moments: Vec::new(), maps: Vec::new(), parts: Vec::new() }, Plan::new());
        let (rooms, read_outs, bias) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            plan,
            rooms,
            algebra,
            read_outs,
            bias,
            spare: Spare::new(),
            traces: Vec::new(),
            way: Way::Cheaper,
        }
    }

    /// A workspace whose passes go through every head token by token, also where the algebra of linear heads that see
    /// every token takes fewer operations: for comparing the two.
    #[must_use]
    pub fn by_tokens() -> Self {
        Self { way: Way::Tokens, ..Self::new() }
    }

    /// A workspace whose passes use that algebra wherever it is exact.
    #[must_use]
    pub fn by_moments() -> Self {
        Self { way: Way::Moments, ..Self::new() }
    }

    /// [`crate::attention::forward()`] into `output`, which keeps its memory when it has the right shape.
    ///
    /// # Errors
    /// As [`crate::attention::forward()`]; `output` then holds nothing of use.
    pub fn forward(
        &mut self,
        block: &Block<T>,
        streams: &Streams<T>,
        output: &mut DMatrix<T>,
    ) -> Result<(), ForwardError> {
        self.run(block, streams, false, output)
    }

    /// The same; with `keep`, projections, read-outs and moments stay for the way back.
    pub(in crate::attention) fn run(
        &mut self,
        block: &Block<T>,
        streams: &Streams<T>,
        keep: bool,
        output: &mut DMatrix<T>,
    ) -> Result<(), ForwardError> {
        check(block, streams)?;
        let parallel = is_parallel(block, streams);
        let algebra = match self.way {
            Way::Cheaper => pays(block, streams, keep),
            Way::Tokens => false,
            Way::Moments => block.heads.iter().any(applies),
        };
        let done = self.attempt(block, streams, keep, algebra, parallel, output);
        if algebra && done.is_err() {
            // Second moments can overflow where the heads do not; and only the heads can say which one did.
            return self.attempt(block, streams, keep, false, parallel, output);
        }
        done
    }

    fn attempt(
        &mut self,
        block: &Block<T>,
        streams: &Streams<T>,
        keep: bool,
        algebra: bool,
        parallel: bool,
        output: &mut DMatrix<T>,
    ) -> Result<(), ForwardError> {
        self.start(block, keep, algebra, |stream| streams[stream].ncols());
        if algebra {
            let heads = self.plan.seats.iter().enumerate().filter(|(_, seat)| seat.route == Route::Algebra);
            self.algebra.compute(block, heads.map(|(h, _)| h), streams, &mut self.bias, parallel);
        }
        self.absorb(block, streams, parallel);
        self.advance(block, streams, parallel, output)
    }

    /// Lays out a block and empties its memories.
    pub(super) fn start(
        &mut self,
        block: &Block<T>,
        keep: bool,
        algebra: bool,
        tokens: impl Fn(&str) -> usize,
    ) {
        self.plan.lay_out(block, keep, |head| algebra && applies(head));
        self.algebra.clear();
        self.bias.clear();
        self.bias.extend_from_slice(block.b_o.as_slice());
        self.rooms.resize_with(block.heads.len(), Room::default);
        for ((room, seat), head) in self.rooms.iter_mut().zip(&self.plan.seats).zip(&block.heads) {
            room.reset(head, *seat, tokens(&head.context_stream));
        }
    }

    /// Contexts that must be known before the first query is read.
    pub(super) fn absorb(&mut self, block: &Block<T>, streams: &Streams<T>, parallel: bool) {
        let early = self.plan.stacks.iter().filter(|s| s.early && s.rows > 0);
        let longest = early.map(|s| streams[&s.stream].ncols()).max().unwrap_or(0);
        for first in (0..longest).step_by(WINDOW) {
            for stack in self.plan.stacks.iter_mut().filter(|s| s.early && s.rows > 0) {
                let count = WINDOW.min(streams[&stack.stream].ncols().saturating_sub(first));
                stack.project(streams, first, count, parallel);
            }
            let plan = &self.plan;
            let one = |(h, room): (usize, &mut Room<T>)| {
                let (head, seat) = (&block.heads[h], plan.seats[h]);
                let count = WINDOW.min(streams[&head.context_stream].ncols().saturating_sub(first));
                if seat.route == Route::State && head.mask == Mask::Full && count > 0 {
                    room.absorb(head, seat, plan, Window { first, count });
                }
            };
            if parallel {
                self.rooms.par_iter_mut().enumerate().for_each(one);
            } else {
                self.rooms.iter_mut().enumerate().for_each(one);
            }
        }
    }

    /// Queries, read-outs and outputs of the tokens of `streams`.
    pub(super) fn advance(
        &mut self,
        block: &Block<T>,
        streams: &Streams<T>,
        parallel: bool,
        output: &mut DMatrix<T>,
    ) -> Result<(), ForwardError> {
        let n = streams[&block.clock_stream].ncols();
        if output.shape() != (block.d_model, n) {
            *output = DMatrix::zeros(block.d_model, n);
        }
        for first in (0..n).step_by(WINDOW) {
            let window = Window { first, count: WINDOW.min(n - first) };
            for stack in self.plan.stacks.iter_mut().filter(|s| !s.early && s.rows > 0) {
                stack.project(streams, first, window.count, parallel);
            }
            let plan = &self.plan;
            let one = |(h, room): (usize, &mut Room<T>)| {
                let (head, seat) = (&block.heads[h], plan.seats[h]);
                if seat.route != Route::Algebra {
                    let n_context = streams[&head.context_stream].ncols();
                    room.read(head, seat, plan, window, n_context, parallel);
                }
            };
            if parallel {
                self.rooms.par_iter_mut().enumerate().for_each(one);
            } else {
                self.rooms.iter_mut().enumerate().for_each(one);
            }
            for (h, room) in self.rooms.iter().enumerate() {
                room.trouble(h)?;
            }
            self.write(block, streams, window, parallel, output)?;
        }
        Ok(())
    }

    /// Outputs of a window.
    fn write(
        &mut self,
        block: &Block<T>,
        streams: &Streams<T>,
        window: Window,
        parallel: bool,
        output: &mut DMatrix<T>,
    ) -> Result<(), ForwardError> {
        let (rows, wide) = (block.d_model, self.plan.read_outs);
        let start = if self.plan.keep { window.first } else { 0 };
        let needed = wide * (start + window.count);
        if self.read_outs.len() < needed {
            self.read_outs.resize(needed, T::zero());
        }
        let (plan, rooms) = (&self.plan, &self.rooms);
        chunks(&mut self.read_outs[start * wide..needed], wide, BLOCK, parallel, |at, read_outs| {
            for (seat, room) in plan.seats.iter().zip(rooms).filter(|(seat, _)| seat.route != Route::Algebra)
            {
                room.gather(*seat, start + at, seat.read_out, wide, read_outs);
            }
        });
        let bad = AtomicUsize::new(usize::MAX);
        let (read_outs, bias, maps) = (&self.read_outs, &self.bias, &self.algebra.maps);
        let is_biased = bias.iter().any(|b| !b.is_zero());
        let w_o = Operand::from_columns(&self.plan.w_o, rows, wide);
        let apart = block.residual.iter().filter(|path| maps.iter().all(|map| map.stream != path.stream));
        let is_identity = |m: &DMatrix<T>| m.is_square() && m.is_identity(T::zero());
        let paths: Vec<_> = apart.map(|path| (path, is_identity(&path.matrix))).collect();
        let tokens = &mut output.as_mut_slice()[window.first * rows..(window.first + window.count) * rows];
        chunks(tokens, rows, BLOCK, parallel, |at, y| {
            let count = y.len() / rows;
            let of = |stream: &str| Operand::columns(&streams[stream], window.first + at, count);
            // 0 until something is there to be added to.
            let mut before = T::zero();
            if is_biased {
                y.chunks_exact_mut(rows).for_each(|token| token.copy_from_slice(bias));
                before = T::one();
            }
            for (path, is_identity) in &paths {
                let x = &streams[&path.stream].as_slice()[(window.first + at) * path.matrix.ncols()..];
                if !*is_identity {
                    gemm_into(y, T::one(), Operand::of(&path.matrix), of(&path.stream), before);
                } else if before.is_zero() {
                    y.copy_from_slice(&x[..y.len()]);
                } else {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += *x);
                }
                before = T::one();
            }
            for map in maps {
                let x = of(&map.stream);
                gemm_into(y, T::one(), Operand::from_columns(&map.matrix, rows, x.shape().0), x, before);
                before = T::one();
            }
            let from = (start + at) * wide;
            let u = Operand::from_columns(&read_outs[from..from + wide * count], wide, count);
            gemm_into(y, T::one(), w_o, u, before);
            if let Some(token) = first_not_finite(y, rows) {
                bad.fetch_min(window.first + at + token, Ordering::Relaxed);
            }
        });
        match bad.into_inner() {
            usize::MAX => Ok(()),
            token => Err(ForwardError::OutputNotFinite { token }),
        }
    }
}
