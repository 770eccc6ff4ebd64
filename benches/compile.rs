//! From text to heads: time of each stage, and how it grows with the number of synapses.
//!
//! The generated circuit has areas of one attention-mask head each (d_model 30, d_k = d_v = 8), 1,024 synapses per
//! area: 10, 100 and 1,000 areas are 10^4, 10^5 and 10^6 synapses. All areas end on one relay: one block of as many
//! heads. `one_wide_head` compiles one linear head of n key and n value cells, whose factor form has n^2 terms: n^2
//! products of key, query and value meet, of which one head is made.

use divan::{Bencher, black_box};
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::spec::{self, Document};
use std::fmt::Write;
use std::path::Path;

fn main() {
    divan::main();
}

const AREAS: [usize; 3] = [10, 100, 1000];

fn text(areas: usize) -> String {
    let mut yaml = String::from(
        "schema: pulvinar/1\nname: many\nseed: 1\n\
         tokens: {d_model: 30, mask: causal, input: {gaussian: {length: 16}}}\n\
         thalamus:\n  Q: {pathway: core, per: [query], cells: 30}\n  C: {pathway: matrix, per: [context], cells: 30}\n  \
         H: {pathway: core, per: [query], cells: 30}\nareas:\n",
    );
    for a in 0..areas {
        let _ = writeln!(
            yaml,
            "  A{a}:\n    microcolumns: {{per: [query, context]}}\n    populations:\n      \
             superficial: {{layer: L2/3, cells: 8, activation: product}}\n      \
             deep: {{layer: L5, cells: 8, activation: product}}"
        );
    }
    yaml.push_str("projections:\n");
    for a in 0..areas {
        let mut row = |name: &str, from: &str, to: &str, weights: &str| {
            let _ = writeln!(yaml, "  {name}{a}: {{from: {from}, to: {to}, weights: {weights}}}");
        };
        let normal = "{normal: {fan_in: 1}}";
        let cells = |name: &str| format!("A{a}.{name}");
        row("K", "C", &cells("superficial.apical"), normal);
        row("Q", "Q", &cells("superficial.basal"), normal);
        row("L", &cells("superficial"), &cells("deep.apical"), "ones");
        row("V", "C", &cells("deep.basal"), normal);
        row("O", &cells("deep"), "H.basal", normal);
    }
    yaml + "  skip: {from: Q, to: H.basal, weights: identity}\noutput: H\n"
}

fn read(text: &str) -> Document {
    spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"))
}

fn wired(document: &Document) -> Circuit {
    wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}"))
}

#[divan::bench(args = AREAS, sample_count = 10, sample_size = 1)]
fn stage_1_read(bencher: Bencher<'_, '_>, areas: usize) {
    let text = text(areas);
    bencher.bench_local(|| read(black_box(&text)));
}

#[divan::bench(args = AREAS, sample_count = 10, sample_size = 1)]
fn stage_2_wire(bencher: Bencher<'_, '_>, areas: usize) {
    let document = read(&text(areas));
    bencher.bench_local(|| wired(black_box(&document)));
}

#[divan::bench(args = AREAS, sample_count = 10, sample_size = 1)]
fn stage_3_compile(bencher: Bencher<'_, '_>, areas: usize) {
    let circuit = wired(&read(&text(areas)));
    assert!(circuit.synapse_count() >= areas * 1000, "{} synapses", circuit.synapse_count());
    bencher.bench_local(|| compile(black_box(&circuit)).unwrap_or_else(|d| panic!("{d}")));
}

#[divan::bench(args = AREAS, sample_count = 10, sample_size = 1)]
fn text_to_heads(bencher: Bencher<'_, '_>, areas: usize) {
    let text = text(areas);
    bencher.bench_local(|| {
        let circuit = wired(&read(black_box(&text)));
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(compiled.blocks[0].heads.len(), areas);
        compiled
    });
}

#[divan::bench(args = [250, 500, 1000], sample_count = 5, sample_size = 1)]
fn one_wide_head(bencher: Bencher<'_, '_>, n: usize) {
    let file = include_str!("../circuits/hopfield.yaml");
    let set = [("n".to_owned(), n.to_string()), ("memory".to_owned(), "linear".to_owned())];
    let document = spec::read(file.as_bytes(), Path::new("."), &set).unwrap_or_else(|d| panic!("{d}"));
    let circuit = wired(&document);
    bencher.bench_local(|| {
        let compiled = compile(black_box(&circuit)).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(compiled.blocks[0].heads.len(), 1);
        compiled
    });
}

/// What `pulvinar validate` does for a typical file, without the start of a process.
#[divan::bench]
fn validate_a_typical_file() {
    let file = include_str!("../circuits/multihead_cortico_thalamic.yaml");
    let circuit = wired(&read(black_box(file)));
    black_box(compile(&circuit).unwrap_or_else(|d| panic!("{d}")));
}
