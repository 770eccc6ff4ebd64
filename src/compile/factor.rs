//! Factor form: the symbolic value of every population, population by population.

use super::atoms::{Divisor, GateForm, Parts, Role, Score};
use super::reason::Reason;
use super::term::{Fold, Sum, Term, merge};
use super::value::{Linear, Value};
use crate::attention::{FeatureMap, Mask};
use crate::circuit::{
    AxisMap, Circuit, Compartment, IndexRule, Kind, PopulationId, Projection, ProjectionId,
};
use crate::diag::Diagnostic;
use crate::spec::{AccumulateSpec, ActivationSpec, Effect, MaskSpec, Part};
use nalgebra::{DMatrix, DVector};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The key and value forms of a delta memory, cell by cell.
#[derive(Clone, Debug)]
pub struct DeltaMemory {
    /// `[microcolumn][cell]`: coefficient and form of the key
    pub keys: Vec<Vec<(f64, super::atoms::Atom)>>,
    /// `[microcolumn]`: coefficient and form of the value
    pub values: Vec<(f64, super::atoms::Atom)>,
    /// `[microcolumn]`: write strength by gate; `None` uses `rate`
    pub gates: Option<Vec<u32>>,
    pub rate: f64,
}

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
}

pub fn mask_of(mask: MaskSpec) -> Mask {
    match mask {
        MaskSpec::Full => Mask::Full,
        MaskSpec::Causal => Mask::Causal,
        MaskSpec::Strict => Mask::Strict,
    }
}

impl<'a> Factors<'a> {
    pub fn new(circuit: &'a Circuit) -> Self {
        let streams = circuit
            .streams
            .iter()
            .map(|s| StreamForm {
                name: s.name.clone(),
                d_model: s.d_model,
                clock: circuit.streams[s.clock].name.clone(),
            })
            .collect();
        Self {
            circuit,
            parts: Parts::default(),
            streams,
            relays: BTreeMap::new(),
            deltas: BTreeMap::new(),
            values: BTreeMap::new(),
        }
    }

    pub fn fault(&self, id: PopulationId, reason: &Reason) -> Diagnostic {
        let p = self.circuit.population(id);
        reason.at(&p.path, &p.name)
    }

    /// What population `id` sends. Its sources were evaluated before.
    pub fn value(&mut self, id: PopulationId) -> Result<Rc<Value>, Diagnostic> {
        if let Some(v) = self.values.get(&id) {
            return Ok(Rc::clone(v));
        }
        let v = Rc::new(self.evaluate(id)?);
        self.values.insert(id, Rc::clone(&v));
        Ok(v)
    }

