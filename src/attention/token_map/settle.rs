//! Loops: the rates at which cells that read each other come to rest, each token for itself.
//!
//! Rates start at 0 and follow `r += (1 - e^(-1/10)) (f(r) - r)`, with `f` what all cells of the loop would send, until
//! `|f(r) - r| <= 1e-13 max(|f(r)|, 1e-300)` in the largest number. A silent divisor that belongs to the loop counts as 1 until
//! it first speaks: without that, `g = v / g` never starts. Loops run in double precision, whatever that of the map.
//!
//! The derivative is that of the implicit function: from `r = f(r, x)`, `dL/df = (1 - J)^-T dL/dr`, `J = df/dr`.

use super::forward::{Half, Runner, Sources, Trace, is_merged};
use super::{Response, Source, TokenMap};
use crate::linalg::{Real, real};
use nalgebra::{DMatrix, DVector};

const SETTLED: f64 = 1e-13;
const LEAST: f64 = 1e-300;
/// Rounds that a token may take.
pub const ROUNDS: usize = 10_000;
/// Pivots of `1 - J` further apart than that leave no digit of the derivative.
const SINGULAR: f64 = 1e-13;

/// The arrows of a loop that start in it, in double precision.
#[derive(Clone, Debug)]
pub(in crate::attention) struct Loop {
    pub members: Vec<Member>,
    /// how many cells all members have
    pub n: usize,
}

/// One population of a loop.
#[derive(Clone, Debug)]
pub(in crate::attention) struct Member {
    /// number among the cells of the map
    pub cells: usize,
    pub n: usize,
    /// first of its cells among those of the loop
    pub first: usize,
    activation: Response,
    /// basal sum, basal divisor, apical sum, apical divisor
    inputs: [Inputs; 4],
}

/// One sum of a member.
#[derive(Clone, Debug, Default)]
struct Inputs {
    /// whether anything arrives at all
    any: bool,
    /// first cell of the source within the loop, and `W^T`
    inner: Vec<(usize, DMatrix<f64>)>,
}

/// What arrives at a member from outside the loop at one token.
pub(in crate::attention) type Drive = [Vec<f64>; 4];

/// Rates and compartments of a token at rest.
#[derive(Clone, Debug, Default)]
pub(in crate::attention) struct Rest {
    pub rates: Vec<f64>,
    /// per member: basal value, basal divisor, apical value, apical divisor; empty where there is none
    pub parts: Vec<[Vec<f64>; 4]>,
}

impl Loop {
    pub fn of<T: Real>(map: &TokenMap<T>, cells: &[usize]) -> Self {
        let mut n = 0;
        let mut firsts = Vec::with_capacity(cells.len());
        for c in cells {
            firsts.push(n);
            n += map.cells[*c].n;
        }
        let member = |(c, first): (&usize, &usize)| {
            let of = &map.cells[*c];
            let lists = [&of.basal.sums, &of.basal.divisors, &of.apical.sums, &of.apical.divisors];
            let inputs = lists.map(|arrows| {
                let inner = arrows.iter().filter_map(|arrow| {
                    let Source::Cells(source) = arrow.source else { return None };
                    let at = cells.iter().position(|c| *c == source)?;
                    Some((firsts[at], arrow.weights.dense(of.n).transpose().map(Real::to_f64)))
                });
                Inputs { any: !arrows.is_empty(), inner: inner.collect() }
            });
            Member { cells: *c, n: of.n, first: *first, activation: of.activation, inputs }
        };
        let members = cells.iter().zip(&firsts).map(member).collect();
        Self { members, n }
    }

    pub fn has(&self, cells: usize) -> bool {
        self.members.iter().any(|m| m.cells == cells)
    }

    /// Where a token comes to rest, if it does.
    pub fn rest(&self, drive: &[Drive]) -> Option<Rest> {
        let pace = 1.0 - (-0.1f64).exp();
        let empty = [const { Vec::new() }; 4];
        let mut at = Rest { rates: vec![0.0; self.n], parts: vec![empty; self.members.len()] };
        let mut spoken = vec![[false; 2]; self.n];
        let mut goals = vec![0.0; self.n];
        for _ in 0..ROUNDS {
            self.goals(drive, &mut at, &mut spoken, &mut goals);
            let (mut distance, mut size) = (0.0f64, LEAST);
            for (r, f) in at.rates.iter_mut().zip(&goals) {
                if !f.is_finite() {
                    return None;
                }
                distance = distance.max((f - *r).abs());
                size = size.max(f.abs());
                *r += pace * (f - *r);
            }
            if distance <= SETTLED * size {
                self.goals(drive, &mut at, &mut spoken, &mut goals);
                return Some(at);
            }
        }
        None
    }

