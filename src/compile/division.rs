//! Divided compartments: by a constant, by cells of one token, by a sum over the context.
//!
//! A divisor of one token belongs to that token's factor, on whichever compartment it sits. Where the whole compartment reads
//! that token the quotient is a map; else a term remembers the reciprocal (`over`) until its factor is known (`settle`).
//! A sum over the context must be that of the weights (checked in `divide` when heads are built); beside it, a constant or cells
//! of the query token are a sink.

use super::atoms::{Atom, Divisor, Origin, Parts, Role, Sink};
use super::factor::Factors;
use super::map_form::{CellsForm, CompartmentForm, From, Input, Is, MapForm};
use super::maps::input;
use super::reason::Reason;
use super::structured::expand;
use super::term::{Term, merge};
use super::value::{Linear, Value};
use crate::attention::FeatureMap;
use crate::circuit::{AxisMap, ProjectionId, Weights};
use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, BTreeSet};

/// Cells that a divided compartment reads: add and by.
type Quotient<'a> = (&'a Value, &'a Value);

impl Factors<'_> {
    /// Divides cell by cell.
    pub fn divide(&mut self, n: &Value, d: &Value, by: ProjectionId) -> Result<Value, Reason> {
        if d.is_constant() {
            let mut inverse = Value::zero(n.cells);
            let origin = d.constant.as_ref().map_or_else(|| self.parts.no_origin(), |(_, o)| *o);
            if (0..n.cells).any(|c| d.constant_of(c) == 0.0) {
                return Err(Reason::Divisor { why: "it is zero" });
            }
            inverse.constant = Some((DVector::from_fn(n.cells, |c, _| 1.0 / d.constant_of(c)), origin));
            return n.times(&inverse, &mut self.parts);
        }
        if d.terms.iter().flatten().all(|t| t.sum.is_none()) {
            return self.divide_by_token(n, d, by);
        }
        let (name, _) = self.compartment_name(by);
        let divisors = d.as_terms(&mut self.parts);
        let numerator = n.as_terms(&mut self.parts);
        let mut out = Value::zero(n.cells);
        out.terms = vec![Vec::new(); n.cells];
        for (cell, over) in numerator.iter().enumerate() {
            let flat: Vec<(u32, Term)> = divisors[cell].iter().map(|t| (0, *t)).collect();
            let terms: Vec<Term> = merge(&flat, &mut self.parts).into_iter().map(|(_, t)| t).collect();
            let (mut terms, beside): (Vec<Term>, Vec<Term>) =
                terms.into_iter().partition(|t| t.sum.is_some());
            let Some(sum) = terms.first().and_then(|t| t.sum) else {
                return Err(Reason::Divisor { why: "it is not summed over the context" });
            };
            if terms.iter().any(|t| t.sum != Some(sum)) {
                return Err(Reason::Divisor { why: "its parts are summed over different masks or memories" });
            }
            if terms.iter().any(|t| t.divisor.is_some()) {
                return Err(Reason::DividedTwice);
            }
            let sink = self.sink(&beside)?;
            self.settle(terms.iter_mut(), &name)?;
            let origin =
                terms.iter().chain(&beside).fold(terms[0].origin, |o, t| self.parts.union(o, t.origin));
            let id = self.parts.divisor(Divisor { terms, sum, by, sink });
            for t in over {
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

    /// What a divisor adds to its sum: constants and forms of the query token.
    fn sink(&mut self, beside: &[Term]) -> Result<Option<Sink>, Reason> {
        let mut sink = Sink { constant: 0.0, terms: Vec::new(), origin: self.parts.no_origin() };
        for t in beside {
            sink.origin = self.parts.union(sink.origin, t.origin);
            if t.n_context() > 0 || t.score.is_some() || t.over[1].is_some() {
                return Err(Reason::Divisor { why: "beside its sum it depends on one context token" });
            }
            match t.query {
                None if t.over[0].is_none() => sink.constant += t.coefficient,
                Some(atom) if t.over[0].is_none() && self.is_sink(atom) => {
                    sink.terms.push((t.coefficient, atom))
                }
                _ => {
                    return Err(Reason::Divisor { why: "beside its sum it is nonlinear in the query token" });
                }
            }
        }
        Ok((sink.constant != 0.0 || !sink.terms.is_empty()).then_some(sink))
    }

    fn is_sink(&self, atom: Atom) -> bool {
        let form = self.parts.get(atom);
        !form.rectified && matches!(form.map, FeatureMap::Identity | FeatureMap::Exp)
    }

    /// Divides by cells of one token.
    fn divide_by_token(&mut self, n: &Value, d: &Value, by: ProjectionId) -> Result<Value, Reason> {
        if !d.has_no_terms() {
            let reads = |role: Role, t: &Term| {
                let atoms = t.query.iter().chain(t.context.iter().flatten());
                atoms.into_iter().any(|a| self.parts.get(*a).role == role)
            };
            let pair = |t: &Term| t.score.is_some() || (reads(Role::Query, t) && reads(Role::Context, t));
            return Err(if d.terms.iter().flatten().any(pair) {
                Reason::Divisor { why: "it depends on a pair of tokens" }
            } else {
                Reason::Divisor { why: "it is nonlinear in one token" }
            });
        }
        let role = d.linear[0].role;
        if d.linear.iter().any(|l| l.role != role) {
            let why = "it adds what belongs to the query token and what belongs to the context token";
            return Err(Reason::Divisor { why });
        }
        if n.has_no_terms() && n.linear.iter().all(|l| l.role == role) {
            return Ok(self.quotient((n, d), role, by));
        }
        let over = self.reciprocals(d, role, by)?;
        let slot = usize::from(role == Role::Context);
        let mut out = Value::zero(n.cells);
        out.terms = n.as_terms(&mut self.parts);
        for (cell, list) in out.terms.iter_mut().enumerate() {
            for t in list {
                if t.over[slot].is_some() || t.divisor.is_some() {
                    return Err(Reason::DividedTwice);
                }
                if role == Role::Query && t.score.is_some() {
                    return Err(Reason::ScoreDivided);
                }
                t.over[slot] = Some(over[cell]);
                t.origin = self.parts.union(t.origin, self.parts.get(over[cell]).origin);
            }
        }
        Ok(out)
    }

    /// The compartment that a projection ends on.
    fn compartment_name(&self, by: ProjectionId) -> (String, String) {
        let p = self.circuit.projection(by);
        let target = self.circuit.population(p.to);
        let clock = target.query_clock.or(target.context_clock).unwrap_or(0);
        let name = format!("{}.{}", target.name, p.compartment.name());
        (name, self.circuit.streams[clock].name.clone())
    }

    /// A name for a stream that no other has.
    pub(super) fn fresh(&self, name: &str) -> String {
        let taken = |n: &str| self.streams.iter().any(|s| s.name == n);
        let mut number = 1;
        let mut made = name.to_owned();
        while taken(&made) {
            number += 1;
            made = format!("{name}.{number}");
        }
        made
    }

    /// A compartment that is a function of one token, divided by another of it: a map.
    fn quotient(&mut self, (n, d): Quotient<'_>, role: Role, by: ProjectionId) -> Value {
        let mut form = MapForm { stream: usize::MAX, cells: Vec::new(), output: Vec::new() };
        let add = self.inputs_of_value(n, &mut form);
        let by_cells = self.inputs_of_value(d, &mut form);
        let (name, clock) = self.compartment_name(by);
        let name = self.fresh(&name);
        let basal = CompartmentForm { add, by: by_cells };
        let cells = CellsForm::linear(Is::Made, name.clone(), n.cells, Vec::new());
        form.cells.push(CellsForm { compartments: [basal, CompartmentForm::default()], ..cells });
        form.output = vec![From::Cells(form.cells.len() - 1)];
        let clock =
            n.linear.first().or(d.linear.first()).map_or(clock, |l| self.streams[l.stream].clock.clone());
        let origins: Vec<Origin> = n.linear.iter().chain(&d.linear).map(|l| l.origin).collect();
        let none = self.parts.no_origin();
        let origin = origins.into_iter().fold(none, |o, p| self.parts.union(o, p));
        let stream = self.add_map(form, name, n.cells, clock);
        let mut out = Value::zero(n.cells);
        out.linear = vec![Linear {
            role,
            stream,
            rectified: false,
            gain: 1.0,
            rows: DMatrix::identity(n.cells, n.cells),
            identity: Some(1.0),
            map: AxisMap::All,
            origin,
        }];
        out
    }

    /// `1 / d` of each cell as a form of its own; cells that are divided by the same share one.
    fn reciprocals(&mut self, d: &Value, role: Role, by: ProjectionId) -> Result<Vec<Atom>, Reason> {
        let rows: Vec<DMatrix<f64>> = d.linear.iter().map(|l| expand(&l.rows, l.map, d.cells)).collect();
        let mut known: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        let mut first: Vec<usize> = Vec::new();
        let at: Vec<usize> = (0..d.cells)
            .map(|c| {
                let own = rows.iter().flat_map(|m| m.row(c).iter().copied().collect::<Vec<f64>>());
                let key = own.chain([d.constant_of(c)]).map(f64::to_bits).collect();
                *known.entry(key).or_insert_with(|| {
                    first.push(c);
                    first.len() - 1
                })
            })
            .collect();
        let picked = d.select(&first);
        let mut form = MapForm { stream: usize::MAX, cells: Vec::new(), output: Vec::new() };
        let divisors = self.inputs_of_value(&picked, &mut form);
        let (name, _) = self.compartment_name(by);
        let name = self.fresh(&format!("1/{name}"));
        let one =
            input(From::One, Weights::Constant { rows: first.len(), columns: 1, value: 1.0 }, Vec::new());
        let cells = CellsForm::linear(Is::Made, name.clone(), first.len(), Vec::new());
        let basal = CompartmentForm { add: vec![one], by: divisors };
        form.cells.push(CellsForm { compartments: [basal, CompartmentForm::default()], ..cells });
        form.output = vec![From::Cells(form.cells.len() - 1)];
        let clock = self.streams[d.linear[0].stream].clock.clone();
        let origins: Vec<Origin> = d.linear.iter().map(|l| l.origin).collect();
        let none = self.parts.no_origin();
        let origin = origins.into_iter().fold(none, |o, p| self.parts.union(o, p));
        let stream = self.add_map(form, name, first.len(), clock);
        self.divided_by.insert(stream, picked);
        let atoms = self.cells_of(stream, first.len(), role, origin);
        Ok(at.into_iter().map(|n| atoms[n]).collect())
    }

    /// Each cell of a stream as a form.
    fn cells_of(&mut self, stream: usize, cells: usize, role: Role, origin: Origin) -> Vec<Atom> {
        (0..cells)
            .filter_map(|c| {
                let mut row = vec![0.0; self.streams[stream].d_model + 1];
                row[c] = 1.0;
                self.parts.form(role, stream, false, FeatureMap::Identity, row, origin).map(|(_, atom)| atom)
            })
            .collect()
    }

    /// Multiplies the factor of each token with the reciprocal that it waits for: a map.
    pub(super) fn settle<'t>(
        &mut self,
        terms: impl Iterator<Item = &'t mut Term>,
        name: &str,
    ) -> Result<(), Reason> {
        let waiting: Vec<&mut Term> = terms.filter(|t| t.over != [None, None]).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        // (factor, reciprocal) of terms that have such a factor
        let factor = |t: &Term, parts: &Parts| {
            let free = |a: &&Atom| parts.get(**a).map == FeatureMap::Identity && !parts.get(**a).rectified;
            [t.query, t.context.iter().flatten().find(free).copied()]
        };
        let mut wanted: BTreeSet<(Atom, Atom)> = BTreeSet::new();
        for t in &waiting {
            for (atom, over) in factor(t, &self.parts).into_iter().zip(t.over) {
                if let (Some(atom), Some(over)) = (atom, over) {
                    let form = self.parts.get(atom);
                    if form.map != FeatureMap::Identity || form.rectified {
                        return Err(Reason::Divisor { why: "it divides a nonlinear factor" });
                    }
                    if !self.products.contains_key(&self.product_key(atom, over)) {
                        wanted.insert((atom, over));
                    }
                }
            }
        }
        let mut groups: BTreeMap<(Role, usize), Vec<(Atom, Atom)>> = BTreeMap::new();
        for (a, over) in wanted {
            let (role, stream) = (self.parts.get(a).role, self.parts.get(over).stream);
            groups.entry((role, stream)).or_default().push((a, over));
        }
        for ((role, _), pairs) in groups {
            self.multiply(&pairs, role, name);
        }
        for t in waiting {
            let factors = factor(t, &self.parts);
            for (slot, (atom, over)) in factors.into_iter().zip(t.over).enumerate() {
                let Some(over) = over else { continue };
                let new = match atom {
                    Some(atom) => self.products[&self.product_key(atom, over)],
                    None => over,
                };
                let place = match (slot, atom) {
                    (0, _) => &mut t.query,
                    (_, Some(_)) => {
                        let Some(place) = t.context.iter_mut().find(|a| **a == atom) else { continue };
                        place
                    }
                    (_, None) => {
                        let Some(place) = t.context.iter_mut().find(|a| a.is_none()) else {
                            return Err(Reason::NonlinearValue);
                        };
                        place
                    }
                };
                *place = Some(new);
            }
            t.over = [None, None];
        }
        Ok(())
    }

    fn product_key(&self, a: Atom, b: Atom) -> (u32, u32) {
        (self.parts.get(a).class, self.parts.get(b).class)
    }

    /// Which cell of its stream a form is.
    fn cell_of(&self, atom: Atom) -> usize {
        self.parts.get(atom).row.iter().position(|x| *x != 0.0).unwrap_or_default()
    }

    /// A map of forms of one token, each divided by what its reciprocal stands for; all reciprocals are of one stream.
    fn multiply(&mut self, pairs: &[(Atom, Atom)], role: Role, name: &str) {
        let Some((a, b)) = pairs.first() else { return };
        let clock = self.streams[self.parts.get(*a).stream].clock.clone();
        let (a, b) = (self.parts.get(*a).origin, self.parts.get(*b).origin);
        let mut origin = self.parts.union(a, b);
        for (a, b) in pairs {
            let (a, b) = (self.parts.get(*a).origin, self.parts.get(*b).origin);
            let both = self.parts.union(a, b);
            origin = self.parts.union(origin, both);
        }
        let mut form = MapForm { stream: usize::MAX, cells: Vec::new(), output: Vec::new() };
        let rows: Vec<usize> = pairs.iter().map(|(_, over)| self.cell_of(*over)).collect();
        let divisor = self.divided_by[&self.parts.get(pairs[0].1).stream].clone();
        let by = self.inputs_of_value(&divisor.select(&rows), &mut form);
        let factors: Vec<Atom> = pairs.iter().map(|p| p.0).collect();
        let basal = CompartmentForm { add: self.inputs_of_forms(&factors), by };
        let token = if role == Role::Query { "query" } else { "context" };
        let name = self.fresh(&format!("{name}.{token}"));
        let cells = CellsForm::linear(Is::Made, name.clone(), pairs.len(), Vec::new());
        form.cells.push(CellsForm { compartments: [basal, CompartmentForm::default()], ..cells });
        form.output = vec![From::Cells(form.cells.len() - 1)];
        let stream = self.add_map(form, name, pairs.len(), clock);
        let atoms = self.cells_of(stream, pairs.len(), role, origin);
        for ((a, b), atom) in pairs.iter().zip(atoms) {
            self.products.insert(self.product_key(*a, *b), atom);
        }
    }

    /// Linear forms, one for each cell, as inputs.
    pub(super) fn inputs_of_forms(&self, atoms: &[Atom]) -> Vec<Input> {
        let streams: BTreeSet<usize> = atoms.iter().map(|a| self.parts.get(*a).stream).collect();
        let mut add: Vec<Input> = Vec::new();
        let mut constant = DMatrix::zeros(atoms.len(), 1);
        for stream in streams {
            let d = self.streams[stream].d_model;
            let mut weights = DMatrix::zeros(atoms.len(), d);
            let mut projections: BTreeSet<u32> = BTreeSet::new();
            for (i, a) in atoms.iter().enumerate() {
                let form = self.parts.get(*a);
                if form.stream == stream {
                    (0..d).for_each(|j| weights[(i, j)] = form.row[j]);
                    constant[(i, 0)] = form.row[d];
                    projections.extend(self.parts.projections(form.origin));
                }
            }
            let list = projections.into_iter().collect();
            add.push(input(From::Stream(stream), Weights::Dense(weights), list));
        }
        if constant.iter().any(|x| *x != 0.0) {
            add.push(input(From::One, Weights::Dense(constant), Vec::new()));
        }
        add
    }
}
