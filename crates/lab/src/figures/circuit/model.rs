//! What a drawing shows, before anything has a place: areas, cells, relays and the bundles of projections between them.

use super::words;
use pulvinar::circuit::{
    Circuit, Compartment, IndexRule, Indices, Kind, Output, Population, PopulationId, Projection,
    ProjectionId, Signal, Weights,
};
use pulvinar::spec::{ActivationSpec, Effect, Part, Pathway};

/// Bands from top to bottom. Populations without a layer have one of their own, below the layers.
pub(super) const BANDS: [&str; 8] = ["L1", "L2/3", "L4", "L5", "L6", "no layer", "core", "matrix"];
/// The band of populations without a layer, and of areas that are drawn as boxes.
pub(super) const OTHER: usize = 5;
pub(super) const CORE: usize = 6;
pub(super) const MATRIX: usize = 7;

/// The shape of a cell body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// a triangle with an apical dendrite
    Pyramid,
    Interneuron,
    Stellate,
    /// the file does not say what it is
    Cell,
    Relay(Pathway),
    /// areas, their cells not shown
    Areas,
}

/// Cells, a relay, or areas that are not shown in detail.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    /// size, indices, nonlinearity, memory
    pub lines: Vec<String>,
    pub shape: Shape,
    /// number in the list of bands, top to bottom
    pub band: usize,
    pub indices: Indices,
    /// the cell multiplies its compartments
    pub product: bool,
    /// the cell accumulates over the context
    pub memory: bool,
    /// it has an apical dendrite: pyramids, and what receives apical input
    pub tuft: bool,
    pub part: Option<Part>,
    /// tokens come in here: name of the stream
    pub input: Option<String>,
    /// the answer is read here
    pub output: Option<&'static str>,
    /// number in [`Sketch::areas`]
    pub area: Option<usize>,
    pub populations: Vec<PopulationId>,
}

/// One box: an area, or several that are alike.
#[derive(Clone, Debug)]
pub struct Area {
    pub name: String,
    pub note: String,
    pub nodes: Vec<usize>,
    /// how many it stands for
    pub count: usize,
}

/// How a projection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// no weight below zero
    Excitatory,
    /// no weight above zero
    Inhibitory,
    /// weights of both signs
    Signed,
    Divisive,
}

/// Projections between the same two nodes with the same ending.
#[derive(Clone, Debug)]
pub struct Link {
    /// none: `tonic`
    pub from: Option<usize>,
    pub to: usize,
    pub compartment: Compartment,
    pub ending: Ending,
    /// it ends on `third`: of use for learning only
    pub learning: bool,
    pub label: String,
    pub projections: Vec<ProjectionId>,
}

/// Everything that is drawn.
#[derive(Clone, Debug)]
pub struct Sketch {
    pub title: String,
    pub subtitle: String,
    /// left to right
    pub areas: Vec<Area>,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    /// cells are not shown
    pub collapsed: bool,
}

/// A population as a node of its own.
pub(super) fn node(circuit: &Circuit, id: PopulationId, area: Option<usize>) -> Node {
    let p = circuit.population(id);
    let (shape, band) = match &p.kind {
        Kind::Relay { pathway, .. } => {
            (Shape::Relay(*pathway), if *pathway == Pathway::Core { CORE } else { MATRIX })
        }
        _ => (shape(circuit, id, p), band(p.layer.as_deref())),
    };
    let (part, input) = match &p.kind {
        Kind::Relay { part, stream, .. } => (*part, stream.map(|s| circuit.streams[s].name.clone())),
        _ => (None, None),
    };
    let apical = circuit.inputs_of(id).any(|(_, q)| q.compartment == Compartment::Apical);
    Node {
        tuft: band < CORE && (shape == Shape::Pyramid || apical),
        name: words::shortened(p.name.rsplit('.').next().unwrap_or(&p.name)),
        lines: words::about(p, BANDS[band]),
        shape,
        band,
        indices: p.indices,
        product: p.activation == ActivationSpec::Product,
        memory: p.accumulate.is_some(),
        part,
        input: input.map(|name| words::shortened(&name)),
        output: output(circuit, id),
        area,
        populations: vec![id],
    }
}

fn shape(circuit: &Circuit, id: PopulationId, p: &Population) -> Shape {
    match p.cell_type.as_deref() {
        Some("interneuron") => Shape::Interneuron,
        Some("stellate") => Shape::Stellate,
        Some(_) => Shape::Pyramid,
        // Two compartments are those of a pyramid.
        None if circuit.inputs_of(id).any(|(_, q)| q.compartment == Compartment::Apical) => Shape::Pyramid,
        None => Shape::Cell,
    }
}

