//! The resolved circuit: names are ids, shapes and indices are known, weights are numbers.

use super::synapses::Synapses;
use crate::spec::{
    AccumulateSpec, ActivationSpec, CellOptions, Effect, InputSpec, LayoutSpec, MaskSpec, Part, Pathway,
    Places, PlasticitySpec, PositionsSpec, Sign,
};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

/// Number of a population in [`Circuit::populations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PopulationId(pub usize);

/// Number of a projection in [`Circuit::projections`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionId(pub usize);

/// A stream of tokens; streams of equal `clock` share the token index.
#[derive(Clone, Debug)]
pub struct Stream {
    pub name: String,
    pub d_model: usize,
    pub input: Option<InputSpec>,
    /// its tokens are functions of their number
    pub positions: Option<PositionsSpec>,
    /// number of the stream that owns the clock
    pub clock: usize,
}

/// Over which token indices a population is replicated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Indices {
    pub query: bool,
    pub context: bool,
}

/// What a population is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// the reserved one-cell population of value 1
    Tonic,
    /// a thalamic relay; `stream` is set when it carries tokens in
    Relay { pathway: Pathway, stream: Option<usize>, part: Option<Part> },
    /// cells of a cortical area
    Cells { area: usize },
}

/// A population of cells: `microcolumns x cells`, addressed microcolumn-major.
#[derive(Clone, Debug)]
pub struct Population {
    /// `VP_core` or `A1.superficial`
    pub name: String,
    /// where it stands in the file: `thalamus.VP_core`, `areas.A1.populations.superficial`
    pub path: String,
    pub kind: Kind,
    pub microcolumns: usize,
    pub cells: usize,
    pub indices: Indices,
    pub activation: ActivationSpec,
    pub accumulate: Option<AccumulateSpec>,
    /// which token pairs its columns exist for, or which state its memory sends
    pub mask: MaskSpec,
    pub layer: Option<String>,
    pub cell_type: Option<String>,
    pub options: CellOptions,
    /// clocks of its two indices, by number of the owning stream
    pub query_clock: Option<usize>,
    pub context_clock: Option<usize>,
}

/// Where on a cell a projection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compartment {
    Basal,
    Apical,
    Gate,
    Third,
}

/// What a projection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Rate,
    /// third x derivative of the rate by what is added up in the compartment, or by what divides it
    Feedback(Compartment, Effect),
}

/// What happens to the token indices on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexRule {
    /// every index of the source is one of the target; others are broadcast
    Broadcast,
    /// sums the context over the mask
    SumContext(MaskSpec),
    /// `[query]` to `[context]`: j := i
    Aligned,
    /// into `third`: a query that only the source has is summed
    Error,
}

/// Weights that are another projection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    pub to: ProjectionId,
    pub transposed: bool,
}

/// A resolved projection.
#[derive(Clone, Debug)]
pub struct Projection {
    pub name: String,
    pub path: String,
    pub from: PopulationId,
    pub signal: Signal,
    pub to: PopulationId,
    pub compartment: Compartment,
    pub synapses: Synapses,
    pub effect: Effect,
    pub index: IndexRule,
    pub sign: Option<Sign>,
    pub plasticity: Option<PlasticitySpec>,
    pub delay_ms: Option<f64>,
    pub tied: bool,
    pub tie: Option<Tie>,
}

/// The relay (or pair of relays) that the circuit's answer is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Relay(PopulationId),
    /// plus minus minus
    Signed {
        plus: PopulationId,
        minus: PopulationId,
    },
}

/// A wired circuit.
#[derive(Clone, Debug)]
pub struct Circuit {
    pub name: String,
    pub seed: u64,
    pub streams: Vec<Stream>,
    pub areas: Vec<String>,
    pub populations: Vec<Population>,
    pub projections: Vec<Projection>,
    pub output: Output,
    pub mask: MaskSpec,
    pub layout: LayoutSpec,
    /// populations as nodes (weight: id), projections as edges; both in file order
    pub graph: DiGraph<PopulationId, ProjectionId>,
    /// populations that the output depends on, each after its sources (not counting `third` and delays)
    pub order: Vec<PopulationId>,
    /// delayed projections that close a loop among them
    pub recurrent: Vec<ProjectionId>,
    /// every population, each after its sources: also teachers and errors, which the output does not depend on
    pub whole: Vec<PopulationId>,
    /// delayed projections that close a loop anywhere
    pub loops: Vec<ProjectionId>,
    /// where it stands in its file
    pub places: Places,
}

impl Population {
    /// Number of cells for each token (pair).
    #[must_use]
    pub fn size(&self) -> usize {
        self.microcolumns * self.cells
    }

    /// Indices of what it sends: an accumulating population sends its state, one for each query token.
    #[must_use]
    pub fn sends(&self) -> Indices {
        if self.accumulate.is_some() { Indices { query: true, context: false } } else { self.indices }
    }

    #[must_use]
    pub fn is_relay(&self) -> bool {
        matches!(self.kind, Kind::Relay { .. })
    }
}

impl Projection {
    /// Does it take part in what cells send? Errors do not.
    #[must_use]
    pub fn carries_rates(&self) -> bool {
        self.compartment != Compartment::Third && self.signal == Signal::Rate
    }
}

impl Circuit {
    /// For each population the number of the loop through delays that it lies in, if there is one.
    #[must_use]
    pub fn loop_numbers(&self) -> Vec<Option<usize>> {
        let carries = |p: ProjectionId| self.projection(p).carries_rates().then_some(p);
        let rates = self.graph.filter_map(|_, n| Some(*n), |_, e| carries(*e));
        let mut numbers = vec![None; self.populations.len()];
        for (number, group) in kosaraju_scc(&rates).into_iter().enumerate() {
            if group.len() > 1 || rates.find_edge(group[0], group[0]).is_some() {
                group.iter().for_each(|node| numbers[node.index()] = Some(number));
            }
        }
        numbers
    }

    #[must_use]
    pub fn population(&self, id: PopulationId) -> &Population {
        &self.populations[id.0]
    }

    #[must_use]
    pub fn projection(&self, id: ProjectionId) -> &Projection {
        &self.projections[id.0]
    }

    /// Projections that end on `id`, in file order.
    pub fn inputs_of(&self, id: PopulationId) -> impl Iterator<Item = (ProjectionId, &Projection)> {
        let mut ids: Vec<ProjectionId> = self
            .graph
            .edges_directed(petgraph::graph::NodeIndex::new(id.0), petgraph::Direction::Incoming)
            .map(|e| *e.weight())
            .collect();
        ids.sort_unstable();
        ids.into_iter().map(|p| (p, self.projection(p)))
    }

    /// Number of synapses as written: entries of all weight matrices, broadcasts counted once.
    #[must_use]
    pub fn synapse_count(&self) -> usize {
        self.projections.iter().map(|p| p.synapses.count()).sum()
    }
}

impl Indices {
    /// `[query, context]` and so on.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match (self.query, self.context) {
            (true, true) => "[query, context]",
            (true, false) => "[query]",
            (false, true) => "[context]",
            (false, false) => "[]",
        }
    }
}

impl Compartment {
    pub const NAMES: [(&'static str, Self); 4] =
        [("basal", Self::Basal), ("apical", Self::Apical), ("gate", Self::Gate), ("third", Self::Third)];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Basal => "basal",
            Self::Apical => "apical",
            Self::Gate => "gate",
            Self::Third => "third",
        }
    }
}
