//! From a circuit to what is drawn of it: all cells of up to eight areas; beyond that areas that are alike share a box,
//! and if that is not enough neighbours do, with counts instead of cells.

use super::model::{self, Area, Node, OTHER, Shape, Sketch};
use super::words;
use pulvinar::circuit::{Circuit, Indices, Kind, Population, PopulationId};
use std::collections::BTreeMap;

/// Boxes in one drawing.
const MOST_AREAS: usize = 8;
/// Populations in one drawing; one or two areas may have more, as a box would show little of them.
const MOST_CELLS: usize = 24;
const MOST_OF_TWO: usize = 64;

/// What is drawn of the circuit.
pub(super) fn sketch(circuit: &Circuit) -> Sketch {
    let depth = depths(circuit);
    let order = areas_in_order(circuit, &depth);
    let single: Vec<Vec<usize>> = order.iter().map(|a| vec![*a]).collect();
    if fits(circuit, &single) {
        return detailed(circuit, &single, &depth);
    }
    let groups = alike(circuit, &order);
    if fits(circuit, &groups) {
        return detailed(circuit, &groups, &depth);
    }
    boxes(circuit, &groups)
}

fn fits(circuit: &Circuit, groups: &[Vec<usize>]) -> bool {
    let cells: usize = groups.iter().map(|g| populations(circuit, g[0]).len()).sum();
    let most = if groups.len() <= 2 { MOST_OF_TWO } else { MOST_CELLS };
    groups.len() <= MOST_AREAS && cells <= most
}

fn populations(circuit: &Circuit, area: usize) -> Vec<PopulationId> {
    (0..circuit.populations.len())
        .filter(|i| circuit.populations[*i].kind == Kind::Cells { area })
        .map(PopulationId)
        .collect()
}

fn relays(circuit: &Circuit) -> Vec<PopulationId> {
    let all = (0..circuit.populations.len()).map(PopulationId);
    all.filter(|id| circuit.population(*id).is_relay()).collect()
}

/// Number of projections on the longest way from the tokens; what the output does not depend on comes last.
fn depths(circuit: &Circuit) -> Vec<usize> {
    let mut depth = vec![usize::MAX; circuit.populations.len()];
    for id in &circuit.order {
        let sources = circuit.inputs_of(*id).map(|(_, p)| depth[p.from.0]);
        depth[id.0] = sources.filter(|d| *d != usize::MAX).max().map_or(0, |d| d + 1);
    }
    depth
}

fn areas_in_order(circuit: &Circuit, depth: &[usize]) -> Vec<usize> {
    let first = |area: &usize| populations(circuit, *area).iter().map(|p| depth[p.0]).min();
    let mut order: Vec<usize> = (0..circuit.areas.len()).collect();
    order.retain(|a| first(a).is_some());
    order.sort_by_key(|a| (first(a), *a));
    order
}

/// Areas of the same cells between the same partners, in order of the first of each kind.
fn alike(circuit: &Circuit, order: &[usize]) -> Vec<Vec<usize>> {
    let mut number: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &area in order {
        let signature = signature(circuit, area);
        match number.get(&signature) {
            Some(g) => groups[*g].push(area),
            None => {
                number.insert(signature, groups.len());
                groups.push(vec![area]);
            }
        }
    }
    groups
}

fn signature(circuit: &Circuit, area: usize) -> String {
    let own = populations(circuit, area);
    let name = |id: PopulationId| match own.iter().position(|o| *o == id) {
        Some(n) => format!("own {n}"),
        None => circuit.population(id).name.clone(),
    };
    let mut parts: Vec<String> = Vec::new();
    for id in &own {
        let p: &Population = circuit.population(*id);
        let local = p.name.rsplit('.').next().unwrap_or_default();
        parts.push(format!(
            "{local} {:?} {:?} {} {} {:?} {:?} {:?}",
            p.layer, p.cell_type, p.microcolumns, p.cells, p.indices, p.activation, p.accumulate
        ));
    }
    let mut wires: Vec<String> = circuit
        .projections
        .iter()
        .filter(|p| own.contains(&p.from) || own.contains(&p.to))
        .map(|p| {
            let (from, to) = (name(p.from), name(p.to));
            format!("{from} {:?} {to} {:?} {:?} {:?}", p.signal, p.compartment, model::ending(p), p.index)
        })
        .collect();
    wires.sort();
    parts.extend(wires);
    parts.join("\n")
}

fn group_name(circuit: &Circuit, group: &[usize]) -> String {
    let name = |area: usize| words::shortened(&circuit.areas[area]);
    match group {
        [one] => name(*one),
        [first, .., last] => format!("{} \u{2026} {}", name(*first), name(*last)),
        [] => String::new(),
    }
}

