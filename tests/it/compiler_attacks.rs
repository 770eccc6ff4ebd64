//! Attacks on divisors, silent relays and blame: small circuits, each with its verdict.

use crate::free_circuits_agree::disagreement;
use crate::support::{from_text, root};
use pulvinar::compile::compile;
use pulvinar::simulate::cells::divisions;
use pulvinar::simulate::inputs;
use std::collections::BTreeMap;

/// Two areas of one circuit: relays, cells of area A, projections.
fn circuit_of(tokens: &str, mask: &str, relays: &str, cells: &str, projections: &str) -> String {
    format!(
        "schema: pulvinar/1\nname: attack\nseed: 1\ntokens: {{d_model: 1, input: {{values: {tokens}}}, mask: {mask}}}\n\
         thalamus:\n  Q: {{pathway: core, per: [query], cells: 1}}\n  C: {{pathway: matrix, per: [context], cells: 1}}\n{relays}  \
         HO: {{pathway: core, per: [query], cells: 1}}\nareas:\n  A:\n    microcolumns: {{per: [query, context]}}\n    populations:\n{cells}\
         projections:\n{projections}output: HO\n"
    )
}

const SCORE: &str = "      s: {cells: 1, activation: product}\n      t: {cells: 1, per: [query]}\n      d: {cells: 1, activation: product}\n";
const WIRES: &str = "  q: {from: Q, to: A.s.basal, weights: ones}\n  k: {from: C, to: A.s.apical, weights: ones}\n  sum: {from: A.s, to: A.t.basal, weights: ones}\n  v: {from: C, to: A.d.basal, weights: ones}\n";

/// Divisions of every kind; which population diverges, if any.
#[test]
fn divisions_by_what_may_be_zero() {
    let readout = format!("{SCORE}      r: {{cells: 1, per: [query]}}\n");
    let weight = format!("{SCORE}      w: {{cells: 1}}\n");
    let plain = "  w: {from: A.s, to: A.d.apical, weights: ones}\n  u: {from: A.d, to: A.r.basal, weights: ones}\n  div: {from: A.t, to: A.r.basal, weights: ones, effect: divisive}\n  o: {from: A.r, to: HO.basal, weights: ones}\n";
    let weighed = "  n: {from: A.s, to: A.w.basal, weights: ones}\n  div: {from: A.t, to: A.w.basal, weights: ones, effect: divisive}\n  w: {from: A.w, to: A.d.apical, weights: ones}\n  o: {from: A.d, to: HO.basal, weights: ones}\n";
    let dead = format!(
        "{plain}  z: {{from: A.x, to: HO.basal, weights: zeros}}\n  x1: {{from: tonic, to: A.x.basal, weights: ones}}\n  x2: {{from: A.t, to: A.x.basal, weights: ones, effect: divisive}}\n"
    );
    type Row<'a> = (&'a str, &'a str, &'a str, String, String, Option<&'a str>);
    let rows: &[Row<'_>] = &[
        ("sums that are not zero", "[[1], [2]]", "causal", readout.clone(), format!("{WIRES}{plain}"), None),
        ("0/0", "[[0], [2]]", "causal", readout.clone(), format!("{WIRES}{plain}"), None),
        ("an empty sum", "[[1], [2]]", "strict", readout.clone(), format!("{WIRES}{plain}"), None),
        (
            "keys that cancel, values that do not",
            "[[1], [-1]]",
            "causal",
            readout.clone(),
            format!("{WIRES}{plain}"),
            Some("A.r"),
        ),
        (
            "each weight by a sum that cancels",
            "[[1], [-1]]",
            "full",
            weight.clone(),
            format!("{WIRES}{weighed}"),
            Some("A.w"),
        ),
        ("no weight at all", "[[0], [0]]", "full", weight.clone(), format!("{WIRES}{weighed}"), None),
        (
            "a branch of no weight, its divisor an empty sum",
            "[[1], [2]]",
            "strict",
            format!("{readout}      x: {{cells: 1, per: [query]}}\n"),
            format!("{WIRES}{dead}"),
            Some("A.x"),
        ),
        (
            "the same where the sum is not empty",
            "[[1], [2]]",
            "causal",
            format!("{readout}      x: {{cells: 1, per: [query]}}\n"),
            format!("{WIRES}{dead}"),
            None,
        ),
    ];
    for (claim, tokens, mask, cells, projections, want) in rows {
        let text = circuit_of(tokens, mask, "", cells, projections);
        let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{claim}: {e}"));
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{claim}: {d}\n{text}"));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        if let Some(why) = disagreement(&circuit, &compiled, &tokens) {
            panic!("{claim}: {why}\n{text}");
        }
        let at = divisions(&circuit, &tokens).err();
        assert_eq!(at.is_some(), want.is_some(), "{claim}: {at:?}");
        if let (Some(d), Some(population)) = (at, want) {
            assert!(d.message.contains(&format!("`{population}` diverged")), "{claim}: {d}");
        }
    }
}

