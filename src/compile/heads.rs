//! From terms to heads: colour the context factors key or value, then factorise.
//!
//! Writing the output as `sum_j sum_f o_f (kappa_f . x_j)(theta_f . x_i)(nu_f . x_j)`, the factors `kappa` and `nu` that
//! meet in a term get two colours, key and value. In the matrix `C[(kappa, theta), (o, nu)]` each connected component
//! of rank R is R heads. Of the two colourings of a component the one with fewer heads is taken.

use super::atoms::{Atom, Origin, Role};
use super::block_form::BlockForm;
use super::build_head::{Assembly, HeadForm};
use super::factor::Factors;
use super::hash::HashMap;
use super::rank::{Rank1, factorise};
use super::reason::Reason;
use super::term::{Sum, Term};
use crate::attention::FeatureMap;
use crate::diag::Diagnostic;
use nalgebra::DMatrix;
use petgraph::graph::{NodeIndex, UnGraph};
use petgraph::unionfind::UnionFind;
use petgraph::visit::{Bfs, EdgeRef};

/// One term with its context factors told apart.
#[derive(Clone, Copy, Debug)]
pub struct Oriented {
    pub column: u32,
    pub coefficient: f64,
    pub query: Option<Atom>,
    pub key: Option<Atom>,
    pub value: Option<Atom>,
    pub gate: Option<u32>,
    pub origin: Origin,
}

/// Rows and columns of one connected component of C, and its entries.
#[derive(Clone, Debug)]
pub struct Component {
    /// key, query, gate if it scales keys
    pub rows: Vec<(Option<Atom>, Option<Atom>, Option<u32>)>,
    /// output column, value, gate if it scales values
    pub columns: Vec<(u32, Option<Atom>, Option<u32>)>,
    pub entries: Vec<(usize, usize, f64)>,
    /// where the terms came from
    pub origins: Vec<Origin>,
}

/// What all heads of a group share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub sum: Sum,
    pub divisor: Option<u32>,
    pub score: Option<u32>,
    pub memory: Option<u32>,
}

/// Which side of the memory a gate is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Key,
    Value,
}

