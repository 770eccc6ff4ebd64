//! The constants of a run: the tree with its diagonal for one time step, gates as tables, synapses as decays.

use super::morphology::Channels;
use super::pyramidal::Neuron;
use super::spines::{CALCIUM_PART, CALCIUM_REST_MM, Synapses, gain, influx, normaliser, unblocked};
use super::tables::{Curve, Quartet, Table};

const E_NA_APICAL_MV: f64 = 50.0;
const E_NA_MV: f64 = 55.0;
const E_K_MV: f64 = -80.0;
const E_H_MV: f64 = -47.0;

/// Everything a step reads and never changes.
#[derive(Clone, Debug)]
pub struct Model {
    pub parents: Vec<usize>,
    pub axial_us: Vec<f64>,
    /// diagonal without channels and synapses
    pub diagonal_us: Vec<f64>,
    /// capacity divided by the step
    pub inertia_us: Vec<f64>,
    pub leak_na: Vec<f64>,
    pub soma: usize,
    pub groups: Vec<Group>,
    pub heads: Vec<HeadConstants>,
    pub spine: SpineConstants,
}

/// Members that share gates.
#[derive(Clone, Debug)]
pub struct Group {
    pub quartet: Quartet,
    pub table: Table,
    pub members: Vec<Member>,
}

/// A membrane with the three currents of its quartet.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub node: usize,
    pub us: [f64; 3],
    /// conductance times reversal
    pub na: [f64; 3],
}

/// Conductances of a head, summed over its spines.
#[derive(Clone, Copy, Debug)]
pub struct HeadConstants {
    pub node: usize,
    pub ampa_us: f64,
    pub nmda_us: f64,
    /// calcium into one spine in a step: mM for each uS of open NMDA conductance and mV below the calcium reversal
    pub influx: f64,
}

/// Decays over one step, and parameters of potentiation.
#[derive(Clone, Debug)]
pub struct SpineConstants {
    pub ampa: (f64, f64),
    pub nmda: (f64, f64),
    pub unblocked: Curve,
    /// calcium that leaks in during a step, and what remains of a unit at its end
    pub calcium_back: f64,
    pub calcium_keep: f64,
    pub integral_keep: f64,
    pub dt_ms: f64,
    /// weight of the integral in the lagged integral, and what remains of a unit after a step
    pub lag: f64,
    pub lag_keep: f64,
    pub synapses: Synapses,
}

impl SpineConstants {
    /// Gain of AMPA at a lagged integral, mM^4 ms.
    pub fn gain(&self, lagged: f64, theta: f64) -> f64 {
        gain(lagged / theta, self.synapses.sharpness, self.synapses.potentiated)
    }
}

impl Model {
    /// Constants of `neuron` for steps of `dt_ms` and tables of `table_mv`.
    #[must_use]
    pub fn new(neuron: &Neuron, dt_ms: f64, table_mv: f64) -> Self {
        let nodes = &neuron.nodes;
        let inertia_us: Vec<f64> = nodes.iter().map(|n| n.capacity_nf / dt_ms).collect();
        let mut diagonal_us: Vec<f64> = nodes.iter().zip(&inertia_us).map(|(n, c)| c + n.leak_us).collect();
        for (i, node) in nodes.iter().enumerate() {
            if node.parent != i {
                diagonal_us[i] += node.axial_us;
                diagonal_us[node.parent] += node.axial_us;
            }
        }
        let s = &neuron.synapses;
        let heads = neuron.heads.iter().map(|h| HeadConstants {
            node: h.node,
            ampa_us: s.ampa_ns * 1e-3 * h.spines as f64 * normaliser(s.ampa_ms),
            nmda_us: s.nmda_ns * 1e-3 * h.spines as f64 * normaliser(s.nmda_ms),
            influx: dt_ms * influx() * CALCIUM_PART / h.spines as f64,
        });
        let decay = |tau: f64| (-dt_ms / tau).exp();
        Self {
            parents: nodes.iter().map(|n| n.parent).collect(),
            axial_us: nodes.iter().map(|n| n.axial_us).collect(),
            diagonal_us,
            inertia_us,
            leak_na: nodes.iter().map(|n| n.leak_na).collect(),
            soma: neuron.soma,
            groups: groups(neuron, dt_ms, table_mv),
            heads: heads.collect(),
            spine: SpineConstants {
                ampa: (decay(s.ampa_ms.0), decay(s.ampa_ms.1)),
                nmda: (decay(s.nmda_ms.0), decay(s.nmda_ms.1)),
                unblocked: Curve::new(-140.0, 80.0, 1000, unblocked),
                calcium_back: dt_ms / s.calcium_ms * CALCIUM_REST_MM,
                calcium_keep: 1.0 / (1.0 + dt_ms / s.calcium_ms),
                integral_keep: 1.0 / (1.0 + dt_ms / s.integral_ms),
                dt_ms,
                lag: dt_ms / s.lag_ms,
                lag_keep: 1.0 / (1.0 + dt_ms / s.lag_ms),
                synapses: s.clone(),
            },
        }
    }
}

/// Sorts the membranes by the gates they have; a soma is in two groups.
fn groups(neuron: &Neuron, dt_ms: f64, table_mv: f64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |quartet: Quartet, member: Member| match groups.iter_mut().find(|g| g.quartet == quartet) {
        Some(group) => group.members.push(member),
        None => {
            let table = Table::new(quartet, table_mv, dt_ms);
            groups.push(Group { quartet, table, members: vec![member] });
        }
    };
    for (node, n) in neuron.nodes.iter().enumerate() {
        let member = |currents: [(f64, f64); 3]| {
            let us = currents.map(|(density, _)| density * n.area_um2 * 1e-2);
            let mv = currents.map(|(_, mv)| mv);
            Member { node, us, na: std::array::from_fn(|i| us[i] * mv[i]) }
        };
        match n.channels {
            Channels::None => {}
            Channels::Apical { sodium, kv3, m, e_k_mv } => {
                add(Quartet::Apical, member([(sodium, E_NA_APICAL_MV), (kv3, e_k_mv), (m, e_k_mv)]));
            }
            Channels::Axon { sodium, shift_mv } => {
                add(Quartet::Soma { shift_mv }, member([(sodium, E_NA_MV), (0.0, 0.0), (0.0, 0.0)]));
            }
            Channels::Soma { sodium, shift_mv, fast_k, slow_k, persistent, m } => {
                let fast = [(sodium, E_NA_MV), (fast_k, E_K_MV), (persistent, E_NA_MV)];
                add(Quartet::Soma { shift_mv }, member(fast));
                add(Quartet::SlowSoma, member([(slow_k, E_K_MV), (0.0, 0.0), (m, E_K_MV)]));
            }
            Channels::Basal { h } => {
                add(Quartet::Basal, member([(0.0, 0.0), (h, E_H_MV), (0.0, 0.0)]));
            }
        }
    }
    groups
}
