//! Vectors as spike trains whose inner product follows that of the vectors.
//!
//! The match window is cut into bins of 50 ms, two for each component. A component `x > 0` puts a spike into the first
//! of them with probability `min(1, x r)`, a component `x < 0` one into the second with `min(1, -x r)`. Spikes stand in
//! the middle of their bins, so two trains meet in a bin or not at all. For components that are not cut off, the expected
//! number of bins in which key and query meet is
//!
//! ```text
//! E[k q] = r^2 sum (k+ q+ + k- q-) = r^2 (k . q + |k| . |q|) / 2
//! ```
//!
//! half the inner product plus that of the absolute values, which does not depend on signs. Keys run ahead of the query
//! by 7 ms minus the delay of their spine.

use super::lab::Lab;
use pulvinar::seed::{normal, uniform};
use pulvinar::simulate::cable::Trial;
use pulvinar::simulate::cable::protocol::BEST_OFFSET_MS;
use pulvinar::simulate::cable::trains::Renewal;
use rand::Rng;

pub const WINDOW_MS: f64 = 1000.0;
pub const FROM_MS: f64 = 250.0;
/// Components of a vector.
pub const COMPONENTS: usize = 10;
/// Axons that carry keys, evenly spread over the tuft; the others fire at random.
pub const TOKENS: usize = 15;
const BIN_MS: f64 = WINDOW_MS / (2 * COMPONENTS) as f64;
/// Spikes for a component of 1.
const RATE: f64 = 0.8;

/// Keys and a query, as vectors and as trains.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// axon of each token
    pub axons: Vec<usize>,
    /// inner product of each key with the query over the root of the number of components
    pub scores: Vec<f64>,
    /// bins in which key and query meet
    pub overlaps: Vec<f64>,
    pub trial: Trial,
}

/// Which bins hold a spike.
fn bins(x: &[f64], rng: &mut impl Rng) -> Vec<bool> {
    let mut spikes = Vec::with_capacity(2 * x.len());
    for &x in x {
        for part in [x, -x] {
            spikes.push(uniform(rng, 0.0, 1.0) < part.max(0.0) * RATE);
        }
    }
    spikes
}

fn times(bins: &[bool], from_ms: f64) -> Vec<f64> {
    let at = |i: usize| from_ms + (i as f64 + 0.5) * BIN_MS;
    bins.iter().enumerate().filter(|(_, spike)| **spike).map(|(i, _)| at(i)).collect()
}

/// Keys and a query with components of N(0, 1).
pub fn draw(lab: &Lab<'_>, rng: &mut impl Rng) -> Encoded {
    let n = lab.neuron.axons;
    let vector = |rng: &mut _| -> Vec<f64> { (0..COMPONENTS).map(|_| normal(rng)).collect() };
    let query = vector(rng);
    let keys: Vec<Vec<f64>> = (0..TOKENS).map(|_| vector(rng)).collect();
    let dot = |k: &Vec<f64>| k.iter().zip(&query).map(|(a, b)| a * b).sum::<f64>();
    let scores = keys.iter().map(|k| dot(k) / (COMPONENTS as f64).sqrt()).collect();
    let query_bins = bins(&query, rng);
    let key_bins: Vec<Vec<bool>> = keys.iter().map(|k| bins(k, rng)).collect();
    let meet = |k: &Vec<bool>| k.iter().zip(&query_bins).filter(|(a, b)| **a && **b).count() as f64;
    let overlaps = key_bins.iter().map(meet).collect();
    let axons: Vec<usize> = (0..TOKENS).map(|t| (t * n + n / 2) / TOKENS).collect();
    let renewal = Renewal::default();
    let mut trains: Vec<Vec<f64>> = (0..n).map(|_| renewal.draw(rng, FROM_MS, FROM_MS + WINDOW_MS)).collect();
    for (axon, bins) in axons.iter().zip(&key_bins) {
        trains[*axon] = times(bins, FROM_MS + lab.delays_ms[*axon] - BEST_OFFSET_MS);
    }
    let trial = Trial { keys: trains, queries: times(&query_bins, FROM_MS) };
    Encoded { axons, scores, overlaps, trial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulvinar::seed;

    #[test]
    fn trains_meet_as_often_as_the_vectors_say() {
        let mut rng = seed::stream(1, "code");
        // no component is cut off
        let (k, q) = ([0.9, -0.4, 0.7, -1.1, 0.2], [0.5, -1.0, -0.8, -0.6, 0.0]);
        let n = 40_000;
        let met: usize = (0..n)
            .map(|_| {
                let (a, b) = (bins(&k, &mut rng), bins(&q, &mut rng));
                a.iter().zip(&b).filter(|(a, b)| **a && **b).count()
            })
            .sum();
        let sum = |f: &dyn Fn(f64, f64) -> f64| k.iter().zip(&q).map(|(a, b)| f(*a, *b)).sum::<f64>();
        let want = RATE * RATE * (sum(&|a, b| a * b) + sum(&|a, b| (a * b).abs())) / 2.0;
        assert!((met as f64 / n as f64 - want).abs() < 0.02, "{} {want}", met as f64 / n as f64);
        let spikes = times(&[false, true, false, true], 250.0);
        assert_eq!(spikes, [325.0, 425.0]);
    }
}
