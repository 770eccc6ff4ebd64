//! The forward pass of a block: D = 64 with 4 heads on 256 tokens, D = 512 with 8 heads on 4,096 tokens.

use divan::{Bencher, black_box};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Residual, Streams, forward};
use pulvinar::linalg::Real;

fn main() {
    divan::main();
}

/// Width, heads, tokens.
#[derive(Clone, Copy, Debug)]
struct Size(usize, usize, usize);

const SMALL: Size = Size(64, 4, 256);
const LARGE: Size = Size(512, 8, 4096);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "D={} H={} N={}", self.0, self.1, self.2)
    }
}

/// Numbers without a pattern that a cache could like.
fn matrix<T: Real>(rows: usize, columns: usize, salt: usize, size: f64) -> DMatrix<T> {
    DMatrix::from_fn(rows, columns, |i, j| {
        let x = (i * 7919 + j * 104_729 + salt * 1_299_709) % 10_007;
        <T as Real>::from_f64((x as f64 / 5003.5 - 1.0) * size)
    })
}

fn block<T: Real>(Size(d, heads, _): Size, mask: Mask, softmax: bool) -> Block<T> {
    let width = d / heads;
    let head = |h: usize| Head {
        w_q: matrix(width, d, 4 * h, 0.1),
        w_k: matrix(width, d, 4 * h + 1, 0.1),
        w_v: matrix(width, d, 4 * h + 2, 0.1),
        w_o: matrix(d, width, 4 * h + 3, 0.1),
        b_q: DVector::zeros(width),
        b_k: DVector::zeros(width),
        b_v: DVector::zeros(width),
        scale: <T as Real>::from_f64(1.0 / (width as f64).sqrt()),
        kernel: if softmax { Kernel::Exp } else { Kernel::Linear },
        normalisation: if softmax { Normalisation::Sum } else { Normalisation::None },
        mask,
        memory: Memory::None,
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

fn bench<T: Real>(bencher: Bencher<'_, '_>, size: Size, mask: Mask, softmax: bool) {
    let block = block::<T>(size, mask, softmax);
    let tokens = matrix::<T>(size.0, size.2, 99, 1.0);
    let streams = Streams::from([("main".to_owned(), tokens)]);
    bencher.bench_local(|| forward(black_box(&block), black_box(&streams)).expect("finite"));
}

#[divan::bench(types = [f64, f32], args = [SMALL, LARGE], sample_count = 20)]
fn linear_full<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    bench::<T>(bencher, size, Mask::Full, false);
}

#[divan::bench(types = [f64, f32], args = [SMALL, LARGE], sample_count = 20)]
fn linear_causal<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    bench::<T>(bencher, size, Mask::Causal, false);
}

#[divan::bench(types = [f64, f32], args = [SMALL, LARGE], sample_count = 10)]
fn softmax_causal<T: Real>(bencher: Bencher<'_, '_>, size: Size) {
    bench::<T>(bencher, size, Mask::Causal, true);
}
