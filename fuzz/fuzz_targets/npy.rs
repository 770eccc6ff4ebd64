#![no_main]

use pulvinar::files::NpyRows;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = pulvinar_fuzz::file("x.npy", bytes);
    pulvinar_fuzz::arrays(&path);
    let Ok(mut rows) = NpyRows::open(&path) else { return };
    // Row by row, as `simulate --stream` reads; a file may promise more rows than it has.
    let mut piece = Default::default();
    for _ in 0..100 {
        if rows.shape().1 > 1 << 20 || rows.read::<f64>(7, &mut piece).is_err() || piece.ncols() == 0 {
            break;
        }
    }
});