    fn evaluate(&mut self, id: PopulationId) -> Result<Value, Diagnostic> {
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

    fn cells(&mut self, id: PopulationId) -> Result<Value, Diagnostic> {
        let p = self.circuit.population(id);
        let basal = self.compartment(id, Compartment::Basal)?;
        let apical = self.compartment(id, Compartment::Apical)?;
        let rate = match (p.activation, p.accumulate) {
            (ActivationSpec::Product, Some(AccumulateSpec::Delta { rate })) => {
                return self.delta(id, &basal, &apical, rate);
            }
            (ActivationSpec::Product, _) => {
                basal.times(&apical, &mut self.parts).map_err(|r| self.fault(id, &r))?
            }
            (activation, _) => {
                let sum = basal.plus(apical, &mut self.parts);
                self.activate(sum, activation).map_err(|r| self.fault(id, &r))?
            }
        };
        match p.accumulate {
            None => Ok(rate),
            Some(rule) => self.accumulate(id, &rate, rule),
        }
    }

    /// (sum of additive inputs) / (sum of divisive inputs).
    fn compartment(&mut self, id: PopulationId, compartment: Compartment) -> Result<Value, Diagnostic> {
        let additive = self.inputs(id, compartment, Effect::Additive)?;
        if !self.has_divisive(id, compartment) {
            return Ok(additive);
        }
        let divisor = self.inputs(id, compartment, Effect::Divisive)?;
        self.divide(&additive, &divisor).map_err(|r| self.fault(id, &r))
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
    ) -> Result<Value, Diagnostic> {
        let circuit = self.circuit;
        let mut sum = Value::zero(circuit.population(id).size());
        for (number, p) in circuit.inputs_of(id) {
            if p.compartment == compartment && p.effect == effect {
                let arrived = self.arriving(number, p)?;
                sum = sum.plus(arrived, &mut self.parts);
            }
        }
        Ok(sum)
    }

    /// What projection `p` brings to its target.
    fn arriving(&mut self, number: ProjectionId, p: &Projection) -> Result<Value, Diagnostic> {
        if p.delay_ms.is_some() {
            return Err(self.fault(p.to, &Reason::Recurrent));
        }
        let source = self.value(p.from)?;
        let seen = match p.index {
            IndexRule::SumContext(mask) => {
                let sum = Sum { mask: mask_of(mask), fold: Fold::Pooled };
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

    /// Divides cell by cell; the divisor must be a constant or a sum over the context.
    pub fn divide(&mut self, n: &Value, d: &Value) -> Result<Value, Reason> {
        if d.is_constant() {
            let mut inverse = Value::zero(n.cells);
            let origin = d.constant.as_ref().map_or_else(|| self.parts.no_origin(), |(_, o)| *o);
            if (0..n.cells).any(|c| d.constant_of(c) == 0.0) {
                return Err(Reason::Divisor { why: "it is zero" });
            }
            inverse.constant = Some((DVector::from_fn(n.cells, |c, _| 1.0 / d.constant_of(c)), origin));
            return n.times(&inverse, &mut self.parts);
        }
        if !n.linear.is_empty() || n.constant.as_ref().is_some_and(|(c, _)| c.iter().any(|x| *x != 0.0)) {
            return Err(Reason::DividesResidual);
        }
        if !d.linear.is_empty() || d.constant.as_ref().is_some_and(|(c, _)| c.iter().any(|x| *x != 0.0)) {
            return Err(Reason::Divisor { why: "it depends on one token, or has a constant" });
        }
        let mut out = Value::zero(n.cells);
        out.terms = vec![Vec::new(); n.cells];
        for cell in 0..n.cells {
            let flat: Vec<(u32, Term)> = d.terms[cell].iter().map(|t| (0, *t)).collect();
            let terms: Vec<Term> = merge(&flat, &mut self.parts).into_iter().map(|(_, t)| t).collect();
            let Some(sum) = terms.first().and_then(|t| t.sum) else {
                return Err(Reason::Divisor { why: "it is not summed over the context" });
            };
            if terms.iter().any(|t| t.sum != Some(sum)) {
                return Err(Reason::Divisor { why: "its parts are summed over different masks or memories" });
            }
            if terms.iter().any(|t| t.divisor.is_some()) {
                return Err(Reason::DividedTwice);
            }
            let origin = terms.iter().fold(terms[0].origin, |o, t| self.parts.union(o, t.origin));
            let id = self.parts.divisor(Divisor { terms, sum });
            let list = n.terms.get(cell).map_or(&[][..], Vec::as_slice);
            for t in list {
                if t.divisor.is_some() {
                    return Err(Reason::DividedTwice);
                }
                out.terms[cell].push(Term {
                    divisor: Some(id),
                    origin: self.parts.union(t.origin, origin),
                    ..*t
                });
            }
        }
        Ok(out)
    }

    /// An activation of the summed compartments.
    fn activate(&mut self, v: Value, activation: ActivationSpec) -> Result<Value, Reason> {
        let map = match activation {
            ActivationSpec::Linear | ActivationSpec::Product | ActivationSpec::Power { exponent: 1 } => {
                return Ok(v);
            }
            ActivationSpec::Relu => Some(FeatureMap::Relu),
            ActivationSpec::Exp => Some(FeatureMap::Exp),
            ActivationSpec::EluPlusOne => Some(FeatureMap::EluPlusOne),
            ActivationSpec::Sigmoid => Some(FeatureMap::Sigmoid),
            ActivationSpec::Sign => Some(FeatureMap::Sign),
            ActivationSpec::Power { .. } => None,
        };
        if v.is_constant() {
            let mut out = Value::zero(v.cells);
            let origin = v.constant.as_ref().map_or_else(|| self.parts.no_origin(), |(_, o)| *o);
            let apply = |x: f64| match activation {
                ActivationSpec::Power { exponent } => x.powi(exponent.cast_signed()),
                _ => map.map_or(x, |m| m.apply(x)),
            };
            out.constant = Some((DVector::from_fn(v.cells, |c, _| apply(v.constant_of(c))), origin));
            return Ok(out);
        }
        let lists = v.as_terms(&mut self.parts);
        let mut out = Value::zero(v.cells);
        for list in lists {
            let flat: Vec<(u32, Term)> = list.iter().map(|t| (0, *t)).collect();
            let list: Vec<Term> = merge(&flat, &mut self.parts).into_iter().map(|(_, t)| t).collect();
            out.terms.push(self.activated_cell(&list, activation, map)?);
        }
        Ok(out)
    }

    fn activated_cell(
        &mut self,
        list: &[Term],
        activation: ActivationSpec,
        map: Option<FeatureMap>,
    ) -> Result<Vec<Term>, Reason> {
        let name = || activation.name();
        let forms = |t: &Term| t.query.iter().chain(t.context.iter().flatten()).copied().collect::<Vec<_>>();
        if list.iter().any(|t| {
            t.sum.is_some()
                || t.memory.is_some()
                || t.divisor.is_some()
                || t.score.is_some()
                || t.context[1].is_some()
        }) {
            return Err(Reason::NonlinearSum { activation: name() });
        }
        if list.iter().flat_map(forms).any(|a| self.parts.get(a).rectified) {
            return Err(Reason::Rectified);
        }
        if list.iter().flat_map(forms).any(|a| self.parts.get(a).map != FeatureMap::Identity)
            && list.len() + forms(&list[0]).len() > 2
        {
            return Err(Reason::NonlinearSum { activation: name() });
        }
        let Some(first) = list.first() else {
            let at_zero = map.map_or(0.0, |m| m.apply(0.0));
            let origin = self.parts.no_origin();
            return Ok(if at_zero == 0.0 { Vec::new() } else { vec![Term::constant(at_zero, origin)] });
        };
        let origin = list.iter().fold(first.origin, |o, t| self.parts.union(o, t.origin));
        // One linear form of one token: a feature of that token.
        if let ([t], [atom]) = (list, forms(first).as_slice()) {
            let form = self.parts.get(*atom).clone();
            if form.map != FeatureMap::Identity {
                return Err(Reason::NonlinearSum { activation: name() });
            }
            let Some(map) = map else { return Err(Reason::Power) };
            let row = form.row.iter().map(|x| x * t.coefficient).collect();
            let Some((_, atom)) = self.parts.form(form.role, form.stream, false, map, row, origin) else {
                return Ok(Vec::new());
            };
            let mut term = Term::of_form(1.0, atom, &self.parts);
            term.origin = origin;
            return Ok(vec![term]);
        }
        // A function of a token pair: a score.
        let reads =
            |role: Role| list.iter().any(|t| forms(t).iter().any(|a| self.parts.get(*a).role == role));
        if !(reads(Role::Query) && reads(Role::Context)) {
            return Err(Reason::TwoStreams);
        }
        let power = match activation {
            ActivationSpec::Exp => 0,
            ActivationSpec::Power { exponent } => exponent,
            _ => return Err(Reason::Score { activation: name() }),
        };
        for role in [Role::Query, Role::Context] {
            let mut streams = list
                .iter()
                .flat_map(forms)
                .filter(|a| self.parts.get(*a).role == role)
                .map(|a| self.parts.get(a).stream);
            let first = streams.next();
            if streams.any(|s| Some(s) != first) {
                return Err(Reason::TwoStreams);
            }
        }
        let terms = list.iter().map(|t| (t.coefficient, t.query, t.context[0])).collect();
        let id = self.parts.score(Score { power, terms, origin });
        Ok(vec![Term { score: Some(id), ..Term::constant(1.0, origin) }])
    }

    fn accumulate(
        &mut self,
        id: PopulationId,
        rate: &Value,
        rule: AccumulateSpec,
    ) -> Result<Value, Diagnostic> {
        let p = self.circuit.population(id);
        let (fold, strength) = match rule {
            AccumulateSpec::Hebbian { rate } => (Fold::Hebbian, rate),
            AccumulateSpec::Decay { g, rate } => (Fold::Decay(g.to_bits()), rate),
            AccumulateSpec::Gated {} => (Fold::Gated, 1.0),
            AccumulateSpec::Delta { .. } => {
                return Err(self.fault(id, &Reason::Delta { why: "its activation is not a product" }));
            }
        };
        let gates = if fold == Fold::Gated { Some(self.gates(id)?) } else { None };
        let sum = Sum { mask: mask_of(p.mask), fold };
        let mut state = rate
            .summed(sum, |cell| gates.as_ref().map(|g| g[cell]), &mut self.parts)
            .map_err(|r| self.fault(id, &r))?;
        for t in state.terms.iter_mut().flatten() {
            t.coefficient *= strength;
            if t.query.is_some() || t.score.is_some() {
                return Err(self.fault(id, &Reason::MemoryOfQuery));
            }
        }
        Ok(state)
    }

    /// The gate compartment of each cell.
    fn gates(&mut self, id: PopulationId) -> Result<Vec<u32>, Diagnostic> {
        let value = self.inputs(id, Compartment::Gate, Effect::Additive)?;
        let lists = value.as_terms(&mut self.parts);
        let mut gates = Vec::with_capacity(lists.len());
        let mut streams = std::collections::BTreeSet::new();
        for list in lists {
            let mut gate = GateForm { constant: 0.0, terms: Vec::new(), origin: self.parts.no_origin() };
            for t in list {
                gate.origin = self.parts.union(gate.origin, t.origin);
                match (t.is_constant(), t.context) {
                    (true, _) => gate.constant += t.coefficient,
                    (false, [Some(atom), None])
                        if t.query.is_none()
                            && t.sum.is_none()
                            && t.score.is_none()
                            && t.divisor.is_none()
                            && !self.parts.get(atom).rectified =>
                    {
                        gate.terms.push((t.coefficient, atom));
                    }
                    _ => return Err(self.fault(id, &Reason::Gate)),
                }
            }
            streams.extend(gate.terms.iter().map(|(_, a)| self.parts.get(*a).stream));
            gates.push(self.parts.gate(gate));
        }
        if streams.len() > 1 {
            return Err(self.fault(id, &Reason::TwoStreams));
        }
        Ok(gates)
    }

    fn delta(
        &mut self,
        id: PopulationId,
        basal: &Value,
        apical: &Value,
        rate: Option<f64>,
    ) -> Result<Value, Diagnostic> {
        let p = self.circuit.population(id);
        let fault = |s: &Self, why: &'static str| s.fault(id, &Reason::Delta { why });
        let (keys, values) = (apical.as_terms(&mut self.parts), basal.as_terms(&mut self.parts));
        let gates = if rate.is_none() { Some(self.gates(id)?) } else { None };
        let mut memory = DeltaMemory {
            keys: Vec::new(),
            values: Vec::new(),
            gates: gates.as_ref().map(|_| Vec::new()),
            rate: rate.unwrap_or(1.0),
        };
        let single = |s: &Self, list: &[Term]| match list {
            [t] if t.query.is_none()
                && t.sum.is_none()
                && t.score.is_none()
                && t.divisor.is_none()
                && t.context[1].is_none() =>
            {
                t.context[0].filter(|a| !s.parts.get(*a).rectified).map(|a| (t.coefficient, a))
            }
            _ => None,
        };
        for column in 0..p.microcolumns {
            let cells = column * p.cells..(column + 1) * p.cells;
            let key: Option<Vec<_>> = cells.clone().map(|c| single(self, &keys[c])).collect();
            let Some(key) = key else {
                return Err(fault(self, "a key is not one form of the context token"));
            };
            let first = single(self, &values[cells.start]);
            let Some(value) = first else {
                return Err(fault(self, "a value is not one form of the context token"));
            };
            let class = |s: &Self, v: (f64, super::atoms::Atom)| (v.0.to_bits(), s.parts.get(v.1).class);
            if cells
                .clone()
                .any(|c| single(self, &values[c]).is_none_or(|v| class(self, v) != class(self, value)))
            {
                return Err(fault(self, "cells of one microcolumn receive different values"));
            }
            if self.parts.get(value.1).map != FeatureMap::Identity {
                return Err(self.fault(id, &Reason::NonlinearValue));
            }
            if let (Some(all), Some(mine)) = (&gates, &mut memory.gates) {
                if cells.clone().any(|c| all[c] != all[cells.start]) {
                    return Err(fault(self, "cells of one microcolumn have different gates"));
                }
                mine.push(all[cells.start]);
            }
            memory.keys.push(key);
            memory.values.push(value);
        }
        self.deltas.insert(id, memory);
        let mut out = Value::zero(p.size());
        let sum = Sum { mask: mask_of(p.mask), fold: Fold::Delta };
        let population = u32::try_from(id.0).unwrap_or(u32::MAX);
        for cell in 0..p.size() {
            let address = u32::try_from(cell).unwrap_or(u32::MAX);
            let origin = self.parts.union(keys[cell][0].origin, values[cell][0].origin);
            out.terms.push(vec![Term {
                sum: Some(sum),
                memory: Some((population, address)),
                ..Term::constant(1.0, origin)
            }]);
        }
        Ok(out)
    }
}

fn role_of(query: bool) -> Role {
    if query { Role::Query } else { Role::Context }
}
