//! Named random streams: the same seed and the same name give the same numbers, whatever else is drawn.
//!
//! Each named object (a projection, an input stream) draws from its own ChaCha8 stream, so that adding an object
//! to a circuit changes no other object's numbers.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

/// The random stream of the object `name` under `seed`.
#[must_use]
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(b"pulvinar/1\0");
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// One draw of N(0, 1).
pub fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// One draw, uniform in `[low, high)`.
pub fn uniform(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    let x: f64 = rng.random();
    low + (high - low) * x
}

/// Lower-case SHA-256 of `bytes`.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_name_only() {
        let draw = |seed, name: &str| normal(&mut stream(seed, name));
        assert_eq!(draw(1, "W_K").to_bits(), draw(1, "W_K").to_bits());
        assert_ne!(draw(1, "W_K").to_bits(), draw(1, "W_Q").to_bits());
        assert_ne!(draw(1, "W_K").to_bits(), draw(2, "W_K").to_bits());
    }
}
