//! What a circuit takes in memory, estimated from its text alone, before anything is drawn.

use crate::diag::{Diagnostic, codes};
use crate::memory::{self, bytes};
use crate::spec::{ActivationSpec, Axis, CircuitSpec, InputSpec, WeightsSpec};
use std::collections::BTreeMap;

/// Bytes of a number, and of a number of a weight matrix while the circuit is wired: each matrix is kept by name, too.
const NUMBER: usize = 8;
pub(super) const WEIGHT: usize = 2 * NUMBER;
/// Bytes of a number of a linear form (the form, its key, the matrix of its head), of a product of two forms, and of a cell that
/// multiplies: measured on heads of both kinds.
const FORM: usize = 5 * NUMBER;
const PRODUCT: usize = 700;
const CELL: usize = 500;
/// Copies of tokens in a run: as given, in the precision of the run, what heads make of them, the output.
const TOKENS: usize = 4 * NUMBER;

/// Bytes, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// weight matrices that are drawn, read or written out
    pub matrices: u128,
    /// linear forms and products of a compiler, and the matrices of heads
    pub heads: u128,
    /// tokens that the circuit draws itself, and what is made of them
    pub tokens: u128,
    /// the matrix or stream that takes most, and its path
    largest: (u128, String),
}

impl Estimate {
    #[must_use]
    pub fn total(&self) -> u128 {
        self.matrices + self.heads + self.tokens
    }

    fn count(&mut self, bytes: u128, path: impl FnOnce() -> String) -> u128 {
        if bytes > self.largest.0 {
            self.largest = (bytes, path());
        }
        bytes
    }

    /// Of matrices and tokens, which every verb makes: `C080` if they are more than may be taken. Heads are asked for when they
    /// are compiled, the state of cells when they run.
    ///
    /// # Errors
    /// With the number, its parts and the limit, at the part that takes most.
    pub fn check(&self) -> Result<(), Diagnostic> {
        let (matrices, tokens) = (memory::shown(self.matrices), memory::shown(self.tokens));
        let what = format!("the circuit (matrices {matrices}, tokens {tokens})");
        memory::check(codes::C080, &self.largest.1, &what, self.matrices + self.tokens)
    }
}

/// Cells of a population: microcolumns, and cells of each.
type Size = (usize, usize);

/// What a compiler makes of a matrix `[rows, columns]` that starts from cells which are linear or `multiplies`; an identity is
/// `sparse`, and tokens have at most `widest` numbers.
#[must_use]
pub fn of_heads(rows: usize, columns: usize, sparse: bool, multiplies: bool, widest: usize) -> u128 {
    match (multiplies, sparse) {
        (true, true) => bytes(rows, PRODUCT),
        (true, false) => bytes(rows, PRODUCT).saturating_mul(columns as u128),
        // A linear source passes its own forms on, as many numbers each as a token has.
        (false, _) => {
            bytes(rows, FORM).saturating_mul(if sparse { widest } else { widest.min(columns) } as u128)
        }
    }
}

/// What a compiler makes of the cells of a population.
#[must_use]
pub fn of_cells(size: usize, multiplies: bool) -> u128 {
    if multiplies { bytes(size, CELL) } else { 0 }
}

/// What the matrices, heads and tokens of a circuit take, to within a factor of about two.
#[must_use]
pub fn estimate(spec: &CircuitSpec) -> Estimate {
    let mut e = Estimate::default();
    let mut sizes: BTreeMap<String, (Size, bool)> = BTreeMap::from([("tonic".to_owned(), ((1, 1), false))]);
    let mut widest = 1;
    for (name, relay) in spec.thalamus.iter() {
        sizes.insert(name.to_owned(), ((1, relay.cells), false));
        widest = widest.max(relay.cells);
    }
    for (area, a) in spec.areas.iter() {
        let columns = a.microcolumns.count.unwrap_or(1);
        for (name, p) in a.populations.iter() {
            let multiplies = p.accumulate.is_some() || p.activation != ActivationSpec::LINEAR;
            e.heads += of_cells(columns.saturating_mul(p.cells), multiplies);
            sizes.insert(format!("{area}.{name}"), ((columns, p.cells), multiplies));
        }
    }
    let streams = &spec.tokens.streams;
    for (name, stream) in streams.iter() {
        // Positions are as many as what they number.
        let numbered = stream.clock.as_deref().filter(|_| stream.positions.is_some());
        let counted = numbered.and_then(|clock| streams.get(clock)).unwrap_or(stream);
        if let Some(InputSpec::Gaussian { length, .. }) = &counted.input {
            let tokens = bytes(*length, TOKENS).saturating_mul(stream.d_model as u128);
            e.tokens += e.count(tokens, || format!("tokens.streams.{name}"));
        }
    }
    for (name, p) in spec.projections.iter() {
        let target = p.to.rsplit_once('.').map_or(p.to.as_str(), |(population, _)| population);
        let source = p.from.split_once(".feedback.").map_or(p.from.as_str(), |(population, _)| population);
        let (Some((to, _)), Some((from, multiplies))) = (sizes.get(target), sizes.get(source)) else {
            continue;
        };
        let axis = |axis: Option<Axis>, (m, n): Size| match axis {
            Some(Axis::Cells) => n,
            Some(Axis::Microcolumns) => m,
            _ => m.saturating_mul(n),
        };
        let pooled = match p.pool {
            Some(Axis::Cells) => Some(Axis::Microcolumns),
            Some(Axis::Microcolumns) => Some(Axis::Cells),
            other => other,
        };
        let (rows, columns) = (axis(p.onto, *to), axis(pooled, *from));
        let entries = rows as u128 * columns as u128;
        let path = || format!("projections.{name}");
        let (stored, sparse) = match p.weights {
            WeightsSpec::Ones | WeightsSpec::Zeros => (false, false),
            WeightsSpec::Identity => (false, true),
            _ => (true, false),
        };
        if stored {
            e.matrices += e.count(entries * WEIGHT as u128, path);
        }
        if !p.to.ends_with(".third") {
            e.heads += of_heads(rows, columns, sparse, *multiplies, widest);
        }
    }
    e
}