/// Relays that receive nothing: which of them may carry `main` without saying so.
#[test]
fn a_forgotten_projection_makes_no_input() {
    let relay = |name: &str, per: &str, more: &str| {
        format!("  {name}: {{pathway: core, per: [{per}], cells: 1{more}}}\n")
    };
    let product = "      p: {cells: 1, activation: product}\n";
    let two = "      p: {cells: 1, activation: product}\n      p2: {cells: 1, activation: product}\n";
    let one = "  q: {from: Q, to: A.p.basal, weights: ones}\n  k: {from: C, to: A.p.apical, weights: ones}\n";
    let end = "  o: {from: A.p, to: HO.basal, weights: ones}\n";
    let through = "  o: {from: A.p, to: H1.basal, weights: ones}\n  q2: {from: H1, to: A.p2.basal, weights: ones}\n  o2: {from: A.p2, to: HO.basal, weights: ones}\n";
    let h1 = relay("H1", "query", "");
    let rows: &[(&str, String, &str, String, Option<&str>)] = &[
        ("one block", String::new(), product, format!("{one}{end}"), None),
        (
            "one block, two relays of the same tokens",
            relay("D", "context", ""),
            product,
            format!("{one}{end}  d: {{from: D, to: A.p.apical, weights: ones}}\n"),
            None,
        ),
        (
            "two blocks, the second reads the first",
            format!("{h1}{}", relay("D", "context", "")),
            two,
            format!(
                "{one}{through}  d: {{from: H1, to: D.basal, weights: identity}}\n  k2: {{from: D, to: A.p2.apical, weights: ones}}\n"
            ),
            None,
        ),
        (
            "the same without the projection to D",
            format!("{h1}{}", relay("D", "context", "")),
            two,
            format!("{one}{through}  k2: {{from: D, to: A.p2.apical, weights: ones}}\n"),
            Some("D"),
        ),
        (
            "D says that it carries tokens, C does not",
            format!("{h1}{}", relay("D", "context", ", tokens: main")),
            two,
            format!("{one}{through}  k2: {{from: D, to: A.p2.apical, weights: ones}}\n"),
            Some("C"),
        ),
        (
            "the query of the second block is forgotten",
            format!("{h1}{}{}", relay("D", "context", ""), relay("E", "query", "")),
            two,
            format!(
                "{one}  o: {{from: A.p, to: H1.basal, weights: ones}}\n  d: {{from: H1, to: D.basal, weights: identity}}\n  k2: {{from: D, to: A.p2.apical, weights: ones}}\n  q2: {{from: E, to: A.p2.basal, weights: ones}}\n  o2: {{from: A.p2, to: HO.basal, weights: ones}}\n"
            ),
            Some("E"),
        ),
        (
            "tokens and places added on relays",
            format!("{h1}{}", relay("D", "context", "")),
            product,
            format!(
                "  a: {{from: Q, to: H1.basal, weights: identity}}\n  b: {{from: tonic, to: H1.basal, weights: ones}}\n  c: {{from: C, to: D.basal, weights: identity}}\n  q: {{from: H1, to: A.p.basal, weights: ones}}\n  k: {{from: D, to: A.p.apical, weights: ones}}\n{end}"
            ),
            None,
        ),
        (
            "the only relay per context is read by the second block alone",
            h1.clone(),
            product,
            format!(
                "  a: {{from: Q, to: H1.basal, weights: identity}}\n  q: {{from: H1, to: A.p.basal, weights: ones}}\n  k: {{from: C, to: A.p.apical, weights: ones}}\n{end}"
            ),
            Some("C"),
        ),
    ];
    for (claim, relays, cells, projections, want) in rows {
        let text = circuit_of("[[1], [2]]", "causal", relays, cells, projections);
        let document =
            pulvinar::spec::read(text.as_bytes(), root(), &[]).unwrap_or_else(|d| panic!("{claim}: {d}"));
        let mistakes = pulvinar::circuit::wire(&document.spec, &document.folder).err().unwrap_or_default();
        let found: Vec<(&str, &str)> = mistakes.0.iter().map(|d| (d.code, d.path.as_str())).collect();
        let path = want.map(|name| format!("thalamus.{name}"));
        let has = path.as_deref().map_or(found.is_empty(), |p| found.contains(&("C034", p)));
        assert!(has, "{claim}: {found:?}\n{text}");
    }
}

/// What is to be changed is what is named.
#[test]
fn the_part_at_fault_is_named() {
    let score = format!("{SCORE}      r: {{cells: 1, per: [query]}}\n");
    let tail = "  w: {from: A.s, to: A.d.apical, weights: ones}\n  u: {from: A.d, to: A.r.basal, weights: ones}\n  o: {from: A.r, to: HO.basal, weights: ones}\n";
    let rows: &[(&str, String, &str, &str)] = &[
        (
            "a sum of tokens beside the heads",
            format!("{WIRES}{tail}  sk: {{from: C, to: HO.basal, weights: ones}}\n"),
            "N003",
            "projections.sk",
        ),
        (
            "divided by the context",
            format!("{WIRES}{tail}  div: {{from: C, to: A.r.basal, weights: ones, effect: divisive}}\n"),
            "N008",
            "projections.div",
        ),
        (
            "divided by a sum and a constant",
            format!(
                "{WIRES}{tail}  div: {{from: A.t, to: A.r.basal, weights: ones, effect: divisive}}\n  sink: {{from: tonic, to: A.t.basal, weights: ones}}\n"
            ),
            "N008",
            "projections.div",
        ),
    ];
    for (claim, projections, code, path) in rows {
        let text = circuit_of("[[1], [2]]", "causal", "", &score, projections);
        let (_, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{claim}: {e}"));
        let d = compile(&circuit).err().unwrap_or_else(|| panic!("{claim}: compiles\n{text}"));
        assert_eq!((d.code, d.path.as_str()), (*code, *path), "{claim}: {d}");
    }
}
