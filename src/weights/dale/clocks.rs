//! Token indices that would lose their clock: halves that are empty carry no projection, but a population of the signed
//! circuit may have known its tokens by just that one.

use super::write::{Writer, fresh, simple};
use crate::circuit::{Kind, Population, PopulationId};
use crate::spec::WeightsSpec;
use petgraph::unionfind::UnionFind;
use std::collections::BTreeMap;

impl Writer<'_> {
    /// Gives parts that no stream reaches any more a projection of zeros from what reached them.
    pub(super) fn keep_clocks(&mut self) {
        let mut of: BTreeMap<String, PopulationId> = BTreeMap::new();
        of.extend(self.names.iter().map(|((id, _), name)| (name.clone(), *id)));
        of.extend(self.inhibitors.iter().map(|((id, ..), name)| (name.clone(), *id)));
        let number: BTreeMap<String, usize> = of.keys().cloned().zip(0..).collect();
        let (query, context) = (|n: usize| 2 * n, |n: usize| 2 * n + 1);
        let mut sets: UnionFind<usize> = UnionFind::new(2 * number.len() + 1);
        let told = 2 * number.len();
        for (name, id) in &of {
            let p = self.circuit.population(*id);
            if let Kind::Relay { stream: Some(_), .. } = p.kind {
                let n = number[name];
                sets.union(told, if p.indices.query { query(n) } else { context(n) });
            }
        }
        let join = |sets: &mut UnionFind<usize>,
                    from: usize,
                    source: &Population,
                    to: usize,
                    target: &Population| {
            let (s, t) = (source.sends(), target.indices);
            match (s.query, t.query) {
                (true, false) => _ = sets.union(query(from), context(to)),
                (true, true) if source.accumulate.is_none() => _ = sets.union(query(from), query(to)),
                _ => {}
            }
            if s.context && t.context {
                sets.union(context(from), context(to));
            }
        };
        for made in &self.made {
            let Some((to, _)) = made.spec.to.rsplit_once('.') else { continue };
            let (Some(from_id), Some(to_id)) = (of.get(&made.spec.from), of.get(to)) else { continue };
            let ends = (self.circuit.population(*from_id), self.circuit.population(*to_id));
            join(&mut sets, number[&made.spec.from], ends.0, number[to], ends.1);
        }
        let circuit = self.circuit;
        for (key, name) in self.names.clone() {
            let p = circuit.population(key.0);
            for (index, clock) in
                [(query(number[&name]), p.query_clock), (context(number[&name]), p.context_clock)]
            {
                if clock.is_none() || sets.equiv(index, told) {
                    continue;
                }
                for (_, q) in circuit.inputs_of(key.0) {
                    let Some(from) = self.names.get(&(q.from, 0)).cloned() else { continue };
                    let mut with = sets.clone();
                    join(&mut with, number[&from], circuit.population(q.from), number[&name], p);
                    if with.equiv(index, told) {
                        sets = with;
                        let base = format!("clock_{}", name.replace('.', "_"));
                        let projection = fresh(base, &mut self.projections);
                        let to = format!("{name}.{}", q.compartment.name());
                        self.add(projection, simple(&from, to, WeightsSpec::Zeros));
                        break;
                    }
                }
            }
        }
    }
}
