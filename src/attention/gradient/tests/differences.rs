//! Against finite differences of the forward pass: every parameter and every token, of every kind of head.
//!
//! Central differences at `h`, `h/2` and `h/4` make two extrapolated values `(4 D(h/2) - D(h)) / 3`, of which both
//! must agree. With `h = 2^-8` the truncation error is `h^4 f'''''/480 = 5e-13 f'''''` and the rounding error
//! about `1e-16 / h = 1e-13` of the output: 1e-9 in the norm of a tensor leaves three orders for sums of
//! large fifth derivatives.

use super::{Named, gradient, named, worst};
use crate::attention::forward::tests::agreement::{MASKS, kernels, memories, supported};
use crate::attention::forward::tests::functions::{chains, sink};
use crate::attention::forward::tests::random::Draw;
use crate::attention::gradient::parameters_mut;
use crate::attention::{Block, FeatureMap, Head, Kernel, Mask, Memory, Normalisation, Streams, forward};
use nalgebra::{DMatrix, DVector};

const CLOSE: f64 = 1e-9;
const STEP: f64 = 1.0 / 256.0;
/// No cell with a kink may be closer to it than any step can move it.
const MARGIN: f64 = 0.02;

/// `sum(d_output * (forward(up) - forward(down)))`: the difference first, so that its rounding is its own.
fn change(up: (&Block, &Streams), down: (&Block, &Streams), d_output: &DMatrix<f64>) -> f64 {
    let run = |(block, streams)| forward(block, streams).unwrap_or_else(|e| panic!("{e}"));
    (run(up) - run(down)).dot(d_output)
}

/// Extrapolated derivatives from steps `step` and `step / 2`, and from half of these.
fn extrapolated(step: f64, difference: impl Fn(f64) -> f64) -> [f64; 2] {
    let d = [1.0, 0.5, 0.25].map(|part| difference(step * part) / (2.0 * step * part));
    [(4.0 * d[1] - d[0]) / 3.0, (4.0 * d[2] - d[1]) / 3.0]
}

fn by_differences(block: &Block, streams: &Streams, d_output: &DMatrix<f64>, step: f64) -> [Named; 2] {
    let mut all = [Named::new(), Named::new()];
    let mut keep = |name: String, found: Vec<[f64; 2]>| {
        for (level, all) in all.iter_mut().enumerate() {
            all.push((name.clone(), found.iter().map(|f| f[level]).collect()));
        }
    };
    let sizes: Vec<_> =
        parameters_mut(&mut block.clone()).iter().map(|(n, p)| (n.clone(), p.len())).collect();
    for (tensor, (name, size)) in sizes.into_iter().enumerate() {
        let at = |number: usize, step: f64| {
            let mut moved = block.clone();
            parameters_mut(&mut moved)[tensor].1[number] += step;
            moved
        };
        let derivative = |number| {
            extrapolated(step, |h| change((&at(number, h), streams), (&at(number, -h), streams), d_output))
        };
        keep(name, (0..size).map(derivative).collect());
    }
    for (name, x) in streams {
        let at = |number: usize, step: f64| {
            let mut moved = streams.clone();
            moved.get_mut(name).expect("there").as_mut_slice()[number] += step;
            moved
        };
        let derivative = |number| {
            extrapolated(step, |h| change((block, &at(number, h)), (block, &at(number, -h)), d_output))
        };
        keep(format!("stream {name}"), (0..x.len()).map(derivative).collect());
    }
    all
}

/// The smallest distance of any cell with a kink from it.
fn distance_to_kinks(block: &Block, streams: &Streams) -> f64 {
    let mut least = f64::INFINITY;
    let mut cells = |w: &DMatrix<f64>, b: &DVector<f64>, stream: &str, map: &dyn Fn(usize) -> FeatureMap| {
        let z = w * &streams[stream];
        for (i, token) in z.row_iter().enumerate() {
            if matches!(map(i), FeatureMap::Relu | FeatureMap::Sign | FeatureMap::EluPlusOne) {
                least = token.iter().fold(least, |least, z| least.min((z + b[i]).abs()));
            }
        }
    };
    for head in &block.heads {
        if let Kernel::Feature { key, query } = head.kernel {
            cells(&head.w_k, &head.b_k, &head.context_stream, &|_| key);
            cells(&head.w_q, &head.b_q, &head.query_stream, &|_| query);
        }
        if let Some(gate) = head.memory.gate() {
            cells(&gate.features, &gate.bias, &gate.stream, &|f| gate.maps[f]);
        }
    }
    block.heads.iter().map(|head| of_chain(head, streams)).fold(least, f64::min)
}

