//! Writes a head down: matrices, mask, kernel, memory, and where each came from.

use super::atoms::{Atom, Divisor, Origin, Parts, Score, Step};
use super::block_form::BlockForm;
use super::components::{Component, Side};
use super::factor::Factors;
use super::heads::Group;
use super::rank::Rank1;
use super::reason::{Fault, Reason};
use super::term::{Fold, Term};
use crate::attention::{FeatureMap, GateSide, Head, Kernel, Memory, Normalisation, strength};
use crate::circuit::{Kind, PopulationId};
use crate::vocabulary::Function;
use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, BTreeSet};

/// A head and its provenance.
#[derive(Clone, Debug)]
pub struct HeadForm {
    pub head: Head,
    /// functional norm |f_h|, see [`crate::attention::norm`]
    pub strength: f64,
    /// singular value of the lateral weights that it stands for
    pub singular: f64,
    /// population of the last product
    pub root: PopulationId,
    /// projections (by number) that became each matrix
    pub query: Vec<u32>,
    pub key: Vec<u32>,
    pub value: Vec<u32>,
    pub output: Vec<u32>,
    pub lateral: Vec<u32>,
    /// projections behind the gate of its memory
    pub gate: Vec<u32>,
}

/// How a score becomes a weight.
fn kernel_of(score: &Score) -> Result<Kernel, Reason> {
    match score.steps.as_slice() {
        [] => Ok(Kernel::Linear),
        [Step { function: Function::Exp, .. }] => Ok(Kernel::Exp),
        [Step { function: Function::Power(p), .. }] if p.whole().is_some() => {
            Ok(Kernel::Power(p.whole().unwrap_or(1)))
        }
        [.., last] => Err(Reason::Score { activation: last.function.name() }),
    }
}

/// What heads of one group are built from.
pub struct Assembly<'a, 'b> {
    pub form: &'a BlockForm,
    pub f: &'a mut Factors<'b>,
    pub group: Group,
}

/// Rows of one factor: coefficient and form, `None` for the constant 1.
pub type Rows = Vec<(f64, Option<Atom>)>;

struct Side3 {
    weights: DMatrix<f64>,
    bias: DVector<f64>,
    stream: usize,
    map: FeatureMap,
    origin: Option<Origin>,
}

impl Assembly<'_, '_> {
    /// At the population of the last product of such a term.
    pub(super) fn fault(&self, (column, origin): (u32, Origin), reason: &Reason) -> Fault {
        self.f.fault(self.form.columns[column as usize].root(origin, &self.f.parts), reason)
    }

    /// What divides the group does not fit it.
    pub(super) fn unfit(&self, why: &'static str) -> Fault {
        let by = self.group.divisor.map(|id| self.f.parts.divisors[id as usize].by);
        self.f.misfit(by.unwrap_or_default(), &Reason::Divisor { why })
    }

    /// The stream that the query index follows, for heads whose query is a constant.
    fn query_clock(&self) -> usize {
        let clock = &self.f.streams[self.form.stream].clock;
        self.f.streams.iter().position(|s| s.name == *clock).unwrap_or_default()
    }

    /// Stacks rows into weights and bias. Nonlinear rows keep their numbers; their coefficients must be 1.
    fn stack(&mut self, rows: &Rows, default: usize, all: Origin) -> Side3 {
        // In plus/minus circuits one form comes from several projections.
        let signed = self.f.parts.any_rectified;
        let first = rows.iter().find_map(|(_, a)| *a);
        let streams: BTreeSet<usize> =
            rows.iter().filter_map(|(_, a)| a.map(|a| self.f.parts.get(a).stream)).collect();
        let stream = match streams.len() {
            0 => default,
            1 => first.map_or(default, |a| self.f.parts.get(a).stream),
            _ => self.f.side_by_side(&streams),
        };
        let map = first.map_or(FeatureMap::Identity, |a| self.f.parts.get(a).map);
        let d = self.f.streams[stream].d_model;
        let mut weights = DMatrix::zeros(rows.len(), d);
        let mut bias = DVector::zeros(rows.len());
        let mut origin: Option<Origin> = None;
        for (i, (c, atom)) in rows.iter().enumerate() {
            match atom {
                None => bias[i] = *c,
                Some(a) => {
                    let form = self.f.parts.get(*a);
                    let (first, d) = (self.f.first_in(stream, form.stream), form.row.len() - 1);
                    for j in 0..d {
                        // adding 0.0 turns -0.0 into 0.0
                        weights[(i, first + j)] = c * form.row[j] + 0.0;
                    }
                    bias[i] = c * form.row[d] + 0.0;
                    let o = if signed { self.f.parts.shared_origin(*a, all) } else { form.origin };
                    origin = Some(origin.map_or(o, |p| self.f.parts.union(p, o)));
                }
            }
        }
        Side3 { weights, bias, stream, map, origin }
    }

