//! Plus/minus circuits: random ones, one above the other, compared with their cells and with the signed matrices.

use crate::support::{from_text, oracle_output, relative};
use nalgebra::DMatrix;
use pulvinar::circuit::Circuit;
use pulvinar::compile::compile;
use pulvinar::simulate::{inputs, run};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The four sign combinations of a product: names, and the sign of the result.
const PAIRS: [(&str, &str, &str); 4] = [("p", "p", "+"), ("m", "m", "+"), ("p", "m", "-"), ("m", "p", "-")];

/// Two excitatory projections carry the `sign` half of `draw` times a signed token (plus relay, minus relay).
fn half(out: &mut String, name: &str, relays: [&str; 2], to: &str, draw: &str, sign: &str) {
    let (same, other) = if sign == "p" { ("plus_of", "minus_of") } else { ("minus_of", "plus_of") };
    for (relay, form, tag) in [(relays[0], same, "p"), (relays[1], other, "m")] {
        let _ = writeln!(
            out,
            "  {name}_{tag}: {{from: {relay}, to: {to}, sign: excitatory, weights: {{{form}: {{weights: {{normal: {{std: 0.6}}}}, draw: {draw}}}}}}}"
        );
    }
    // b+ to the positive half, b- to the negative one
    let _ = writeln!(
        out,
        "  {name}_b: {{from: tonic, to: {to}, sign: excitatory, weights: {{{same}: {{weights: {{normal: {{std: 0.6}}}}, draw: {draw}b}}}}}}"
    );
}

/// Takes the biases out again.
fn without_biases(projections: &str) -> String {
    projections.lines().filter(|l| !l.contains("from: tonic")).map(|l| format!("{l}\n")).collect()
}

/// One Dale area `a` from plus/minus query and context relays to plus/minus output relays; draws are named after it.
fn area(
    a: &str,
    dims: (usize, usize),
    query: [&str; 2],
    context: [&str; 2],
    out: [&str; 2],
) -> (String, String) {
    let (d_k, d_v) = dims;
    let mut cells = format!("  {a}:\n    microcolumns: {{per: [query, context]}}\n    populations:\n");
    let mut w = String::new();
    for (k, q, _) in PAIRS {
        let _ = writeln!(cells, "      s{k}{q}: {{cells: {d_k}, activation: product}}");
        half(&mut w, &format!("{a}K{k}{q}"), context, &format!("{a}.s{k}{q}.apical"), &format!("{a}K"), k);
        half(&mut w, &format!("{a}Q{k}{q}"), query, &format!("{a}.s{k}{q}.basal"), &format!("{a}Q"), q);
    }
    for (s, v, _) in PAIRS {
        let deep = format!("d{s}{v}");
        let _ = writeln!(cells, "      {deep}: {{cells: {d_v}, activation: product}}");
        let wanted = if s == "p" { "+" } else { "-" };
        for (k, q, sign) in PAIRS.iter().filter(|p| p.2 == wanted) {
            let _ = sign;
            let _ = writeln!(
                w,
                "  {a}L{deep}{k}{q}: {{from: {a}.s{k}{q}, to: {a}.{deep}.apical, sign: excitatory, weights: ones}}"
            );
        }
        half(&mut w, &format!("{a}V{deep}"), context, &format!("{a}.{deep}.basal"), &format!("{a}V"), v);
        // The result of equal signs excites the plus relay through O+, the minus relay through O-.
        let (to_plus, to_minus) = if s == v { ("plus_of", "minus_of") } else { ("minus_of", "plus_of") };
        for (relay, form, tag) in [(out[0], to_plus, "p"), (out[1], to_minus, "m")] {
            let _ = writeln!(
                w,
                "  {a}O{deep}{tag}: {{from: {a}.{deep}, to: {relay}.basal, sign: excitatory, weights: {{{form}: {{weights: {{normal: {{std: 0.6}}}}, draw: {a}O}}}}}}"
            );
        }
    }
    (cells, w)
}

