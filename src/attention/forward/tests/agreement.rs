//! Every supported combination of mask, kernel, normalisation and memory; threads; the attention map.

use super::random::{Draw, oracle_forward};
use crate::attention::{
    Block, FeatureMap, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate, Streams, attention_map,
    forward,
};
use crate::linalg::Real;
use nalgebra::DMatrix;

/// Rounding of sums of up to 127 terms, relative to the largest output.
const CLOSE_F64: f64 = 1e-12;
/// The same in single precision.
const CLOSE_F32: f64 = 1e-5;

pub const MASKS: [Mask; 3] = [Mask::Full, Mask::Causal, Mask::Strict];

pub fn kernels() -> [Kernel; 7] {
    let feature = |key, query| Kernel::Feature { key, query };
    [
        Kernel::Linear,
        Kernel::Exp,
        Kernel::Power(2),
        Kernel::Power(3),
        feature(FeatureMap::EluPlusOne, FeatureMap::EluPlusOne),
        feature(FeatureMap::Relu, FeatureMap::Sigmoid),
        feature(FeatureMap::Exp, FeatureMap::Sign),
    ]
}

pub fn memories(draw: &mut Draw, d_k: usize, d_v: usize) -> Vec<Memory> {
    let gated = |side, gate| Memory::Gated { side, gate };
    vec![
        Memory::None,
        Memory::Hebbian,
        Memory::Decay(0.9),
        Memory::Decay(1.0),
        Memory::Delta(Rate::Constant(0.05)),
        Memory::Delta(Rate::Gate({
            let mut gate = draw.gate(d_v, "b");
            gate.constant.fill(0.05);
            gate.weights *= 0.05;
            gate
        })),
        gated(GateSide::Value, draw.gate(d_v, "b")),
        gated(GateSide::Key, draw.gate(d_k, "b")),
        gated(GateSide::Value, draw.gate(1, "b")),
    ]
}

pub fn supported(kernel: Kernel, normalisation: Normalisation, memory: &Memory) -> bool {
    let state_kernel = matches!(kernel, Kernel::Linear | Kernel::Feature { .. });
    match memory {
        Memory::Delta(_) | Memory::Gated { .. } => state_kernel && normalisation == Normalisation::None,
        Memory::None | Memory::Hebbian | Memory::Decay(_) => true,
    }
}

pub fn gap<T: Real>(y: &DMatrix<T>, want: &DMatrix<f64>) -> f64 {
    assert_eq!(y.shape(), want.shape());
    let size = want.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    y.iter().zip(want.iter()).fold(0.0, |m: f64, (x, w)| m.max((x.to_f64() - w).abs())) / size
}

pub fn single(streams: &Streams) -> Streams<f32> {
    streams.iter().map(|(s, x)| (s.clone(), x.map(f32::from_f64))).collect()
}

fn check(block: &Block, streams: &Streams, claim: &str) {
    let want = oracle_forward(block, streams);
    let double = gap(&forward(block, streams).expect(claim), &want);
    assert!(double < CLOSE_F64, "{claim}: f64 gap {double:e}");
    // The oracle on the rounded numbers: only the arithmetic differs, not the input.
    let (block32, streams32) = (block.cast::<f32>(), single(streams));
    let rounded: Streams = streams32.iter().map(|(s, x)| (s.clone(), x.map(f64::from))).collect();
    let want = oracle_forward(&block32.cast(), &rounded);
    let single = gap(&forward(&block32, &streams32).expect(claim), &want);
    assert!(single < CLOSE_F32, "{claim}: f32 gap {single:e}");
}

/// All combinations for one size.
fn check_all(n: usize, d_k: usize, d_v: usize) {
    for mask in MASKS {
        for kernel in kernels() {
            for normalisation in [Normalisation::None, Normalisation::Sum] {
                let draw = &mut Draw::new(11, normalisation == Normalisation::Sum);
                let base = draw.head(d_k, d_v);
                let n_b = if mask == Mask::Full { n + 3 } else { n };
                let streams = draw.streams(n, n_b);
                for memory in memories(draw, d_k, d_v) {
                    if !supported(kernel, normalisation, &memory) {
                        continue;
                    }
                    let claim =
                        format!("N {n}, {d_k} x {d_v}, {mask:?} {kernel:?} {normalisation:?} {memory:?}");
                    let head = Head { kernel, normalisation, mask, memory, ..base.clone() };
                    check(&draw.block(vec![head]), &streams, &claim);
                }
            }
        }
    }
}

#[test]
fn all_combinations_of_few_tokens() {
    for n in [0, 1, 2, 17] {
        check_all(n, 3, 4);
        check_all(n, 1, 2);
    }
}

#[test]
fn all_combinations_around_a_chunk() {
    check_all(63, 4, 2);
    check_all(64, 1, 1);
    check_all(65, 2, 5);
    check_all(127, 6, 7);
}