    /// Heads of one rank-1 term of a component of C; more than one only where nonlinear features carry unequal weights.
    pub fn linear_heads(&mut self, c: &Component, rank: &Rank1, side: Side) -> Result<Vec<HeadForm>, Fault> {
        let kept: Vec<usize> = (0..c.rows.len()).filter(|i| rank.beta[*i] != 0.0).collect();
        let nonlinear = |a: Option<Atom>, p: &Parts| a.is_some_and(|a| p.get(a).map != FeatureMap::Identity);
        let (mapped_key, mapped_query) =
            (nonlinear(c.rows[0].0, &self.f.parts), nonlinear(c.rows[0].1, &self.f.parts));
        let mut alpha = rank.alpha.clone();
        if let Some(divisor) = self.group.divisor {
            let ratio = self
                .f
                .divisor_ratio(&self.group, c, rank, divisor)
                .map_err(|r| self.f.misfit(self.f.parts.divisors[divisor as usize].by, &r))?;
            alpha.iter_mut().for_each(|a| *a /= ratio);
        }
        if let (true, [row]) = (self.group.divisor.is_some(), kept.as_slice())
            && let (Some(key), None, _) = c.rows[*row]
            && self.f.parts.get(key).map == FeatureMap::Exp
        {
            // Weights that no query sees, divided by their sum: softmax of the keys alone.
            let (keys, queries) = (vec![(1.0, Some(key))], vec![(1.0, None)]);
            let kernel = Some(Kernel::Exp);
            let singular = rank.singular;
            return Ok(vec![self.finish(c, &kept, keys, queries, &alpha, (kernel, 1.0, singular), side)?]);
        }
        if !(mapped_key && mapped_query) {
            // A weight moves into the linear side: the key's unless that is nonlinear.
            let split = |b: f64| if mapped_key { (1.0, b) } else { (b, 1.0) };
            let keys = kept.iter().map(|i| (split(rank.beta[*i]).0, c.rows[*i].0)).collect();
            let queries = kept.iter().map(|i| (split(rank.beta[*i]).1, c.rows[*i].1)).collect();
            let (keys, queries) = self.with_biases(c, keys, queries);
            let (keys, queries) = self.gathered(c, keys, queries);
            let plain = (None, 1.0, rank.singular);
            return Ok(vec![self.finish(c, &kept, keys, queries, &alpha, plain, side)?]);
        }
        // Both sides are nonlinear: weights cannot move into either, equal ones become the scale.
        if self.group.divisor.is_some() && rank.uniform().is_none() {
            return Err(self.unfit("its nonlinear features carry unequal weights"));
        }
        let mut by_weight: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for i in kept {
            by_weight.entry(rank.beta[i].to_bits()).or_default().push(i);
        }
        let mut heads = Vec::new();
        for (bits, rows) in by_weight {
            let keys = rows.iter().map(|i| (1.0, c.rows[*i].0)).collect();
            let queries = rows.iter().map(|i| (1.0, c.rows[*i].1)).collect();
            let scaled = (None, f64::from_bits(bits), rank.singular);
            heads.push(self.finish(c, &rows, keys, queries, &alpha, scaled, side)?);
        }
        Ok(heads)
    }

