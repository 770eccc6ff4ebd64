//! Which rows of which projection each head reads, and by which route.
//!
//! The projections of all heads that read one stream stand on top of each other in one [`Stack`], so that a block of
//! tokens is projected by one product. There are two stacks to a stream: the early one holds keys and values (and
//! gates) that must be known before the first query is read, that is those of full masks and of heads without a state.

use super::blocks::{BLOCK, chunks};
use super::is_scored;
use crate::attention::{Block, FeatureMap, Head, Kernel, Mask, Normalisation, Streams};
use crate::linalg::{Operand, Real, copy_rows, gemm_into};
use nalgebra::{DMatrix, DVector};

/// How a head makes its read-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attention) enum Route {
    /// as one matrix on the query tokens, from the second moments of the context tokens
    Algebra,
    /// from a memory matrix
    State,
    /// from scores in tiles
    Tiles,
}

/// Rows of a stack.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::attention) struct Slot {
    pub stack: usize,
    pub first: usize,
    pub rows: usize,
}

/// The slots of one head; those of a head in [`Route::Algebra`] are empty.
#[derive(Clone, Copy, Debug)]
pub(in crate::attention) struct Seat {
    pub route: Route,
    pub query: Slot,
    pub key: Slot,
    /// with a last row that is always 1 where the read-out is divided by the sum of scores
    pub value: Slot,
    pub gate: Option<Slot>,
    /// features of what joins the sum of scores
    pub sink: Option<Slot>,
    /// first row of the read-out in the stack of read-outs
    pub read_out: usize,
    /// rows of the read-out, `d_v`
    pub read_rows: usize,
}

/// Projections of one stream, `[rows, tokens]`.
#[derive(Clone, Debug)]
pub(in crate::attention) struct Stack<T> {
    pub stream: String,
    pub early: bool,
    pub rows: usize,
    /// width of the stream
    pub width: usize,
    /// `[rows, width]`
    pub weights: Vec<T>,
    bias: Vec<T>,
    /// whether any bias is not 0
    is_biased: bool,
    maps: Vec<(usize, usize, FeatureMap)>,
    /// whether tokens stay: they stand at their own place, else at that within the window
    pub kept: bool,
    tokens: Vec<T>,
}

impl<T: Real> Stack<T> {
    /// Projects tokens `first .. first + count` of its stream.
    pub fn project(&mut self, streams: &Streams<T>, first: usize, count: usize, parallel: bool) {
        let x = &streams[&self.stream];
        let rows = self.rows;
        let start = if self.kept { first } else { 0 };
        let needed = (start + count) * rows;
        if self.tokens.len() < needed {
            self.tokens.resize(needed, T::zero());
        }
        let weights = Operand::from_columns(&self.weights, rows, self.width);
        let (bias, is_biased, maps) = (&self.bias, self.is_biased, &self.maps);
        chunks(&mut self.tokens[start * rows..needed], rows, BLOCK, parallel, |at, block| {
            if is_biased {
                block.chunks_exact_mut(rows).for_each(|token| token.copy_from_slice(bias));
            }
            let x = Operand::columns(x, first + at, block.len() / rows);
            gemm_into(block, T::one(), weights, x, if is_biased { T::one() } else { T::zero() });
            for (from, count, map) in maps {
                for token in block.chunks_exact_mut(rows) {
                    token[*from..from + count].iter_mut().for_each(|x| *x = map.value(*x));
                }
            }
        });
    }

    /// Rows of the tokens `first .. first + count`, projected before.
    pub fn view(&self, slot: Slot, first: usize, count: usize) -> Operand<'_, T> {
        let start = if self.kept { first } else { 0 };
        let tokens = &self.tokens[start * self.rows..(start + count) * self.rows];
        Operand::from_columns(tokens, self.rows, count).rows(slot.first, slot.rows)
    }

    /// Makes room for `rows` rows.
    fn seat(&mut self, stack: usize, rows: usize) -> Slot {
        let first = self.rows;
        self.rows += rows;
        Slot { stack, first, rows }
    }

    fn fill(&mut self, slot: Slot, w: &DMatrix<T>, b: &DVector<T>) {
        let rows = w.nrows();
        self.bias[slot.first..slot.first + rows].copy_from_slice(b.as_slice());
        if rows > 0 && !w.is_empty() {
            copy_rows(&mut self.weights[slot.first..], self.rows, w.as_slice(), rows, rows);
        }
    }
}

/// Stacks and seats of a block.
#[derive(Clone, Debug)]
pub(in crate::attention) struct Plan<T> {
    pub stacks: Vec<Stack<T>>,
    pub seats: Vec<Seat>,
    /// rows of all read-outs
    pub read_outs: usize,
    /// `W_O` of all heads but those in [`Route::Algebra`] side by side, `[d_model, read_outs]`
    pub w_o: Vec<T>,
    /// whether every projection stays
    pub keep: bool,
}

impl<T: Real> Plan<T> {
    pub fn new() -> Self {
        Self { stacks: Vec::new(), seats: Vec::new(), read_outs: 0, w_o: Vec::new(), keep: false }
    }