#[test]
fn wide_heads_use_chunks_of_64() {
    for mask in MASKS {
        for memory in [Memory::None, Memory::Decay(0.97)] {
            for n in [63, 64, 65, 127, 300] {
                let draw = &mut Draw::new(5, false);
                let head = Head { mask, memory: memory.clone(), ..draw.head(70, 33) };
                let streams = draw.streams(n, n);
                check(&draw.block(vec![head]), &streams, &format!("N {n} {mask:?} {memory:?}"));
            }
        }
    }
}

#[test]
fn more_than_one_tile_of_scores() {
    for mask in MASKS {
        for memory in [Memory::None, Memory::Decay(0.97)] {
            let draw = &mut Draw::new(6, true);
            let (kernel, normalisation) = (Kernel::Exp, Normalisation::Sum);
            let head = Head { mask, kernel, normalisation, memory, ..draw.head(6, 3) };
            let streams = draw.streams(530, 530);
            check(&draw.block(vec![head]), &streams, &format!("{mask:?}"));
        }
    }
}

fn mixed(draw: &mut Draw) -> Block {
    let mut heads = Vec::new();
    for mask in MASKS {
        for kernel in [Kernel::Linear, Kernel::Exp] {
            heads.push(Head { mask, kernel, normalisation: Normalisation::Sum, ..draw.head(8, 6) });
        }
        let memory = Memory::Delta(Rate::Constant(0.01));
        heads.push(Head { mask, memory, ..draw.head(9, 10) });
        // values from another stream than keys
        let (value_stream, w_v) = ("a".to_string(), draw.matrix(4, 5));
        heads.push(Head { mask, value_stream, w_v, ..draw.head(3, 4) });
    }
    draw.block(heads)
}

#[test]
fn heads_and_residuals_add_up() {
    let draw = &mut Draw::new(8, true);
    let (block, streams) = (mixed(draw), draw.streams(70, 70));
    check(&block, &streams, "a block of many kinds of heads");
    let streams = draw.streams(0, 0);
    assert_eq!(forward(&block, &streams).unwrap().shape(), (6, 0));
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let draw = &mut Draw::new(9, true);
    let (block, streams) = (mixed(draw), draw.streams(600, 600));
    assert!(
        super::super::flop(&block, &streams) > super::super::PARALLEL_FLOP,
        "must be large enough to fork"
    );
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let y = pool.install(|| forward(&block, &streams)).unwrap();
        y.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn softmax_of_huge_scores_is_a_choice() {
    // Scores of +-1e4: exp would overflow at 710. Token 0 wins for query 0, token 1 for query 1.
    let draw = &mut Draw::new(10, false);
    let mut head = draw.head(1, 1);
    (head.kernel, head.normalisation, head.scale) = (Kernel::Exp, Normalisation::Sum, 1e4);
    (head.query_stream, head.context_stream, head.value_stream) = ("x".into(), "x".into(), "x".into());
    let one = DMatrix::from_element(1, 1, 1.0);
    (head.w_q, head.w_k, head.w_v, head.w_o) = (one.clone(), one.clone(), one.clone(), one);
    head.b_q.fill(0.0);
    head.b_k.fill(0.0);
    head.b_v.fill(5.0);
    let mut block = draw.block(vec![head]);
    (block.d_model, block.clock_stream) = (1, "x".into());
    block.residual.clear();
    block.b_o = nalgebra::DVector::zeros(1);
    let streams: Streams = [("x".to_string(), DMatrix::from_row_slice(1, 2, &[1.0, -1.0]))].into();
    let y = forward(&block, &streams).unwrap();
    assert_eq!(y.as_slice(), [6.0, 4.0]);
    assert_eq!(attention_map(&block, 0, &streams).unwrap(), DMatrix::identity(2, 2));
}

#[test]
fn the_map_times_the_values_is_the_read_out() {
    for mask in MASKS {
        for kernel in kernels() {
            for normalisation in [Normalisation::None, Normalisation::Sum] {
                for memory in [Memory::None, Memory::Hebbian, Memory::Decay(0.8)] {
                    let draw = &mut Draw::new(12, normalisation == Normalisation::Sum);
                    let head = Head { mask, kernel, normalisation, memory, ..draw.head(3, 2) };
                    let streams = draw.streams(20, 20);
                    let mut block = draw.block(vec![head]);
                    block.residual.clear();
                    block.b_o.fill(0.0);
                    let map = attention_map(&block, 0, &streams).unwrap();
                    let head = &block.heads[0];
                    let mut values = &head.w_v * &streams["b"];
                    values.column_iter_mut().for_each(|mut v| v += &head.b_v);
                    let want = &head.w_o * values * map.transpose();
                    let gap = gap(&forward(&block, &streams).unwrap(), &want);
                    assert!(gap < CLOSE_F64, "{mask:?} {kernel:?} {normalisation:?}: {gap:e}");
                }
            }
        }
    }
}
