//! What an accumulating population does with its rate: the four rules, token by token.
//!
//! ```text
//! hebbian  S += rate r        decay  S = g S + rate r        gated  S = gate S + r
//! delta    S_ab += b (basal_ab - sum_b' S_ab' apical_ab') apical_ab      within each microcolumn a
//! ```
//!
//! **In space** all tokens are there at once: the memory has a column for each context token, and column j hands the
//! state on to column j + 1. The hand-over takes no time, so within every step the states are the fold of that
//! step's compartments; what is leaky in a memory is its compartments. **In time** there is one column that keeps its
//! state, and one write for each token.

use crate::spec::AccumulateSpec;
use crate::vocabulary::{Activation, Mask};

/// The rule and the shape of the population that follows it.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub rule: AccumulateSpec,
    pub activation: Activation,
    /// cells in one microcolumn
    pub cells: usize,
    pub mask: Mask,
}

/// What a write reads of the cells of one column: empty where a compartment has no input.
#[derive(Clone, Copy, Default)]
pub struct Read<'a> {
    pub basal: &'a [f64],
    pub apical: &'a [f64],
    pub gate: &'a [f64],
}

impl<'a> Read<'a> {
    /// Column `j` of `n` cells.
    pub fn column(self, j: usize, n: usize) -> Self {
        let cut = |x: &'a [f64]| if x.is_empty() { x } else { &x[j * n..(j + 1) * n] };
        Self { basal: cut(self.basal), apical: cut(self.apical), gate: cut(self.gate) }
    }
}

impl Memory {
    /// One token: the state moves on. `rate` is room for as many numbers as `state` has.
    pub fn write(&self, read: Read<'_>, state: &mut [f64], rate: &mut [f64]) {
        let Read { basal, apical, gate } = read;
        let zip = |state: &mut [f64], f: &dyn Fn(f64, usize) -> f64| {
            state.iter_mut().enumerate().for_each(|(c, s)| *s = f(*s, c));
        };
        if !matches!(self.rule, AccumulateSpec::Delta { .. }) {
            self.rate(read, rate);
        }
        match self.rule {
            AccumulateSpec::Hebbian { rate: b } => {
                state.iter_mut().zip(&*rate).for_each(|(s, r)| *s += b * r);
            }
            AccumulateSpec::Decay { g, rate: b } => {
                state.iter_mut().zip(&*rate).for_each(|(s, r)| *s = g * *s + b * r);
            }
            AccumulateSpec::Gated {} => zip(state, &|s, c| gate[c] * s + rate[c]),
            AccumulateSpec::Delta { rate: b } => {
                for (column, state) in state.chunks_exact_mut(self.cells).enumerate() {
                    let start = column * self.cells;
                    let key = &apical[start..start + self.cells];
                    let recalled: f64 = state.iter().zip(key).map(|(s, k)| s * k).sum();
                    for (c, s) in state.iter_mut().enumerate() {
                        let strength = b.unwrap_or_else(|| gate[start + c]);
                        *s += strength * (basal[start + c] - recalled) * key[c];
                    }
                }
            }
        }
    }

    /// The activation of the cells of one column.
    fn rate(&self, read: Read<'_>, rate: &mut [f64]) {
        let Activation::Function(f) = self.activation else {
            for (r, (b, a)) in rate.iter_mut().zip(read.basal.iter().zip(read.apical)) {
                *r = b * a;
            }
            return;
        };
        rate.fill(0.0);
        for x in [read.basal, read.apical].into_iter().filter(|x| !x.is_empty()) {
            rate.iter_mut().zip(x).for_each(|(r, x)| *r += x);
        }
        for r in rate {
            *r = f.value(*r);
        }
    }

    /// In space: folds all `contexts` columns and writes what the memory sends, one column for each query (one in
    /// all under a full mask).
    pub fn fold(&self, read: Read<'_>, contexts: usize, work: &mut Work, sent: &mut [f64]) {
        let n = work.state.len();
        work.state.fill(0.0);
        if self.mask == Mask::Full {
            for j in 0..contexts {
                self.write(read.column(j, n), &mut work.state, &mut work.rate);
            }
            sent.copy_from_slice(&work.state);
            return;
        }
        let mut written = 0;
        for (i, sent) in sent.chunks_exact_mut(n).enumerate() {
            while written < self.mask.seen(i, contexts).end {
                self.write(read.column(written, n), &mut work.state, &mut work.rate);
                written += 1;
            }
            sent.copy_from_slice(&work.state);
        }
    }
}

/// Room of one memory.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// one column
    pub state: Vec<f64>,
    pub rate: Vec<f64>,
}
