//! Two blocks, run on the same tokens.
//!
//! What the certificate cannot decide (delta and gated memories, kernels, softmax) is decided by looking: agreement on
//! inputs is evidence, not proof; one difference is a proof. For fixed numbers of tokens the outputs of polynomial blocks
//! (delta, power) are polynomials, which random tokens tell apart with probability 1.

use super::scope::{Clocks, OutOfScope, widths};
use crate::attention::{Block, Streams, forward};
use crate::seed;
use nalgebra::DMatrix;

/// An input, and what it is called in messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub name: String,
    pub streams: Streams,
}

/// A token whose output shows the difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// which input, and which of its tokens
    pub input: usize,
    pub token: usize,
    /// `|y - y'|` there
    pub gap: f64,
    /// `|y|` there, the larger of the two
    pub size: f64,
}

/// How far the outputs of two blocks are apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probed {
    /// the largest over all inputs of `|Y - Y'| / |Y|` (Frobenius norms of one output)
    pub relative: f64,
    /// largest difference of two numbers
    pub max_abs: f64,
    /// largest over all inputs of that difference over the largest number of the output
    pub max_rel: f64,
    /// largest number of the outputs of either block
    pub size: f64,
    /// where the relative difference of an output is largest; none where all agree
    pub worst: Option<Worst>,
    /// inputs that both blocks ran on
    pub ran: usize,
    /// inputs that a block did not run on, and why
    pub failed: Vec<(usize, String)>,
    /// an input that one block ran on and the other did not: a difference that has no number
    pub one_failed: bool,
}

/// Lengths of the drawn inputs.
const LENGTHS: [usize; 5] = [1, 2, 3, 5, 16];
/// Standard deviations of their tokens: sums of scores near zero, and scores that tell tokens apart.
const SPREADS: [f64; 2] = [1.0, 0.25];

/// Gaussian inputs for both blocks: several lengths, two sizes of tokens; streams of other clocks are of other lengths.
///
/// # Errors
/// [`OutOfScope::Widths`] for blocks that do not read the same tokens.
pub fn gaussian_inputs(a: &Block, b: &Block, draw: u64) -> Result<Vec<Input>, OutOfScope> {
    let mut all = widths(a, b)?;
    for clock in [&a.clock_stream, &b.clock_stream] {
        all.entry(clock.clone()).or_insert(1);
    }
    let clocks = Clocks::of(a, b);
    let home = clocks.root(&a.clock_stream);
    let mut out = Vec::new();
    for n in LENGTHS {
        for spread in SPREADS {
            let streams = all.iter().map(|(name, width)| {
                let count = if clocks.root(name) == home { n } else { n + 1 };
                let mut rng = seed::stream(draw, &format!("probe.{name}.{n}.{spread}"));
                (name.clone(), DMatrix::from_fn(*width, count, |_, _| spread * seed::normal(&mut rng)))
            });
            let tokens = if n == 1 { "token" } else { "tokens" };
            out.push(Input {
                name: format!("{n} Gaussian {tokens}, std {spread}"),
                streams: streams.collect(),
            });
        }
    }
    Ok(out)
}

/// Runs both blocks on every input.
#[must_use]
pub fn probe(a: &Block, b: &Block, inputs: &[Input]) -> Probed {
    let mut out = Probed::default();
    for (i, input) in inputs.iter().enumerate() {
        let (y, z) = match (forward(a, &input.streams), forward(b, &input.streams)) {
            (Ok(y), Ok(z)) if y.shape() == z.shape() => (y, z),
            (Ok(y), Ok(z)) => {
                out.one_failed = true;
                out.failed.push((i, format!("the outputs are {:?} and {:?}", y.shape(), z.shape())));
                continue;
            }
            (x, y) => {
                out.one_failed |= x.is_ok() != y.is_ok();
                let why = x.err().or(y.err()).map_or_else(String::new, |e| e.to_string());
                out.failed.push((i, why));
                continue;
            }
        };
        out.ran += 1;
        let gap = &y - &z;
        let over = |x: f64, size: f64| if x > 0.0 { x / size } else { 0.0 };
        let size = |m: &DMatrix<f64>| m.amax();
        let top = size(&y).max(f64::MIN_POSITIVE);
        let relative = over((&gap / top).norm(), (&y / top).norm().max((&z / top).norm()));
        out.max_abs = out.max_abs.max(gap.amax());
        out.size = out.size.max(size(&y)).max(size(&z));
        out.max_rel = out.max_rel.max(over(gap.amax(), size(&y).max(size(&z))));
        if relative > out.relative {
            out.relative = relative;
            let norm = |t: &usize| gap.column(*t).norm();
            let token = (0..gap.ncols()).max_by(|s, t| norm(s).total_cmp(&norm(t))).unwrap_or(0);
            let size = y.column(token).norm().max(z.column(token).norm());
            out.worst = Some(Worst { input: i, token, gap: norm(&token), size });
        }
    }
    out
}
