//! Maps of single tokens: what populations of one token index compute before, between and behind blocks of heads.
//!
//! A [`TokenMap`] reads streams side by side, token by token, and makes one stream. Its cells are populations,
//!
//! ```text
//! c = (sum_a W_a r_a) / (sum_d W_d r_d)        each compartment; nothing divides where there is no divisor
//! r = c_basal c_apical                         product cells
//! r = f(c_basal + c_apical)                    all others
//! ```
//!
//! where `r_a` is a stream, the rates of other cells of the same token, or the constant 1 (`tonic`). Layer norm, an MLP, a
//! rotation by the position, a gate are such maps; nothing here knows those names.
//!
//! - [`order`]: in which order cells are evaluated; cells that read each other in a circle are a **loop**.
//! - `forward`: runs a map, a block of tokens at a time; `settle`: loops; `token`: one token by itself, with exponents of any
//!   size (`wide`), where numbers leave the range of the precision.
//! - [`gradient`]: derivatives by every weight and every input.
//!
//! Source: divisive normalisation, Carandini & Heeger 2012 (doi 10.1038/nrn3136); what a map is, `circuits/README.md`.
//!
//! **Deliberately absent:** other tokens, circuits, names of functions.

pub(super) mod forward;
pub mod gradient;
pub mod order;
mod settle;
#[cfg(test)]
mod tests;
mod token;
mod wide;

use super::ForwardError;
use crate::linalg::{Real, real};
pub use crate::vocabulary::Activation as Response;
use nalgebra::DMatrix;
use std::borrow::Cow;

/// A function of single tokens, from streams to one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenMap<T: Real = f64> {
    /// the stream that it makes
    pub name: String,
    /// stream whose clock the output has; its tokens and those of all inputs are of one number
    pub clock_stream: String,
    /// streams that the cells read
    pub inputs: Vec<Input>,
    /// in any order
    pub cells: Vec<MapCells<T>>,
    /// cells whose rates are the output, one below the other
    pub output: Vec<usize>,
}

/// A stream that a map reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub stream: String,
    /// its width
    pub d_stream: usize,
}

/// One population of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapCells<T: Real = f64> {
    /// for messages
    pub name: String,
    /// how many cells
    pub n: usize,
    pub basal: Compartment<T>,
    pub apical: Compartment<T>,
    pub activation: Response,
}

/// A sum over its inputs, divided by another sum where there are divisors; without inputs it is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compartment<T: Real = f64> {
    pub sums: Vec<Arrow<T>>,
    pub divisors: Vec<Arrow<T>>,
}

/// A projection within one token.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow<T: Real = f64> {
    pub source: Source,
    pub weights: Weights<T>,
}

/// Where an arrow starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// number among the inputs of the map
    Stream(usize),
    /// number among the cells of the map
    Cells(usize),
    /// one number, 1
    Constant,
}

/// What an arrow multiplies by.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights<T: Real = f64> {
    /// `[targets, sources]`
    Dense(DMatrix<T>),
    /// each cell to the one of its number, times this
    Identity(T),
}

impl<T: Real> TokenMap<T> {
    /// Width of the output.
    #[must_use]
    pub fn d_model(&self) -> usize {
        self.output.iter().map(|c| self.cells[*c].n).sum()
    }

    /// Width of a source.
    #[must_use]
    pub fn width(&self, source: Source) -> usize {
        match source {
            Source::Stream(s) => self.inputs[s].d_stream,
            Source::Cells(c) => self.cells[c].n,
            Source::Constant => 1,
        }
    }

    /// Whether all numbers of streams, cells and weights fit each other.
    ///
    /// # Errors
    /// [`ForwardError::Shape`] that names cells and arrow; [`ForwardError::BadMap`] for an arrow or an output that starts
    /// nowhere.
    pub fn check(&self) -> Result<(), ForwardError> {
        let bad = |what: String| Err(ForwardError::BadMap { what });
        if let Some(c) = self.output.iter().find(|c| **c >= self.cells.len()) {
            return bad(format!("its output is cells {c}, of {}", self.cells.len()));
        }
        for cells in &self.cells {
            for (what, arrow) in cells.named_arrows() {
                let there = match arrow.source {
                    Source::Stream(s) => s < self.inputs.len(),
                    Source::Cells(c) => c < self.cells.len(),
                    Source::Constant => true,
                };
                if !there {
                    return bad(format!("{what} of `{}` starts at {:?}", cells.name, arrow.source));
                }
                let (shape, wanted) = (arrow.shape(cells.n), (cells.n, self.width(arrow.source)));
                if shape != wanted {
                    let what = format!("{what} of `{}`", cells.name);
                    let other = "its cells and source".to_owned();
                    return Err(ForwardError::Shape { what, shape, other, other_shape: wanted });
                }
            }
        }
        Ok(())
    }

