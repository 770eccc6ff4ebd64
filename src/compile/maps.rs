//! Maps: populations of one token that are more than a factor of a head become a stream, and heads read that.
//!
//! Each such population, with the linear ones before it, is a map of its own; populations of a delayed loop are one together.
//! A map that only another map reads is taken into it (`fused`). A factor that reads several streams reads them side by side.

use super::atoms::Role;
use super::factor::{Factors, RelayMeaning, StreamForm};
use super::map_form::{CellsForm, CompartmentForm, From, Input, Is, MapForm};
use super::reason::Fault;
use super::structured::expand;
use super::tokenwise::inputs;
use super::value::{Linear, Value};
use crate::circuit::{AxisMap, Compartment, Kind, PopulationId, Synapses, Weights};
use crate::spec::{Effect, Part};
use crate::vocabulary::{Activation, Function};
use nalgebra::DMatrix;
use std::collections::{BTreeMap, BTreeSet};

impl Factors<'_> {
    /// The stream of a population that is a map, as a value.
    pub(super) fn mapped(&mut self, id: PopulationId, role: Role) -> Result<Value, Fault> {
        let (stream, first) = self.map_stream(id)?;
        let (n, d) = (self.circuit.population(id).size(), self.streams[stream].d_model);
        let origin = self.parts.no_origin();
        let mut value = Value::zero(n);
        value.linear = vec![Linear {
            role,
            stream,
            rectified: false,
            gain: 1.0,
            rows: DMatrix::from_fn(n, d, |i, j| f64::from(u8::from(j == first + i))),
            identity: (n == d).then_some(1.0),
            map: AxisMap::All,
            origin,
        }];
        Ok(value)
    }

    /// The stream that carries a map, and where in it the cells of `id` start; made with all maps that it reads.
    pub(super) fn map_stream(&mut self, id: PopulationId) -> Result<(usize, usize), Fault> {
        if let Some(found) = self.map_streams.get(&id) {
            return Ok(*found);
        }
        // Maps behind it first, in order of evaluation: a long chain is no deep recursion.
        let mut needed = BTreeSet::new();
        let (mut open, mut seen) = (vec![id], BTreeSet::new());
        while let Some(next) = open.pop() {
            if self.map_streams.contains_key(&next) || !seen.insert(next) {
                continue;
            }
            if self.lifted.contains(&next) {
                needed.insert((self.position[&next], next));
            }
            let from = inputs(self.circuit, next).map(|(_, p)| p.from);
            open.extend(from.filter(|f| matches!(self.circuit.population(*f).kind, Kind::Cells { .. })));
        }
        for (_, next) in needed {
            if !self.map_streams.contains_key(&next) {
                let members = match self.tokenwise.loop_of(next) {
                    Some(members) => members.to_vec(),
                    None => vec![next],
                };
                self.make_map(&members)?;
            }
        }
        self.map_streams.get(&id).copied().ok_or_else(|| self.fault(id, &super::reason::Reason::Recurrent))
    }

    fn make_map(&mut self, members: &[PopulationId]) -> Result<(), Fault> {
        let circuit = self.circuit;
        // With the linear (and elementwise) populations before it, up to relays and other maps.
        let mut inside: BTreeSet<(usize, PopulationId)> = BTreeSet::new();
        let mut open = members.to_vec();
        while let Some(next) = open.pop() {
            if !inside.insert((self.position[&next], next)) {
                continue;
            }
            for (_, p) in inputs(circuit, next) {
                let cells = matches!(circuit.population(p.from).kind, Kind::Cells { .. });
                if cells && (!self.lifted.contains(&p.from) || members.contains(&p.from)) {
                    open.push(p.from);
                }
            }
        }
        let inside: Vec<PopulationId> = inside.into_iter().map(|(_, id)| id).collect();
        let mut form = MapForm { stream: usize::MAX, cells: Vec::new(), output: Vec::new() };
        let mut at: BTreeMap<PopulationId, From> = BTreeMap::new();
        let sources: BTreeSet<PopulationId> =
            inside.iter().flat_map(|id| inputs(circuit, *id).map(|(_, p)| p.from)).collect();
        for id in sources {
            if let Some(from) = self.outside(id, members, &mut form)? {
                at.insert(id, from);
            }
        }
        let first = form.cells.len();
        at.extend(inside.iter().copied().zip(first..).map(|(id, n)| (id, From::Cells(n))));
        for id in &inside {
            let cells = self.cells_form(*id, &at, members);
            form.cells.push(cells);
        }
        let mut read: Vec<PopulationId> =
            members.iter().copied().filter(|m| self.read_outside(*m, members)).collect();
        read.sort_unstable();
        let name = read.iter().map(|id| circuit.population(*id).name.as_str()).collect::<Vec<_>>().join("+");
        form.output = read.iter().map(|id| at[id]).collect();
        let p = circuit.population(members[0]);
        let clock = p.query_clock.or(p.context_clock).unwrap_or(0);
        let width = read.iter().map(|id| circuit.population(*id).size()).sum();
        let clock = circuit.streams[clock].name.clone();
        let stream = self.add_map(form, name, width, clock);
        let mut first = 0;
        for id in &read {
            self.map_streams.insert(*id, (stream, first));
            first += circuit.population(*id).size();
        }
        Ok(())
    }

    /// Adds a map; the number of its stream.
    pub(super) fn add_map(&mut self, form: MapForm, name: String, d_model: usize, clock: String) -> usize {
        let stream = self.streams.len();
        self.streams.push(StreamForm { name, d_model, clock });
        self.maps.push(MapForm { stream, ..form });
        stream
    }

    /// Is this the stream of a map?
    pub(super) fn is_map(&self, stream: usize) -> bool {
        self.maps.iter().any(|m| m.stream == stream)
    }

    /// Is `id` read by anything but `members`, or is it where the circuit's answer leaves?
    fn read_outside(&self, id: PopulationId, members: &[PopulationId]) -> bool {
        members.len() == 1
            || self
                .circuit
                .order
                .iter()
                .any(|n| !members.contains(n) && inputs(self.circuit, *n).any(|(_, p)| p.from == id))
    }

    /// Where a source outside of the map's own populations is found; `None` for those inside.
    fn outside(
        &mut self,
        id: PopulationId,
        members: &[PopulationId],
        form: &mut MapForm,
    ) -> Result<Option<From>, Fault> {
        let p = self.circuit.population(id);
        match p.kind {
            Kind::Tonic => Ok(Some(From::One)),
            Kind::Cells { .. } if self.lifted.contains(&id) && !members.contains(&id) => {
                let (stream, first) = self.map_stream(id)?;
                let (n, d) = (p.size(), self.streams[stream].d_model);
                if n == d {
                    return Ok(Some(From::Stream(stream)));
                }
                // One population of several in a stream.
                let pick = DMatrix::from_fn(n, d, |i, j| f64::from(u8::from(j == first + i)));
                let add = vec![input(From::Stream(stream), Weights::Dense(pick), Vec::new())];
                form.cells.push(CellsForm::linear(Is::Population(id), p.name.clone(), n, add));
                Ok(Some(From::Cells(form.cells.len() - 1)))
            }
            Kind::Cells { .. } => Ok(None),
            Kind::Relay { stream, part, .. } => {
                let meaning = match stream {
                    Some(stream) => Some(RelayMeaning::Stream {
                        stream,
                        sign: if part == Some(Part::Minus) { -1.0 } else { 1.0 },
                        rectified: part.is_some(),
                    }),
                    None => self.relays.get(&id).cloned(),
                };
                match meaning {
                    Some(RelayMeaning::Stream { stream, sign, rectified: true }) => {
                        Ok(Some(From::Cells(self.rectifier(stream, sign > 0.0, form))))
                    }
                    Some(RelayMeaning::Stream { stream, sign, .. }) if sign > 0.0 => {
                        Ok(Some(From::Stream(stream)))
                    }
                    _ => {
                        let value = self.value(id)?;
                        let add = self.inputs_of_value(&value, form);
                        form.cells.push(CellsForm::linear(
                            Is::Population(id),
                            p.name.clone(),
                            value.cells,
                            add,
                        ));
                        Ok(Some(From::Cells(form.cells.len() - 1)))
                    }
                }
            }
        }
    }

    /// Cells that send `max(x, 0)` or `max(-x, 0)` of a stream.
    fn rectifier(&self, stream: usize, plus: bool, form: &mut MapForm) -> usize {
        let is = Is::Rectifier(stream, plus);
        if let Some(at) = form.cells.iter().position(|c| c.is == is) {
            return at;
        }
        let (n, gain) = (self.streams[stream].d_model, if plus { 1.0 } else { -1.0 });
        let name = format!("{}.{}", self.streams[stream].name, if plus { "plus" } else { "minus" });
        let add = vec![input(From::Stream(stream), Weights::Identity { n, gain }, Vec::new())];
        form.cells.push(CellsForm {
            activation: Activation::Function(Function::Relu),
            ..CellsForm::linear(is, name, n, add)
        });
        form.cells.len() - 1
    }

    /// A value that is linear in streams, as inputs of cells.
    pub(super) fn inputs_of_value(&mut self, value: &Value, form: &mut MapForm) -> Vec<Input> {
        let mut add = Vec::new();
        for part in &value.linear {
            let projections = self.parts.projections(part.origin);
            let weights = || match part.identity {
                Some(g) if part.map == AxisMap::All => {
                    Weights::Identity { n: value.cells, gain: g * part.gain }
                }
                _ => Weights::Dense(expand(&part.rows, part.map, value.cells) * part.gain),
            };
            if part.rectified {
                for plus in [true, false] {
                    let from = From::Cells(self.rectifier(part.stream, plus, form));
                    add.push(input(from, weights(), projections.clone()));
                }
            } else {
                add.push(input(From::Stream(part.stream), weights(), projections));
            }
        }
        if let Some((constant, origin)) = &value.constant {
            let weights = Weights::Dense(DMatrix::from_column_slice(value.cells, 1, constant.as_slice()));
            add.push(input(From::One, weights, self.parts.projections(*origin)));
        }
        add
    }

    /// A population as the file has it.
    fn cells_form(
        &self,
        id: PopulationId,
        at: &BTreeMap<PopulationId, From>,
        members: &[PopulationId],
    ) -> CellsForm {
        let p = self.circuit.population(id);
        let mut compartments = [CompartmentForm::default(), CompartmentForm::default()];
        for (number, q) in inputs(self.circuit, id) {
            let n = self.circuit.population(q.from).size();
            let weights = full(&q.synapses, p.size(), n);
            let into = &mut compartments[usize::from(q.compartment == Compartment::Apical)];
            let list = if q.effect == Effect::Divisive { &mut into.by } else { &mut into.add };
            list.push(input(at[&q.from], weights, vec![u32::try_from(number.0).unwrap_or(u32::MAX)]));
        }
        CellsForm {
            is: Is::Population(id),
            name: p.name.clone(),
            cells: p.size(),
            activation: p.activation,
            compartments,
            looped: self.tokenwise.loop_of(id).is_some() && members.contains(&id),
        }
    }

    /// Streams side by side: relays, then maps, in the order of the file.
    pub(super) fn side_by_side(&mut self, streams: &BTreeSet<usize>) -> usize {
        let mut list: Vec<usize> = streams.iter().copied().collect();
        list.sort_by_key(|s| (self.is_map(*s), self.place_of(*s)));
        let output: Vec<From> = list.iter().map(|s| From::Stream(*s)).collect();
        if let Some(known) = self.maps.iter().find(|m| m.cells.is_empty() && m.output == output) {
            return known.stream;
        }
        let name = list.iter().map(|s| self.streams[*s].name.as_str()).collect::<Vec<_>>().join("+");
        let d_model = list.iter().map(|s| self.streams[*s].d_model).sum();
        let clock = self.streams[list[0]].clock.clone();
        let form = MapForm { stream: usize::MAX, cells: Vec::new(), output };
        self.add_map(form, name, d_model, clock)
    }

    /// Where in the file a stream starts: at its relay or its population.
    fn place_of(&self, stream: usize) -> (usize, usize) {
        let name = &self.streams[stream].name;
        let carries = |kind: &Kind| matches!(kind, Kind::Relay { stream: Some(s), .. } if *s == stream);
        let populations = self.circuit.populations.iter();
        let at = populations.enumerate().find(|(_, p)| carries(&p.kind) || p.name == *name).map(|(n, _)| n);
        (at.unwrap_or(usize::MAX), stream)
    }

    /// Where in the streams `side_by_side` a stream starts.
    pub(super) fn first_in(&self, joined: usize, stream: usize) -> usize {
        if joined == stream {
            return 0;
        }
        let Some(map) = self.maps.iter().find(|m| m.stream == joined) else { return 0 };
        let mut first = 0;
        for from in &map.output {
            match from {
                From::Stream(s) if *s == stream => break,
                From::Stream(s) => first += self.streams[*s].d_model,
                _ => {}
            }
        }
        first
    }
}

impl Factors<'_> {
    /// Populations that may be maps instead: the nearest before what broke the form that are more than linear.
    pub(super) fn culprits(&mut self, fault: &Fault) -> BTreeSet<PopulationId> {
        let mut found = BTreeSet::new();
        let Some(at) = fault.at else { return found };
        let circuit = self.circuit;
        let (mut open, mut seen) = (vec![at], BTreeSet::new());
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let cells = matches!(circuit.population(id).kind, Kind::Cells { .. });
            if cells && self.tokenwise.contains(id) {
                // What could not be evaluated is no linear form either.
                if !self.value(id).is_ok_and(|v| v.has_no_terms()) {
                    found.insert(id);
                }
            } else if cells || id == at {
                open.extend(inputs(circuit, id).map(|(_, p)| p.from));
            }
        }
        found
    }
}

pub fn input(from: From, weights: Weights, projections: Vec<u32>) -> Input {
    Input { from, weights, projections }
}

/// The matrix of a projection with `onto` and `pool` written out.
fn full(s: &Synapses, targets: usize, sources: usize) -> Weights {
    if s.onto == AxisMap::All && s.pool == AxisMap::All {
        return s.weights.clone();
    }
    Weights::Dense(s.full(targets, sources))
}
