//! A circuit of spikes: trains of keys and queries, and a neuron as a cable that both end on.
//!
//! 1. `find` numbers the populations: those that fire, and the neuron.
//! 2. `ends` resolves projections to its spines and its soma.
//! 3. `rules` refuses what says nothing about spikes.
//!
//! **Deliberately absent:** numbers of the cable (the simulator has them), token indices: nothing is replicated.

mod ends;
mod find;
mod rules;
mod show;

use crate::diag::Diagnostics;
use crate::spec::{
    CableSpec, CircuitSpec, FidelitySpec, MatchSpec, Pathway, PulseSpec, SpikeTraceSpec, SpikeTrainsSpec,
    SynapsesSpec,
};

/// Where a population is.
#[derive(Clone, Debug, PartialEq)]
pub enum Home {
    Thalamus(Pathway),
    /// number in [`SpikeCircuit::areas`]
    Area(usize),
}

/// What its cells do.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    Fire(SpikeTrainsSpec),
    Cable(CableSpec),
}

/// A population that fires, or the neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikePopulation {
    /// `VP_core` or `A1.keys`
    pub name: String,
    /// where it stands in the file
    pub path: String,
    pub home: Home,
    pub cells: usize,
    pub layer: Option<String>,
    pub cell_type: Option<String>,
    pub does: Cells,
}

/// A projection from a population that fires to the neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikeProjection {
    pub name: String,
    pub path: String,
    /// number of the population
    pub from: usize,
    pub end: SpikeEnd,
}

/// Where on the neuron it ends.
#[derive(Clone, Debug, PartialEq)]
pub enum SpikeEnd {
    /// each axon on as many neighbouring spines of its own
    Spines {
        per_axon: usize,
        synapses: SynapsesSpec,
        delay_ms: Option<f64>,
    },
    Soma {
        pulse: Option<PulseSpec>,
    },
}

/// A wired circuit of spikes.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikeCircuit {
    pub name: String,
    pub seed: u64,
    pub areas: Vec<String>,
    pub populations: Vec<SpikePopulation>,
    pub projections: Vec<SpikeProjection>,
    /// numbers of populations
    pub keys: usize,
    pub query: usize,
    pub neuron: usize,
    /// numbers of projections
    pub to_spines: usize,
    pub to_soma: usize,
    pub dt_ms: Option<f64>,
    /// end of the run
    pub duration_ms: Option<f64>,
    pub protocol: MatchSpec,
    pub fidelity: FidelitySpec,
    pub record: Vec<SpikeTraceSpec>,
}

impl SpikeCircuit {
    #[must_use]
    pub fn keys(&self) -> &SpikePopulation {
        &self.populations[self.keys]
    }

    #[must_use]
    pub fn query(&self) -> &SpikePopulation {
        &self.populations[self.query]
    }

    #[must_use]
    pub fn neuron(&self) -> &SpikePopulation {
        &self.populations[self.neuron]
    }

    /// The neuron's cable as written.
    #[must_use]
    pub fn cable(&self) -> CableSpec {
        match &self.neuron().does {
            Cells::Cable(cable) => cable.clone(),
            Cells::Fire(_) => CableSpec::default(),
        }
    }

    /// Path of the neuron's cable, and of the projection to its spines.
    #[must_use]
    pub fn cable_path(&self) -> String {
        format!("{}.cable", self.neuron().path)
    }

    #[must_use]
    pub fn spines_path(&self) -> &str {
        &self.projections[self.to_spines].path
    }

    /// Spines of each axon.
    #[must_use]
    pub fn spines_per_axon(&self) -> usize {
        match self.projections[self.to_spines].end {
            SpikeEnd::Spines { per_axon, .. } => per_axon,
            SpikeEnd::Soma { .. } => 0,
        }
    }

    /// Receptors in the spines, and the delay of their axons.
    #[must_use]
    pub fn synapses(&self) -> (SynapsesSpec, Option<f64>) {
        match self.projections[self.to_spines].end {
            SpikeEnd::Spines { synapses, delay_ms, .. } => (synapses, delay_ms),
            SpikeEnd::Soma { .. } => (SynapsesSpec::default(), None),
        }
    }

    /// Current of a query.
    #[must_use]
    pub fn pulse(&self) -> Option<PulseSpec> {
        match self.projections[self.to_soma].end {
            SpikeEnd::Soma { pulse } => pulse,
            SpikeEnd::Spines { .. } => None,
        }
    }
}

/// Wires a circuit of spikes.
///
/// # Errors
/// Every mistake in names, ends and sizes, and everything that speaks of rates; paths are filled in, places are not.
pub fn spikes(spec: &CircuitSpec) -> Result<SpikeCircuit, Diagnostics> {
    wired(spec).map_err(|mut d| {
        spec.places.locate(&mut d);
        d
    })
}

fn wired(spec: &CircuitSpec) -> Result<SpikeCircuit, Diagnostics> {
    let mut d = Diagnostics::new();
    rules::no_rates(spec, &mut d);
    let mut found = find::populations(spec, &mut d);
    let ends = ends::projections(spec, &mut found, &mut d);
    let neuron = find::output(spec, &found, &mut d);
    let protocol = rules::protocol(spec, &found, &mut d);
    rules::traces(spec, &found, neuron, &mut d);
    let wired = ends::both(&ends, neuron, &found, &mut d);
    if let (Some(protocol), Some((spines, soma))) = (&protocol, wired) {
        let keys = ends[spines].from;
        rules::axons(spec, protocol, &found.populations[keys], &mut d);
        rules::trains(&found, (keys, ends[soma].from), protocol.matched, &mut d);
    }
    match (neuron, protocol, wired) {
        (Some(neuron), Some(protocol), Some((to_spines, to_soma))) if !d.has_errors() => Ok(SpikeCircuit {
            name: spec.name.clone(),
            seed: spec.seed,
            keys: ends[to_spines].from,
            query: ends[to_soma].from,
            areas: found.areas,
            populations: found.populations,
            projections: ends,
            neuron,
            to_spines,
            to_soma,
            dt_ms: rules::dt_ms(spec),
            duration_ms: rules::duration_ms(spec),
            protocol,
            fidelity: spec.reserved.fidelity.unwrap_or(FidelitySpec::Cable),
            record: spec.reserved.traces.clone(),
        }),
        _ => Err(d),
    }
}
