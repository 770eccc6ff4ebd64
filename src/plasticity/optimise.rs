//! From a mean change to a step: plain, momentum, Adam. Each keeps numbers of single synapses only.

use crate::spec::OptimiserSpec;
use nalgebra::DMatrix;

/// The state of one weight matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// running mean of the changes; empty if the optimiser keeps none
    pub mean: DMatrix<f64>,
    /// running mean of their squares
    pub square: DMatrix<f64>,
}

impl State {
    /// A state without a past, for matrices of this shape.
    #[must_use]
    pub fn new(optimiser: OptimiserSpec, rows: usize, columns: usize) -> Self {
        let (mean, square) = match optimiser {
            OptimiserSpec::Plain => (false, false),
            OptimiserSpec::Momentum { .. } => (true, false),
            OptimiserSpec::Adam { .. } => (true, true),
        };
        let room = |there| if there { DMatrix::zeros(rows, columns) } else { DMatrix::zeros(0, 0) };
        Self { mean: room(mean), square: room(square) }
    }

    /// Turns a mean change into a step, in place. `t` counts the steps of the state, from 1.
    ///
    /// ```text
    /// plain      step = rate c
    /// momentum   m <- beta m + c                        step = rate m
    /// Adam       m <- b1 m + (1 - b1) c                 step = rate (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + epsilon)
    ///            s <- b2 s + (1 - b2) c^2
    /// ```
    ///
    /// Sources: Polyak 1964, doi 10.1016/0041-5553(64)90137-5; Kingma & Ba 2015, arXiv 1412.6980.
    pub fn step(&mut self, optimiser: OptimiserSpec, rate: f64, t: usize, change: &mut DMatrix<f64>) {
        match optimiser {
            OptimiserSpec::Plain => *change *= rate,
            OptimiserSpec::Momentum { beta } => {
                for (m, c) in self.mean.iter_mut().zip(change.iter_mut()) {
                    *m = beta * *m + *c;
                    *c = rate * *m;
                }
            }
            OptimiserSpec::Adam { beta1, beta2, epsilon } => {
                let t = i32::try_from(t).unwrap_or(i32::MAX);
                let (first, second) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
                let state = self.mean.iter_mut().zip(self.square.iter_mut());
                for ((m, s), c) in state.zip(change.iter_mut()) {
                    *m = beta1 * *m + (1.0 - beta1) * *c;
                    *s = beta2 * *s + (1.0 - beta2) * *c * *c;
                    *c = rate * (*m / first) / ((*s / second).sqrt() + epsilon);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against numbers worked out by hand: two steps with the changes 1 and -2.
    #[test]
    fn steps_are_those_of_the_formulas() {
        let steps = |optimiser| {
            let mut state = State::new(optimiser, 1, 1);
            [1.0, -2.0]
                .iter()
                .zip(1..)
                .map(|(c, t)| {
                    let mut change = DMatrix::from_element(1, 1, *c);
                    state.step(optimiser, 0.1, t, &mut change);
                    change[(0, 0)]
                })
                .collect::<Vec<f64>>()
        };
        let close = |a: &[f64], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(&steps(OptimiserSpec::Plain), [0.1, -0.2]));
        assert!(close(&steps(OptimiserSpec::Momentum { beta: 0.5 }), [0.1, -0.15]));
        // m: 0.5, -0.75, over 1 - b1^t: 1, -1; s: 0.25, 1.1875, over 1 - b2^t: 1, 2.714285714285714.
        let adam = OptimiserSpec::Adam { beta1: 0.5, beta2: 0.75, epsilon: 0.0 };
        assert!(close(&steps(adam), [0.1, -0.1 / 2.714_285_714_285_714_f64.sqrt()]));
    }
}
