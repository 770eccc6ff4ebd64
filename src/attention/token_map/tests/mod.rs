//! Maps against plain loops over cells, against finite differences, and against what they must do at the ends of the range.

mod agreement;
mod failures;
mod plain;
mod slopes;

use super::{Arrow, Compartment, Input, MapCells, Response, Source, TokenMap, Weights};
use crate::attention::{FeatureMap, Stage, Streams};
use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub fn cells(
    name: &str,
    n: usize,
    activation: Response,
    basal: Compartment,
    apical: Compartment,
) -> MapCells {
    MapCells { name: name.into(), n, basal, apical, activation }
}

pub fn dense(source: Source, rows: usize, columns: usize, numbers: &[f64]) -> Arrow {
    Arrow { source, weights: Weights::Dense(DMatrix::from_row_slice(rows, columns, numbers)) }
}

pub fn identity(source: Source, gain: f64) -> Arrow {
    Arrow { source, weights: Weights::Identity(gain) }
}

pub fn function(f: FeatureMap) -> Response {
    Response::Function(f)
}

/// A map on the stream `x` of that width.
pub fn map(width: usize, cells: Vec<MapCells>, output: Vec<usize>) -> TokenMap {
    let inputs = vec![Input { stream: "x".into(), d_stream: width }];
    TokenMap { name: "map".into(), clock_stream: "x".into(), inputs, cells, output }
}

/// `v_i = x_i / g`, `g = mean(x^2) / g`: root mean square norm by recurrent inhibition.
pub fn norm(n: usize) -> TokenMap {
    let square = Compartment::sum(vec![identity(Source::Stream(0), 1.0)]);
    let sq = cells("sq", n, Response::Product, square.clone(), square.clone());
    let mean = vec![1.0 / n as f64; n];
    let rms = Compartment {
        sums: vec![dense(Source::Cells(0), 1, n, &mean), dense(Source::Constant, 1, 1, &[1e-5])],
        divisors: vec![identity(Source::Cells(1), 1.0)],
    };
    let rms = cells("rms", 1, function(FeatureMap::Identity), rms, Compartment::default());
    let out = Compartment { divisors: vec![dense(Source::Cells(1), n, 1, &vec![1.0; n])], ..square };
    let out = cells("out", n, function(FeatureMap::Identity), out, Compartment::default());
    map(n, vec![sq, rms, out], vec![2])
}

/// `e^(W x) / sum e^(W x)` within one token.
pub fn softmax(n: usize, gain: f64) -> TokenMap {
    let in_put = Compartment::sum(vec![identity(Source::Stream(0), gain)]);
    let e = cells("e", n, function(FeatureMap::Exp), in_put, Compartment::default());
    let ones = vec![1.0; n];
    let total = Compartment::sum(vec![dense(Source::Cells(0), 1, n, &ones)]);
    let total = cells("total", 1, function(FeatureMap::Identity), total, Compartment::default());
    let p = Compartment {
        sums: vec![identity(Source::Cells(0), 1.0)],
        divisors: vec![dense(Source::Cells(1), n, 1, &ones)],
    };
    let p = cells("p", n, function(FeatureMap::Identity), p, Compartment::default());
    map(n, vec![e, total, p], vec![2])
}

/// Numbers from -1 to 1.
pub struct Draw(pub ChaCha8Rng);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn matrix(&mut self, rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |_, _| self.0.random_range(-1.0..1.0))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    pub fn streams(&mut self, n: usize) -> Streams {
        [("x".to_owned(), self.matrix(4, n)), ("z".to_owned(), self.matrix(2, n))].into()
    }

    fn arrow(&mut self, source: Source, n: usize, width: usize) -> Arrow {
        let weights = if width == n && self.below(3) == 0 {
            Weights::Identity(self.0.random_range(-1.0..1.0))
        } else {
            Weights::Dense(self.matrix(n, width) / (width as f64).sqrt())
        };
        Arrow { source, weights }
    }

    /// Populations of any activation that read streams, constants and each other, forwards, divided by what is above 0; with
    /// `loops` some read themselves or later ones, weakly enough to settle.
    pub fn any(&mut self, loops: bool) -> TokenMap {
        let widths = [("x", 4), ("z", 2)];
        let inputs = widths.map(|(s, d_stream)| Input { stream: s.into(), d_stream }).to_vec();
        let n_cells = 2 + self.below(5);
        let sizes: Vec<usize> = (0..n_cells).map(|_| 1 + self.below(4)).collect();
        let mut all: Vec<MapCells> = Vec::new();
        // Divisors are exponentials and constants.
        let mut positive: Vec<usize> = Vec::new();
        for c in 0..n_cells {
            let n = sizes[c];
            let compartment = |draw: &mut Self, least: usize| {
                let sums = (0..least + draw.below(3)).map(|_| {
                    let source = match draw.below(4) {
                        0 => Source::Constant,
                        1 => Source::Stream(draw.below(2)),
                        _ if c > 0 => Source::Cells(draw.below(c)),
                        _ => Source::Stream(draw.below(2)),
                    };
                    let width = match source {
                        Source::Constant => 1,
                        Source::Stream(s) => widths[s].1,
                        Source::Cells(c) => sizes[c],
                    };
                    draw.arrow(source, n, width)
                });
                let mut compartment = Compartment::sum(sums.collect());
                if !compartment.sums.is_empty() && draw.below(3) == 0 {
                    let constant = Arrow {
                        source: Source::Constant,
                        weights: Weights::Dense(DMatrix::from_element(n, 1, 0.7)),
                    };
                    compartment.divisors.push(constant);
                    if let Some(p) = positive.last() {
                        let weights = Weights::Dense(draw.matrix(n, sizes[*p]).abs());
                        compartment.divisors.push(Arrow { source: Source::Cells(*p), weights });
                    }
                }
                compartment
            };
            let functions = [
                FeatureMap::Identity,
                FeatureMap::Relu,
                FeatureMap::Exp,
                FeatureMap::EluPlusOne,
                FeatureMap::Sigmoid,
            ];
            let activation = match self.below(7) {
                0 | 1 => Response::Product,
                f => Response::Function(functions[f - 2]),
            };
            let product = usize::from(activation == Response::Product);
            let (basal, apical) = (compartment(self, 1), compartment(self, product));
            if activation == Response::Function(FeatureMap::Exp) {
                positive.push(c);
            }
            all.push(cells(&format!("c{c}"), n, activation, basal, apical));
        }
        if loops {
            for _ in 0..=self.below(2) {
                let target = self.below(n_cells);
                let source = target + self.below(n_cells - target);
                let weights = Weights::Dense(self.matrix(sizes[target], sizes[source]) * 0.1);
                all[target].basal.sums.push(Arrow { source: Source::Cells(source), weights });
            }
        }
        let output = (0..1 + self.below(n_cells)).map(|_| self.below(n_cells)).collect();
        TokenMap { name: "map".into(), clock_stream: "x".into(), inputs, cells: all, output }
    }
}

pub fn run(map: &TokenMap, streams: &Streams) -> DMatrix<f64> {
    Stage::from(map.clone()).forward(streams).unwrap_or_else(|e| panic!("{e}"))
}
