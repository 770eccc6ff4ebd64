//! The same block by every route: all at once, token by token, as one matrix, in pieces, in memory used before.

use super::agreement::{MASKS, gap, kernels, memories, single, supported};
use super::random::{Draw, oracle_forward};
use crate::attention::{
    Block, FeatureMap, Head, Kernel, Mask, Memory, Normalisation, Streams, Workspace, forward,
};
use crate::linalg::Real;
use nalgebra::DMatrix;

/// Rounding of sums of up to two thousand terms, relative to the largest output.
const CLOSE: f64 = 1e-12;

fn pass<T: Real>(mut by: Workspace<T>, block: &Block<T>, streams: &Streams<T>) -> DMatrix<T> {
    let mut y = DMatrix::zeros(0, 0);
    by.forward(block, streams, &mut y).unwrap();
    y
}

fn by_tokens(block: &Block, streams: &Streams) -> DMatrix<f64> {
    pass(Workspace::by_tokens(), block, streams)
}

#[test]
fn windows_of_tokens_meet_without_a_seam() {
    for n in [1023, 1024, 1025, 2049] {
        let draw = &mut Draw::new(61, false);
        let mut heads = Vec::new();
        for mask in MASKS {
            heads.push(Head { mask, ..draw.head(3, 2) });
            heads.push(Head { mask, memory: Memory::Decay(0.9), ..draw.head(2, 3) });
        }
        let gated = memories(draw, 2, 2).swap_remove(6);
        heads.push(Head { mask: Mask::Causal, memory: gated.clone(), ..draw.head(2, 2) });
        heads.push(Head { mask: Mask::Full, memory: gated, ..draw.head(2, 2) });
        let (block, streams) = (draw.block(heads), draw.streams(n, n));
        let want = oracle_forward(&block, &streams);
        for (claim, y) in
            [("planned", forward(&block, &streams).unwrap()), ("by tokens", by_tokens(&block, &streams))]
        {
            let gap = gap(&y, &want);
            assert!(gap < CLOSE, "{n} tokens {claim}: {gap:e}");
        }
    }
}

#[test]
fn residual_paths_of_ones_and_zeros() {
    let rows = [
        ("identity", 0.0, vec![("a", DMatrix::identity(5, 5))]),
        ("identity, one number off", 1e-9, vec![("a", DMatrix::identity(5, 5))]),
        ("a diagonal of ones that is not square", 0.0, vec![("b", DMatrix::identity(5, 7))]),
        ("two paths", 0.0, vec![("a", DMatrix::identity(5, 5)), ("a", DMatrix::identity(5, 5) * 2.0)]),
    ];
    for (claim, off, paths) in rows {
        let draw = &mut Draw::new(72, false);
        let mut heads = vec![draw.head(3, 2), Head { mask: Mask::Causal, ..draw.head(3, 2) }];
        for head in &mut heads {
            head.w_o = draw.matrix(5, 2);
        }
        let (mut block, streams) = (draw.block(heads), draw.streams(300, 300));
        (block.d_model, block.b_o) = (5, nalgebra::DVector::from_element(5, 0.5));
        block.residual = paths
            .into_iter()
            .map(|(s, matrix)| crate::attention::Residual { stream: s.into(), matrix })
            .collect();
        block.residual[0].matrix[(1, 0)] += off;
        let want = oracle_forward(&block, &streams);
        let (y, other) = (forward(&block, &streams).unwrap(), by_tokens(&block, &streams));
        assert!(gap(&y, &want) < CLOSE && gap(&other, &want) < CLOSE, "{claim}");
    }
}

#[test]
fn contexts_longer_and_shorter_than_queries() {
    for (n_a, n_b) in [(1, 1025), (1025, 1), (1024, 0), (0, 1024), (1500, 1100)] {
        let draw = &mut Draw::new(62, false);
        let feature = Kernel::Feature { key: FeatureMap::Sigmoid, query: FeatureMap::Exp };
        let heads = vec![
            draw.head(3, 2),
            Head { memory: Memory::Decay(0.99), ..draw.head(2, 3) },
            Head { kernel: feature, normalisation: Normalisation::Sum, ..draw.head(2, 3) },
        ];
        let (block, streams) = (draw.block(heads), draw.streams(n_a, n_b));
        let want = oracle_forward(&block, &streams);
        let gap = gap(&forward(&block, &streams).unwrap(), &want);
        assert!(gap < CLOSE, "{n_a} queries, {n_b} context tokens: {gap:e}");
    }
}

