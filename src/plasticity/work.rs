//! The numbers of one sequence: rates, potentials, states of memories, errors and derivatives. Made once, used again
//! for every sequence of the same shape.

use super::link::Room;
use super::plan::Plan;
use crate::simulate::cells::Cause;
use nalgebra::DMatrix;

/// The numbers of one population. Those that it does not have are empty.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// what it sends, `[cells, columns of what it sends]`
    pub rates: Vec<f64>,
    /// basal, apical and gate: (sum of additive inputs) / (sum of divisive inputs), `[cells, columns]`
    pub potential: [Vec<f64>; 3],
    /// sums of divisive inputs of basal and apical, where there are any
    pub divisor: [Vec<f64>; 2],
    /// of a memory: its state before the first token and after each, `[cells, columns + 1]`
    pub states: Vec<f64>,
    /// of a memory: what each token writes, `[cells, columns]`
    pub writes: Vec<f64>,
    /// errors, `[cells, columns of third]`
    pub third: Vec<f64>,
    /// derivatives of the loss by rates, potentials and divisors
    pub d_rates: Vec<f64>,
    pub d_potential: [Vec<f64>; 3],
    pub d_divisor: [Vec<f64>; 2],
}

/// The numbers of one sequence.
#[derive(Clone, Debug)]
pub struct Work {
    /// by number of the population
    pub of: Vec<Numbers>,
    /// `dL/dy` at the output, 0 at tokens that the loss does not count, `[d_model, queries]`
    pub d_output: DMatrix<f64>,
    /// where the tokens of the output are counted by the loss
    pub counted: Vec<bool>,
    /// memories go on from the state that they are in, instead of starting empty
    pub carry: bool,
    pub room: Room,
    /// spare room for signals on their way
    pub signal: Vec<f64>,
}

/// What went wrong in a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wild {
    pub population: String,
    pub cause: Cause,
}

impl Work {
    /// Room for one sequence.
    #[must_use]
    pub fn new(plan: &Plan<'_>) -> Self {
        let mut of = vec![Numbers::default(); plan.cells.len()];
        for i in &plan.order {
            let (cells, numbers) = (&plan.cells[*i], &mut of[*i]);
            let length = cells.n * cells.columns.count();
            let memory = cells.of.accumulate.is_some();
            for c in 0..3 {
                if !cells.inputs[c].is_empty() || c < 2 && !cells.divisors[c].is_empty() {
                    numbers.potential[c] = vec![0.0; length];
                    numbers.d_potential[c] = vec![0.0; length];
                }
                if c < 2 && !cells.divisors[c].is_empty() {
                    numbers.divisor[c] = vec![0.0; length];
                    numbers.d_divisor[c] = vec![0.0; length];
                }
            }
            if memory {
                numbers.states = vec![0.0; length + cells.n];
                numbers.writes = vec![0.0; length];
            }
            numbers.rates = vec![0.0; cells.n * cells.sends.count()];
            numbers.d_rates = numbers.rates.clone();
            if !cells.inputs[3].is_empty() {
                numbers.third = vec![0.0; cells.n * cells.third.count()];
            }
        }
        let d_model = plan.cells[plan.outputs[0].0].n;
        Self {
            of,
            d_output: DMatrix::zeros(d_model, plan.queries),
            counted: vec![true; plan.queries],
            carry: false,
            room: Room::default(),
            signal: Vec::new(),
        }
    }

    /// The answer of the circuit: what its output relay sends (plus minus minus), token after token.
    pub fn output(&self, plan: &Plan<'_>, y: &mut DMatrix<f64>) {
        y.fill(0.0);
        for (i, sign) in &plan.outputs {
            let rates = &self.of[*i].rates;
            y.iter_mut().zip(rates).for_each(|(y, r)| *y += sign * r);
        }
    }
}
