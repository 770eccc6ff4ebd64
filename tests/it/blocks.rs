//! How relays cut a circuit into blocks: aliases, sums of streams, delays, long chains.

use crate::support::{from_text, oracle_output, relative};
use pulvinar::compile::{Compiled, compile};
use pulvinar::simulate::{inputs, run};
use std::collections::BTreeMap;

const HEAD: &str = "    microcolumns: {per: [query, context]}
    populations:
      s: {cells: 2, activation: product}
      d: {cells: 3, activation: product}
";

/// One attention-mask head in area `a` from relays `q` and `c` to `out`.
fn head(a: &str, q: &str, c: &str, out: &str) -> String {
    let n = "{normal: {fan_in: 1}}";
    format!(
        "  K{a}: {{from: {c}, to: {a}.s.apical, weights: {n}}}
  Q{a}: {{from: {q}, to: {a}.s.basal, weights: {n}}}
  L{a}: {{from: {a}.s, to: {a}.d.apical, weights: ones}}
  V{a}: {{from: {c}, to: {a}.d.basal, weights: {n}}}
  O{a}: {{from: {a}.d, to: {out}.basal, weights: {n}}}
"
    )
}

fn circuit(relays: &str, areas: &str, projections: &str, output: &str) -> String {
    format!(
        "schema: pulvinar/1
name: blocks
seed: 11
tokens:
  mask: causal
  streams:
    main: {{d_model: 4, input: {{gaussian: {{length: 5}}}}}}
    place: {{d_model: 4, clock: main, input: {{gaussian: {{length: 5}}}}}}
thalamus:
  Q: {{pathway: core, per: [query], cells: 4, tokens: main}}
  C: {{pathway: matrix, per: [context], cells: 4, tokens: main}}
  PQ: {{pathway: core, per: [query], cells: 4, tokens: place}}
  PC: {{pathway: matrix, per: [context], cells: 4, tokens: place}}
{relays}areas:
{areas}projections:
{projections}output: {output}
"
    )
}

fn relay(name: &str, index: &str) -> String {
    format!("  {name}: {{pathway: core, per: [{index}], cells: 4}}\n")
}

