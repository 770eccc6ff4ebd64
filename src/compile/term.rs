//! Terms: products of forms of the query token and of context tokens, and how they multiply.

use super::atoms::{Atom, Origin, Parts, Role};
use super::bias;
use super::hash::HashMap;
use super::reason::Reason;
use crate::attention::{FeatureMap, Mask};

/// What happens to a term along the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fold {
    /// summed by a projection
    Pooled,
    /// accumulated, nothing forgotten
    Hebbian,
    /// accumulated with decay; bits of g
    Decay(u64),
    /// accumulated under a gate
    Gated,
    /// state of a delta memory
    Delta,
}

/// A sum over the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum {
    pub mask: Mask,
    pub fold: Fold,
    /// number of the stream whose tokens are counted
    pub clock: usize,
}

impl Sum {
    pub fn key(self) -> Vec<u64> {
        let (kind, bits) = match self.fold {
            Fold::Pooled => (0, 0),
            Fold::Hebbian => (1, 0),
            Fold::Decay(bits) => (2, bits),
            Fold::Gated => (3, 0),
            Fold::Delta => (4, 0),
        };
        let window = self.mask.window().map_or(0, |w| w as u64 + 1);
        let mask = Mask::WHOLE.iter().position(|m| *m == self.mask.whole()).unwrap_or(0) as u64;
        vec![mask + 3 * window, kind, bits, self.clock as u64]
    }
}

/// `coefficient * theta(x_i) * kappa(x_j) * nu(x_j) * score(x_i, x_j)`, summed over j once `sum` is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    pub coefficient: f64,
    pub query: Option<Atom>,
    pub context: [Option<Atom>; 2],
    pub score: Option<u32>,
    pub sum: Option<Sum>,
    pub gate: Option<u32>,
    pub divisor: Option<u32>,
    /// cell of a delta memory: population, address
    pub memory: Option<(u32, u32)>,
    /// reciprocals that the factors of query and context still have to be multiplied by: see [`super::division`]
    pub over: [Option<Atom>; 2],
    pub origin: Origin,
}

impl Term {
    pub fn constant(coefficient: f64, origin: Origin) -> Self {
        Self {
            coefficient,
            query: None,
            context: [None, None],
            score: None,
            sum: None,
            gate: None,
            divisor: None,
            memory: None,
            over: [None, None],
            origin,
        }
    }

    pub fn of_form(coefficient: f64, atom: Atom, parts: &Parts) -> Self {
        let form = parts.get(atom);
        let mut term = Self::constant(coefficient, form.origin);
        match form.role {
            Role::Query => term.query = Some(atom),
            Role::Context => term.context[0] = Some(atom),
        }
        term
    }

    pub fn is_constant(&self) -> bool {
        self.query.is_none()
            && self.context[0].is_none()
            && self.score.is_none()
            && self.sum.is_none()
            && self.memory.is_none()
            && self.over == [None, None]
    }

    /// A product of forms, neither summed nor divided nor passed through anything.
    pub fn is_plain(&self) -> bool {
        self.sum.is_none()
            && self.score.is_none()
            && self.divisor.is_none()
            && self.memory.is_none()
            && self.over == [None, None]
    }

    pub fn n_context(&self) -> usize {
        self.context.iter().flatten().count()
    }

    /// The same, summed over the context, once.
    pub fn summed(&self, sum: Option<Sum>, gate: Option<u32>) -> Result<Self, Reason> {
        if self.sum.is_some() {
            return Err(Reason::TwoSums);
        }
        Ok(Self { sum, gate, ..*self })
    }

