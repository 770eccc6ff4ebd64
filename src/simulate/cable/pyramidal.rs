//! The layer-5 pyramidal neuron of match-and-control: soma, axon, basal dendrite, apical trunk, six tuft branches, and
//! spines in tenfold clusters on the tuft.
//!
//! [`Pyramidal::full`] is the published resolution (5029 nodes), [`Pyramidal::reduced`] the same tree in 341 nodes: tuft
//! compartments of 10 um, one head for the ten spines of an axon. Both are the same code with other numbers.
//!
//! # Source
//! Ellwood 2024 (match-and-control); distances count from the end of the soma where the axon leaves.

use super::error::{CableError, not_negative, positive};
use super::morphology::{Channels, Node, Passive, Section, Site, Tree, tree};
use super::rates::{slow_potassium_speed, soma_speed};
use super::spines::Synapses;
use std::f64::consts::PI;

/// pS/um2 to S/cm2.
const PS_UM2: f64 = 1e-4;
const SOMA_UM: f64 = 23.145256;
const SHAFT_UM: f64 = 450.0;
const TOP_UM: f64 = 50.0;
const BRANCH_UM: f64 = 250.0;
/// Tuft branches: two leave the top, two more each of these.
pub const BRANCHES: usize = 6;
/// Compartments of shaft and top in the published model; their diameters are given at these centres.
const SHAFT_PIECES: usize = 451;
const TOP_PIECES: usize = 51;
/// First and last spine of a branch.
const SPINES_UM: (f64, f64) = (2.0, 248.0);
const NECK_UM: (f64, f64) = (1.0, 0.1);
const HEAD_UM: f64 = 0.5;
const SPINE: Passive =
    Passive { capacity_uf_cm2: 1.0, axial_ohm_cm: 100.0, leak_s_cm2: 2e-4, leak_mv: -85.0 };

/// Resolution and wiring of the neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct Pyramidal {
    /// compartments of the apical shaft
    pub shaft: usize,
    /// compartments of the top of the shaft
    pub top: usize,
    /// compartments of each tuft branch
    pub tuft: usize,
    /// spines on the whole tuft
    pub spines: usize,
    pub axons: usize,
    /// neighbouring spines that an axon contacts
    pub spines_per_axon: usize,
    /// neighbouring spines that share a head: their membranes, necks and synapses side by side
    pub spines_per_head: usize,
    /// whether necks are compartments; otherwise half of a neck's membrane goes to either side
    pub necks: bool,
    pub synapses: Synapses,
}

/// One spine head, or several side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    pub node: usize,
    pub axon: usize,
    /// number of spines it stands for
    pub spines: usize,
    pub branch: usize,
    /// path distance of the head from the end of the soma where the axon leaves
    pub distance_um: f64,
}

/// A tree with spine heads, ready to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron {
    pub nodes: Vec<Node>,
    /// where current is injected and spikes are counted
    pub soma: usize,
    pub axons: usize,
    /// sorted by axon, then along the branch
    pub heads: Vec<Head>,
    pub synapses: Synapses,
}

impl Neuron {
    /// First head of an axon.
    #[must_use]
    pub fn first_head(&self, axon: usize) -> Option<usize> {
        self.heads.iter().position(|h| h.axon == axon)
    }
}

impl Pyramidal {
    /// The published model: 1,500 heads with necks of their own.
    #[must_use]
    pub fn full() -> Self {
        Self {
            shaft: SHAFT_PIECES,
            top: TOP_PIECES,
            tuft: 251,
            spines: 1500,
            axons: 150,
            spines_per_axon: 10,
            spines_per_head: 1,
            necks: true,
            synapses: Synapses::default(),
        }
    }

    /// One head for each axon on a compartment of its own.
    #[must_use]
    pub fn reduced() -> Self {
        Self { shaft: 15, top: 5, tuft: 25, spines_per_head: 10, necks: false, ..Self::full() }
    }

    /// Builds the tree.
    ///
    /// # Errors
    /// Sizes out of range, spines that do not fit their axons, branches or heads.
    pub fn build(&self) -> Result<Neuron, CableError> {
        self.check()?;
        let sections = self.sections();
        let mut tree = tree(&sections)?;
        let mut heads = self.heads(&mut tree);
        let place = tree.sort();
        heads.iter_mut().for_each(|h| h.node = place[h.node]);
        Ok(Neuron {
            soma: tree.sections[0][0],
            nodes: tree.nodes,
            axons: self.axons,
            heads,
            synapses: self.synapses.clone(),
        })
    }