fn band(layer: Option<&str>) -> usize {
    match layer {
        Some("L1") => 0,
        Some("L2" | "L3" | "L2/3") => 1,
        Some("L4") => 2,
        Some("L5" | "L5/6") => 3,
        Some("L6") => 4,
        _ => OTHER,
    }
}

fn output(circuit: &Circuit, id: PopulationId) -> Option<&'static str> {
    match circuit.output {
        Output::Relay(r) if r == id => Some("output"),
        Output::Signed { plus, .. } if plus == id => Some("output +"),
        Output::Signed { minus, .. } if minus == id => Some("output \u{2212}"),
        _ => None,
    }
}

/// The sign of the weights as they are, gain included.
pub(super) fn ending(p: &Projection) -> Ending {
    if p.effect == Effect::Divisive {
        return Ending::Divisive;
    }
    let has = |wrong: fn(f64) -> bool| match &p.synapses.weights {
        Weights::Dense(m) => m.iter().any(|x| wrong(*x)),
        other => other.entries() > 0 && wrong(other.get(0, 0)),
    };
    match (has(|x| x > 0.0), has(|x| x < 0.0)) {
        (true, true) => Ending::Signed,
        (false, true) => Ending::Inhibitory,
        _ => Ending::Excitatory,
    }
}

/// Bundles of projections; `place` says which node a population is part of. What stays inside a node is left out.
pub(super) fn links(circuit: &Circuit, nodes: &[Node], place: &[Option<usize>]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for (number, p) in circuit.projections.iter().enumerate() {
        let tonic = circuit.population(p.from).kind == Kind::Tonic;
        let from = place[p.from.0];
        let Some(to) = place[p.to.0] else { continue };
        if from.is_none() && !tonic {
            continue;
        }
        let many = nodes[to].populations.len() > 1 && from == Some(to);
        if many && nodes[to].populations.iter().any(|id| *id != p.from) {
            continue;
        }
        // A box has no compartments to tell apart.
        let boxed = nodes[to].shape == Shape::Areas;
        let learning = p.compartment == Compartment::Third || p.signal != Signal::Rate;
        let compartment = if boxed { Compartment::Basal } else { p.compartment };
        let ending = ending(p);
        let same = |l: &&mut Link| {
            l.from == from
                && l.to == to
                && l.compartment == compartment
                && l.ending == ending
                && l.learning == learning
        };
        match links.iter_mut().find(same) {
            Some(link) => link.projections.push(ProjectionId(number)),
            None => links.push(Link {
                from,
                to,
                compartment,
                ending,
                learning,
                label: String::new(),
                projections: vec![ProjectionId(number)],
            }),
        }
    }
    for link in &mut links {
        link.label = label(circuit, link);
    }
    links
}

/// The name of one, the names of two, the first name and the number of more.
fn label(circuit: &Circuit, link: &Link) -> String {
    let first = circuit.projection(link.projections[0]);
    let name = words::shortened(&first.name);
    let many = link.projections.len();
    if many > 1 {
        return format!("{name} \u{2026} \u{d7}{many}");
    }
    let sum = if matches!(first.index, IndexRule::SumContext(_)) { "\u{3a3}j " } else { "" };
    let aligned = if first.index == IndexRule::Aligned { ", j = i" } else { "" };
    let delay = first.delay_ms.map_or_else(String::new, |ms| format!(", {ms} ms"));
    let plastic = if first.plasticity.is_some() { "*" } else { "" };
    let silent = match &first.synapses.weights {
        Weights::Dense(m) if m.iter().all(|x| *x == 0.0) => " = 0",
        Weights::Constant { value: 0.0, .. } | Weights::Identity { gain: 0.0, .. } => " = 0",
        _ => "",
    };
    format!("{sum}{name}{plastic}{silent}{aligned}{delay}")
}

/// The words under the title.
pub(super) fn subtitle(circuit: &Circuit) -> String {
    let cells = circuit.populations.iter().filter(|p| matches!(p.kind, Kind::Cells { .. }));
    let (mut populations, mut size) = (0usize, 0usize);
    for p in cells {
        populations += 1;
        size = size.saturating_add(p.size());
    }
    // Spikes know no tokens that a mask could hide.
    let spikes = circuit.populations.iter().any(|p| p.options.spikes());
    let last = if spikes { "spikes".to_owned() } else { format!("mask {}", circuit.mask.name()) };
    format!(
        "{}, {}, {}; {last}",
        words::counted(circuit.areas.len(), "area"),
        words::counted(populations, "population"),
        words::counted(size, "cortical cell"),
    )
}
