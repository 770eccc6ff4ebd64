//! Answers as text for people.

use super::compile::{Block, Compile, Stage};
use std::fmt;

/// The report for people: every block and its heads.
impl fmt::Display for Compile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let blocks = self.blocks.len();
        let heads: usize = self.blocks.iter().map(|b| b.heads.len()).sum();
        let (head, block) = (plural(heads), plural(blocks));
        let maps = match self.stages.iter().filter(|s| matches!(s, Stage::Map(_))).count() {
            0 => String::new(),
            n => format!(", {n} map{}", plural(n)),
        };
        writeln!(f, "{}: {heads} head{head} in {blocks} block{block}{maps} (seed {})", self.name, self.seed)?;
        self.stages.iter().try_for_each(|stage| match stage {
            Stage::Map(map) => {
                let (name, sources, d) = (map.relay, map.sources.join(", "), map.d_model);
                writeln!(f, "\nmap {name} <- {sources} (per token): d_model {d}")
            }
            Stage::Block { block, .. } => write!(f, "{}", self.blocks[*block]),
        })
    }
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.residual.is_empty() { "none".to_owned() } else { self.residual.join(", ") };
        let bias = if self.has_bias { ", output bias" } else { "" };
        writeln!(f, "\nblock {}: d_model {}, residual from {path}{bias}", self.relay, self.d_model)?;
        if self.heads.is_empty() {
            return writeln!(f, "  no heads: a linear combination of earlier streams");
        }
        writeln!(
            f,
            "  {:>4} {:>5} {:>5} {:>11} {:>9}  {:<8} {:<7} {:<15} {:<12} area",
            "head", "d_k", "d_v", "strength", "lateral", "mask", "memory", "kernel", "q <- kv"
        )?;
        for (number, h) in self.heads.iter().enumerate() {
            writeln!(
                f,
                "  {number:>4} {:>5} {:>5} {:>11} {:>9}  {:<8} {:<7} {:<15} {:<12} {}",
                h.d_key,
                h.d_value,
                four_digits(h.strength),
                four_digits(h.lateral_singular_value),
                h.mask,
                h.memory,
                h.kind(),
                format!("{} <- {}", h.query_stream, h.context_stream),
                h.area
            )?;
        }
        Ok(())
    }
}

/// Four significant digits.
fn four_digits(x: f64) -> String {
    if x == 0.0 || (1e-3..1e5).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}
