//! The symbolic value of a population: for each cell a linear form of tokens plus a sum of terms.

use super::atoms::{Origin, Parts, Role};
use super::bias;
use super::reason::Reason;
use super::structured::{expand, multiply, pool_rows};
use super::term::{Sum, Term};
use crate::attention::FeatureMap;
use crate::circuit::{AxisMap, Synapses, Weights};
use nalgebra::{DMatrix, DVector};

/// `gain * rows[map(cell)] . x`, one matrix for all cells.
#[derive(Clone, Debug)]
pub struct Linear {
    pub role: Role,
    pub stream: usize,
    pub rectified: bool,
    /// stays out of the rows, so that halves of a plus/minus pair keep the numbers of the file
    pub gain: f64,
    /// `[n_rows, d_stream]`
    pub rows: DMatrix<f64>,
    /// the rows are this number on the diagonal: saves a product with the identity
    pub identity: Option<f64>,
    pub map: AxisMap,
    pub origin: Origin,
}

/// What the cells of a population (or compartment) are.
#[derive(Clone, Debug)]
pub struct Value {
    pub cells: usize,
    pub linear: Vec<Linear>,
    /// `[cells]`, with the projections that it came from
    pub constant: Option<(DVector<f64>, Origin)>,
    /// one list per cell, or no list at all
    pub terms: Vec<Vec<Term>>,
}

impl Value {
    pub fn zero(cells: usize) -> Self {
        Self { cells, linear: Vec::new(), constant: None, terms: Vec::new() }
    }

    /// The linear value of some cells.
    pub fn select(&self, cells: &[usize]) -> Self {
        let linear = self.linear.iter().map(|l| Linear {
            rows: expand(&l.rows, l.map, self.cells).select_rows(cells),
            map: AxisMap::All,
            identity: None,
            ..l.clone()
        });
        Self {
            cells: cells.len(),
            linear: linear.collect(),
            constant: self.constant.as_ref().map(|(c, o)| (c.select_rows(cells), *o)),
            terms: Vec::new(),
        }
    }

    pub fn is_constant(&self) -> bool {
        self.linear.is_empty() && self.has_no_terms()
    }

    pub fn has_no_terms(&self) -> bool {
        self.terms.iter().all(Vec::is_empty)
    }

    pub fn constant_of(&self, cell: usize) -> f64 {
        self.constant.as_ref().map_or(0.0, |(c, _)| c[cell])
    }

    /// Sum of two values of the same cells.
    pub fn plus(mut self, other: Self, parts: &mut Parts) -> Self {
        for part in other.linear {
            let same = self
                .linear
                .iter_mut()
                .find(|p| p.role == part.role && p.stream == part.stream && p.rectified == part.rectified);
            match same {
                Some(p) => {
                    p.identity = None;
                    let mut part = part;
                    if p.gain.to_bits() != part.gain.to_bits() {
                        p.rows *= p.gain;
                        part.rows *= part.gain;
                        p.gain = 1.0;
                    }
                    if p.map != part.map {
                        p.rows = expand(&p.rows, p.map, self.cells);
                        p.map = AxisMap::All;
                        p.rows += expand(&part.rows, part.map, self.cells);
                    } else {
                        p.rows += part.rows;
                    }
                    p.origin = parts.union(p.origin, part.origin);
                }
                None => self.linear.push(part),
            }
        }
        self.constant = match (self.constant, other.constant) {
            (Some((a, x)), Some((b, y))) => Some((a + b, parts.union(x, y))),
            (a, b) => a.or(b),
        };
        if self.terms.is_empty() {
            self.terms = other.terms;
        } else {
            for (mine, theirs) in self.terms.iter_mut().zip(other.terms) {
                mine.extend(theirs);
            }
        }
        self
    }

    /// The value after a projection's weights: `[targets] = W [sources]`.
    pub fn through(&self, s: &Synapses, targets: usize, projection: Origin, parts: &mut Parts) -> Self {
        let direct = s.onto == AxisMap::All && s.pool == AxisMap::All;
        let mut out = Self::zero(targets);
        for part in &self.linear {
            let origin = parts.union(part.origin, projection);
            let (rows, map, identity) = match (&s.weights, part.identity) {
                (Weights::Identity { gain, .. }, identity) if direct => {
                    (&part.rows * *gain, part.map, identity.map(|g| g * gain))
                }
                (Weights::Dense(m), Some(g)) if s.pool == AxisMap::All => (m * g, s.onto, None),
                (w, _) => {
                    let pooled = pool_rows(&part.rows, part.map, s.pool, self.cells, w.columns());
                    (multiply(w, &pooled), s.onto, None)
                }
            };
            out.linear.push(Linear { rows, map, identity, origin, ..*part });
        }
        if let Some((constant, origin)) = &self.constant {
            let pooled = {
                let mut v = DMatrix::zeros(s.weights.columns(), 1);
                for (cell, x) in constant.iter().enumerate() {
                    v[(s.pool.of(cell), 0)] += x;
                }
                v
            };
            let rows = multiply(&s.weights, &pooled);
            let full = DVector::from_fn(targets, |t, _| rows[(s.onto.of(t), 0)]);
            out.constant = Some((full, parts.union(*origin, projection)));
        }
        if !self.has_no_terms() {
            out.terms = self.terms_through(s, targets, projection, parts);
        }
        out
    }

