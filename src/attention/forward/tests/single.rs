//! Memories in single precision over many tokens: what is carried from block to block does not round away.

use super::agreement::{MASKS, gap, memories, single};
use super::random::{Draw, oracle_forward};
use crate::attention::gradient::{Counted, Tape, squared_error};
use crate::attention::{
    Block, FeatureMap, Gate, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate, Streams, Workspace,
    forward,
};
use nalgebra::{DMatrix, DVector};

/// Beyond this the sum of single ones stands still.
const FULL: f64 = 16_777_216.0;
/// The first token that counts: what is before it is a block of its own, and sums within a block are single.
const FROM: usize = 256;
/// Ones that are added: whole blocks and a part of one.
const ONES: usize = 4096 + 100;
const TOKENS: usize = FROM + ONES;

/// A head whose keys, values and queries are the rows of its tokens, as often as it is wide.
fn counter(width: usize, mask: Mask, memory: Memory) -> Block {
    let row = |r: usize| DMatrix::from_fn(width, 3, |_, c| f64::from(u8::from(c == r)));
    let mut w_o = DMatrix::zeros(1, width);
    w_o[(0, 0)] = 1.0;
    // One cell asks, so one product is read.
    let mut w_q = row(2);
    w_q.rows_mut(1, width - 1).fill(0.0);
    let zero = || DVector::zeros(width);
    let head = Head {
        w_q,
        w_k: row(0),
        w_v: row(1),
        w_o,
        b_q: zero(),
        b_k: zero(),
        b_v: zero(),
        scale: 1.0,
        kernel: Kernel::Linear,
        normalisation: Normalisation::None,
        mask,
        memory,
        query_stream: "x".into(),
        context_stream: "x".into(),
        value_stream: "x".into(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    };
    let (residual, b_o) = (Vec::new(), DVector::zeros(1));
    Block { relay: "HO".into(), d_model: 1, clock_stream: "x".into(), heads: vec![head], residual, b_o }
}

/// A first token of that value, nothing, and then ones; keys and queries are 1.
fn ones(first: f64) -> Streams<f32> {
    let value = |j: usize| if j == 0 { first as f32 } else { f32::from(u8::from(j >= FROM)) };
    let x = DMatrix::from_fn(3, TOKENS, |r, j| if r == 1 { value(j) } else { 1.0 });
    Streams::from([("x".to_owned(), x)])
}

fn open(rows: usize) -> Gate {
    Gate {
        stream: "x".into(),
        constant: DVector::from_element(rows, 1.0),
        weights: DMatrix::zeros(rows, 1),
        features: DMatrix::zeros(1, 3),
        bias: DVector::zeros(1),
        maps: vec![FeatureMap::Identity],
    }
}

#[test]
fn counts_go_beyond_what_single_numbers_hold() {
    for width in [1, 5, 40, 80] {
        let gated = |side, rows| Memory::Gated { side, gate: open(rows) };
        let rules = [
            ("none", Memory::None),
            ("hebbian", Memory::Hebbian),
            ("decay", Memory::Decay(1.0)),
            ("one gate", gated(GateSide::Value, 1)),
            ("gated rows", gated(GateSide::Value, width)),
            ("gated columns", gated(GateSide::Key, width)),
        ];
        for (name, memory) in rules {
            for mask in MASKS {
                let claim = format!("{name}, {mask:?}, {width} cells");
                let block = counter(width, mask, memory.clone()).cast::<f32>();
                let streams = ones(FULL);
                let y = forward(&block, &streams).expect(&claim);
                let mut other = DMatrix::zeros(0, 0);
                Workspace::by_tokens().forward(&block, &streams, &mut other).expect(&claim);
                let counted = |tokens: usize| {
                    FULL * f64::from(u8::from(tokens > 0)) + tokens.saturating_sub(FROM) as f64
                };
                for i in 0..TOKENS {
                    let seen = counted(mask.seen(i, TOKENS).end);
                    assert_eq!([y[i], other[i]], [seen as f32; 2], "{claim}: token {i}");
                }
                if mask == Mask::Full {
                    continue;
                }
                // The same in pieces of any length.
                let mut stream = block.stream().expect(&claim);
                let (mut first, mut piece) = (0, 1);
                while first < TOKENS {
                    let count = piece.min(TOKENS - first);
                    let x = streams["x"].columns(first, count).into_owned();
                    let mut part = DMatrix::zeros(0, 0);
                    stream.push(&Streams::from([("x".to_owned(), x)]), &mut part).expect(&claim);
                    // A piece may begin where the sum is odd, which single numbers cannot be.
                    let off = (&part - y.columns(first, count)).amax();
                    assert!(off <= 2.0, "{claim}: {count} tokens from {first} are off by {off}");
                    (first, piece) = (first + count, piece % 700 * 3 + 1);
                }
            }
        }
    }
}

#[test]
fn slow_delta_memories_move_on() {
    // b (v - M) is 1 at first: less than half of what single numbers can tell apart at M = 2^25.
    let b = 0.5f64.powi(20);
    for width in [1usize, 50] {
        for mask in [Mask::Causal, Mask::Full] {
            let block = counter(width, mask, Memory::Delta(Rate::Constant(b))).cast::<f32>();
            let mut streams = ones(2.0 * FULL / b);
            let value = (2.0 * FULL + 1.0 / b) as f32;
            let x = streams.get_mut("x").expect("there");
            x.row_mut(1).columns_mut(1, FROM - 1).fill(2.0 * FULL as f32 * width as f32);
            x.row_mut(1).columns_mut(FROM, ONES).fill(value * width as f32);
            let mut m = 0.0;
            // All keys are 1, so all columns of a row are alike and their sum is recalled.
            for j in 0..TOKENS {
                m += b * (f64::from(streams["x"][(1, j)]) - width as f64 * m);
            }
            let y = forward(&block, &streams).expect("runs")[TOKENS - 1];
            let error = (f64::from(y) - m).abs() / m;
            assert!(error < 2e-7, "{width} cells, {mask:?}: {y} for {m}, {error:e}");
        }
    }
}

#[test]
fn divisors_count_too() {
    let feature = Kernel::Feature { key: FeatureMap::Relu, query: FeatureMap::Relu };
    for mask in [Mask::Causal, Mask::Full] {
        for width in [1, 60] {
            let mut block = counter(width, mask, Memory::None);
            (block.heads[0].kernel, block.heads[0].normalisation) = (feature, Normalisation::Sum);
            let mut streams = ones(0.0);
            let x = streams.get_mut("x").expect("there");
            x[(0, 0)] = FULL as f32;
            x.row_mut(0).columns_mut(1, FROM - 1).fill(0.0);
            let y = forward(&block.cast::<f32>(), &streams).expect("runs")[TOKENS - 1];
            let want = ONES as f64 / (FULL + ONES as f64);
            assert!((f64::from(y) - want).abs() < 1e-6 * want, "{mask:?}, {width}: {y} for {want}");
        }
    }
}

/// Every rule on drawn tokens, many more than a block: a memory of any size is as exact after them as after a few.
#[test]
fn many_tokens_lose_no_more_than_a_few() {
    for (d_k, d_v) in [(3, 4), (17, 9), (60, 50)] {
        for mask in MASKS {
            let rules = memories(&mut Draw::new(5, false), d_k, d_v).len();
            for rule in 0..rules {
                let draw = &mut Draw::new(7, false);
                let memory = memories(draw, d_k, d_v).swap_remove(rule);
                let head = Head { mask, memory, ..draw.head(d_k, d_v) };
                let n = 1500;
                let (mut block, streams) = (draw.block(vec![head]), draw.streams(n, n));
                // Keys short enough for delta memories to stay.
                block.heads[0].w_k *= 0.2;
                let (block32, streams32) = (block.cast::<f32>(), single(&streams));
                let rounded: Streams = streams32.iter().map(|(s, x)| (s.clone(), x.map(f64::from))).collect();
                let want = oracle_forward(&block32.cast(), &rounded);
                let gap = gap(&forward(&block32, &streams32).expect("runs"), &want);
                assert!(gap < 2e-6, "{d_k} {d_v} {mask:?} {:?}: {gap:e}", block.heads[0].memory);
            }
        }
    }
}

#[test]
fn gradients_sum_many_tokens() {
    let block = counter(2, Mask::Causal, Memory::None).cast::<f32>();
    let streams = ones(FULL);
    let target = DMatrix::zeros(1, TOKENS);
    let blocks = [block];
    let tape = Tape::record(&blocks, &streams).expect("finite");
    let (_, d_output) = squared_error(tape.output(), &target, Counted::Last).expect("fits");
    let gradient = tape.backward(&d_output).expect("finite");
    let d_q = gradient.blocks[0].heads[0].w_q[(0, 0)];
    // One query counts, its derivative is the state: (2^24 + ones)^2.
    let want = (FULL + ONES as f64).powi(2);
    assert!((f64::from(d_q) - want).abs() < 1e-6 * want, "{d_q} for {want}");
}
