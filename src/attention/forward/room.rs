//! What one head holds while tokens pass: its memory, its read-outs, and room to work in.

use super::blocks::powers_into;
use super::carried::{State, is_narrow};
use super::error::ForwardError;
use super::plan::{Plan, Route, Seat};
use super::recurrent::Rule;
use super::tiles::Scoring;
use super::{View, decay_of, delta, linear, recurrent, sink, tiles};
use crate::attention::{FeatureMap, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate};
use crate::linalg::{Operand, Real, all_finite, copy_rows, gemm_into, real};
use crate::vocabulary::OnPaper;

/// What goes wrong at a token.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    NotFinite,
    ZeroSum,
    Underflow,
}

/// One head's memory and room.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Room<T> {
    state: State<T>,
    /// powers of the decay
    weights: Vec<T>,
    /// write strengths or gains, `[1 or rows, tokens]`
    pub rates: Vec<T>,
    /// read-outs `[value rows, tokens]`; where they are divided, the last row is the sum of scores
    pub read: Vec<T>,
    pub maxima: Vec<T>,
    trouble: Option<(usize, Trouble)>,
}

/// Tokens `first .. first + count`.
#[derive(Clone, Copy, Debug)]
pub(in crate::attention) struct Window {
    pub first: usize,
    pub count: usize,
}

/// The row that belongs to the last `rows` of a kept or passing row of tokens.
fn place<T: Real>(row: &mut Vec<T>, keep: bool, window: Window, rows: usize) -> &mut [T] {
    let start = if keep { window.first * rows } else { 0 };
    let end = start + window.count * rows;
    if row.len() < end {
        row.resize(end, T::zero());
    }
    &mut row[start..end]
}

impl<T: Real> Room<T> {
    /// An empty memory, ready for the first token; `n_context` matters to heads without a memory only.
    pub fn reset(&mut self, head: &Head<T>, seat: Seat, n_context: usize) {
        self.trouble = None;
        self.weights.clear();
        self.state.clear();
        match seat.route {
            Route::Algebra => {}
            Route::State => {
                self.state.start(seat.value.rows * seat.key.rows, goes_by_tokens(head));
                if let Some(g) = decay_of(head) {
                    let chunk = linear::chunk_of(seat.key.rows, seat.value.rows);
                    let needed = linear::powers_needed((head.mask != Mask::Full).then_some(chunk));
                    powers_into(Some(g), needed, &mut self.weights);
                }
            }
            Route::Tiles => {
                let decay = decay_of(head);
                powers_into(decay, if decay.is_some() { n_context } else { 0 }, &mut self.weights);
            }
        }
    }

    /// Context tokens of a head with a full mask and a memory.
    pub fn absorb(&mut self, head: &Head<T>, seat: Seat, plan: &Plan<T>, window: Window) {
        let view = |slot: super::plan::Slot| plan.stacks[slot.stack].view(slot, window.first, window.count);
        let (keys, values) = (view(seat.key), view(seat.value));
        self.rate(head, seat, plan, window);
        if let Some(rule) = rule_of(head) {
            let x = View { queries: keys, keys, values, scale: T::one(), backwards: false };
            let rates = place(&mut self.rates, plan.keep, window, n_rates(head));
            pass(x, Mask::Full, rule, rates, &mut self.state, &mut []);
        } else {
            linear::absorb(keys, values, &self.weights, &mut self.state);
        }
    }

