//! What goes wrong, and what it says.

use super::random::Draw;
use crate::attention::{
    Block, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate, Streams, attention_map, forward,
};
use nalgebra::{DMatrix, DVector};

/// A claim, a change to a good block on good streams, and what the run then says.
type Row = (&'static str, fn(&mut Block, &mut Streams), &'static str);

#[test]
fn errors_name_the_place_and_both_shapes() {
    let cases: &[Row] = &[
        ("a good block runs", |_, _| {}, ""),
        (
            "a stream must be there",
            |b, _| b.heads[1].context_stream = "c".into(),
            "head 1: the context reads stream `c`, which is not among [\"a\", \"b\"]",
        ),
        (
            "so must the clock",
            |b, _| b.clock_stream = "z".into(),
            "the clock of the output reads stream `z`, which is not among [\"a\", \"b\"]",
        ),
        (
            "tokens are as wide as the matrix",
            |b, _| b.heads[0].w_k = DMatrix::zeros(3, 4),
            "head 0: W_K is (3, 4), which does not fit stream `b` (7, 8)",
        ),
        (
            "keys are as wide as queries",
            |b, _| b.heads[0].w_q = DMatrix::zeros(2, 5),
            "head 0: W_Q is (2, 5), which does not fit W_K (3, 7)",
        ),
        (
            "values fit the output matrix",
            |b, _| b.heads[0].w_o = DMatrix::zeros(6, 9),
            "head 0: W_O is (6, 9), which does not fit W_V (2, 7)",
        ),
        (
            "heads are as wide as the output",
            |b, _| b.heads[0].w_o = DMatrix::zeros(4, 2),
            "head 0: W_O is (4, 2), which does not fit the output (6, 8)",
        ),
        (
            "biases fit",
            |b, _| b.heads[0].b_v = DVector::zeros(3),
            "head 0: b_V is (3, 1), which does not fit W_V (2, 7)",
        ),
        (
            "residuals fit",
            |b, _| b.residual[0].matrix = DMatrix::zeros(6, 6),
            "residual 0 is (6, 6), which does not fit its stream (5, 8)",
        ),
        (
            "causal needs one clock",
            |b, s| {
                b.heads[0].mask = Mask::Causal;
                s.insert("b".into(), DMatrix::zeros(7, 9));
            },
            "head 0: causal mask: stream `a` has 8 tokens, but `b` has 9",
        ),
        (
            "full does not",
            |_, s| {
                s.insert("b".into(), DMatrix::zeros(7, 9));
            },
            "",
        ),
        (
            "gates are on the clock of the context",
            |b, s| {
                b.heads[0].memory =
                    Memory::Gated { side: GateSide::Key, gate: Draw::new(1, true).gate(3, "a") };
                s.insert("b".into(), DMatrix::zeros(7, 9));
            },
            "head 0: gate: stream `a` has 8 tokens, but `b` has 9",
        ),
        (
            "gates have one row for each key row",
            |b, _| {
                b.heads[0].memory =
                    Memory::Gated { side: GateSide::Key, gate: Draw::new(1, true).gate(2, "b") };
            },
            "head 0: gate is (2, 1), which does not fit key rows (3, 1)",
        ),
        (
            "a delta memory keeps no scores",
            |b, _| {
                b.heads[0].memory = Memory::Delta(Rate::Constant(1.0));
                b.heads[0].kernel = Kernel::Exp;
            },
            "head 0: a delta memory stores keys, so the exp kernel of scores does not fit it",
        ),
        (
            "nor their sum",
            |b, _| {
                b.heads[1].memory = Memory::Delta(Rate::Constant(1.0));
                b.heads[1].normalisation = Normalisation::Sum;
            },
            "head 1: a delta memory has no sum of scores to divide by",
        ),
        (
            "decay shrinks",
            |b, _| b.heads[0].memory = Memory::Decay(1.5),
            "head 0: decay 1.5 is not in (0, 1]",
        ),
        (
            "no keys is 0/0, which is 0",
            |b, s| {
                b.heads[0].normalisation = Normalisation::Sum;
                s.insert("b".into(), DMatrix::zeros(7, 0));
            },
            "",
        ),
        (
            "x/0 is an error",
            |b, _| {
                // scores +1, -1, +1, -1, ...: the sum over 8 tokens is 0, that of the values is not
                b.heads[0].normalisation = Normalisation::Sum;
                b.heads[0].mask = Mask::Causal;
                let h = &mut b.heads[0];
                h.scale = 1.0;
                h.w_q.fill(0.0);
                h.b_q = DVector::from_vec(vec![1.0, 0.0, 0.0]);
                h.w_k.fill(0.0);
                h.b_k.fill(0.0);
                h.w_k[(0, 0)] = 1.0;
                h.w_v.fill(0.0);
                h.w_v[(0, 1)] = 1.0;
            },
            "head 0: token 1 divides by a sum of scores that is zero",
        ),
        (
            "exp without a sum can overflow",
            |b, _| {
                b.heads[1].kernel = Kernel::Exp;
                b.heads[1].scale = 1e6;
            },
            "head 1: token 0 is not finite",
        ),
        (
            "tokens must be finite",
            |_, s| s.get_mut("b").unwrap()[(0, 0)] = f64::NAN,
            "head 0: token 0 is not finite",
        ),
        (
            "so must the output",
            |b, s| {
                s.get_mut("a").unwrap()[(0, 3)] = 1e300;
                b.residual[0].matrix.fill(1e10);
            },
            "output token 3 is not finite",
        ),
    ];
    for (claim, change, want) in cases {
        let draw = &mut Draw::new(2, true);
        let heads = vec![draw.head(3, 2), draw.head(3, 2)];
        let (mut block, mut streams) = (draw.block(heads), draw.streams(8, 8));
        for j in 0..8 {
            // alternating first row, distinct second row: for the case of x/0
            streams.get_mut("b").unwrap()[(0, j)] = if j % 2 == 0 { 1.0 } else { -1.0 };
        }
        change(&mut block, &mut streams);
        let got = forward(&block, &streams).map_or_else(|e| e.to_string(), |_| String::new());
        assert_eq!(&got, want, "{claim}");
    }
}

#[test]
fn a_memory_that_is_no_weight_per_pair_has_no_map() {
    let draw = &mut Draw::new(3, false);
    let memory = Memory::Delta(Rate::Constant(0.5));
    let head = Head { memory, ..draw.head(2, 2) };
    let (block, streams) = (draw.block(vec![head]), draw.streams(4, 4));
    let said = |h| attention_map(&block, h, &streams).unwrap_err().to_string();
    assert_eq!(said(0), "head 0: a delta memory has no attention map");
    assert_eq!(said(1), "there is no head 1; the block has 1");
}
