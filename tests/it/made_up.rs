//! Circuits made up on the spot: legal maps of tokens, and wirings that look like them and are refused, with the code and the place.

use crate::support::{by_cells, from_text, heads_output, relative};
use nalgebra::DMatrix;
use pulvinar::simulate::inputs;
use std::collections::BTreeMap;

fn file(areas: &str, projections: &str) -> String {
    format!(
        "schema: pulvinar/1
name: made_up
seed: 4
tokens:
  mask: causal
  streams:
    main: {{d_model: 3, input: {{gaussian: {{length: 5}}}}}}
    side: {{d_model: 2, clock: main, input: {{gaussian: {{length: 5}}}}}}
thalamus:
  X: {{pathway: core, per: [query], cells: 3, tokens: main}}
  C: {{pathway: matrix, per: [context], cells: 3, tokens: main}}
  S: {{pathway: matrix, per: [context], cells: 2, tokens: side}}
  H: {{pathway: core, per: [query], cells: 3}}
areas:
{areas}projections:
{projections}output: H
"
    )
}

const W: &str = "{normal: {fan_in: 1}}";

fn rows(rows: &[(&str, &str, &str, &str)]) -> String {
    let line = |(k, (from, to, weights, rest)): (usize, &(&str, &str, &str, &str))| {
        let weights = if *weights == "W" { W } else { weights };
        format!("  p{k}: {{from: {from}, to: {to}, weights: {weights}{rest}}}\n")
    };
    rows.iter().enumerate().map(line).collect()
}

/// Whether maps of tokens compile yet: until then legal circuits may be refused, never answered wrongly.
const COMPILES: bool = false;

#[test]
fn legal_ones_compute_what_their_cells_do() {
    let rows: &[(&str, String)] = &[
        (
            "a layer for each token and no head",
            file(
                "  M: {populations: {h: {cells: 4, per: [query], activation: relu}}}\n",
                &rows(&[("X", "M.h.basal", "W", ""), ("tonic", "M.h.basal", "W", ""), ("M.h", "H.basal", "W", "")]),
            ),
        ),
        (
            "keys gated by another stream",
            file(
                "  K: {microcolumns: {per: [context]}, populations: {gate: {cells: 2, activation: sigmoid}, key: {cells: 2, activation: product}}}
  A: {microcolumns: {per: [query, context]}, populations: {sup: {cells: 2, activation: product}, deep: {cells: 3, activation: product}}}\n",
                &rows(&[
                    ("S", "K.gate.basal", "W", ""),
                    ("K.gate", "K.key.apical", "identity", ""),
                    ("C", "K.key.basal", "W", ""),
                    ("K.key", "A.sup.apical", "identity", ""),
                    ("X", "A.sup.basal", "W", ""),
                    ("A.sup", "A.deep.apical", "ones", ""),
                    ("C", "A.deep.basal", "W", ""),
                    ("A.deep", "H.basal", "W", ""),
                ]),
            ),
        ),
        (
            "a mean that each token weighs for itself",
            file(
                "  A: {microcolumns: {per: [context]}, populations: {w: {cells: 1, activation: elu_plus_one}, v: {cells: 3, activation: product}, n: {cells: 1, per: [query]}, mean: {cells: 3, per: [query]}}}\n",
                &rows(&[
                    ("C", "A.w.basal", "W", ""),
                    ("A.w", "A.v.apical", "ones", ""),
                    ("C", "A.v.basal", "W", ""),
                    ("A.w", "A.n.basal", "ones", ""),
                    ("A.v", "A.mean.basal", "identity", ""),
                    ("A.n", "A.mean.basal", "ones", ", effect: divisive"),
                    ("A.mean", "H.basal", "W", ""),
                ]),
            ),
        ),
        (
            "a rectified score with a bias for each key, beside an MLP of the token",
            file(
                "  A: {microcolumns: {per: [query, context]}, populations: {sup: {cells: 2, activation: product}, score: {cells: 1, activation: relu}, deep: {cells: 3, activation: product}}}
  M: {populations: {h: {cells: 4, per: [query], activation: relu}, k: {cells: 2, per: [context], activation: sigmoid}}}\n",
                &rows(&[
                    ("X", "A.sup.basal", "W", ""),
                    ("C", "A.sup.apical", "W", ""),
                    ("A.sup", "A.score.basal", "ones", ""),
                    ("C", "M.k.basal", "W", ""),
                    ("M.k", "A.score.basal", "W", ""),
                    ("A.score", "A.deep.apical", "ones", ""),
                    ("C", "A.deep.basal", "W", ""),
                    ("A.deep", "H.basal", "W", ""),
                    ("X", "M.h.basal", "W", ""),
                    ("M.h", "H.basal", "W", ""),
                    ("X", "H.basal", "identity", ""),
                ]),
            ),
        ),
        (
            "queries and keys that inhibit themselves by their own energy, where they meet",
            file(
                "  E: {populations: {q: {cells: 3, per: [query], activation: {power: {exponent: 2}}}, qe: {cells: 1, per: [query]}, k: {cells: 3, per: [context], activation: {power: {exponent: 2}}}, ke: {cells: 1, per: [context]}}}
  A: {microcolumns: {per: [query, context]}, populations: {sup: {cells: 3, activation: product}, score: {cells: 1, activation: exp}, total: {cells: 1, per: [query]}, deep: {cells: 3, activation: product}, out: {cells: 3, per: [query]}}}\n",
                &rows(&[
                    ("X", "E.q.basal", "identity", ""),
                    ("E.q", "E.qe.basal", "ones", ""),
                    ("tonic", "E.qe.basal", "ones", ""),
                    ("C", "E.k.basal", "identity", ""),
                    ("E.k", "E.ke.basal", "ones", ""),
                    ("tonic", "E.ke.basal", "ones", ""),
                    ("X", "A.sup.basal", "W", ""),
                    ("E.qe", "A.sup.basal", "ones", ", effect: divisive"),
                    ("C", "A.sup.apical", "W", ""),
                    ("E.ke", "A.sup.apical", "ones", ", effect: divisive"),
                    ("A.sup", "A.score.basal", "ones", ""),
                    ("A.score", "A.total.basal", "ones", ""),
                    ("A.score", "A.deep.apical", "ones", ""),
                    ("C", "A.deep.basal", "W", ""),
                    ("A.deep", "A.out.basal", "identity", ""),
                    ("A.total", "A.out.basal", "ones", ", effect: divisive"),
                    ("A.out", "H.basal", "W", ""),
                ]),
            ),
        ),
    ];
    for (claim, text) in rows {
        let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{claim}: {e}"));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let (want, _): (DMatrix<f64>, f64) = by_cells(&circuit, &tokens).expect("finite");
        assert!(want.amax() > 1e-2, "{claim}");
        match heads_output(&circuit, &tokens) {
            Ok(got) => assert!(relative(&got, &want) < 1e-12, "{claim}: {:e}", relative(&got, &want)),
            Err(d) => assert!(!COMPILES && d.code.starts_with('N'), "{claim}: {d}"),
        }
    }
}

