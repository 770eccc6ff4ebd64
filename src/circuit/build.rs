//! Names to ids: relays, areas, populations and the endpoints of projections.

use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean, nearest};
use crate::spec::{AreaSpec, CircuitSpec, Index, LayoutSpec, PopulationSpec, RelaySpec};
use std::collections::BTreeMap;

/// Most cells in one population, and most weights in one circuit.
pub const MAX_NUMBERS: usize = 100_000_000;

/// Populations under construction.
pub struct Names {
    pub streams: Vec<Stream>,
    pub areas: Vec<String>,
    pub populations: Vec<Population>,
    pub(super) by_name: BTreeMap<String, PopulationId>,
    /// names that could not be built: references to them are not reported again
    pub(super) broken: Vec<String>,
}

/// An endpoint of a projection.
#[derive(Clone, Copy)]
pub struct From {
    pub population: PopulationId,
    pub signal: Signal,
}

/// Streams, relays and populations.
pub fn names(spec: &CircuitSpec, d: &mut Diagnostics) -> Names {
    let mut n = Names {
        streams: streams(spec, d),
        areas: Vec::new(),
        populations: Vec::new(),
        by_name: BTreeMap::new(),
        broken: Vec::new(),
    };
    n.add(tonic(spec));
    for (name, relay) in spec.thalamus.iter() {
        match n.relay(spec, name, relay, d) {
            Some(population) => n.add(population),
            None => n.broken.push(name.to_owned()),
        }
    }
    for (name, area) in spec.areas.iter() {
        n.area(spec, name, area, d);
    }
    n
}

fn streams(spec: &CircuitSpec, d: &mut Diagnostics) -> Vec<Stream> {
    let table = &spec.tokens.streams;
    let position = |name: &str| table.names().position(|n| n == name);
    let mut streams = Vec::new();
    for (i, (name, s)) in table.iter().enumerate() {
        let path = format!("tokens.streams.{name}.clock");
        let clock = match &s.clock {
            None => i,
            Some(other) => match position(other) {
                Some(j) if table.0[j].1.clock.as_deref().is_none_or(|c| c == other.as_str()) => j,
                Some(_) => {
                    d.push(
                        Diagnostic::error(
                            codes::C001,
                            &path,
                            format!("stream `{other}` has no clock of its own"),
                        )
                        .help("name the stream that owns the clock"),
                    );
                    i
                }
                None => {
                    d.push(
                        Diagnostic::error(codes::C001, &path, format!("no stream `{other}`"))
                            .help(did_you_mean(other, table.names())),
                    );
                    // What was meant is likely this one; no further mistakes shall follow from it.
                    nearest(other, table.names()).and_then(position).unwrap_or(0)
                }
            },
        };
        if s.positions.is_some() && clock == i && s.clock.as_deref() == Some(name) {
            d.push(
                Diagnostic::error(codes::C037, &path, format!("positions `{name}` follow themselves"))
                    .help("name the stream whose tokens they number"),
            );
        }
        let (input, positions) = (s.input.clone(), s.positions.clone());
        streams.push(Stream { name: name.to_owned(), d_model: s.d_model, input, positions, clock });
    }
    streams
}

fn tonic(spec: &CircuitSpec) -> Population {
    Population {
        name: "tonic".to_owned(),
        path: String::new(),
        kind: Kind::Tonic,
        microcolumns: 1,
        cells: 1,
        indices: Indices::default(),
        activation: crate::spec::ActivationSpec::LINEAR,
        accumulate: None,
        mask: spec.tokens.mask,
        layer: None,
        cell_type: None,
        options: crate::spec::CellOptions::default(),
        query_clock: None,
        context_clock: None,
    }
}

fn indices(per: &[Index]) -> Indices {
    Indices { query: per.contains(&Index::Query), context: per.contains(&Index::Context) }
}

impl Names {
    fn add(&mut self, population: Population) {
        let id = PopulationId(self.populations.len());
        self.by_name.insert(population.name.clone(), id);
        self.populations.push(population);
    }

    fn reserved(name: &str, path: &str, d: &mut Diagnostics) -> bool {
        if name == "tonic" {
            d.push(
                Diagnostic::error(codes::C002, path, "`tonic` is the reserved population of value 1")
                    .help("choose another name; biases are projections from `tonic`"),
            );
        }
        name == "tonic"
    }

