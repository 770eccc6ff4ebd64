//! Circuits to draw that are not shipped: chains and rows of many areas, and one with everything that a file may hold.

use std::fmt::Write;

/// `n` areas one after another, each with its relays.
pub fn chain(n: usize) -> String {
    let (mut relays, mut areas, mut projections) = (String::new(), String::new(), String::new());
    relays += "  R0: {pathway: core, per: [query], cells: 4, tokens: main}\n  C0: {pathway: matrix, per: [context], cells: 4, tokens: main}\n";
    for k in 1..=n {
        let before = k - 1;
        let _ = writeln!(
            areas,
            "  V{k}:\n    microcolumns: {{per: [query, context]}}\n    populations:\n      superficial: {{layer: L2/3, cell_type: pyramidal, cells: 2, activation: product}}\n      deep: {{layer: L5, cell_type: pyramidal, cells: 2, activation: product}}"
        );
        let _ = writeln!(relays, "  R{k}: {{pathway: core, per: [query], cells: 4}}");
        let mut wire = |name: &str, from: &str, to: &str, weights: &str| {
            let _ = writeln!(projections, "  {name}{k}: {{from: {from}, to: {to}, weights: {weights}}}");
        };
        let small = "{normal: {std: 0.01}}";
        wire("W_K", &format!("C{before}"), &format!("V{k}.superficial.apical"), small);
        wire("W_Q", &format!("R{before}"), &format!("V{k}.superficial.basal"), small);
        wire("A", &format!("V{k}.superficial"), &format!("V{k}.deep.apical"), "ones");
        wire("W_V", &format!("C{before}"), &format!("V{k}.deep.basal"), small);
        wire("W_O", &format!("V{k}.deep"), &format!("R{k}.basal"), small);
        wire("skip", &format!("R{before}"), &format!("R{k}.basal"), "identity");
        if k < n {
            let _ = writeln!(relays, "  C{k}: {{pathway: matrix, per: [context], cells: 4}}");
            wire("relay", &format!("R{k}"), &format!("C{k}.basal"), "identity");
        }
    }
    format!(
        "schema: pulvinar/1\nname: chain_{n}\ntokens: {{d_model: 4}}\nthalamus:\n{relays}areas:\n{areas}projections:\n{projections}output: R{n}\n"
    )
}

/// `n` softmax heads side by side.
pub fn row(n: usize) -> String {
    let mut areas = String::new();
    for k in 0..n {
        let _ = writeln!(
            areas,
            "  H{k}: {{template: {{softmax_head: {{query: R, context: C, to: HO, d_k: 2, d_v: 2}}}}}}"
        );
    }
    format!(
        "schema: pulvinar/1\nname: row_{n}\ntokens: {{d_model: 4}}\nthalamus:\n  R: {{pathway: core, per: [query], cells: 4}}\n  C: {{pathway: matrix, per: [context], cells: 4}}\n  HO: {{pathway: core, per: [query], cells: 4}}\nareas:\n{areas}output: HO\n"
    )
}

/// Every layer and kind of cell, loops, errors, gates, many inputs to one compartment, long names.
pub const ODD: &str = r#"
schema: pulvinar/1
name: "a <name> & its \"quotes\""
tokens: {d_model: 2}
thalamus:
  Q: {pathway: core, per: [query], cells: 2, tokens: main, part: plus}
  C: {pathway: matrix, per: [context], cells: 2, tokens: main, part: minus}
  MIDDLE: {pathway: core, per: [query], cells: 2}
  OUT: {pathway: core, per: [query], cells: 2}
  a_relay_with_a_name_that_is_much_too_long_for_its_box: {pathway: matrix, per: [query], cells: 2}
