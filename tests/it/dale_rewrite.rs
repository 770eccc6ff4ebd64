//! Signed circuits rewritten with plus and minus cells: the same heads, the same output, no negative rate, no cell with
//! weights of both signs.

use crate::generate::heads::random_circuit;
use crate::support::{from_text, load, net, oracle_output, relative, shipped};
use pulvinar::attention::equivalence::distance;
use pulvinar::attention::{Block, Streams};
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostic;
use pulvinar::oracle::cells as oracle;
use pulvinar::simulate::{inputs, run};
use pulvinar::spec::{Document, Sign, read};
use pulvinar::weights::dale::rewrite;
use std::collections::{BTreeMap, BTreeSet};

/// The rewritten circuit, read back from its text.
fn rewritten(document: &Document, circuit: &Circuit) -> Result<(String, Document, Circuit), Diagnostic> {
    let new = rewrite(&document.spec, circuit)?;
    let text = new.to_yaml();
    let document = read(text.as_bytes(), &document.folder, &[]).unwrap_or_else(|d| panic!("{d}\n{text}"));
    let circuit = wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}\n{text}"));
    Ok((text, document, circuit))
}

/// Dale's law: the weights of each cell have one sign, and every projection says which.
fn obeys_the_law(circuit: &Circuit, claim: &str) {
    let mut signs: BTreeMap<usize, Sign> = BTreeMap::new();
    for p in &circuit.projections {
        let sign = p.sign.unwrap_or_else(|| panic!("{claim}: {} has no sign", p.name));
        let wrong = p.synapses.weights.find(|w| if sign == Sign::Excitatory { w < 0.0 } else { w > 0.0 });
        assert_eq!(wrong, None, "{claim}: {}", p.name);
        let first = *signs.entry(p.from.0).or_insert(sign);
        assert_eq!(first, sign, "{claim}: {} sends both signs", circuit.population(p.from).name);
    }
}

/// By loops over all cells: no rate is negative.
fn no_negative_rate(circuit: &Circuit, tokens: &Streams, claim: &str) {
    let sent = oracle::evaluate(&net(circuit, tokens)).unwrap_or_else(|e| panic!("{claim}: {e}"));
    for (s, id) in sent.iter().zip(&circuit.order) {
        let lowest = s.values.iter().flatten().flatten().fold(f64::INFINITY, |m, x| m.min(*x));
        assert!(lowest >= 0.0, "{claim}: `{}` sends {lowest}", circuit.population(*id).name);
    }
}

/// Streams and relays by the names of the signed circuit.
fn renamed(block: &Block) -> Block {
    let old = |name: &str| name.strip_suffix("_plus").unwrap_or(name).to_owned();
    let mut block = block.clone();
    block.relay = old(block.relay.split(" - ").next().unwrap_or_default());
    for h in &mut block.heads {
        (h.query_stream, h.context_stream, h.value_stream) =
            (old(&h.query_stream), old(&h.context_stream), old(&h.value_stream));
    }
    for r in &mut block.residual {
        r.stream = old(&r.stream);
    }
    block
}

