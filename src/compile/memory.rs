//! Accumulating populations: hebbian, decay, gated and delta memories.

use super::atoms::{Atom, GateForm};
use super::factor::Factors;
use super::reason::{Fault, Reason};
use super::term::{Fold, Term};
use super::value::Value;
use crate::attention::FeatureMap;
use crate::circuit::{Compartment, PopulationId};
use crate::spec::{AccumulateSpec, Effect};

/// The key and value forms of a delta memory, cell by cell.
#[derive(Clone, Debug)]
pub struct DeltaMemory {
    /// `[microcolumn][cell]`: coefficient and form of the key
    pub keys: Vec<Vec<(f64, Atom)>>,
    /// `[microcolumn]`: coefficient and form of the value
    pub values: Vec<(f64, Atom)>,
    /// `[microcolumn]`: write strength by gate; `None` uses `rate`
    pub gates: Option<Vec<u32>>,
    pub rate: f64,
}

impl Factors<'_> {
    pub(super) fn accumulate(
        &mut self,
        id: PopulationId,
        rate: &Value,
        rule: AccumulateSpec,
    ) -> Result<Value, Fault> {
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
        let sum = self.sum(id, p.mask, fold);
        let mut state = rate
            .summed(sum, |cell| gates.as_ref().map(|g| g[cell]), &mut self.parts)
            .map_err(|r| self.fault(id, &r))?;
        for t in state.terms.iter_mut().flatten() {
            t.coefficient *= strength;
            if t.query.is_some() || t.score.is_some() || t.over[0].is_some() {
                return Err(self.fault(id, &Reason::MemoryOfQuery));
            }
        }
        Ok(state)
    }

    /// The gate compartment of each cell.
    pub(super) fn gates(&mut self, id: PopulationId) -> Result<Vec<u32>, Fault> {
        let value = self.inputs(id, Compartment::Gate, Effect::Additive)?;
        let lists = value.as_terms(&mut self.parts);
        let mut gates = Vec::with_capacity(lists.len());
        for list in lists {
            let mut gate = GateForm { constant: 0.0, terms: Vec::new(), origin: self.parts.no_origin() };
            for t in list {
                gate.origin = self.parts.union(gate.origin, t.origin);
                match (t.is_constant(), t.context) {
                    (true, _) => gate.constant += t.coefficient,
                    (false, [Some(atom), None])
                        if t.query.is_none() && t.is_plain() && !self.parts.get(atom).rectified =>
                    {
                        gate.terms.push((t.coefficient, atom));
                    }
                    _ => return Err(self.fault(id, &Reason::Gate)),
                }
            }
            gates.push(self.parts.gate(gate));
        }
        Ok(gates)
    }

    pub(super) fn delta(
        &mut self,
        id: PopulationId,
        basal: &Value,
        apical: &Value,
        rate: Option<f64>,
    ) -> Result<Value, Fault> {
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
            [t] if t.query.is_none() && t.is_plain() && t.context[1].is_none() => {
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
            let class = |s: &Self, v: (f64, Atom)| (v.0.to_bits(), s.parts.get(v.1).class);
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
        let sum = self.sum(id, p.mask, Fold::Delta);
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
