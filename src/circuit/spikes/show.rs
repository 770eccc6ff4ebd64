//! The wired circuit of spikes as stable text: what `compile --emit graph` prints; and as a circuit that can be drawn.

use super::{Cells, Home, SpikeCircuit, SpikeEnd, SpikePopulation};
use crate::circuit::synapses::{AxisMap, Synapses, Weights};
use crate::circuit::types::{
    Circuit, Compartment, IndexRule, Indices, Kind, Output, Population, PopulationId, Projection,
    ProjectionId, Signal,
};
use crate::spec::{
    ActivationSpec, CellOptions, Effect, LayoutSpec, MaskSpec, ResolutionSpec, SpikeTrainsSpec,
};
use petgraph::graph::{DiGraph, NodeIndex};
use std::fmt;

impl fmt::Display for SpikeCircuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "circuit {} (seed {}, spikes)", self.name, self.seed)?;
        for p in &self.populations {
            writeln!(f, "  {p}")?;
        }
        let neuron = &self.neuron().name;
        for p in &self.projections {
            let from = &self.populations[p.from];
            match &p.end {
                SpikeEnd::Spines { per_axon, delay_ms, .. } => {
                    write!(
                        f,
                        "  {}: {} -> {neuron}.spines [{} axons x {per_axon} spines]",
                        p.name, from.name, from.cells
                    )?;
                    if let Some(ms) = delay_ms {
                        write!(f, " delay {ms} ms")?;
                    }
                }
                SpikeEnd::Soma { pulse } => {
                    write!(f, "  {}: {} -> {neuron}.soma [pulse", p.name, from.name)?;
                    if let Some(pulse) = pulse {
                        write!(f, " {} nA, {} ms", pulse.current.value, pulse.duration.ms)?;
                    }
                    write!(f, "]")?;
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "  output {neuron}: somatic spikes")
    }
}

impl SpikePopulation {
    /// What its cells do, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.does {
            Cells::Fire(SpikeTrainsSpec::Renewal { rate, dead_time }) => {
                format!("renewal {} Hz, dead time {} ms", rate.value, dead_time.ms)
            }
            Cells::Fire(SpikeTrainsSpec::Times { .. }) => "given times".to_owned(),
            Cells::Fire(SpikeTrainsSpec::File { path, .. }) => format!("times from {path}"),
            Cells::Fire(SpikeTrainsSpec::Follow { population }) => {
                format!("follows the matched axon of {population}")
            }
            Cells::Cable(cable) => {
                let full = cable.resolution == ResolutionSpec::Full;
                format!("cable, {} resolution", if full { "full" } else { "reduced" })
            }
        }
    }
}

impl fmt::Display for SpikePopulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} x {}", self.name, self.cells, self.words())
    }
}

impl SpikeCircuit {
    /// The same cells and axons as populations and projections of rates: spines are on the apical dendrite, the soma is
    /// reached through basal. For drawings only: as rates this circuit means nothing.
    #[must_use]
    pub fn drawn(&self) -> Circuit {
        let mut graph = DiGraph::new();
        (0..self.populations.len()).for_each(|i| {
            graph.add_node(PopulationId(i));
        });
        for (i, p) in self.projections.iter().enumerate() {
            graph.add_edge(NodeIndex::new(p.from), NodeIndex::new(self.neuron), ProjectionId(i));
        }
        let all: Vec<PopulationId> = (0..self.populations.len()).map(PopulationId).collect();
        Circuit {
            name: self.name.clone(),
            seed: self.seed,
            streams: Vec::new(),
            areas: self.areas.clone(),
            populations: self.populations.iter().map(drawn_population).collect(),
            projections: self.projections.iter().map(|p| self.drawn_projection(p)).collect(),
            output: Output::Relay(PopulationId(self.neuron)),
            mask: MaskSpec::Full,
            layout: LayoutSpec::Space {},
            graph,
            order: all.clone(),
            recurrent: Vec::new(),
            whole: all,
            loops: Vec::new(),
            places: crate::spec::Places::default(),
        }
    }

    fn drawn_projection(&self, p: &super::SpikeProjection) -> Projection {
        let (compartment, delay_ms) = match &p.end {
            SpikeEnd::Spines { delay_ms, .. } => (Compartment::Apical, *delay_ms),
            SpikeEnd::Soma { .. } => (Compartment::Basal, None),
        };
        let columns = self.populations[p.from].cells;
        Projection {
            name: p.name.clone(),
            path: p.path.clone(),
            from: PopulationId(p.from),
            signal: Signal::Rate,
            to: PopulationId(self.neuron),
            compartment,
            synapses: Synapses {
                weights: Weights::Constant { rows: 1, columns, value: 1.0 },
                onto: AxisMap::All,
                pool: AxisMap::All,
            },
            effect: Effect::Additive,
            index: IndexRule::Broadcast,
            sign: None,
            plasticity: None,
            delay_ms,
            tied: true,
            tie: None,
        }
    }
}

fn drawn_population(p: &SpikePopulation) -> Population {
    Population {
        name: p.name.clone(),
        path: p.path.clone(),
        kind: match p.home {
            Home::Thalamus(pathway) => Kind::Relay { pathway, stream: None, part: None },
            Home::Area(area) => Kind::Cells { area },
        },
        microcolumns: 1,
        cells: p.cells,
        indices: Indices::default(),
        activation: ActivationSpec::LINEAR,
        accumulate: None,
        mask: MaskSpec::Full,
        layer: p.layer.clone(),
        cell_type: p.cell_type.clone(),
        options: CellOptions {
            spike_trains: match &p.does {
                Cells::Fire(trains) => Some(trains.clone()),
                Cells::Cable(_) => None,
            },
            cable: match &p.does {
                Cells::Cable(cable) => Some(cable.clone()),
                Cells::Fire(_) => None,
            },
            ..CellOptions::default()
        },
        query_clock: None,
        context_clock: None,
    }
}
