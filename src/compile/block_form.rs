//! A block before its heads are told apart: output columns times terms, and direct paths.

use super::atoms::{Origin, Parts};
use super::term::{CANCELLED, Term};
use crate::circuit::PopulationId;
use nalgebra::{DMatrix, DVector};
use std::collections::HashMap;

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

/// Everything that arrives at a relay.
#[derive(Clone, Debug)]
pub struct BlockForm {
    pub relay: String,
    pub path: String,
    pub stream: usize,
    pub d_model: usize,
    /// output columns `[d_model]`, their origins and the population that each first came from
    pub columns: Vec<(DVector<f64>, Origin, PopulationId)>,
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

    /// Number of an output column, its sign taken out; `None` for a column of zeros.
    pub(super) fn column(
        &mut self,
        mut v: DVector<f64>,
        origin: Origin,
        root: PopulationId,
    ) -> Option<(f64, u32)> {
        let first = v.iter().copied().find(|x| *x != 0.0)?;
        let sign = if first < 0.0 { -1.0 } else { 1.0 };
        v.iter_mut().for_each(|x| *x = *x * sign + 0.0);
        self.columns.push((v, origin, root));
        u32::try_from(self.columns.len() - 1).ok().map(|n| (sign, n))
    }

    pub(super) fn add_path(
        &mut self,
        stream: usize,
        rectified: bool,
        matrix: DMatrix<f64>,
        origin: Origin,
        parts: &mut Parts,
    ) {
        match self.residual.iter_mut().find(|p| p.stream == stream && p.rectified == rectified) {
            Some(p) => {
                p.size += matrix.abs();
                p.matrix += matrix;
                p.origin = parts.union(p.origin, origin);
            }
            None => self.residual.push(Path { stream, rectified, size: matrix.abs(), matrix, origin }),
        }
    }

    /// Adds what arrives at another relay; equal columns become one.
    pub(super) fn absorb(&mut self, other: Self, parts: &mut Parts) {
        let bits = |v: &DVector<f64>| v.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
        let mut index: HashMap<Vec<u64>, u32> = HashMap::new();
        for (i, (v, _, _)) in self.columns.iter().enumerate() {
            index.insert(bits(v), u32::try_from(i).unwrap_or(u32::MAX));
        }
        let mut renamed = Vec::with_capacity(other.columns.len());
        for (v, origin, root) in other.columns {
            let key = bits(&v);
            let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
            let at = *index.entry(key).or_insert(next);
            if at == next {
                self.columns.push((v, origin, root));
            } else {
                let kept = &mut self.columns[at as usize];
                kept.1 = parts.union(kept.1, origin);
            }
            renamed.push(at);
        }
        self.terms.extend(other.terms.into_iter().map(|(c, t)| (renamed[c as usize], t)));
        for p in other.residual {
            self.add_path(p.stream, p.rectified, p.matrix, p.origin, parts);
        }
        self.bias += other.bias;
        self.bias_origin = match (self.bias_origin, other.bias_origin) {
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

    pub(super) fn is_zero(&self) -> bool {
        self.terms.is_empty() && self.residual.is_empty() && self.bias.iter().all(|x| *x == 0.0)
    }
}