/// All heads of a block, in the order of the file.
pub fn heads(form: &BlockForm, f: &mut Factors<'_>) -> Result<Vec<HeadForm>, Diagnostic> {
    let mut groups: Vec<(Group, Vec<(u32, Term)>)> = Vec::new();
    let mut index: HashMap<Group, usize> = HashMap::default();
    for (column, t) in &form.terms {
        let Some(sum) = t.sum else { continue };
        let group = Group { sum, divisor: t.divisor, score: t.score, memory: t.memory.map(|(p, _)| p) };
        let at = *index.entry(group).or_insert_with(|| {
            groups.push((group, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push((*column, *t));
    }
    let mut all = Vec::new();
    for (group, terms) in groups {
        let mut assembly = Assembly { form, f, group };
        if group.score.is_some() {
            all.extend(assembly.score_heads(&terms)?);
        } else if group.memory.is_some() {
            all.extend(assembly.delta_heads(&terms)?);
        } else {
            for (components, side) in orient(form, assembly.f, &terms)? {
                for component in components {
                    for rank in factorise(&component.matrix()) {
                        all.extend(assembly.linear_heads(&component, &rank, side)?);
                    }
                }
            }
        }
    }
    all.sort_by_key(|h| h.root);
    Ok(all)
}

type Vertex = u32;
/// Number of heads, then the first projection that a key came from.
type HeadCount = (usize, u32);

/// Colours context factors; returns the components of each colour component with the gate side that makes fewer heads.
fn orient(
    form: &BlockForm,
    f: &Factors<'_>,
    terms: &[(u32, Term)],
) -> Result<Vec<(Vec<Component>, Side)>, Diagnostic> {
    // Forms of equal numbers are one vertex; if that cannot be coloured (K = V), forms are told apart by origin.
    let by_numbers = |a: Atom| f.parts.get(a).class;
    let by_origin = |a: Atom| a.0;
    let levels: [&dyn Fn(Atom) -> Vertex; 2] = [&by_numbers, &by_origin];
    for vertex in levels {
        if let Some(coloured) = colour(terms, vertex) {
            return coloured.into_iter().map(|c| choose(form, f, c)).collect();
        }
    }
    // Any orientation is exact, only perhaps not minimal.
    let part: Vec<Oriented> = terms.iter().map(|(c, t)| oriented(*c, t, false)).collect();
    choose(form, f, [part.clone(), part]).map(|p| vec![p])
}

fn oriented(column: u32, t: &Term, swap: bool) -> Oriented {
    let [a, b] = t.context;
    let (key, value) = if swap { (b, a) } else { (a, b) };
    Oriented {
        column,
        coefficient: t.coefficient,
        query: t.query,
        key,
        value,
        gate: t.gate,
        origin: t.origin,
    }
}

/// Both orientations of the terms of each connected component, or `None` if it has no two-colouring.
fn colour(terms: &[(u32, Term)], vertex: &dyn Fn(Atom) -> Vertex) -> Option<Vec<[Vec<Oriented>; 2]>> {
    let mut graph: UnGraph<Vertex, ()> = UnGraph::new_undirected();
    let mut nodes: HashMap<Vertex, NodeIndex> = HashMap::default();
    let mut edges: HashMap<(NodeIndex, NodeIndex), ()> = HashMap::default();
    for (_, t) in terms {
        let ends: Vec<NodeIndex> = t
            .context
            .iter()
            .flatten()
            .map(|a| *nodes.entry(vertex(*a)).or_insert_with(|| graph.add_node(vertex(*a))))
            .collect();
        if let [a, b] = ends[..]
            && edges.insert((a.min(b), a.max(b)), ()).is_none()
        {
            graph.add_edge(a, b, ());
        }
    }
    // Factors that meet no other (the second is a constant) get one colour together.
    let alone: Vec<NodeIndex> = graph.node_indices().filter(|n| graph.edges(*n).next().is_none()).collect();
    if alone.len() > 1 {
        let hub = graph.add_node(Vertex::MAX);
        for node in alone {
            graph.add_edge(node, hub, ());
        }
    }
    let mut colours: Vec<Option<bool>> = vec![None; graph.node_count()];
    let mut component: Vec<usize> = vec![0; graph.node_count()];
    let mut count = 0;
    for start in graph.node_indices() {
        if colours[start.index()].is_some() {
            continue;
        }
        colours[start.index()] = Some(false);
        let mut walk = Bfs::new(&graph, start);
        while let Some(node) = walk.next(&graph) {
            component[node.index()] = count;
            let mine = colours[node.index()]?;
            for edge in graph.edges(node) {
                let other = if edge.source() == node { edge.target() } else { edge.source() };
                match colours[other.index()] {
                    None => colours[other.index()] = Some(!mine),
                    Some(c) if c == mine => return None,
                    Some(_) => {}
                }
            }
        }
        count += 1;
    }
    // Terms without any context factor form one more component.
    let mut parts = vec![[Vec::new(), Vec::new()]; count + 1];
    for (column, t) in terms {
        let (part, first_colour) = match t.context[0] {
            None => (count, false),
            Some(a) => {
                let node = nodes[&vertex(a)];
                (component[node.index()], colours[node.index()].unwrap_or(false))
            }
        };
        parts[part][0].push(oriented(*column, t, first_colour));
        parts[part][1].push(oriented(*column, t, !first_colour));
    }
    parts.retain(|p| !p[0].is_empty());
    Some(parts)
}

/// Of two orientations and two gate sides, the one with fewer heads; ties by the order of the file.
fn choose(
    form: &BlockForm,
    f: &Factors<'_>,
    both: [Vec<Oriented>; 2],
) -> Result<(Vec<Component>, Side), Diagnostic> {
    let nonlinear = |a: Option<Atom>| a.is_some_and(|a| f.parts.get(a).map != FeatureMap::Identity);
    let legal = |part: &[Oriented]| part.iter().all(|t| !nonlinear(t.value));
    let earliest = |part: &[Oriented]| {
        part.iter()
            .filter_map(|t| t.key)
            .filter_map(|a| f.parts.projections(f.parts.get(a).origin).first().copied())
            .min()
    };
    let gated = both[0].iter().any(|t| t.gate.is_some());
    let sides: &[Side] = if gated { &[Side::Value, Side::Key] } else { &[Side::Value] };
    let mut best: Option<(HeadCount, (Vec<Component>, Side))> = None;
    let column = both[0].first().map_or(0, |t| t.column);
    for part in both {
        if !legal(&part) {
            continue;
        }
        for side in sides {
            let components = components(f, &part, *side);
            let count: usize = components.iter().map(Component::rank).sum();
            let rank = (count, earliest(&part).unwrap_or(u32::MAX));
            if best.as_ref().is_none_or(|(b, _)| rank < *b) {
                best = Some((rank, (components, *side)));
            }
        }
    }
    best.map(|(_, chosen)| chosen)
        .ok_or_else(|| f.fault(form.columns[column as usize].2, &Reason::NonlinearValue))
}

/// Connected components of C, in the order of their first term.
fn components(f: &Factors<'_>, part: &[Oriented], side: Side) -> Vec<Component> {
    let class = |a: Option<Atom>| a.map_or(u32::MAX, |a| f.parts.get(a).class);
    // Streams and maps join the keys: what differs in them can never be one head.
    let kind = |a: Option<Atom>| {
        a.map(|a| {
            let form = f.parts.get(a);
            (form.stream, form.map, form.role == Role::Query)
        })
    };
    let mut row_index: HashMap<_, usize> = HashMap::default();
    let mut column_index: HashMap<_, usize> = HashMap::default();
    let mut rows = Vec::new();
    let mut columns = Vec::new();
    let mut entries = Vec::with_capacity(part.len());
    for t in part {
        let (key_gate, value_gate) = match side {
            Side::Key => (t.gate, None),
            Side::Value => (None, t.gate),
        };
        let kinds = (kind(t.query), kind(t.key), kind(t.value));
        let row = *row_index.entry((class(t.key), class(t.query), key_gate, kinds)).or_insert_with(|| {
            rows.push((t.key, t.query, key_gate));
            rows.len() - 1
        });
        let column =
            *column_index.entry((t.column, class(t.value), value_gate, kinds)).or_insert_with(|| {
                columns.push((t.column, t.value, value_gate));
                columns.len() - 1
            });
        entries.push((row, column, t.coefficient, t.origin));
    }
    let mut sets: UnionFind<usize> = UnionFind::new(rows.len() + columns.len());
    for (row, column, _, _) in &entries {
        sets.union(*row, rows.len() + column);
    }
    let mut found: Vec<Component> = Vec::new();
    // Where each set stands in `found`, and each row and column in its component.
    let mut place = vec![NOWHERE; rows.len() + columns.len()];
    let mut local = vec![NOWHERE; rows.len() + columns.len()];
    for (row, column, coefficient, origin) in entries {
        let root = sets.find_mut(row);
        if place[root] == NOWHERE {
            place[root] = found.len();
            found.push(Component {
                rows: Vec::new(),
                columns: Vec::new(),
                entries: Vec::new(),
                origins: Vec::new(),
            });
        }
        let c = &mut found[place[root]];
        let (i, j) = (row, rows.len() + column);
        if local[i] == NOWHERE {
            local[i] = c.rows.len();
            c.rows.push(rows[row]);
        }
        if local[j] == NOWHERE {
            local[j] = c.columns.len();
            c.columns.push(columns[column]);
        }
        c.entries.push((local[i], local[j], coefficient));
        if c.origins.last() != Some(&origin) {
            c.origins.push(origin);
        }
    }
    found
}

/// Not placed yet.
const NOWHERE: usize = usize::MAX;

impl Component {
    pub fn matrix(&self) -> DMatrix<f64> {
        let mut c = DMatrix::zeros(self.rows.len(), self.columns.len());
        for (i, j, x) in &self.entries {
            c[(*i, *j)] += x;
        }
        c
    }

    fn rank(&self) -> usize {
        if self.rows.len() == 1 || self.columns.len() == 1 { 1 } else { factorise(&self.matrix()).len() }
    }
}

impl Rank1 {
    /// All entries of beta are the same number.
    pub fn uniform(&self) -> Option<f64> {
        let first = *self.beta.first()?;
        self.beta.iter().all(|b| *b == first).then_some(first)
    }
}
