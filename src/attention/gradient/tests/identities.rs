//! Identities that the gradient must obey: online traces, local traces, homogeneity, memories that are one another.

use super::{Named, gradient, named, worst};
use crate::attention::forward::tests::agreement::MASKS;
use crate::attention::forward::tests::random::Draw;
use crate::attention::gradient::{Counted, HeadGradient, MemoryGradient, Tape, squared_error};
use crate::attention::{Block, Gate, GateSide, Head, Mask, Memory, Rate, Streams};
use nalgebra::{DMatrix, DVector};

/// Sums of some thousand products in another order.
const CLOSE: f64 = 1e-12;

fn relative(got: &DMatrix<f64>, want: &DMatrix<f64>) -> f64 {
    assert!(want.norm() > 1e-3, "next to nothing");
    (got - want).norm() / want.norm()
}

/// Causal self-attention of two heads with one decay and no biases, and its gradient of the squared error.
fn learned(g: f64, n: usize) -> (Block, DMatrix<f64>, DMatrix<f64>, Vec<HeadGradient>) {
    let draw = &mut Draw::new(31, false);
    let heads = (0..2)
        .map(|_| {
            let mut head = draw.head(3, 4);
            let memory = if g < 1.0 { Memory::Decay(g) } else { Memory::Hebbian };
            (head.mask, head.memory, head.scale) = (Mask::Causal, memory, 1.0);
            (head.w_k, head.w_v) = (draw.matrix(3, 5), draw.matrix(4, 5));
            for b in [&mut head.b_q, &mut head.b_k, &mut head.b_v] {
                b.fill(0.0);
            }
            (head.query_stream, head.context_stream, head.value_stream) =
                ("a".into(), "a".into(), "a".into());
            head
        })
        .collect();
    let block = draw.block(heads);
    let streams = draw.streams(n, n);
    let target = draw.matrix(block.d_model, n);
    let tape = Tape::record(std::slice::from_ref(&block), &streams).unwrap();
    let (_, delta) = squared_error(tape.output(), &target, Counted::All).unwrap();
    let found = tape.backward(&delta).unwrap();
    (block.clone(), streams["a"].clone(), delta, found.blocks[0].heads.clone())
}

/// `C_i = g C_{i-1} + x_i x_i^T`: exact gradients while tokens arrive, in memory that does not grow with them.
#[test]
fn one_trace_gives_the_gradient_online() {
    for g in [0.8, 1.0] {
        let (block, x, delta, found) = learned(g, 90);
        for (head, found) in block.heads.iter().zip(&found) {
            let zeros = |m: &DMatrix<f64>| DMatrix::zeros(m.nrows(), m.ncols());
            let (mut w_q, mut w_k) = (zeros(&head.w_q), zeros(&head.w_k));
            let (mut w_v, mut w_o) = (zeros(&head.w_v), zeros(&head.w_o));
            let mut trace = DMatrix::<f64>::zeros(5, 5);
            let mut memory = DMatrix::<f64>::zeros(4, 3);
            for (x, delta) in x.column_iter().zip(delta.column_iter()) {
                let (q, k, v) = (&head.w_q * x, &head.w_k * x, &head.w_v * x);
                memory = g * memory + v * k.transpose();
                trace = g * trace + x * x.transpose();
                let e = head.w_o.transpose() * delta;
                w_o += delta * (&memory * &q).transpose();
                w_q += memory.transpose() * &e * x.transpose();
                w_v += &e * (&trace * head.w_k.transpose() * &q).transpose();
                w_k += &q * (&trace * head.w_v.transpose() * &e).transpose();
            }
            for (got, want) in [(&found.w_q, w_q), (&found.w_k, w_k), (&found.w_v, w_v), (&found.w_o, w_o)] {
                let gap = relative(got, &want);
                assert!(gap < CLOSE, "g {g}: {gap:e}");
            }
        }
    }
}

/// Traces at each superficial cell `(a, b)`, `E^V_abd = g E^V + k_b x_d` and `E^K_abd = g E^K + v_a x_d`, and one
/// third factor `e_a q_b`: what a cell can know is enough.
#[test]
fn traces_of_single_cells_give_the_same() {
    let g = 0.8;
    let (block, x, delta, found) = learned(g, 40);
    for (head, found) in block.heads.iter().zip(&found) {
        let (mut w_k, mut w_v) = (DMatrix::<f64>::zeros(3, 5), DMatrix::<f64>::zeros(4, 5));
        for a in 0..4 {
            for b in 0..3 {
                let (mut trace_v, mut trace_k) = (DVector::<f64>::zeros(5), DVector::<f64>::zeros(5));
                for (x, delta) in x.column_iter().zip(delta.column_iter()) {
                    let (q, k, v) = (&head.w_q * x, &head.w_k * x, &head.w_v * x);
                    trace_v = g * trace_v + k[b] * x;
                    trace_k = g * trace_k + v[a] * x;
                    let third = (head.w_o.transpose() * delta)[a] * q[b];
                    for d in 0..5 {
                        w_v[(a, d)] += third * trace_v[d];
                        w_k[(b, d)] += third * trace_k[d];
                    }
                }
            }
        }
        for (got, want) in [(&found.w_k, w_k), (&found.w_v, w_v)] {
            let gap = relative(got, &want);
            assert!(gap < CLOSE, "{gap:e}");
        }
    }
}

