#![no_main]

use pulvinar::plasticity::tasks::Task;
use pulvinar::plasticity::{Prepared, Trainer, checkpoint, prepare};
use pulvinar::spec::CircuitSpec;
use pulvinar::{circuit, spec};
use std::path::Path;
use std::sync::OnceLock;

const CIRCUIT: &[u8] = include_bytes!("../../circuits/learn_oja.yaml");

struct Training {
    spec: CircuitSpec,
    prepared: Prepared,
    task: Task,
}

fn training() -> &'static Training {
    static ONE: OnceLock<Training> = OnceLock::new();
    ONE.get_or_init(|| {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../circuits"));
        let document = spec::read(CIRCUIT, folder, &[]).expect("reads");
        let wired = circuit::wire(&document.spec, folder).expect("is wired");
        let task = document.spec.reserved.task.as_ref().expect("has a task");
        let task = Task::new(task, &wired, folder, None).expect("fits");
        Training { prepared: prepare(&wired, None, None).expect("learns"), spec: document.spec, task }
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = pulvinar_fuzz::file("checkpoint.safetensors", bytes);
    let t = training();
    let (loss, train) = (t.spec.reserved.loss.unwrap_or_default(), t.spec.reserved.train.expect("settings"));
    let mut trainer = Trainer::new(&t.prepared, &t.task, loss, train).expect("a trainer");
    if checkpoint::load(&path, &mut trainer, "x").is_ok() {
        // What was accepted can be gone on with.
        let _ = trainer.step();
    }
});
