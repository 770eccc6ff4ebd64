//! Clocks and order: which token index each population follows, and who comes after whom.

use super::build::Names;
use super::types::*;
use super::wire::Wires;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{Effect, LayoutSpec, MaskSpec};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::unionfind::UnionFind;
use petgraph::visit::EdgeRef;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// Gives every population the clocks of its indices, by joining what projections connect.
pub fn clocks(names: &mut Names, wires: &Wires, output: Option<Output>, d: &mut Diagnostics) {
    let n = names.populations.len();
    let (query, context) = (|p: PopulationId| 2 * p.0, |p: PopulationId| 2 * p.0 + 1);
    let mut sets: UnionFind<usize> = UnionFind::new(2 * n);
    let mut clock: Vec<Option<usize>> = vec![None; 2 * n];
    for (i, p) in names.populations.iter().enumerate() {
        if let Kind::Relay { stream: Some(s), .. } = p.kind {
            let at = if p.indices.query { query(PopulationId(i)) } else { context(PopulationId(i)) };
            clock[at] = Some(names.streams[s].clock);
        }
    }
    let mut join = |a: usize,
                    b: usize,
                    (path, what, to): (&str, &str, PopulationId),
                    index: &str,
                    d: &mut Diagnostics| {
        let (ra, rb) = (sets.find_mut(a), sets.find_mut(b));
        if ra == rb {
            return;
        }
        let (ca, cb) = (clock[ra], clock[rb]);
        if let (Some(x), Some(y)) = (ca, cb)
            && x != y
        {
            let name = |c: usize| &names.streams[c].name;
            d.push(
                Diagnostic::error(
                    codes::C040,
                    path,
                    format!(
                        "the {index} index of `{}` follows the tokens of `{}`, but {what} brings those of `{}`",
                        names.populations[to.0].name,
                        name(y),
                        name(x)
                    ),
                )
                .help("one index follows one clock: give the streams a common `clock`, or use query for one and context for the other"),
            );
            return;
        }
        sets.union(ra, rb);
        let root = sets.find_mut(a);
        clock[root] = ca.or(cb);
    };
    for p in &wires.projections {
        if p.index == IndexRule::Error {
            continue;
        }
        let at = (p.path.as_str(), "this projection", p.to);
        let (s, t) = (names.populations[p.from.0].sends(), names.populations[p.to.0].indices);
        let memory = names.populations[p.from.0].accumulate.is_some();
        match p.index {
            IndexRule::Aligned => join(query(p.from), context(p.to), at, "context", d),
            _ => {
                if s.query && t.query && !memory {
                    join(query(p.from), query(p.to), at, "query", d);
                }
                if s.context && t.context {
                    join(context(p.from), context(p.to), at, "context", d);
                }
            }
        }
    }
    if let Some(Output::Signed { plus, minus }) = output
        && [plus, minus].iter().all(|id| names.populations[id.0].indices.query)
    {
        join(query(minus), query(plus), ("output", "its partner", plus), "query", d);
    }
    // A causal or strict sum has one clock for both indices: where nothing else tells, queries count what is summed.
    let mut open = true;
    while std::mem::take(&mut open) {
        for p in &wires.projections {
            let source = &names.populations[p.from.0];
            let mask = match p.index {
                IndexRule::SumContext(mask) => mask,
                IndexRule::Broadcast if source.accumulate.is_some() => source.mask,
                _ => continue,
            };
            let (q, c) = (sets.find_mut(query(p.to)), sets.find_mut(context(p.from)));
            let told = names.populations[p.to.0].indices.query && mask != MaskSpec::Full;
            if told && clock[q].is_none() && clock[c].is_some() {
                clock[q] = clock[c];
                open = true;
            }
        }
    }
    // Constants that are summed to divide a sum count what that sums.
    for p in wires.projections.iter().filter(|p| p.effect == Effect::Divisive) {
        let (summed, counted) = (sums_before(names, wires, p, false), sums_before(names, wires, p, true));
        let known = summed.into_iter().find_map(|from| clock[sets.find_mut(context(from))]);
        for from in counted {
            let root = sets.find_mut(context(from));
            clock[root] = clock[root].or(known);
        }
    }
    for i in 0..n {
        let p = &mut names.populations[i];
        let id = PopulationId(i);
        p.query_clock = if p.indices.query { clock[sets.find_mut(query(id))] } else { None };
        p.context_clock = if p.indices.context { clock[sets.find_mut(context(id))] } else { None };
    }
    masks(names, wires, d);
}

