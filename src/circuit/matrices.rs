//! The weight matrix of each projection: axes of `onto` and `pool`, ties, draws, the cap on memory.

use super::build::{MAX_NUMBERS, Names};
use super::draw::{Draw, draw};
use super::memory::WEIGHT;
use super::synapses::{AxisMap, Weights};
use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use crate::memory;
use crate::spec::{Axis, CircuitSpec, ProjectionSpec, WeightsSpec};
use std::collections::BTreeMap;
use std::path::Path;

pub fn axis(
    axis: Option<Axis>,
    p: &Population,
    key: &str,
    path: &str,
    d: &mut Diagnostics,
) -> (AxisMap, usize) {
    let (n, m) = (p.cells, p.microcolumns);
    if axis.is_some_and(|a| a != Axis::All) && !matches!(p.kind, Kind::Cells { .. }) {
        d.push(
            Diagnostic::error(
                codes::C027,
                format!("{path}.{key}"),
                format!("`{}` has no microcolumns", p.name),
            )
            .help(format!("remove `{key}`")),
        );
        return (AxisMap::All, n * m);
    }
    match axis {
        None | Some(Axis::All) => (AxisMap::All, n * m),
        Some(Axis::Cells) => (AxisMap::Cells { cells: n }, n),
        Some(Axis::Microcolumns) => (AxisMap::Microcolumns { cells: n }, m),
    }
}

/// `pool: cells` sums the cells of each microcolumn, so the matrix addresses microcolumns.
pub fn pool_axis(pool: Option<Axis>, p: &Population, path: &str, d: &mut Diagnostics) -> (AxisMap, usize) {
    let addressed = match pool {
        Some(Axis::Cells) => Some(Axis::Microcolumns),
        Some(Axis::Microcolumns) => Some(Axis::Cells),
        other => other,
    };
    axis(addressed, p, "pool", path, d)
}

/// Most ties that may follow one another: each is one step of a recursion.
const LONGEST_CHAIN: usize = 100;

/// Matrices that are known so far, and the memory that they take.
pub struct Wiring<'a> {
    spec: &'a CircuitSpec,
    by_name: BTreeMap<&'a str, &'a ProjectionSpec>,
    names: &'a Names,
    folder: &'a Path,
    used: usize,
    matrices: BTreeMap<String, Option<Weights>>,
}

impl<'a> Wiring<'a> {
    pub fn new(spec: &'a CircuitSpec, names: &'a Names, folder: &'a Path) -> Self {
        // The first of a repeated name, as in `Table::get`.
        let by_name = spec.projections.0.iter().rev().map(|(name, p)| (name.as_str(), p)).collect();
        Self { spec, by_name, names, folder, used: 0, matrices: BTreeMap::new() }
    }

    /// The matrix of projection `name`, gain included; ties are followed, loops of ties reported.
    pub fn matrix(&mut self, name: &str, chain: &mut Vec<String>, d: &mut Diagnostics) -> Option<Weights> {
        if let Some(done) = self.matrices.get(name) {
            return done.clone();
        }
        let p = *self.by_name.get(name)?;
        let path = format!("projections.{name}.weights");
        chain.push(name.to_owned());
        let result = self.build(name, p, &path, chain, d);
        chain.pop();
        let result = result.map(|w| match p.gain {
            Some(gain) => w.scaled(gain.value()),
            None => w,
        });
        self.matrices.insert(name.to_owned(), result.clone());
        result
    }

    fn build(
        &mut self,
        name: &str,
        p: &ProjectionSpec,
        path: &str,
        chain: &mut Vec<String>,
        d: &mut Diagnostics,
    ) -> Option<Weights> {
        // Mistakes in the endpoints are reported where the endpoints are read.
        let mut quiet = Diagnostics::new();
        let from = self.names.source(&p.from, "", &mut quiet)?;
        let (to, _) = self.names.target(&p.to, "", &mut quiet)?;
        let rows = axis(p.onto, &self.names.populations[to.0], "", "", &mut quiet).1;
        let columns = pool_axis(p.pool, &self.names.populations[from.population.0], "", &mut quiet).1;
        if let WeightsSpec::SameAs(other) | WeightsSpec::TransposeOf(other) = &p.weights {
            return self.tied(p, other, (rows, columns), path, chain, d);
        }
        let stored = match p.weights {
            WeightsSpec::Ones | WeightsSpec::Zeros | WeightsSpec::Identity => Some(0),
            _ => rows.checked_mul(columns),
        };
        match stored.and_then(|n| n.checked_add(self.used)) {
            Some(total) if total <= MAX_NUMBERS => self.used = total,
            _ => {
                d.push(
                    Diagnostic::error(
                        codes::C006,
                        path,
                        format!("a {rows} x {columns} matrix takes the circuit beyond {MAX_NUMBERS} weights"),
                    )
                    .help(
                        "use `onto` and `pool`, fewer cells, or `ones` and `identity`, which take no memory",
                    ),
                );
                return None;
            }
        }
        if let Err(e) =
            memory::check(codes::C080, path, "the matrices up to here", memory::bytes(self.used, WEIGHT))
        {
            d.push(e);
            return None;
        }
        let drawn =
            p.drawn.as_ref().map_or((self.spec.seed, name), |drawn| (drawn.seed, drawn.name.as_str()));
        let (seed, stream) = (drawn.0, format!("projections.{}", drawn.1));
        match draw(&p.weights, &Draw { seed, stream: &stream, rows, columns, path, folder: self.folder }) {
            Ok(weights) => Some(weights),
            Err(e) => {
                d.push(e);
                None
            }
        }
    }

    fn tied(
        &mut self,
        p: &ProjectionSpec,
        other: &str,
        (rows, columns): (usize, usize),
        path: &str,
        chain: &mut Vec<String>,
        d: &mut Diagnostics,
    ) -> Option<Weights> {
        if !self.by_name.contains_key(other) {
            d.push(
                Diagnostic::error(codes::C022, path, format!("no projection `{other}` to tie to"))
                    .help(did_you_mean(other, self.spec.projections.names())),
            );
            return None;
        }
        if chain.iter().any(|c| c == other) {
            d.push(
                Diagnostic::error(
                    codes::C029,
                    path,
                    format!("these ties form a ring: {} -> {other}", chain.join(" -> ")),
                )
                .help("give one of them weights of its own"),
            );
            return None;
        }
        if chain.len() >= LONGEST_CHAIN {
            d.push(
                Diagnostic::error(
                    codes::C029,
                    path,
                    format!("more than {LONGEST_CHAIN} ties, each to the next, lead here"),
                )
                .help("tie each projection to the one that has weights of its own"),
            );
            return None;
        }
        let source = self.matrix(other, chain, d)?;
        let weights =
            if matches!(p.weights, WeightsSpec::TransposeOf(_)) { source.transposed() } else { source };
        let found = (weights.rows(), weights.columns());
        if found != (rows, columns) {
            d.push(
                Diagnostic::error(codes::C023, path, format!("the matrix of `{other}` is {} x {} here, but {rows} x {columns} is needed (targets x sources)", found.0, found.1))
                    .help("tie only projections of matching shape; `transpose_of` turns it"),
            );
            return None;
        }
        Some(weights)
    }
}
