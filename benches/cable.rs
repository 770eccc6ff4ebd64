//! The cable neuron: CPU seconds per simulated second and trial, on one thread, by number of trials side by side.
//!
//! Every trial has 150 key trains and a query of 6 Hz for a second, as in the match phase; potentiation is on, nothing is
//! recorded. CPU time is that of the thread where Linux tells it, otherwise wall time. `benches/neuron/model.py` times
//! the same equations in NEURON.

use pulvinar::seed;
use pulvinar::simulate::cable::{Neuron, Pyramidal, Run, Trial, run};
use std::time::Instant;

const REPEATS: usize = 3;

/// Seconds of CPU time of this thread.
fn cpu_seconds(since: Instant) -> f64 {
    let ns = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    ns.map_or_else(|| since.elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

/// A spike train of 6 Hz between 50 and 1050 ms: 50 ms of dead time and an exponential interval.
fn train(name: &str) -> Vec<f64> {
    let mut rng = seed::stream(0, name);
    let mut wait = || -116.67 * (1.0 - seed::uniform(&mut rng, 0.0, 1.0)).ln();
    let mut times = vec![50.0 + wait()];
    while let Some(&last) = times.last().filter(|t| **t < 1050.0) {
        times.push(last + 50.0 + wait());
    }
    times.pop();
    times
}

fn trials(neuron: &Neuron, n: usize) -> Vec<Trial> {
    let trial = |t: usize| Trial {
        keys: (0..neuron.axons).map(|a| train(&format!("trial {t} axon {a}"))).collect(),
        queries: train(&format!("trial {t} query")),
    };
    (0..n).map(trial).collect()
}

fn measure(name: &str, neuron: &Neuron, settings: &Run) {
    let trials = trials(neuron, settings.lanes);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let seconds = (0..REPEATS).map(|_| {
        pool.install(|| {
            let wall = Instant::now();
            let start = cpu_seconds(wall);
            std::hint::black_box(run(neuron, &trials, settings).expect("runs"));
            cpu_seconds(wall) - start
        })
    });
    let best = seconds.fold(f64::INFINITY, f64::min);
    let per = best / settings.lanes as f64 / settings.duration_ms * 1e3;
    let steps = settings.duration_ms / settings.dt_ms * settings.lanes as f64;
    let node = best / steps / neuron.nodes.len() as f64 * 1e9;
    println!("{name:>8} {:>6} {:>6} {per:>12.4} {node:>12.2}", neuron.nodes.len(), settings.lanes);
}

fn main() {
    println!("{:>8} {:>6} {:>6} {:>12} {:>12}", "model", "nodes", "lanes", "CPU-s/s", "ns/node-step");
    let theta = Some(7.86876e-14);
    let reduced = Pyramidal::reduced().build().expect("valid");
    for lanes in [1, 2, 4, 8, 16] {
        measure("reduced", &reduced, &Run { theta, lanes, ..Run::default() });
    }
    let full = Pyramidal::full().build().expect("valid");
    for lanes in [1, 4, 8] {
        measure("full", &full, &Run { theta, lanes, ..Run::fine() });
    }
}
