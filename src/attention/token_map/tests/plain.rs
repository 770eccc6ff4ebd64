//! The equations as loops over tokens, cells and synapses, all populations at once until nothing moves.

use crate::attention::token_map::{Compartment, Response, Source, TokenMap};
use crate::attention::{FeatureMap, Streams};
use nalgebra::DMatrix;

/// Output of a map without exceptions: every population settles together, whether it is in a loop or not.
pub fn plain(map: &TokenMap, streams: &Streams) -> DMatrix<f64> {
    let n_tokens = streams[&map.clock_stream].ncols();
    let mut out = DMatrix::zeros(map.d_model(), n_tokens);
    for t in 0..n_tokens {
        let mut rates: Vec<Vec<f64>> = map.cells.iter().map(|c| vec![0.0; c.n]).collect();
        for _ in 0..2000 {
            let goals: Vec<Vec<f64>> = (0..map.cells.len())
                .map(|c| {
                    let cells = &map.cells[c];
                    let value = |part: &Compartment, a: usize| {
                        let sum = |divide: bool| {
                            let mut sum = 0.0;
                            for arrow in if divide { &part.divisors } else { &part.sums } {
                                let w = arrow.weights.dense(cells.n);
                                for b in 0..w.ncols() {
                                    sum += w[(a, b)]
                                        * match arrow.source {
                                            Source::Constant => 1.0,
                                            Source::Stream(s) => streams[&map.inputs[s].stream][(b, t)],
                                            Source::Cells(s) => rates[s][b],
                                        };
                                }
                            }
                            sum
                        };
                        let d = if part.divisors.is_empty() { 1.0 } else { sum(true) };
                        // Silent cells have not spoken yet.
                        sum(false) / if d == 0.0 { 1.0 } else { d }
                    };
                    let rate = |a: usize| {
                        let (basal, apical) = (value(&cells.basal, a), value(&cells.apical, a));
                        match cells.activation {
                            Response::Product => basal * apical,
                            Response::Function(f) => plain_function(f, basal + apical),
                        }
                    };
                    (0..cells.n).map(rate).collect()
                })
                .collect();
            for (r, f) in rates.iter_mut().flatten().zip(goals.iter().flatten()) {
                *r += 0.2 * (f - *r);
            }
        }
        let column: Vec<f64> = map.output.iter().flat_map(|c| rates[*c].clone()).collect();
        out.column_mut(t).copy_from_slice(&column);
    }
    out
}

fn plain_function(f: FeatureMap, x: f64) -> f64 {
    match f {
        FeatureMap::Identity => x,
        FeatureMap::Relu => x.max(0.0),
        FeatureMap::Exp => x.exp(),
        FeatureMap::EluPlusOne if x > 0.0 => 1.0 + x,
        FeatureMap::EluPlusOne => x.exp(),
        FeatureMap::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        other => panic!("{other:?} is not drawn"),
    }
}