fn checked(claim: &str, text: &str) -> Compiled {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{claim}: {e}"));
    let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{claim}: {d}\n{text}"));
    let tokens =
        inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{claim}: {d}"));
    let got = run::<f64>(&compiled.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{claim}: {d}")).output;
    let error = relative(&got, &oracle_output(&circuit, &tokens));
    assert!(error < 1e-12, "{claim}: differs from the cells by {error:e}\n{text}");
    compiled
}

/// `relay(heads; residual streams)` of each block.
fn shape(compiled: &Compiled) -> String {
    let one = |b: &pulvinar::compile::CompiledBlock| {
        let residual: Vec<&str> = b.block.residual.iter().map(|r| r.stream.as_str()).collect();
        format!("{}({}; {})", b.block.relay, b.heads.len(), residual.join("+"))
    };
    compiled.blocks.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn relays_cut_circuits_into_blocks() {
    let a = format!("  A:\n{HEAD}");
    let ab = format!("{a}  B:\n{HEAD}");
    let ho = relay("HO", "query");
    let skip = "  skip: {from: Q, to: HO.basal, weights: identity}\n";
    let sums = "  x1: {from: Q, to: XQ.basal, weights: identity}\n  x2: {from: PQ, to: XQ.basal, weights: identity}\n  x3: {from: XQ, to: XC.basal, weights: identity}\n";
    let copies = "  c1: {from: Q, to: LQ.basal, weights: {normal: {std: 1}}}\n  c2: {from: LQ, to: LC.basal, weights: identity}\n";
    let rows: &[(&str, String, &str)] = &[
        ("one block", circuit(&ho, &a, &(head("A", "Q", "C", "HO") + skip), "HO"), "HO(1; main)"),
        (
            "tokens and places added on a relay are a block without heads, and one stream after it",
            circuit(
                &(relay("XQ", "query") + &relay("XC", "context") + &ho),
                &a,
                &(sums.to_owned() + &head("A", "XQ", "XC", "HO")),
                "HO",
            ),
            "XQ(0; main+place) HO(1; )",
        ),
        (
            "a linear copy of a stream is no block",
            circuit(
                &(relay("LQ", "query") + &relay("LC", "context") + &ho),
                &a,
                &(copies.to_owned() + &head("A", "LQ", "LC", "HO")),
                "HO",
            ),
            "HO(1; )",
        ),
        (
            "an output that copies the last block is that block",
            circuit(
                &(ho.clone() + &relay("OUT", "query")),
                &a,
                &(head("A", "Q", "C", "HO") + "  o: {from: HO, to: OUT.basal, weights: identity}\n"),
                "OUT",
            ),
            "HO(1; )",
        ),
        (
            "an output that scales it is one more",
            circuit(
                &(ho.clone() + &relay("OUT", "query")),
                &a,
                &(head("A", "Q", "C", "HO") + "  o: {from: HO, to: OUT.basal, weights: identity, gain: 2}\n"),
                "OUT",
            ),
            "HO(1; ) OUT(0; HO)",
        ),
        (
            "residuals from any earlier stream",
            circuit(
                &(ho.clone() + &relay("HC", "context") + &relay("OUT", "query")),
                &ab,
                &(head("A", "Q", "C", "HO")
                    + &head("B", "HO", "HC", "OUT")
                    + "  h: {from: HO, to: HC.basal, weights: identity}\n  r1: {from: Q, to: OUT.basal, weights: identity}\n  r2: {from: HO, to: OUT.basal, weights: identity}\n"),
                "OUT",
            ),
            "HO(1; ) OUT(1; main+HO)",
        ),
        (
            "a delay on the way forward changes nothing in the algebra",
            circuit(
                &ho,
                &a,
                &(head("A", "Q", "C", "HO").replace("to: A.d.apical,", "to: A.d.apical, delay: 5 ms,")
                    + skip),
                "HO",
            ),
            "HO(1; main)",
        ),
        (
            "what the output does not depend on is left out",
            circuit(
                &(ho.clone() + &relay("ELSE", "query")),
                &ab,
                &(head("A", "Q", "C", "HO") + &head("B", "Q", "C", "ELSE")),
                "HO",
            ),
            "HO(1; )",
        ),
    ];
    for (claim, text, want) in rows {
        assert_eq!(shape(&checked(claim, text)), *want, "{claim}\n{text}");
    }
}

/// Thousands of linear populations in a row neither overflow the stack nor take long.
#[test]
fn long_chains_of_populations_compile() {
    let n = 3000;
    let mut cells = String::from("  A:\n    microcolumns: {per: [query]}\n    populations:\n");
    let mut wires = String::from("  p0: {from: Q, to: A.l0.basal, weights: identity}\n");
    for i in 0..n {
        cells += &format!("      l{i}: {{cells: 4}}\n");
        if i > 0 {
            wires += &format!("  p{i}: {{from: A.l{}, to: A.l{i}.basal, weights: identity}}\n", i - 1);
        }
    }
    let last = format!("A.l{}", n - 1);
    let text = circuit(
        &relay("HO", "query"),
        &format!("{cells}  B:\n{HEAD}"),
        &(wires + &head("B", &last, "C", "HO")),
        "HO",
    );
    let (_, wired) = from_text(&text).expect("wired");
    let compiled = compile(&wired).expect("compiles");
    assert_eq!(shape(&compiled), "HO(1; )");
    let head = &compiled.blocks[0].block.heads[0];
    let q = wired.projections.iter().find(|p| p.name == "QB").expect("QB").synapses.weights.dense();
    assert_eq!(head.w_q, q, "identities all the way");
}

/// Without a residual, divisive inhibition onto the relay normalises its heads; constants move into the read-out.
#[test]
fn a_relay_without_residual_may_be_divided() {
    let areas =
        format!("  A:\n{HEAD}      e: {{cells: 1, activation: exp}}\n      t: {{cells: 1, per: [query]}}\n");
    let wires = head("A", "Q", "C", "HO").replace(
        "LA: {from: A.s, to: A.d.apical, weights: ones}",
        "LA: {from: A.s, to: A.e.basal, weights: ones, gain: {inv_sqrt: 2}}
  wA: {from: A.e, to: A.d.apical, weights: ones}
  sum: {from: A.e, to: A.t.basal, weights: ones, gain: 2}
  divide: {from: A.t, to: HO.basal, weights: ones, gain: 3, effect: divisive}",
    );
    let compiled = checked("divided relay", &circuit(&relay("HO", "query"), &areas, &wires, "HO"));
    let head = &compiled.blocks[0].block.heads[0];
    assert_eq!((head.kernel.name(), head.normalisation.name()), ("exp", "sum"));
    assert!((head.scale - 0.5f64.sqrt()).abs() < 1e-15);
}

/// Dividing the cells of each token pair is the same normalisation.
#[test]
fn cells_of_token_pairs_may_be_divided() {
    let areas =
        format!("  A:\n{HEAD}      e: {{cells: 1, activation: exp}}\n      t: {{cells: 1, per: [query]}}\n");
    for compartment in ["basal", "apical"] {
        let wires = head("A", "Q", "C", "HO").replace(
            "LA: {from: A.s, to: A.d.apical, weights: ones}",
            &format!(
                "LA: {{from: A.s, to: A.e.basal, weights: ones}}
  wA: {{from: A.e, to: A.d.apical, weights: ones}}
  sum: {{from: A.e, to: A.t.basal, weights: ones}}
  divide: {{from: A.t, to: A.d.{compartment}, weights: ones, effect: divisive}}
  skip: {{from: Q, to: HO.basal, weights: identity}}"
            ),
        );
        let compiled = checked(compartment, &circuit(&relay("HO", "query"), &areas, &wires, "HO"));
        assert_eq!(shape(&compiled), "HO(1; main)");
        assert_eq!(compiled.blocks[0].block.heads[0].normalisation.name(), "sum", "{compartment}");
    }
}

/// What `ones` and `identity` cost nothing to write is refused before it is multiplied out.
#[test]
fn products_too_large_for_memory_are_refused() {
    let wide = "schema: pulvinar/1\nname: wide\ntokens: {d_model: 90000000}\nthalamus:\n  Q: {pathway: core, per: [query], cells: 90000000}\n  HO: {pathway: core, per: [query], cells: 90000000}\nprojections:\n  skip: {from: Q, to: HO.basal, weights: identity}\noutput: HO\n";
    let cells = HEAD.replace("cells: 2", "cells: 200000").replace("cells: 3", "cells: 200000");
    let ones = head("A", "Q", "C", "HO").replace("{normal: {fan_in: 1}}", "ones");
    let deep = circuit(&relay("HO", "query"), &format!("  A:\n{cells}"), &ones, "HO");
    for (claim, text) in [("a wide relay", wide), ("all-ones lateral weights of 4e10 entries", deep.as_str())]
    {
        let (_, wired) = from_text(text).unwrap_or_else(|e| panic!("{claim}: {e}"));
        let refused = compile(&wired).expect_err(claim);
        assert_eq!(refused.code, "C006", "{claim}: {refused}");
    }
}