    fn terms_through(
        &self,
        s: &Synapses,
        targets: usize,
        projection: Origin,
        parts: &mut Parts,
    ) -> Vec<Vec<Term>> {
        let mut scale = |t: &Term, w: f64| Term {
            coefficient: t.coefficient * w,
            origin: parts.union(t.origin, projection),
            ..*t
        };
        let rows: Vec<Vec<Term>> = match &s.weights {
            Weights::Identity { gain, .. } if s.pool == AxisMap::All => {
                self.terms.iter().map(|list| list.iter().map(|t| scale(t, *gain)).collect()).collect()
            }
            w => {
                let mut pooled: Vec<Vec<Term>> = vec![Vec::new(); w.columns()];
                for (cell, list) in self.terms.iter().enumerate() {
                    pooled[s.pool.of(cell)].extend(list);
                }
                let is_identity = matches!(w, Weights::Identity { .. });
                // Rows are mostly as long as the one before.
                let mut length = 0;
                (0..w.rows())
                    .map(|row| {
                        let mut list = Vec::with_capacity(length);
                        let columns = if is_identity { row..row + 1 } else { 0..pooled.len() };
                        for (column, terms) in columns.clone().zip(&pooled[columns]) {
                            let weight = w.get(row, column);
                            if weight != 0.0 {
                                list.extend(terms.iter().map(|t| scale(t, weight)));
                            }
                        }
                        length = list.len();
                        list
                    })
                    .collect()
            }
        };
        if s.onto == AxisMap::All {
            return rows;
        }
        (0..targets).map(|t| rows[s.onto.of(t)].clone()).collect()
    }

    /// Linear parts and constants as terms, cell by cell.
    pub fn as_terms(&self, parts: &mut Parts) -> Vec<Vec<Term>> {
        let mut lists: Vec<Vec<Term>> =
            if self.terms.is_empty() { vec![Vec::new(); self.cells] } else { self.terms.clone() };
        for (cell, form) in self.forms(parts).into_iter().enumerate() {
            // Linear terms come first, as the file would read.
            let own = std::mem::take(&mut lists[cell]);
            lists[cell] = form;
            lists[cell].extend(own);
        }
        lists
    }

    /// The linear part and the constant of each cell as terms; a bias joins the first linear part, unless that is half
    /// of a plus/minus pair: then it waits until both halves have met.
    fn forms(&self, parts: &mut Parts) -> Vec<Vec<Term>> {
        if self.constant.is_some() && self.linear.iter().any(|p| p.rectified) {
            let halves = Self { linear: self.linear.clone(), ..Self::zero(self.cells) };
            let mut lists = halves.forms(parts);
            if let Some((constant, origin)) = &self.constant {
                bias::attach(&mut lists, constant, *origin, self.linear.first(), parts);
            }
            return lists;
        }
        let none = parts.no_origin();
        let mut lists = vec![Vec::new(); self.cells];
        for (number, part) in self.linear.iter().enumerate() {
            let bias = if number == 0 { self.constant.as_ref() } else { None };
            let origin = bias.map_or(part.origin, |(_, o)| parts.union(part.origin, *o));
            let mut known: Vec<Option<Option<(f64, super::atoms::Atom)>>> = vec![None; part.rows.nrows()];
            for (cell, list) in lists.iter_mut().enumerate() {
                let row = part.map.of(cell);
                let b = bias.map_or(0.0, |(c, _)| c[cell]);
                let cached = if b == 0.0 { known[row] } else { None };
                let made = cached.unwrap_or_else(|| {
                    let mut numbers: Vec<f64> = part.rows.row(row).iter().copied().collect();
                    numbers.push(b / part.gain);
                    parts.form(part.role, part.stream, part.rectified, FeatureMap::Identity, numbers, origin)
                });
                if b == 0.0 {
                    known[row] = Some(made);
                }
                if let Some((sign, atom)) = made {
                    let mut term = Term::of_form(sign * part.gain, atom, parts);
                    term.origin = origin;
                    list.push(term);
                }
            }
        }
        if self.linear.is_empty()
            && let Some((constant, origin)) = &self.constant
        {
            for (cell, list) in lists.iter_mut().enumerate() {
                if constant[cell] != 0.0 {
                    list.push(Term::constant(constant[cell], parts.union(*origin, none)));
                }
            }
        }
        lists
    }

