#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pulvinar_fuzz::arrays(&pulvinar_fuzz::file("x.csv", bytes));
});