/// The same of the chain of functions of a head, over all its scores.
fn of_chain(head: &Head, streams: &Streams) -> f64 {
    let project = |w: &DMatrix<f64>, b: &DVector<f64>, stream: &str| {
        let mut z = w * &streams[stream];
        z.column_iter_mut().for_each(|mut token| token += b);
        z
    };
    let queries = project(&head.w_q, &head.b_q, &head.query_stream);
    let mut scores = project(&head.w_k, &head.b_k, &head.context_stream).transpose() * queries * head.scale;
    let mut least = f64::INFINITY;
    for link in &head.function {
        scores.apply(|s| *s = link.gain * *s + link.bias);
        if matches!(link.activation, FeatureMap::Relu | FeatureMap::EluPlusOne) {
            least = scores.iter().fold(least, |least, z| least.min(z.abs()));
        }
        scores.apply(|s| *s = link.activation.value(*s));
    }
    least
}

/// A block and tokens without a cell near a kink.
fn smooth(mut make: impl FnMut(&mut Draw) -> (Block, Streams), positive: bool) -> (Block, Streams, Draw) {
    (0..200)
        .find_map(|seed| {
            let mut draw = Draw::new(seed, positive);
            let (block, streams) = make(&mut draw);
            (distance_to_kinks(&block, &streams) > MARGIN).then_some((block, streams, draw))
        })
        .expect("one draw in 200 is away from the kinks")
}

fn check(claim: &str, positive: bool, make: impl FnMut(&mut Draw) -> (Block, Streams)) {
    check_by(STEP, claim, positive, make);
}

fn check_by(step: f64, claim: &str, positive: bool, make: impl FnMut(&mut Draw) -> (Block, Streams)) {
    let (block, streams, mut draw) = smooth(make, positive);
    let (found, d_output) = gradient(&block, &streams, &mut draw);
    let found = named(&found.block, &found.streams);
    for (level, want) in by_differences(&block, &streams, &d_output, step).into_iter().enumerate() {
        let (gap, name) = worst(&found, &want);
        assert!(gap < CLOSE, "{claim}: {name} differs from differences (level {level}) by {gap:e}");
    }
}

#[test]
fn chains_and_sinks() {
    for mask in MASKS {
        for which in 0..=chains().len() {
            for with_sink in [false, true] {
                for memory in [Memory::None, Memory::Decay(0.95)] {
                    let claim = format!("{mask:?}, chain {which}, sink {with_sink}, {memory:?}");
                    // Sums of these are away from 0 only where scores are; of all others always.
                    let positive = which + 2 > chains().len();
                    // Half of the usual: a sum of weights is far from a polynomial.
                    check_by(STEP / 2.0, &claim, positive, |draw| {
                        let function = chains().into_iter().nth(which).unwrap_or_default();
                        let kernel = if function.is_empty() { Kernel::Linear } else { Kernel::Function };
                        let streams = draw.streams(4, if mask == Mask::Full { 5 } else { 4 });
                        let sink = with_sink.then(|| sink(draw));
                        let normalisation = Normalisation::Sum;
                        let memory = memory.clone();
                        let mut head = draw.head(2, 2);
                        // A fifth derivative by the scale is as large as a score to the fifth.
                        head.w_k *= 0.25;
                        let head = Head { kernel, function, mask, normalisation, sink, memory, ..head };
                        (draw.block(vec![head]), streams)
                    });
                }
            }
        }
    }
}

fn check_mask(mask: Mask) {
    let n_memories = memories(&mut Draw::new(0, true), 2, 2).len();
    for kernel in kernels() {
        for normalisation in [Normalisation::None, Normalisation::Sum] {
            for which in 0..n_memories {
                let pick = |draw: &mut Draw| memories(draw, 2, 2).swap_remove(which);
                let sample = pick(&mut Draw::new(0, true));
                let twin = sample == Memory::Hebbian || sample == Memory::Decay(1.0);
                if twin || !supported(kernel, normalisation, &sample) {
                    continue; // hebbian is none; a decay cannot step above 1
                }
                let claim = format!("{mask:?} {kernel:?} {normalisation:?} {sample:?}");
                check(&claim, normalisation == Normalisation::Sum, |draw| {
                    let memory = pick(draw);
                    let streams = draw.streams(4, if mask == Mask::Full { 5 } else { 4 });
                    let head = Head { kernel, normalisation, mask, memory, ..draw.head(2, 2) };
                    (draw.block(vec![head]), streams)
                });
            }
        }
    }
}

#[test]
fn full_heads_of_every_kind() {
    check_mask(Mask::Full);
}

#[test]
fn causal_heads_of_every_kind() {
    check_mask(Mask::Causal);
}

#[test]
fn strict_heads_of_every_kind() {
    check_mask(Mask::Strict);
}

#[test]
fn heads_of_one_block_share_streams() {
    check("three heads", true, |draw| {
        let heads = MASKS
            .map(|mask| {
                let memory = memories(draw, 2, 3).swap_remove(5);
                let (value_stream, w_v) = ("a".to_owned(), draw.matrix(3, 5));
                Head { mask, memory, value_stream, w_v, ..draw.head(2, 3) }
            })
            .into();
        (draw.block(heads), draw.streams(4, 4))
    });
}