fn head(d: usize, relays: &str, areas: &str, projections: &str, seed: u64, output: &str) -> String {
    format!(
        "schema: pulvinar/1\nname: dale\nseed: {seed}\ntokens: {{d_model: {d}, mask: causal, input: {{gaussian: {{length: 5}}}}}}\nthalamus:\n  Qp: {{pathway: core, per: [query], cells: {d}, tokens: main, part: plus}}\n  Qm: {{pathway: core, per: [query], cells: {d}, tokens: main, part: minus}}\n  Cp: {{pathway: matrix, per: [context], cells: {d}, tokens: main, part: plus}}\n  Cm: {{pathway: matrix, per: [context], cells: {d}, tokens: main, part: minus}}\n{relays}areas:\n{areas}projections:\n{projections}output: {output}\n"
    )
}

/// `[W, b]`
fn with_bias(w: &DMatrix<f64>, b: &nalgebra::DVector<f64>) -> DMatrix<f64> {
    let mut all = w.clone().insert_column(w.ncols(), 0.0);
    all.set_column(w.ncols(), b);
    all
}

/// The signed matrix of a draw: its plus part minus its minus part.
fn signed(circuit: &Circuit, plus: &str, minus: &str) -> DMatrix<f64> {
    let dense = |name: &str| {
        circuit
            .projections
            .iter()
            .find(|p| p.name == name)
            .unwrap_or_else(|| panic!("{name}"))
            .synapses
            .weights
            .dense()
    };
    dense(plus) - dense(minus)
}

#[test]
fn random_dale_heads_are_the_signed_heads() {
    for (seed, biased) in (0..50).map(|n| (n / 2, n % 2 == 1)) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (d, d_k, d_v) = (rng.random_range(1..=5), rng.random_range(1..=4), rng.random_range(1..=4));
        let relays = format!(
            "  P: {{pathway: core, per: [query], cells: {d}}}\n  M: {{pathway: core, per: [query], cells: {d}}}\n"
        );
        let (cells, mut w) = area("A", (d_k, d_v), ["Qp", "Qm"], ["Cp", "Cm"], ["P", "M"]);
        w += "  rp: {from: Qp, to: P.basal, weights: identity}\n  rm: {from: Qm, to: M.basal, weights: identity}\n";
        w +=
            "  bp: {from: tonic, to: P.basal, weights: {plus_of: {weights: {normal: {std: 1}}, draw: Ob}}}\n";
        w += "  bm: {from: tonic, to: M.basal, weights: {minus_of: {weights: {normal: {std: 1}}, draw: Ob}}}\n";
        let w = if biased { w } else { without_biases(&w) };
        let text = head(d, &relays, &cells, &w, seed, "{plus: P, minus: M}");
        let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(
            circuit.projections.iter().all(|p| p.synapses.weights.find(|x| x < 0.0).is_none()),
            "all excitatory"
        );
        let compiled = compile(&circuit).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let got = run::<f64>(&compiled.plain_blocks(), &tokens).expect("runs").output;
        let error = relative(&got, &oracle_output(&circuit, &tokens));
        assert!(error < 1e-12, "seed {seed}: {error:e}");
        let block = &compiled.blocks[0].block;
        assert_eq!(block.heads.len(), 1, "seed {seed}");
        let h = &block.heads[0];
        assert_eq!((h.d_key(), h.d_value()), (d_k, d_v), "seed {seed}");
        // Heads are defined up to gauge: QK and OV are not. The bias is one more column.
        let form = |name: &str, other: &str| {
            let w = signed(&circuit, &format!("{name}_p"), &format!("{name}_m"));
            let b = if biased {
                signed(&circuit, &format!("{name}_b"), &format!("{other}_b")).column(0).into_owned()
            } else {
                nalgebra::DVector::zeros(w.nrows())
            };
            with_bias(&w, &b)
        };
        let qk = form("AKpp", "AKmm").transpose() * form("AQpp", "AQmm");
        let ov = signed(&circuit, "AOdppp", "AOdppm") * form("AVdpp", "AVdmm");
        let qk_head = with_bias(&h.w_k, &h.b_k).transpose() * with_bias(&h.w_q, &h.b_q);
        let ov_head = &h.w_o * with_bias(&h.w_v, &h.b_v);
        if biased {
            let b_o = signed(&circuit, "bp", "bm").column(0).into_owned();
            assert!((&block.b_o - b_o).amax() < 1e-15, "seed {seed}: output bias");
        }
        let scale = (qk_head.dot(&qk)) / qk.norm_squared();
        assert!((qk_head - &qk * scale).amax() < 1e-13 * (1.0 + qk.amax()), "seed {seed}: QK");
        assert!((ov_head * scale - &ov).amax() < 1e-13 * (1.0 + ov.amax()), "seed {seed}: OV");
    }
}

