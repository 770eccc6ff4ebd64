//! A map before it is written down: populations of one token, as the file has them.

use super::factor::StreamForm;
use crate::circuit::{PopulationId, Weights};
use crate::vocabulary::Activation;
use nalgebra::DMatrix;

/// Where an input of cells of a map comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// `tonic`: the constant 1
    One,
    /// a stream of the compiler's table
    Stream(usize),
    /// cells of the same map, by number
    Cells(usize),
}

/// What a projection brings to a compartment.
#[derive(Clone, Debug)]
pub struct Input {
    pub from: From,
    /// `[cells, width of the source]`
    pub weights: Weights,
    /// projections that it stands for
    pub projections: Vec<u32>,
}

/// What cells of a map are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Population(PopulationId),
    /// `max(sign x, 0)` of a stream
    Rectifier(usize, bool),
    /// made by the compiler
    Made,
}

/// Cells of a map: `f(basal + apical)` or their product, each compartment (sum of `add`) / (sum of `by`).
#[derive(Clone, Debug)]
pub struct CellsForm {
    pub is: Is,
    pub name: String,
    pub cells: usize,
    pub activation: Activation,
    /// basal, apical
    pub compartments: [CompartmentForm; 2],
    /// part of a delayed loop
    pub looped: bool,
}

#[derive(Clone, Debug, Default)]
pub struct CompartmentForm {
    pub add: Vec<Input>,
    pub by: Vec<Input>,
}

/// A map: cells in order of evaluation, and what its stream carries side by side.
#[derive(Clone, Debug)]
pub struct MapForm {
    /// number of its stream
    pub stream: usize,
    pub cells: Vec<CellsForm>,
    pub output: Vec<From>,
}

impl CellsForm {
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.compartments.iter().flat_map(|c| c.add.iter().chain(&c.by))
    }

    /// Linear cells with one compartment.
    pub fn linear(is: Is, name: String, cells: usize, add: Vec<Input>) -> Self {
        let basal = CompartmentForm { add, by: Vec::new() };
        Self {
            is,
            name,
            cells,
            activation: Activation::LINEAR,
            compartments: [basal, CompartmentForm::default()],
            looped: false,
        }
    }

    /// Projections that end on these cells, ascending.
    pub fn projections(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.inputs().flat_map(|i| i.projections.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl MapForm {
    /// Streams that it reads, in order of first use.
    pub fn reads(&self) -> Vec<usize> {
        let mut found = Vec::new();
        let all =
            self.cells.iter().flat_map(CellsForm::inputs).map(|i| i.from).chain(self.output.iter().copied());
        for from in all {
            if let From::Stream(s) = from
                && !found.contains(&s)
            {
                found.push(s);
            }
        }
        found
    }

    fn width_of(&self, from: From, streams: &[StreamForm]) -> usize {
        match from {
            From::One => 1,
            From::Stream(s) => streams[s].d_model,
            From::Cells(c) => self.cells[c].cells,
        }
    }

    /// Takes the cells of `other`, whose stream nothing else reads, in.
    pub fn take_in(&mut self, other: &Self, streams: &[StreamForm]) {
        let known = |is: Is, cells: &[CellsForm]| match is {
            Is::Made => None,
            is => cells.iter().position(|c| c.is == is),
        };
        // Cells of the other come first; those that both have are kept once.
        let mut cells = other.cells.clone();
        let mut moved = Vec::with_capacity(self.cells.len());
        for own in &self.cells {
            moved.push(known(own.is, &cells).unwrap_or_else(|| {
                cells.push(own.clone());
                cells.len() - 1
            }));
        }
        let first_own = other.cells.len();
        let widths: Vec<usize> = other.output.iter().map(|from| other.width_of(*from, streams)).collect();
        for c in &mut cells[first_own..] {
            for compartment in &mut c.compartments {
                for list in [&mut compartment.add, &mut compartment.by] {
                    *list = list.drain(..).flat_map(|i| opened(i, other, &widths, &moved)).collect();
                }
            }
        }
        self.output = self
            .output
            .iter()
            .flat_map(|from| match from {
                From::Stream(s) if *s == other.stream => other.output.clone(),
                From::Cells(c) => vec![From::Cells(moved[*c])],
                from => vec![*from],
            })
            .collect();
        self.cells = cells;
    }
}

/// An input from the stream of `other` as inputs from its parts; cells of the reader have `moved`.
fn opened(input: Input, other: &MapForm, widths: &[usize], moved: &[usize]) -> Vec<Input> {
    match input.from {
        From::Cells(c) => vec![Input { from: From::Cells(moved[c]), ..input }],
        From::Stream(s) if s == other.stream => {
            if let [only] = other.output[..] {
                return vec![Input { from: only, ..input }];
            }
            let mut at = 0;
            let mut parts = Vec::with_capacity(widths.len());
            for (from, width) in other.output.iter().zip(widths) {
                let w = columns(&input.weights, at, *width);
                if w.iter().any(|x| *x != 0.0) {
                    parts.push(Input {
                        from: *from,
                        weights: Weights::Dense(w),
                        projections: input.projections.clone(),
                    });
                }
                at += width;
            }
            parts
        }
        _ => vec![input],
    }
}

fn columns(w: &Weights, first: usize, width: usize) -> DMatrix<f64> {
    DMatrix::from_fn(w.rows(), width, |i, j| w.get(i, first + j))
}
