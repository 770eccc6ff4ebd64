//! Which populations are functions of their own token alone, and which of those are more than a factor of a head.
//!
//! A population is *tokenwise* if it has one token index, accumulates nothing and reads relays, `tonic` and tokenwise
//! populations without a sum. The factor form can write a linear form, one elementwise function of it, and the product of a
//! key and a value; everything else that is tokenwise is a *map* (`maps`).

use crate::circuit::{Circuit, Compartment, IndexRule, Kind, PopulationId, Projection, ProjectionId};
use crate::spec::Effect;
use crate::vocabulary::{Activation, Function};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::NodeIndex;
use std::collections::{BTreeMap, BTreeSet};

/// What a tokenwise population is to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Constant,
    /// linear in relays
    Linear,
    /// linear in maps, perhaps in relays too
    Beyond,
    /// an elementwise function of linear cells
    Feature,
    /// a product of two cells of a context token: key times value
    Pair,
    Map,
}

/// The tokenwise populations of a circuit.
#[derive(Clone, Debug, Default)]
pub struct Tokenwise {
    shapes: BTreeMap<PopulationId, Shape>,
    /// relays that divide what they receive, all of it tokenwise
    relays: BTreeSet<PopulationId>,
    /// delayed loops, each in order of evaluation
    loops: Vec<Vec<PopulationId>>,
    /// a projection that closes a loop of other populations
    stray: Option<ProjectionId>,
}

impl Tokenwise {
    pub fn of(circuit: &Circuit) -> Self {
        let mut found = Self { loops: loops(circuit), ..Self::default() };
        let mut candidates: BTreeSet<PopulationId> = circuit
            .order
            .iter()
            .copied()
            .filter(|id| {
                let p = circuit.population(*id);
                matches!(p.kind, Kind::Cells { .. })
                    && p.accumulate.is_none()
                    && p.indices.query != p.indices.context
            })
            .collect();
        let reads = |candidates: &BTreeSet<PopulationId>, id: PopulationId| {
            inputs(circuit, id).all(|(_, p)| {
                let source = circuit.population(p.from);
                !matches!(p.index, IndexRule::SumContext(_))
                    && (!matches!(source.kind, Kind::Cells { .. }) || candidates.contains(&p.from))
            })
        };
        loop {
            let kept: BTreeSet<PopulationId> =
                candidates.iter().copied().filter(|id| reads(&candidates, *id)).collect();
            if kept.len() == candidates.len() {
                break;
            }
            candidates = kept;
        }
        for id in &circuit.order {
            let p = circuit.population(*id);
            let shape = match p.kind {
                Kind::Tonic => Shape::Constant,
                Kind::Relay { .. } => {
                    if reads(&candidates, *id) && found.divides(circuit, *id) {
                        found.relays.insert(*id);
                    }
                    Shape::Linear
                }
                Kind::Cells { .. } if !candidates.contains(id) => continue,
                Kind::Cells { .. } => found.shape(circuit, *id),
            };
            found.shapes.insert(*id, shape);
        }
        found.stray = circuit.recurrent.iter().copied().find(|number| {
            let p = circuit.projection(*number);
            let same = circuit.population(p.from).indices == circuit.population(p.to).indices;
            !(same && candidates.contains(&p.from) && candidates.contains(&p.to))
        });
        found
    }

    fn shape(&self, circuit: &Circuit, id: PopulationId) -> Shape {
        let p = circuit.population(id);
        if self.loop_of(id).is_some() || self.divides(circuit, id) {
            return Shape::Map;
        }
        let side = |c: Compartment| {
            inputs(circuit, id)
                .filter(|(_, q)| q.compartment == c && q.effect == Effect::Additive)
                .map(|(_, q)| match self.shapes.get(&q.from) {
                    Some(Shape::Map) => Shape::Beyond,
                    Some(shape) => *shape,
                    None => Shape::Linear,
                })
                .max()
                .unwrap_or(Shape::Constant)
        };
        let (basal, apical) = (side(Compartment::Basal), side(Compartment::Apical));
        let (least, most) = (basal.min(apical), basal.max(apical));
        match p.activation {
            Activation::Product if least == Shape::Constant => most,
            Activation::Product if p.indices.context && most <= Shape::Feature => Shape::Pair,
            Activation::Product => Shape::Map,
            activation if activation.is_linear() || most == Shape::Constant => most,
            Activation::Function(f) if most == Shape::Linear && !matches!(f, Function::Power(_)) => {
                Shape::Feature
            }
            _ => Shape::Map,
        }
    }

    /// Does something that is no constant divide it?
    fn divides(&self, circuit: &Circuit, id: PopulationId) -> bool {
        inputs(circuit, id)
            .any(|(_, p)| p.effect == Effect::Divisive && self.shapes.get(&p.from) != Some(&Shape::Constant))
    }

    /// A function of its own token.
    pub fn contains(&self, id: PopulationId) -> bool {
        self.shapes.contains_key(&id)
    }

    /// What no factor of a head can be: relays that divide, and populations.
    pub fn maps(&self) -> BTreeSet<PopulationId> {
        let maps = self.shapes.iter().filter(|(_, shape)| **shape == Shape::Map).map(|(id, _)| *id);
        maps.chain(self.relays.iter().copied()).collect()
    }

    /// The delayed loop that a population is part of, in order of evaluation.
    pub fn loop_of(&self, id: PopulationId) -> Option<&[PopulationId]> {
        self.loops.iter().find(|members| members.contains(&id)).map(Vec::as_slice)
    }

    /// A projection that closes a loop which is no map.
    pub fn stray_loop(&self) -> Option<ProjectionId> {
        self.stray
    }
}

/// Projections that its rate depends on.
pub fn inputs(circuit: &Circuit, id: PopulationId) -> impl Iterator<Item = (ProjectionId, &Projection)> {
    circuit.inputs_of(id).filter(|(_, p)| p.compartment != Compartment::Third)
}

/// The populations of each delayed loop, in order of evaluation.
fn loops(circuit: &Circuit) -> Vec<Vec<PopulationId>> {
    if circuit.recurrent.is_empty() {
        return Vec::new();
    }
    let place: BTreeMap<PopulationId, usize> = circuit.order.iter().copied().zip(0..).collect();
    let known = |n: NodeIndex| place.contains_key(&PopulationId(n.index()));
    let graph = circuit.graph.filter_map(
        |_, n| Some(*n),
        |e, number| {
            let (from, to) = circuit.graph.edge_endpoints(e)?;
            let reads = circuit.projection(*number).compartment != Compartment::Third;
            (reads && known(from) && known(to)).then_some(*number)
        },
    );
    let mut found: Vec<Vec<PopulationId>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|group| group.len() > 1 || graph.contains_edge(group[0], group[0]))
        .map(|group| {
            let mut members: Vec<PopulationId> = group.iter().map(|n| PopulationId(n.index())).collect();
            members.sort_by_key(|id| place.get(id));
            members
        })
        .collect();
    found.sort();
    found
}