/// Two Dale areas, the second reading rectified relays of the first, by equal or by opposite inputs.
#[test]
fn a_hierarchy_of_rectified_relays_is_two_signed_blocks() {
    for (claim, parts, minus_gain) in
        [("equal inputs", ["plus", "minus"], ""), ("opposite inputs", ["plus", "plus"], ", gain: -1")]
    {
        let d = 3;
        let mut relays = String::new();
        for (name, part) in [("Rp", parts[0]), ("Rm", parts[1])] {
            let _ = writeln!(relays, "  {name}: {{pathway: core, per: [query], cells: {d}, part: {part}}}");
        }
        for name in ["Tp", "Tm"] {
            let _ = writeln!(relays, "  {name}: {{pathway: matrix, per: [context], cells: {d}}}");
        }
        for name in ["P", "M"] {
            let _ = writeln!(relays, "  {name}: {{pathway: core, per: [query], cells: {d}}}");
        }
        // The first block ends through inhibition: what goes to R is signed.
        let (cells, mut w) = area("A", (2, 2), ["Qp", "Qm"], ["Cp", "Cm"], ["Rp", "Rm"]);
        w = w
            .lines()
            .flat_map(|line| {
                let is_output = line.contains("to: Rp.basal") || line.contains("to: Rm.basal");
                if !is_output {
                    return vec![format!("{line}\n")];
                }
                // net = plus - minus, to both relays (the second with its own sign)
                let inhibits = line.contains("to: Rm.basal");
                let both = [("Rp", ""), ("Rm", minus_gain)];
                both.iter()
                    .map(|(relay, gain)| {
                        let name = line.trim().split(':').next().unwrap_or_default();
                        let source = line.split("from: ").nth(1).and_then(|t| t.split(',').next()).unwrap_or_default();
                        let (_, weights) = line.split_once(", weights: ").unwrap_or_default();
                        let weights = weights.strip_suffix('}').unwrap_or_default();
                        let negative = inhibits != (*gain == ", gain: -1");
                        let gain = if negative { ", gain: -1" } else { "" };
                        format!("  {name}{relay}: {{from: {source}, to: {relay}.basal, weights: {weights}{gain}}}\n")
                    })
                    .collect()
            })
            .collect();
        for (relay, gain) in [("Rp", ""), ("Rm", minus_gain)] {
            let (plus, minus) = if gain.is_empty() { ("", ", gain: -1") } else { (", gain: -1", "") };
            let _ = writeln!(w, "  r{relay}p: {{from: Qp, to: {relay}.basal, weights: identity{plus}}}");
            let _ = writeln!(w, "  r{relay}m: {{from: Qm, to: {relay}.basal, weights: identity{minus}}}");
        }
        w += "  tp: {from: Rp, to: Tp.basal, weights: identity}\n  tm: {from: Rm, to: Tm.basal, weights: identity}\n";
        let (more, v) = area("B", (2, 3), ["Rp", "Rm"], ["Tp", "Tm"], ["P", "M"]);
        let text = head(d, &relays, &(cells + &more), &(w + &v), 3, "{plus: P, minus: M}");
        let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{claim}: {e}"));
        let compiled = compile(&circuit).unwrap_or_else(|e| panic!("{claim}: {e}\n{text}"));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let got = run::<f64>(&compiled.plain_blocks(), &tokens).expect("runs").output;
        let error = relative(&got, &oracle_output(&circuit, &tokens));
        assert!(error < 1e-12, "{claim}: {error:e}");
        let heads: Vec<usize> = compiled.blocks.iter().map(|b| b.heads.len()).collect();
        assert_eq!(heads, [1, 1], "{claim}: one head in each of two blocks");
    }
}
