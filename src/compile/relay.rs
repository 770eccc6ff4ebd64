//! Relays: what arrives at one, as output columns times terms, and what it means to those who read it.
//!
//! Linear stages between the last product and a relay are not multiplied out: they are pulled back into the output
//! columns, so that a term stays one product of forms.

use super::atoms::{Origin, Role};
use super::factor::{Factors, RelayMeaning, StreamForm, mask_of};
use super::reason::Reason;
use super::term::{CANCELLED, Fold, Sum, Term, merge};
use super::value::{Linear, Value, expand};
use crate::attention::FeatureMap;
use crate::circuit::{AxisMap, Compartment, IndexRule, Kind, Output, PopulationId, Projection, Weights};
use crate::diag::Diagnostic;
use crate::spec::{ActivationSpec, Effect, Part};
use nalgebra::{DMatrix, DVector};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// A direct path of one stream.
#[derive(Clone, Debug)]
pub struct Path {
    pub stream: usize,
    pub rectified: bool,
    /// `[d_out, d_stream]`
    pub matrix: DMatrix<f64>,
    /// sum of absolute contributions, to tell rounding from signal
    size: DMatrix<f64>,
    pub origin: Origin,
}

/// Everything that arrives at a relay.
#[derive(Clone, Debug)]
pub struct BlockForm {
    pub relay: String,
    pub path: String,
    pub stream: usize,
    pub d_model: usize,
    /// output columns `[d_model]`, their origins and the population that each first came from
    pub columns: Vec<(DVector<f64>, Origin, PopulationId)>,
    pub terms: Vec<(u32, Term)>,
    pub residual: Vec<Path>,
    pub bias: DVector<f64>,
    pub bias_origin: Option<Origin>,
}

/// Output columns on their way back: column `map(cell)` of `base` belongs to the cell.
struct Pulled {
    base: DMatrix<f64>,
    map: AxisMap,
    origin: Origin,
}

type Work = BTreeMap<(Reverse<usize>, Option<Sum>), Pulled>;

