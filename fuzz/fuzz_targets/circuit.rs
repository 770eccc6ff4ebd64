#![no_main]

use pulvinar::model::Model;
use pulvinar::{circuit, spec};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pulvinar_fuzz::limit();
    let Ok(document) = spec::read(bytes, Path::new("/nowhere"), &[]) else { return };
    // What was read is written, and reads back as the same.
    let text = spec::to_yaml(&document.spec);
    let again = spec::read(text.as_bytes(), Path::new("/nowhere"), &[]).expect("what is written is read");
    assert_eq!(spec::to_yaml(&again.spec), text);
    // Large circuits are judged by their size, and would only take time here.
    let need = circuit::memory::estimate(&document.spec);
    if need.check().is_err() || need.total() > 4 << 20 {
        return;
    }
    let _ = Model::of(document).mistakes();
});