    /// Lays out a block whose shapes fit; room of an earlier layout is used again. With `keep`, every projection stays.
    pub fn lay_out(&mut self, block: &Block<T>, keep: bool, algebra: impl Fn(&Head<T>) -> bool) {
        for stack in &mut self.stacks {
            stack.rows = 0;
            stack.maps.clear();
            stack.kept = keep;
        }
        self.seats.clear();
        (self.keep, self.read_outs) = (keep, 0);
        for head in &block.heads {
            let route = if is_scored(head) {
                Route::Tiles
            } else if algebra(head) {
                Route::Algebra
            } else {
                Route::State
            };
            let seat = self.seat(head, route);
            self.seats.push(seat);
        }
        self.fill(block);
    }

    fn seat(&mut self, head: &Head<T>, route: Route) -> Seat {
        let read_out = self.read_outs;
        let (query, key, value) = (Slot::default(), Slot::default(), Slot::default());
        let mut seat =
            Seat { route, query, key, value, gate: None, sink: None, read_out, read_rows: head.d_value() };
        if route == Route::Algebra {
            return seat;
        }
        self.read_outs += head.d_value();
        let early = route == Route::Tiles || head.mask == Mask::Full;
        let sum = usize::from(head.normalisation == Normalisation::Sum);
        let mut slot = |stream: &str, early, width, rows| {
            let s = self.stack(stream, early, width);
            self.stacks[s].seat(s, rows)
        };
        seat.query = slot(&head.query_stream, false, head.w_q.ncols(), head.d_key());
        seat.key = slot(&head.context_stream, early, head.w_k.ncols(), head.d_key());
        seat.value = slot(&head.value_stream, early, head.w_v.ncols(), head.d_value() + sum);
        seat.gate =
            head.memory.gate().map(|g| slot(&g.stream, early, g.features.ncols(), g.features.nrows()));
        seat.sink =
            head.sink.as_ref().map(|g| slot(&g.stream, false, g.features.ncols(), g.features.nrows()));
        for s in [seat.key.stack, seat.value.stack] {
            self.stacks[s].kept |= route == Route::Tiles;
        }
        if let Kernel::Feature { key, query } = head.kernel {
            for (slot, map) in [(seat.query, query), (seat.key, key)] {
                if map != FeatureMap::Identity {
                    self.stacks[slot.stack].maps.push((slot.first, slot.rows, map));
                }
            }
        }
        // Exponentials of a sink stay exponents: they meet those of the scores.
        let gate = seat.gate.zip(head.memory.gate()).map(|(slot, gate)| (slot, gate, FeatureMap::Identity));
        let sink = seat.sink.zip(head.sink.as_ref()).map(|(slot, sink)| (slot, sink, FeatureMap::Exp));
        for (slot, gate, raw) in gate.into_iter().chain(sink) {
            let maps = gate.maps.iter().enumerate().map(|(i, map)| (slot.first + i, 1, *map));
            let maps = maps.filter(|(.., map)| *map != raw && *map != FeatureMap::Identity);
            self.stacks[slot.stack].maps.extend(maps);
        }
        seat
    }

    /// The stack of a stream; one that an earlier layout left without rows is taken over.
    fn stack(&mut self, stream: &str, early: bool, width: usize) -> usize {
        let found = self.stacks.iter().position(|s| s.early == early && s.stream == stream);
        if let Some(s) = found {
            self.stacks[s].width = width;
            return s;
        }
        self.stacks.push(Stack {
            stream: stream.to_owned(),
            early,
            rows: 0,
            width,
            weights: Vec::new(),
            bias: Vec::new(),
            is_biased: false,
            maps: Vec::new(),
            kept: self.keep,
            tokens: Vec::new(),
        });
        self.stacks.len() - 1
    }

    fn fill(&mut self, block: &Block<T>) {
        for stack in &mut self.stacks {
            stack.weights.resize(stack.rows * stack.width, T::zero());
            stack.bias.resize(stack.rows, T::zero());
        }
        self.w_o.resize(block.d_model * self.read_outs, T::zero());
        for (head, seat) in block.heads.iter().zip(&self.seats) {
            if seat.route == Route::Algebra {
                continue;
            }
            let parts = [
                (seat.query, &head.w_q, &head.b_q),
                (seat.key, &head.w_k, &head.b_k),
                (seat.value, &head.w_v, &head.b_v),
            ];
            let gates = [seat.gate.zip(head.memory.gate()), seat.sink.zip(head.sink.as_ref())];
            let gates = gates.into_iter().flatten().map(|(slot, gate)| (slot, &gate.features, &gate.bias));
            for (slot, w, b) in parts.into_iter().chain(gates) {
                self.stacks[slot.stack].fill(slot, w, b);
            }
            if head.normalisation == Normalisation::Sum {
                let (stack, last) = (&mut self.stacks[seat.value.stack], seat.value.first + head.d_value());
                stack.bias[last] = T::one();
                let rows = stack.rows;
                stack.weights.iter_mut().skip(last).step_by(rows).for_each(|w| *w = T::zero());
            }
            let at = seat.read_out * block.d_model;
            self.w_o[at..at + head.w_o.len()].copy_from_slice(head.w_o.as_slice());
        }
        for stack in &mut self.stacks {
            stack.is_biased = stack.bias.iter().any(|b| !b.is_zero());
        }
    }
}
