//! Tokens one after another: one set of columns and a schedule of writes, against the algebra of all tokens at once.

use crate::support::{from_text, load, oracle_output, relative, root};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::{self, Circuit};
use pulvinar::simulate::cells::{End, Run, Settings, run};
use pulvinar::simulate::inputs;
use pulvinar::spec::{Document, LayoutSpec, MaskSpec, Time};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Prospective cells do the sums of the algebra in another order: a hundred times the rounding of the longest sum.
const PROSPECTIVE: f64 = 1e-12;

fn wired(document: &Document) -> Circuit {
    circuit::wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{}: {d}", document.spec.name))
}

/// The circuit with one mask everywhere, in space and in time.
fn both(mut document: Document, mask: MaskSpec, duration: f64, gap: f64) -> (Circuit, Circuit) {
    document.spec.tokens.mask = mask;
    for (_, area) in &mut document.spec.areas.0 {
        area.mask = None;
    }
    for (_, p) in &mut document.spec.projections.0 {
        p.mask = None;
    }
    let space = wired(&document);
    document.spec.tokens.layout = LayoutSpec::Time { duration: Time { ms: duration }, gap: Time { ms: gap } };
    (space, wired(&document))
}

fn tokens(circuit: &Circuit, document: &Document, most: usize) -> Streams {
    let all = inputs(circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
    all.into_iter().map(|(n, x)| (n, x.columns(0, x.ncols().min(most)).into_owned())).collect()
}

fn checked(circuit: &Circuit, tokens: &Streams, settings: &Settings) -> Run {
    run(circuit, tokens, settings).unwrap_or_else(|d| panic!("{}: {d}", circuit.name))
}

fn prospective() -> Settings {
    Settings { prospective: true, start_std: 2.0, ..Settings::default() }
}

/// Two blocks of memories; the second also reads a third area whose normaliser is a sum over the context, not a memory.
fn stack() -> String {
    let mut text = "\
schema: pulvinar/1
name: stack_in_time
seed: 5
tokens: {d_model: 5, mask: causal, input: {gaussian: {length: 7}}}
thalamus:
  Q0: {pathway: core, per: [query], cells: 5, tokens: main}
  C0: {pathway: matrix, per: [context], cells: 5, tokens: main}
  Q1: {pathway: core, per: [query], cells: 5}
  C1: {pathway: matrix, per: [context], cells: 5}
  Q2: {pathway: core, per: [query], cells: 5}
areas:
  A1: {template: {key_value_memory_head: {query: Q0, context: C0, to: Q1, d_k: 3, d_v: 2, memory: {decay: {g: 0.8}}}}}
  A2: {template: {key_value_memory_head: {query: Q1, context: C1, to: Q2, d_k: 3, d_v: 2, memory: {delta: {rate: 0.3}}}}}
  A3:
    populations:
      key:   {per: [context], cells: 3, activation: elu_plus_one}
      query: {per: [query],   cells: 3, activation: elu_plus_one}
      sum:   {per: [query],   cells: 3}
      match: {per: [query],   cells: 3, activation: product}
      total: {per: [query],   cells: 1}
  M3:
    microcolumns: {count: 2}
    populations:
      superficial: {per: [context], cells: 3, activation: product, accumulate: {hebbian: {}}}
      deep:        {per: [query],   cells: 3, activation: product}
      readout:     {per: [query],   cells: 1}
projections:
".to_owned();
    for (name, from, to, more) in [
        ("skip1", "Q0", "Q1.basal", "weights: identity"),
        ("aligned", "Q1", "C1.basal", "weights: identity"),
        ("skip2", "Q1", "Q2.basal", "weights: identity"),
        ("K3", "C1", "A3.key.basal", "weights: {normal: {fan_in: 1}}"),
        ("Q3", "Q1", "A3.query.basal", "weights: {normal: {fan_in: 1}}"),
        ("keys", "A3.key", "A3.sum.basal", "weights: identity"),
        ("m1", "A3.sum", "A3.match.apical", "weights: identity"),
        ("m2", "A3.query", "A3.match.basal", "weights: identity"),
        ("t", "A3.match", "A3.total.basal", "weights: ones"),
        ("k", "A3.key", "M3.superficial.apical", "onto: cells, weights: identity"),
        ("V3", "C1", "M3.superficial.basal", "onto: microcolumns, weights: {normal: {fan_in: 1}}"),
        ("M", "M3.superficial", "M3.deep.apical", "weights: identity"),
        ("q", "A3.query", "M3.deep.basal", "onto: cells, weights: identity"),
        ("column", "M3.deep", "M3.readout.basal", "pool: cells, weights: identity"),
        ("divide", "A3.total", "M3.readout.basal", "weights: ones, effect: divisive"),
        ("O3", "M3.readout", "Q2.basal", "weights: {normal: {fan_in: 1}}"),
    ] {
        let _ = writeln!(text, "  {name}: {{from: {from}, to: {to}, {more}}}");
    }
    text + "output: Q2\n"
}

/// Circuits without a column for each pair of tokens.
fn in_time() -> Vec<Document> {
    let files = [
        "one_head_key_value_memory",
        "decay_memory",
        "delta_memory",
        "gated_memory",
        "feature_map_memory",
        "digits",
    ];
    let mut documents: Vec<Document> =
        files.iter().map(|f| load(&root().join(format!("circuits/{f}.yaml"))).0).collect();
    documents.push(from_text(&stack()).unwrap_or_else(|e| panic!("{e}")).0);
    documents
}

#[test]
fn prospective_cells_in_time_are_the_algebra() {
    for document in in_time() {
        for mask in [MaskSpec::Causal, MaskSpec::Strict, MaskSpec::Full] {
            for (duration, gap) in [(4.0, 1.0), (7.0, 3.0)] {
                let (space, time) = both(document.clone(), mask, duration, gap);
                let tokens = tokens(&space, &document, 12);
                let want = oracle_output(&space, &tokens);
                let got = checked(&time, &tokens, &prospective());
                let name = format!("{} {} {duration} {gap}", space.name, mask.name());
                assert_eq!(got.end, End::TimeLimit, "{name}");
                let passes = if mask == MaskSpec::Full {
                    if document.spec.name == "stack_in_time" { 3 } else { 2 }
                } else {
                    1
                };
                assert_eq!(got.steps, passes * want.ncols() * (duration + gap) as usize, "{name}");
                let error = relative(&got.output, &want);
                assert!(error < PROSPECTIVE, "{name}: {error:e}");
            }
        }
    }
}

/// Two streams of unequal length: a full mask presents both from the start, the shorter one falls silent.
#[test]
fn cross_attention_in_time_is_the_algebra() {
    let text = "\
schema: pulvinar/1
name: cross_in_time
seed: 9
tokens:
  mask: full
  streams:
    words: {d_model: 4, input: {gaussian: {length: 5}}}
    scene: {d_model: 3, input: {gaussian: {length: 8}}}
thalamus:
  W: {pathway: core, per: [query], cells: 4, tokens: words}
  S: {pathway: matrix, per: [context], cells: 3, tokens: scene}
  HO: {pathway: core, per: [query], cells: 4}
areas:
  A1: {template: {key_value_memory_head: {query: W, context: S, to: HO, d_k: 3, d_v: 2}}}
projections:
  skip: {from: W, to: HO.basal, weights: identity}
output: HO
";
    for swap in [false, true] {
        let text = if swap { text.replace("length: 5", "length: 11") } else { text.to_owned() };
        let document = from_text(&text).unwrap_or_else(|e| panic!("{e}")).0;
        let (space, time) = both(document.clone(), MaskSpec::Full, 3.0, 0.0);
        let tokens = tokens(&space, &document, 99);
        let got = checked(&time, &tokens, &prospective());
        let error = relative(&got.output, &oracle_output(&space, &tokens));
        assert!(error < PROSPECTIVE, "{error:e}");
    }
}

/// The error that the lag of leaky cells leaves, for one token as long as its gap.
fn lag(mask: MaskSpec, duration: f64, gap: f64) -> f64 {
    let (document, _) = load(&root().join("circuits/one_head_key_value_memory.yaml"));
    let (space, time) = both(document.clone(), mask, duration, gap);
    let tokens = tokens(&space, &document, 16);
    let got = checked(&time, &tokens, &Settings { dt_ms: Some(0.5), ..Settings::default() });
    let want: DMatrix<f64> = oracle_output(&space, &tokens);
    relative(&got.output, &want)
}

/// As measured. What is left of the last token, about 2 exp(-T / 10 ms) in the memory, and as
/// much again in the chain of cells that read it.
#[test]
fn leaky_cells_lag_behind_tokens_in_time() {
    let rows = [
        (MaskSpec::Causal, 50.0, 4.69e-2),
        (MaskSpec::Causal, 100.0, 5.29e-4),
        (MaskSpec::Causal, 200.0, 4.30e-8),
        (MaskSpec::Strict, 50.0, 6.03e-2),
        (MaskSpec::Strict, 100.0, 6.79e-4),
        (MaskSpec::Strict, 200.0, 5.52e-8),
    ];
    for (mask, ms, want) in rows {
        let error = lag(mask, ms, ms);
        assert!((error / want - 1.0).abs() < 0.01, "{} {ms} ms: {error:e}, not {want:e}", mask.name());
    }
}

/// Silent cells and cut synapses of a whole run, with tokens in time, against the circuit that is left in space.
#[test]
fn lesions_act_on_tokens_in_time() {
    use pulvinar::simulate::cells::lesioned;
    use pulvinar::spec::{LesionSpec, WindowSpec};
    let (document, _) = load(&root().join("circuits/gated_memory.yaml"));
    let window = WindowSpec::default();
    for mask in [MaskSpec::Causal, MaskSpec::Strict, MaskSpec::Full] {
        let (space, time) = both(document.clone(), mask, 4.0, 2.0);
        let tokens = tokens(&space, &document, 12);
        for lesion in [
            LesionSpec::Silence { population: "A1.superficial".to_owned(), fraction: 0.5, window },
            LesionSpec::Silence { population: "VP_matrix".to_owned(), fraction: 0.25, window },
            LesionSpec::Silence { population: "tonic".to_owned(), fraction: 1.0, window },
            LesionSpec::Cut { projection: "W_Q".to_owned(), fraction: 0.5, window },
        ] {
            let left = lesioned(&space, std::slice::from_ref(&lesion)).unwrap_or_else(|d| panic!("{d}"));
            let want = oracle_output(&left.expect("a circuit"), &tokens);
            let name = format!("{} {lesion:?}", mask.name());
            assert!(relative(&want, &oracle_output(&space, &tokens)) > 1e-3, "{name}: nothing changed");
            let settings = Settings { lesions: vec![lesion], ..prospective() };
            let error = relative(&checked(&time, &tokens, &settings).output, &want);
            assert!(error < PROSPECTIVE, "{name}: {error:e}");
        }
    }
}