    /// Cell by cell product.
    pub fn times(&self, other: &Self, parts: &mut Parts) -> Result<Self, Reason> {
        for (a, b) in [(self, other), (other, self)] {
            if a.is_constant() {
                return Ok(b.scaled_by(a, parts));
            }
        }
        let (left, right) = (self.as_terms(parts), other.as_terms(parts));
        let mut out = Self::zero(self.cells);
        out.terms = Vec::with_capacity(self.cells);
        for (a, b) in left.iter().zip(&right) {
            let mut list = Vec::with_capacity(a.len() * b.len());
            for x in a {
                for y in b {
                    list.push(x.times(y, parts)?);
                }
            }
            out.terms.push(list);
        }
        Ok(out)
    }

    /// Each cell times a constant.
    fn scaled_by(&self, constant: &Self, parts: &mut Parts) -> Self {
        let factor = |cell: usize| constant.constant_of(cell);
        let origin = match &constant.constant {
            Some((_, o)) => *o,
            None => parts.no_origin(),
        };
        let linear = self
            .linear
            .iter()
            .map(|p| {
                let mut rows = expand(&p.rows, p.map, self.cells);
                for (cell, mut row) in rows.row_iter_mut().enumerate() {
                    row *= factor(cell);
                }
                Linear {
                    rows,
                    map: AxisMap::All,
                    identity: None,
                    origin: parts.union(p.origin, origin),
                    ..*p
                }
            })
            .collect();
        let terms = self
            .terms
            .iter()
            .enumerate()
            .map(|(cell, list)| {
                list.iter()
                    .map(|t| Term {
                        coefficient: t.coefficient * factor(cell),
                        origin: parts.union(t.origin, origin),
                        ..*t
                    })
                    .filter(|t| t.coefficient != 0.0)
                    .collect()
            })
            .collect();
        let own = self
            .constant
            .as_ref()
            .map(|(c, o)| (DVector::from_fn(self.cells, |i, _| c[i] * factor(i)), parts.union(*o, origin)));
        Self { cells: self.cells, linear, constant: own, terms }
    }

    /// Everything becomes a sum over the context.
    pub fn summed(
        &self,
        sum: Sum,
        gate: impl Fn(usize) -> Option<u32>,
        parts: &mut Parts,
    ) -> Result<Self, Reason> {
        let mut out = Self::zero(self.cells);
        out.terms = self.as_terms(parts);
        for (cell, list) in out.terms.iter_mut().enumerate() {
            for t in list {
                *t = t.summed(Some(sum), gate(cell))?;
            }
        }
        Ok(out)
    }

    /// Reads everything from the other token: `j := i` or back.
    pub fn with_role(&self, role: Role, parts: &mut Parts) -> Result<Self, Reason> {
        let mut out = self.clone();
        for part in &mut out.linear {
            part.role = role;
        }
        for t in out.terms.iter_mut().flatten() {
            if t.sum.is_some() || t.memory.is_some() {
                return Err(Reason::NoRelay);
            }
            if t.score.is_some() {
                return Err(Reason::NoRelay);
            }
            let atoms: Vec<_> = t.query.iter().chain(t.context.iter().flatten()).copied().collect();
            let mut sign = 1.0;
            if t.over.iter().all(Option::is_some) {
                return Err(Reason::NoRelay);
            }
            if let Some(over) = t.over[0].or(t.over[1]) {
                let (factor, over) = parts.with_role(over, role);
                sign *= factor;
                t.over = if role == Role::Query { [Some(over), None] } else { [None, Some(over)] };
            }
            let moved: Vec<_> = atoms
                .into_iter()
                .map(|a| {
                    let (factor, atom) = parts.with_role(a, role);
                    sign *= factor;
                    atom
                })
                .collect();
            t.coefficient *= sign;
            let mut moved = moved.into_iter();
            match role {
                Role::Context => {
                    t.query = None;
                    t.context = [moved.next(), moved.next()];
                }
                Role::Query => {
                    t.context = [None, None];
                    t.query = moved.next();
                }
            }
            if moved.next().is_some() {
                return Err(if role == Role::Query { Reason::QueryDegree } else { Reason::ContextDegree });
            }
        }
        Ok(out)
    }
}