#[test]
fn heads_that_see_all_tokens_are_one_matrix() {
    for (n, d_k, d_v) in [(13, 7, 5), (64, 7, 5), (257, 5, 5), (1100, 9, 8)] {
        let draw = &mut Draw::new(63, false);
        let mut heads = vec![draw.head(d_k, d_v), Head { memory: Memory::Hebbian, ..draw.head(d_v, d_k) }];
        // queries from the stream of the context, which has no residual path; values from another stream than keys
        let (query_stream, w_q) = ("b".to_owned(), draw.matrix(d_k, 7));
        heads.push(Head { query_stream, w_q, ..draw.head(d_k, d_v) });
        let (value_stream, w_v) = ("a".to_owned(), draw.matrix(d_v, 5));
        heads.push(Head { value_stream, w_v, ..draw.head(d_k, d_v) });
        heads.push(Head { mask: Mask::Causal, ..draw.head(d_k, d_v) });
        let (block, streams) = (draw.block(heads), draw.streams(n, n));
        assert_eq!(super::super::algebra::pays(&block, &streams, false), n >= 64, "{n} tokens");
        let want = oracle_forward(&block, &streams);
        let (y, other) = (pass(Workspace::by_moments(), &block, &streams), by_tokens(&block, &streams));
        let (double, other) = (gap(&y, &want), gap(&other, &want));
        assert!(double < CLOSE && other < CLOSE, "{n} tokens: {double:e} {other:e}");
        let single = gap(&pass(Workspace::by_moments(), &block.cast::<f32>(), &single(&streams)), &want);
        assert!(single < 1e-6, "{n} tokens, single precision: {single:e}");
    }
}

#[test]
fn moments_that_overflow_are_left_for_tokens() {
    let draw = &mut Draw::new(64, false);
    let mut heads: Vec<Head> = (0..4).map(|_| draw.head(7, 5)).collect();
    for head in &mut heads {
        head.w_k *= 1e-200;
        head.w_v *= 1e-200;
    }
    let (block, mut streams) = (draw.block(heads), draw.streams(40, 40));
    *streams.get_mut("b").unwrap() *= 1e200;
    let want = oracle_forward(&block, &streams);
    let gap = gap(&pass(Workspace::by_moments(), &block, &streams), &want);
    assert!(gap < CLOSE, "{gap:e}");
}

#[test]
fn a_workspace_leaves_no_trace() {
    let mut workspace = Workspace::new();
    let mut y = DMatrix::zeros(0, 0);
    for (seed, n) in [(65, 40), (66, 7), (65, 40), (67, 0), (68, 1100)] {
        for mask in MASKS {
            for kernel in kernels() {
                let draw = &mut Draw::new(seed, true);
                let mut heads = Vec::new();
                for memory in memories(draw, 3, 3) {
                    for normalisation in [Normalisation::None, Normalisation::Sum] {
                        if n < 100 && supported(kernel, normalisation, &memory) {
                            let memory = memory.clone();
                            heads.push(Head { kernel, normalisation, mask, memory, ..draw.head(3, 3) });
                        }
                    }
                }
                heads.push(Head { mask, ..draw.head(4, 2) });
                let (block, streams) = (draw.block(heads), draw.streams(n, n));
                workspace.forward(&block, &streams, &mut y).unwrap();
                let bits = |m: &DMatrix<f64>| m.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&y), bits(&forward(&block, &streams).unwrap()), "{mask:?} {kernel:?}");
            }
        }
    }
}

/// Memories beyond the size that is swept token by token.
#[test]
fn large_delta_memories_run_in_chunks() {
    for mask in [Mask::Full, Mask::Causal, Mask::Strict] {
        for n in [0, 1, 2, 15, 16, 17, 31, 61] {
            let draw = &mut Draw::new(73, false);
            let mut heads = Vec::new();
            for memory in memories(draw, 41, 37).into_iter().filter(|m| matches!(m, Memory::Delta(_))) {
                let mut head = Head { mask, memory, ..draw.head(41, 37) };
                assert!(!super::super::recurrent::is_small::<f64>(41 * 37));
                // Long keys run away.
                (head.w_k, head.b_k) = (head.w_k * 0.2, head.b_k * 0.2);
                heads.push(head);
            }
            assert!(heads.len() >= 2, "constant rates and gates");
            let (block, streams) = (draw.block(heads), draw.streams(n, n));
            let gap = gap(&forward(&block, &streams).unwrap(), &oracle_forward(&block, &streams));
            assert!(gap < CLOSE, "{mask:?}, {n} tokens: {gap:e}");
            if mask != Mask::Full && n > 20 {
                let mut stream = block.stream().unwrap();
                let (mut y, mut all) = (DMatrix::zeros(0, 0), Vec::new());
                for (first, size) in [(0, 1), (1, 17), (18, n - 18)] {
                    let piece = |x: &DMatrix<f64>| x.columns(first, size).into_owned();
                    stream
                        .push(&streams.iter().map(|(s, x)| (s.clone(), piece(x))).collect(), &mut y)
                        .unwrap();
                    all.extend_from_slice(y.as_slice());
                }
                let whole = oracle_forward(&block, &streams);
                assert!((DMatrix::from_vec(block.d_model, n, all) - &whole).amax() < CLOSE * whole.amax());
            }
        }
    }
}