    /// Read-outs of a window of queries.
    pub fn read(
        &mut self,
        head: &Head<T>,
        seat: Seat,
        plan: &Plan<T>,
        window: Window,
        n_context: usize,
        parallel: bool,
    ) {
        let rows = seat.value.rows;
        let view = |slot: super::plan::Slot, first, count| plan.stacks[slot.stack].view(slot, first, count);
        let queries = view(seat.query, window.first, window.count);
        let scale = head.scale;
        let (first, count) =
            if seat.route == Route::Tiles { (0, n_context) } else { (window.first, window.count) };
        if seat.route == Route::State && head.mask == Mask::Full {
            let out = place(&mut self.read, plan.keep, window, rows);
            let memory = self.state.whole(seat.key.rows, goes_by_tokens(head));
            let memory = Operand::from_columns(memory, rows, seat.key.rows);
            gemm_into(out, scale, memory, queries, T::zero());
        } else {
            let (keys, values) = (view(seat.key, first, count), view(seat.value, first, count));
            let x = View { queries, keys, values, scale, backwards: false };
            if seat.route == Route::Tiles {
                let out = place(&mut self.read, plan.keep, window, rows);
                let maxima = place(&mut self.maxima, plan.keep, window, 1);
                let (how, turned) = (Scoring::of(head), &mut self.state.room[0]);
                if window.first == 0 {
                    tiles::turn(keys, values, head.d_value(), turned);
                }
                tiles::read(x, window.first, how, &self.weights, parallel, turned, out, maxima);
            } else if let Some(rule) = rule_of(head) {
                self.rate(head, seat, plan, window);
                let rates = place(&mut self.rates, plan.keep, window, n_rates(head));
                let out = place(&mut self.read, plan.keep, window, rows);
                pass(x, head.mask, rule, rates, &mut self.state, out);
            } else {
                let out = place(&mut self.read, plan.keep, window, rows);
                let lag = usize::from(head.mask == Mask::Strict);
                linear::scan(x, lag, &self.weights, &mut self.state, out);
            }
        }
        self.sink(head, seat, plan, window);
        self.finish(head, rows, plan.keep, window, n_context);
    }

    /// Adds the sink to the sums of scores.
    fn sink(&mut self, head: &Head<T>, seat: Seat, plan: &Plan<T>, window: Window) {
        let Some((sink, slot)) = head.sink.as_ref().zip(seat.sink) else { return };
        let rows = seat.value.rows;
        let softmax = Scoring::of(head).softmax;
        let features = plan.stacks[slot.stack].view(slot, window.first, window.count);
        let maxima = place(&mut self.maxima, plan.keep, window, 1);
        let tokens = place(&mut self.read, plan.keep, window, rows).chunks_exact_mut(rows);
        for (t, (token, top)) in tokens.zip(maxima).enumerate() {
            let features = if slot.rows > 0 { features.column(t) } else { &[] };
            sink::join(sink, features, softmax, token, top);
        }
    }

    /// Divides by the sum of scores where the head says so, and looks for numbers that are not finite.
    fn finish(&mut self, head: &Head<T>, rows: usize, keep: bool, window: Window, n_context: usize) {
        let out = place(&mut self.read, keep, window, rows);
        let mut trouble = first_not_finite(out, rows).map(|t| (t, Trouble::NotFinite));
        if trouble.is_none() && head.normalisation == Normalisation::Sum {
            // What is summed is above 0 on paper, if there is a token.
            let first = if head.mask == Mask::Strict { 1 } else { 0usize };
            let first = first.saturating_sub(window.first);
            if is_positive(head) && n_context > 0 {
                let least = lost::<T>();
                let is_lost = |token: &[T]| token[rows - 1] < least && -token[rows - 1] < least;
                let at = out.chunks_exact(rows).enumerate().skip(first).find(|(_, token)| is_lost(token));
                trouble = at.map(|(t, _)| (t, Trouble::Underflow));
            }
            trouble = trouble.or_else(|| divide(out, rows).map(|t| (t, Trouble::ZeroSum)));
            if trouble.is_none() {
                trouble = first_not_finite(out, rows).map(|t| (t, Trouble::NotFinite));
            }
        }
        self.trouble = trouble.map(|(t, what)| (window.first + t, what));
    }

    /// What went wrong in the last window.
    pub fn trouble(&self, head: usize) -> Result<(), ForwardError> {
        match self.trouble {
            None => Ok(()),
            Some((token, Trouble::NotFinite)) => Err(ForwardError::NotFinite { head, token }),
            Some((token, Trouble::ZeroSum)) => Err(ForwardError::DivisionByZero { head, token }),
            Some((token, Trouble::Underflow)) => Err(ForwardError::Underflow { head, token }),
        }
    }

    /// Copies the read-outs from token `first` on into rows `row ..` of tokens that are `wide`.
    pub fn gather(&self, seat: Seat, first: usize, row: usize, wide: usize, tokens: &mut [T]) {
        let rows = seat.value.rows;
        if seat.read_rows > 0 {
            copy_rows(&mut tokens[row..], wide, &self.read[first * rows..], rows, seat.read_rows);
        }
    }

