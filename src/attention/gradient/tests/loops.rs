//! Against double loops over pairs of tokens, for every head that is a weight per pair.

use super::{Named, gradient, named, worst, worst_above};
use crate::attention::forward::tests::agreement::{MASKS, kernels};
use crate::attention::forward::tests::random::{Draw, rows, spec, stream};
use crate::attention::gradient::{Gradient, MemoryGradient, StackGradient, Tape, backward};
use crate::attention::{Block, Head, Kernel, Memory, Normalisation, Streams, Workspace};
use crate::oracle::gradients as oracle;
use nalgebra::DMatrix;
use proptest::prelude::*;

/// Sums of up to some ten thousand products in another order.
const CLOSE: f64 = 1e-11;
/// Of a power head that is divided by its sum the scale cancels: its derivative is 0, and what rounding leaves of its terms is
/// compared with this part of the largest tensor. All other tensors of such blocks are held to what holds elsewhere.
const LEAST: f64 = 0.1;

fn columns(rows: &[Vec<f64>]) -> Vec<f64> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).flat_map(|c| rows.iter().map(move |row| row[c])).collect()
}

fn by_loops(block: &Block, streams: &Streams, d_output: &DMatrix<f64>) -> Named {
    let heads: Vec<_> = block.heads.iter().map(spec).collect();
    let residual: Vec<_> = block.residual.iter().map(|r| (stream(&r.stream), rows(&r.matrix))).collect();
    let tokens = ["a", "b"].map(|s| rows(&streams[s].transpose()));
    let found = oracle::block(&heads, &residual, &tokens, &rows(&d_output.transpose()));
    let mut all = Named::new();
    for (h, (d, head)) in found.heads.iter().zip(&block.heads).enumerate() {
        let mut add = |name: &str, d: Vec<f64>| all.push((format!("head {h}: {name}"), d));
        add("W_Q", columns(&d.w_q));
        add("W_K", columns(&d.w_k));
        add("W_V", columns(&d.w_v));
        add("W_O", columns(&d.w_o));
        add("b_Q", d.b_q.clone());
        add("b_K", d.b_k.clone());
        add("b_V", d.b_v.clone());
        add("scale", vec![d.scale]);
        if matches!(head.memory, Memory::Decay(_)) {
            add("decay", vec![d.decay]);
        }
    }
    for (r, d) in found.residual.iter().enumerate() {
        all.push((format!("residual {r}"), columns(d)));
    }
    let b_o = if d_output.is_empty() { vec![0.0; block.d_model] } else { found.b_o };
    all.push(("b_O".into(), b_o));
    for (name, d) in ["a", "b"].iter().zip(&found.streams) {
        all.push((format!("stream {name}"), d.concat()));
    }
    all
}

fn check(block: &Block, streams: &Streams, draw: &mut Draw, claim: &str) {
    let (found, d_output) = gradient(block, streams, draw);
    compare(&found, &d_output, block, streams, claim);
}

fn compare(found: &Gradient, d_output: &DMatrix<f64>, block: &Block, streams: &Streams, claim: &str) {
    let (got, want) = (named(&found.block, &found.streams), by_loops(block, streams, d_output));
    let is_cancelled = |name: &str| {
        let power = |h: &Head| matches!(h.kernel, Kernel::Power(_)) && h.normalisation == Normalisation::Sum;
        let mut heads = block.heads.iter().enumerate().filter(|(_, head)| power(head));
        heads.any(|(h, _)| name == format!("head {h}: scale"))
    };
    let (gap, name) = worst_above(LEAST, &got, &want);
    assert!(gap < CLOSE, "{claim}: {name} differs from the loops by {gap:e}");
    let other = |all: Named| all.into_iter().filter(|(name, _)| !is_cancelled(name)).collect::<Named>();
    let (gap, name) = worst(&other(got), &other(want));
    assert!(gap < CLOSE, "{claim}: {name} differs from the loops by {gap:e}");
}