impl Factors<'_> {
    /// Evaluates all relays in order; returns the blocks, the one of the output last.
    pub fn blocks(&mut self) -> Result<Vec<BlockForm>, Diagnostic> {
        let circuit = self.circuit;
        let outputs: Vec<PopulationId> = match circuit.output {
            Output::Relay(r) => vec![r],
            Output::Signed { plus, minus } => vec![plus, minus],
        };
        if let Some(id) = outputs.iter().find(|id| circuit.population(**id).indices.context) {
            return Err(self.fault(*id, &Reason::OutputPerContext));
        }
        self.no_recurrence()?;
        let signed = matches!(circuit.output, Output::Signed { .. });
        let mut blocks = Vec::new();
        for id in &circuit.order {
            let p = circuit.population(*id);
            let Kind::Relay { stream: None, part, .. } = p.kind else { continue };
            let is_output = outputs.contains(id);
            if signed && is_output && part.is_none() && !self.is_read(*id) {
                continue;
            }
            if part.is_some() && self.joins_pair(*id, part, &blocks)? {
                continue;
            }
            let form = self.arrive(&[(*id, 1.0)], &p.name)?;
            if !is_output && part.is_none() && form.is_linear_in_one_stream() {
                self.relays.insert(*id, RelayMeaning::Alias(alias(&form)));
                continue;
            }
            let stream = self.end_block(*id, form, &mut blocks)?;
            self.relays.insert(*id, RelayMeaning::Stream { stream, sign: 1.0, rectified: false });
            if let Some(part) = part {
                // z is what arrives; the relay sends max(z, 0) or max(-z, 0).
                self.relays
                    .insert(*id, RelayMeaning::Stream { stream, sign: sign_of(part), rectified: true });
            }
        }
        if let Output::Signed { plus, minus } = circuit.output {
            self.signed_output(plus, minus, &mut blocks)?;
        }
        if blocks.iter().all(|b| b.terms.is_empty()) {
            return Err(self.fault(outputs[0], &Reason::NoHeads));
        }
        Ok(blocks)
    }

    fn no_recurrence(&self) -> Result<(), Diagnostic> {
        // A delayed projection among what the output needs closes a loop or shifts time: neither is algebra.
        let needed = &self.circuit.order;
        let delayed = |p: &&Projection| {
            p.delay_ms.is_some()
                && needed.contains(&p.from)
                && needed.contains(&p.to)
                && p.compartment != Compartment::Third
        };
        let position = |id: PopulationId| needed.iter().position(|n| *n == id);
        match self.circuit.projections.iter().filter(delayed).find(|p| position(p.from) >= position(p.to)) {
            Some(p) => Err(Reason::Recurrent.at(&p.path, &self.circuit.population(p.to).name)),
            None => Ok(()),
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
    ) -> Result<usize, Diagnostic> {
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
        blocks.push(form);
        Ok(stream)
    }

    /// Is this rectified relay the partner of an earlier one, by equal or opposite input?
    fn joins_pair(
        &mut self,
        id: PopulationId,
        part: Option<Part>,
        blocks: &[BlockForm],
    ) -> Result<bool, Diagnostic> {
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
            if !blocks.iter().any(|b| b.stream == stream && b.relay == circuit.population(other).name) {
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
    ) -> Result<(), Diagnostic> {
        let circuit = self.circuit;
        let name = format!("{} - {}", circuit.population(plus).name, circuit.population(minus).name);
        let (a, b) = (self.relays.get(&plus).cloned(), self.relays.get(&minus).cloned());
        let form = match (a, b) {
            (
                Some(RelayMeaning::Stream { stream: s, sign: a, rectified: true }),
                Some(RelayMeaning::Stream { stream: t, sign: b, rectified: true }),
            ) if s == t => {
                if (a, b) == (1.0, -1.0) {
                    return Ok(());
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
            (Some(RelayMeaning::Stream { rectified: true, .. }), _)
            | (_, Some(RelayMeaning::Stream { rectified: true, .. })) => {
                return Err(self.fault(plus, &Reason::Rectified));
            }
            _ => self.arrive(&[(plus, 1.0), (minus, -1.0)], &name)?,
        };
        self.end_block(plus, form, blocks)?;
        Ok(())
    }

    /// What arrives at relays, each times a sign.
    fn arrive(&mut self, relays: &[(PopulationId, f64)], name: &str) -> Result<BlockForm, Diagnostic> {
        let circuit = self.circuit;
        let first = circuit.population(relays[0].0);
        let position: HashMap<PopulationId, usize> =
            circuit.order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        // Columns of several relays add up before any product is looked at, unless one of them divides its own.
        let divides = |id: PopulationId| {
            self.has_divisive(id, Compartment::Basal) || self.has_divisive(id, Compartment::Apical)
        };
        let together = !relays.iter().any(|(id, _)| divides(*id));
        let batches: Vec<&[(PopulationId, f64)]> =
            if together { vec![relays] } else { relays.chunks(1).collect() };
        let mut form = BlockForm::empty(name.to_owned(), first.path.clone(), first.cells);
        for batch in batches {
            let mut work: Work = BTreeMap::new();
            for (relay, sign) in batch {
                let out = Pulled {
                    base: DMatrix::from_diagonal_element(first.cells, first.cells, *sign),
                    map: AxisMap::All,
                    origin: self.parts.no_origin(),
                };
                self.pull_inputs(*relay, None, &out, &position, &mut work)?;
            }
            let relay = batch[0].0;
            let mut part = BlockForm::empty(String::new(), String::new(), first.cells);
            while let Some(((Reverse(at), sum), pulled)) = work.pop_first() {
                let id = circuit.order[at];
                if self.passes_through(id, sum) {
                    self.pull_inputs(id, sum, &pulled, &position, &mut work)?;
                } else {
                    self.root(relay, id, sum, &pulled, &mut part)?;
                }
            }
            self.divide_relay(relay, &mut part)?;
            form.absorb(part, &mut self.parts);
        }
        form.terms = merge(&form.terms, &mut self.parts);
        form.drop_cancelled_paths();
        Ok(form)
    }

    /// Pulls output columns back through the inputs of `id`.
    fn pull_inputs(
        &mut self,
        id: PopulationId,
        sum: Option<Sum>,
        out: &Pulled,
        position: &HashMap<PopulationId, usize>,
        work: &mut Work,
    ) -> Result<(), Diagnostic> {
        let circuit = self.circuit;
        for (number, p) in circuit.inputs_of(id) {
            if p.compartment == Compartment::Third || p.effect == Effect::Divisive {
                continue;
            }
            if p.delay_ms.is_some() {
                return Err(self.fault(id, &Reason::Recurrent));
            }
            let sum = match p.index {
                IndexRule::SumContext(mask) => Some(Sum { mask: mask_of(mask), fold: Fold::Pooled }),
                _ => sum,
            };
            let origin = self.parts.origin_of(number.0);
            let s = &p.synapses;
            let base = times_weights(&out.base, out.map, circuit.population(id).size(), s.onto, &s.weights);
            let pulled = Pulled { base, map: s.pool, origin: self.parts.union(origin, out.origin) };
            let size = circuit.population(p.from).size();
            let key = (Reverse(position[&p.from]), sum);
            match work.remove(&key) {
                None => work.insert(key, pulled),
                Some(earlier) => {
                    let origin = self.parts.union(earlier.origin, pulled.origin);
                    let joined = if earlier.map == pulled.map {
                        Pulled { base: earlier.base + pulled.base, map: earlier.map, origin }
                    } else {
                        let base = earlier.columns(size) + pulled.columns(size);
                        Pulled { base, map: AxisMap::All, origin }
                    };
                    work.insert(key, joined)
                }
            };
        }
        Ok(())
    }

    /// A linear stage that the output columns absorb.
    fn passes_through(&self, id: PopulationId, sum: Option<Sum>) -> bool {
        let p = self.circuit.population(id);
        matches!(p.kind, Kind::Cells { .. })
            && matches!(p.activation, ActivationSpec::Linear | ActivationSpec::Power { exponent: 1 })
            && p.accumulate.is_none()
            && !self.has_divisive(id, Compartment::Basal)
            && !self.has_divisive(id, Compartment::Apical)
            && self.circuit.inputs_of(id).all(|(_, q)| {
                q.index != IndexRule::Aligned
                    && !(sum.is_some() && matches!(q.index, IndexRule::SumContext(_)))
            })
    }

    /// Adds `columns x value` of a population that is not passed through.
    fn root(
        &mut self,
        relay: PopulationId,
        id: PopulationId,
        sum: Option<Sum>,
        out: &Pulled,
        form: &mut BlockForm,
    ) -> Result<(), Diagnostic> {
        let mut value = (*self.value(id)?).clone();
        if let Some(sum) = sum {
            value = value.summed(sum, |_| None, &mut self.parts).map_err(|r| self.fault(id, &r))?;
        } else if self.circuit.population(relay).indices.context
            && self.circuit.population(id).sends().context
        {
            value = value
                .with_role(Role::Query, &mut self.parts)
                .map_err(|_| self.fault(relay, &Reason::ContextRelay))?;
        }
        let size = value.cells;
        for part in &value.linear {
            if part.role == Role::Context {
                return Err(self.fault(relay, &Reason::ContextRelay));
            }
            let matrix = part.gain
                * match part.identity {
                    Some(g) if part.map == AxisMap::All => out.columns(size) * g,
                    _ => out.columns(size) * expand(&part.rows, part.map, size),
                };
            let origin = self.parts.union(part.origin, out.origin);
            form.add_path(part.stream, part.rectified, matrix, origin, &mut self.parts);
        }
        if let Some((constant, origin)) = &value.constant {
            form.bias += out.columns(size) * constant;
            let origin = self.parts.union(*origin, out.origin);
            form.bias_origin = Some(form.bias_origin.map_or(origin, |o| self.parts.union(o, origin)));
        }
        if value.has_no_terms() {
            return Ok(());
        }
        let mut known: HashMap<usize, Option<(f64, u32)>> = HashMap::new();
        for (cell, list) in value.terms.iter().enumerate() {
            let base_column = out.map.of(cell);
            let column = *known
                .entry(base_column)
                .or_insert_with(|| form.column(out.base.column(base_column).into_owned(), out.origin, id));
            let Some((sign, column)) = column else { continue };
            for t in list {
                self.place(relay, column, Term { coefficient: t.coefficient * sign, ..*t }, form)?;
            }
        }
        Ok(())
    }

    /// A term goes to the sums; one that is a plain form of the query token goes to the direct path.
    fn place(
        &mut self,
        relay: PopulationId,
        column: u32,
        t: Term,
        form: &mut BlockForm,
    ) -> Result<(), Diagnostic> {
        if t.sum.is_some() {
            form.terms.push((column, t));
            return Ok(());
        }
        if t.score.is_some() || t.n_context() > 0 {
            return Err(self.fault(relay, &Reason::ContextRelay));
        }
        let vector = form.columns[column as usize].0.clone();
        match t.query {
            None => form.bias += vector * t.coefficient,
            Some(atom) => {
                let f = self.parts.get(atom).clone();
                if f.map != FeatureMap::Identity {
                    return Err(self.fault(relay, &Reason::PerToken));
                }
                let d = f.row.len() - 1;
                let row = DMatrix::from_row_slice(1, d, &f.row[..d]) * t.coefficient;
                form.bias += &vector * (f.row[d] * t.coefficient);
                form.add_path(f.stream, f.rectified, vector * row, t.origin, &mut self.parts);
            }
        }
        Ok(())
    }

    /// Divisive input on the relay itself divides everything that arrives, so nothing but one sum may.
    fn divide_relay(&mut self, relay: PopulationId, form: &mut BlockForm) -> Result<(), Diagnostic> {
        for compartment in [Compartment::Basal, Compartment::Apical] {
            if !self.has_divisive(relay, compartment) {
                continue;
            }
            let other =
                if compartment == Compartment::Basal { Compartment::Apical } else { Compartment::Basal };
            let mixed = self.circuit.inputs_of(relay).any(|(_, p)| p.compartment == other);
            if mixed || !form.residual.is_empty() || form.bias.iter().any(|x| *x != 0.0) {
                return Err(self.fault(relay, &Reason::DividesResidual));
            }
            let divisor = self.inputs(relay, compartment, Effect::Divisive)?;
            let mut ones = Value::zero(divisor.cells);
            let origin = self.parts.no_origin();
            let fold = Sum { mask: crate::attention::Mask::Full, fold: Fold::Pooled };
            ones.terms = vec![vec![Term { sum: Some(fold), ..Term::constant(1.0, origin) }]; divisor.cells];
            let probe = self.divide(&ones, &divisor).map_err(|r| self.fault(relay, &r))?;
            let ids: Vec<_> =
                probe.terms.iter().map(|l| l.first().map(|t| (t.divisor, t.coefficient.to_bits()))).collect();
            let Some(Some((id, bits))) = ids.first().copied() else { continue };
            if ids.iter().any(|i| *i != ids[0]) {
                return Err(self.fault(
                    relay,
                    &Reason::Divisor { why: "cells of the relay are divided by different sums" },
                ));
            }
            for (_, t) in &mut form.terms {
                if t.divisor.is_some() {
                    return Err(self.fault(relay, &Reason::DividedTwice));
                }
                t.divisor = id;
                t.coefficient *= f64::from_bits(bits);
            }
        }
        Ok(())
    }

    /// No rectified leftovers, and a query in every sum.
    fn check(&mut self, form: &BlockForm) -> Result<(), Diagnostic> {
        let rectified = |f: &Self, t: &Term| {
            t.query.iter().chain(t.context.iter().flatten()).any(|a| f.parts.get(*a).rectified)
        };
        let blame = |f: &Self, column: u32, reason: &Reason| {
            let (_, origin, root) = &form.columns[column as usize];
            let p = f.circuit.population(*root);
            match f.parts.projections(*origin).first() {
                Some(number) if !matches!(p.kind, Kind::Cells { .. }) => {
                    let q = &f.circuit.projections[*number as usize];
                    reason.at(&q.path, &q.name)
                }
                _ => reason.at(&p.path, &p.name),
            }
        };
        for (column, t) in &form.terms {
            if t.query.is_none() && t.score.is_none() {
                return Err(blame(self, *column, &Reason::NoQuery));
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
}

fn sign_of(part: Part) -> f64 {
    if part == Part::Minus { -1.0 } else { 1.0 }
}

fn alias(form: &BlockForm) -> Value {
    let mut value = Value::zero(form.d_model);
    for path in &form.residual {
        // Halves of a plus/minus pair stay apart from their factor 1/2, as on the relay that they come from.
        let gain = if form.residual.len() == 2 { 0.5 } else { 1.0 };
        value.linear.push(Linear {
            role: Role::Query,
            stream: path.stream,
            rectified: path.rectified,
            gain,
            rows: &path.matrix / gain,
            identity: None,
            map: AxisMap::All,
            origin: path.origin,
        });
    }
    if let Some(origin) = form.bias_origin {
        value.constant = Some((form.bias.clone(), origin));
    }
    value
}

/// `base[:, map(target)]` summed into the rows of `w`, times `w`: `[d_out, w.columns]`.
fn times_weights(
    base: &DMatrix<f64>,
    map: AxisMap,
    targets: usize,
    onto: AxisMap,
    w: &Weights,
) -> DMatrix<f64> {
    let rows = if map == AxisMap::All && onto == AxisMap::All {
        base.clone()
    } else {
        let mut rows = DMatrix::zeros(base.nrows(), w.rows());
        for t in 0..targets {
            let mut column = rows.column_mut(onto.of(t));
            column += base.column(map.of(t));
        }
        rows
    };
    match w {
        Weights::Identity { gain, .. } => rows * *gain,
        Weights::Constant { columns, value, .. } => {
            let sums = rows.column_sum() * *value;
            DMatrix::from_fn(rows.nrows(), *columns, |i, _| sums[i])
        }
        Weights::Dense(m) => {
            // The output relay starts as a signed identity: no product needed.
            let sign = if rows.is_empty() { 0.0 } else { rows[(0, 0)] };
            if rows.is_square() && rows == DMatrix::from_diagonal_element(rows.nrows(), rows.nrows(), sign) {
                m * sign
            } else {
                rows * m
            }
        }
    }
}

impl Pulled {
    /// One column per cell.
    fn columns(&self, cells: usize) -> DMatrix<f64> {
        if self.map == AxisMap::All {
            return self.base.clone();
        }
        DMatrix::from_fn(self.base.nrows(), cells, |i, c| self.base[(i, self.map.of(c))])
    }
}

impl BlockForm {
    fn empty(relay: String, path: String, d_model: usize) -> Self {
        Self {
            relay,
            path,
            stream: usize::MAX,
            d_model,
            columns: Vec::new(),
            terms: Vec::new(),
            residual: Vec::new(),
            bias: DVector::zeros(d_model),
            bias_origin: None,
        }
    }

    /// Number of an output column, its sign taken out; `None` for a column of zeros.
    fn column(&mut self, mut v: DVector<f64>, origin: Origin, root: PopulationId) -> Option<(f64, u32)> {
        let first = v.iter().copied().find(|x| *x != 0.0)?;
        let sign = if first < 0.0 { -1.0 } else { 1.0 };
        v.iter_mut().for_each(|x| *x = *x * sign + 0.0);
        self.columns.push((v, origin, root));
        u32::try_from(self.columns.len() - 1).ok().map(|n| (sign, n))
    }

    fn add_path(
        &mut self,
        stream: usize,
        rectified: bool,
        matrix: DMatrix<f64>,
        origin: Origin,
        parts: &mut super::atoms::Parts,
    ) {
        match self.residual.iter_mut().find(|p| p.stream == stream && p.rectified == rectified) {
            Some(p) => {
                p.size += matrix.abs();
                p.matrix += matrix;
                p.origin = parts.union(p.origin, origin);
            }
            None => self.residual.push(Path { stream, rectified, size: matrix.abs(), matrix, origin }),
        }
    }

    /// Adds what arrives at another relay; equal columns become one.
    fn absorb(&mut self, other: Self, parts: &mut super::atoms::Parts) {
        let bits = |v: &DVector<f64>| v.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
        let mut index: HashMap<Vec<u64>, u32> = HashMap::new();
        for (i, (v, _, _)) in self.columns.iter().enumerate() {
            index.insert(bits(v), u32::try_from(i).unwrap_or(u32::MAX));
        }
        let mut renamed = Vec::with_capacity(other.columns.len());
        for (v, origin, root) in other.columns {
            let key = bits(&v);
            let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
            let at = *index.entry(key).or_insert(next);
            if at == next {
                self.columns.push((v, origin, root));
            } else {
                let kept = &mut self.columns[at as usize];
                kept.1 = parts.union(kept.1, origin);
            }
            renamed.push(at);
        }
        self.terms.extend(other.terms.into_iter().map(|(c, t)| (renamed[c as usize], t)));
        for p in other.residual {
            self.add_path(p.stream, p.rectified, p.matrix, p.origin, parts);
        }
        self.bias += other.bias;
        self.bias_origin = match (self.bias_origin, other.bias_origin) {
            (Some(a), Some(b)) => Some(parts.union(a, b)),
            (a, b) => a.or(b),
        };
    }

    /// Direct paths that cancel to rounding go.
    fn drop_cancelled_paths(&mut self) {
        self.residual.retain(|p| p.matrix.iter().zip(&p.size).any(|(x, s)| x.abs() > CANCELLED * s));
    }

    /// A linear copy of one earlier stream, or of one half of a plus/minus pair.
    fn is_linear_in_one_stream(&self) -> bool {
        self.terms.is_empty()
            && !self.residual.is_empty()
            && self.residual.iter().all(|p| p.stream == self.residual[0].stream)
    }

    fn is_zero(&self) -> bool {
        self.terms.is_empty() && self.residual.is_empty() && self.bias.iter().all(|x| *x == 0.0)
    }
}