    /// What all cells would send: `goals`; compartments into `at`.
    fn goals(&self, drive: &[Drive], at: &mut Rest, spoken: &mut [[bool; 2]], goals: &mut [f64]) {
        for ((member, drive), parts) in self.members.iter().zip(drive).zip(&mut at.parts) {
            for ((input, drive), out) in member.inputs.iter().zip(drive).zip(parts.iter_mut()) {
                out.clear();
                if !input.any {
                    continue;
                }
                out.extend_from_slice(drive);
                for (first, w) in &input.inner {
                    let rates = &at.rates[*first..*first + w.nrows()];
                    for (sum, column) in out.iter_mut().zip(w.as_slice().chunks_exact(w.nrows().max(1))) {
                        *sum += column.iter().zip(rates).fold(0.0, |sum, (w, r)| sum + w * r);
                    }
                }
            }
            let [basal, basal_divisor, apical, apical_divisor] = parts;
            for (side, (values, divisors)) in
                [(basal, basal_divisor), (apical, apical_divisor)].into_iter().enumerate()
            {
                let closes = !member.inputs[2 * side + 1].inner.is_empty();
                if !divisors.is_empty() && values.is_empty() {
                    values.resize(member.n, 0.0);
                }
                for (a, (x, d)) in values.iter_mut().zip(divisors.iter()).enumerate() {
                    let spoken = &mut spoken[member.first + a][side];
                    *spoken |= *d != 0.0;
                    if closes && !*spoken || *x == 0.0 && *d == 0.0 {
                        continue;
                    }
                    *x /= d;
                }
            }
            let [basal, _, apical, _] = parts;
            let number = |part: &[f64], a: usize| part.get(a).copied().unwrap_or_default();
            for (a, goal) in goals[member.first..member.first + member.n].iter_mut().enumerate() {
                let (b, x) = (number(basal, a), number(apical, a));
                *goal = match member.activation {
                    Response::Product => b * x,
                    Response::Function(f) => f.value(b + x),
                };
            }
        }
    }

    /// `dL/df` from `dL/dr` at a token at rest; nothing where the fixed point has no derivative.
    pub fn implicit(&self, rest: &Rest, by_rates: &DVector<f64>) -> Option<DVector<f64>> {
        let mut system = DMatrix::identity(self.n, self.n);
        for (member, parts) in self.members.iter().zip(&rest.parts) {
            let number = |part: usize, a: usize| parts[part].get(a).copied();
            for a in 0..member.n {
                let row = member.first + a;
                let [basal, apical] = [0, 2].map(|part| number(part, a).unwrap_or_default());
                let by = match member.activation {
                    Response::Product => [apical, basal],
                    Response::Function(f) => {
                        let z = basal + apical;
                        [f.slope(z); 2]
                    }
                };
                for (side, by) in by.into_iter().enumerate() {
                    let value = number(2 * side, a).unwrap_or_default();
                    let [by_sum, by_divisor] = by_parts(by, value, number(2 * side + 1, a));
                    for (part, by) in [(2 * side, by_sum), (2 * side + 1, by_divisor)] {
                        for (first, w) in &member.inputs[part].inner {
                            for (b, w) in w.column(a).iter().enumerate() {
                                // the transposed system
                                system[(first + b, row)] -= by * w;
                            }
                        }
                    }
                }
            }
        }
        if system.iter().any(|x: &f64| !x.is_finite()) {
            return None;
        }
        let lu = system.lu();
        let pivots = lu.u().diagonal();
        if pivots.amin() <= SINGULAR * pivots.amax() {
            return None;
        }
        lu.solve(by_rates)
    }
}

/// From the derivative by a compartment to those by its sum and by its divisor.
///
/// 0/0 is 0 and a constant; a divisor of 0 under another number has not spoken and counts as 1.
pub(super) fn by_parts<T: Real>(by: T, value: T, divisor: Option<T>) -> [T; 2] {
    match divisor {
        None => [by, T::zero()],
        Some(d) if d.is_zero() => [if value.is_zero() { T::zero() } else { by }, T::zero()],
        Some(d) => [by / d, -(by * value) / d],
    }
}