/// Every cell of the first area of each group.
fn detailed(circuit: &Circuit, groups: &[Vec<usize>], depth: &[usize]) -> Sketch {
    let mut nodes: Vec<Node> = Vec::new();
    let mut areas: Vec<Area> = Vec::new();
    let mut place: Vec<Option<usize>> = vec![None; circuit.populations.len()];
    for group in groups {
        let mut own = populations(circuit, group[0]);
        // Those that a signal meets first stand on the left.
        own.sort_by_key(|id| (depth[id.0], *id));
        let first = nodes.len();
        for id in &own {
            nodes.push(model::node(circuit, *id, Some(areas.len())));
        }
        let rank = populations(circuit, group[0]);
        for area in &group[..] {
            for (n, id) in populations(circuit, *area).into_iter().enumerate() {
                let at = own.iter().position(|o| *o == rank[n]).unwrap_or(0);
                place[id.0] = Some(first + at);
                if *area != group[0] {
                    nodes[first + at].populations.push(id);
                }
            }
        }
        let note = if group.len() > 1 { format!("{} areas alike", group.len()) } else { String::new() };
        areas.push(Area {
            name: group_name(circuit, group),
            note,
            nodes: (first..nodes.len()).collect(),
            count: group.len(),
        });
    }
    for id in relays(circuit) {
        place[id.0] = Some(nodes.len());
        nodes.push(model::node(circuit, id, None));
    }
    finished(circuit, areas, nodes, &place, false)
}

/// Boxes of neighbouring areas, their cells counted.
fn boxes(circuit: &Circuit, groups: &[Vec<usize>]) -> Sketch {
    let each = groups.len().div_ceil(MOST_AREAS).max(1);
    let mut nodes: Vec<Node> = Vec::new();
    let mut areas: Vec<Area> = Vec::new();
    let mut place: Vec<Option<usize>> = vec![None; circuit.populations.len()];
    for chunk in groups.chunks(each) {
        let members: Vec<usize> = chunk.iter().flatten().copied().collect();
        let own: Vec<PopulationId> = members.iter().flat_map(|a| populations(circuit, *a)).collect();
        own.iter().for_each(|id| place[id.0] = Some(nodes.len()));
        let inside = |id: PopulationId| own.contains(&id);
        let within = circuit.projections.iter().filter(|p| inside(p.from) && inside(p.to)).count();
        let cells = own.iter().fold(0usize, |n, id| n.saturating_add(circuit.population(*id).size()));
        let name = group_name(circuit, &members);
        let mut lines = Vec::new();
        if members.len() > 1 {
            lines.push(words::counted(members.len(), "area"));
        }
        lines.push(words::counted(own.len(), "population"));
        lines.push(words::counted(cells, "cell"));
        lines.push(format!("{} inside", words::counted(within, "projection")));
        areas.push(Area {
            name: String::new(),
            note: String::new(),
            nodes: vec![nodes.len()],
            count: members.len(),
        });
        nodes.push(Node {
            name,
            lines,
            shape: Shape::Areas,
            band: OTHER,
            indices: Indices::default(),
            product: false,
            memory: false,
            tuft: false,
            part: None,
            input: None,
            output: None,
            area: Some(areas.len() - 1),
            populations: own,
        });
    }
    let relays = relays(circuit);
    let mut number: BTreeMap<String, usize> = BTreeMap::new();
    for id in relays {
        let mut node = model::node(circuit, id, None);
        let partner = |other: PopulationId| place[other.0].filter(|n| nodes[*n].shape == Shape::Areas);
        let ends = |of: &dyn Fn(&pulvinar::circuit::Projection) -> Option<PopulationId>| {
            let mut all: Vec<usize> = circuit.projections.iter().filter_map(of).filter_map(partner).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        // Relays of one pathway that serve the same box go together: by what they receive, or else by what they send.
        let into = ends(&|p| (p.to == id).then_some(p.from));
        let out = ends(&|p| (p.from == id).then_some(p.to));
        let served = if into.is_empty() { format!("to {out:?}") } else { format!("from {into:?}") };
        let key = format!(
            "{:?} {:?} {:?} {:?} {:?} {served}",
            node.shape, node.part, node.indices, node.input, node.output
        );
        let known = number.get(&key).copied();
        let at = known.unwrap_or(nodes.len());
        place[id.0] = Some(at);
        if known.is_some() {
            nodes[at].populations.push(id);
        } else {
            number.insert(key, at);
            node.lines.truncate(2);
            nodes.push(node);
        }
    }
    for node in nodes.iter_mut().filter(|n| n.shape != Shape::Areas) {
        if let [first, .., last] = node.populations[..] {
            let name = |id| words::shortened(&circuit.population(id).name);
            node.name = format!("{} \u{2026} {}", name(first), name(last));
            node.lines = vec![words::counted(node.populations.len(), "relay")];
        }
    }
    finished(circuit, areas, nodes, &place, true)
}

fn finished(
    circuit: &Circuit,
    areas: Vec<Area>,
    nodes: Vec<Node>,
    place: &[Option<usize>],
    collapsed: bool,
) -> Sketch {
    let mut links = model::links(circuit, &nodes, place);
    if collapsed {
        // Inside a box nothing is shown; its text has the number.
        links.retain(|l| l.from != Some(l.to) || nodes[l.to].populations.len() == 1);
    }
    Sketch {
        title: words::cut(&circuit.name, 60),
        subtitle: model::subtitle(circuit),
        areas,
        nodes,
        links,
        collapsed,
    }
}
