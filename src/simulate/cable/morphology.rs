//! Sections of cable, their membranes, and the tree of compartments they are cut into.
//!
//! A section is a cylinder whose diameter is constant on equal pieces. It is cut into equal compartments; area and
//! axial resistance of a compartment are integrals over the pieces, so that a coarse cut of a tapering section keeps
//! both. Compartments are coupled from centre to centre. Where sections join there is a node without membrane.
//!
//! Order of nodes: by distance from the root in nodes, then as listed; parents always precede their children.

use super::error::{CableError, finite, not_negative, positive};

/// Most nodes of a model: 200 times the full neuron.
const MOST_NODES: usize = 1_000_000;

/// Where on its parent a section begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    Start,
    Middle,
    End,
}

/// Voltage-gated channels of a membrane; densities in S/cm2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Channels {
    None,
    /// sodium (reversal +50 mV), Kv3 and M-type potassium of the apical tree
    Apical {
        sodium: f64,
        kv3: f64,
        m: f64,
        e_k_mv: f64,
    },
    /// sodium (reversal +55 mV), its gates shifted to the right
    Axon {
        sodium: f64,
        shift_mv: f64,
    },
    /// sodium as in the axon, persistent sodium, fast, slow and M-type potassium (reversal -80 mV)
    Soma {
        sodium: f64,
        shift_mv: f64,
        fast_k: f64,
        slow_k: f64,
        persistent: f64,
        m: f64,
    },
    /// hyperpolarisation-activated current (reversal -47 mV)
    Basal {
        h: f64,
    },
}

impl Channels {
    fn densities(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::None => vec![],
            Self::Apical { sodium, kv3, m, .. } => vec![("sodium", sodium), ("Kv3", kv3), ("M-type", m)],
            Self::Axon { sodium, .. } => vec![("sodium", sodium)],
            Self::Soma { sodium, fast_k, slow_k, persistent, m, .. } => vec![
                ("sodium", sodium),
                ("fast potassium", fast_k),
                ("slow potassium", slow_k),
                ("persistent sodium", persistent),
                ("M-type", m),
            ],
            Self::Basal { h } => vec![("H", h)],
        }
    }
}

/// Passive properties of cytoplasm and membrane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passive {
    pub capacity_uf_cm2: f64,
    pub axial_ohm_cm: f64,
    pub leak_s_cm2: f64,
    pub leak_mv: f64,
}

/// One unbranched piece of cable.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub name: String,
    /// index of an earlier section and the place on it; `None` for the first
    pub parent: Option<(usize, Site)>,
    pub length_um: f64,
    /// diameters of equal pieces, from the start to the end
    pub diameters_um: Vec<f64>,
    pub compartments: usize,
    pub passive: Passive,
    pub channels: Channels,
}

/// One node of the tree; conductances in uS, capacity in nF (nF/ms = uS, uS mV = nA).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// itself for the root
    pub parent: usize,
    /// to the parent; 0 for the root
    pub axial_us: f64,
    pub capacity_nf: f64,
    pub leak_us: f64,
    /// leak times its reversal potential
    pub leak_na: f64,
    /// membrane that carries the channels
    pub area_um2: f64,
    pub channels: Channels,
}

impl Node {
    /// A node without membrane.
    pub(super) fn bare(parent: usize, axial_us: f64) -> Self {
        Self {
            parent,
            axial_us,
            capacity_nf: 0.0,
            leak_us: 0.0,
            leak_na: 0.0,
            area_um2: 0.0,
            channels: Channels::None,
        }
    }

    /// Adds passive membrane of `area_um2`, which carries no channels.
    pub(super) fn add_membrane(&mut self, area_um2: f64, passive: &Passive) {
        let leak = passive.leak_s_cm2 * area_um2 * 1e-2;
        self.capacity_nf += passive.capacity_uf_cm2 * area_um2 * 1e-5;
        self.leak_us += leak;
        self.leak_na += leak * passive.leak_mv;
    }
}

/// Nodes of a neuron before and after ordering, and where its sections are.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// nodes of the compartments of each section, from start to end
    pub sections: Vec<Vec<usize>>,
}

impl Section {
    fn check(&self) -> Result<(), CableError> {
        let of = |what: &str| format!("{what} of section `{}`", self.name);
        positive(of("length"), self.length_um)?;
        positive(of("number of compartments"), self.compartments as f64)?;
        positive(of("number of diameters"), self.diameters_um.len() as f64)?;
        self.diameters_um.iter().try_for_each(|d| positive(of("diameter"), *d))?;
        positive(of("capacity"), self.passive.capacity_uf_cm2)?;
        positive(of("axial resistivity"), self.passive.axial_ohm_cm)?;
        not_negative(of("leak"), self.passive.leak_s_cm2)?;
        finite(of("leak reversal"), self.passive.leak_mv)?;
        if let Channels::Apical { e_k_mv: mv, .. }
        | Channels::Axon { shift_mv: mv, .. }
        | Channels::Soma { shift_mv: mv, .. } = self.channels
        {
            finite(of("channel potential"), mv)?;
        }
        let densities = self.channels.densities();
        densities.into_iter().try_for_each(|(name, g)| not_negative(of(&format!("{name} density")), g))
    }

