//! The matrix `C[(key, query), (output, value)]` in connected components, each to be factorised on its own.

use super::atoms::{Atom, Origin, Parts, Role};
use super::colour::Oriented;
use super::hash::HashMap;
use super::rank::factorise;
use super::reason::Fault;
use crate::attention::FeatureMap;
use crate::diag::codes;
use crate::memory;
use nalgebra::DMatrix;
use petgraph::unionfind::UnionFind;

/// Which side of the memory a gate is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Key,
    Value,
}

/// Key, query, gate if it scales keys.
type Row = (Option<Atom>, Option<Atom>, Option<u32>);
/// Output column, value, gate if it scales values.
type Column = (u32, Option<Atom>, Option<u32>);

/// Rows and columns of one connected component of C, and its entries.
#[derive(Clone, Debug, Default)]
pub struct Component {
    pub rows: Vec<Row>,
    pub columns: Vec<Column>,
    pub entries: Vec<(usize, usize, f64)>,
    /// where the terms came from
    pub origins: Vec<Origin>,
}

/// Where each term stands in C, and which components that makes.
pub struct Places {
    rows: Vec<Row>,
    columns: Vec<Column>,
    at: Vec<(usize, usize)>,
    sets: UnionFind<usize>,
    /// number of components
    pub count: usize,
}

/// Streams and maps join the keys: what differs in them can never be one head.
#[derive(Default)]
struct Kinds(Vec<(usize, FeatureMap, bool)>);

impl Kinds {
    fn of(&mut self, atom: Option<Atom>, parts: &Parts) -> u32 {
        let Some(atom) = atom else { return u32::MAX };
        let form = parts.get(atom);
        let kind = (form.stream, form.map, form.role == Role::Query);
        let at = self.0.iter().position(|k| *k == kind).unwrap_or_else(|| {
            self.0.push(kind);
            self.0.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }
}

/// Query and key of the first linear term for each output column, value and gate: a term of the same value without a query
/// is the bias of that query.
type Partners = HashMap<(u32, u32, Option<u32>), (Option<Atom>, Option<Atom>)>;

fn partners(parts: &Parts, part: &[Oriented]) -> Partners {
    let mut found = Partners::default();
    if part.iter().all(|t| t.query.is_some()) {
        return found;
    }
    let linear = |a: Option<Atom>| a.is_none_or(|a| parts.get(a).map == FeatureMap::Identity);
    for t in part.iter().filter(|t| t.query.is_some() && linear(t.query) && linear(t.key)) {
        let value = t.value.map_or(u32::MAX, |a| parts.get(a).class);
        found.entry((t.column, value, t.gate)).or_insert((t.query, t.key));
    }
    found
}

impl Places {
    pub fn of(parts: &Parts, part: &[Oriented], side: Side) -> Self {
        let class = |a: Option<Atom>| a.map_or(u32::MAX, |a| parts.get(a).class);
        let mut kinds = Kinds::default();
        let mut row_index: HashMap<_, usize> = HashMap::default();
        let mut column_index: HashMap<_, usize> = HashMap::default();
        let (mut rows, mut columns): (Vec<Row>, Vec<Column>) = (Vec::new(), Vec::new());
        let mut at = Vec::with_capacity(part.len());
        let partners = partners(parts, part);
        for t in part {
            let (key_gate, value_gate) = match side {
                Side::Key => (t.gate, None),
                Side::Value => (None, t.gate),
            };
            // The class of a form says its kind; what is left is the kind of the other side.
            let key = (class(t.key), class(t.query), key_gate, kinds.of(t.value, parts));
            let row = *row_index.entry(key).or_insert_with(|| {
                rows.push((t.key, t.query, key_gate));
                rows.len() - 1
            });
            // A nonlinear key is no bias: it first becomes a map.
            let linear = t.key.is_none_or(|a| parts.get(a).map == FeatureMap::Identity);
            let free = t.query.is_none() && linear;
            let partner = if free { partners.get(&(t.column, class(t.value), t.gate)) } else { None };
            let (query, key) = partner.copied().unwrap_or((t.query, t.key));
            let other = (kinds.of(query, parts), kinds.of(key, parts));
            let key = (t.column, class(t.value), value_gate, other);
            let column = *column_index.entry(key).or_insert_with(|| {
                columns.push((t.column, t.value, value_gate));
                columns.len() - 1
            });
            at.push((row, column));
        }
        let mut sets: UnionFind<usize> = UnionFind::new(rows.len() + columns.len());
        let joined = at.iter().filter(|(row, column)| sets.union(*row, rows.len() + column)).count();
        let count = rows.len() + columns.len() - joined;
        Self { rows, columns, at, sets, count }
    }

    /// The components, in the order of their first term.
    pub fn components(self, part: &[Oriented]) -> Vec<Component> {
        const NONE: usize = usize::MAX;
        let mut found: Vec<Component> = Vec::with_capacity(self.count);
        let mut number = vec![NONE; self.rows.len() + self.columns.len()];
        let (mut rows, mut columns) = (vec![NONE; self.rows.len()], vec![NONE; self.columns.len()]);
        for (t, (row, column)) in part.iter().zip(&self.at) {
            let root = self.sets.find(*row);
            if number[root] == NONE {
                number[root] = found.len();
                found.push(Component::default());
            }
            let c = &mut found[number[root]];
            if rows[*row] == NONE {
                rows[*row] = c.rows.len();
                c.rows.push(self.rows[*row]);
            }
            if columns[*column] == NONE {
                columns[*column] = c.columns.len();
                c.columns.push(self.columns[*column]);
            }
            c.entries.push((rows[*row], columns[*column], t.coefficient));
            if c.origins.last() != Some(&t.origin) {
                c.origins.push(t.origin);
            }
        }
        found
    }
}

impl Component {
    /// Do its terms without a query make heads of their own, of `heads` in all? Else they are biases of queries.
    pub fn lacks_query(&self, heads: usize) -> bool {
        let asks = |row: usize| self.rows[row].1.is_some();
        if (0..self.rows.len()).all(asks) {
            return false;
        }
        let mut asked = DMatrix::zeros(self.rows.len(), self.columns.len());
        for (i, j, x) in self.entries.iter().filter(|(i, ..)| asks(*i)) {
            asked[(*i, *j)] += x;
        }
        factorise(&asked).len() < heads
    }

    /// # Errors
    /// `C080` if the matrix, and what factorises it, would take too much memory.
    pub fn matrix(&self) -> Result<DMatrix<f64>, Fault> {
        let bytes = memory::bytes(self.rows.len(), 8 * 4) * self.columns.len() as u128;
        memory::check(codes::C080, "", "to factorise the lateral weights", bytes)?;
        let mut c = DMatrix::zeros(self.rows.len(), self.columns.len());
        for (i, j, x) in &self.entries {
            c[(*i, *j)] += x;
        }
        Ok(c)
    }
}
