//! Helpers of the tests of this module.

use crate::diag::Diagnostic;

/// A folder that goes away.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The code of what must be an error.
pub(super) fn code<T: std::fmt::Debug>(result: Result<T, Diagnostic>) -> &'static str {
    result.unwrap_err().code
}

/// A small generator (splitmix64), so that the tests need no other crate.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }
}