    /// Integral of `f(diameter)` from `from` to `to`, as fractions of the length; in um times the unit of `f`.
    fn integral(&self, from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
        let pieces = self.diameters_um.len();
        let (a, b) = (from * pieces as f64, to * pieces as f64);
        let mut sum = 0.0;
        for i in (a.floor() as usize)..(b.ceil() as usize).min(pieces) {
            let overlap = b.min(i as f64 + 1.0) - a.max(i as f64);
            if overlap > 0.0 {
                sum += overlap * f(self.diameters_um[i]);
            }
        }
        sum * self.length_um / pieces as f64
    }

    /// Resistance along the axis in Mohm.
    fn resistance(&self, from: f64, to: f64) -> f64 {
        let per_um = |d: f64| self.passive.axial_ohm_cm * 1e-2 * 4.0 / (std::f64::consts::PI * d * d);
        self.integral(from, to, per_um)
    }

    /// Membrane between two places in um2.
    fn area(&self, from: f64, to: f64) -> f64 {
        self.integral(from, to, |d| std::f64::consts::PI * d)
    }
}

/// Cuts sections into compartments; the first compartment of the first section is the root.
///
/// # Errors
/// Sizes or densities out of range, a parent that comes later, more than a million nodes.
pub fn tree(sections: &[Section]) -> Result<Tree, CableError> {
    sections.iter().try_for_each(Section::check)?;
    let nodes = sections.iter().map(|s| s.compartments.saturating_add(2)).fold(0, usize::saturating_add);
    if nodes > MOST_NODES {
        return Err(CableError::TooLarge { nodes, most: MOST_NODES });
    }
    let mut tree = Tree { nodes: Vec::with_capacity(nodes), sections: Vec::new() };
    // Nodes at the ends of sections, made when something hangs there.
    let mut starts: Vec<Option<usize>> = Vec::new();
    let mut ends: Vec<Option<usize>> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let n = section.compartments;
        let edge = |i: usize| i as f64 / n as f64;
        let centre = |i: usize| (i as f64 + 0.5) / n as f64;
        let first = match section.parent {
            None if index == 0 => None,
            Some((parent, site)) if parent < index => Some(match site {
                Site::Middle => tree.sections[parent][sections[parent].compartments / 2],
                Site::Start => tree.end(&sections[parent], parent, true, &mut starts[parent]),
                Site::End => tree.end(&sections[parent], parent, false, &mut ends[parent]),
            }),
            other => {
                let parent = other.map_or(index, |(parent, _)| parent);
                return Err(CableError::NoParent { section: section.name.clone(), parent });
            }
        };
        let mut list = Vec::with_capacity(n);
        for i in 0..n {
            let id = tree.nodes.len();
            let (parent, resistance) = match (list.last(), first) {
                (Some(&before), _) => (before, section.resistance(centre(i - 1), centre(i))),
                (None, Some(at)) => (at, section.resistance(0.0, centre(0))),
                (None, None) => (id, f64::INFINITY),
            };
            let mut node = Node::bare(parent, 1.0 / resistance);
            let area = section.area(edge(i), edge(i + 1));
            node.add_membrane(area, &section.passive);
            node.area_um2 = area;
            node.channels = section.channels;
            tree.nodes.push(node);
            list.push(id);
        }
        tree.sections.push(list);
        // What begins at the start of another section than the root begins where that section hangs.
        starts.push(first);
        ends.push(None);
    }
    Ok(tree)
}

impl Tree {
    /// The node at an end of a section, made if it is not there yet.
    fn end(&mut self, section: &Section, index: usize, start: bool, known: &mut Option<usize>) -> usize {
        if let Some(id) = *known {
            return id;
        }
        let half = 0.5 / section.compartments as f64;
        let list = &self.sections[index];
        let (from, resistance) = if start {
            (list[0], section.resistance(0.0, half))
        } else {
            (list[list.len() - 1], section.resistance(1.0 - half, 1.0))
        };
        self.nodes.push(Node::bare(from, 1.0 / resistance));
        *known = Some(self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// Sorts nodes by their distance from the root; returns the new place of each old node.
    pub(super) fn sort(&mut self) -> Vec<usize> {
        let mut depth = vec![0usize; self.nodes.len()];
        for i in 1..self.nodes.len() {
            // parents precede their children already
            depth[i] = depth[self.nodes[i].parent] + 1;
        }
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|&i| (depth[i], i));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
        self.nodes = order
            .iter()
            .map(|&old| Node { parent: place[self.nodes[old].parent], ..self.nodes[old] })
            .collect();
        self.sections.iter_mut().flatten().for_each(|id| *id = place[*id]);
        place
    }
}
