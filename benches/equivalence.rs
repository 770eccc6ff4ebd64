//! Two blocks of 12 heads as functions: D = 384, 32 key and 32 value cells a head, with biases.
//!
//! `floor` is what the certificate cannot do without: inner products of all rows of 24 heads for each of the four
//! roles, half of them by symmetry, and of values with keys. One core: `RAYON_NUM_THREADS=1`.

use divan::{Bencher, black_box};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::equivalence::{Method, distance, matched_heads, witness};
use pulvinar::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, strength};
use pulvinar::linalg::gemm;
use pulvinar::seed;

fn main() {
    divan::main();
}

const D: usize = 384;
const HEADS: usize = 12;
const CELLS: usize = 32;
const LAYERS: u64 = 6;

fn block(salt: u64) -> Block {
    let rng = &mut seed::stream(salt, "bench");
    let mut matrix = |rows: usize, columns: usize| DMatrix::from_fn(rows, columns, |_, _| seed::normal(rng));
    let heads = (0..HEADS).map(|_| Head {
        w_q: matrix(CELLS, D),
        w_k: matrix(CELLS, D),
        w_v: matrix(CELLS, D),
        w_o: matrix(D, CELLS),
        b_q: DVector::from_column_slice(matrix(CELLS, 1).as_slice()),
        b_k: DVector::from_column_slice(matrix(CELLS, 1).as_slice()),
        b_v: DVector::from_column_slice(matrix(CELLS, 1).as_slice()),
        scale: 1.0 / (CELLS as f64).sqrt(),
        kernel: Kernel::Linear,
        normalisation: Normalisation::None,
        mask: Mask::Causal,
        memory: Memory::None,
        query_stream: "main".to_owned(),
        context_stream: "main".to_owned(),
        value_stream: "main".to_owned(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    });
    Block {
        relay: "H".to_owned(),
        d_model: D,
        clock_stream: "main".to_owned(),
        heads: heads.collect(),
        residual: Vec::new(),
        b_o: DVector::zeros(D),
    }
}

/// The same function: other gauges, heads in reverse.
fn copy(of: &Block) -> Block {
    let rng = &mut seed::stream(99, "gauge");
    let mut out = of.clone();
    out.heads.reverse();
    for h in &mut out.heads {
        let mut gauge = || {
            let noise = DMatrix::from_fn(CELLS, CELLS, |_, _| 0.1 * seed::normal(rng));
            let g = DMatrix::identity(CELLS, CELLS) + noise;
            let inverse = g.clone().try_inverse().expect("far from singular");
            (g, inverse)
        };
        let (g, inverse) = gauge();
        (h.w_k, h.b_k) = (&g * &h.w_k, &g * &h.b_k);
        (h.w_q, h.b_q) = (inverse.transpose() * &h.w_q, inverse.transpose() * &h.b_q);
        let (g, inverse) = gauge();
        (h.w_v, h.b_v, h.w_o) = (&g * &h.w_v, &g * &h.b_v, &h.w_o * inverse);
    }
    out
}

/// The same function with every head cut in two by its value cells, so that no head has a partner.
fn split(of: &Block) -> Block {
    let mut out = of.clone();
    let half = |h: &Head, first: usize| Head {
        w_v: h.w_v.rows(first, CELLS / 2).into_owned(),
        b_v: h.b_v.rows(first, CELLS / 2).into_owned(),
        w_o: h.w_o.columns(first, CELLS / 2).into_owned(),
        ..h.clone()
    };
    out.heads = of.heads.iter().flat_map(|h| [half(h, 0), half(h, CELLS / 2)]).collect();
    out
}

#[divan::bench(sample_count = 20)]
fn floor(bencher: Bencher<'_, '_>) {
    let rng = &mut seed::stream(1, "floor");
    let rows = DMatrix::from_fn(2 * HEADS * CELLS, D + 1, |_, _| seed::normal(rng));
    let mut out = DMatrix::zeros(rows.nrows(), rows.nrows());
    bencher.bench_local(|| {
        // Four halves and a whole.
        for _ in 0..3 {
            gemm(&mut out, 1.0, black_box(&rows), false, black_box(&rows), true, 0.0);
        }
    });
}

fn certificate(bencher: Bencher<'_, '_>, a: &Block, b: &Block, method: Method) {
    assert_eq!(distance(a, b).expect("in scope").method, method);
    bencher.bench_local(|| distance(black_box(a), black_box(b)).expect("in scope"));
}

#[divan::bench(sample_count = 20)]
fn certificate_of_different_blocks(bencher: Bencher<'_, '_>) {
    certificate(bencher, &block(1), &block(2), Method::Certificate);
}

#[divan::bench(sample_count = 10)]
fn certificate_of_a_copy(bencher: Bencher<'_, '_>) {
    let a = block(1);
    certificate(bencher, &a, &copy(&a), Method::CertificateCompensated);
}

#[divan::bench(sample_count = 5)]
fn certificate_of_split_heads(bencher: Bencher<'_, '_>) {
    let a = block(1);
    certificate(bencher, &a, &split(&copy(&a)), Method::CertificateCompensated);
}

#[divan::bench(sample_count = 20)]
fn heads_matched(bencher: Bencher<'_, '_>) {
    let a = block(1);
    let b = copy(&a);
    bencher.bench_local(|| matched_heads(black_box(&a), black_box(&b)).expect("fits"));
}

#[divan::bench(sample_count = 5)]
fn witness_of_different_blocks(bencher: Bencher<'_, '_>) {
    let (a, b) = (block(1), block(2));
    bencher.bench_local(|| witness(black_box(&a), black_box(&b)).expect("in scope"));
}

#[divan::bench(sample_count = 5)]
fn witness_of_one_weight(bencher: Bencher<'_, '_>) {
    let a = block(1);
    let mut b = copy(&a);
    b.heads[3].w_k[(1, 2)] += 1e-3;
    bencher.bench_local(|| witness(black_box(&a), black_box(&b)).expect("in scope"));
}

/// Certificate, matched heads and strengths of all layers, each against its copy.
#[divan::bench(sample_count = 3)]
fn six_layers(bencher: Bencher<'_, '_>) {
    let model: Vec<Block> = (0..LAYERS).map(block).collect();
    let copies: Vec<Block> = model.iter().map(copy).collect();
    bencher.bench_local(|| {
        for (a, b) in model.iter().zip(&copies) {
            black_box(distance(a, b).expect("in scope"));
            black_box(matched_heads(a, b).expect("fits"));
            black_box(a.heads.iter().chain(&b.heads).map(strength).sum::<f64>());
        }
    });
}
