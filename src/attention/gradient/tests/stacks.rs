//! Blocks that read one another.

use super::{Named, named, norm, worst};
use crate::attention::forward::tests::random::Draw;
use crate::attention::gradient::{Tape, backward, backward_stack, parameters_mut};
use crate::attention::{Block, Head, Kernel, Mask, Normalisation, Residual, Streams, forward};
use nalgebra::DMatrix;

/// Three blocks: the second reads the first, the third both of them and an input; residual paths all along.
fn stack(draw: &mut Draw) -> Vec<Block> {
    let reads = |draw: &mut Draw, query: &str, context: &str, d_q: usize, d_c: usize| Head {
        w_q: draw.matrix(2, d_q),
        w_k: draw.matrix(2, d_c),
        w_v: draw.matrix(3, d_c),
        query_stream: query.into(),
        context_stream: context.into(),
        value_stream: context.into(),
        mask: Mask::Causal,
        ..draw.head(2, 3)
    };
    let mut blocks = Vec::new();
    for (relay, heads, skip) in [
        ("one", vec![reads(draw, "a", "b", 5, 7)], ("a", 5)),
        ("two", vec![reads(draw, "one", "a", 6, 5), reads(draw, "a", "one", 5, 6)], ("one", 6)),
        ("three", vec![reads(draw, "two", "one", 6, 6), reads(draw, "b", "two", 7, 6)], ("two", 6)),
    ] {
        let mut block = draw.block(heads);
        block.relay = relay.into();
        block.residual = vec![Residual { stream: skip.0.into(), matrix: draw.matrix(6, skip.1) }];
        blocks.push(block);
    }
    let softmax = &mut blocks[1].heads[0];
    (softmax.kernel, softmax.normalisation) = (Kernel::Exp, Normalisation::Sum);
    blocks
}

fn run(blocks: &[Block], inputs: &Streams) -> DMatrix<f64> {
    let mut streams = inputs.clone();
    for block in blocks {
        let y = forward(block, &streams).unwrap();
        streams.insert(block.relay.clone(), y);
    }
    streams[&blocks[blocks.len() - 1].relay].clone()
}

/// Every tensor along one random direction of its own: central differences, extrapolated once.
#[test]
fn a_stack_agrees_with_differences() {
    let draw = &mut Draw::new(51, false);
    let (blocks, inputs) = (stack(draw), draw.streams(5, 5));
    let d_output = draw.matrix(6, 5);
    let found = backward_stack(&blocks, &inputs, &d_output).unwrap();
    let extrapolated = |difference: &dyn Fn(f64) -> f64| {
        let d = [1.0, 0.5].map(|part| difference(part / 512.0) / (2.0 * part / 512.0));
        (4.0 * d[1] - d[0]) / 3.0
    };
    let largest = found.blocks.iter().flat_map(|b| b.tensors()).map(|(_, d)| norm(d)).fold(0.0, f64::max);
    let check = |name: &str, direction: &[f64], d: &[f64], want: f64| {
        let got: f64 = direction.iter().zip(d).map(|(x, y)| x * y).sum();
        let gap = (got - want).abs() / (norm(direction) * norm(d).max(1e-3 * largest));
        assert!(gap < 1e-9, "{name}: {got} {want}");
    };
    for (b, gradient) in found.blocks.iter().enumerate() {
        for (tensor, (name, d)) in gradient.tensors().into_iter().enumerate() {
            let direction = draw.matrix(d.len(), 1);
            let moved = |step: f64| {
                let mut blocks = blocks.clone();
                let numbers = &mut parameters_mut(&mut blocks[b])[tensor].1;
                numbers.iter_mut().zip(&direction).for_each(|(p, x)| *p += step * x);
                run(&blocks, &inputs)
            };
            let want = extrapolated(&|h| (moved(h) - moved(-h)).dot(&d_output));
            check(&format!("block {b}, {name}"), direction.as_slice(), d, want);
        }
    }
    for (name, d) in &found.streams {
        let direction = draw.matrix(d.nrows(), d.ncols());
        let moved = |step: f64| {
            let mut inputs = inputs.clone();
            *inputs.get_mut(name).unwrap() += step * &direction;
            run(&blocks, &inputs)
        };
        let want = extrapolated(&|h| (moved(h) - moved(-h)).dot(&d_output));
        check(name, direction.as_slice(), d.as_slice(), want);
    }
}

#[test]
fn a_tape_gives_the_bytes_of_the_forward_pass() {
    let draw = &mut Draw::new(52, false);
    let (blocks, inputs) = (stack(draw), draw.streams(40, 40));
    let tape = Tape::record(&blocks, &inputs).unwrap();
    assert_eq!(tape.output(), &run(&blocks, &inputs));
}

/// Chaining `backward` by hand, block after block, adds the same terms.
#[test]
fn a_stack_is_its_blocks_in_reverse() {
    let draw = &mut Draw::new(53, false);
    let (blocks, inputs) = (stack(draw), draw.streams(20, 20));
    let d_output = draw.matrix(6, 20);
    let found = backward_stack(&blocks, &inputs, &d_output).unwrap();
    let mut streams = inputs.clone();
    for block in &blocks[..2] {
        let y = forward(block, &streams).unwrap();
        streams.insert(block.relay.clone(), y);
    }
    let mut d_streams = Streams::from([("three".to_owned(), d_output)]);
    for (b, block) in blocks.iter().enumerate().rev() {
        let one = backward(block, &streams, &d_streams[&block.relay]).unwrap();
        let both = [&found.blocks[b], &one.block].map(|g| named(g, &Streams::new()));
        let (gap, name) = worst(&both[0], &both[1]);
        assert!(gap < 1e-13, "block {b} {name}: {gap:e}");
        for (name, d) in one.streams {
            *d_streams.entry(name).or_insert_with(|| DMatrix::zeros(d.nrows(), d.ncols())) += d;
        }
    }
    let want: Named = ["a", "b"].map(|s| (s.to_owned(), d_streams[s].as_slice().to_vec())).into();
    let got: Named = found.streams.iter().map(|(s, d)| (s.clone(), d.as_slice().to_vec())).collect();
    let (gap, name) = worst(&got, &want);
    assert!(gap < 1e-13, "{name}: {gap:e}");
}

#[test]
fn a_block_that_nobody_reads_learns_nothing() {
    let draw = &mut Draw::new(54, false);
    let mut blocks = stack(draw);
    blocks[1].relay = "unread".into();
    for head in &mut blocks[2].heads {
        for stream in [&mut head.query_stream, &mut head.context_stream, &mut head.value_stream] {
            if stream == "two" {
                *stream = "one".into();
            }
        }
    }
    blocks[2].residual[0].stream = "one".into();
    let (inputs, d_output) = (draw.streams(8, 8), draw.matrix(6, 8));
    let found = backward_stack(&blocks, &inputs, &d_output).unwrap();
    assert!(found.blocks[1].tensors().iter().all(|(_, d)| norm(d) == 0.0));
    let without = [blocks[0].clone(), blocks[2].clone()];
    assert_eq!(backward_stack(&without, &inputs, &d_output).unwrap().streams, found.streams);
}
