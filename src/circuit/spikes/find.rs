//! Populations that fire, and the neuron.

use super::{Cells, Home, SpikePopulation};
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use crate::spec::{CellOptions, CircuitSpec, OutputSpec};

/// Populations under construction.
pub struct Found {
    pub areas: Vec<String>,
    pub populations: Vec<SpikePopulation>,
    /// cells with rates: named once, and not again where projections mention them
    pub broken: Vec<String>,
}

impl Found {
    /// The population of that name; another name is a mistake at `path`.
    pub fn named(&self, name: &str, path: &str, d: &mut Diagnostics) -> Option<usize> {
        if let Some(number) = self.populations.iter().position(|p| p.name == name) {
            return Some(number);
        }
        if !self.broken.iter().any(|b| b == name) {
            let what = format!("no population `{name}` in this circuit");
            let names = self.populations.iter().map(|p| p.name.as_str());
            d.push(Diagnostic::error(codes::C010, path, what).help(did_you_mean(name, names)));
        }
        None
    }

    /// Does the population fire?
    pub fn fires(&self, number: usize) -> bool {
        matches!(self.populations[number].does, Cells::Fire(_))
    }
}

pub fn populations(spec: &CircuitSpec, d: &mut Diagnostics) -> Found {
    let areas = spec.areas.names().map(str::to_owned).collect();
    let mut found = Found { areas, populations: Vec::new(), broken: Vec::new() };
    for (name, relay) in spec.thalamus.iter() {
        let path = format!("thalamus.{name}");
        let home = Home::Thalamus(relay.pathway);
        let population = (name.to_owned(), path, home, relay.cells, None, None);
        found.add(population, &relay.options, d);
    }
    for (number, (area_name, area)) in spec.areas.iter().enumerate() {
        if spec.thalamus.get(area_name).is_some() || area_name == "tonic" {
            let what = format!("`{area_name}` is both a relay and an area");
            let help = "give one of them another name";
            d.push(Diagnostic::error(codes::C005, format!("areas.{area_name}"), what).help(help));
        }
        for (short, p) in area.populations.iter() {
            let path = format!("areas.{area_name}.populations.{short}");
            let name = format!("{area_name}.{short}");
            let population =
                (name, path, Home::Area(number), p.cells, p.layer.clone(), p.cell_type.clone());
            found.add(population, &p.options, d);
        }
    }
    found
}

type Named = (String, String, Home, usize, Option<String>, Option<String>);

impl Found {
    fn add(&mut self, named: Named, options: &CellOptions, d: &mut Diagnostics) {
        let (name, path, home, cells, layer, cell_type) = named;
        let does = match (&options.spike_trains, &options.cable) {
            (Some(trains), None) => Cells::Fire(trains.clone()),
            (None, Some(cable)) => Cells::Cable(cable.clone()),
            (Some(_), Some(_)) => {
                let what = format!("`{name}` has spike trains of its own, but is also a neuron that makes them");
                let help = "remove `spike_trains` or `cable`";
                d.push(Diagnostic::error(codes::C070, format!("{path}.spike_trains"), what).help(help));
                self.broken.push(name);
                return;
            }
            (None, None) => {
                let what = format!("`{name}` has rates, but this is a circuit of spikes");
                let help = "give it `spike_trains: {renewal: {rate: 6 Hz, dead_time: 50 ms}}`, or `cable: {}`";
                d.push(Diagnostic::error(codes::C070, path, what).help(help));
                self.broken.push(name);
                return;
            }
        };
        if matches!(does, Cells::Cable(_)) && cells != 1 {
            let what = format!("`{name}` is one neuron as a cable, but has {cells} cells");
            let help = "write `cells: 1`; several neurons are several circuits";
            d.push(Diagnostic::error(codes::C071, format!("{path}.cells"), what).help(help));
        }
        self.populations.push(SpikePopulation { name, path, home, cells, layer, cell_type, does });
    }
}

/// The neuron that the answer is read from.
pub fn output(spec: &CircuitSpec, found: &Found, d: &mut Diagnostics) -> Option<usize> {
    let name = match &spec.output {
        OutputSpec::Relay(name) => name,
        OutputSpec::Signed { .. } => {
            let what = "spikes are not subtracted: the output is one neuron";
            d.push(Diagnostic::error(codes::C070, "output", what).help("name the population with `cable`"));
            return None;
        }
    };
    let number = found.named(name, "output", d)?;
    if found.fires(number) {
        let what = format!("the output `{name}` fires by itself: it answers nothing");
        let help = "name the population with `cable`: its somatic spikes are the output";
        d.push(Diagnostic::error(codes::C071, "output", what).help(help));
        return None;
    }
    let neurons = found.populations.iter().enumerate().filter(|(i, p)| *i != number && matches!(p.does, Cells::Cable(_)));
    for (_, other) in neurons {
        let what = format!("`{}` is a second neuron", other.name);
        let help = "keep one population with `cable`, the output";
        d.push(Diagnostic::error(codes::C071, format!("{}.cable", other.path), what).help(help));
    }
    Some(number)
}
