//! Heads that read a delta memory.

use super::atoms::{Atom, Origin};
use super::build_head::{Assembly, HeadForm, Rows};
use super::factor::Factors;
use super::hash::HashMap;
use super::memory::DeltaMemory;
use super::rank::{Rank1, factorise};
use super::reason::{Fault, Reason};
use super::term::Term;
use crate::attention::{FeatureMap, Memory, Rate, strength};
use crate::circuit::PopulationId;
use nalgebra::DMatrix;
use std::collections::BTreeMap;

/// Coefficient bits and form class of each key cell of a microcolumn.
type KeySignature = Vec<(u64, u32)>;

impl Assembly<'_, '_> {
    /// Heads that read one delta memory: microcolumns of equal keys, factorised over what reads them.
    pub fn delta_heads(&mut self, terms: &[(u32, Term)]) -> Result<Vec<HeadForm>, Fault> {
        let id = PopulationId(self.group.memory.unwrap_or_default() as usize);
        let Some(memory) = self.f.deltas.get(&id).cloned() else { return Ok(Vec::new()) };
        if self.group.divisor.is_some() {
            return Err(self.unfit("a delta memory has no sum of weights"));
        }
        let cells = self.f.circuit.population(id).cells;
        let class = |a: Atom, f: &Factors<'_>| f.parts.get(a).class;
        // Microcolumns by their keys.
        let mut groups: Vec<(KeySignature, Vec<usize>)> = Vec::new();
        for (m, key) in memory.keys.iter().enumerate() {
            let signature: KeySignature = key.iter().map(|(c, a)| (c.to_bits(), class(*a, self.f))).collect();
            match groups.iter_mut().find(|(s, _)| *s == signature) {
                Some((_, members)) => members.push(m),
                None => groups.push((signature, vec![m])),
            }
        }
        let mut heads = Vec::new();
        for (_, members) in groups {
            let mine: Vec<&(u32, Term)> = terms
                .iter()
                .filter(|(_, t)| t.memory.is_some_and(|(_, cell)| members.contains(&(cell as usize / cells))))
                .collect();
            let mut by_streams: BTreeMap<(usize, usize), Vec<&(u32, Term)>> = BTreeMap::new();
            for t in mine {
                let Some(query) = t.1.query else { continue };
                if self.f.parts.get(query).map != FeatureMap::Identity {
                    let at = (t.0, t.1.origin);
                    return Err(self.fault(at, &Reason::Delta { why: "a nonlinear query reads it" }));
                }
                let column = t.1.memory.map_or(0, |(_, cell)| cell as usize / cells);
                let value = self.f.parts.get(memory.values[column].1).stream;
                by_streams.entry((self.f.parts.get(query).stream, value)).or_default().push(t);
            }
            for mine in by_streams.into_values() {
                heads.extend(self.delta_group(&memory, cells, &mine));
            }
        }
        Ok(heads)
    }

    pub(super) fn delta_group(
        &mut self,
        memory: &DeltaMemory,
        cells: usize,
        terms: &[&(u32, Term)],
    ) -> Vec<HeadForm> {
        // Rows: (key cell, query form); columns: (microcolumn, output column).
        let mut rows: Vec<(usize, Option<Atom>)> = Vec::new();
        let mut columns: Vec<(usize, u32)> = Vec::new();
        let mut row_index = HashMap::default();
        let mut column_index = HashMap::default();
        let mut entries = Vec::new();
        for (column, t) in terms {
            let address = t.memory.map_or(0, |(_, cell)| cell as usize);
            let class = t.query.map_or(u32::MAX, |a| self.f.parts.get(a).class);
            let i = *row_index.entry((address % cells, class)).or_insert_with(|| {
                rows.push((address % cells, t.query));
                rows.len() - 1
            });
            let j = *column_index.entry((address / cells, *column)).or_insert_with(|| {
                columns.push((address / cells, *column));
                columns.len() - 1
            });
            entries.push((i, j, t.coefficient));
        }
        let mut c = DMatrix::zeros(rows.len(), columns.len());
        for (i, j, x) in entries {
            c[(i, j)] += x;
        }
        let origins: Vec<Origin> = terms.iter().map(|(_, t)| t.origin).collect();
        let keys: Rows = memory.keys[columns[0].0].iter().map(|(c, a)| (*c, Some(*a))).collect();
        let mut heads = Vec::new();
        for rank in factorise(&c) {
            let kept: Vec<usize> = (0..columns.len()).filter(|j| rank.alpha[*j] != 0.0).collect();
            let values: Rows =
                kept.iter().map(|j| memory.values[columns[*j].0]).map(|(c, a)| (c, Some(a))).collect();
            let outputs: Vec<u32> = kept.iter().map(|j| columns[*j].1).collect();
            let rate = match &memory.gates {
                None => Rate::Constant(memory.rate),
                Some(gates) => {
                    let ids: Vec<u32> = kept.iter().map(|j| gates[columns[*j].0]).collect();
                    Rate::Gate(self.gate(&ids))
                }
            };
            // Queries of one key cell add up: linear forms merge.
            let queries: Rows = vec![(0.0, None); keys.len()];
            let mut made = self.assemble(
                &keys,
                &queries,
                &values,
                &outputs,
                Memory::Delta(rate),
                None,
                1.0,
                rank.singular,
                &origins,
            );
            self.delta_queries(&mut made, &rows, &rank);
            let ids: Vec<u32> =
                memory.gates.iter().flat_map(|gates| kept.iter().map(|j| gates[columns[*j].0])).collect();
            self.explain_gate(&mut made, &ids);
            for (position, j) in kept.iter().enumerate() {
                made.head.w_o.column_mut(position).scale_mut(rank.alpha[*j]);
            }
            made.strength = strength(&made.head);
            heads.push(made);
        }
        heads
    }

    pub(super) fn delta_queries(
        &mut self,
        made: &mut HeadForm,
        rows: &[(usize, Option<Atom>)],
        rank: &Rank1,
    ) {
        let first = rows.iter().find_map(|(_, a)| *a);
        let Some(first) = first else { return };
        let stream = self.f.parts.get(first).stream;
        let d = self.f.streams[stream].d_model;
        made.head.query_stream.clone_from(&self.f.streams[stream].name);
        made.head.w_q = DMatrix::zeros(made.head.w_k.nrows(), d);
        let mut origin = self.f.parts.get(first).origin;
        for ((cell, atom), beta) in rows.iter().zip(&rank.beta) {
            let Some(atom) = atom else { continue };
            let form = self.f.parts.get(*atom).clone();
            for j in 0..d {
                made.head.w_q[(*cell, j)] += beta * form.row[j];
            }
            made.head.b_q[*cell] += beta * form.row[d];
            origin = self.f.parts.union(origin, form.origin);
        }
        made.query = self.f.parts.projections(origin);
        made.lateral.retain(|p| !made.query.contains(p));
    }
}
