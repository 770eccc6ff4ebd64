//! Factor form: the symbolic value of every population, population by population.

use super::atoms::{Atom, Parts, Role};
use super::hash::HashMap;
use super::map_form::MapForm;
use super::memory::DeltaMemory;
use super::reason::{Fault, Reason};
use super::term::{Fold, Sum, Term, merge};
use super::tokenwise::Tokenwise;
use super::value::{Linear, Value};
use crate::attention::Mask;
use crate::circuit::{
    AxisMap, Circuit, Compartment, IndexRule, Kind, PopulationId, Projection, ProjectionId,
};
use crate::spec::{AccumulateSpec, Effect, Part};
use crate::vocabulary::Activation;
use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A token stream of the compiler: an input stream, or the output of a block.
#[derive(Clone, Debug)]
pub struct StreamForm {
    pub name: String,
    pub d_model: usize,
    /// name of the input stream whose clock it follows
    pub clock: String,
}

/// What a relay means to those who read it.
#[derive(Clone, Debug)]
pub enum RelayMeaning {
    /// `sign * z` or, with a part, `(|z| + sign z) / 2` of a stream z
    Stream { stream: usize, sign: f64, rectified: bool },
    /// a linear map of one earlier stream
    Alias(Value),
}

/// The evaluation under way.
pub struct Factors<'a> {
    pub circuit: &'a Circuit,
    pub parts: Parts,
    pub streams: Vec<StreamForm>,
    pub relays: BTreeMap<PopulationId, RelayMeaning>,
    pub deltas: BTreeMap<PopulationId, DeltaMemory>,
    values: BTreeMap<PopulationId, Rc<Value>>,
    /// place of each population in the order of evaluation
    pub position: HashMap<PopulationId, usize>,
    pub tokenwise: Tokenwise,
    /// populations and relays that become streams of maps
    pub lifted: BTreeSet<PopulationId>,
    pub maps: Vec<MapForm>,
    /// the stream that the circuit answers with
    pub output: usize,
    /// what reciprocals stand for, by their stream
    pub divided_by: BTreeMap<usize, Value>,
    /// forms divided by cells of their token, by the classes of form and reciprocal
    pub products: HashMap<(u32, u32), Atom>,
    /// the stream of a map that carries a population, and where in it that starts
    pub map_streams: BTreeMap<PopulationId, (usize, usize)>,
}

impl<'a> Factors<'a> {
    pub fn new(circuit: &'a Circuit, tokenwise: &Tokenwise, lifted: &BTreeSet<PopulationId>) -> Self {
        let streams = circuit
            .streams
            .iter()
            .map(|s| StreamForm {
                name: s.name.clone(),
                d_model: s.d_model,
                clock: circuit.streams[s.clock].name.clone(),
            })
            .collect();
        let is_half = |k: &Kind| matches!(k, Kind::Relay { part: Some(_), .. });
        let any_rectified = circuit.order.iter().any(|id| is_half(&circuit.population(*id).kind));
        Self {
            circuit,
            parts: Parts::new(any_rectified),
            streams,
            relays: BTreeMap::new(),
            deltas: BTreeMap::new(),
            values: BTreeMap::new(),
            position: circuit.order.iter().enumerate().map(|(i, id)| (*id, i)).collect(),
            tokenwise: tokenwise.clone(),
            lifted: lifted.clone(),
            maps: Vec::new(),
            output: 0,
            divided_by: BTreeMap::new(),
            products: HashMap::default(),
            map_streams: BTreeMap::new(),
        }
    }

    /// A sum over the context tokens of population `id`; wiring made sure that they have a clock.
    pub fn sum(&self, id: PopulationId, mask: Mask, fold: Fold) -> Sum {
        Sum { mask, fold, clock: self.circuit.population(id).context_clock.unwrap_or_default() }
    }

    pub fn fault(&self, id: PopulationId, reason: &Reason) -> Fault {
        let p = self.circuit.population(id);
        reason.at(&p.path, &p.name).of(id)
    }