const HEAD: &str = "  A: {microcolumns: {per: [query, context]}, populations: {sup: {cells: 2, activation: product}, deep: {cells: 3, activation: product}}}\n";

#[test]
fn illegal_ones_are_refused_by_name() {
    let head = [
        ("X", "A.sup.basal", "W", ""),
        ("C", "A.sup.apical", "W", ""),
        ("A.sup", "A.deep.apical", "ones", ""),
        ("C", "A.deep.basal", "W", ""),
    ];
    let with = |areas: &str, more: &[(&str, &str, &str, &str)]| {
        file(&format!("{HEAD}{areas}"), &rows(&[&head[..], more].concat()))
    };
    let rows: &[(&str, String, &str)] = &[
        (
            "a nonlinear cell behind the sum, without a relay",
            with(
                "  B: {populations: {r: {cells: 3, per: [query], activation: relu}}}\n",
                &[("A.deep", "B.r.basal", "W", ""), ("B.r", "H.basal", "W", "")],
            ),
            "B.r",
        ),
        (
            "keys of the query's own token",
            file(
                HEAD,
                &rows(&[
                    ("X", "A.sup.basal", "W", ""),
                    ("X", "A.sup.apical", "W", ""),
                    ("A.sup", "A.deep.apical", "ones", ""),
                    ("X", "A.deep.basal", "W", ""),
                    ("A.deep", "H.basal", "W", ""),
                ]),
            ),
            "A.",
        ),
        (
            "a divisor that adds up both tokens",
            with(
                "  E: {populations: {q: {cells: 1, per: [query], activation: exp}, k: {cells: 1, per: [context], activation: exp}}}\n",
                &[
                    ("X", "E.q.basal", "W", ""),
                    ("C", "E.k.basal", "W", ""),
                    ("E.q", "A.sup.basal", "ones", ", effect: divisive"),
                    ("E.k", "A.sup.basal", "ones", ", effect: divisive"),
                    ("A.deep", "H.basal", "W", ""),
                ],
            ),
            "A.sup",
        ),
        (
            "a rectified sum of query and key, many cells of it, as the weights of the values",
            file(
                "  A: {microcolumns: {per: [query, context]}, populations: {add: {cells: 3, activation: relu}, deep: {cells: 3, activation: product}}}\n",
                &rows(&[
                    ("X", "A.add.basal", "W", ""),
                    ("C", "A.add.basal", "W", ""),
                    ("A.add", "A.deep.apical", "W", ""),
                    ("A.add", "A.deep.basal", "W", ""),
                    ("A.deep", "H.basal", "W", ""),
                ]),
            ),
            "A.",
        ),
        (
            "a loop among pairs of tokens",
            with("", &[("A.deep", "A.sup.basal", "W", ", delay: 2 ms"), ("A.deep", "H.basal", "W", "")]),
            "A.",
        ),
    ];
    for (claim, text, place) in rows {
        let said = match from_text(text) {
            Err(why) => why.lines().next().unwrap_or_default().to_owned(),
            Ok((document, circuit)) => {
                let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
                match heads_output(&circuit, &tokens) {
                    Ok(y) => panic!("{claim}: compiles to {y}"),
                    Err(d) => format!("{} {d}", d.path),
                }
            }
        };
        println!("{claim}: {said}");
        let named = said.contains(place) || said.contains(&format!("areas.{}", place.trim_end_matches('.')));
        assert!(named && said.contains('['), "{claim}: {said}");
    }
}
