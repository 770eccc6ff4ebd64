//! One token by itself, with exponents of any size: pooled exponentials give their limit, forwards and back.

use super::forward::Runner;
use super::gradient::MapGradient;
use super::order::Group;
use super::settle::{Drive, Loop, ROUNDS, Rest};
use super::wide::Wide;
use super::{Arrow, Response, Source, Weights};
use crate::attention::ForwardError;
use crate::linalg::{Real, real};
use nalgebra::DVector;

/// All numbers of one token.
pub(super) struct Token {
    cells: Vec<Cells>,
    /// one for each loop
    rests: Vec<Rest>,
}

#[derive(Clone, Default)]
struct Cells {
    rates: Vec<Wide>,
    /// basal value, basal divisor, apical value, apical divisor; empty where there is none
    parts: [Vec<Wide>; 4],
}

/// Evaluates token number `t`, which reads `x`, one slice for each input.
pub(super) fn evaluate<T: Real>(runner: &Runner<'_, T>, x: &[&[T]], t: usize) -> Result<Token, ForwardError> {
    let map = runner.map;
    let mut at = Token { cells: vec![Cells::default(); map.cells.len()], rests: Vec::new() };
    let mut loops = runner.loops.iter();
    for group in &runner.groups {
        match group {
            Group::Single(c) => at.cells[*c] = at.single(runner, *c, x, t)?,
            Group::Loop(_) => {
                if let Some(of) = loops.next() {
                    at.settle(runner, of, x, t)?;
                }
            }
        }
    }
    Ok(at)
}

impl Token {
    /// Output of the map.
    pub fn output<T: Real>(&self, runner: &Runner<'_, T>, t: usize, y: &mut [T]) -> Result<(), ForwardError> {
        let mut y = y.iter_mut();
        for c in &runner.map.output {
            for (rate, y) in self.cells[*c].rates.iter().zip(&mut y) {
                *y = real(rate.to_f64());
                if !y.is_finite() {
                    return Err(not_finite(runner, *c, t));
                }
            }
        }
        Ok(())
    }

    fn single<T: Real>(
        &self,
        runner: &Runner<'_, T>,
        c: usize,
        x: &[&[T]],
        t: usize,
    ) -> Result<Cells, ForwardError> {
        let of = &runner.map.cells[c];
        let all = |_: Source| true;
        let mut own = Cells::default();
        for (side, compartment) in [&of.basal, &of.apical].into_iter().enumerate() {
            let mut value = self.sum(&compartment.sums, of.n, x, all);
            if !compartment.divisors.is_empty() {
                let divisor = self.sum(&compartment.divisors, of.n, x, all);
                for (x, d) in value.iter_mut().zip(&divisor) {
                    if d.is_zero() && !x.is_zero() {
                        let cells = of.name.clone();
                        return Err(ForwardError::CellsDivideByZero { cells, token: t });
                    }
                    if !d.is_zero() {
                        *x = *x / *d;
                    }
                }
                own.parts[2 * side + 1] = divisor;
            }
            own.parts[2 * side] = value;
        }
        let [basal, _, apical, _] = &own.parts;
        let pairs = basal.iter().zip(apical);
        own.rates = match of.activation {
            Response::Product => pairs.map(|(b, a)| *b * *a).collect(),
            Response::Function(f) => pairs.map(|(b, a)| (*b + *a).apply(f)).collect(),
        };
        if own.rates.iter().any(|r| !r.is_finite()) {
            return Err(not_finite(runner, c, t));
        }
        Ok(own)
    }

    /// The sum of arrows that start where `from` says.
    fn sum<T: Real>(
        &self,
        arrows: &[Arrow<T>],
        n: usize,
        x: &[&[T]],
        from: impl Fn(Source) -> bool,
    ) -> Vec<Wide> {
        let mut sum = vec![Wide::ZERO; n];
        for arrow in arrows.iter().filter(|a| from(a.source)) {
            let source = self.source(arrow.source, x);
            for_each_weight(&arrow.weights, n, |a, b, w| sum[a] = sum[a] + w * source[b]);
        }
        sum
    }

