//! Noise currents: one independent Gaussian number for each cell and step, into the basal compartment (into the
//! apical one of cells that have no other).
//!
//! `std` is the standard deviation of the potential that the current causes in a cell whose input is otherwise
//! constant, for any step and integrator: with `v <- v + a (I + xi - v)` the current has
//! `std(xi) = std sqrt(1 - (1 - a)^2) / a`. A prospective cell passes the current itself on.
//!
//! Numbers come from the stream `noise.NAME` of the population, one sub-stream for each piece of its cells, so that
//! they depend neither on other populations nor on the number of threads.

use super::pieces::{PIECE, pays};
use crate::seed;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// The currents of one population.
pub struct Currents {
    /// of the current
    std: f64,
    /// of the current, for potentials of standard deviation 1
    unit: f64,
    pieces: Vec<ChaCha8Rng>,
}

impl Currents {
    /// For `n` numbers of the population `name`, whose compartment goes `fraction` of the way in one step.
    pub fn new(seed: u64, name: &str, n: usize, std: f64, fraction: f64) -> Self {
        let root = seed::stream(seed, &format!("noise.{name}"));
        let pieces = (0..n.div_ceil(PIECE))
            .map(|k| {
                let mut piece = root.clone();
                piece.set_stream(k as u64);
                piece
            })
            .collect();
        let rest = 1.0 - fraction;
        let unit = (1.0 - rest * rest).sqrt() / fraction;
        Self { std: std * unit, unit, pieces }
    }

    /// Another standard deviation of the potentials from now on.
    pub fn set(&mut self, std: f64) {
        self.std = std * self.unit;
    }

    /// Adds the currents of one step.
    pub fn add(&mut self, input: &mut [f64]) {
        let std = self.std;
        let each = |(input, rng): (&mut [f64], &mut ChaCha8Rng)| {
            input.iter_mut().for_each(|x| *x += std * seed::normal(rng));
        };
        if pays(input.len() * 20) {
            input.par_chunks_mut(PIECE).zip(&mut self.pieces).for_each(each);
        } else {
            input.chunks_mut(PIECE).zip(&mut self.pieces).for_each(each);
        }
    }
}
