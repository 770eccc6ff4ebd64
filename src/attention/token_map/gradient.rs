//! Derivatives of a loss by the weights and inputs of a map.
//!
//! With `c = s / d` a compartment, `r = f(c_b + c_a)` or `c_b c_a` and `e = dL/dr`:
//!
//! ```text
//! dL/dc_b = f'(z) e  or  c_a e      dL/ds = dL/dc / d      dL/dd = -c dL/dc / d
//! dL/dW = dL/ds x^T                 dL/dx += W^T dL/ds     likewise for divisors
//! ```
//!
//! 0/0 is 0 and a constant; slopes at kinks are 0. Loops: `settle`.

use super::TokenMap;
use super::forward::{CellTrace, Half, Runner, Sources, Trace, is_merged};
use super::order::Group;
use super::settle::{by_parts, rest_of};
use super::token::{self, singular};
use super::{Arrow, Response, Source, Weights};
use crate::attention::forward::blocks::BLOCK;
use crate::attention::{ForwardError, Streams};
use crate::linalg::{Operand, Real, all_finite, gemm_into, real};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

/// Blocks of tokens are cut into this many parts; each has sums of its own, added in order.
const PARTS: usize = 4;

/// Derivatives by all weights of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapGradient<T: Real = f64> {
    /// for each population one for each arrow: basal inputs, basal divisors, apical inputs, apical divisors
    pub cells: Vec<Vec<Weights<T>>>,
    names: Vec<Vec<String>>,
}

impl<T: Real> MapGradient<T> {
    fn zeros(map: &TokenMap<T>) -> Self {
        let zero = |arrow: &Arrow<T>| match &arrow.weights {
            Weights::Dense(w) => Weights::Dense(DMatrix::zeros(w.nrows(), w.ncols())),
            Weights::Identity(_) => Weights::Identity(T::zero()),
        };
        let cells = map.cells.iter().map(|cells| cells.arrows().map(zero).collect()).collect();
        let names = map
            .cells
            .iter()
            .map(|cells| cells.named_arrows().map(|(what, _)| format!("`{}`: {what}", cells.name)).collect());
        let names = names.collect();
        Self { cells, names }
    }

    /// Every derivative with its name (`` `N1.rms`: basal divisor 0 ``), numbers column after column.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, &[T])> {
        let all = self.cells.iter().flatten().map(Weights::as_slice);
        self.names.iter().flatten().cloned().zip(all).collect()
    }

    fn add(&mut self, other: &Self) {
        let all = self.cells.iter_mut().flatten().zip(other.cells.iter().flatten());
        for (a, b) in all {
            a.as_mut_slice().iter_mut().zip(b.as_slice()).for_each(|(a, b)| *a += *b);
        }
    }

    fn is_finite(&self) -> bool {
        self.cells.iter().flatten().all(|w| all_finite(w.as_slice()))
    }
}

impl<T: Real> Weights<T> {
    /// Adds `f(target, source)` to every weight that there is, onto `n` cells.
    pub(super) fn add_outer(&mut self, n: usize, f: impl Fn(usize, usize) -> T) {
        match self {
            Self::Dense(w) => {
                for (b, mut column) in w.column_iter_mut().enumerate() {
                    column.iter_mut().enumerate().for_each(|(a, w)| *w += f(a, b));
                }
            }
            Self::Identity(gain) => *gain = (0..n).fold(*gain, |sum, a| sum + f(a, a)),
        }
    }
}

/// Every weight of a map: names and order of [`MapGradient::tensors`].
pub fn parameters_mut<T: Real>(map: &mut TokenMap<T>) -> Vec<(String, &mut [T])> {
    let names: Vec<String> = MapGradient::zeros(map).names.into_iter().flatten().collect();
    let all = map.cells.iter_mut().flat_map(super::MapCells::arrows_mut);
    names.into_iter().zip(all.map(|arrow| arrow.weights.as_mut_slice())).collect()
}