fn memories(draw: &mut Draw, d_v: usize) -> Vec<Memory> {
    let small = |mut gate: Gate| {
        gate.constant.fill(0.05);
        gate.weights *= 0.05;
        gate
    };
    vec![
        Memory::Decay(0.9),
        Memory::Delta(Rate::Constant(0.05)),
        Memory::Delta(Rate::Gate(small(draw.gate(d_v, "b")))),
        Memory::Gated { side: GateSide::Value, gate: draw.gate(d_v, "b") },
        Memory::Gated { side: GateSide::Key, gate: draw.gate(1, "a") },
    ]
}

/// The read-out of a linear head has degree 1 in queries and in values whatever the memory, so
/// `<W_O, dL/dW_O> = <q, dL/dq> = <v, dL/dv> = scale dL/dscale` (Euler), biases counted with their matrices.
#[test]
fn linear_read_outs_have_degree_one() {
    for mask in MASKS {
        for which in 0..5 {
            let draw = &mut Draw::new(32, false);
            let memory = memories(draw, 4).swap_remove(which);
            let head = Head { mask, memory, ..draw.head(6, 4) };
            let block = draw.block(vec![head]);
            let streams = draw.streams(75, 75);
            let (found, _) = gradient(&block, &streams, draw);
            let (head, d) = (&block.heads[0], &found.block.heads[0]);
            let read = head.w_o.dot(&d.w_o);
            let sums = [
                head.w_q.dot(&d.w_q) + head.b_q.dot(&d.b_q),
                head.w_v.dot(&d.w_v) + head.b_v.dot(&d.b_v),
                head.scale * d.scale,
            ];
            for (s, sum) in sums.iter().enumerate() {
                let size = head.w_q.norm() * d.w_q.norm();
                assert!((sum - read).abs() < CLOSE * size, "{mask:?} memory {which}, sum {s}: {sum} {read}");
            }
        }
    }
}

/// Both gradients agree, but for the memories, which are given back. Ten times [`CLOSE`]: a scale that is divided out
/// has a derivative of 0, which is all rounding.
fn compare(block: &Block, other: &Block, streams: &Streams, claim: &str) -> [MemoryGradient; 2] {
    let mut memories = [MemoryGradient::None, MemoryGradient::None];
    let d = Draw::new(33, false).matrix(block.d_model, streams["a"].ncols());
    let mut all: Vec<Named> = Vec::new();
    for (memory, block) in memories.iter_mut().zip([block, other]) {
        let mut found = super::backward(block, streams, &d).unwrap();
        *memory = std::mem::replace(&mut found.block.heads[0].memory, MemoryGradient::None);
        all.push(named(&found.block, &found.streams));
    }
    let (gap, name) = worst(&all[0], &all[1]);
    assert!(gap < 10.0 * CLOSE, "{claim}: {name} {gap:e}");
    memories
}

/// A gate without features is a decay.
#[test]
fn a_constant_gate_is_a_decay() {
    for mask in MASKS {
        for side in [GateSide::Value, GateSide::Key] {
            let draw = &mut Draw::new(34, false);
            let base = draw.head(7, 5);
            let mut gate = draw.gate(1, "b");
            gate.weights.fill(0.0);
            gate.constant.fill(0.9);
            let head = |memory| Head { mask, memory, ..base.clone() };
            let block = draw.block(vec![head(Memory::Gated { side, gate })]);
            let mut other = block.clone();
            other.heads = vec![head(Memory::Decay(0.9))];
            let streams = draw.streams(200, 200);
            let [MemoryGradient::Gate(gate), MemoryGradient::Decay(g)] =
                compare(&block, &other, &streams, &format!("{mask:?} {side:?}"))
            else {
                panic!("a gate and a decay")
            };
            assert!((gate.constant[0] / g - 1.0).abs() < CLOSE, "{mask:?}: {} {g}", gate.constant[0]);
        }
    }
}

/// A gate without features is a constant write strength.
#[test]
fn a_constant_rate_is_a_gate_of_one_row() {
    for mask in MASKS {
        let draw = &mut Draw::new(35, false);
        let base = draw.head(4, 5);
        let mut gate = draw.gate(1, "b");
        gate.weights.fill(0.0);
        gate.constant.fill(0.1);
        let head = |memory| Head { mask, memory, ..base.clone() };
        let block = draw.block(vec![head(Memory::Delta(Rate::Gate(gate)))]);
        let mut other = block.clone();
        other.heads = vec![head(Memory::Delta(Rate::Constant(0.1)))];
        let streams = draw.streams(60, 60);
        let [MemoryGradient::Gate(gate), MemoryGradient::Rate(b)] =
            compare(&block, &other, &streams, &format!("{mask:?}"))
        else {
            panic!("a gate and a rate")
        };
        assert!((gate.constant[0] / b - 1.0).abs() < CLOSE, "{mask:?}");
    }
}

/// The two derivations of the decay agree: carried forwards in chunks, and summed over pairs by a kernel of scores.
/// The power kernel of exponent 1 is the linear one, and runs in tiles.
#[test]
fn scores_in_tiles_are_a_state() {
    use crate::attention::{Kernel, Normalisation};
    for mask in MASKS {
        for normalisation in [Normalisation::None, Normalisation::Sum] {
            let draw = &mut Draw::new(36, true);
            let base = Head { mask, normalisation, memory: Memory::Decay(0.95), ..draw.head(20, 5) };
            let block = draw.block(vec![base.clone()]);
            let mut other = block.clone();
            other.heads[0].kernel = Kernel::Power(1);
            let streams = draw.streams(300, 300);
            let [MemoryGradient::Decay(chunks), MemoryGradient::Decay(tiles)] =
                compare(&block, &other, &streams, &format!("{mask:?}"))
            else {
                panic!("two decays")
            };
            assert!((chunks / tiles - 1.0).abs() < 1e-11, "{mask:?} {normalisation:?}: {chunks} {tiles}");
        }
    }
}
