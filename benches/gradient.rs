//! One step of training (forward, squared error, backward): D = 512 with 8 heads on 4,096 tokens, D = 64 with 4 heads on
//! 256, D = 16 with 2 heads on 32; and the forward pass of the same block beside it.

use divan::{Bencher, black_box};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::gradient::{Counted, Tape, squared_error};
use pulvinar::attention::{
    Block, Head, Kernel, Mask, Memory, Normalisation, Rate, Residual, Streams, forward,
};
use pulvinar::linalg::Real;

fn main() {
    divan::main();
}

/// Width, heads, tokens.
#[derive(Clone, Copy, Debug)]
struct Size(usize, usize, usize);

const TINY: Size = Size(16, 2, 32);
const SMALL: Size = Size(64, 4, 256);
const LARGE: Size = Size(512, 8, 4096);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "D={} H={} N={}", self.0, self.1, self.2)
    }
}

/// What the heads are.
#[derive(Clone, Copy)]
enum Kind {
    Linear,
    Decay,
    Delta,
    Softmax,
}

/// Numbers without a pattern that a cache could like.
fn matrix<T: Real>(rows: usize, columns: usize, salt: usize, size: f64) -> DMatrix<T> {
    DMatrix::from_fn(rows, columns, |i, j| {
        let x = (i * 7919 + j * 104_729 + salt * 1_299_709) % 10_007;
        <T as Real>::from_f64((x as f64 / 5003.5 - 1.0) * size)
    })
}

fn block<T: Real>(Size(d, heads, _): Size, mask: Mask, kind: Kind) -> Block<T> {
    let width = d / heads;
    let softmax = matches!(kind, Kind::Softmax);
    let number = <T as Real>::from_f64;
    let head = |h: usize| Head {
        w_q: matrix(width, d, 4 * h, 0.1),
        w_k: matrix(width, d, 4 * h + 1, 0.1),
        w_v: matrix(width, d, 4 * h + 2, 0.1),
        w_o: matrix(d, width, 4 * h + 3, 0.1),
        b_q: DVector::zeros(width),
        b_k: DVector::zeros(width),
        b_v: DVector::zeros(width),
        scale: number(1.0 / (width as f64).sqrt()),
        kernel: if softmax { Kernel::Exp } else { Kernel::Linear },
        normalisation: if softmax { Normalisation::Sum } else { Normalisation::None },
        mask,
        memory: match kind {
            Kind::Decay => Memory::Decay(number(0.95)),
            Kind::Delta => Memory::Delta(Rate::Constant(number(0.01))),
            Kind::Linear | Kind::Softmax => Memory::None,
        },
        query_stream: "main".to_owned(),
        context_stream: "main".to_owned(),
        value_stream: "main".to_owned(),
        area: String::new(),
    };
    Block {
        relay: "H".to_owned(),
        d_model: d,
        clock_stream: "main".to_owned(),
        heads: (0..heads).map(head).collect(),
        residual: vec![Residual { stream: "main".to_owned(), matrix: DMatrix::identity(d, d) }],
        b_o: DVector::zeros(d),
    }
}

fn step<T: Real>(bencher: Bencher<'_, '_>, size: Size, mask: Mask, kind: Kind) {
    let blocks = [block::<T>(size, mask, kind)];
    let streams = Streams::from([("main".to_owned(), matrix::<T>(size.0, size.2, 99, 1.0))]);
    let target = matrix::<T>(size.0, size.2, 100, 1.0);
    bencher.bench_local(|| {
        let tape = Tape::record(black_box(&blocks), black_box(&streams)).expect("finite");
        let (_, d_output) = squared_error(tape.output(), &target, Counted::All).expect("fits");
        tape.backward(&d_output).expect("finite")
    });
}

fn only_forward<T: Real>(bencher: Bencher<'_, '_>, size: Size, mask: Mask, kind: Kind) {
    let block = block::<T>(size, mask, kind);
    let streams = Streams::from([("main".to_owned(), matrix::<T>(size.0, size.2, 99, 1.0))]);
    bencher.bench_local(|| forward(black_box(&block), black_box(&streams)).expect("finite"));
}

#[divan::bench(types = [f64, f32], args = [TINY, SMALL, LARGE], sample_count = 20)]
fn linear_full_step<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    step::<T>(bencher, size, Mask::Full, Kind::Linear);
}

#[divan::bench(types = [f64, f32], args = [TINY, SMALL, LARGE], sample_count = 20)]
fn linear_full_forward<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    only_forward::<T>(bencher, size, Mask::Full, Kind::Linear);
}

#[divan::bench(types = [f64, f32], args = [TINY, SMALL, LARGE], sample_count = 20)]
fn linear_causal_step<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    step::<T>(bencher, size, Mask::Causal, Kind::Linear);
}

#[divan::bench(types = [f64, f32], args = [TINY, SMALL, LARGE], sample_count = 20)]
fn linear_causal_forward<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    only_forward::<T>(bencher, size, Mask::Causal, Kind::Linear);
}

#[divan::bench(types = [f64], args = [TINY, SMALL, LARGE], sample_count = 10)]
fn decay_causal_step<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    step::<T>(bencher, size, Mask::Causal, Kind::Decay);
}

#[divan::bench(types = [f64, f32], args = [TINY, SMALL, LARGE], sample_count = 5)]
fn softmax_causal_step<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    step::<T>(bencher, size, Mask::Causal, Kind::Softmax);
}

#[divan::bench(types = [f64, f32], args = [TINY, SMALL, LARGE], sample_count = 5)]
fn softmax_causal_forward<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    only_forward::<T>(bencher, size, Mask::Causal, Kind::Softmax);
}

#[divan::bench(types = [f64], args = [TINY, SMALL, LARGE], sample_count = 5)]
fn delta_causal_step<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    step::<T>(bencher, size, Mask::Causal, Kind::Delta);
}

#[divan::bench(types = [f64], args = [TINY, SMALL, LARGE], sample_count = 5)]
fn delta_causal_forward<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    only_forward::<T>(bencher, size, Mask::Causal, Kind::Delta);
}
