//! Random circuits, as text: one writer, four grammars.
//!
//! - [`heads`]: attention of every kind, in one to three blocks; all of it compiles.
//! - [`maps`]: the same with maps of single tokens wherever a head or a relay reads, positions, windows, sinks, loops.
//! - [`free`]: relays and a few populations joined by anything that the index rules allow, by small whole weights; most of it is no
//!   attention.
//! - [`wild`]: populations wired at random without any plan, memories among them.
//!
//! Each seed is one circuit. What fails is printed as the file that it is.

pub mod free;
pub mod heads;
pub mod maps;
pub mod wild;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write;

/// A circuit under construction.
pub struct Writer {
    rng: ChaCha8Rng,
    relays: String,
    areas: String,
    projections: String,
    count: usize,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let empty = String::new;
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            relays: empty(),
            areas: empty(),
            projections: empty(),
            count: 0,
        }
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.rng.random_range(0..of.len())]
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    /// A projection of the next number; `rest` follows its weights.
    fn wire(&mut self, from: &str, to: &str, weights: &str, rest: &str) {
        self.count += 1;
        let _ = writeln!(
            self.projections,
            "  P{}: {{from: {from}, to: {to}, weights: {weights}{rest}}}",
            self.count
        );
    }

    /// The file; `streams` and `mask` belong to its tokens.
    fn file(&self, name: &str, seed: u64, streams: &str, mask: &str, output: &str) -> String {
        let (relays, projections) = (&self.relays, &self.projections);
        let areas = if self.areas.is_empty() { String::new() } else { format!("areas:\n{}", self.areas) };
        format!(
            "schema: pulvinar/1\nname: {name}\nseed: {seed}\ntokens:\n  streams:\n{streams}  mask: {mask}\nthalamus:\n{relays}{areas}projections:\n{projections}output: {output}\n"
        )
    }
}
