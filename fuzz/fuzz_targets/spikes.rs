#![no_main]

use pulvinar::model::{Model, Parameters};

const CIRCUIT: &str = include_str!("../../circuits/match_and_control.yaml");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = pulvinar_fuzz::file("spikes.csv", bytes);
    let folder = path.parent().expect("a folder");
    let start = CIRCUIT.find("{renewal:").expect("drawn trains");
    let end = start + CIRCUIT[start..].find("}}").expect("their end") + 2;
    let text = format!("{}{{file: {{path: spikes.csv}}}}{}", &CIRCUIT[..start], &CIRCUIT[end..]);
    let model = Model::read(text.as_bytes(), folder, &Parameters::default()).expect("the circuit reads");
    let _ = model.mistakes();
});
