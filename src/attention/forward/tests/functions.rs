//! Chains of functions of the score, and sinks.

use super::agreement::{MASKS, gap};
use super::random::{Draw, oracle_forward};
use crate::attention::{
    FeatureMap, Gate, Head, Kernel, Link, Mask, Memory, Normalisation, Streams, attention_map, forward,
};
use nalgebra::DVector;

fn link(gain: f64, bias: f64, activation: FeatureMap) -> Link {
    Link { gain, bias, activation }
}

/// Ends in functions that are positive, that have a kink, that can be 0.
pub fn chains() -> Vec<Vec<Link>> {
    vec![
        vec![link(1.0, 0.0, FeatureMap::Exp)],
        vec![link(0.7, 0.2, FeatureMap::Sigmoid), link(1.5, -0.3, FeatureMap::Exp)],
        vec![link(-0.9, 0.1, FeatureMap::Sigmoid)],
        vec![link(2.0, 0.1, FeatureMap::EluPlusOne)],
        vec![link(0.3, 0.4, FeatureMap::Identity), link(1.0, 0.5, FeatureMap::Relu)],
    ]
}

/// `1.2 + w . f(W x + b)` of stream `a`, exponentials among the features.
pub fn sink(draw: &mut Draw) -> Gate {
    let mut sink = draw.gate(1, "a");
    sink.maps = vec![FeatureMap::Exp, FeatureMap::Sigmoid, FeatureMap::Identity];
    sink.maps.resize(sink.features.nrows(), FeatureMap::Exp);
    sink.weights.apply(|w| *w = w.abs());
    sink.constant.fill(1.2);
    sink
}

#[test]
fn chains_and_sinks_are_plain_sums() {
    for mask in MASKS {
        for n in [0, 1, 2, 19] {
            let draw = &mut Draw::new(5, true);
            let base = Head { mask, ..draw.head(3, 4) };
            let (streams, gate) = (draw.streams(n, if mask == Mask::Full { n + 2 } else { n }), sink(draw));
            let kernels = [Kernel::Linear, Kernel::Exp, Kernel::Power(2)].map(|kernel| (kernel, Vec::new()));
            let functions = chains().into_iter().map(|chain| (Kernel::Function, chain));
            for (kernel, function) in kernels.into_iter().chain(functions) {
                for (normalisation, sink) in [
                    (Normalisation::None, None),
                    (Normalisation::Sum, None),
                    (Normalisation::Sum, Some(gate.clone())),
                ] {
                    for memory in [Memory::None, Memory::Decay(0.8)] {
                        let claim = format!("{n} tokens, {mask:?} {function:?} {normalisation:?} {memory:?}");
                        let (function, sink) = (function.clone(), sink.clone());
                        let head = Head { kernel, function, normalisation, sink, memory, ..base.clone() };
                        let block = draw.block(vec![head]);
                        let y = forward(&block, &streams).expect(&claim);
                        let off = gap(&y, &oracle_forward(&block, &streams));
                        assert!(off < 1e-12, "{claim}: {off:e}");
                        let map = attention_map(&block, 0, &streams).expect(&claim);
                        let head = &block.heads[0];
                        let mut values = &head.w_v * &streams["b"];
                        values.column_iter_mut().for_each(|mut v| v += &head.b_v);
                        let mut want = &block.residual[0].matrix * &streams["a"];
                        want += &head.w_o * values * map.transpose();
                        want.column_iter_mut().for_each(|mut y| y += &block.b_o);
                        assert!(gap(&y, &want) < 1e-12, "{claim}: attention map");
                    }
                }
            }
        }
    }
}

/// One more score of every query, beside those of the tokens: what joins it to the sum is a sink.
#[test]
fn sinks_of_any_size_are_limits() {
    let draw = &mut Draw::new(9, true);
    let streams: Streams = draw.streams(7, 7);
    let base = Head {
        kernel: Kernel::Exp,
        normalisation: Normalisation::Sum,
        mask: Mask::Causal,
        ..draw.head(3, 2)
    };
    let shifted = |by: f64, sink: f64| {
        // Scores move by `by`, the sink is exp(sink).
        let mut head = base.clone();
        head.scale = 1.0;
        head.w_q = head.w_q.insert_row(3, 0.0);
        head.b_q = head.b_q.insert_row(3, by);
        head.w_k = head.w_k.insert_row(3, 0.0);
        head.b_k = head.b_k.insert_row(3, 1.0);
        let mut gate = draw_constant(&base);
        gate.bias.fill(sink);
        head.sink = Some(gate);
        Draw::new(9, true).block(vec![head])
    };
    let want = forward(&shifted(0.0, 0.5), &streams).expect("runs");
    for by in [-2000.0, -300.0, 300.0, 2000.0] {
        let y = forward(&shifted(by, 0.5 + by), &streams).expect("a shift of both changes nothing");
        assert!(gap(&y, &want) < 1e-12, "{by}");
    }
    let alone = Draw::new(9, true).block(Vec::new());
    let nothing = forward(&alone, &streams).expect("runs");
    let all = forward(&shifted(0.0, 2000.0), &streams).expect("a sink that takes all");
    assert_eq!(all, nothing);
}

/// `exp(bias)` with no part of the token.
fn draw_constant(head: &Head) -> Gate {
    Gate {
        stream: "a".into(),
        constant: DVector::zeros(1),
        weights: nalgebra::DMatrix::from_element(1, 1, 1.0),
        features: nalgebra::DMatrix::zeros(1, head.w_q.ncols()),
        bias: DVector::zeros(1),
        maps: vec![FeatureMap::Exp],
    }
}

/// Two exponentials of the query token: the sum of Sigmoid weights and any sink stays away from 0/0 however far out.
#[test]
fn positive_functions_do_not_underflow_under_their_sum() {
    let draw = &mut Draw::new(3, true);
    let streams = draw.streams(6, 6);
    let base = Head { normalisation: Normalisation::Sum, mask: Mask::Causal, ..draw.head(3, 2) };
    let softmax = draw.block(vec![Head { kernel: Kernel::Exp, ..base.clone() }]);
    let want = forward(&softmax, &streams).expect("runs");
    for last in [FeatureMap::Sigmoid, FeatureMap::EluPlusOne, FeatureMap::Exp] {
        // Far below 0 all three are exponentials.
        let function = vec![link(1.0, -3000.0, last)];
        let mut block = softmax.clone();
        block.heads[0] = Head { kernel: Kernel::Function, function, ..base.clone() };
        let y = forward(&block, &streams).expect("the limit");
        assert!(gap(&y, &want) < 1e-11, "{last:?}: {:e}", gap(&y, &want));
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    let draw = &mut Draw::new(2, true);
    let streams = draw.streams(3, 3);
    let function = chains().remove(0);
    let gate = sink(draw);
    let cases = [
        ("without functions", Head { kernel: Kernel::Function, ..draw.head(2, 2) }),
        ("beside functions", Head { function, ..draw.head(2, 2) }),
        ("nothing is divided", Head { sink: Some(gate.clone()), ..draw.head(2, 2) }),
        ("sink", {
            let sink = Some(Gate { constant: DVector::zeros(2), ..gate });
            Head { sink, normalisation: Normalisation::Sum, ..draw.head(2, 2) }
        }),
    ];
    for (what, head) in cases {
        let error = forward(&draw.block(vec![head]), &streams).expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}