    #[allow(clippy::too_many_arguments)]
    fn finish(
        &mut self,
        c: &Component,
        kept: &[usize],
        keys: Rows,
        queries: Rows,
        alpha: &[f64],
        (kernel, scale, singular): (Option<Kernel>, f64, f64),
        side: Side,
    ) -> Result<HeadForm, Fault> {
        let columns: Vec<usize> = (0..c.columns.len()).filter(|j| alpha[*j] != 0.0).collect();
        let values: Rows = columns.iter().map(|j| (alpha[*j], c.columns[*j].1)).collect();
        let outputs: Vec<u32> = columns.iter().map(|j| c.columns[*j].0).collect();
        let mut gates: Vec<u32> = Vec::new();
        let memory = match self.group.sum.fold {
            Fold::Pooled | Fold::Delta => Memory::None,
            Fold::Hebbian => Memory::Hebbian,
            Fold::Decay(bits) => Memory::Decay(f64::from_bits(bits)),
            Fold::Gated => {
                let ids: Vec<Option<u32>> = match side {
                    Side::Key => kept.iter().map(|i| c.rows[*i].2).collect(),
                    Side::Value => columns.iter().map(|j| c.columns[*j].2).collect(),
                };
                gates = ids.into_iter().flatten().collect();
                let gate = self.gate(&gates);
                Memory::Gated { side: if side == Side::Key { GateSide::Key } else { GateSide::Value }, gate }
            }
        };
        let origins = c.origins.clone();
        let mut made =
            self.assemble(&keys, &queries, &values, &outputs, memory, kernel, scale, singular, &origins);
        self.explain_gate(&mut made, &gates);
        Ok(made)
    }

