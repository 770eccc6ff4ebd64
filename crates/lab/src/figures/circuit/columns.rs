//! How wide each node is: which axons end where on it, and how much room their labels take.
//!
//! Every node has a column of its own, so an axon may run straight up or down in the column of the cell that it ends on.
//! Offsets are multiples of [`GRID`] from the centre of the column.

use super::model::{CORE, Ending, Link, Node, Shape, Sketch};
use super::words;
use pulvinar::circuit::Compartment;

/// Axons that run up or down stand on a grid of this pitch: columns of cells on its lines, those of relays between them.
pub(super) const GRID: f64 = 8.0;
/// Half width of a cell body.
pub(super) const BODY: f64 = 18.0;
/// Offset of the first axon beside the body.
const FIRST: f64 = 24.0;
/// Between axons with upright labels.
const UPRIGHT: f64 = 16.0;

/// How an axon comes to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// from below, onto what hangs under the body; relays: from above
    Foot,
    /// from below, past the body, onto the tuft
    Tuft,
    /// from the side, onto the apical trunk
    Trunk,
}

/// One ending on a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub link: usize,
    pub way: Way,
    /// from the centre of the column; of a trunk, the side
    pub dx: f64,
}

/// Room that a node takes on both sides of its centre, and its ports.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub left: f64,
    pub right: f64,
    pub ports: Vec<Port>,
    /// half width of the box of a relay or of areas
    pub half: f64,
    /// labels of its feet are upright
    pub upright: bool,
    /// longest label of its feet, and of its tuft
    pub foot_text: f64,
    pub tuft_text: f64,
}

pub(super) fn small(text: &str) -> f64 {
    words::width(text, super::plan::Size::Small.pixels(), false)
}

fn snapped(x: f64) -> f64 {
    (x / GRID).ceil() * GRID
}

/// The way of a link to its target.
pub(super) fn way(nodes: &[Node], link: &Link) -> Way {
    let to = &nodes[link.to];
    if link.compartment != Compartment::Apical || to.band >= CORE || to.shape == Shape::Areas {
        return Way::Foot;
    }
    match link.from {
        Some(from) if nodes[from].band < to.band => Way::Trunk,
        _ => Way::Tuft,
    }
}

/// Which labels stand upright, along their axons: those of cells, those of relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dense {
    pub cells: bool,
    pub relays: bool,
}

/// Columns of all nodes. `rank` orders sources from left to right.
pub(super) fn columns(sketch: &Sketch, rank: &[usize], dense: Dense) -> Vec<Column> {
    (0..sketch.nodes.len()).map(|n| column(sketch, n, rank, dense)).collect()
}