/// Everything that must hold; returns the largest relative error of the output, and whether all blocks were linear and
/// compared as functions.
fn same_function(document: &Document, circuit: &Circuit, claim: &str) -> Result<(f64, bool), Diagnostic> {
    let (text, _, dale) = rewritten(document, circuit)?;
    obeys_the_law(&dale, claim);
    let (old, new) = (
        compile(circuit).unwrap_or_else(|d| panic!("{claim}: {d}")),
        compile(&dale).unwrap_or_else(|d| panic!("{claim}: {d}\n{text}")),
    );
    let tokens =
        inputs(circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{claim}: {d}"));
    let tokens: Streams =
        tokens.into_iter().map(|(n, x)| (n, x.columns(0, x.ncols().min(20)).into_owned())).collect();
    let want = oracle_output(circuit, &tokens);
    if !want.iter().all(|x| x.is_finite()) || want.amax() > 1e6 {
        return Ok((0.0, false)); // stacked powers grow beyond what a comparison means
    }
    no_negative_rate(&dale, &tokens, claim);
    let cells = relative(&oracle_output(&dale, &tokens), &want);
    let output = run::<f64>(&new.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{claim}: {d}")).output;
    let compiled = relative(&output, &want);
    let dims = |c: &pulvinar::compile::Compiled| -> Vec<Vec<(usize, usize)>> {
        c.blocks.iter().map(|b| b.block.heads.iter().map(|h| (h.d_key(), h.d_value())).collect()).collect()
    };
    assert_eq!(dims(&old), dims(&new), "{claim}: d_k and d_v of the heads of each block\n{text}");
    let (mut apart, mut compared) = (0.0_f64, true);
    for (a, b) in old.blocks.iter().zip(&new.blocks) {
        match distance(&a.block, &renamed(&b.block)) {
            Ok(d) => apart = apart.max(d.total.relative()),
            Err(_) => compared = false, // not linear: the outputs are compared
        }
    }
    assert!(
        cells < 1e-12 && compiled < 1e-12 && apart < 1e-12,
        "{claim}: {cells:e} {compiled:e} {apart:e}\n{text}"
    );
    Ok((cells.max(compiled), compared))
}

/// Shipped circuits whose heads are not linear: their outputs are compared.
const NOT_LINEAR: [&str; 7] = [
    "softmax_divisive",
    "polynomial_kernel",
    "feature_map_memory",
    "gated_memory",
    "template_heads",
    "hopfield",
    "digit_memories",
];
/// Shipped circuits with a delta memory, and its area.
const DELTA: [(&str, &str); 5] = [
    ("delta_memory", "A1"),
    ("associative_memory", "DEL"),
    ("conditioning", "DEL"),
    ("digit_memories", "DEL"),
    ("equilibrium", "DEL"),
];

#[test]
fn shipped_circuits_keep_their_heads() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        match same_function(&document, &circuit, &name) {
            Ok((_, compared)) => assert_eq!(compared, !NOT_LINEAR.contains(&name.as_str()), "{name}"),
            Err(d) => {
                assert_eq!(d.code, "N024", "{name}: {d}");
                let (_, area) =
                    DELTA.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}: {d}"));
                assert_eq!(d.path, format!("areas.{area}.populations.superficial.accumulate"));
                assert!(d.message.contains(&format!("`{area}.superficial`")), "{d}");
            }
        }
    }
}

/// Why a random circuit may be refused: a word of its text, a word of the refusal.
const REFUSED: [(&str, &str); 10] = [
    ("exponent: 3", "`power 3`"),
    ("activation: sign}", "`sign`"),
    ("activation: tanh}", "`tanh`"),
    ("activation: silu}", "`silu`"),
    ("activation: gelu}", "`gelu`"),
    ("activation: gelu_tanh}", "`gelu_tanh`"),
    ("activation: sine}", "`sine`"),
    ("delta: {", "delta rule"),
    ("gated: {", "gate may be negative"),
    ("gated: {", "delta rule"),
];

#[test]
fn random_circuits_keep_their_heads() {
    let mut rewritten = 0;
    let mut refused = BTreeSet::new();
    for seed in 0..300 {
        let (text, _) = random_circuit(seed);
        let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        match same_function(&document, &circuit, &format!("seed {seed}")) {
            Ok(_) => rewritten += 1,
            Err(d) => {
                assert_eq!(d.code, "N024", "seed {seed}: {d}");
                let why = REFUSED.iter().find(|(has, says)| text.contains(has) && d.message.contains(says));
                refused.insert(why.unwrap_or_else(|| panic!("seed {seed}: {d}\n{text}")).1);
            }
        }
    }
    assert!(rewritten >= 120, "only {rewritten} circuits were rewritten");
    assert_eq!(refused.len(), 9, "{refused:?}");
}