    fn relay(
        &mut self,
        spec: &CircuitSpec,
        name: &str,
        r: &RelaySpec,
        d: &mut Diagnostics,
    ) -> Option<Population> {
        let path = format!("thalamus.{name}");
        if Self::reserved(name, &path, d) {
            return None;
        }
        let Some(per) = &r.per else {
            d.push(
                Diagnostic::error(
                    codes::C003,
                    &path,
                    format!("relay `{name}` does not say over which index it is replicated"),
                )
                .help("add `per: [query]` (what attends) or `per: [context]` (what is attended to)"),
            );
            return None;
        };
        if per.len() != 1 {
            d.push(
                Diagnostic::error(
                    codes::C004,
                    format!("{path}.per"),
                    format!("relay `{name}` is per {}", indices(per).describe()),
                )
                .help("a relay carries one token: `per: [query]` or `per: [context]`"),
            );
            return None;
        }
        let stream = match &r.tokens {
            None => None,
            Some(s) => match self.streams.iter().position(|x| x.name == *s) {
                Some(i) => Some(i),
                None => {
                    d.push(
                        Diagnostic::error(codes::C001, format!("{path}.tokens"), format!("no stream `{s}`"))
                            .help(did_you_mean(s, self.streams.iter().map(|x| x.name.as_str()))),
                    );
                    return None;
                }
            },
        };
        Some(Population {
            name: name.to_owned(),
            path,
            kind: Kind::Relay { pathway: r.pathway, stream, part: r.part },
            microcolumns: 1,
            cells: r.cells,
            indices: indices(per),
            mask: spec.tokens.mask,
            options: r.options.clone(),
            ..tonic(spec)
        })
    }

    fn area(&mut self, spec: &CircuitSpec, name: &str, area: &AreaSpec, d: &mut Diagnostics) {
        let path = format!("areas.{name}");
        Self::reserved(name, &path, d);
        if spec.thalamus.get(name).is_some() {
            d.push(
                Diagnostic::error(codes::C005, &path, format!("`{name}` is both a relay and an area"))
                    .help("give one of them another name"),
            );
        }
        self.areas.push(name.to_owned());
        let id = self.areas.len() - 1;
        for (short, p) in area.populations.iter() {
            match self.cells(spec, id, area, short, p, d) {
                Some(population) => self.add(population),
                None => self.broken.push(format!("{name}.{short}")),
            }
        }
    }

    fn cells(
        &self,
        spec: &CircuitSpec,
        area_id: usize,
        area: &AreaSpec,
        short: &str,
        p: &PopulationSpec,
        d: &mut Diagnostics,
    ) -> Option<Population> {
        let area_name = &self.areas[area_id];
        let path = format!("areas.{area_name}.populations.{short}");
        let name = format!("{area_name}.{short}");
        let Some(per) = p.per.as_ref().or(area.microcolumns.per.as_ref()).filter(|per| !per.is_empty())
        else {
            d.push(
                Diagnostic::error(codes::C003, &path, format!("population `{name}` does not say over which index it is replicated"))
                    .help("add `per: [query, context]`, `[query]` or `[context]` here or under the area's `microcolumns`"),
            );
            return None;
        };
        let microcolumns = area.microcolumns.count.unwrap_or(1);
        match microcolumns.checked_mul(p.cells) {
            Some(n) if n <= MAX_NUMBERS => {}
            _ => {
                d.push(
                    Diagnostic::error(
                        codes::C006,
                        &path,
                        format!(
                            "population `{name}` has {microcolumns} x {} cells; the most is {MAX_NUMBERS}",
                            p.cells
                        ),
                    )
                    .help("use fewer microcolumns or cells; nothing was allocated"),
                );
                return None;
            }
        }
        let indices = indices(per);
        Self::memory(&name, &path, indices, p, d);
        if matches!(spec.tokens.layout, LayoutSpec::Time { .. }) && indices.query && indices.context {
            d.push(
                Diagnostic::error(codes::C007, format!("{path}.per"), format!("`{name}` is per [query, context], but the layout is `time`"))
                    .help("tokens in time need a memory (`accumulate`), or lay them out in space: `layout: {space: {}}`"),
            );
        }
        Some(Population {
            name,
            path,
            kind: Kind::Cells { area: area_id },
            microcolumns,
            cells: p.cells,
            indices,
            activation: p.activation,
            accumulate: p.accumulate,
            mask: area.mask.unwrap_or(spec.tokens.mask),
            layer: p.layer.clone(),
            cell_type: p.cell_type.clone(),
            options: p.options.clone(),
            ..tonic(spec)
        })
    }

    fn memory(name: &str, path: &str, indices: Indices, p: &PopulationSpec, d: &mut Diagnostics) {
        let Some(rule) = &p.accumulate else { return };
        if indices != (Indices { query: false, context: true }) {
            d.push(
                Diagnostic::error(
                    codes::C008,
                    format!("{path}.per"),
                    format!("memory `{name}` is per {}, but it folds over the context", indices.describe()),
                )
                .help("write `per: [context]`; what it sends is indexed by query"),
            );
        }
        if matches!(rule, crate::spec::AccumulateSpec::Delta { .. })
            && p.activation != crate::spec::ActivationSpec::Product
        {
            d.push(
                Diagnostic::error(
                    codes::C009,
                    format!("{path}.accumulate"),
                    format!("the delta rule of `{name}` needs `activation: product`"),
                )
                .help("key arrives at apical, value at basal; write `activation: product`"),
            );
        }
    }
}