    fn source<T: Real>(&self, source: Source, x: &[&[T]]) -> Vec<Wide> {
        match source {
            Source::Stream(s) => x[s].iter().map(|x| Wide::new(x.to_f64())).collect(),
            Source::Cells(c) => self.cells[c].rates.clone(),
            Source::Constant => vec![Wide::ONE],
        }
    }

    fn settle<T: Real>(
        &mut self,
        runner: &Runner<'_, T>,
        of: &Loop,
        x: &[&[T]],
        t: usize,
    ) -> Result<(), ForwardError> {
        let mut drives: Vec<Drive> = Vec::with_capacity(of.members.len());
        for member in &of.members {
            let cells = &runner.map.cells[member.cells];
            let outside = |source| if let Source::Cells(c) = source { !of.has(c) } else { true };
            let lists =
                [&cells.basal.sums, &cells.basal.divisors, &cells.apical.sums, &cells.apical.divisors];
            let drive = lists.map(|arrows| {
                let sum = if arrows.is_empty() { Vec::new() } else { self.sum(arrows, cells.n, x, outside) };
                sum.into_iter().map(Wide::to_f64).collect::<Vec<f64>>()
            });
            if drive.iter().flatten().any(|x| !x.is_finite()) {
                return Err(not_finite(runner, member.cells, t));
            }
            drives.push(drive);
        }
        let Some(rest) = of.rest(&drives) else {
            let names = of.members.iter().map(|m| format!("`{}`", runner.map.cells[m.cells].name));
            let cells = names.collect::<Vec<_>>().join(", ");
            return Err(ForwardError::Unsettled { cells, token: t, rounds: ROUNDS });
        };
        let wide = |numbers: &[f64]| numbers.iter().map(|x| Wide::new(*x)).collect::<Vec<_>>();
        for (member, parts) in of.members.iter().zip(&rest.parts) {
            let rates = wide(&rest.rates[member.first..member.first + member.n]);
            let mut parts = parts.each_ref().map(|part| wide(part));
            for side in [0, 2] {
                parts[side].resize(member.n, Wide::ZERO);
            }
            self.cells[member.cells] = Cells { rates, parts };
        }
        self.rests.push(rest);
        Ok(())
    }