/// Sources that are summed over the context on the way to a compartment that `by` divides: of its divisor, or of what it divides.
fn sums_before(names: &Names, wires: &Wires, by: &Projection, divisor: bool) -> Vec<PopulationId> {
    let ends = |p: &Projection| (p.to, p.compartment);
    let first = |p: &&Projection| {
        if divisor { std::ptr::eq(*p, by) } else { ends(p) == ends(by) && p.effect == Effect::Additive }
    };
    let mut open: Vec<&Projection> = wires.projections.iter().filter(first).collect();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(p) = open.pop() {
        if matches!(p.index, IndexRule::SumContext(_)) || names.populations[p.from.0].accumulate.is_some() {
            found.push(p.from);
        } else if !names.populations[p.from.0].is_relay() && seen.insert(p.from) {
            open.extend(
                wires.projections.iter().filter(|q| q.to == p.from && q.compartment != Compartment::Third),
            );
        }
    }
    found
}

/// Sums need a clock; causal and strict ones need the same for both indices.
fn masks(names: &Names, wires: &Wires, d: &mut Diagnostics) {
    for p in &wires.projections {
        let (source, target) = (&names.populations[p.from.0], &names.populations[p.to.0]);
        let sums = matches!(p.index, IndexRule::SumContext(_)) || source.accumulate.is_some();
        if sums && p.index != IndexRule::Error && source.indices.context && source.context_clock.is_none() {
            d.push(
                Diagnostic::error(
                    codes::C047,
                    &p.path,
                    format!("`{}` is summed over a context that no token stream fills", source.name),
                )
                .help(format!(
                    "let a relay per [context] reach `{}`, or make it `per: [query]`",
                    source.name
                )),
            );
            continue;
        }
        let mask = match p.index {
            IndexRule::SumContext(mask) => mask,
            IndexRule::Broadcast if source.accumulate.is_some() => source.mask,
            _ => continue,
        };
        if mask == MaskSpec::Full {
            continue;
        }
        if let (Some(c), Some(q)) = (source.context_clock, target.query_clock)
            && c != q
        {
            d.push(
                Diagnostic::error(
                    codes::C041,
                    &p.path,
                    format!(
                        "a {} mask compares token numbers, but queries count tokens of `{}` and the context those of `{}`",
                        mask.name(),
                        names.streams[q].name,
                        names.streams[c].name
                    ),
                )
                .help("cross-attention between streams needs `mask: full`, or a common clock"),
            );
        }
    }
}

/// The circuit as a graph, in file order.
pub fn graph(names: &Names, wires: &Wires) -> DiGraph<PopulationId, ProjectionId> {
    let mut graph = DiGraph::with_capacity(names.populations.len(), wires.projections.len());
    for i in 0..names.populations.len() {
        graph.add_node(PopulationId(i));
    }
    for (i, p) in wires.projections.iter().enumerate() {
        graph.add_edge(NodeIndex::new(p.from.0), NodeIndex::new(p.to.0), ProjectionId(i));
    }
    graph
}

/// Who comes after whom.
pub struct Order {
    /// populations that the output depends on, each after its sources; ties go to the one earlier in the file
    pub sorted: Vec<PopulationId>,
    /// delayed projections that close a loop, among the populations above
    pub recurrent: Vec<ProjectionId>,
}

