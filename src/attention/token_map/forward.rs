//! Tokens in blocks of constant size, one product of matrices for each arrow.
//!
//! A token whose numbers leave the range of the precision, or which divides by next to nothing, is evaluated once more by
//! itself with exponents of any size (`token`): so pooled exponentials give their limit, and what still is x/0 says so.

use super::order::{Group, order};
use super::settle::{self, Loop};
use super::{Arrow, Compartment, MapCells, Response, Source, TokenMap, Weights, token};
use crate::attention::forward::PARALLEL_FLOP;
use crate::attention::forward::blocks::{BLOCK, chunks};
use crate::attention::forward::inputs::find;
use crate::attention::{FeatureMap, ForwardError, Streams};
use crate::linalg::{Operand, Real, all_finite, gemm_into, real};
use nalgebra::DMatrix;
use std::sync::Mutex;

/// Rates and compartments of one block of tokens; all numbers stand cell after cell, token after token.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Trace<T> {
    pub cells: Vec<CellTrace<T>>,
    /// tokens of the block that were evaluated by themselves; their numbers here are of no use
    pub alone: Vec<usize>,
}

/// What one population made of its inputs.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct CellTrace<T> {
    /// the sum of both compartments where nothing divides and nothing multiplies
    pub basal: Half<T>,
    pub apical: Half<T>,
    /// empty where they are the basal compartment
    rates: Vec<T>,
}

/// A compartment.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Half<T> {
    /// after the division
    pub value: Vec<T>,
    /// empty where nothing divides
    pub divisor: Vec<T>,
}

impl<T: Real> CellTrace<T> {
    /// `[n, tokens]`
    pub fn rates(&self) -> &[T] {
        if self.rates.is_empty() { &self.basal.value } else { &self.rates }
    }

    pub fn rates_mut(&mut self) -> &mut Vec<T> {
        &mut self.rates
    }

    /// Room for so many rates of their own.
    pub fn resize_rates(&mut self, size: usize) {
        self.rates.clear();
        self.rates.resize(size, T::zero());
    }

    /// Everything of a token 0, divisors 1.
    pub fn forget(&mut self, n: usize, token: usize) {
        let fill = |numbers: &mut Vec<T>, with: T| {
            if !numbers.is_empty() {
                numbers[token * n..(token + 1) * n].fill(with);
            }
        };
        fill(&mut self.rates, T::zero());
        for half in [&mut self.basal, &mut self.apical] {
            fill(&mut half.value, T::zero());
            fill(&mut half.divisor, T::one());
        }
    }
}

/// Whether a pass over the tokens is long enough for threads.
pub(in crate::attention) fn is_parallel<T: Real>(map: &TokenMap<T>, streams: &Streams<T>) -> bool {
    let tokens = streams.get(&map.clock_stream).map_or(0, DMatrix::ncols);
    let arrows = |cells: &MapCells<T>| cells.arrows().map(|a| a.weights.as_slice().len()).sum::<usize>();
    2 * tokens * map.cells.iter().map(|cells| arrows(cells) + 10 * cells.n).sum::<usize>() > PARALLEL_FLOP
}

/// Whether both compartments may be added up in one place.
pub(super) fn is_merged<T: Real>(cells: &MapCells<T>) -> bool {
    let undivided = cells.basal.divisors.is_empty() && cells.apical.divisors.is_empty();
    undivided && cells.activation != Response::Product
}

/// A map whose arrows fit, laid out to be run.
#[derive(Clone, Debug)]
pub(in crate::attention) struct Runner<'a, T: Real> {
    pub(in crate::attention) map: &'a TokenMap<T>,
    pub(super) groups: Vec<Group>,
    pub(super) loops: Vec<Loop>,
}

impl<'a, T: Real> Runner<'a, T> {
    /// # Errors
    /// As [`TokenMap::check`].
    pub fn new(map: &'a TokenMap<T>) -> Result<Self, ForwardError> {
        map.check()?;
        let groups = order(map);
        let loops = groups.iter().filter_map(|group| match group {
            Group::Loop(cells) => Some(Loop::of(map, cells)),
            Group::Single(_) => None,
        });
        let loops = loops.collect();
        Ok(Self { map, groups, loops })
    }

    /// Whether the streams fit; the number of tokens.
    pub fn check(&self, streams: &Streams<T>) -> Result<usize, ForwardError> {
        let clock = &self.map.clock_stream;
        let n = find(streams, clock, || "the clock of the map".into())?.ncols();
        for (s, input) in self.map.inputs.iter().enumerate() {
            let what = || format!("input {s}");
            let x = find(streams, &input.stream, what)?;
            if x.ncols() != n {
                let (stream, clock) = (input.stream.clone(), clock.clone());
                let (what, tokens) = (what(), x.ncols());
                return Err(ForwardError::TokenCounts { what, stream, tokens, clock, expected: n });
            }
            if x.nrows() != input.d_stream {
                let (what, shape) = (what(), (input.d_stream, n));
                let other = format!("stream `{}`", input.stream);
                return Err(ForwardError::Shape { what, shape, other, other_shape: x.shape() });
            }
        }
        Ok(n)
    }

