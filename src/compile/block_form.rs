//! A block before its heads are told apart: output columns times terms, and direct paths.

use super::atoms::{Origin, Parts};
use super::hash::HashMap;
use super::near::{Near, leading_sign};
use super::term::{CANCELLED, Term};
use crate::circuit::PopulationId;
use nalgebra::{DMatrix, DVector};

/// A direct path of one stream.
#[derive(Clone, Debug)]
pub struct Path {
    pub stream: usize,
    pub rectified: bool,
    /// `[d_out, d_stream]`
    pub matrix: DMatrix<f64>,
    /// sum of absolute contributions, to tell rounding from signal
    size: DMatrix<f64>,
    pub origin: Origin,
}

/// An output column `[d_model]`, and the ways that lead to it: projections from the population of the last product on.
#[derive(Clone, Debug)]
pub struct Column {
    pub vector: DVector<f64>,
    ways: Vec<(Origin, PopulationId)>,
}

impl Column {
    fn also(&mut self, ways: Vec<(Origin, PopulationId)>) {
        for way in ways {
            if !self.ways.contains(&way) {
                self.ways.push(way);
            }
        }
    }

    /// The ways that terms of these projections take; columns of equal numbers are one column for several populations.
    pub(super) fn ways(&self, of: Origin, parts: &Parts) -> Vec<(Origin, PopulationId)> {
        if self.ways.len() == 1 {
            return self.ways.clone();
        }
        let all = parts.projections(of);
        let taken = |way: Origin| parts.projections(way).iter().all(|p| all.binary_search(p).is_ok());
        self.ways.iter().copied().filter(|(way, _)| taken(*way)).collect()
    }

    /// The population of the last product of such terms, the first one in the file if there are several.
    pub(super) fn root(&self, of: Origin, parts: &Parts) -> PopulationId {
        self.ways(of, parts).iter().map(|(_, root)| *root).min().unwrap_or(self.ways[0].1)
    }
}

/// Everything that arrives at a relay.
#[derive(Clone, Debug)]
pub struct BlockForm {
    pub relay: String,
    pub path: String,
    pub stream: usize,
    pub d_model: usize,
    pub columns: Vec<Column>,
    pub terms: Vec<(u32, Term)>,
    pub residual: Vec<Path>,
    pub bias: DVector<f64>,
    pub bias_origin: Option<Origin>,
}

impl BlockForm {
    pub(super) fn empty(relay: String, path: String, d_model: usize) -> Self {
        Self {
            relay,
            path,
            stream: usize::MAX,
            d_model,
            columns: Vec::new(),
            terms: Vec::new(),
            residual: Vec::new(),
            bias: DVector::zeros(d_model),
            bias_origin: None,
        }
    }

    /// Number of a new output column; `None` for a column of zeros.
    pub(super) fn column(&mut self, v: DVector<f64>, origin: Origin, root: PopulationId) -> Option<u32> {
        if v.iter().all(|x| *x == 0.0) {
            return None;
        }
        self.columns.push(Column { vector: v, ways: vec![(origin, root)] });
        u32::try_from(self.columns.len() - 1).ok()
    }

    pub(super) fn add_path(
        &mut self,
        stream: usize,
        rectified: bool,
        matrix: DMatrix<f64>,
        origin: Origin,
        parts: &mut Parts,
    ) {
        self.join_path(Path { stream, rectified, size: matrix.abs(), matrix, origin }, parts);
    }

    /// A sum that has cancelled stays as large as its parts were.
    fn join_path(&mut self, path: Path, parts: &mut Parts) {
        let same = |p: &&mut Path| p.stream == path.stream && p.rectified == path.rectified;
        match self.residual.iter_mut().find(same) {
            Some(p) => {
                p.size += path.size;
                p.matrix += path.matrix;
                p.origin = parts.union(p.origin, path.origin);
            }
            None => self.residual.push(path),
        }
    }

    pub(super) fn add_bias(&mut self, bias: &DVector<f64>, origin: Origin, parts: &mut Parts) {
        self.bias += bias;
        self.bias_origin = Some(self.bias_origin.map_or(origin, |o| parts.union(o, origin)));
    }

