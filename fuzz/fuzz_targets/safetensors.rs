#![no_main]

use pulvinar::weights::{Options, read, read_heads};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = pulvinar_fuzz::file("x.safetensors", bytes);
    pulvinar_fuzz::arrays(&path);
    let _ = read_heads(&path);
    for heads in [None, Some(2)] {
        if let Ok(loaded) = read(&path, &Options { heads, ..Options::default() }) {
            assert!(!loaded.block.heads.is_empty());
        }
    }
});