    /// The same map in precision `U`; every number is rounded to nearest.
    #[must_use]
    pub fn cast<U: Real>(&self) -> TokenMap<U> {
        TokenMap {
            name: self.name.clone(),
            clock_stream: self.clock_stream.clone(),
            inputs: self.inputs.clone(),
            cells: self.cells.iter().map(MapCells::cast).collect(),
            output: self.output.clone(),
        }
    }
}

impl<T: Real> MapCells<T> {
    /// All arrows that end on these cells.
    pub fn arrows(&self) -> impl Iterator<Item = &Arrow<T>> {
        [&self.basal, &self.apical].into_iter().flat_map(|c| c.sums.iter().chain(&c.divisors))
    }

    /// The same, to be changed.
    pub fn arrows_mut(&mut self) -> impl Iterator<Item = &mut Arrow<T>> {
        [&mut self.basal, &mut self.apical].into_iter().flat_map(|c| c.sums.iter_mut().chain(&mut c.divisors))
    }

    /// The same, with what each is called in messages.
    pub fn named_arrows(&self) -> impl Iterator<Item = (String, &Arrow<T>)> {
        let parts = [
            ("basal input", &self.basal.sums),
            ("basal divisor", &self.basal.divisors),
            ("apical input", &self.apical.sums),
            ("apical divisor", &self.apical.divisors),
        ];
        let number = |what: &'static str| move |(a, arrow)| (format!("{what} {a}"), arrow);
        parts.into_iter().flat_map(move |(what, arrows)| arrows.iter().enumerate().map(number(what)))
    }

    /// The same cells in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> MapCells<U> {
        MapCells {
            name: self.name.clone(),
            n: self.n,
            basal: self.basal.cast(),
            apical: self.apical.cast(),
            activation: self.activation,
        }
    }
}

impl<T: Real> Compartment<T> {
    /// A sum that nothing divides.
    #[must_use]
    pub fn sum(sums: Vec<Arrow<T>>) -> Self {
        Self { sums, divisors: Vec::new() }
    }

    /// The same compartment in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Compartment<U> {
        let cast = |arrows: &[Arrow<T>]| arrows.iter().map(Arrow::cast).collect();
        Compartment { sums: cast(&self.sums), divisors: cast(&self.divisors) }
    }
}

impl<T: Real> Arrow<T> {
    /// Targets and sources, where it ends on `n` cells.
    #[must_use]
    pub fn shape(&self, n: usize) -> (usize, usize) {
        match &self.weights {
            Weights::Dense(w) => w.shape(),
            Weights::Identity(_) => (n, n),
        }
    }

    /// The same arrow in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Arrow<U> {
        let weights = match &self.weights {
            Weights::Dense(w) => Weights::Dense(w.map(|x| real(x.to_f64()))),
            Weights::Identity(x) => Weights::Identity(real(x.to_f64())),
        };
        Arrow { source: self.source, weights }
    }
}

impl<T: Real> Weights<T> {
    /// All its numbers, column after column.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::Dense(w) => w.as_slice(),
            Self::Identity(x) => std::slice::from_ref(x),
        }
    }

    /// The same, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::Dense(w) => w.as_mut_slice(),
            Self::Identity(x) => std::slice::from_mut(x),
        }
    }

    /// As a matrix onto `n` cells.
    #[must_use]
    pub fn dense(&self, n: usize) -> Cow<'_, DMatrix<T>> {
        match self {
            Self::Dense(w) => Cow::Borrowed(w),
            Self::Identity(x) => Cow::Owned(DMatrix::from_diagonal_element(n, n, *x)),
        }
    }
}
