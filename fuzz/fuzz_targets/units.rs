#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(ms) = pulvinar::units::parse_time_ms(text) {
        assert!(ms.is_finite());
        let again = pulvinar::units::parse_time_ms(&pulvinar::units::format_time_ms(ms));
        assert_eq!(again.expect("what is written is read"), ms);
    }
    let units = [("mM^4 ms", 1.0), ("nS", 1.0), ("uS", 1e3)];
    assert!(pulvinar::units::parse(text, &units).is_ok_and(f64::is_finite) || pulvinar::units::parse(text, &units).is_err());
    let _ = pulvinar::memory::parse(text);
});