/// Constructs that the random circuits do not have: relays and cells of a circuit, its output.
const FORMS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "keys and read-outs through several linear populations",
        "  HO: {pathway: core, per: [query], cells: 4}",
        "      L4a: {cells: 3, per: [context]}\n      L4b: {cells: 5, per: [context]}\n      L6a: {cells: 3, per: [query]}\n      L6b: {cells: 2, per: [query]}\n      L6c: {cells: 3, per: [query]}",
        "  a: {from: C, to: A.L4a.basal, weights: {normal: {std: 1}}}\n  ab: {from: tonic, to: A.L4a.basal, weights: {normal: {std: 1}}}\n  b: {from: C, to: A.L4b.apical, weights: {normal: {std: 1}}}\n  ka: {from: A.L4a, to: A.s.apical, weights: {normal: {std: 1}}}\n  kb: {from: A.L4b, to: A.s.apical, weights: {normal: {std: 1}}}\n  kc: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  oa: {from: A.d, to: A.L6a.basal, weights: {normal: {std: 1}}}\n  ob: {from: A.d, to: A.L6b.basal, weights: {normal: {std: 1}}}\n  oc: {from: A.L6a, to: A.L6c.basal, weights: {normal: {std: 1}}}\n  od: {from: A.L6b, to: A.L6c.basal, weights: {normal: {std: 1}}}\n  oe: {from: A.L6a, to: HO.basal, weights: {normal: {std: 1}}}\n  of: {from: A.L6b, to: HO.basal, weights: {normal: {std: 1}}}\n  og: {from: A.L6c, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "ties, their gains and transposes",
        "  HO: {pathway: core, per: [query], cells: 4}",
        "",
        "  K: {from: C, to: A.s.apical, weights: {same_as: Q}, gain: -2}\n  W: {from: C, to: A.d.basal, weights: {uniform: {low: -1, high: 1}}, gain: -0.5}\n  O: {from: A.d, to: HO.basal, weights: {transpose_of: W}, gain: -3}\n  r: {from: Q, to: HO.basal, weights: {values: [[1, -2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0.5], [-1, 0, 0, 1]]}, gain: -1}",
        "HO",
    ),
    (
        "a tie to the transpose of what is not there",
        "  HO: {pathway: core, per: [query], cells: 4}\n  E: {pathway: core, per: [query], cells: 3}",
        "",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  F: {from: HO, to: E.basal, weights: {normal: {std: 1}}}\n  O: {from: A.d, to: HO.basal, weights: {transpose_of: F}}",
        "HO",
    ),
    (
        "a second block, whose token has another name, weights and a bias",
        "  H1: {pathway: core, per: [query], cells: 4}\n  N: {pathway: core, per: [query], cells: 4}\n  D: {pathway: matrix, per: [context], cells: 4}\n  HO: {pathway: core, per: [query], cells: 4}",
        "      s2: {cells: 3, activation: product}\n      d2: {cells: 3, activation: product}",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  O: {from: A.d, to: H1.basal, weights: {normal: {std: 1}}}\n  skip: {from: Q, to: H1.apical, weights: identity, gain: -1}\n  b: {from: tonic, to: H1.basal, weights: {normal: {std: 1}}}\n  n: {from: H1, to: N.basal, weights: {normal: {std: 1}}}\n  nb: {from: tonic, to: N.basal, weights: {normal: {std: 1}}}\n  c: {from: N, to: D.basal, weights: {normal: {std: 1}}}\n  K2: {from: D, to: A.s2.apical, weights: {normal: {std: 1}}}\n  Q2: {from: N, to: A.s2.basal, weights: {normal: {std: 1}}}\n  A2: {from: A.s2, to: A.d2.apical, weights: {rank: {of: 2, std: 1}}}\n  V2: {from: D, to: A.d2.basal, weights: {normal: {std: 1}}}\n  O2: {from: A.d2, to: HO.basal, weights: {normal: {std: 1}}}\n  skip2: {from: N, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "an output that copies a block",
        "  H1: {pathway: core, per: [query], cells: 4}\n  HO: {pathway: core, per: [query], cells: 4}",
        "",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  O: {from: A.d, to: H1.basal, weights: {normal: {std: 1}}}\n  copy: {from: H1, to: HO.basal, weights: identity}",
        "HO",
    ),
    (
        "a difference of two signed relays",
        "  R: {pathway: core, per: [query], cells: 4}\n  S: {pathway: core, per: [query], cells: 4}",
        "",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  O: {from: A.d, to: R.basal, weights: {normal: {std: 1}}}\n  P: {from: A.d, to: S.basal, weights: {normal: {std: 1}}}\n  skip: {from: Q, to: S.basal, weights: identity}",
        "{plus: R, minus: S}",
    ),
    (
        "names that are taken",
        "  HO: {pathway: core, per: [query], cells: 4}\n  HO_plus: {pathway: core, per: [query], cells: 4}\n  TRN: {pathway: core, per: [query], cells: 4}\n  Q_minus: {pathway: matrix, per: [context], cells: 4, tokens: main}",
        "      s_pp: {cells: 3, activation: product}\n      e: {cells: 1, activation: exp}\n      e_inh: {cells: 2}",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  K_pp_p: {from: Q_minus, to: A.s_pp.apical, weights: {normal: {std: 1}}}\n  L: {from: Q, to: A.s_pp.basal, weights: {normal: {std: 1}}}\n  i: {from: A.s_pp, to: A.e_inh.basal, weights: {normal: {std: 1}}}\n  j: {from: A.e_inh, to: A.e.apical, weights: {normal: {std: 0.3}}}\n  O: {from: A.d, to: HO_plus.basal, weights: {normal: {std: 1}}}\n  T: {from: HO_plus, to: TRN.basal, weights: identity}\n  out: {from: TRN, to: HO.basal, weights: {normal: {std: 1}}}\n  f: {from: A.e, to: A.f.apical, weights: ones}\n  g: {from: C, to: A.f.basal, weights: {normal: {std: 1}}}\n  h: {from: A.f, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "halves that the file splits itself",
        "  Qp: {pathway: core, per: [query], cells: 4, part: plus}\n  Qm: {pathway: core, per: [query], cells: 4, part: minus}\n  HO: {pathway: core, per: [query], cells: 4}",
        "",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  p: {from: Qp, to: A.s.basal, weights: {same_as: Q}}\n  m: {from: Qm, to: A.s.basal, weights: {same_as: Q}, gain: -1}\n  O: {from: A.d, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "weights of zeros, a population at rest",
        "  HO: {pathway: core, per: [query], cells: 4}",
        "      quiet: {cells: 2, per: [query]}",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  z: {from: Q, to: A.quiet.basal, weights: zeros}\n  y: {from: A.quiet, to: HO.basal, weights: {normal: {std: 1}}}\n  O: {from: A.d, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "weights that are all negative, a rate that never is",
        "  HO: {pathway: core, per: [query], cells: 4}",
        "      e: {cells: 3, activation: sigmoid, per: [context]}\n      s2: {cells: 3, activation: product}\n      d3: {cells: 3, activation: product}",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  z: {from: C, to: A.e.basal, weights: {normal: {std: 1}}}\n  e: {from: A.e, to: A.s2.apical, weights: ones, gain: -1}\n  e2: {from: Q, to: A.s2.basal, weights: {uniform: {low: -1, high: -0.5}}}\n  A4: {from: A.s2, to: A.d3.apical, weights: ones}\n  A3: {from: A.s, to: A.d3.apical, weights: ones, gain: -1}\n  V3: {from: C, to: A.d3.basal, weights: {uniform: {low: -2, high: -1}}}\n  O: {from: A.d3, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "one projection for key and value, with a bias",
        "  HO: {pathway: core, per: [query], cells: 4}",
        "      L4: {cells: 3, per: [context]}\n      d3: {cells: 3, activation: product}",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  k: {from: C, to: A.L4.basal, weights: {normal: {std: 1}}}\n  kb: {from: tonic, to: A.L4.basal, weights: {normal: {std: 1}}}\n  k2: {from: A.L4, to: A.s.apical, weights: identity}\n  v2: {from: A.L4, to: A.d3.basal, weights: identity}\n  A3: {from: A.s, to: A.d3.apical, weights: ones}\n  O: {from: A.d3, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
    (
        "a relay that is divided",
        "  H1: {pathway: core, per: [query], cells: 4}\n  D: {pathway: matrix, per: [context], cells: 4}\n  HO: {pathway: core, per: [query], cells: 4}",
        "      e: {cells: 1, activation: exp}\n      t: {cells: 1, per: [query]}\n      s2: {cells: 3, activation: product}\n      d2: {cells: 3, activation: product}",
        "  K: {from: C, to: A.s.apical, weights: {normal: {std: 1}}}\n  e: {from: A.s, to: A.e.basal, weights: ones, gain: 0.2}\n  f: {from: A.e, to: A.f.apical, weights: ones}\n  g: {from: C, to: A.f.basal, weights: {normal: {std: 1}}}\n  h: {from: A.f, to: H1.basal, weights: {normal: {std: 1}}}\n  t: {from: A.e, to: A.t.basal, weights: ones}\n  div: {from: A.t, to: H1.basal, weights: ones, effect: divisive}\n  c: {from: H1, to: D.basal, weights: identity}\n  K2: {from: D, to: A.s2.apical, weights: {normal: {std: 1}}}\n  Q2: {from: H1, to: A.s2.basal, weights: {normal: {std: 1}}}\n  A2: {from: A.s2, to: A.d2.apical, weights: ones}\n  V2: {from: D, to: A.d2.basal, weights: {normal: {std: 1}}}\n  O2: {from: A.d2, to: HO.basal, weights: {normal: {std: 1}}}",
        "HO",
    ),
];

/// A circuit with a causal head in area A: relays Q and C, products s and d; f is there for those who weigh values.
fn circuit_of(relays: &str, cells: &str, projections: &str, output: &str) -> String {
    let f =
        if projections.contains("A.f.apical") { "      f: {cells: 3, activation: product}\n" } else { "" };
    format!(
        "schema: pulvinar/1\nname: form\nseed: 4\ntokens: {{d_model: 4, mask: causal, input: {{gaussian: {{length: 5}}}}}}\n\
         thalamus:\n  Q: {{pathway: core, per: [query], cells: 4, tokens: main}}\n  C: {{pathway: matrix, per: [context], cells: 4, tokens: main}}\n{relays}\n\
         areas:\n  A:\n    microcolumns: {{per: [query, context]}}\n    populations:\n      s: {{cells: 3, activation: product}}\n      \
         d: {{cells: 3, activation: product}}\n{f}{cells}\nprojections:\n  Q: {{from: Q, to: A.s.basal, weights: {{normal: {{std: 1}}}}}}\n  \
         bq: {{from: tonic, to: A.s.basal, weights: {{normal: {{std: 1}}}}}}\n  A: {{from: A.s, to: A.d.apical, weights: {{uniform: {{low: 0.1, high: 1}}}}}}\n  \
         V: {{from: C, to: A.d.basal, weights: {{normal: {{std: 1}}}}}}\n{projections}\noutput: {output}\n"
    )
}

#[test]
fn every_construct_keeps_its_heads() {
    for (claim, relays, cells, projections, output) in FORMS {
        let text = circuit_of(relays, cells, projections, output);
        let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{claim}: {e}"));
        if let Err(d) = same_function(&document, &circuit, claim) {
            panic!("{claim}: {d}\n{text}");
        }
    }
}

/// Circuits that are no attention, and those of every other test of mistakes, if they can be wired: a circuit or N024.
#[test]
fn circuits_that_are_not_attention_are_rewritten_all_the_same() {
    let mut count = 0;
    for file in crate::mistakes::files_of(&crate::support::root().join("tests/bad"), "yaml") {
        let Ok(document) = pulvinar::spec::read_file(&file, &[]) else { continue };
        let Ok(circuit) = wire(&document.spec, &document.folder) else { continue };
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        match rewritten(&document, &circuit) {
            Ok((_, _, dale)) => {
                count += 1;
                obeys_the_law(&dale, &name);
                let tokens = inputs(&circuit, &document.folder, &BTreeMap::new());
                let Ok(tokens) = tokens else { continue };
                let Ok(want) = oracle::evaluate(&net(&circuit, &tokens)) else { continue };
                if want.iter().flat_map(|s| s.values.iter().flatten().flatten()).any(|x| !x.is_finite()) {
                    continue;
                }
                no_negative_rate(&dale, &tokens, &name);
                if circuit.population(*circuit.order.last().expect("an output")).indices.query {
                    let error = relative(&oracle_output(&dale, &tokens), &oracle_output(&circuit, &tokens));
                    assert!(error < 1e-12, "{name}: {error:e}");
                }
            }
            Err(d) => assert_eq!(d.code, "N024", "{name}: {d}"),
        }
    }
    assert!(count >= 25, "{count}");
}
