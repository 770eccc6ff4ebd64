//! Maps written down, in their place between the blocks.
//!
//! What only another map reads is taken into it, what nothing reads goes; each map stands before the first block that may need
//! it.

use super::factor::Factors;
use super::map_form::{CellsForm, CompartmentForm, From, Input, MapForm};
use super::{CompiledBlock, CompiledMap, MapPart, Step};
use crate::attention::token_map::{self, Arrow, Compartment, MapCells, Source};
use crate::attention::{Head, TokenMap};
use crate::circuit::Weights;
use crate::vocabulary::Activation;
use std::collections::BTreeSet;

/// The maps that blocks and the answer need, and the order of all stages.
pub fn stages(f: &Factors<'_>, blocks: &[CompiledBlock]) -> (Vec<CompiledMap>, Vec<Step>) {
    let read: BTreeSet<usize> = (0..f.streams.len())
        .filter(|s| *s == f.output || blocks.iter().any(|b| reads(b, &f.streams[*s].name)))
        .collect();
    let maps = fused(f, &read);
    // Streams of blocks and maps: how many blocks come before.
    let mut after: Vec<usize> = vec![0; f.streams.len()];
    for (stream, place) in after.iter_mut().enumerate() {
        let name = &f.streams[stream].name;
        if let Some(b) = blocks.iter().position(|b| b.block.relay == *name) {
            *place = b + 1;
        }
    }
    for map in &maps {
        let last = map.reads().into_iter().map(|s| after[s]).max().unwrap_or(0);
        after[map.stream] = if map.stream == f.output { blocks.len() } else { last };
    }
    let mut steps = Vec::new();
    for place in 0..=blocks.len() {
        let own = maps.iter().enumerate().filter(|(_, m)| after[m.stream] == place);
        let (last, others): (Vec<_>, Vec<_>) = own.partition(|(_, m)| m.stream == f.output);
        steps.extend(others.into_iter().chain(last).map(|(n, _)| Step::Map(n)));
        if place < blocks.len() {
            steps.push(Step::Block(place));
        }
    }
    (maps.iter().map(|m| written(f, m)).collect(), steps)
}

/// Does a block read this stream?
fn reads(block: &CompiledBlock, name: &str) -> bool {
    let b = &block.block;
    let head = |h: &Head| {
        let gates = h.memory.gate();
        [&h.query_stream, &h.context_stream, &h.value_stream].into_iter().any(|s| s == name)
            || gates.into_iter().any(|g| g.stream == name)
    };
    b.heads.iter().any(head) || b.residual.iter().any(|r| r.stream == name) || b.clock_stream == name
}

/// Maps that are read, each with those that only it reads inside; every map after what it reads.
fn fused(f: &Factors<'_>, read: &BTreeSet<usize>) -> Vec<MapForm> {
    let mut maps = f.maps.clone();
    loop {
        let readers = |s: usize, maps: &[MapForm]| -> Vec<usize> {
            (0..maps.len()).filter(|m| maps[*m].reads().contains(&s)).collect()
        };
        let unread =
            maps.iter().position(|m| !read.contains(&m.stream) && readers(m.stream, &maps).is_empty());
        if let Some(unread) = unread {
            maps.remove(unread);
            continue;
        }
        let inner = (0..maps.len()).find_map(|m| match readers(maps[m].stream, &maps).as_slice() {
            [reader] if !read.contains(&maps[m].stream) => Some((m, *reader)),
            _ => None,
        });
        let Some((inner, reader)) = inner else { return maps };
        let taken = maps[inner].clone();
        maps[reader].take_in(&taken, &f.streams);
        maps.remove(inner);
    }
}

fn written(f: &Factors<'_>, form: &MapForm) -> CompiledMap {
    let streams = form.reads();
    let inputs: Vec<token_map::Input> = streams
        .iter()
        .map(|s| token_map::Input { stream: f.streams[*s].name.clone(), d_stream: f.streams[*s].d_model })
        .collect();
    let at = |s: usize| streams.iter().position(|x| *x == s).unwrap_or_default();
    let arrow = |i: &Input| Arrow {
        source: match i.from {
            From::One => Source::Constant,
            From::Stream(s) => Source::Stream(at(s)),
            From::Cells(c) => Source::Cells(c),
        },
        weights: match &i.weights {
            Weights::Identity { gain, .. } => token_map::Weights::Identity(*gain),
            w => token_map::Weights::Dense(w.dense()),
        },
    };
    let compartment = |c: &CompartmentForm| Compartment {
        sums: c.add.iter().map(arrow).collect(),
        divisors: c.by.iter().map(arrow).collect(),
    };
    let mut cells: Vec<MapCells> = Vec::with_capacity(form.cells.len());
    for c in &form.cells {
        let [basal, apical] = [compartment(&c.compartments[0]), compartment(&c.compartments[1])];
        cells.push(MapCells { name: c.name.clone(), n: c.cells, basal, apical, activation: c.activation });
    }
    let mut output = Vec::with_capacity(form.output.len());
    for from in &form.output {
        match from {
            From::Cells(c) => output.push(*c),
            // A stream beside others.
            From::Stream(s) => {
                let (name, n) = (f.streams[*s].name.clone(), f.streams[*s].d_model);
                let source = Source::Stream(at(*s));
                let copy = Arrow { source, weights: token_map::Weights::Identity(1.0) };
                cells.push(MapCells {
                    name,
                    n,
                    basal: Compartment::sum(vec![copy]),
                    apical: Compartment::default(),
                    activation: Activation::LINEAR,
                });
                output.push(cells.len() - 1);
            }
            From::One => {}
        }
    }
    let name = |from: From| match from {
        From::One => None,
        From::Stream(s) => Some(f.streams[s].name.clone()),
        From::Cells(c) => Some(form.cells[c].name.clone()),
    };
    let mut sources: Vec<String> = Vec::new();
    for from in &form.output {
        let found: Vec<String> = match from {
            From::Cells(c) => form.cells[*c].inputs().filter_map(|i| name(i.from)).collect(),
            from => name(*from).into_iter().collect(),
        };
        for source in found {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    let part = |c: &CellsForm| MapPart {
        name: c.name.clone(),
        activation: c.activation.name(),
        looped: c.looped,
        projections: c.projections(),
    };
    let (name, clock) = (f.streams[form.stream].name.clone(), f.streams[form.stream].clock.clone());
    CompiledMap {
        parts: form.cells.iter().map(part).collect(),
        sources,
        map: TokenMap { name, clock_stream: clock, inputs, cells, output },
    }
}
