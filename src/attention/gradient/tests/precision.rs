//! Single precision, and any number of threads.

use super::{Named, named, worst_above};
use crate::attention::forward::tests::agreement::{MASKS, kernels, memories, single, supported};
use crate::attention::forward::tests::random::Draw;
use crate::attention::gradient::backward;
use crate::attention::{Block, Head, Kernel, Memory, Normalisation, Rate, Streams};
use crate::linalg::Real;
use nalgebra::DMatrix;

/// What single precision may lose on a sum over some hundred tokens.
const CLOSE_F32: f64 = 1e-4;
/// A decay of 0.999 moves numerator and sum of 1,500 tokens nearly in proportion: its derivative is what is left of
/// the difference of two sums several hundred times larger.
const CLOSE_SLOW: f64 = 2e-2;
/// Tensors that cancel (the scale of a linear or power head that is divided by its sum has derivative 0) keep a
/// rounding of up to 1e-6 of the largest one: below a tenth of it single precision has no four digits to spare.
const LEAST: f64 = 0.1;

/// The gradient in f32, and that in f64 of the same (rounded) numbers.
fn in_both(block: &Block, streams: &Streams, d_output: &DMatrix<f64>) -> [Named; 2] {
    let (block32, streams32) = (block.cast::<f32>(), single(streams));
    let d32 = d_output.map(f32::from_f64);
    let got = backward(&block32, &streams32, &d32).unwrap();
    let rounded: Streams = streams32.iter().map(|(s, x)| (s.clone(), x.map(f64::from))).collect();
    let want = backward(&block32.cast::<f64>(), &rounded, &d32.map(f64::from)).unwrap();
    let wide = |x: &[f32]| x.iter().copied().map(f64::from).collect();
    let mut names: Named = got.block.tensors().into_iter().map(|(name, d)| (name, wide(d))).collect();
    names.extend(got.streams.iter().map(|(name, d)| (format!("stream {name}"), wide(d.as_slice()))));
    [names, named(&want.block, &want.streams)]
}

#[test]
fn single_precision_is_near_double() {
    for n in [7, 65] {
        for mask in MASKS {
            for kernel in kernels() {
                for normalisation in [Normalisation::None, Normalisation::Sum] {
                    let draw = &mut Draw::new(41, normalisation == Normalisation::Sum);
                    let base = draw.head(3, 4);
                    let streams = draw.streams(n, n);
                    for memory in memories(draw, 3, 4) {
                        if !supported(kernel, normalisation, &memory) {
                            continue;
                        }
                        let claim = format!("{n} {mask:?} {kernel:?} {normalisation:?} {memory:?}");
                        let block =
                            draw.block(vec![Head { kernel, normalisation, mask, memory, ..base.clone() }]);
                        let d_output = draw.matrix(block.d_model, n);
                        let [single, double] = in_both(&block, &streams, &d_output);
                        let (gap, name) = worst_above(LEAST, &single, &double);
                        assert!(gap < CLOSE_F32, "{claim}: {name} {gap:e}");
                    }
                }
            }
        }
    }
}

#[test]
fn long_sequences_in_single_precision() {
    let sum = Normalisation::Sum;
    for mask in MASKS {
        for (kernel, normalisation, memory) in [
            (Kernel::Linear, sum, Memory::None),
            (Kernel::Linear, Normalisation::None, Memory::Decay(0.999)),
            (Kernel::Linear, sum, Memory::Decay(0.999)),
            (Kernel::Exp, sum, Memory::Decay(0.999)),
        ] {
            let draw = &mut Draw::new(42, true);
            let claim = format!("{mask:?} {kernel:?} {memory:?}");
            let head = Head { kernel, normalisation, mask, memory, ..draw.head(6, 5) };
            let block = draw.block(vec![head]);
            let streams = draw.streams(1500, 1500);
            let d_output = Draw::new(44, false).matrix(block.d_model, 1500); // both signs
            let [mut single, mut double] = in_both(&block, &streams, &d_output);
            if normalisation == sum && matches!(block.heads[0].memory, Memory::Decay(_)) {
                let at = single.iter().position(|(name, _)| name.ends_with("decay")).expect("a decay");
                let (got, want) = (single.remove(at).1[0], double.remove(at).1[0]);
                assert!((got / want - 1.0).abs() < CLOSE_SLOW, "{claim}: decay {got} {want}");
            }
            let (gap, name) = worst_above(LEAST, &single, &double);
            assert!(gap < CLOSE_F32, "{claim}: {name} {gap:e}");
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let draw = &mut Draw::new(43, true);
    let mut heads = Vec::new();
    for mask in MASKS {
        for kernel in [Kernel::Linear, Kernel::Exp] {
            let memory = Memory::Decay(0.99);
            heads.push(Head { mask, kernel, memory, normalisation: Normalisation::Sum, ..draw.head(8, 6) });
        }
        heads.push(Head { mask, memory: Memory::Delta(Rate::Constant(0.01)), ..draw.head(9, 10) });
    }
    let (block, streams) = (draw.block(heads), draw.streams(600, 600));
    assert!(crate::attention::forward::is_parallel(&block, &streams), "must be large enough to fork");
    let d_output = draw.matrix(block.d_model, 600);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| backward(&block, &streams, &d_output)).unwrap();
        let all = named(&found.block, &found.streams);
        all.into_iter().flat_map(|(_, d)| d).map(f64::to_bits).collect::<Vec<_>>()
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}
