//! Cells in time: cell-steps per second of leaky cells, beside the memory bandwidth measured in the same run.
//!
//! The circuit is one attention head with a column of 8 superficial and 8 deep cells for each pair of tokens (full
//! mask, N tokens, 16 N^2 cells). A step is one exponential Euler step of both compartments of every cell, their rates,
//! and the lateral 8 x 8 matrix. Setup is excluded by the difference of a long and a short run. `cells_nengo.py` runs this
//! and Nengo in turns.

use pulvinar::simulate::cells::{End, Settings, run};
use pulvinar::simulate::inputs;
use pulvinar::spec::{StopSpec, Time};
use pulvinar::{circuit, spec};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

const REPEATS: usize = 5;
/// Bytes of a cell and step that no order of work saves: two potentials read and written, two inputs read.
const FLOOR: f64 = 48.0;

fn head(tokens: usize) -> (spec::Document, circuit::Circuit) {
    let text = format!(
        "schema: pulvinar/1\nname: bench\ntokens: {{d_model: 16, mask: full, input: {{gaussian: {{length: {tokens}}}}}}}\n\
         thalamus:\n  Q: {{pathway: core, per: [query], cells: 16}}\n  C: {{pathway: matrix, per: [context], cells: 16}}\n  \
         HO: {{pathway: core, per: [query], cells: 16}}\n\
         areas:\n  A1: {{template: {{attention_mask_head: {{query: Q, context: C, to: HO, d_k: 8, d_v: 8}}}}}}\noutput: HO\n"
    );
    let document = spec::read(text.as_bytes(), Path::new("."), &[]).expect("valid");
    let circuit = circuit::wire(&document.spec, &document.folder).expect("valid");
    (document, circuit)
}

/// Smallest time of some repetitions, in seconds.
fn best(mut work: impl FnMut()) -> f64 {
    let times = (0..REPEATS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// `a = b + s c` over three arrays of 64 MB: GB/s of what is read and written.
fn bandwidth(threads: usize) -> f64 {
    let n = 8_000_000;
    let (mut a, b, c) = (vec![0.0f64; n], vec![1.0f64; n], vec![2.0f64; n]);
    let piece = n.div_ceil(threads);
    let seconds = best(|| {
        a.par_chunks_mut(piece).zip(b.par_chunks(piece)).zip(c.par_chunks(piece)).for_each(|((a, b), c)| {
            a.iter_mut().zip(b.iter().zip(c)).for_each(|(a, (b, c))| *a = b + 3.0 * c);
        });
        std::hint::black_box(&a);
    });
    (3 * 8 * n) as f64 / seconds / 1e9
}

/// What one size and number of threads gave.
struct Row {
    /// cell-steps per second
    rate: f64,
    /// seconds until everything stood still, and steps
    settled: (f64, usize),
    /// GB/s
    triad: f64,
}

fn row(threads: usize, tokens: usize) -> Row {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let (document, circuit) = head(tokens);
    let streams = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let steps = if tokens > 100 { (2, 22) } else { (50, 1050) };
    let timed = |steps: usize| {
        let stop = StopSpec::Duration(Time { ms: steps as f64 });
        let settings = Settings { stop, dt_ms: Some(1.0), ..Settings::default() };
        pool.install(|| {
            best(|| {
                std::hint::black_box(run(&circuit, &streams, &settings).expect("runs"));
            })
        })
    };
    let rate = (cells(tokens) * (steps.1 - steps.0)) as f64 / (timed(steps.1) - timed(steps.0));
    let start = Instant::now();
    let settled = pool.install(|| run(&circuit, &streams, &Settings::default()).expect("runs"));
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(settled.end, End::Settled);
    Row { rate, settled: (seconds, settled.steps), triad: pool.install(|| bandwidth(threads)) }
}

fn cells(tokens: usize) -> usize {
    16 * tokens * tokens
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // One row for a script: cell-steps per second and GB/s.
    if let Some(at) = arguments.iter().position(|a| a == "--row") {
        let number = |k: usize| arguments[at + k].parse().expect("--row THREADS TOKENS");
        let row = row(number(1), number(2));
        println!("{:e} {}", row.rate, row.triad);
        return;
    }
    let title = ["cell-steps/s", "settles in", "triad", "time / floor"];
    println!(
        "{:>8} {:>10} {:>14} {:>14} {:>12} {:>14}",
        "threads", "cells", title[0], title[1], title[2], title[3]
    );
    for threads in [1, 2] {
        for tokens in [25, 250] {
            let Row { rate, settled: (seconds, steps), triad } = row(threads, tokens);
            println!(
                "{threads:>8} {:>10} {rate:>14.3e} {:>14} {:>12} {:>14.2}",
                cells(tokens),
                format!("{seconds:.2} s ({steps})"),
                format!("{triad:.1} GB/s"),
                triad * 1e9 / (FLOOR * rate)
            );
        }
    }
}
