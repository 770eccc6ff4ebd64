//! Every combination of `part` on relays in the middle and at the output: algebra, settled cells and the oracle give the
//! same numbers, or the circuit is refused with a reason.

use crate::support::{from_text, oracle_output};
use nalgebra::DMatrix;
use pulvinar::compile::compile;
use pulvinar::simulate::cells::{End, Settings, run as run_cells};
use pulvinar::simulate::{inputs, run};
use std::collections::BTreeMap;

const PARTS: [&str; 3] = ["", ", part: plus", ", part: minus"];
/// Settled compartments are within 1e-12 of their inputs, relative to their potentials; two blocks of products multiply
/// that.
const SETTLED: f64 = 1e-9;
const EXACT: f64 = 1e-12;

/// What `M` and `N` receive: the same head, its negative on `N`, or the token itself.
const MIDDLES: [(&str, &str); 3] = [("A.p", "1"), ("A.p", "-1"), ("Q", "1")];

/// Parts of the output relays, and the gain of what the second one receives, if there is one.
fn ends() -> Vec<(&'static str, Option<(&'static str, &'static str)>)> {
    let single = PARTS.map(|part| (part, None));
    let same = PARTS.iter().flat_map(|a| PARTS.map(|b| (*a, Some((b, "1")))));
    let opposite = PARTS[1..].iter().flat_map(|a| PARTS[1..].iter().map(|b| (*a, Some((*b, "-1")))));
    single.into_iter().chain(same).chain(opposite).collect()
}

/// A second block whose query is `M - N`.
fn circuit(
    (source, gain): (&str, &str),
    [m, n]: [&str; 2],
    (first, second): (&str, Option<(&str, &str)>),
) -> String {
    let (relay, projection, output) = match second {
        None => (String::new(), String::new(), "HO".to_owned()),
        Some((part, gain)) => (
            format!("  H2: {{pathway: core, per: [query], cells: 2{part}}}\n"),
            format!(
                "  o2: {{from: A.r, to: H2.basal, weights: {{values: [[1, 0.3], [-0.7, 2]]}}, gain: {gain}}}\n"
            ),
            "{plus: HO, minus: H2}".to_owned(),
        ),
    };
    format!(
        "schema: pulvinar/1\nname: parts\nseed: 1\n\
         tokens: {{d_model: 2, input: {{values: [[-2.0, 1.0], [1.0, -0.5], [0.5, 3.0]]}}, mask: causal}}\n\
         thalamus:\n\
         \x20 Q: {{pathway: core, per: [query], cells: 2, tokens: main}}\n\
         \x20 C: {{pathway: matrix, per: [context], cells: 2, tokens: main}}\n\
         \x20 M: {{pathway: core, per: [query], cells: 2{m}}}\n\
         \x20 N: {{pathway: core, per: [query], cells: 2{n}}}\n\
         \x20 HO: {{pathway: core, per: [query], cells: 2{first}}}\n{relay}\
         areas:\n  A:\n    populations:\n\
         \x20     p: {{cells: 2, per: [query, context], activation: product}}\n\
         \x20     r: {{cells: 2, per: [query, context], activation: product}}\n\
         projections:\n\
         \x20 q: {{from: Q, to: A.p.basal, weights: {{values: [[1, 0.5], [0.3, -1]]}}}}\n\
         \x20 k: {{from: C, to: A.p.apical, weights: {{values: [[0.2, 1], [1, 0.1]]}}}}\n\
         \x20 m: {{from: {source}, to: M.basal, weights: {{values: [[0.1, 1], [1, -0.3]]}}}}\n\
         \x20 n: {{from: {source}, to: N.basal, weights: {{values: [[0.1, 1], [1, -0.3]]}}, gain: {gain}}}\n\
         \x20 mr: {{from: M, to: A.r.basal, weights: {{values: [[1, 0.3], [0.7, -1]]}}}}\n\
         \x20 nr: {{from: N, to: A.r.basal, weights: {{values: [[1, 0.3], [0.7, -1]]}}, gain: -1}}\n\
         \x20 kr: {{from: C, to: A.r.apical, weights: {{values: [[1, 0.1], [-0.6, 0.3]]}}}}\n\
         \x20 o: {{from: A.r, to: HO.basal, weights: {{values: [[1, 0.3], [-0.7, 2]]}}}}\n{projection}\
         output: {output}\n"
    )
}

#[test]
fn every_combination_of_parts_is_what_cells_compute_or_refused() {
    let (mut tried, mut same, mut refused) = (0, 0, BTreeMap::<&str, usize>::new());
    let mut wrong = Vec::new();
    for middle in MIDDLES {
        for halves in PARTS.iter().flat_map(|m| PARTS.map(|n| [*m, n])) {
            for end in ends() {
                tried += 1;
                let name = format!("{middle:?} {halves:?} {end:?}");
                let (document, circuit) =
                    from_text(&circuit(middle, halves, end)).unwrap_or_else(|e| panic!("{name}: {e}"));
                let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
                let oracle = oracle_output(&circuit, &tokens);
                // Where nothing compiles the cells still have to be right.
                let cells = run_cells(&circuit, &tokens, &Settings::default()).expect("fits");
                assert_eq!(cells.end, End::Settled, "{name}");
                let near = |x: &DMatrix<f64>, room: f64| {
                    x.shape() == oracle.shape() && (x - &oracle).amax() <= room * oracle.amax().max(1.0)
                };
                if !near(&cells.output, SETTLED) {
                    wrong.push(format!("{name}: cells {} oracle {oracle}", cells.output));
                }
                match compile(&circuit) {
                    Ok(compiled) => {
                        same += 1;
                        let heads = run::<f64>(&compiled.plain_blocks(), &tokens);
                        let heads = heads.unwrap_or_else(|d| panic!("{name}: {d}")).output;
                        if !near(&heads, EXACT) {
                            wrong.push(format!("{name}: heads {heads} oracle {oracle}"));
                        }
                        // One relay with a part is never a head.
                        if end.1.is_none() && !end.0.is_empty() {
                            wrong.push(format!("{name}: a rectified output compiles"));
                        }
                    }
                    Err(d) => {
                        *refused.entry(d.code).or_default() += 1;
                        if !d.code.starts_with('N') || d.path.is_empty() || d.help.is_none() {
                            wrong.push(format!("{name}: refused without a reason: {d}"));
                        }
                        // The halves of one token, or no parts, are a circuit like any other.
                        let signed = [["", ""], [PARTS[1], PARTS[2]], [PARTS[2], PARTS[1]]];
                        let whole = match middle {
                            (_, "-1") => [["", ""], [PARTS[1]; 2], [PARTS[2]; 2]].contains(&halves),
                            _ => signed[1..].contains(&halves),
                        };
                        if whole && end == ("", None) {
                            wrong.push(format!("{name}: {d}"));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(tried, 432);
    assert!(same >= 30 && refused.len() >= 2, "{same} compile; {refused:?}");
}
