//! Passes over blocks of attention heads, and the limits of the machine: `WORK D H N PRECISION THREADS SAMPLES` on a
//! line of standard input gives the fastest sample in seconds on a line of standard output.
//!
//! `benches/peers.py` asks; without standard input to read, a short list is measured.

use nalgebra::{DMatrix, DVector};
use pulvinar::attention::gradient::{Counted, Tape, squared_error_into};
use pulvinar::attention::{
    Block, FeatureMap, Gate, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate, Streams, Workspace,
};
use pulvinar::linalg::{Operand, Real, gemm_into, real};
use rayon::prelude::*;
use std::hint::black_box;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Instant;

/// Numbers without a pattern that a cache could like.
fn matrix<T: Real>(rows: usize, columns: usize, salt: usize, size: f64) -> DMatrix<T> {
    DMatrix::from_fn(rows, columns, |i, j| {
        let x = (i * 7919 + j * 104_729 + salt * 1_299_709) % 10_007;
        real((x as f64 / 5003.5 - 1.0) * size)
    })
}

fn block<T: Real>(d: usize, heads: usize, kind: &str) -> Block<T> {
    let width = d / heads;
    let softmax = kind.contains("softmax");
    let gate = |h: usize| Gate {
        stream: "main".to_owned(),
        constant: DVector::from_element(width, real(0.9)),
        weights: matrix(width, 1, 5 * h, 0.05),
        features: matrix(1, d, 7 * h, 0.05),
        bias: DVector::zeros(1),
        maps: vec![FeatureMap::Sigmoid],
    };
    let head = |h: usize| Head {
        w_q: matrix(width, d, 4 * h, 0.1),
        w_k: matrix(width, d, 4 * h + 1, 0.1),
        w_v: matrix(width, d, 4 * h + 2, 0.1),
        w_o: matrix(d, width, 4 * h + 3, 0.1),
        b_q: DVector::zeros(width),
        b_k: DVector::zeros(width),
        b_v: DVector::zeros(width),
        scale: real(1.0 / (width as f64).sqrt()),
        kernel: if softmax { Kernel::Exp } else { Kernel::Linear },
        normalisation: if softmax { Normalisation::Sum } else { Normalisation::None },
        mask: if kind.contains("full") { Mask::Full } else { Mask::Causal },
        memory: match kind {
            _ if kind.contains("decay") => Memory::Decay(real(0.95)),
            _ if kind.contains("delta") => Memory::Delta(Rate::Constant(real(0.01))),
            _ if kind.contains("gated") => Memory::Gated { side: GateSide::Value, gate: gate(h) },
            _ => Memory::None,
        },
        query_stream: "main".to_owned(),
        context_stream: "main".to_owned(),
        value_stream: "main".to_owned(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    };
    Block {
        relay: "H".to_owned(),
        d_model: d,
        clock_stream: "main".to_owned(),
        heads: (0..heads).map(head).collect(),
        residual: Vec::new(),
        b_o: DVector::zeros(d),
    }
}

/// Seconds of the fastest of `samples`, each long enough for the clock.
fn fastest(samples: usize, mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    f();
    let repeats = (1e-3 / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 1e4) as usize;
    let mut best = f64::INFINITY;
    for _ in 0..samples {
        let start = Instant::now();
        for _ in 0..repeats {
            f();
        }
        best = best.min(start.elapsed().as_secs_f64() / repeats as f64);
    }
    best
}

/// Products of `n x n` matrices side by side, one to a thread; seconds for one of them.
fn products<T: Real>(n: usize, threads: usize, samples: usize) -> f64 {
    let (a, b) = (matrix::<T>(n, n, 1, 1.0), matrix::<T>(n, n, 2, 1.0));
    let mut c = vec![DMatrix::<T>::zeros(n, n); threads];
    let repeats = 8;
    fastest(samples, || {
        c.par_iter_mut().for_each(|c| {
            for _ in 0..repeats {
                gemm_into(c.as_mut_slice(), T::one(), Operand::of(&a), Operand::of(&b), T::zero());
            }
        });
    }) / repeats as f64
}

/// `a = b + s c` on arrays of `n` numbers; seconds.
fn triad<T: Real>(n: usize, samples: usize) -> f64 {
    let (b, c) = (vec![T::one(); n], vec![real::<T>(2.0); n]);
    let mut a = vec![T::zero(); n];
    let s = real::<T>(3.0);
    fastest(samples, || {
        let blocks = a.par_chunks_mut(1 << 16).zip(b.par_chunks(1 << 16)).zip(c.par_chunks(1 << 16));
        blocks.for_each(|((a, b), c)| a.iter_mut().zip(b).zip(c).for_each(|((a, b), c)| *a = *b + s * *c));
    })
}

fn measure<T: Real>(work: &str, d: usize, heads: usize, n: usize, threads: usize, samples: usize) -> f64 {
    match work {
        "gemm" => return products::<T>(d, threads, samples),
        "triad" => return triad::<T>(n, samples),
        _ => {}
    }
    let block = block::<T>(d, heads, work);
    let workspace = || if work.contains("general") { Workspace::by_tokens() } else { Workspace::new() };
    if work.contains("stream") {
        let mut stream = block.stream().expect("a causal block");
        let mut token = Streams::from([("main".to_owned(), matrix::<T>(d, 1, 99, 1.0))]);
        let mut y = DMatrix::zeros(d, 1);
        return fastest(samples, || {
            token.get_mut("main").expect("there")[0] = -token["main"][0];
            stream.push(black_box(&token), &mut y).expect("finite");
        });
    }
    let streams = Streams::from([("main".to_owned(), matrix::<T>(d, n, 99, 1.0))]);
    if work.contains("step") {
        let target = matrix::<T>(d, n, 100, 1.0);
        let blocks = [block];
        let (mut kept, mut d_output) = (vec![workspace()], DMatrix::zeros(0, 0));
        return fastest(samples, || {
            let tape =
                Tape::record_with(black_box(&blocks), &streams, std::mem::take(&mut kept)).expect("finite");
            squared_error_into(tape.output(), &target, Counted::All, &mut d_output).expect("fits");
            let gradient = black_box(tape.backward(&d_output).expect("finite"));
            kept = tape.into_workspaces_with(gradient);
        });
    }
    let (mut workspace, mut y) = (workspace(), DMatrix::zeros(d, n));
    fastest(samples, || workspace.forward(black_box(&block), &streams, &mut y).expect("finite"))
}

fn answer(line: &str) -> Option<f64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [work, d, heads, n, precision, threads, samples] = words[..] else { return None };
    let [d, heads, n, threads, samples] = [d, heads, n, threads, samples].map(|x| x.parse().ok());
    let (d, heads, n, threads, samples) = (d?, heads?, n?, threads?, samples?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok()?;
    Some(pool.install(|| match precision {
        "f32" => measure::<f32>(work, d, heads, n, threads, samples),
        _ => measure::<f64>(work, d, heads, n, threads, samples),
    }))
}

fn main() {
    let list = ["full 512 8 4096 f32 2 5", "causal 512 8 4096 f32 2 5", "step_causal 64 4 256 f32 2 20"];
    let ask = |line: &str| answer(line).map_or_else(|| "?".to_owned(), |seconds| format!("{seconds:e}"));
    if std::io::stdin().is_terminal() {
        list.iter().for_each(|line| println!("{line}: {} s", ask(line)));
        return;
    }
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("{}", ask(&line));
        std::io::stdout().flush().expect("standard output");
    }
}
