//! Do delta memories run away?
//!
//! A write multiplies what the memory holds along its key by `1 - b |k|^2`. From `b |k|^2 = 2` on that turns over and grows,
//! and a finite run may end before its numbers do. Large writes now and then do no harm, so the run itself is asked: a memory is
//! **growing** if its largest number in the second half, counted from the first such write, is more than four times that in the
//! first half, and as much more than in the same memory with its strengths held at `1 / |k|^2`, which cannot grow by
//! itself.
//!
//! **Deliberately absent:** other memories: hebbian ones grow with what is stored, decaying ones come to rest.

use super::block::{Block, FeatureMap, Head, Kernel, Memory, Rate, Streams};
use nalgebra::{DMatrix, DVector};

/// Growth beyond which a memory runs away.
const FOURFOLD: f64 = 4.0;
/// Fewer writes than that say nothing.
const LEAST: usize = 8;
/// Writes that are looked at, at most.
const MOST: usize = 4096;

/// A delta memory that was still growing.
#[derive(Clone, Debug, PartialEq)]
pub struct Growing {
    /// number of the head in its block
    pub head: usize,
    /// largest |number| of the first half
    pub from: f64,
    /// largest |number| of the second half
    pub to: f64,
    /// largest `b |k|^2`
    pub strength: f64,
    /// where it is met
    pub token: usize,
}

/// The heads of a block whose delta memories run away on these streams.
#[must_use]
pub fn growing(block: &Block, streams: &Streams) -> Vec<Growing> {
    let one = |(h, head): (usize, &Head)| {
        let (keys, values, rates) = written(head, streams)?;
        grows(h, &keys, &values, &rates)
    };
    block.heads.iter().enumerate().filter_map(one).collect()
}

/// Keys, values and strengths `[1 or rows, tokens]` of a delta memory.
fn written(head: &Head, streams: &Streams) -> Option<(DMatrix<f64>, DMatrix<f64>, DMatrix<f64>)> {
    let Memory::Delta(rate) = &head.memory else { return None };
    let project = |w: &DMatrix<f64>, b: &DVector<f64>, stream: &str| {
        let mut y = w * streams.get(stream)?;
        y.column_iter_mut().for_each(|mut token| token += b);
        Some(y)
    };
    let mut keys = project(&head.w_k, &head.b_k, &head.context_stream)?;
    if let Kernel::Feature { key, .. } = head.kernel
        && key != FeatureMap::Identity
    {
        keys.apply(|x| *x = key.value(*x));
    }
    let values = project(&head.w_v, &head.b_v, &head.value_stream)?;
    let rates = match rate {
        Rate::Constant(b) => DMatrix::from_element(1, keys.ncols(), *b),
        Rate::Gate(gate) => {
            let mut features = project(&gate.features, &gate.bias, &gate.stream)?;
            for (mut row, map) in features.row_iter_mut().zip(&gate.maps) {
                row.apply(|x| *x = map.value(*x));
            }
            let mut rates = &gate.weights * features;
            rates.column_iter_mut().for_each(|mut token| token += &gate.constant);
            rates
        }
    };
    (keys.ncols() == values.ncols() && keys.ncols() == rates.ncols()).then_some((keys, values, rates))
}

fn grows(head: usize, keys: &DMatrix<f64>, values: &DMatrix<f64>, rates: &DMatrix<f64>) -> Option<Growing> {
    let strength = |t: usize| rates.column(t).amax() * keys.column(t).norm_squared();
    let first = (0..keys.ncols()).find(|t| strength(*t) > 2.0)?;
    let count = MOST.min(keys.ncols() - first);
    if count < LEAST {
        return None;
    }
    let [keys, values, rates] = [keys, values, rates].map(|m| m.columns(first, count));
    let halves = |hold: bool| {
        let mut memory = DMatrix::zeros(values.nrows(), keys.nrows());
        let mut largest = [0.0f64; 2];
        for t in 0..count {
            let key = keys.column(t);
            let size = key.norm_squared();
            let mut write = values.column(t) - &memory * key;
            for (a, w) in write.iter_mut().enumerate() {
                let b = rates[(a % rates.nrows(), t)];
                *w *= if hold && b * size > 1.0 { 1.0 / size } else { b };
            }
            memory.ger(1.0, &write, &key, 1.0);
            let half = usize::from(2 * t >= count);
            largest[half] = largest[half].max(memory.amax());
            if !largest[half].is_finite() {
                break;
            }
        }
        largest
    };
    let [from, to] = halves(false);
    let grew = |x: f64| to > FOURFOLD * x;
    if !grew(from) || !grew(halves(true).into_iter().fold(0.0, f64::max)) {
        return None;
    }
    let (token, strength) = (first..first + count)
        .map(|t| (t, rates.column(t - first).amax() * keys.column(t - first).norm_squared()))
        .fold((first, 0.0), |most, one| if one.1 > most.1 { one } else { most });
    Some(Growing { head, from, to, strength, token })
}
