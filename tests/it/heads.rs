//! Which heads a wiring makes: rows of claims, each also compared with the cells themselves.

use crate::support::{from_text, oracle_output, relative};
use pulvinar::compile::{Compiled, compile};
use pulvinar::simulate::{inputs, run};
use std::collections::BTreeMap;

/// Relays and streams that most rows share: d_model 4, six tokens.
fn circuit(mask: &str, more_relays: &str, areas: &str, projections: &str) -> String {
    format!(
        "schema: pulvinar/1
name: row
seed: 5
tokens:
  mask: {mask}
  streams:
    main: {{d_model: 4, input: {{gaussian: {{length: 6}}}}}}
    place: {{d_model: 3, clock: main, input: {{gaussian: {{length: 6}}}}}}
    other: {{d_model: 5, input: {{gaussian: {{length: 7}}}}}}
thalamus:
  Q: {{pathway: core, per: [query], cells: 4}}
  C: {{pathway: matrix, per: [context], cells: 4}}
  PQ: {{pathway: core, per: [query], cells: 3, tokens: place}}
  PC: {{pathway: matrix, per: [context], cells: 3, tokens: place}}
  X: {{pathway: matrix, per: [context], cells: 5, tokens: other}}
  HO: {{pathway: core, per: [query], cells: 4}}
{more_relays}areas:
{areas}projections:
{projections}output: HO
"
    )
}

/// Attention-mask cells of d_k superficial and d_v deep cells.
fn pairs(d_k: usize, d_v: usize) -> String {
    format!(
        "  A:
    microcolumns: {{per: [query, context]}}
    populations:
      s: {{cells: {d_k}, activation: product}}
      d: {{cells: {d_v}, activation: product}}
"
    )
}

const N: &str = "{normal: {fan_in: 1}}";

fn qkvo(lateral: &str) -> String {
    format!(
        "  K: {{from: C, to: A.s.apical, weights: {N}}}
  Qp: {{from: Q, to: A.s.basal, weights: {N}}}
  L: {{from: A.s, to: A.d.apical, weights: {lateral}}}
  V: {{from: C, to: A.d.basal, weights: {N}}}
  O: {{from: A.d, to: HO.basal, weights: {N}}}
"
    )
}