    /// The product of two terms, or why it leaves the form.
    pub fn times(&self, other: &Self, parts: &mut Parts) -> Result<Self, Reason> {
        let mut t = *self;
        t.coefficient *= other.coefficient;
        t.origin = parts.union(self.origin, other.origin);
        if other.is_constant() && other.divisor.is_none() {
            return Ok(t);
        }
        if self.is_constant() && self.divisor.is_none() {
            return Ok(Self { coefficient: t.coefficient, origin: t.origin, ..*other });
        }
        if self.sum.is_some() && other.sum.is_some() {
            return Err(Reason::TwoSums);
        }
        let loose = |t: &Self| t.sum.is_none() && (t.n_context() > 0 || t.score.is_some());
        if (self.sum.is_some() && loose(other)) || (other.sum.is_some() && loose(self)) {
            return Err(Reason::SumTimesContext);
        }
        let reads_query = |t: &Self| t.query.is_some() || t.score.is_some();
        if reads_query(self) && reads_query(other) {
            return Err(Reason::QueryDegree);
        }
        t.query = self.query.or(other.query);
        t.score = self.score.or(other.score);
        t.sum = self.sum.or(other.sum);
        t.gate = self.gate.or(other.gate);
        t.memory = self.memory.or(other.memory);
        if self.divisor.is_some() && other.divisor.is_some() {
            return Err(Reason::DividedTwice);
        }
        t.divisor = self.divisor.or(other.divisor);
        for (slot, theirs) in t.over.iter_mut().zip(other.over) {
            if slot.is_some() && theirs.is_some() {
                return Err(Reason::DividedTwice);
            }
            *slot = slot.or(theirs);
        }
        let mut atoms = self.context.iter().chain(&other.context).flatten().copied();
        t.context = [atoms.next(), atoms.next()];
        if atoms.next().is_some() || (t.score.is_some() && t.context[1].is_some()) {
            return Err(Reason::ContextDegree);
        }
        let nonlinear = |a: &&Atom| parts.get(**a).map != FeatureMap::Identity;
        if t.context.iter().flatten().filter(nonlinear).count() + usize::from(t.score.is_some()) > 1 {
            return Err(Reason::NonlinearValue);
        }
        Ok(t)
    }

    /// What makes two terms the same product: forms by their numbers.
    pub fn key(&self, parts: &Parts) -> TermKey {
        let class = |a: Option<Atom>| a.map_or(u32::MAX, |a| parts.get(a).class);
        let mut context = self.context.map(class);
        context.sort_unstable();
        TermKey {
            query: class(self.query),
            context,
            score: self.score,
            sum: self.sum,
            gate: self.gate,
            divisor: self.divisor,
            memory: self.memory,
            over: self.over.map(class),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TermKey {
    query: u32,
    context: [u32; 2],
    score: Option<u32>,
    sum: Option<Sum>,
    gate: Option<u32>,
    divisor: Option<u32>,
    memory: Option<(u32, u32)>,
    over: [u32; 2],
}

/// Adds equal products up. What cancels to rounding (relative to its parts) goes. Biases of plus/minus halves join
/// their forms once nothing rectified is left.
///
/// `columns` tells to which output column each term belongs (all zero if there is only one place).
pub fn merge(terms: &[(u32, Term)], parts: &mut Parts) -> Vec<(u32, Term)> {
    // Column by column: the table of one column is small, and stays in the cache.
    let mut order: Vec<usize> = (0..terms.len()).collect();
    order.sort_by_key(|i| terms[*i].0);
    let mut place: HashMap<TermKey, usize> = HashMap::default();
    let mut merged: Vec<(usize, Term, f64)> = Vec::with_capacity(terms.len());
    let mut last = None;
    for i in order {
        let (column, term) = &terms[i];
        if last.replace(*column) != Some(*column) {
            place.clear();
        }
        let next = merged.len();
        let at = *place.entry(term.key(parts)).or_insert(next);
        if at == next {
            merged.push((i, *term, term.coefficient.abs()));
        } else {
            let (_, kept, size) = &mut merged[at];
            kept.coefficient += term.coefficient;
            *size += term.coefficient.abs();
            kept.origin = parts.union(kept.origin, term.origin);
        }
    }
    // In the order of first occurrence.
    merged.sort_by_key(|(i, _, _)| *i);
    let merged = merged
        .into_iter()
        .filter(|(_, t, size)| t.coefficient.abs() > CANCELLED * size)
        .map(|(i, t, _)| (terms[i].0, t))
        .collect();
    bias::absorb(merged, parts)
}

/// A sum smaller than this fraction of its parts is what rounding leaves of zero.
pub const CANCELLED: f64 = 1e-13;