    /// Write strengths or gains of a delta or gated memory.
    fn rate(&mut self, head: &Head<T>, seat: Seat, plan: &Plan<T>, window: Window) {
        let rows = n_rates(head);
        if rows == 0 {
            return;
        }
        let out = place(&mut self.rates, plan.keep, window, rows);
        match (&head.memory, seat.gate.zip(head.memory.gate())) {
            (Memory::Delta(Rate::Constant(b)), _) => out.fill(*b),
            (_, Some((slot, gate))) => {
                for token in out.chunks_exact_mut(rows) {
                    token.copy_from_slice(gate.constant.as_slice());
                }
                let features = plan.stacks[slot.stack].view(slot, window.first, window.count);
                gemm_into(out, T::one(), Operand::of(&gate.weights), features, T::one());
            }
            _ => {}
        }
    }
}

/// Rows of the rates of a delta or gated memory, 0 for others.
pub(in crate::attention) fn n_rates<T: Real>(head: &Head<T>) -> usize {
    match &head.memory {
        Memory::Delta(Rate::Constant(_)) => 1,
        memory => memory.gate().map_or(0, |gate| gate.constant.len()),
    }
}

/// How a memory moves token by token; chunks of tokens are faster for large ones that are only added to.
fn rule_of<T: Real>(head: &Head<T>) -> Option<Rule<T>> {
    let small = head.mask != Mask::Full && recurrent::is_small::<T>(head.d_key() * head.d_value());
    match &head.memory {
        Memory::Delta(_) => Some(Rule::Delta),
        Memory::Gated { side, .. } => Some(Rule::Gated(*side)),
        Memory::None | Memory::Hebbian => small.then_some(Rule::Plain(T::one())),
        Memory::Decay(g) => small.then_some(Rule::Plain(*g)),
    }
}

/// Whether tokens pass the memory one by one.
fn goes_by_tokens<T: Real>(head: &Head<T>) -> bool {
    match rule_of(head) {
        Some(Rule::Delta) => recurrent::is_small::<T>(head.d_key() * head.d_value()),
        rule => rule.is_some(),
    }
}

/// Tokens past a memory: a large delta memory in chunks, all others one by one.
fn pass<T: Real>(
    x: View<'_, T>,
    mask: Mask,
    rule: Rule<T>,
    rates: &[T],
    state: &mut State<T>,
    out: &mut [T],
) {
    if matches!(rule, Rule::Delta) && !recurrent::is_small::<T>(state.memory.len()) {
        delta::scan(x, mask, rates, state, out);
    } else {
        state.carried.scan(x, mask, rule, rates, &mut state.memory, out);
    }
}

/// The side that the rates of a head act on.
pub(in crate::attention) fn side_of<T: Real>(head: &Head<T>) -> GateSide {
    if let Memory::Gated { side, .. } = head.memory { side } else { GateSide::Value }
}

/// Whether keys and queries are made of rates above 0.
fn is_positive<T: Real>(head: &Head<T>) -> bool {
    let above = |map: FeatureMap| map.on_paper(OnPaper::Any) == OnPaper::Positive;
    matches!(head.kernel, Kernel::Feature { key, query } if above(key) && above(query))
}

/// Sums below this may have lost digits.
fn lost<T: Real>() -> T {
    real(if is_narrow::<T>() { 1e-30 } else { 1e-280 })
}

/// Divides each token by its last row; the token at which x/0 was met.
fn divide<T: Real>(u: &mut [T], rows: usize) -> Option<usize> {
    for (i, token) in u.chunks_exact_mut(rows).enumerate() {
        let (values, sum) = token.split_at_mut(rows - 1);
        if sum[0].is_zero() {
            if values.iter().any(|x| !x.is_zero()) {
                return Some(i);
            }
        } else {
            values.iter_mut().for_each(|x| *x /= sum[0]);
        }
    }
    None
}

/// The first token with a number that is not finite.
pub(super) fn first_not_finite<T: Real>(tokens: &[T], rows: usize) -> Option<usize> {
    if all_finite(tokens) {
        return None;
    }
    tokens.iter().position(|x| !x.is_finite()).map(|bad| bad / rows)
}
