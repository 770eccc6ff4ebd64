//! The populations of the new circuit: parts of the old ones, and interneurons.

use super::Half;
use super::plan::{Part, Want};
use super::write::{Writer, fresh, inhibitor_name, want};
use crate::circuit::{Compartment, Kind, PopulationId};
use crate::spec::{
    ActivationSpec, AreaSpec, CellOptions, MicrocolumnsSpec, Part as RelayPart, PopulationSpec, RelaySpec,
    Table,
};
use std::collections::{BTreeMap, BTreeSet};

/// Interneurons onto relays stand for the thalamic reticular nucleus.
const RETICULAR: &str = "TRN";

/// Compartments that the algebra has.
const SUMS: [Compartment; 2] = [Compartment::Basal, Compartment::Apical];

impl Writer<'_> {
    pub(super) fn thalamus(
        &mut self,
        ids: &BTreeMap<&str, PopulationId>,
        taken: &mut BTreeSet<String>,
    ) -> Table<RelaySpec> {
        let mut table = Table::default();
        for (old, relay) in self.spec.thalamus.iter() {
            let Some(id) = ids.get(old).copied() else { continue };
            let input = matches!(self.circuit.population(id).kind, Kind::Relay { stream: Some(_), .. });
            for (number, part) in self.plan.parts[&id].iter().enumerate() {
                let name = part_name(old, part, taken);
                let mut relay = relay.clone();
                if part.rectifies {
                    let minus = input && part.sign == Half::Minus;
                    relay.part = Some(if minus { RelayPart::Minus } else { RelayPart::Plus });
                }
                self.names.insert((id, number), name.clone());
                table.0.push((name, relay));
            }
        }
        table
    }

    pub(super) fn areas(&mut self, ids: &BTreeMap<&str, PopulationId>) -> Table<AreaSpec> {
        let mut areas = Table::default();
        for (area_name, area) in self.spec.areas.iter() {
            let mut taken: BTreeSet<String> = area.populations.names().map(str::to_owned).collect();
            let mut populations = Table::default();
            for (old, p) in area.populations.iter() {
                let Some(id) = ids.get(format!("{area_name}.{old}").as_str()).copied() else { continue };
                let plan = self.plan;
                for (number, part) in plan.parts[&id].iter().enumerate() {
                    let name = part_name(old, part, &mut taken);
                    self.names.insert((id, number), format!("{area_name}.{name}"));
                    populations.0.push((name, p.clone()));
                    for compartment in self.inhibited(id, part) {
                        let name = fresh(inhibitor_name(&format!("{old}_inh"), compartment), &mut taken);
                        self.inhibitors.insert((id, number, compartment), format!("{area_name}.{name}"));
                        populations.0.push((
                            name,
                            PopulationSpec { layer: p.layer.clone(), ..interneuron(p.cells, p) },
                        ));
                    }
                }
            }
            if !populations.is_empty() {
                areas.0.push((area_name.to_owned(), AreaSpec { populations, ..area.clone() }));
            }
        }
        areas
    }

    /// The area of interneurons that inhibit relays, if any are needed.
    pub(super) fn reticular(&mut self, taken: &mut BTreeSet<String>) -> Option<(String, AreaSpec)> {
        let mut populations: Table<PopulationSpec> = Table::default();
        let (mut waiting, mut own) = (Vec::new(), BTreeSet::new());
        for id in &self.circuit.order {
            let p = self.circuit.population(*id);
            let Some(relay) = self.spec.thalamus.get(&p.name) else { continue };
            for (number, part) in self.parts(*id).iter().enumerate() {
                for compartment in self.inhibited(*id, part) {
                    let name = fresh(inhibitor_name(&self.names[&(*id, number)], compartment), &mut own);
                    let like = PopulationSpec {
                        layer: None,
                        cell_type: None,
                        cells: relay.cells,
                        per: relay.per.clone(),
                        activation: ActivationSpec::LINEAR,
                        accumulate: None,
                        options: CellOptions::default(),
                    };
                    populations.0.push((name.clone(), interneuron(relay.cells, &like)));
                    waiting.push(((*id, number, compartment), name));
                }
            }
        }
        if waiting.is_empty() {
            return None;
        }
        let area = fresh(RETICULAR.to_owned(), taken);
        self.inhibitors.extend(waiting.into_iter().map(|(key, name)| (key, format!("{area}.{name}"))));
        Some((area, AreaSpec { mask: None, microcolumns: MicrocolumnsSpec::default(), populations }))
    }

    /// Compartments in which a part needs inhibition.
    fn inhibited(&self, id: PopulationId, part: &Part) -> Vec<Compartment> {
        SUMS.into_iter()
            .filter(|c| match want(part, *c) {
                Want::Net(half) => self.plan.arrives(id, *c, half.opposite()),
                Want::Half(_) => false,
            })
            .collect()
    }
}

/// A name for a part: the old one where it stands for the whole.
fn part_name(old: &str, part: &Part, taken: &mut BTreeSet<String>) -> String {
    if part.ending.is_empty() { old.to_owned() } else { fresh(format!("{old}_{}", part.ending), taken) }
}

/// A linear interneuron beside cells like `p`.
fn interneuron(cells: usize, p: &PopulationSpec) -> PopulationSpec {
    PopulationSpec {
        layer: None,
        cell_type: Some("interneuron".to_owned()),
        cells,
        per: p.per.clone(),
        activation: ActivationSpec::LINEAR,
        accumulate: None,
        options: p.options.clone(),
    }
}