    fn check(&self) -> Result<(), CableError> {
        let counts = [
            ("number of shaft compartments", self.shaft),
            ("number of top compartments", self.top),
            ("number of tuft compartments", self.tuft),
            ("number of spines", self.spines),
            ("number of axons", self.axons),
            ("number of spines per axon", self.spines_per_axon),
            ("number of spines per head", self.spines_per_head),
        ];
        counts.into_iter().try_for_each(|(what, n)| positive(what, n as f64))?;
        self.synapses.check()?;
        if self.axons.checked_mul(self.spines_per_axon) != Some(self.spines) {
            return Err(CableError::SpinesOnAxons {
                spines: self.spines,
                axons: self.axons,
                per_axon: self.spines_per_axon,
            });
        }
        for (what, total, parts) in [
            ("the spines of the branches", self.spines, BRANCHES),
            ("the spines of an axon", self.spines_per_axon, self.spines_per_head),
            ("the axons of the branches", self.axons, BRANCHES),
        ] {
            if !total.is_multiple_of(parts) {
                return Err(CableError::Indivisible { what, total, parts });
            }
        }
        let nodes = self.spines.saturating_mul(2);
        if nodes > 1_000_000 {
            return Err(CableError::TooLarge { nodes, most: 1_000_000 });
        }
        Ok(())
    }

    /// Soma, basal dendrite, hillock, initial segment, axon, shaft, top, branches.
    fn sections(&self) -> Vec<Section> {
        let somatic = |axial_ohm_cm: f64, leak_mv: f64| Passive {
            capacity_uf_cm2: 2.298892,
            axial_ohm_cm,
            leak_s_cm2: 1.0 / 23823.061083,
            leak_mv,
        };
        let apical = |axial_ohm_cm: f64, leak_mv: f64| Passive {
            capacity_uf_cm2: 1.0,
            axial_ohm_cm,
            leak_s_cm2: 2e-4,
            leak_mv,
        };
        let axonal = somatic(82.0, -83.056442);
        let sodium = |density: f64| soma_speed() * density * PS_UM2;
        let apical_channels = |sodium, kv3, e_k_mv| Channels::Apical { sodium, kv3, m: 6.75e-5, e_k_mv };
        let mut sections = Vec::new();
        let mut add =
            |name: &str, parent, length_um, diameters_um: Vec<f64>, compartments, passive, channels| {
                sections.push(Section {
                    name: name.to_owned(),
                    parent,
                    length_um,
                    diameters_um,
                    compartments,
                    passive,
                    channels,
                });
                sections.len() - 1
            };
        let soma_channels = Channels::Soma {
            sodium: sodium(284.546493),
            shift_mv: 10.0,
            fast_k: soma_speed() * 50.802287 * PS_UM2,
            slow_k: slow_potassium_speed() * 361.584735 * PS_UM2,
            persistent: 0.873246 * PS_UM2,
            m: 7.123963 * PS_UM2,
        };
        let soma = add("soma", None, SOMA_UM, vec![SOMA_UM], 1, somatic(82.0, -75.0), soma_channels);
        let basal_um = 7060.90626796 / (PI * 257.0);
        let h = Channels::Basal { h: 15.709707 * PS_UM2 };
        let basal_passive = somatic(734.0, -83.056442);
        add("basal", Some((soma, Site::Middle)), 257.0, vec![basal_um], 1, basal_passive, h);
        let hillock_channels = Channels::Axon { sodium: sodium(8810.6571), shift_mv: 10.0 };
        let initial_channels = Channels::Axon { sodium: sodium(13490.395442), shift_mv: 0.197024 };
        let (start, end) = (Site::Start, Site::End);
        let at = taper(3.5, 2.0, 5);
        let hillock = add("hillock", Some((soma, start)), 20.0, at, 5, axonal, hillock_channels);
        let at = taper(2.0, 1.5, 5);
        let initial = add("initial segment", Some((hillock, end)), 25.0, at, 5, axonal, initial_channels);
        add("axon", Some((initial, end)), 500.0, vec![1.5], 1, axonal, Channels::None);

        let widths = shaft_diameters();
        let last = widths[widths.len() - 1];
        let channels = apical_channels(0.30, 0.24, -77.0);
        let passive = apical(100.0, -75.0);
        let shaft = add("shaft", Some((soma, end)), SHAFT_UM, widths, self.shaft, passive, channels);
        let narrowing = |i: usize| last * (0.5 / last).powf(i as f64 / (TOP_PIECES - 1) as f64);
        let widths = (0..TOP_PIECES).map(narrowing).collect();
        let channels = apical_channels(0.40, 0.32, -77.0);
        let passive = apical(500.0, -75.0);
        let top = add("top", Some((shaft, end)), TOP_UM, widths, self.top, passive, channels);
        let channels = apical_channels(0.10, 0.06, -85.0);
        let mut branches = Vec::new();
        for i in 0..BRANCHES {
            let parent = if i < 2 { top } else { branches[(i - 2) / 2] };
            let (name, passive) = (format!("tuft {i}"), apical(200.0, -85.0));
            branches.push(add(
                &name,
                Some((parent, end)),
                BRANCH_UM,
                vec![0.5],
                self.tuft,
                passive,
                channels,
            ));
        }
        sections
    }

