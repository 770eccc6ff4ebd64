#![no_main]

use pulvinar::model::{Model, Parameters};
use pulvinar::plasticity::tasks::Task;
use pulvinar::plasticity::{Prepared, Trainer, checkpoint, prepare};
use pulvinar::spec::CircuitSpec;
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
        let model = Model::read(CIRCUIT, folder, &Parameters::default()).expect("reads");
        let wired = model.circuit().expect("is wired");
        let (task, _) = model.task().expect("fits").expect("has a task");
        Training { prepared: prepare(&wired, None, None).expect("learns"), spec: model.into_document().spec, task }
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