/// Orders what `roots` depend on.
///
/// Projections into `third` close no loop, delayed ones close it legally. A loop within a token step is reported.
pub fn order(
    names: &Names,
    wires: &Wires,
    graph: &DiGraph<PopulationId, ProjectionId>,
    roots: &[PopulationId],
    d: &mut Diagnostics,
) -> Order {
    let carries = |p: ProjectionId| {
        let p = &wires.projections[p.0];
        // Feedback elsewhere than into `third`, and inputs of an input relay, are mistakes of their own.
        p.compartment != Compartment::Third
            && p.signal == Signal::Rate
            && !matches!(names.populations[p.to.0].kind, Kind::Relay { stream: Some(_), .. })
    };
    let whole = graph.filter_map(|_, n| Some(*n), |_, e| carries(*e).then_some(*e));
    let mut group_of = vec![0; names.populations.len()];
    for (number, group) in kosaraju_scc(&whole).into_iter().enumerate() {
        for node in group {
            group_of[node.index()] = number;
        }
    }
    let closes = |p: ProjectionId| {
        let p = &wires.projections[p.0];
        p.delay_ms.is_some() && group_of[p.from.0] == group_of[p.to.0]
    };
    let step = whole.filter_map(|_, n| Some(*n), |_, e| (!closes(*e)).then_some(*e));
    // Not Tarjan's: that one recurses, and a chain of populations may be long.
    for group in kosaraju_scc(&step) {
        let own_loop = group.len() == 1 && step.find_edge(group[0], group[0]).is_some();
        if group.len() < 2 && !own_loop {
            continue;
        }
        let members: BTreeSet<NodeIndex> = group.iter().copied().collect();
        let cells: Vec<&str> = members.iter().map(|n| names.populations[n.index()].name.as_str()).collect();
        let first = step
            .edge_references()
            .filter(|e| members.contains(&e.source()) && members.contains(&e.target()))
            .map(|e| *e.weight())
            .max();
        let path = first.map_or(String::new(), |p| wires.projections[p.0].path.clone());
        d.push(
            Diagnostic::error(
                codes::C042,
                path,
                format!("a loop within one token step: {}", cells.join(", ")),
            )
            .help("break the loop; with a `delay` on one of its projections it is legal for cells in time, but not attention"),
        );
    }
    if d.has_errors() {
        return Order { sorted: Vec::new(), recurrent: Vec::new() };
    }
    let mut needed: BTreeSet<NodeIndex> = BTreeSet::new();
    let mut open: Vec<NodeIndex> = roots.iter().map(|r| NodeIndex::new(r.0)).collect();
    while let Some(node) = open.pop() {
        if needed.insert(node) {
            // Delayed inputs are needed too, only not earlier in the step.
            for edge in graph.edges_directed(node, petgraph::Direction::Incoming) {
                if wires.projections[edge.weight().0].compartment != Compartment::Third {
                    open.push(edge.source());
                }
            }
        }
    }
    let mut waiting: Vec<usize> = vec![0; names.populations.len()];
    for edge in step.edge_references() {
        if needed.contains(&edge.source()) && needed.contains(&edge.target()) {
            waiting[edge.target().index()] += 1;
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        needed.iter().filter(|n| waiting[n.index()] == 0).map(|n| Reverse(n.index())).collect();
    let mut sorted = Vec::with_capacity(needed.len());
    while let Some(Reverse(i)) = ready.pop() {
        sorted.push(PopulationId(i));
        for edge in step.edges(NodeIndex::new(i)) {
            let t = edge.target();
            if needed.contains(&t) {
                waiting[t.index()] -= 1;
                if waiting[t.index()] == 0 {
                    ready.push(Reverse(t.index()));
                }
            }
        }
    }
    let recurrent = whole
        .edge_references()
        .filter(|e| needed.contains(&e.source()) && needed.contains(&e.target()))
        .map(|e| *e.weight())
        .filter(|e| closes(*e))
        .collect();
    Order { sorted, recurrent }
}

/// In time, all masks must agree.
pub fn layout(layout: &LayoutSpec, names: &Names, wires: &Wires, d: &mut Diagnostics) {
    if !matches!(layout, LayoutSpec::Time { .. }) {
        return;
    }
    let mut masks: Vec<(MaskSpec, &str)> = names
        .populations
        .iter()
        .filter(|p| p.accumulate.is_some())
        .map(|p| (p.mask, p.path.as_str()))
        .chain(wires.projections.iter().filter_map(|p| match p.index {
            IndexRule::SumContext(m) => Some((m, p.path.as_str())),
            _ => None,
        }))
        .collect();
    masks.dedup_by_key(|m| m.0);
    if let [(first, _), (second, path), ..] = masks[..] {
        d.push(
            Diagnostic::error(
                codes::C043,
                path,
                format!(
                    "tokens in time need one mask, but this one is {} and another {}",
                    second.name(),
                    first.name()
                ),
            )
            .help("give all areas the same mask, or lay the tokens out in space"),
        );
    }
}