    /// Hangs the heads on the tuft; node numbers are those before sorting.
    fn heads(&self, tree: &mut Tree) -> Vec<Head> {
        let passive = &SPINE;
        let first_branch = tree.sections.len() - BRANCHES;
        let (per_branch, lump) = (self.spines / BRANCHES, self.spines_per_head);
        let spacing = (SPINES_UM.1 - SPINES_UM.0) / (per_branch.max(2) - 1) as f64;
        let neck_mohm = passive.axial_ohm_cm * 1e-2 * 4.0 * NECK_UM.0 / (PI * NECK_UM.1 * NECK_UM.1);
        let half_head_mohm = passive.axial_ohm_cm * 1e-2 * 4.0 * HEAD_UM / 2.0 / (PI * HEAD_UM * HEAD_UM);
        let neck_area = PI * NECK_UM.0 * NECK_UM.1 * lump as f64;
        let head_area = PI * HEAD_UM * HEAD_UM * lump as f64;
        let mut heads = Vec::with_capacity(self.spines / lump);
        for branch in 0..BRANCHES {
            for group in 0..per_branch / lump {
                let middle = (group * lump) as f64 + (lump - 1) as f64 / 2.0;
                let x = SPINES_UM.0 + spacing * middle;
                let at = ((x / BRANCH_UM * self.tuft as f64) as usize).min(self.tuft - 1);
                let mut parent = tree.sections[first_branch + branch][at];
                let mut mohm = neck_mohm + half_head_mohm;
                let mut head_membrane = head_area;
                if self.necks {
                    let mut neck = Node::bare(parent, lump as f64 / (neck_mohm / 2.0));
                    neck.add_membrane(neck_area, passive);
                    tree.nodes.push(neck);
                    parent = tree.nodes.len() - 1;
                    mohm = neck_mohm / 2.0 + half_head_mohm;
                } else {
                    tree.nodes[parent].add_membrane(neck_area / 2.0, passive);
                    head_membrane += neck_area / 2.0;
                }
                let mut head = Node::bare(parent, lump as f64 / mohm);
                head.add_membrane(head_membrane, passive);
                tree.nodes.push(head);
                let centre = (at as f64 + 0.5) / self.tuft as f64 * BRANCH_UM;
                let before = SOMA_UM + SHAFT_UM + TOP_UM + if branch < 2 { 0.0 } else { BRANCH_UM };
                heads.push(Head {
                    node: tree.nodes.len() - 1,
                    axon: (branch * per_branch + group * lump) / self.spines_per_axon,
                    spines: lump,
                    branch,
                    distance_um: before + centre + NECK_UM.0 + HEAD_UM / 2.0,
                });
            }
        }
        heads
    }
}

/// Diameters at the centres of `n` pieces between two ends.
fn taper(from: f64, to: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| from + (to - from) * (i as f64 + 0.5) / n as f64).collect()
}

/// The shaft widens towards the soma: `2.764 + 21.56 ln(1 + exp(-x / 15.39))` um at path distance `x`.
fn shaft_diameters() -> Vec<f64> {
    let at = |i: usize| {
        let x = SOMA_UM + SHAFT_UM * (i as f64 + 0.5) / SHAFT_PIECES as f64;
        2.7642336 + 21.55532 * (-x / 15.393625).exp().ln_1p()
    };
    (0..SHAFT_PIECES).map(at).collect()
}

impl Synapses {
    /// Checks signs and time constants.
    pub(super) fn check(&self) -> Result<(), CableError> {
        not_negative("AMPA conductance", self.ampa_ns)?;
        not_negative("NMDA conductance", self.nmda_ns)?;
        not_negative("connection delay", self.delay_ms)?;
        for (what, (rise, fall)) in [("AMPA", self.ampa_ms), ("NMDA", self.nmda_ms)] {
            positive(format!("{what} rise time"), rise)?;
            if !(fall.is_finite() && fall > rise) {
                let what = format!("{what} decay time");
                return Err(CableError::OutOfRange { what, value: fall, range: "longer than the rise time" });
            }
        }
        positive("calcium time constant", self.calcium_ms)?;
        positive("time constant of the integral", self.integral_ms)?;
        positive("delay of potentiation", self.lag_ms)?;
        not_negative("sharpness of potentiation", self.sharpness)?;
        not_negative("potentiated gain", self.potentiated)
    }
}