    /// From `d_output = dL/dy` to the weights, added to `gradient`, and to the inputs, added to `d_x`.
    pub fn backward<T: Real>(
        &self,
        runner: &Runner<'_, T>,
        x: &[&[T]],
        t: usize,
        d_output: &[T],
        gradient: &mut MapGradient<T>,
        d_x: &mut [&mut [T]],
    ) -> Result<(), ForwardError> {
        let map = runner.map;
        let mut by_rates: Vec<Vec<Wide>> = map.cells.iter().map(|cells| vec![Wide::ZERO; cells.n]).collect();
        let mut d_output = d_output.iter();
        for c in &map.output {
            for (d, y) in by_rates[*c].iter_mut().zip(&mut d_output) {
                *d = *d + Wide::new(y.to_f64());
            }
        }
        let mut by_x: Vec<Vec<Wide>> = x.iter().map(|x| vec![Wide::ZERO; x.len()]).collect();
        let mut loops = runner.loops.iter().zip(&self.rests).rev();
        for group in runner.groups.iter().rev() {
            let mut inside: &[usize] = &[];
            if let Group::Loop(cells) = group
                && let Some((of, rest)) = loops.next()
            {
                inside = cells;
                let d = of.members.iter().flat_map(|m| by_rates[m.cells].iter().map(|d| d.to_f64()));
                let d = DVector::from_iterator(of.n, d);
                let Some(solved) = of.implicit(rest, &d) else { return Err(singular(runner, of, t)) };
                for m in &of.members {
                    by_rates[m.cells] = (0..m.n).map(|a| Wide::new(solved[m.first + a])).collect();
                }
            }
            for c in group.cells().iter().rev() {
                self.back_single(runner, *c, inside, x, &mut by_rates, &mut by_x, gradient);
            }
        }
        for (d_x, by) in d_x.iter_mut().zip(by_x) {
            d_x.iter_mut().zip(by).for_each(|(d, by)| *d += real(by.to_f64()));
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn back_single<T: Real>(
        &self,
        runner: &Runner<'_, T>,
        c: usize,
        inside: &[usize],
        x: &[&[T]],
        by_rates: &mut [Vec<Wide>],
        by_x: &mut [Vec<Wide>],
        gradient: &mut MapGradient<T>,
    ) {
        let of = &runner.map.cells[c];
        let own = &self.cells[c];
        let by = std::mem::take(&mut by_rates[c]);
        let mut number = 0;
        for (side, compartment) in [&of.basal, &of.apical].into_iter().enumerate() {
            let other = &own.parts[2 - 2 * side];
            let (mut by_sum, mut by_divisor) = (Vec::new(), Vec::new());
            for a in 0..of.n {
                let value = own.parts[2 * side][a];
                let by = match of.activation {
                    Response::Product => by[a] * other[a],
                    Response::Function(f) => by[a] * (value + other[a]).slope(f, own.rates[a]),
                };
                let [sum, divisor] = wide_parts(by, value, own.parts[2 * side + 1].get(a).copied());
                by_sum.push(sum);
                by_divisor.push(divisor);
            }
            for (arrows, by) in [(&compartment.sums, by_sum), (&compartment.divisors, by_divisor)] {
                for arrow in arrows {
                    let source = self.source(arrow.source, x);
                    gradient.cells[c][number].add_outer(of.n, |a, b| real((by[a] * source[b]).to_f64()));
                    number += 1;
                    let to = match arrow.source {
                        Source::Stream(s) => &mut by_x[s],
                        Source::Cells(s) if !inside.contains(&s) => &mut by_rates[s],
                        _ => continue,
                    };
                    for_each_weight(&arrow.weights, of.n, |a, b, w| to[b] = to[b] + w * by[a]);
                }
            }
        }
    }
}

/// [`super::settle::by_parts`] of numbers of any size.
fn wide_parts(by: Wide, value: Wide, divisor: Option<Wide>) -> [Wide; 2] {
    match divisor {
        None => [by, Wide::ZERO],
        Some(d) if d.is_zero() => [if value.is_zero() { Wide::ZERO } else { by }, Wide::ZERO],
        Some(d) => [by / d, -(by * value) / d],
    }
}

/// Calls `f(target, source, weight)` for every weight that is not 0.
fn for_each_weight<T: Real>(weights: &Weights<T>, n: usize, mut f: impl FnMut(usize, usize, Wide)) {
    match weights {
        Weights::Dense(w) => {
            for (b, column) in w.column_iter().enumerate() {
                for (a, w) in column.iter().enumerate().filter(|(_, w)| !w.is_zero()) {
                    f(a, b, Wide::new(w.to_f64()));
                }
            }
        }
        Weights::Identity(gain) => (0..n).for_each(|a| f(a, a, Wide::new(gain.to_f64()))),
    }
}

fn not_finite<T: Real>(runner: &Runner<'_, T>, c: usize, token: usize) -> ForwardError {
    ForwardError::CellsNotFinite { cells: runner.map.cells[c].name.clone(), token }
}

pub(super) fn singular<T: Real>(runner: &Runner<'_, T>, of: &Loop, token: usize) -> ForwardError {
    let names = of.members.iter().map(|m| format!("`{}`", runner.map.cells[m.cells].name));
    ForwardError::SingularLoop { cells: names.collect::<Vec<_>>().join(", "), token }
}