    /// Output `[d_model, n_tokens]`, which is resized where it does not fit; traces of all blocks of tokens where they are
    /// to stay.
    pub fn run(
        &self,
        streams: &Streams<T>,
        parallel: bool,
        output: &mut DMatrix<T>,
        keep: Option<&mut Vec<Trace<T>>>,
    ) -> Result<(), ForwardError> {
        let n = self.check(streams)?;
        let rows = self.map.d_model();
        if output.shape() != (rows, n) {
            *output = DMatrix::zeros(rows, n);
        }
        let inputs: Vec<&DMatrix<T>> = self.map.inputs.iter().map(|i| &streams[&i.stream]).collect();
        let failed: Mutex<Option<(usize, ForwardError)>> = Mutex::new(None);
        let note = |first: usize, done: Result<(), ForwardError>| {
            if let (Err(error), Ok(mut failed)) = (done, failed.lock())
                && failed.as_ref().is_none_or(|(before, _)| first < *before)
            {
                *failed = Some((first, error));
            }
        };
        if let Some(traces) = keep {
            traces.resize_with(n.div_ceil(BLOCK), Trace::default);
            let slots: Vec<Mutex<&mut Trace<T>>> = traces.iter_mut().map(Mutex::new).collect();
            chunks(output.as_mut_slice(), rows, BLOCK, parallel, |first, y| {
                if let Ok(mut trace) = slots[first / BLOCK].lock() {
                    note(first, self.block(&inputs, first, y, &mut trace));
                    for t in trace.alone.clone() {
                        let cells = trace.cells.iter_mut().zip(&self.map.cells);
                        cells.for_each(|(cell, of)| cell.forget(of.n, t));
                    }
                }
            });
        } else {
            let spare: Mutex<Vec<Trace<T>>> = Mutex::default();
            chunks(output.as_mut_slice(), rows, BLOCK, parallel, |first, y| {
                let mut trace = spare.lock().ok().and_then(|mut s| s.pop()).unwrap_or_default();
                note(first, self.block(&inputs, first, y, &mut trace));
                if let Ok(mut spare) = spare.lock() {
                    spare.push(trace);
                }
            });
        }
        match failed.into_inner() {
            Ok(Some((_, error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// Tokens from `first` on, as many as `y` has room for.
    fn block(
        &self,
        inputs: &[&DMatrix<T>],
        first: usize,
        y: &mut [T],
        trace: &mut Trace<T>,
    ) -> Result<(), ForwardError> {
        let rows = self.map.d_model();
        let count = y.len() / rows;
        trace.alone.clear();
        trace.cells.resize_with(self.map.cells.len(), CellTrace::default);
        let mut odd = vec![false; count];
        let mut loops = self.loops.iter();
        for group in &self.groups {
            match group {
                Group::Single(c) => self.cells(*c, inputs, first, count, trace, &mut odd),
                Group::Loop(_) => {
                    let Some(of) = loops.next() else { continue };
                    settle::settle(self, of, inputs, first, count, trace, &mut odd);
                }
            }
        }
        let mut at = 0;
        for c in &self.map.output {
            let n = self.map.cells[*c].n;
            let rates = trace.cells[*c].rates();
            if n > 0 {
                for (token, rates) in y.chunks_exact_mut(rows).zip(rates.chunks_exact(n)) {
                    token[at..at + n].copy_from_slice(rates);
                }
            }
            at += n;
        }
        for t in (0..count).filter(|t| odd[*t]) {
            let x: Vec<&[T]> = inputs.iter().map(|m| column(m, first + t)).collect();
            let exact = token::evaluate(self, &x, first + t)?;
            let output = &mut y[t * rows..(t + 1) * rows];
            exact.output(self, first + t, output)?;
            trace.alone.push(t);
        }
        Ok(())
    }

    /// One population that does not read itself.
    fn cells(
        &self,
        c: usize,
        inputs: &[&DMatrix<T>],
        first: usize,
        count: usize,
        trace: &mut Trace<T>,
        odd: &mut [bool],
    ) {
        let of = &self.map.cells[c];
        let mut own = std::mem::take(&mut trace.cells[c]);
        let sources = Sources { inputs, first, count, map: self.map, cells: &trace.cells };
        if is_merged(of) {
            let all = of.basal.sums.iter().chain(&of.apical.sums);
            sources.add_up(all, of.n, &mut own.basal.value);
        } else {
            sources.compartment(&of.basal, of.n, &mut own.basal, odd);
            sources.compartment(&of.apical, of.n, &mut own.apical, odd);
        }
        let two = !own.apical.value.is_empty();
        own.rates.clear();
        let CellTrace { basal, apical, rates } = &mut own;
        let (basal, apical) = (&mut basal.value, &apical.value);
        match of.activation {
            Response::Product if basal.is_empty() || apical.is_empty() => {
                rates.resize(of.n * count, T::zero());
            }
            Response::Product => rates.extend(basal.iter().zip(apical).map(|(b, a)| *b * *a)),
            Response::Function(f) => {
                basal.resize(of.n * count, T::zero());
                match f {
                    _ if two => rates.extend(basal.iter().zip(apical).map(|(b, a)| f.value(*b + *a))),
                    FeatureMap::Identity => {}
                    f => rates.extend(basal.iter().map(|z| f.value(*z))),
                }
            }
        }
        flag(own.rates(), of.n, odd);
        trace.cells[c] = own;
    }
}

/// Marks the tokens with a number that is not finite.
fn flag<T: Real>(numbers: &[T], n: usize, odd: &mut [bool]) {
    if n == 0 || all_finite(numbers) {
        return;
    }
    for (token, odd) in numbers.chunks_exact(n).zip(odd) {
        *odd |= token.iter().any(|x| !x.is_finite());
    }
}

fn column<T: Real>(m: &DMatrix<T>, t: usize) -> &[T] {
    &m.as_slice()[t * m.nrows()..(t + 1) * m.nrows()]
}

/// Below that a divisor may have lost digits, as sums of scores may.
pub(super) fn lost<T: Real>() -> T {
    real(if size_of::<T>() < size_of::<f64>() { 1e-30 } else { 1e-280 })
}

/// What arrows read.
pub(super) struct Sources<'a, T: Real> {
    pub inputs: &'a [&'a DMatrix<T>],
    pub first: usize,
    pub count: usize,
    pub map: &'a TokenMap<T>,
    pub cells: &'a [CellTrace<T>],
}

impl<'a, T: Real> Sources<'a, T> {
    /// Tokens of a source, `[width, count]`; nothing for a constant.
    pub fn of(&self, source: Source) -> Option<Operand<'a, T>> {
        match source {
            Source::Stream(s) => Some(Operand::columns(self.inputs[s], self.first, self.count)),
            Source::Cells(c) => {
                Some(Operand::from_columns(self.cells[c].rates(), self.map.cells[c].n, self.count))
            }
            Source::Constant => None,
        }
    }

    /// A compartment; tokens with x/0 or a divisor next to nothing are marked, 0/0 among them.
    fn compartment(&self, of: &Compartment<T>, n: usize, half: &mut Half<T>, odd: &mut [bool]) {
        half.value.clear();
        half.divisor.clear();
        if of.sums.is_empty() && of.divisors.is_empty() {
            return;
        }
        self.add_up(&of.sums, n, &mut half.value);
        if of.divisors.is_empty() || n == 0 {
            return;
        }
        self.add_up(&of.divisors, n, &mut half.divisor);
        let least = lost::<T>();
        let tokens = half.value.chunks_exact_mut(n).zip(half.divisor.chunks_exact(n));
        for ((values, divisors), odd) in tokens.zip(odd) {
            for (x, d) in values.iter_mut().zip(divisors) {
                *odd |= *d < least && -*d < least;
                *x /= *d;
            }
        }
    }

    /// The sum of arrows, `[n, count]`.
    pub fn add_up<'b>(&self, arrows: impl IntoIterator<Item = &'b Arrow<T>>, n: usize, out: &mut Vec<T>)
    where
        T: 'b,
    {
        let arrows: Vec<&Arrow<T>> = arrows.into_iter().collect();
        out.resize(n * self.count, T::zero());
        // 0 until something is there to be added to.
        let mut before = T::zero();
        let constant = constant(&arrows, n);
        if let Some(constant) = &constant {
            out.chunks_exact_mut(n.max(1)).for_each(|token| token.copy_from_slice(constant));
            before = T::one();
        }
        for arrow in &arrows {
            let Some(x) = self.of(arrow.source) else { continue };
            match &arrow.weights {
                Weights::Dense(w) => gemm_into(out, T::one(), Operand::of(w), x, before),
                Weights::Identity(gain) => {
                    for (j, token) in out.chunks_exact_mut(n.max(1)).enumerate() {
                        let x = x.column(j);
                        if before.is_zero() {
                            token.iter_mut().zip(x).for_each(|(y, x)| *y = *gain * *x);
                        } else {
                            token.iter_mut().zip(x).for_each(|(y, x)| *y += *gain * *x);
                        }
                    }
                }
            }
            before = T::one();
        }
        if before.is_zero() {
            out.fill(T::zero());
        }
    }
}

/// What arrives from constants at every token, if anything does.
fn constant<T: Real>(arrows: &[&Arrow<T>], n: usize) -> Option<Vec<T>> {
    let mut constants = arrows.iter().filter(|a| a.source == Source::Constant).peekable();
    constants.peek()?;
    let mut sum = vec![T::zero(); n];
    for arrow in constants {
        match &arrow.weights {
            Weights::Dense(w) => sum.iter_mut().zip(w.iter()).for_each(|(sum, w)| *sum += *w),
            Weights::Identity(gain) => sum.iter_mut().for_each(|sum| *sum += *gain),
        }
    }
    Some(sum)
}
