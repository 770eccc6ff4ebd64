//! In which order the cells of a map are evaluated.

use super::{Source, TokenMap};
use crate::linalg::Real;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// Cells that are evaluated at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// one population that does not read itself
    Single(usize),
    /// populations that read each other in a circle, by rising number: they settle together
    Loop(Vec<usize>),
}

impl Group {
    /// Its cells.
    #[must_use]
    pub fn cells(&self) -> &[usize] {
        match self {
            Self::Single(cell) => std::slice::from_ref(cell),
            Self::Loop(cells) => cells,
        }
    }
}

/// All cells of a map whose arrows fit, each group behind all that it reads.
#[must_use]
pub fn order<T: Real>(map: &TokenMap<T>) -> Vec<Group> {
    let mut graph: DiGraph<(), ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = map.cells.iter().map(|_| graph.add_node(())).collect();
    for (target, cells) in map.cells.iter().enumerate() {
        for arrow in cells.arrows() {
            if let Source::Cells(source) = arrow.source {
                graph.update_edge(nodes[source], nodes[target], ());
            }
        }
    }
    let reads_itself = |cell: usize| graph.contains_edge(nodes[cell], nodes[cell]);
    let group = |component: Vec<NodeIndex>| {
        let mut cells: Vec<usize> = component.into_iter().map(NodeIndex::index).collect();
        cells.sort_unstable();
        if cells.len() == 1 && !reads_itself(cells[0]) { Group::Single(cells[0]) } else { Group::Loop(cells) }
    };
    let mut groups: Vec<Group> = kosaraju_scc(&graph).into_iter().map(group).collect();
    groups.reverse();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::token_map::{Arrow, Compartment, MapCells, Response, Weights};
    use crate::attention::{FeatureMap, TokenMap};

    /// Cells of one cell each; `reads[c]` are those that cells `c` read.
    fn map(reads: &[&[usize]]) -> TokenMap {
        let arrow = |c: &usize| Arrow { source: Source::Cells(*c), weights: Weights::Identity(1.0) };
        let cells = |(c, reads): (usize, &&[usize])| MapCells {
            name: format!("c{c}"),
            n: 1,
            basal: Compartment::sum(reads.iter().map(arrow).collect()),
            apical: Compartment::default(),
            activation: Response::Function(FeatureMap::Identity),
        };
        TokenMap {
            name: "map".into(),
            clock_stream: "x".into(),
            inputs: Vec::new(),
            cells: reads.iter().enumerate().map(cells).collect(),
            output: Vec::new(),
        }
    }

    type Numbers = &'static [&'static [usize]];

    #[test]
    fn sources_stand_before_their_targets_and_circles_together() {
        let cases: &[(&str, Numbers, Numbers)] = &[
            ("a chain written backwards", &[&[1], &[2], &[]], &[&[2], &[1], &[0]]),
            ("cells that read themselves", &[&[0]], &[&[0]]),
            ("a circle between two others", &[&[1], &[3, 2], &[1], &[]], &[&[3], &[1, 2], &[0]]),
        ];
        for (claim, reads, want) in cases {
            let got = order(&map(reads));
            assert_eq!(got.iter().map(Group::cells).collect::<Vec<_>>(), *want, "{claim}");
        }
        assert_eq!(order(&map(&[&[0]])), [Group::Loop(vec![0])]);
        assert_eq!(order(&map(&[&[]])), [Group::Single(0)]);
    }
}
