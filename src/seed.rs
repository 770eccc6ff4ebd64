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
    ChaCha8Rng::from_seed(key(seed, name))
}

/// What the stream of an object starts from: `SHA-256("pulvinar/1\0", seed as 8 bytes little endian, name)`.
#[must_use]
pub fn key(seed: u64, name: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"pulvinar/1\0");
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    hash.finalize().into()
}

/// Number `number` of a family of streams: as good as a name for each, without the cost of hashing it.
///
/// `family` is a [`stream`] that nothing was drawn from. ChaCha's stream counter tells the members apart.
#[must_use]
pub fn member(family: &ChaCha8Rng, number: u64) -> ChaCha8Rng {
    let mut rng = family.clone();
    rng.set_stream(number);
    rng
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
    let mut sum = Checksum::default();
    sum.add(bytes);
    sum.hex()
}

/// [`sha256_hex`] of bytes that come piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Checksum(Sha256);

impl Checksum {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    #[must_use]
    pub fn hex(self) -> String {
        use std::fmt::Write;
        self.0.finalize().iter().fold(String::with_capacity(64), |mut text, b| {
            let _ = write!(text, "{b:02x}");
            text
        })
    }
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

    #[test]
    fn members_of_a_family_depend_on_their_number_only() {
        let family = stream(1, "task");
        let draw = |number| normal(&mut member(&family, number));
        assert_eq!(draw(5).to_bits(), draw(5).to_bits());
        assert_ne!(draw(5).to_bits(), draw(6).to_bits());
        assert_eq!(draw(0).to_bits(), normal(&mut stream(1, "task")).to_bits());
    }
}