    /// Values weighed by one nonlinear score: one head for each stream that values come from.
    pub fn score_heads(&mut self, terms: &[(u32, Term)]) -> Result<Vec<HeadForm>, Fault> {
        let score = self.f.parts.scores[self.group.score.unwrap_or_default() as usize].clone();
        let mut ratio = 1.0;
        if let Some(id) = self.group.divisor {
            let Divisor { terms: divisor, sum, sink, .. } = self.f.parts.divisors[id as usize].clone();
            let one = match divisor.as_slice() {
                [t] if t.score == self.group.score && t.n_context() == 0 && t.query.is_none() => {
                    t.coefficient
                }
                _ => return Err(self.unfit("it pools other scores")),
            };
            if sum != self.group.sum {
                return Err(self.unfit("it is summed over another mask"));
            }
            if sink.is_some() {
                return Err(self.unfit("it depends on one token, or has a constant"));
            }
            ratio = one;
        }
        let first = score.terms[0].0;
        let uniform = score.terms.iter().all(|(c, _, _)| *c == first);
        let scale = if uniform { first } else { 1.0 };
        let rest = |c: f64| if uniform { 1.0 } else { c };
        let keys: Rows = score.terms.iter().map(|(c, _, k)| (rest(*c), *k)).collect();
        let queries: Rows = score.terms.iter().map(|(_, q, _)| (1.0, *q)).collect();
        let kernel = kernel_of(&score).map_err(|r| self.fault((terms[0].0, terms[0].1.origin), &r))?;
        let mut by_stream: BTreeMap<Option<usize>, Vec<&(u32, Term)>> = BTreeMap::new();
        for t in terms {
            by_stream.entry(t.1.context[0].map(|a| self.f.parts.get(a).stream)).or_default().push(t);
        }
        let mut heads = Vec::with_capacity(by_stream.len());
        for terms in by_stream.into_values() {
            let values: Rows = terms.iter().map(|(_, t)| (t.coefficient / ratio, t.context[0])).collect();
            let outputs: Vec<u32> = terms.iter().map(|(c, _)| *c).collect();
            let mut origins: Vec<Origin> = terms.iter().map(|(_, t)| t.origin).collect();
            origins.push(score.origin);
            let memory = match self.group.sum.fold {
                Fold::Decay(bits) => Memory::Decay(f64::from_bits(bits)),
                Fold::Hebbian => Memory::Hebbian,
                _ => Memory::None,
            };
            let singular = terms.iter().map(|(_, t)| t.coefficient * t.coefficient).sum::<f64>().sqrt();
            let kernel = Some(kernel);
            heads.push(
                self.assemble(&keys, &queries, &values, &outputs, memory, kernel, scale, singular, &origins),
            );
        }
        Ok(heads)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn assemble(
        &mut self,
        keys: &Rows,
        queries: &Rows,
        values: &Rows,
        outputs: &[u32],
        memory: Memory,
        kernel: Option<Kernel>,
        scale: f64,
        singular: f64,
        origins: &[Origin],
    ) -> HeadForm {
        let default_query = self.query_clock();
        let context = self.group.sum.clock;
        let context =
            keys.iter().chain(values).find_map(|(_, a)| *a).map_or(context, |a| self.f.parts.get(a).stream);
        let (values, columns) = self.merge_values(values, outputs, &memory);
        let mut w_o = DMatrix::zeros(self.form.d_model, columns.len());
        let none = self.f.parts.no_origin();
        let all = origins.iter().fold(none, |o, p| self.f.parts.union(o, *p));
        let root = self.form.columns[outputs[0] as usize].root(all, &self.f.parts);
        let mut out_origin = none;
        for (j, sum) in columns.iter().enumerate() {
            for (weight, c) in sum {
                let column = &self.form.columns[*c as usize];
                let mut target = w_o.column_mut(j);
                target += &column.vector * *weight;
                let ways = column.ways(all, &self.f.parts);
                out_origin = ways.iter().fold(out_origin, |o, (way, _)| self.f.parts.union(o, *way));
            }
        }
        let k = self.stack(keys, context, all);
        let q = self.stack(queries, default_query, all);
        let v = self.stack(&values, k.stream, all);
        let mapped = k.map != FeatureMap::Identity || q.map != FeatureMap::Identity;
        let kernel = kernel.unwrap_or(if mapped {
            Kernel::Feature { key: k.map, query: q.map }
        } else {
            Kernel::Linear
        });
        let circuit = self.f.circuit;
        let area = match circuit.population(root).kind {
            Kind::Cells { area } => circuit.areas[area].clone(),
            _ => String::new(),
        };
        let head = Head {
            w_q: q.weights,
            w_k: k.weights,
            w_v: v.weights,
            w_o,
            b_q: q.bias,
            b_k: k.bias,
            b_v: v.bias,
            scale,
            kernel,
            normalisation: if self.group.divisor.is_some() {
                Normalisation::Sum
            } else {
                Normalisation::None
            },
            mask: self.group.sum.mask,
            memory,
            query_stream: self.f.streams[q.stream].name.clone(),
            context_stream: self.f.streams[k.stream].name.clone(),
            value_stream: self.f.streams[v.stream].name.clone(),
            function: Vec::new(),
            sink: None,
            area,
        };
        let list = |o: Option<Origin>, parts: &Parts| o.map_or_else(Vec::new, |o| parts.projections(o));
        let (query, key, value) =
            (list(q.origin, &self.f.parts), list(k.origin, &self.f.parts), list(v.origin, &self.f.parts));
        let output = self.f.parts.projections(out_origin);
        let lateral = self
            .f
            .parts
            .projections(all)
            .into_iter()
            .filter(|p| ![&query, &key, &value, &output].iter().any(|l| l.contains(p)))
            .collect();
        let gate = Vec::new();
        HeadForm { strength: strength(&head), head, root, singular, query, key, value, output, lateral, gate }
    }

    /// Value rows of one form become one row, their output columns add up; rows with gates or rates of their own stay.
    fn merge_values(&self, values: &Rows, outputs: &[u32], memory: &Memory) -> (Rows, Vec<Vec<(f64, u32)>>) {
        let own_rows = matches!(memory, Memory::Delta(_) | Memory::Gated { side: GateSide::Value, .. });
        let class = |a: Option<Atom>| a.map_or(u32::MAX, |a| self.f.parts.get(a).class);
        let count: std::collections::BTreeSet<u32> = values.iter().map(|(_, a)| class(*a)).collect();
        if own_rows || count.len() == values.len() {
            return (values.clone(), outputs.iter().map(|c| vec![(1.0, *c)]).collect());
        }
        let mut rows: Rows = Vec::new();
        let mut columns: Vec<Vec<(f64, u32)>> = Vec::new();
        for ((weight, atom), column) in values.iter().zip(outputs) {
            match rows.iter().position(|(_, a)| class(*a) == class(*atom)) {
                Some(at) => columns[at].push((*weight, *column)),
                None => {
                    rows.push((1.0, *atom));
                    columns.push(vec![(*weight, *column)]);
                }
            }
        }
        (rows, columns)
    }
}
