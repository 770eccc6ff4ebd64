//! Rows of a head before they are written: biases of queries, rows that add up, gates.

use super::atoms::{Atom, Origin};
use super::build_head::{Assembly, HeadForm, Rows};
use super::components::Component;
use super::factor::Factors;
use crate::attention::{FeatureMap, Gate};
use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, BTreeSet};

impl Assembly<'_, '_> {
    /// A key that no query meets is the bias of the query that meets the same key, where there is one.
    pub(super) fn with_biases(&mut self, c: &Component, keys: Rows, queries: Rows) -> (Rows, Rows) {
        let gated = c.rows.iter().any(|(_, _, gate)| gate.is_some());
        if gated || queries.iter().all(|(_, a)| a.is_some()) {
            return (keys, queries);
        }
        let class = |a: Option<Atom>, f: &Factors<'_>| a.map_or(u32::MAX, |a| f.parts.get(a).class);
        let mut kept: (Rows, Rows) = (Vec::new(), Vec::new());
        let (mut asked, mut free) = (Vec::new(), Vec::new());
        for (key, query) in keys.into_iter().zip(queries) {
            if query.1.is_some() { asked.push((key, query)) } else { free.push((key, query)) }
        }
        for (key, query) in free {
            let same = asked.iter_mut().find(|((_, k), _)| class(*k, self.f) == class(key.1, self.f));
            let bias = query.0 * key.0;
            let made = same.and_then(|((scale, _), (own, atom))| {
                let form = self.f.parts.get((*atom)?).clone();
                if form.map != FeatureMap::Identity {
                    return None;
                }
                let mut row: Vec<f64> = form.row.iter().map(|x| x * *own).collect();
                *row.last_mut()? += bias / *scale;
                let (sign, new) =
                    self.f.parts.form(form.role, form.stream, false, form.map, row, form.origin)?;
                (*own, *atom) = (sign, Some(new));
                Some(())
            });
            if made.is_none() {
                kept.0.push(key);
                kept.1.push(query);
            }
        }
        let (mut keys, mut queries): (Rows, Rows) = asked.into_iter().unzip();
        keys.append(&mut kept.0);
        queries.append(&mut kept.1);
        (keys, queries)
    }

    /// Rows of few keys (or queries) that meet many queries (or keys): the linear ones that meet the same one add up.
    ///
    /// A memory that is read by a dense matrix has a row for each pair of a key and a query.
    pub(super) fn gathered(&mut self, c: &Component, keys: Rows, queries: Rows) -> (Rows, Rows) {
        const MANY: usize = 4;
        if c.rows.iter().any(|(_, _, gate)| gate.is_some()) {
            return (keys, queries);
        }
        let classes = |rows: &Rows, f: &Factors<'_>| -> Vec<u32> {
            rows.iter().map(|(_, a)| a.map_or(u32::MAX, |a| f.parts.get(a).class)).collect()
        };
        let linear = |rows: &Rows, f: &Factors<'_>| {
            let form = |a: Atom| f.parts.get(a).map == FeatureMap::Identity;
            let streams: BTreeSet<Option<usize>> =
                rows.iter().map(|(_, a)| a.map(|a| f.parts.get(a).stream)).collect();
            rows.iter().all(|(_, a)| a.is_some_and(form)) && streams.len() == 1
        };
        for keep_keys in [true, false] {
            let (kept, added) = if keep_keys { (&keys, &queries) } else { (&queries, &keys) };
            let of = classes(kept, self.f);
            let distinct: BTreeSet<u32> = of.iter().copied().collect();
            if of.len() < MANY * distinct.len() || distinct.len() < 2 || !linear(added, self.f) {
                continue;
            }
            let mut first: Vec<usize> = Vec::with_capacity(distinct.len());
            let mut rows: Vec<(Vec<f64>, Origin)> = Vec::with_capacity(distinct.len());
            let mut at: BTreeMap<u32, usize> = BTreeMap::new();
            for (i, ((own, _), (weight, atom))) in kept.iter().zip(added).enumerate() {
                let Some(atom) = *atom else { continue };
                let form = self.f.parts.get(atom);
                let (width, origin) = (form.row.len(), form.origin);
                let place = *at.entry(of[i]).or_insert_with(|| {
                    first.push(i);
                    rows.push((vec![0.0; width], origin));
                    rows.len() - 1
                });
                let (row, all) = &mut rows[place];
                for (x, y) in row.iter_mut().zip(&self.f.parts.get(atom).row) {
                    *x += own * weight * y;
                }
                *all = self.f.parts.union(*all, origin);
            }
            let (mut own, mut sums): (Rows, Rows) = (Vec::new(), Vec::new());
            for (i, (row, origin)) in first.into_iter().zip(rows) {
                let Some(form) = added[i].1.map(|a| self.f.parts.get(a).clone()) else { continue };
                if let Some((sign, atom)) =
                    self.f.parts.form(form.role, form.stream, false, FeatureMap::Identity, row, origin)
                {
                    own.push((1.0, kept[i].1));
                    sums.push((sign, Some(atom)));
                }
            }
            return if keep_keys { (own, sums) } else { (sums, own) };
        }
        (keys, queries)
    }

    /// Notes the projections behind gates.
    pub(super) fn explain_gate(&mut self, made: &mut HeadForm, ids: &[u32]) {
        let mut all = self.f.parts.no_origin();
        for id in ids {
            let origin = self.f.parts.gates[*id as usize].origin;
            all = self.f.parts.union(all, origin);
        }
        made.gate = self.f.parts.projections(all);
    }

    /// Gates of several rows as one layer; a single row when all are the same.
    pub(super) fn gate(&mut self, ids: &[u32]) -> Gate {
        let ids = if ids.windows(2).all(|w| w[0] == w[1]) { &ids[..1] } else { ids };
        let gates: Vec<_> = ids.iter().map(|id| self.f.parts.gates[*id as usize].clone()).collect();
        let mut atoms: Vec<Atom> = Vec::new();
        for (_, a) in gates.iter().flat_map(|g| &g.terms) {
            if !atoms.contains(a) {
                atoms.push(*a);
            }
        }
        let streams: BTreeSet<usize> = atoms.iter().map(|a| self.f.parts.get(*a).stream).collect();
        let stream = match streams.first() {
            Some(_) if streams.len() > 1 => self.f.side_by_side(&streams),
            first => first.copied().unwrap_or(self.group.sum.clock),
        };
        let d = self.f.streams[stream].d_model;
        let forms: Vec<_> = atoms.iter().map(|a| self.f.parts.get(*a).clone()).collect();
        let places: Vec<usize> = forms.iter().map(|form| self.f.first_in(stream, form.stream)).collect();
        let feature = |i: usize, j: usize| {
            let own = j.checked_sub(places[i]).filter(|at| *at + 1 < forms[i].row.len());
            own.map_or(0.0, |at| forms[i].row[at])
        };
        let mut weights = DMatrix::zeros(gates.len(), atoms.len());
        for (i, g) in gates.iter().enumerate() {
            for (c, a) in &g.terms {
                if let Some(j) = atoms.iter().position(|x| x == a) {
                    weights[(i, j)] += c;
                }
            }
        }
        Gate {
            stream: self.f.streams[stream].name.clone(),
            constant: DVector::from_iterator(gates.len(), gates.iter().map(|g| g.constant)),
            weights,
            features: DMatrix::from_fn(forms.len(), d, feature),
            bias: DVector::from_iterator(
                forms.len(),
                forms.iter().map(|f| f.row.last().copied().unwrap_or_default()),
            ),
            maps: forms.iter().map(|f| f.map).collect(),
        }
    }
}