#[test]
fn tokens_in_pieces_are_the_whole_sequence() {
    for mask in [Mask::Causal, Mask::Strict] {
        let draw = &mut Draw::new(69, true);
        let feature = Kernel::Feature { key: FeatureMap::EluPlusOne, query: FeatureMap::EluPlusOne };
        let mut heads = Vec::new();
        for memory in memories(draw, 3, 3) {
            heads.push(Head { mask, memory, ..draw.head(3, 3) });
        }
        let memory = Memory::Decay(0.9);
        heads.push(Head {
            mask,
            kernel: feature,
            normalisation: Normalisation::Sum,
            memory,
            ..draw.head(3, 2)
        });
        let (block, streams) = (draw.block(heads), draw.streams(150, 150));
        let want = oracle_forward(&block, &streams);
        for sizes in [vec![1; 150], vec![0, 64, 1, 63, 0, 22], vec![150], vec![17; 9]] {
            let mut stream = block.stream().unwrap();
            let mut y = DMatrix::zeros(0, 0);
            let mut all = Vec::new();
            let mut first = 0;
            for size in sizes {
                let size = size.min(150 - first);
                let piece =
                    streams.iter().map(|(s, x)| (s.clone(), x.columns(first, size).into_owned())).collect();
                stream.push(&piece, &mut y).unwrap();
                all.extend_from_slice(y.as_slice());
                first += size;
            }
            let gap = gap(&DMatrix::from_vec(block.d_model, 150, all), &want);
            assert!(gap < CLOSE, "{mask:?}: {gap:e}");
        }
    }
}

#[test]
fn full_masks_in_two_passes_are_the_whole_sequence() {
    let draw = &mut Draw::new(72, true);
    let mut heads = Vec::new();
    for mask in [Mask::Full, Mask::Causal, Mask::Full] {
        for memory in memories(draw, 3, 3) {
            heads.push(Head { mask, memory, ..draw.head(3, 3) });
        }
        heads.push(Head { mask, normalisation: Normalisation::Sum, ..draw.head(3, 2) });
    }
    let (block, streams) = (draw.block(heads), draw.streams(150, 150));
    let want = oracle_forward(&block, &streams);
    for sizes in [vec![1; 150], vec![0, 64, 1, 63, 0, 22], vec![150], vec![17; 9]] {
        let mut pieces: Vec<Streams> = Vec::new();
        let mut first = 0;
        for size in sizes {
            let size = size.min(150 - first);
            let piece = |x: &DMatrix<f64>| x.columns(first, size).into_owned();
            pieces.push(streams.iter().map(|(s, x)| (s.clone(), piece(x))).collect());
            first += size;
        }
        let mut stream = block.stream_in_passes().unwrap();
        pieces.iter().for_each(|piece| stream.absorb(piece).unwrap());
        // What was absorbed stays, whatever was read since.
        for _ in 0..2 {
            let (mut y, mut all) = (DMatrix::zeros(0, 0), Vec::new());
            stream.rewind();
            for piece in &pieces {
                stream.push(piece, &mut y).unwrap();
                all.extend_from_slice(y.as_slice());
            }
            let gap = gap(&DMatrix::from_vec(block.d_model, 150, all), &want);
            assert!(gap < CLOSE, "{gap:e}");
        }
    }
}

#[test]
fn what_needs_other_tokens_is_no_stream() {
    let draw = &mut Draw::new(70, false);
    let said = |head: Head| {
        let block = Draw::new(71, false).block(vec![head]);
        block.stream().unwrap_err().to_string()
    };
    let want = "head 0: a full mask needs all tokens before the first output, so it cannot run as a stream";
    assert_eq!(said(draw.head(2, 2)), want);
    let head = Head { mask: Mask::Causal, kernel: Kernel::Exp, ..draw.head(2, 2) };
    let want = "head 0: scores of this kernel need all earlier tokens, so it cannot run as a stream";
    assert_eq!(said(head.clone()), want);
    let block = Draw::new(71, false).block(vec![head]);
    assert_eq!(block.stream_in_passes().unwrap_err().to_string(), want);
}