    /// Adds what arrives at another relay; columns that are equal up to a common sign become one.
    pub(super) fn absorb(&mut self, other: Self, parts: &mut Parts) {
        if parts.any_rectified {
            return self.absorb_nearly(other, parts);
        }
        let mut index: HashMap<Vec<u64>, (u32, f64)> = HashMap::default();
        for (i, column) in self.columns.iter().enumerate() {
            let (bits, sign) = unsigned(&column.vector);
            index.insert(bits, (u32::try_from(i).unwrap_or(u32::MAX), sign));
        }
        let mut renamed = Vec::with_capacity(other.columns.len());
        for column in other.columns {
            let (bits, sign) = unsigned(&column.vector);
            let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
            let (at, kept_sign) = *index.entry(bits).or_insert((next, sign));
            if at == next {
                self.columns.push(column);
            } else {
                self.columns[at as usize].also(column.ways);
            }
            renamed.push((at, sign * kept_sign));
        }
        self.take(&renamed, other.terms, other.residual, (&other.bias, other.bias_origin), parts);
    }

    /// The same where columns may differ by rounding.
    fn absorb_nearly(&mut self, other: Self, parts: &mut Parts) {
        let unsigned = |v: &DVector<f64>| {
            let sign = leading_sign(v.as_slice()).unwrap_or(1.0);
            (v.iter().map(|x| x * sign).collect::<Vec<f64>>(), sign)
        };
        let mut near: Near<()> = Near::default();
        let mut known: Vec<(Vec<f64>, f64)> = Vec::new();
        for (i, column) in self.columns.iter().enumerate() {
            known.push(unsigned(&column.vector));
            near.insert((), &known[i].0, u32::try_from(i).unwrap_or(u32::MAX));
        }
        let mut renamed = Vec::with_capacity(other.columns.len());
        for column in other.columns {
            let (numbers, sign) = unsigned(&column.vector);
            let at = match near.find((), &numbers, |n| known[n as usize].0.as_slice()) {
                Some(at) => {
                    self.columns[at as usize].also(column.ways);
                    at
                }
                None => {
                    let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
                    near.insert((), &numbers, next);
                    known.push((numbers, sign));
                    self.columns.push(column);
                    next
                }
            };
            renamed.push((at, sign * known[at as usize].1));
        }
        self.take(&renamed, other.terms, other.residual, (&other.bias, other.bias_origin), parts);
    }

    /// Adds terms, whose columns have new numbers and signs, paths and bias.
    fn take(
        &mut self,
        renamed: &[(u32, f64)],
        terms: Vec<(u32, Term)>,
        residual: Vec<Path>,
        bias: (&DVector<f64>, Option<Origin>),
        parts: &mut Parts,
    ) {
        let mut terms = terms;
        for (c, t) in &mut terms {
            let (column, sign) = renamed[*c as usize];
            (*c, t.coefficient) = (column, t.coefficient * sign);
        }
        if self.terms.is_empty() {
            self.terms = terms;
        } else {
            self.terms.append(&mut terms);
        }
        for p in residual {
            self.join_path(p, parts);
        }
        self.bias += bias.0;
        self.bias_origin = match (self.bias_origin, bias.1) {
            (Some(a), Some(b)) => Some(parts.union(a, b)),
            (a, b) => a.or(b),
        };
    }

    /// Direct paths that cancel to rounding go.
    pub(super) fn drop_cancelled_paths(&mut self) {
        self.residual.retain(|p| p.matrix.iter().zip(&p.size).any(|(x, s)| x.abs() > CANCELLED * s));
    }

    /// A linear copy of one earlier stream, or of one half of a plus/minus pair.
    pub(super) fn is_linear_in_one_stream(&self) -> bool {
        self.terms.is_empty()
            && !self.residual.is_empty()
            && self.residual.iter().all(|p| p.stream == self.residual[0].stream)
    }

    /// Exactly the stream itself: an output relay like this one is another name of the block before.
    pub(super) fn copies(&self, stream: usize) -> bool {
        let [path] = &self.residual[..] else { return false };
        let is_identity =
            path.matrix.is_square() && path.matrix == DMatrix::identity(self.d_model, self.d_model);
        self.terms.is_empty()
            && path.stream == stream
            && !path.rectified
            && is_identity
            && self.bias.iter().all(|x| *x == 0.0)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.terms.is_empty() && self.residual.is_empty() && self.bias.iter().all(|x| *x == 0.0)
    }
}

/// The numbers of a column with the first non-zero one positive, and the sign taken out.
fn unsigned(v: &DVector<f64>) -> (Vec<u64>, f64) {
    let sign = v.iter().find(|x| **x != 0.0).map_or(1.0, |x| x.signum());
    (v.iter().map(|x| (x * sign + 0.0).to_bits()).collect(), sign)
}