/// A loop at a block of tokens; those that do not settle are marked.
pub(super) fn settle<T: Real>(
    runner: &Runner<'_, T>,
    of: &Loop,
    inputs: &[&DMatrix<T>],
    first: usize,
    count: usize,
    trace: &mut Trace<T>,
    odd: &mut [bool],
) {
    let map = runner.map;
    let outer: Vec<[Vec<T>; 4]> = {
        let sources = Sources { inputs, first, count, map, cells: &trace.cells };
        let outer = |member: &Member| {
            let cells = &map.cells[member.cells];
            let lists =
                [&cells.basal.sums, &cells.basal.divisors, &cells.apical.sums, &cells.apical.divisors];
            lists.map(|arrows| {
                let mut sum = Vec::new();
                if !arrows.is_empty() {
                    let outside = |source| if let Source::Cells(c) = source { !of.has(c) } else { true };
                    sources.add_up(arrows.iter().filter(|a| outside(a.source)), cells.n, &mut sum);
                }
                sum
            })
        };
        of.members.iter().map(outer).collect()
    };
    for member in &of.members {
        let merged = is_merged(&map.cells[member.cells]);
        let own = &mut trace.cells[member.cells];
        let size = member.n * count;
        let resize = |numbers: &mut Vec<T>, wanted: bool| {
            numbers.clear();
            numbers.resize(if wanted { size } else { 0 }, T::zero());
        };
        let any = |part: usize| member.inputs[part].any;
        resize(&mut own.basal.value, merged || any(0) || any(1));
        resize(&mut own.basal.divisor, any(1));
        resize(&mut own.apical.value, !merged && (any(2) || any(3)));
        resize(&mut own.apical.divisor, any(3));
        own.resize_rates(size);
    }
    for (t, odd) in odd.iter_mut().enumerate() {
        if *odd {
            continue;
        }
        let drive = of.members.iter().zip(&outer).map(|(member, outer)| {
            outer.each_ref().map(|sum| {
                if sum.is_empty() {
                    return Vec::new();
                }
                sum[t * member.n..(t + 1) * member.n].iter().map(|x| x.to_f64()).collect()
            })
        });
        let Some(rest) = of.rest(&drive.collect::<Vec<Drive>>()) else {
            *odd = true;
            continue;
        };
        for (member, parts) in of.members.iter().zip(&rest.parts) {
            let own = &mut trace.cells[member.cells];
            let at = t * member.n..(t + 1) * member.n;
            let put = |to: &mut Vec<T>, from: &[f64]| {
                if !to.is_empty() && !from.is_empty() {
                    to[at.clone()].iter_mut().zip(from).for_each(|(to, from)| *to = real(*from));
                }
            };
            let [basal, basal_divisor, apical, apical_divisor] = parts;
            put(&mut own.basal.value, basal);
            if own.apical.value.is_empty() && !apical.is_empty() {
                // Both compartments in one place.
                let sum = |a: usize| basal.get(a).copied().unwrap_or_default() + apical[a];
                put(&mut own.basal.value, &(0..member.n).map(sum).collect::<Vec<_>>());
            }
            put(&mut own.basal.divisor, basal_divisor);
            put(&mut own.apical.value, apical);
            put(&mut own.apical.divisor, apical_divisor);
            put(own.rates_mut(), &rest.rates[member.first..member.first + member.n]);
            *odd |= own.rates()[at.clone()].iter().any(|r| !r.is_finite());
        }
    }
}

/// What a trace says of a loop at one token of its block.
pub(super) fn rest_of<T: Real>(of: &Loop, trace: &Trace<T>, t: usize) -> Rest {
    let mut rest = Rest::default();
    for member in &of.members {
        let own = &trace.cells[member.cells];
        let at = t * member.n..(t + 1) * member.n;
        let take = |numbers: &[T]| -> Vec<f64> {
            if numbers.is_empty() {
                Vec::new()
            } else {
                numbers[at.clone()].iter().map(|x| x.to_f64()).collect()
            }
        };
        let half = |half: &Half<T>| [take(&half.value), take(&half.divisor)];
        let [[basal, basal_divisor], [apical, apical_divisor]] = [half(&own.basal), half(&own.apical)];
        rest.rates.extend(take(own.rates()));
        rest.parts.push([basal, basal_divisor, apical, apical_divisor]);
    }
    rest
}