/// Compiles, compares with the cells, and gives the result.
fn checked(claim: &str, text: &str) -> Compiled {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{claim}: {e}"));
    let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{claim}: {d}\n{text}"));
    let tokens =
        inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{claim}: {d}"));
    let want = oracle_output(&circuit, &tokens);
    assert!(want.amax() > 1e-6, "{claim}: the output is next to nothing");
    let got = run::<f64>(&compiled.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{claim}: {d}")).output;
    let error = relative(&got, &want);
    assert!(error < 1e-12, "{claim}: differs from the cells by {error:e}\n{text}");
    compiled
}

/// `d_k x d_v kernel memory` of each head of the output block.
fn describe(compiled: &Compiled) -> Vec<String> {
    let last = compiled.blocks.last().expect("a block");
    last.heads
        .iter()
        .map(|h| {
            let sum = if h.head.normalisation.name() == "sum" { "/sum" } else { "" };
            format!(
                "{}x{} {}{sum} {} {}<-{}",
                h.head.d_key(),
                h.head.d_value(),
                h.head.kernel.name(),
                h.head.memory.name(),
                h.head.query_stream,
                h.head.context_stream
            )
        })
        .collect()
}

#[test]
fn wirings_make_the_heads_they_should() {
    let repeat = |head: &str, n: usize| vec![head.to_owned(); n];
    let memory = |rule: &str| {
        format!(
            "  A:
    microcolumns: {{count: 3}}
    populations:
      s: {{cells: 2, per: [context], activation: product, accumulate: {rule}}}
      g: {{cells: 3, per: [context], activation: sigmoid}}
      d: {{cells: 2, per: [query], activation: product}}
"
        )
    };
    let kv = format!(
        "  K: {{from: C, to: A.s.apical, onto: cells, weights: {N}}}
  V: {{from: C, to: A.s.basal, onto: microcolumns, weights: {N}}}
  M: {{from: A.s, to: A.d.apical, weights: identity}}
  Qp: {{from: Q, to: A.d.basal, onto: cells, weights: {N}}}
  O: {{from: A.d, to: HO.basal, pool: cells, weights: {N}}}
  G: {{from: C, to: A.g.basal, onto: cells, weights: {N}}}
"
    );
    let one = "2x3 linear none main<-main";
    let rows: Vec<(&str, String, Vec<String>)> = vec![
        (
            "all-ones lateral weights: one head, d_k != d_v",
            circuit("causal", "", &pairs(2, 3), &qkvo("ones")),
            repeat(one, 1),
        ),
        (
            "the relays of W_K and W_Q swapped: still a head",
            circuit(
                "causal",
                "",
                &pairs(2, 3),
                &qkvo("ones")
                    .replace("from: C, to: A.s", "from: TMP, to: A.s")
                    .replace("from: Q,", "from: C,")
                    .replace("from: TMP", "from: Q"),
            ),
            repeat(one, 1),
        ),
        (
            "a diagonal matrix: as many heads as cells",
            circuit("full", "", &pairs(3, 3), &qkvo("identity")),
            repeat("1x1 linear none main<-main", 3),
        ),
        (
            "blocks: ordinary heads side by side",
            circuit("strict", "", &pairs(4, 6), &qkvo("{blocks: {count: 2, of: ones}}")),
            repeat("2x3 linear none main<-main", 2),
        ),
        (
            "rank two: two heads",
            circuit("full", "", &pairs(4, 3), &qkvo("{rank: {of: 2, std: 1}}")),
            repeat("4x3 linear none main<-main", 2),
        ),
        (
            "equal singular values: eliminated, so the second head is what the first leaves",
            circuit("full", "", &pairs(2, 2), &qkvo("{values: [[1, 1], [1, -1]]}")),
            vec!["2x2 linear none main<-main".to_owned(), "1x1 linear none main<-main".to_owned()],
        ),
        (
            "keys from one stream, values from another on its clock",
            circuit("causal", "", &pairs(2, 3), &qkvo("ones").replace("V: {from: C", "V: {from: PC")),
            repeat(one, 1),
        ),
        (
            "keys and values of another clock",
            circuit("full", "", &pairs(2, 3), &qkvo("ones").replace("from: C", "from: X")),
            repeat("2x3 linear none main<-other", 1),
        ),
        (
            "queries of two streams: linear heads split",
            circuit(
                "causal",
                "",
                &pairs(2, 3),
                &(qkvo("ones") + "  Q2: {from: PQ, to: A.s.basal, weights: {normal: {fan_in: 1}}}\n"),
            ),
            vec![one.to_owned(), "2x3 linear none place<-main".to_owned()],
        ),
        (
            "key = value, from one projection tied to the other",
            circuit(
                "causal",
                "",
                &pairs(2, 2),
                &qkvo("ones")
                    .replace(&format!("to: A.d.basal, weights: {N}"), "to: A.d.basal, weights: {same_as: K}"),
            ),
            repeat("2x2 linear none main<-main", 1),
        ),
        (
            "values twice with the same weights: one row each",
            circuit(
                "causal",
                "",
                &(pairs(2, 3) + "      d2: {cells: 3, activation: product}\n"),
                &(qkvo("ones")
                    + "  L2: {from: A.s, to: A.d2.apical, weights: ones}\n  V2: {from: C, to: A.d2.basal, weights: {same_as: V}}\n  O2: {from: A.d2, to: HO.basal, weights: {normal: {std: 1}}}\n"),
            ),
            repeat(one, 1),
        ),
        (
            "a constant value: a head whose value is a bias",
            circuit("causal", "", &pairs(2, 3), &qkvo("ones").replace("V: {from: C", "V: {from: tonic")),
            repeat("2x1 linear none main<-main", 1),
        ),
        (
            "memory",
            circuit("causal", "", &memory("{hebbian: {}}"), &kv),
            repeat("2x3 linear hebbian main<-main", 1),
        ),
        (
            "decay, strict",
            circuit("strict", "", &memory("{decay: {g: 0.7}}"), &kv),
            repeat("2x3 linear decay main<-main", 1),
        ),
        (
            "decay, read after the last token",
            circuit("full", "", &memory("{decay: {g: 0.7}}"), &kv),
            repeat("2x3 linear decay main<-main", 1),
        ),
        (
            "delta across clocks",
            circuit("full", "", &memory("{delta: {rate: 0.4}}"), &kv.replace("from: C", "from: X")),
            repeat("2x3 linear delta main<-other", 1),
        ),
        (
            "delta with a gate per microcolumn",
            circuit(
                "causal",
                "",
                &memory("{delta: {}}"),
                &(kv.clone()
                    + "  GG: {from: A.g, to: A.s.gate, onto: microcolumns, pool: microcolumns, weights: {uniform: {low: 0, high: 0.1}}}\n"),
            ),
            repeat("2x3 linear delta main<-main", 1),
        ),
        (
            "a gate per value row",
            circuit(
                "causal",
                "",
                &memory("{gated: {}}"),
                &(kv.clone()
                    + "  GG: {from: A.g, to: A.s.gate, onto: microcolumns, pool: microcolumns, weights: {uniform: {low: 0, high: 0.1}}}\n"),
            ),
            repeat("2x3 linear gated main<-main", 1),
        ),
        (
            "a gate per key column",
            circuit(
                "strict",
                "",
                &memory("{gated: {}}"),
                &(kv.clone()
                    + "  GG: {from: A.g, to: A.s.gate, onto: cells, pool: microcolumns, weights: {uniform: {low: 0, high: 0.1}}}\n"),
            ),
            repeat("2x3 linear gated main<-main", 1),
        ),
        (
            "one gate for all",
            circuit(
                "full",
                "",
                &memory("{gated: {}}"),
                &(kv.clone()
                    + "  GG: {from: A.g, to: A.s.gate, pool: microcolumns, weights: ones, gain: 0.1}\n"),
            ),
            repeat("2x3 linear gated main<-main", 1),
        ),
        (
            "a gate of its own for every cell: heads per cell",
            circuit(
                "causal",
                "",
                &memory("{gated: {}}"),
                &(kv.clone() + "  GG: {from: A.g, to: A.s.gate, weights: {uniform: {low: 0, high: 0.1}}}\n"),
            ),
            repeat("1x3 linear gated main<-main", 2),
        ),
        (
            "two areas on one relay are two heads",
            circuit(
                "causal",
                "",
                &(pairs(2, 3) + &memory("{hebbian: {}}").replace("  A:", "  B:")),
                &(qkvo("ones")
                    + &kv
                        .replace("A.", "B.")
                        .replace("  K:", "  K2:")
                        .replace("  V:", "  V2:")
                        .replace("  Qp:", "  Q2:")
                        .replace("  O:", "  O2:")
                        .replace("  G:", "  G2:")),
            ),
            vec![one.to_owned(), "2x3 linear hebbian main<-main".to_owned()],
        ),
    ];
    for (claim, text, want) in rows {
        let compiled = checked(claim, &text);
        assert_eq!(describe(&compiled), want, "{claim}\n{text}");
    }
}

#[test]
fn a_tiny_singular_value_is_a_weak_third_head() {
    let lateral = "{values: [[1, 0, 0], [0, 1.000000001, 0.999999999], [0, 0.999999999, 1.000000001]]}";
    // One connected component: mix the first cell in.
    let joined = lateral.replace("[[1, 0, 0]", "[[1, 0.5, 0.5]");
    let compiled = checked("rank three, one tiny", &circuit("causal", "", &pairs(3, 3), &qkvo(&joined)));
    let heads = &compiled.blocks[0].heads;
    assert_eq!(heads.len(), 3);
    let strongest = heads[0].strength;
    assert!(heads[1].strength / strongest > 0.05, "the second head is a real one");
    let weak = heads[2].strength / strongest;
    assert!((1e-11..1e-7).contains(&weak), "the third has relative strength {weak:e}");
    assert!((heads[2].singular / 2e-9 - 1.0).abs() < 0.01, "its singular value is {:e}", heads[2].singular);
}

#[test]
fn equal_functions_from_different_wirings_have_equal_outputs() {
    // Broadcast through a one-cell score, and the all-ones matrix; full matrices, and onto/pool.
    let direct = checked("direct", &circuit("causal", "", &pairs(2, 3), &qkvo("ones")));
    let broadcast = checked(
        "broadcast",
        &circuit(
            "causal",
            "",
            &(pairs(2, 3) + "      score: {cells: 1}\n"),
            &(qkvo("ones").replace("L: {from: A.s, to: A.d.apical, weights: ones}", "L1: {from: A.s, to: A.score.basal, weights: ones}\n  L2: {from: A.score, to: A.d.apical, weights: ones}")),
        ),
    );
    assert_eq!(describe(&direct), describe(&broadcast));
    let (a, b) = (&direct.blocks[0].block.heads[0], &broadcast.blocks[0].block.heads[0]);
    assert_eq!((&a.w_q, &a.w_k, &a.w_v, &a.w_o), (&b.w_q, &b.w_k, &b.w_v, &b.w_o), "bit for bit");
    assert_eq!(direct.blocks[0].heads[0].strength.to_bits(), broadcast.blocks[0].heads[0].strength.to_bits());
}

#[test]
fn splitting_a_matrix_by_noise_keeps_the_function() {
    // All ones plus noise of 1e-3: one strong head, the rest weak, and the sum exact.
    let rows: Vec<String> = (0..3)
        .map(|i| {
            let cells: Vec<String> =
                (0..3).map(|j| format!("{}", 1.0 + 1e-3 * f64::from((i * 7 + j * 5) % 4))).collect();
            format!("[{}]", cells.join(", "))
        })
        .collect();
    let noisy = format!("{{values: [{}]}}", rows.join(", "));
    let compiled = checked("noise", &circuit("full", "", &pairs(3, 3), &qkvo(&noisy)));
    let strengths: Vec<f64> = compiled.blocks[0].heads.iter().map(|h| h.strength).collect();
    assert!(strengths.len() >= 2 && strengths[1..].iter().all(|s| *s < 0.01 * strengths[0]), "{strengths:?}");
}

#[test]
fn compiling_twice_gives_the_same_bits() {
    let text = circuit("full", "", &pairs(2, 2), &qkvo("{values: [[1, 1], [1, -1]]}"));
    let (a, b) = (checked("first", &text), checked("second", &text));
    for (x, y) in a.blocks[0].heads.iter().zip(&b.blocks[0].heads) {
        assert_eq!(x.head, y.head);
        assert!(x.head.w_k.iter().zip(y.head.w_k.iter()).all(|(p, q)| p.to_bits() == q.to_bits()));
    }
    // Elimination keeps plain numbers: the first key row is the file's, unscaled.
    let (_, wired) = from_text(&text).expect("wired");
    let k = wired.projections.iter().find(|p| p.name == "K").expect("K").synapses.weights.dense();
    assert_eq!(a.blocks[0].heads[0].head.w_k.row(0), k.row(0));
}