/// All combinations for one size.
fn check_all(n: usize, d_k: usize, d_v: usize) {
    for mask in MASKS {
        for kernel in kernels() {
            for normalisation in [Normalisation::None, Normalisation::Sum] {
                for memory in [Memory::None, Memory::Hebbian, Memory::Decay(0.9), Memory::Decay(1.0)] {
                    let draw = &mut Draw::new(21, normalisation == Normalisation::Sum);
                    let streams = draw.streams(n, if mask.name() == "full" { n + 3 } else { n });
                    let claim =
                        format!("N {n}, {d_k} x {d_v} {mask:?} {kernel:?} {normalisation:?} {memory:?}");
                    let head = Head { kernel, normalisation, mask, memory, ..draw.head(d_k, d_v) };
                    let block = draw.block(vec![head]);
                    check(&block, &streams, draw, &claim);
                }
            }
        }
    }
}

#[test]
fn all_combinations_of_few_tokens() {
    for n in [0, 1, 2, 17] {
        check_all(n, 3, 4);
        check_all(n, 1, 1);
    }
}

#[test]
fn all_combinations_around_a_chunk() {
    check_all(33, 2, 5);
    check_all(49, 17, 3);
}

#[test]
fn long_sequences_cross_chunks_and_tiles() {
    let [full, causal, strict] = MASKS;
    for (mask, kernel, normalisation, decay, n) in [
        (causal, Kernel::Linear, Normalisation::None, 0.97, 130),
        (strict, Kernel::Linear, Normalisation::Sum, 0.97, 129),
        (full, Kernel::Linear, Normalisation::Sum, 0.97, 300),
        (causal, Kernel::Exp, Normalisation::Sum, 0.97, 300),
        (full, Kernel::Exp, Normalisation::Sum, 1.0, 530),
        (strict, Kernel::Power(2), Normalisation::Sum, 0.99, 300),
    ] {
        let draw = &mut Draw::new(22, true);
        let memory = if decay < 1.0 { Memory::Decay(decay) } else { Memory::None };
        let streams = draw.streams(n, n);
        let head = Head { kernel, normalisation, mask, memory, ..draw.head(6, 3) };
        let block = draw.block(vec![head]);
        check(&block, &streams, draw, &format!("{mask:?} {kernel:?} {n}"));
    }
}

#[test]
fn streams_add_up_over_heads_and_paths() {
    let draw = &mut Draw::new(23, true);
    let mut heads = Vec::new();
    for mask in MASKS {
        let (kernel, normalisation) = (Kernel::Exp, Normalisation::Sum);
        heads.push(Head { mask, kernel, normalisation, ..draw.head(3, 2) });
        // self-attention, and values from another stream than keys
        let (context_stream, w_k) = ("a".to_owned(), draw.matrix(3, 5));
        heads.push(Head { mask, context_stream, w_k, ..draw.head(3, 4) });
        let (value_stream, w_v) = ("a".to_owned(), draw.matrix(4, 5));
        heads.push(Head { mask, value_stream, w_v, memory: Memory::Decay(0.7), ..draw.head(3, 4) });
    }
    let (mut block, streams) = (draw.block(heads), draw.streams(40, 40));
    let from_b = crate::attention::Residual { stream: "b".into(), matrix: draw.matrix(6, 7) };
    block.residual.push(from_b);
    check(&block, &streams, draw, "nine heads and two paths");
}

#[test]
fn wide_heads_go_in_chunks() {
    for n in [1, 63, 64, 65, 127, 130] {
        for mask in [MASKS[1], MASKS[2]] {
            for memory in [Memory::None, Memory::Decay(0.97)] {
                let draw = &mut Draw::new(27, false);
                let head = Head { mask, memory, ..draw.head(40, 30) };
                let (block, streams) = (draw.block(vec![head]), draw.streams(n, n));
                check(&block, &streams, draw, &format!("{n} tokens {mask:?}"));
            }
        }
    }
}