    /// What population `id` sends.
    ///
    /// Sources that are not known yet are evaluated first, in order: a long chain of populations is no deep recursion.
    pub fn value(&mut self, id: PopulationId) -> Result<Rc<Value>, Fault> {
        if let Some(v) = self.values.get(&id) {
            return Ok(Rc::clone(v));
        }
        let mut missing = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            if self.values.contains_key(&next) || !missing.insert((self.position[&next], next)) {
                continue;
            }
            // What a relay receives was evaluated when its block ended; a map reads its sources itself.
            if !self.circuit.population(next).is_relay() && !self.lifted.contains(&next) {
                open.extend(
                    self.circuit
                        .inputs_of(next)
                        .filter(|(_, p)| p.compartment != Compartment::Third)
                        .map(|(_, p)| p.from),
                );
            }
        }
        let mut last = None;
        for (_, id) in missing {
            let value = Rc::new(self.evaluate(id)?);
            self.values.insert(id, Rc::clone(&value));
            last = Some(value);
        }
        last.ok_or_else(|| self.fault(id, &Reason::Recurrent))
    }

    fn evaluate(&mut self, id: PopulationId) -> Result<Value, Fault> {
        let p = self.circuit.population(id);
        match &p.kind {
            Kind::Tonic => {
                let mut one = Value::zero(1);
                one.constant = Some((DVector::from_element(1, 1.0), self.parts.no_origin()));
                Ok(one)
            }
            Kind::Relay { stream: Some(s), part, .. } => {
                let sign = if *part == Some(Part::Minus) { -1.0 } else { 1.0 };
                Ok(self.stream_value(*s, role_of(p.indices.query), sign, part.is_some()))
            }
            Kind::Relay { .. } => match self.relays.get(&id).cloned() {
                Some(RelayMeaning::Stream { stream, sign, rectified }) => {
                    Ok(self.stream_value(stream, role_of(p.indices.query), sign, rectified))
                }
                Some(RelayMeaning::Alias(value)) => {
                    value.with_role(role_of(p.indices.query), &mut self.parts).map_err(|r| self.fault(id, &r))
                }
                None => Err(self.fault(id, &Reason::Recurrent)),
            },
            Kind::Cells { .. } if self.lifted.contains(&id) => self.mapped(id, role_of(p.indices.query)),
            Kind::Cells { .. } => self.cells(id),
        }
    }

    /// The tokens of a stream as a value: `z`, `-z` or `(|z| + sign z) / 2`.
    fn stream_value(&mut self, stream: usize, role: Role, sign: f64, rectified: bool) -> Value {
        let d = self.streams[stream].d_model;
        let origin = self.parts.no_origin();
        let part = |rectified: bool, gain: f64, sign: f64| Linear {
            role,
            stream,
            rectified,
            gain,
            rows: DMatrix::from_diagonal_element(d, d, sign),
            identity: Some(sign),
            map: AxisMap::All,
            origin,
        };
        let mut value = Value::zero(d);
        if rectified {
            value.linear = vec![part(true, 0.5, 1.0), part(false, 0.5, sign)];
        } else {
            value.linear = vec![part(false, 1.0, sign)];
        }
        value
    }

    fn cells(&mut self, id: PopulationId) -> Result<Value, Fault> {
        let p = self.circuit.population(id);
        let basal = self.compartment(id, Compartment::Basal)?;
        let apical = self.compartment(id, Compartment::Apical)?;
        let rate = match (p.activation, p.accumulate) {
            (Activation::Product, Some(AccumulateSpec::Delta { rate })) => {
                return self.delta(id, &basal, &apical, rate);
            }
            (Activation::Product, _) => {
                basal.times(&apical, &mut self.parts).map_err(|r| self.after_a_sum(id, &r))?
            }
            (activation, _) => {
                let sum = basal.plus(apical, &mut self.parts);
                self.activate(sum, activation, &p.name).map_err(|r| self.after_a_sum(id, &r))?
            }
        };
        match p.accumulate {
            None => Ok(rate),
            Some(rule) => self.accumulate(id, &rate, rule),
        }
    }

    /// (sum of additive inputs) / (sum of divisive inputs).
    fn compartment(&mut self, id: PopulationId, compartment: Compartment) -> Result<Value, Fault> {
        let additive = self.inputs(id, compartment, Effect::Additive)?;
        if !self.has_divisive(id, compartment) {
            return Ok(additive);
        }
        let divisor = self.inputs(id, compartment, Effect::Divisive)?;
        let by = self.divisive(id, compartment);
        self.divide(&additive, &divisor, by).map_err(|r| match r {
            Reason::Divisor { .. } => self.misfit(by, &r),
            _ => self.fault(id, &r),
        })
    }

    /// The fault of a nonlinear cell, with the relay that would help: one behind what has been summed.
    fn after_a_sum(&self, id: PopulationId, reason: &Reason) -> Fault {
        let mut fault = self.fault(id, reason);
        if !matches!(reason, Reason::NonlinearSum { .. } | Reason::QueryDegree | Reason::TwoSums) {
            return fault;
        }
        let summed = |v: &Rc<Value>| v.terms.iter().flatten().any(|t| t.sum.is_some());
        let mut inputs = self.circuit.inputs_of(id);
        let behind = inputs.find(|(_, p)| self.values.get(&p.from).is_some_and(summed)).map(|(_, p)| p.from);
        if let Some(from) = behind {
            let (from, to) = (&self.circuit.population(from).name, &self.circuit.population(id).name);
            let help = format!("put a relay behind `{from}`, and let `{to}` read the relay");
            fault.diagnostic.help = Some(help);
        }
        fault
    }

    /// The first projection that divides a compartment.
    pub fn divisive(&self, id: PopulationId, compartment: Compartment) -> ProjectionId {
        let mut inputs = self.circuit.inputs_of(id);
        let found = inputs.find(|(_, p)| p.compartment == compartment && p.effect == Effect::Divisive);
        found.map(|(number, _)| number).unwrap_or_default()
    }

    /// What is wrong with a divisor, at the projection that brings it.
    pub fn misfit(&self, by: ProjectionId, reason: &Reason) -> Fault {
        let p = self.circuit.projection(by);
        let (from, to) = (&self.circuit.population(p.from).name, &self.circuit.population(p.to).name);
        let mut fault = reason.at(&p.path, &format!("{from}`, which divides `{to}")).of(p.to);
        let summed = self
            .circuit
            .inputs_of(p.to)
            .find(|(_, q)| q.compartment == p.compartment && q.effect == Effect::Additive);
        if let (Reason::Divisor { .. }, Some((_, q))) = (reason, summed)
            && !self.circuit.population(p.to).is_relay()
        {
            let over = &self.circuit.population(q.from).name;
            fault.diagnostic.help = Some(format!(
                "pool the same scores that weigh the values, over the same mask; or put a relay behind `{over}` and one behind `{from}`, and divide what they send"
            ));
        }
        fault
    }

    pub fn has_divisive(&self, id: PopulationId, compartment: Compartment) -> bool {
        self.circuit.inputs_of(id).any(|(_, p)| p.compartment == compartment && p.effect == Effect::Divisive)
    }

    /// Sum of the inputs of one kind to one compartment.
    pub fn inputs(
        &mut self,
        id: PopulationId,
        compartment: Compartment,
        effect: Effect,
    ) -> Result<Value, Fault> {
        let circuit = self.circuit;
        let mut sum = Value::zero(circuit.population(id).size());
        for (number, p) in circuit.inputs_of(id) {
            if p.compartment == compartment && p.effect == effect {
                let arrived = self.arriving(number, p)?;
                sum = sum.plus(arrived, &mut self.parts);
            }
        }
        if self.parts.any_rectified {
            // Halves of one product meet here, from several populations: few terms are left of many.
            for list in &mut sum.terms {
                let flat: Vec<(u32, Term)> = list.iter().map(|t| (0, *t)).collect();
                *list = merge(&flat, &mut self.parts).into_iter().map(|(_, t)| t).collect();
            }
        }
        Ok(sum)
    }

    /// What projection `p` brings to its target.
    fn arriving(&mut self, number: ProjectionId, p: &Projection) -> Result<Value, Fault> {
        let source = self.value(p.from)?;
        let seen = match p.index {
            IndexRule::SumContext(mask) => {
                let sum = self.sum(p.from, mask, Fold::Pooled);
                Rc::new(source.summed(sum, |_| None, &mut self.parts).map_err(|r| self.fault(p.to, &r))?)
            }
            IndexRule::Aligned => {
                Rc::new(source.with_role(Role::Context, &mut self.parts).map_err(|r| self.fault(p.to, &r))?)
            }
            IndexRule::Broadcast | IndexRule::Error => source,
        };
        let origin = self.parts.origin_of(number.0);
        let targets = self.circuit.population(p.to).size();
        Ok(seen.through(&p.synapses, targets, origin, &mut self.parts))
    }
}

pub fn role_of(query: bool) -> Role {
    if query { Role::Query } else { Role::Context }
}