areas:
  A:
    microcolumns: {per: [query]}
    populations:
      one: {layer: L1, cell_type: pyramidal, cells: 2}
      two: {layer: L2, cell_type: stellate, cells: 2}
      three: {layer: L3, cell_type: interneuron, cells: 2}
      four: {layer: L4, cells: 2}
      five: {layer: L5/6, cell_type: pyramidal, cells: 2, activation: {power: {exponent: 3}}}
      six: {layer: L6, cell_type: interneuron, cells: 2, activation: relu}
      nowhere: {cells: 2}
      memory: {layer: L2/3, cells: 2, per: [context], activation: product, accumulate: {gated: {}}}
      a_population_with_a_name_that_is_much_too_long: {layer: L5, cells: 2}
  B:
    populations:
      only: {cells: 2, per: [query]}
projections:
  one: {from: Q, to: A.one.apical, weights: ones}
  two: {from: Q, to: A.two.apical, weights: ones, gain: -1}
  three: {from: A.one, to: A.three.apical, weights: identity}
  four: {from: A.three, to: A.four.basal, weights: zeros}
  many_1: {from: Q, to: A.five.basal, weights: ones}
  many_2: {from: A.one, to: A.five.basal, weights: ones}
  many_3: {from: A.two, to: A.five.basal, weights: ones, effect: divisive}
  many_4: {from: A.three, to: A.five.basal, weights: identity, gain: -1}
  many_5: {from: A.four, to: A.five.basal, weights: {values: [[1, -1], [0, 2]]}}
  many_6: {from: A.memory, to: A.five.basal, weights: ones}
  many_7: {from: tonic, to: A.five.basal, weights: ones}
  high_1: {from: A.one, to: A.five.apical, weights: ones}
  high_2: {from: A.two, to: A.five.apical, weights: ones}
  high_3: {from: A.six, to: A.five.apical, weights: ones, gain: -1, delay: 3 ms}
  high_4: {from: tonic, to: A.five.apical, weights: ones, gain: -1}
  loop: {from: A.five, to: A.five.basal, weights: identity, gain: 0.5, delay: 5 ms}
  loop_2: {from: A.five, to: A.five.apical, weights: identity, gain: 0.5, delay: 5 ms}
  back: {from: A.five, to: A.one.basal, weights: identity, delay: 2 ms}
  again_1: {from: A.five, to: A.six.basal, weights: identity}
  again_2: {from: A.five, to: A.six.basal, weights: identity}
  again_3: {from: A.five, to: A.six.basal, weights: identity}
  key: {from: C, to: A.memory.apical, weights: ones}
  value: {from: C, to: A.memory.basal, weights: ones}
  gate: {from: C, to: A.memory.gate, weights: ones}
  gate_bias: {from: tonic, to: A.memory.gate, weights: ones}
  none: {from: A.six, to: A.nowhere.basal, weights: identity}
  a_projection_with_a_name_that_is_much_too_long: {from: A.nowhere, to: A.a_population_with_a_name_that_is_much_too_long.basal, weights: identity}
  up: {from: A.a_population_with_a_name_that_is_much_too_long, to: MIDDLE.apical, weights: identity}
  mid: {from: A.six, to: MIDDLE.basal, weights: identity}
  over: {from: MIDDLE, to: B.only.apical, weights: identity}
  under: {from: A.nowhere, to: B.only.basal, weights: identity}
  out: {from: B.only, to: OUT.basal, weights: identity}
  bias: {from: tonic, to: OUT.apical, weights: ones}
  long: {from: A.six, to: a_relay_with_a_name_that_is_much_too_long_for_its_box.basal, weights: identity}
  error: {from: OUT, to: A.five.third, weights: identity}
  error_2: {from: OUT, to: MIDDLE.third, weights: identity, gain: -1}
  fed: {from: A.five.feedback.apical, to: A.one.third, weights: identity}
output: OUT
"#;

/// No cortex at all.
pub const BARE: &str = "schema: pulvinar/1\nname: bare\ntokens: {d_model: 2}\nthalamus:\n  IN: {pathway: core, per: [query], cells: 2}\n  OUT: {pathway: core, per: [query], cells: 2}\nprojections:\n  p: {from: IN, to: OUT.basal, weights: identity}\noutput: OUT\n";