fn column(sketch: &Sketch, number: usize, rank: &[usize], dense: Dense) -> Column {
    let node = &sketch.nodes[number];
    let dense = if node.band >= CORE { dense.relays } else { dense.cells };
    let mut own: Vec<usize> = (0..sketch.links.len()).filter(|l| sketch.links[*l].to == number).collect();
    own.sort_by_key(|l| (sketch.links[*l].from.map_or(usize::MAX, |f| rank[f]), *l));
    let with = |w: Way| own.iter().copied().filter(move |l| way(&sketch.nodes, &sketch.links[*l]) == w);
    let text = |l: usize| small(&sketch.links[l].label);
    let boxed = matches!(node.shape, Shape::Relay(_) | Shape::Areas);
    // A square of `tonic` is wider than an axon.
    let square = |l: usize| if sketch.links[l].from.is_none() { GRID } else { 0.0 };
    // Innermost the ordinary inputs, then those of the compartments beside them.
    let mut feet: Vec<usize> = with(Way::Foot).collect();
    feet.sort_by_key(|l| special(node, &sketch.links[*l]));
    let upright = dense || feet.len() > if boxed { 2 } else { 4 };
    let mut ports = Vec::new();
    let mut side = |links: &[usize], sign: f64| -> f64 {
        let mut dx = FIRST;
        let mut reach: f64 = 0.0;
        // Marks stand beyond the dendrites.
        if !boxed && links.first().is_some_and(|l| special(node, &sketch.links[*l]) > 0) {
            dx += UPRIGHT;
        }
        for (n, &link) in links.iter().enumerate() {
            if n > 0 {
                let before = if upright { UPRIGHT } else { snapped(text(links[n - 1]) + 12.0) };
                dx += before.max(UPRIGHT) + square(link);
            }
            ports.push(Port { link, way: Way::Foot, dx: sign * dx });
            reach = dx + if upright { 14.0 } else { text(link) + 8.0 };
        }
        reach
    };
    let (lefts, rights) = sides(node, sketch, &feet);
    let mut left = side(&lefts, -1.0);
    let mut right = side(&rights, 1.0);
    let last = ports.iter().fold(0.0f64, |m, p| m.max(p.dx.abs()));
    let mut half = 0.0;
    if boxed {
        let lines = node.lines.iter().map(|l| small(l)).fold(0.0, f64::max);
        let name = words::width(&node.name, 11.0, true).max(lines);
        let beside = if node.part.is_some() { 16.0 } else { 8.0 };
        half = (name / 2.0 + beside).max(last + 8.0).max(28.0).ceil();
        let beside = half + copies(node, 1.0).max(copies(node, -1.0)) + 2.0;
        left = left.max(beside);
        right = right.max(beside);
    } else {
        let lines = node.lines.iter().map(|l| small(l)).fold(0.0, f64::max);
        let name = words::width(&node.name, 11.0, true).max(lines);
        right = right.max(if dense { name / 2.0 + 3.0 } else { name_offset(node) + name + 4.0 });
        right = right.max(BODY + copies(node, 1.0) + 4.0).max(FIRST + 8.0);
        left = left.max(BODY + copies(node, -1.0) + 4.0).max(FIRST + 8.0);
        // Trunk: labels above the axon, between the trunk and what runs beside it.
        let mut beside: f64 = 0.0;
        for link in with(Way::Trunk) {
            let room = text(link) + 16.0;
            let from_left = sketch.links[link].from.is_some_and(|f| rank[f] < rank[number]);
            if from_left {
                beside = beside.max(room);
            } else {
                right = right.max(room);
            }
            ports.push(Port { link, way: Way::Trunk, dx: if from_left { -1.0 } else { 1.0 } });
        }
        let mut dx = snapped(left.max(beside));
        let mut inner = None;
        for (n, link) in with(Way::Tuft).enumerate() {
            let beside = inner.replace(link).map_or(0.0, square);
            let slot = if dense { UPRIGHT } else { text(link) + 12.0 } + beside;
            dx = if n == 0 { snapped(dx.max(slot)) } else { dx + snapped(slot) };
            ports.push(Port { link, way: Way::Tuft, dx: -dx });
            left = dx + 8.0;
        }
        left = left.max(beside).max(if dense { name / 2.0 + 3.0 } else { 0.0 });
    }
    let longest = |way: Way| ports.iter().filter(|p| p.way == way).map(|p| text(p.link)).fold(0.0, f64::max);
    Column {
        left: left.ceil(),
        right: right.ceil(),
        foot_text: longest(Way::Foot),
        tuft_text: longest(Way::Tuft),
        half,
        upright,
        ports,
    }
}

/// Nothing special, or a compartment with a mark of its own.
fn special(node: &Node, link: &Link) -> usize {
    match link.compartment {
        Compartment::Basal => 0,
        Compartment::Apical => usize::from(node.shape != Shape::Areas),
        Compartment::Gate => 2,
        Compartment::Third => 3,
    }
}

/// Gates stand on the left, errors on the right, the rest on both sides.
fn sides(node: &Node, sketch: &Sketch, feet: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let of = |s: usize| feet.iter().copied().filter(move |l| special(node, &sketch.links[*l]) == s);
    let plain: Vec<usize> = of(0).collect();
    let half = plain.len() / 2;
    // The nearest to the middle comes first.
    let mut lefts: Vec<usize> = plain[..half].iter().rev().copied().collect();
    let mut rights: Vec<usize> = plain[half..].to_vec();
    lefts.extend(of(1));
    lefts.extend(of(2));
    rights.extend(of(3));
    (lefts, rights)
}

/// How far the copies of a stack stand out, to the right (1) or the left (-1).
pub(super) fn copies(node: &Node, side: f64) -> f64 {
    let shown = if side > 0.0 { node.indices.query } else { node.indices.context };
    if shown { 8.0 } else { 0.0 }
}

/// Where the name of a cell begins.
pub(super) fn name_offset(node: &Node) -> f64 {
    BODY + copies(node, 1.0) + 6.0
}

/// Room under the tip of an ending.
pub(super) fn mark(ending: Ending) -> f64 {
    match ending {
        Ending::Inhibitory => 3.0,
        _ => 8.0,
    }
}