#[test]
fn heads_that_are_one_matrix() {
    for (n, d_k, d_v) in [(13, 7, 5), (65, 5, 6), (300, 9, 8)] {
        let draw = &mut Draw::new(26, false);
        let mut heads = vec![draw.head(d_k, d_v), Head { memory: Memory::Hebbian, ..draw.head(d_v, d_k) }];
        // queries from the stream of the context, which has no residual path; values from another stream than keys
        let (query_stream, w_q) = ("b".to_owned(), draw.matrix(d_k, 7));
        heads.push(Head { query_stream, w_q, ..draw.head(d_k, d_v) });
        let (value_stream, w_v) = ("a".to_owned(), draw.matrix(d_v, 5));
        heads.push(Head { value_stream, w_v, ..draw.head(d_k, d_v) });
        heads.push(Head { mask: MASKS[1], ..draw.head(d_k, d_v) });
        let (block, streams) = (draw.block(heads), draw.streams(n, n));
        let (claim, blocks) = (format!("{n} tokens, {d_k} x {d_v}"), [block]);
        let d_output = draw.matrix(blocks[0].d_model, n);
        let tape = Tape::record_with(&blocks, &streams, vec![Workspace::by_moments()]).unwrap();
        let StackGradient { blocks: mut found, streams: d_streams, .. } = tape.backward(&d_output).unwrap();
        let found = Gradient { block: found.remove(0), streams: d_streams };
        compare(&found, &d_output, &blocks[0], &streams, &claim);
    }
}

#[test]
fn a_scale_of_zero_has_a_derivative() {
    let draw = &mut Draw::new(24, false);
    for kernel in kernels() {
        let head = Head { kernel, scale: 0.0, ..draw.head(3, 2) };
        let (block, streams) = (draw.block(vec![head]), draw.streams(9, 9));
        check(&block, &streams, draw, &format!("{kernel:?}"));
        let (found, _) = gradient(&block, &streams, draw);
        assert_eq!(
            matches!(kernel, Kernel::Power(_)),
            found.block.heads[0].scale.abs() < 1e-300,
            "{kernel:?}"
        );
    }
}

#[test]
fn a_read_out_of_nothing_is_a_constant() {
    let draw = &mut Draw::new(25, false);
    let mut head = Head { normalisation: Normalisation::Sum, ..draw.head(3, 2) };
    head.w_k.fill(0.0);
    head.b_k.fill(0.0);
    let (block, streams) = (draw.block(vec![head]), draw.streams(5, 5));
    let (found, _) = gradient(&block, &streams, draw);
    let head = &found.block.heads[0];
    for d in [&head.w_q, &head.w_k, &head.w_v, &head.w_o] {
        assert!(d.iter().all(|d| *d == 0.0), "{d}");
    }
    assert_eq!(found.block.heads[0].memory, MemoryGradient::None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn random_heads_agree_with_the_loops(
        seed in any::<u64>(),
        (mask, kernel, memory) in (0..3usize, 0..7usize, 0..3usize),
        (n, d_k, d_v) in (1..70usize, 1..9usize, 1..9usize),
        sum in any::<bool>(),
        decay in 0.05..1.0f64,
        same_stream in any::<bool>(),
    ) {
        let draw = &mut Draw::new(seed, sum);
        let normalisation = if sum { Normalisation::Sum } else { Normalisation::None };
        let memory = [Memory::None, Memory::Hebbian, Memory::Decay(decay)][memory].clone();
        let (mask, kernel) = (MASKS[mask], kernels()[kernel]);
        let mut head = Head { kernel, normalisation, mask, memory, ..draw.head(d_k, d_v) };
        if same_stream {
            (head.query_stream, head.w_q) = ("b".into(), draw.matrix(d_k, 7));
        }
        let streams = draw.streams(n, n);
        let block = draw.block(vec![head]);
        let (found, d_output) = gradient(&block, &streams, draw);
        let (gap, name) = worst_above(LEAST, &named(&found.block, &found.streams), &by_loops(&block, &streams, &d_output));
        prop_assert!(gap < CLOSE, "{name}: {gap:e}");

        // dL/d is linear in dL/dY.
        let other = draw.matrix(block.d_model, n);
        let sum = backward(&block, &streams, &(2.0 * &d_output - &other)).unwrap();
        let second = backward(&block, &streams, &other).unwrap();
        let want: Named = named(&found.block, &found.streams)
            .into_iter()
            .zip(named(&second.block, &second.streams))
            .map(|((name, x), (_, y))| (name, x.iter().zip(&y).map(|(x, y)| 2.0 * x - y).collect()))
            .collect();
        let (gap, name) = worst_above(LEAST, &named(&sum.block, &sum.streams), &want);
        prop_assert!(gap < CLOSE, "{name} is not linear: {gap:e}");
    }
}
