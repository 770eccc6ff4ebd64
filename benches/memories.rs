//! Writes to a memory: the circuit of `experiment capacity`, one rule each, d = 64 key and 64 value cells.
//!
//! 4,096 random pairs are stored and one cue is asked; divan's items are writes. `memories.py` does the same as a NumPy loop
//! and in PyTorch.

use divan::counter::ItemsCount;
use nalgebra::DMatrix;
use pulvinar::seed;
use pulvinar_lab::experiments::{Memory, Quiet, Setup, find, memories};
use std::path::PathBuf;

const WRITES: usize = 4096;
const WIDTH: usize = 64;

fn main() {
    divan::main();
}

fn memory(rule: &str) -> Memory {
    let experiment = find("capacity").expect("there");
    let setup = Setup {
        experiment: experiment.name,
        text: experiment.text.as_bytes().to_vec(),
        folder: PathBuf::from("circuits"),
        set: ["d", "d_v"].map(|name| (name.to_owned(), WIDTH.to_string())).to_vec(),
        seed: None,
        trials: None,
        progress: &Quiet,
    };
    let document = setup.document(&[]).expect("valid");
    memories(&document).expect("memories").into_iter().find(|m| m.name == rule).expect("the rule")
}

#[divan::bench(args = ["hebbian", "decay", "delta"])]
fn writes(bencher: divan::Bencher<'_, '_>, rule: &str) {
    let memory = memory(rule);
    let mut rng = seed::stream(1, "memories");
    let mut draw = |n: usize| DMatrix::from_fn(WIDTH, n, |_, _| 0.125 * seed::normal(&mut rng));
    let (cue, keys, values) = (draw(1), draw(WRITES), draw(WRITES));
    bencher.counter(ItemsCount::new(WRITES)).bench(|| memory.recall(&cue, &keys, &values).expect("runs"));
}