/// Back through a map that left `traces`: its weights; what its inputs get is added to `d_streams`.
pub(in crate::attention) fn backward<T: Real>(
    map: &TokenMap<T>,
    traces: &[Trace<T>],
    streams: &Streams<T>,
    d_output: &DMatrix<T>,
    d_streams: &mut Streams<T>,
    parallel: bool,
) -> Result<MapGradient<T>, ForwardError> {
    let runner = &Runner::new(map)?;
    let inputs: Vec<&DMatrix<T>> = map.inputs.iter().map(|i| &streams[&i.stream]).collect();
    let mut d_inputs: Vec<DMatrix<T>> = inputs.iter().map(|x| DMatrix::zeros(x.nrows(), x.ncols())).collect();
    let size = traces.len().div_ceil(PARTS).max(1);
    let mut jobs: Vec<(usize, Vec<&mut [T]>)> =
        (0..traces.len().div_ceil(size)).map(|p| (p * size, Vec::new())).collect();
    for d in &mut d_inputs {
        let width = d.nrows() * size * BLOCK;
        let mut parts = d.as_mut_slice().chunks_mut(width.max(1));
        jobs.iter_mut().for_each(|(_, all)| all.push(parts.next().unwrap_or_default()));
    }
    let one = |(first, mut d_x): (usize, Vec<&mut [T]>)| {
        let mut gradient = MapGradient::zeros(map);
        for (b, trace) in traces[first..].iter().take(size).enumerate() {
            let mut d_x: Vec<&mut [T]> = d_x
                .iter_mut()
                .zip(&map.inputs)
                .map(|(d, input)| {
                    let start = (b * BLOCK * input.d_stream).min(d.len());
                    let end = ((b + 1) * BLOCK * input.d_stream).min(d.len());
                    &mut d[start..end]
                })
                .collect();
            let at = (first + b) * BLOCK;
            let block = Block { runner, trace, inputs: &inputs, first: at, d_output };
            block.backward(&mut gradient, &mut d_x)?;
        }
        Ok(gradient)
    };
    let parts: Vec<Result<MapGradient<T>, ForwardError>> =
        if parallel { jobs.into_par_iter().map(one).collect() } else { jobs.into_iter().map(one).collect() };
    let mut gradient = MapGradient::zeros(map);
    for part in parts {
        gradient.add(&part?);
    }
    if !gradient.is_finite() {
        let tensors = gradient.tensors();
        let bad = tensors.into_iter().find(|(_, numbers)| !all_finite(numbers));
        let what = bad.map_or_else(|| "a weight".to_owned(), |(what, _)| what);
        return Err(ForwardError::GradientNotFinite { what });
    }
    for (input, d) in map.inputs.iter().zip(d_inputs) {
        match d_streams.get_mut(&input.stream) {
            Some(before) => *before += d,
            None => drop(d_streams.insert(input.stream.clone(), d)),
        }
    }
    Ok(gradient)
}

/// One block of tokens on the way back.
struct Block<'a, T: Real> {
    runner: &'a Runner<'a, T>,
    trace: &'a Trace<T>,
    inputs: &'a [&'a DMatrix<T>],
    first: usize,
    d_output: &'a DMatrix<T>,
}

