//! What arrives at a relay: linear stages are pulled back into output columns, products become terms.
//!
//! Linear stages between the last product and a relay are not multiplied out, so that a term stays one product of
//! forms.

use super::atoms::{Origin, Role};
use super::block_form::BlockForm;
use super::factor::Factors;
use super::hash::HashMap;
use super::reason::{Fault, Reason};
use super::structured::expand;
use super::term::{CANCELLED, Fold, Sum, Term, merge};
use super::value::Value;
use crate::attention::FeatureMap;
use crate::circuit::{AxisMap, Compartment, IndexRule, Kind, PopulationId, Weights};
use crate::spec::Effect;
use nalgebra::DMatrix;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Output columns on their way back: column `map(cell)` of `base` belongs to the cell.
struct Pulled {
    base: DMatrix<f64>,
    /// in plus/minus circuits, where halves are to cancel: the sums of the absolute values
    size: Option<DMatrix<f64>>,
    map: AxisMap,
    origin: Origin,
}

type Work = BTreeMap<(Reverse<usize>, Option<Sum>), Pulled>;

impl Factors<'_> {
    /// What arrives at relays, each times a sign.
    pub(super) fn arrive(&mut self, relays: &[(PopulationId, f64)], name: &str) -> Result<BlockForm, Fault> {
        let circuit = self.circuit;
        let first = circuit.population(relays[0].0);
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
                    size: self.parts.any_rectified.then(|| DMatrix::identity(first.cells, first.cells)),
                    map: AxisMap::All,
                    origin: self.parts.no_origin(),
                };
                self.pull_inputs(*relay, None, &out, &mut work)?;
            }
            let relay = batch[0].0;
            let mut part = BlockForm::empty(String::new(), String::new(), first.cells);
            let mut roots = Vec::new();
            while let Some(((Reverse(at), sum), pulled)) = work.pop_first() {
                let id = circuit.order[at];
                if self.passes_through(id, sum) {
                    self.pull_inputs(id, sum, &pulled, &mut work)?;
                } else {
                    roots.push((id, sum, pulled));
                }
            }
            // Of the halves of a signed product the first one in the file gives forms and columns their sign.
            if self.parts.any_rectified {
                roots.reverse();
            }
            for (id, sum, pulled) in roots {
                self.root(relay, id, sum, &pulled.without_rounding(), &mut part)?;
            }
            self.divide_relay(relay, &mut part)?;
            form.absorb(part, &mut self.parts);
        }
        form.terms = merge(&form.terms, &mut self.parts);
        if form.terms.iter().any(|(_, t)| t.over != [None, None]) {
            let terms = form.terms.iter_mut().map(|(_, t)| t);
            self.settle(terms, &first.name).map_err(|r| self.fault(relays[0].0, &r))?;
            form.terms = merge(&form.terms, &mut self.parts);
        }
        form.drop_cancelled_paths();
        Ok(form)
    }

    /// Pulls output columns back through the inputs of `id`.
    fn pull_inputs(
        &mut self,
        id: PopulationId,
        sum: Option<Sum>,
        out: &Pulled,
        work: &mut Work,
    ) -> Result<(), Fault> {
        let circuit = self.circuit;
        for (number, p) in circuit.inputs_of(id) {
            if p.compartment == Compartment::Third || p.effect == Effect::Divisive {
                continue;
            }
            let sum = match p.index {
                IndexRule::SumContext(mask) => Some(self.sum(p.from, mask, Fold::Pooled)),
                _ => sum,
            };
            let origin = self.parts.origin_of(number.0);
            let s = &p.synapses;
            let back = |m: &DMatrix<f64>, w: &Weights| {
                times_weights(m, out.map, circuit.population(id).size(), s.onto, w)
            };
            let base = back(&out.base, &s.weights);
            let size = out.size.as_ref().map(|size| back(size, &s.weights.absolute()));
            let pulled = Pulled { base, size, map: s.pool, origin: self.parts.union(origin, out.origin) };
            let size = circuit.population(p.from).size();
            let key = (Reverse(self.position[&p.from]), sum);
            match work.remove(&key) {
                None => work.insert(key, pulled),
                Some(earlier) => {
                    let origin = self.parts.union(earlier.origin, pulled.origin);
                    work.insert(key, Pulled { origin, ..earlier.plus(pulled, size) })
                }
            };
        }
        Ok(())
    }

    /// A linear stage that the output columns absorb.
    fn passes_through(&self, id: PopulationId, sum: Option<Sum>) -> bool {
        let p = self.circuit.population(id);
        matches!(p.kind, Kind::Cells { .. })
            && !self.lifted.contains(&id)
            && p.activation.is_linear()
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
    ) -> Result<(), Fault> {
        let mut value = self.value(id)?;
        // Where terms are all there is, each is summed as it is placed.
        let placed_sum = sum.filter(|_| value.linear.is_empty() && value.constant.is_none());
        if let Some(sum) = sum {
            if placed_sum.is_none() {
                value =
                    Rc::new(value.summed(sum, |_| None, &mut self.parts).map_err(|r| self.fault(id, &r))?);
            }
        } else if self.circuit.population(relay).indices.context
            && self.circuit.population(id).sends().context
        {
            let own = value.with_role(Role::Query, &mut self.parts);
            value = Rc::new(own.map_err(|_| self.fault(relay, &Reason::ContextRelay))?);
        }
        if sum.is_none() && value.terms.iter().flatten().any(|t| t.sum.is_none() && t.over != [None, None]) {
            let mut own = (*value).clone();
            let direct = own.terms.iter_mut().flatten().filter(|t| t.sum.is_none());
            self.settle(direct, &self.circuit.population(id).name).map_err(|r| self.fault(id, &r))?;
            value = Rc::new(own);
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
            let origin = self.parts.union(*origin, out.origin);
            form.add_bias(&(out.columns(size) * constant), origin, &mut self.parts);
        }
        if value.has_no_terms() {
            return Ok(());
        }
        form.terms.reserve(value.terms.iter().map(Vec::len).sum());
        let mut known: HashMap<usize, Option<u32>> = HashMap::default();
        for (cell, list) in value.terms.iter().enumerate() {
            let base_column = out.map.of(cell);
            let column = *known
                .entry(base_column)
                .or_insert_with(|| form.column(out.base.column(base_column).into_owned(), out.origin, id));
            let Some(column) = column else { continue };
            for t in list {
                let mut t = *t;
                if placed_sum.is_some() {
                    t = t.summed(placed_sum, None).map_err(|r| self.fault(id, &r))?;
                }
                self.place((relay, id), column, t, out.origin, form)?;
            }
        }
        Ok(())
    }

    /// A term goes to the sums; one that is a plain form of the query token goes to the direct path.
    fn place(
        &mut self,
        (relay, root): (PopulationId, PopulationId),
        column: u32,
        t: Term,
        way: Origin,
        form: &mut BlockForm,
    ) -> Result<(), Fault> {
        let t = Term { origin: self.parts.union(t.origin, way), ..t };
        if t.sum.is_some() {
            form.terms.push((column, t));
            return Ok(());
        }
        if t.divisor.is_some() {
            let at = form.columns[column as usize].root(t.origin, &self.parts);
            return Err(self.fault(at, &Reason::DividesResidual));
        }
        if t.score.is_some() || t.n_context() > 0 {
            return Err(self.fault(relay, &Reason::ContextRelay).of(root));
        }
        let vector = form.columns[column as usize].vector.clone();
        match t.query {
            None => form.add_bias(&(vector * t.coefficient), t.origin, &mut self.parts),
            Some(atom) => {
                let f = self.parts.get(atom).clone();
                if f.map != FeatureMap::Identity {
                    return Err(self.fault(relay, &Reason::PerToken).of(root));
                }
                let d = f.row.len() - 1;
                let row = DMatrix::from_row_slice(1, d, &f.row[..d]) * t.coefficient;
                if f.row[d] != 0.0 {
                    form.add_bias(&(&vector * (f.row[d] * t.coefficient)), t.origin, &mut self.parts);
                }
                form.add_path(f.stream, f.rectified, vector * row, t.origin, &mut self.parts);
            }
        }
        Ok(())
    }

    /// Divisive input on the relay itself divides everything that arrives, so nothing but one sum may.
    fn divide_relay(&mut self, relay: PopulationId, form: &mut BlockForm) -> Result<(), Fault> {
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
            let fold = Sum { mask: crate::attention::Mask::Full, fold: Fold::Pooled, clock: 0 };
            ones.terms = vec![vec![Term { sum: Some(fold), ..Term::constant(1.0, origin) }]; divisor.cells];
            let by = self.divisive(relay, compartment);
            let probe = self.divide(&ones, &divisor, by).map_err(|r| match r {
                Reason::Divisor { .. } => self.misfit(by, &r),
                _ => self.fault(relay, &r),
            })?;
            let ids: Vec<_> = probe
                .terms
                .iter()
                .map(|l| l.first().map(|t| (t.divisor, t.over, t.coefficient.to_bits())))
                .collect();
            let Some(Some((id, over, bits))) = ids.first().copied() else { continue };
            if ids.iter().any(|i| *i != ids[0]) {
                let why = "cells of the relay are divided by different sums";
                return Err(self.misfit(by, &Reason::Divisor { why }));
            }
            for (_, t) in &mut form.terms {
                if t.divisor.is_some() {
                    return Err(self.fault(relay, &Reason::DividedTwice));
                }
                if over[0].is_some() && t.score.is_some() {
                    return Err(self.misfit(by, &Reason::ScoreDivided));
                }
                t.divisor = id;
                t.over = over;
                t.coefficient *= f64::from_bits(bits);
            }
        }
        Ok(())
    }
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
        self.written_out(&self.base, cells)
    }

    fn written_out(&self, m: &DMatrix<f64>, cells: usize) -> DMatrix<f64> {
        if self.map == AxisMap::All {
            return m.clone();
        }
        DMatrix::from_fn(m.nrows(), cells, |i, c| m[(i, self.map.of(c))])
    }

    /// Both together, on their way to the same population of so many cells.
    fn plus(self, other: Self, cells: usize) -> Self {
        let same = self.map == other.map;
        let add = |x: &DMatrix<f64>, y: &DMatrix<f64>| {
            if same { x + y } else { self.written_out(x, cells) + other.written_out(y, cells) }
        };
        Self {
            base: add(&self.base, &other.base),
            size: self.size.as_ref().zip(other.size.as_ref()).map(|(x, y)| add(x, y)),
            map: if same { self.map } else { AxisMap::All },
            origin: self.origin,
        }
    }

    /// What rounding leaves of numbers that cancel is 0.
    fn without_rounding(mut self) -> Self {
        if let Some(size) = &self.size {
            let cancels = |x: f64, size: f64| x.abs() <= CANCELLED * size;
            self.base.zip_apply(size, |x, size| *x = if cancels(*x, size) { 0.0 } else { *x });
        }
        self
    }
}
