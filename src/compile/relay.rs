//! Relays: which of them end a block, and what each means to those who read it.

use super::atoms::{Origin, Role};
use super::block_form::{BlockForm, Path};
use super::factor::{Factors, RelayMeaning, StreamForm};
use super::map_form::{CellsForm, From, Is, MapForm};
use super::reason::{Fault, Reason};
use super::term::Term;
use super::value::{Linear, Value};
use crate::circuit::{AxisMap, Compartment, IndexRule, Kind, Output, PopulationId, Projection, ProjectionId};
use crate::spec::{Effect, Part};
use nalgebra::DMatrix;
use std::collections::BTreeSet;

impl Factors<'_> {
    /// Evaluates all relays in order; returns the blocks, the one of the output last.
    pub fn blocks(&mut self) -> Result<Vec<BlockForm>, Fault> {
        let circuit = self.circuit;
        let outputs: Vec<PopulationId> = match circuit.output {
            Output::Relay(r) => vec![r],
            Output::Signed { plus, minus } => vec![plus, minus],
        };
        if let Some(id) = outputs.iter().find(|id| circuit.population(**id).indices.context) {
            return Err(self.fault(*id, &Reason::OutputPerContext));
        }
        if let Some(id) = outputs.iter().find(|id| circuit.population(**id).query_clock.is_none()) {
            return Err(self.fault(*id, &Reason::NoClock));
        }
        self.no_recurrence()?;
        if let (Output::Relay(id), Some(part)) = (circuit.output, self.part_of(outputs[0])) {
            return Err(self.fault(id, &Reason::RectifiedOutput { part }));
        }
        let signed = matches!(circuit.output, Output::Signed { .. });
        let mut blocks: Vec<BlockForm> = Vec::new();
        for id in &circuit.order {
            let p = circuit.population(*id);
            let Kind::Relay { stream: None, part, .. } = p.kind else { continue };
            let is_output = outputs.contains(id);
            if signed && is_output && part.is_none() && !self.is_read(*id) {
                continue;
            }
            if part.is_some() && self.joins_pair(*id, part)? {
                continue;
            }
            if self.lifted.contains(id) {
                let (stream, _) = self.map_stream(*id)?;
                let (sign, rectified) = part.map_or((1.0, false), |p| (sign_of(p), true));
                self.relays.insert(*id, RelayMeaning::Stream { stream, sign, rectified });
                continue;
            }
            let form = self.arrive(&[(*id, 1.0)], &p.name)?;
            if let Some(block) = blocks.last().filter(|b| form.copies(b.stream))
                && is_output
                && part.is_none()
            {
                let stream = block.stream;
                self.relays.insert(*id, RelayMeaning::Stream { stream, sign: 1.0, rectified: false });
                continue;
            }
            let from_map = self.reads_maps_only(&form);
            let copies = form.residual.len() == 1 && form.copies(form.residual[0].stream);
            if !is_output && part.is_none() && form.is_linear_in_one_stream() && (copies || !from_map) {
                self.relays.insert(*id, RelayMeaning::Alias(alias(&form)));
                continue;
            }
            let stream =
                if from_map { self.end_map(*id, &form)? } else { self.end_block(*id, form, &mut blocks)? };
            self.relays.insert(*id, RelayMeaning::Stream { stream, sign: 1.0, rectified: false });
            if let Some(part) = part {
                // z is what arrives; the relay sends max(z, 0) or max(-z, 0).
                self.relays
                    .insert(*id, RelayMeaning::Stream { stream, sign: sign_of(part), rectified: true });
            }
        }
        self.output = match circuit.output {
            Output::Signed { plus, minus } => self.signed_output(plus, minus, &mut blocks)?,
            Output::Relay(id) => match self.relays.get(&id) {
                Some(RelayMeaning::Stream { stream, .. }) => *stream,
                _ => return Err(self.fault(id, &Reason::NoHeads)),
            },
        };
        if blocks.iter().all(|b| b.terms.is_empty()) && self.maps.is_empty() {
            return Err(self.fault(outputs[0], &Reason::NoHeads));
        }
        Ok(blocks)
    }

    /// Loops are those of maps.
    fn no_recurrence(&self) -> Result<(), Fault> {
        match self.tokenwise.stray_loop() {
            Some(id) => {
                let p = self.circuit.projection(id);
                Err(Reason::Recurrent.at(&p.path, &self.circuit.population(p.to).name))
            }
            None => Ok(()),
        }
    }

    fn part_of(&self, id: PopulationId) -> Option<Part> {
        match self.circuit.population(id).kind {
            Kind::Relay { part, .. } => part,
            _ => None,
        }
    }

    /// Does anything that is compiled read this relay?
    fn is_read(&self, id: PopulationId) -> bool {
        self.circuit.order.iter().any(|n| {
            self.circuit.inputs_of(*n).any(|(_, p)| p.from == id && p.compartment != Compartment::Third)
        })
    }

    fn end_block(
        &mut self,
        id: PopulationId,
        mut form: BlockForm,
        blocks: &mut Vec<BlockForm>,
    ) -> Result<usize, Fault> {
        self.check(&form)?;
        let p = self.circuit.population(id);
        let clock = p.query_clock.or(p.context_clock).unwrap_or(0);
        let stream = self.streams.len();
        self.streams.push(StreamForm {
            name: form.relay.clone(),
            d_model: form.d_model,
            clock: self.circuit.streams[clock].name.clone(),
        });
        form.stream = stream;
        form.residual.retain(|r| !r.rectified);
        form.residual.sort_by_key(|r| r.stream);
        blocks.push(form);
        Ok(stream)
    }

    /// Does a relay receive maps, perhaps beside relays, and no head?
    fn reads_maps_only(&self, form: &BlockForm) -> bool {
        form.terms.is_empty() && form.residual.iter().any(|r| self.is_map(r.stream))
    }

    /// A relay that receives maps, and no head, is the stream of a map.
    fn end_map(&mut self, id: PopulationId, form: &BlockForm) -> Result<usize, Fault> {
        self.check(form)?;
        let mut made = MapForm { stream: usize::MAX, cells: Vec::new(), output: Vec::new() };
        let mut value = Value::zero(form.d_model);
        value.linear = form.residual.iter().filter(|r| !r.rectified).map(|r| linear(r, 1.0)).collect();
        value.linear.sort_by_key(|l| l.stream);
        value.constant = form.bias_origin.map(|origin| (form.bias.clone(), origin));
        let add = self.inputs_of_value(&value, &mut made);
        let p = self.circuit.population(id);
        let is = if form.relay == p.name { Is::Population(id) } else { Is::Made };
        made.cells.push(CellsForm::linear(is, form.relay.clone(), form.d_model, add));
        made.output = vec![From::Cells(made.cells.len() - 1)];
        let clock = p.query_clock.or(p.context_clock).unwrap_or(0);
        let clock = self.circuit.streams[clock].name.clone();
        Ok(self.add_map(made, form.relay.clone(), form.d_model, clock))
    }

    /// Is this rectified relay the partner of an earlier one, by equal or opposite input?
    fn joins_pair(&mut self, id: PopulationId, part: Option<Part>) -> Result<bool, Fault> {
        let Some(part) = part else { return Ok(false) };
        let circuit = self.circuit;
        let earlier: Vec<(PopulationId, usize)> = self
            .relays
            .iter()
            .filter_map(|(r, m)| match m {
                RelayMeaning::Stream { stream, rectified: true, .. }
                    if circuit.population(*r).cells == circuit.population(id).cells =>
                {
                    Some((*r, *stream))
                }
                _ => None,
            })
            .collect();
        for (other, stream) in earlier {
            // The stream is named by the relay that it ends on.
            if self.streams[stream].name != circuit.population(other).name {
                continue;
            }
            for (factor, sign) in [(-1.0, 1.0), (1.0, -1.0)] {
                let joint = self.arrive(&[(id, 1.0), (other, factor)], "")?;
                if joint.is_zero() {
                    self.relays.insert(
                        id,
                        RelayMeaning::Stream { stream, sign: sign * sign_of(part), rectified: true },
                    );
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn signed_output(
        &mut self,
        plus: PopulationId,
        minus: PopulationId,
        blocks: &mut Vec<BlockForm>,
    ) -> Result<usize, Fault> {
        let circuit = self.circuit;
        let name = format!("{} - {}", circuit.population(plus).name, circuit.population(minus).name);
        let (a, b) = (self.relays.get(&plus).cloned(), self.relays.get(&minus).cloned());
        let form = match (a, b) {
            (
                Some(RelayMeaning::Stream { stream: s, sign: a, rectified: true }),
                Some(RelayMeaning::Stream { stream: t, sign: b, rectified: true }),
            ) if s == t => {
                if (a, b) == (1.0, -1.0) && blocks.last().is_some_and(|b| b.stream == s) {
                    return Ok(s);
                }
                let d = self.streams[s].d_model;
                let mut form = BlockForm::empty(name, circuit.population(plus).path.clone(), d);
                let origin = self.parts.no_origin();
                form.add_path(
                    s,
                    false,
                    DMatrix::from_diagonal_element(d, d, (a - b) / 2.0),
                    origin,
                    &mut self.parts,
                );
                form
            }
            (Some(RelayMeaning::Stream { rectified: true, .. }), _) => {
                return Err(self.fault(plus, &Reason::Unpaired));
            }
            (_, Some(RelayMeaning::Stream { rectified: true, .. })) => {
                return Err(self.fault(minus, &Reason::Unpaired));
            }
            _ => self.arrive(&[(plus, 1.0), (minus, -1.0)], &name)?,
        };
        if let Some(block) = blocks.last().filter(|b| form.copies(b.stream)) {
            return Ok(block.stream);
        }
        if self.reads_maps_only(&form) {
            self.end_map(plus, &form)
        } else {
            self.end_block(plus, form, blocks)
        }
    }

    /// No rectified leftovers, and a query in what a delta memory is read by; other sums are looked at as heads.
    fn check(&mut self, form: &BlockForm) -> Result<(), Fault> {
        let rectified = |f: &Self, t: &Term| {
            t.query.iter().chain(t.context.iter().flatten()).any(|a| f.parts.get(*a).rectified)
        };
        for (column, t) in &form.terms {
            if t.query.is_none() && t.memory.is_some() {
                return Err(self.no_query(form, *column, t.origin));
            }
            // Which partner is missing, no one term can tell: the relay is named.
            if rectified(self, t) {
                return Err(Reason::Rectified.at(&form.path, &form.relay));
            }
        }
        if form.residual.iter().any(|r| r.rectified) {
            return Err(Reason::Rectified.at(&form.path, &form.relay));
        }
        Ok(())
    }

    /// A sum over the context without a query: at the projection that brings it where others bring a query, else at the
    /// population of the last product, or the projection of a relay.
    pub(super) fn no_query(&self, form: &BlockForm, column: u32, origin: Origin) -> Fault {
        let own = self.parts.projections(origin);
        let has_query = |p: &Projection| self.reads_query(p.from);
        let remembers = |number: &u32| {
            let p = &self.circuit.projections[*number as usize];
            self.circuit.population(p.from).accumulate.is_some()
        };
        // What a memory sends without a query has its fault there.
        for number in own.iter().filter(|_| !own.iter().any(remembers)) {
            let p = &self.circuit.projections[*number as usize];
            let beside = |(id, q): (ProjectionId, &Projection)| {
                q.compartment == p.compartment
                    && q.effect == Effect::Additive
                    && !own.iter().any(|o| *o as usize == id.0)
                    && has_query(q)
            };
            // What is summed beside others has its fault where it comes from, unless it comes from a relay.
            let source = self.circuit.population(p.from);
            let placed = source.is_relay() || !matches!(p.index, IndexRule::SumContext(_));
            if placed && !has_query(p) && self.circuit.inputs_of(p.to).any(beside) {
                let to = format!("{}.{}", self.circuit.population(p.to).name, p.compartment.name());
                return Reason::QueryFree { to }.at(&p.path, &p.name);
            }
        }
        let column = &form.columns[column as usize];
        let p = self.circuit.population(column.root(origin, &self.parts));
        let ways = column.ways(origin, &self.parts);
        let fault = match ways.first().and_then(|(way, _)| self.parts.projections(*way).first().copied()) {
            Some(number) if !matches!(p.kind, Kind::Cells { .. }) => {
                let q = &self.circuit.projections[number as usize];
                Reason::NoQuery.at(&q.path, &q.name)
            }
            _ => Reason::NoQuery.at(&p.path, &p.name),
        };
        fault.of(column.root(origin, &self.parts))
    }

    /// Whether a population depends on the token of its query index.
    fn reads_query(&self, id: PopulationId) -> bool {
        let (mut open, mut seen) = (vec![id], BTreeSet::new());
        while let Some(id) = open.pop() {
            let p = self.circuit.population(id);
            if p.is_relay() && p.indices.query {
                return true;
            }
            if seen.insert(id) && p.indices.query && p.accumulate.is_none() {
                let inputs = self.circuit.inputs_of(id);
                open.extend(inputs.filter(|(_, q)| q.compartment != Compartment::Third).map(|(_, q)| q.from));
            }
        }
        false
    }
}

fn sign_of(part: Part) -> f64 {
    if part == Part::Minus { -1.0 } else { 1.0 }
}

fn alias(form: &BlockForm) -> Value {
    let mut value = Value::zero(form.d_model);
    for path in &form.residual {
        // Halves of a plus/minus pair stay apart from their factor 1/2, as on the relay that they come from.
        let gain = if form.residual.len() == 2 { 0.5 } else { 1.0 };
        value.linear.push(linear(path, gain));
    }
    if let Some(origin) = form.bias_origin {
        value.constant = Some((form.bias.clone(), origin));
    }
    value
}

fn linear(path: &Path, gain: f64) -> Linear {
    Linear {
        role: Role::Query,
        stream: path.stream,
        rectified: path.rectified,
        gain,
        rows: &path.matrix / gain,
        identity: None,
        map: AxisMap::All,
        origin: path.origin,
    }
}