impl<T: Real> Block<'_, T> {
    fn backward(&self, gradient: &mut MapGradient<T>, d_x: &mut [&mut [T]]) -> Result<(), ForwardError> {
        let Self { runner, trace, inputs, first, d_output } = *self;
        let map = runner.map;
        let count = BLOCK.min(d_output.ncols() - first);
        let mut by_rates: Vec<Vec<T>> = vec![Vec::new(); map.cells.len()];
        let rows = map.d_model();
        let mut at = 0;
        for c in &map.output {
            let n = map.cells[*c].n;
            let by = &mut by_rates[*c];
            by.resize(n * count, T::zero());
            for t in (0..count).filter(|t| !trace.alone.contains(t)) {
                let d = &d_output.as_slice()[(first + t) * rows + at..][..n];
                by[t * n..(t + 1) * n].iter_mut().zip(d).for_each(|(by, d)| *by += *d);
            }
            at += n;
        }
        let mut loops = runner.loops.iter().rev();
        for group in runner.groups.iter().rev() {
            let inside = match group {
                Group::Single(_) => &[],
                Group::Loop(cells) => cells.as_slice(),
            };
            if let Group::Loop(_) = group
                && let Some(of) = loops.next()
                && of.members.iter().any(|m| !by_rates[m.cells].is_empty())
            {
                for m in &of.members {
                    by_rates[m.cells].resize(m.n * count, T::zero());
                }
                for t in (0..count).filter(|t| !trace.alone.contains(t)) {
                    let by = |m: &super::settle::Member| t * m.n..(t + 1) * m.n;
                    let d = of.members.iter().flat_map(|m| &by_rates[m.cells][by(m)]).map(|d| d.to_f64());
                    let d = DVector::from_iterator(of.n, d);
                    let rest = rest_of(of, trace, t);
                    let Some(solved) = of.implicit(&rest, &d) else {
                        return Err(singular(runner, of, first + t));
                    };
                    for m in &of.members {
                        let from = &solved.as_slice()[m.first..m.first + m.n];
                        let to = &mut by_rates[m.cells][by(m)];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = real(*from));
                    }
                }
            }
            for c in group.cells() {
                let by = std::mem::take(&mut by_rates[*c]);
                if !by.is_empty() {
                    self.cells(*c, &by, inside, count, &mut by_rates, d_x, &mut gradient.cells[*c]);
                }
            }
        }
        for t in &trace.alone {
            let x: Vec<&[T]> =
                inputs.iter().map(|m| &m.as_slice()[(first + t) * m.nrows()..][..m.nrows()]).collect();
            let exact = token::evaluate(runner, &x, first + t)?;
            let mut d_x: Vec<&mut [T]> =
                d_x.iter_mut().zip(inputs).map(|(d, m)| &mut d[t * m.nrows()..(t + 1) * m.nrows()]).collect();
            let d = &d_output.as_slice()[(first + t) * rows..][..rows];
            exact.backward(runner, &x, first + t, d, gradient, &mut d_x)?;
        }
        Ok(())
    }

    /// One population; nothing goes to the rates of those `inside` its loop, which is solved.
    #[allow(clippy::too_many_arguments)]
    fn cells(
        &self,
        c: usize,
        by: &[T],
        inside: &[usize],
        count: usize,
        by_rates: &mut [Vec<T>],
        d_x: &mut [&mut [T]],
        gradient: &mut [Weights<T>],
    ) {
        let map = self.runner.map;
        let of = &map.cells[c];
        let own = &self.trace.cells[c];
        let mut gradient = gradient.iter_mut();
        let halves = [(&of.basal, &own.basal, &own.apical), (&of.apical, &own.apical, &own.basal)];
        let merged = is_merged(of);
        let mut by_z = Vec::new();
        if merged {
            by_z = of_function(of.activation, by, own);
        }
        for (compartment, half, other) in halves {
            let (mut by_sum, mut by_divisor) = (Vec::new(), Vec::new());
            if !merged && !half.value.is_empty() {
                by_sum = match of.activation {
                    Response::Product if other.value.is_empty() => vec![T::zero(); by.len()],
                    Response::Product => by.iter().zip(&other.value).map(|(d, x)| *d * *x).collect(),
                    Response::Function(_) => of_function(of.activation, by, own),
                };
                if !half.divisor.is_empty() {
                    by_divisor = divide(&mut by_sum, half);
                }
            }
            let by_sum = if merged { &by_z } else { &by_sum };
            for (arrows, by) in [(&compartment.sums, by_sum), (&compartment.divisors, &by_divisor)] {
                for arrow in arrows {
                    let Some(gradient) = gradient.next() else { return };
                    self.arrow(arrow, by, of.n, inside, count, by_rates, d_x, gradient);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn arrow(
        &self,
        arrow: &Arrow<T>,
        by: &[T],
        n: usize,
        inside: &[usize],
        count: usize,
        by_rates: &mut [Vec<T>],
        d_x: &mut [&mut [T]],
        gradient: &mut Weights<T>,
    ) {
        let map = self.runner.map;
        let (inputs, cells) = (self.inputs, &self.trace.cells);
        let sources = Sources { inputs, first: self.first, count, map, cells };
        let d = Operand::from_columns(by, n, count);
        let ones = vec![T::one(); count];
        let x = sources.of(arrow.source).unwrap_or(Operand::from_columns(&ones, 1, count));
        match gradient {
            Weights::Dense(g) => gemm_into(g.as_mut_slice(), T::one(), d, x.t(), T::one()),
            Weights::Identity(g) => {
                for t in 0..count {
                    let both = d.column(t).iter().zip(x.column(t));
                    *g = both.fold(*g, |sum, (d, x)| sum + *d * *x);
                }
            }
        }
        let to: &mut [T] = match arrow.source {
            Source::Stream(s) => d_x[s],
            Source::Cells(s) if !inside.contains(&s) => {
                by_rates[s].resize(map.cells[s].n * count, T::zero());
                &mut by_rates[s]
            }
            _ => return,
        };
        match &arrow.weights {
            Weights::Dense(w) => gemm_into(to, T::one(), Operand::of(w).t(), d, T::one()),
            Weights::Identity(gain) => to.iter_mut().zip(by).for_each(|(to, d)| *to += *gain * *d),
        }
    }
}

/// From the derivative by rates to that by basal + apical.
fn of_function<T: Real>(activation: Response, by: &[T], own: &CellTrace<T>) -> Vec<T> {
    let Response::Function(f) = activation else { return Vec::new() };
    if f == crate::attention::FeatureMap::Identity {
        return by.to_vec();
    }
    let number = |half: &Half<T>, i: usize| half.value.get(i).copied().unwrap_or_default();
    let rates = own.rates();
    let slope = |(i, d): (usize, &T)| {
        if d.is_zero() {
            T::zero()
        } else {
            *d * f.slope_at(number(&own.basal, i) + number(&own.apical, i), rates[i])
        }
    };
    by.iter().enumerate().map(slope).collect()
}

/// From the derivative by a compartment to those by its sum, in its place, and by its divisor.
fn divide<T: Real>(by: &mut [T], half: &Half<T>) -> Vec<T> {
    let numbers = by.iter_mut().zip(half.value.iter().zip(&half.divisor));
    let one = |(by, (value, divisor)): (&mut T, (&T, &T))| {
        let [by_sum, by_divisor] = by_parts(*by, *value, Some(*divisor));
        *by = by_sum;
        by_divisor
    };
    numbers.map(one).collect()
}
