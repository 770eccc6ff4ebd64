//! Streams of positions: their numbers beside public tables, and wherever tokens are made.

use crate::binary::{json_in, run_in};
use crate::support::{from_text, oracle_output, relative, root};
use nalgebra::DMatrix;
use pulvinar::compile::compile;
use pulvinar::files::{read_array, write_npy};
use pulvinar::simulate::{inputs, pieces, positions, run};
use pulvinar::spec::{Pairing, PositionKind, PositionsSpec, RotarySpec, Turns};
use pulvinar::{circuit, spec};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn golden(name: &str) -> DMatrix<f64> {
    let file = root().join("tests/golden/positions/tables.npz");
    let array = read_array(&file, Some(name)).unwrap_or_else(|d| panic!("{name}: {d}"));
    let columns = array.shape.get(1).copied().unwrap_or(1);
    // Row i is token i; here a token is a column.
    DMatrix::from_vec(columns, array.shape[0], array.data)
}

fn rotary(turns: Turns, scale: f64, pairing: Pairing) -> PositionsSpec {
    PositionsSpec { kind: PositionKind::Rotary(RotarySpec { dims: 8, turns, scale, pairing }), offset: 0 }
}

/// Tables of transformers are in single precision: an angle below 12 is within 1e-6, its cosine as well.
const SINGLE: f64 = 2e-6;
/// An angle below 12 and its cosine, in double precision.
const DOUBLE: f64 = 4e-15;

#[test]
fn tables_are_those_of_public_implementations() {
    let sinusoid =
        || PositionsSpec { kind: PositionKind::Sinusoid { d_model: 6, theta: 10000.0 }, offset: 0 };
    let default = |pairing| rotary(Turns::Theta(10000.0), 1.0, pairing);
    let yarn = Turns::Frequencies(golden("yarn_frequencies").iter().copied().collect());
    let scale = golden("yarn_scale")[0];
    assert!(scale > 1.1, "a scale that would be missed");
    for (name, spec, tolerance) in [
        ("llama", default(Pairing::Halves), SINGLE),
        ("yarn", rotary(yarn, scale, Pairing::Halves), SINGLE),
        ("gptj", default(Pairing::Pairs), SINGLE),
        ("sinusoid", sinusoid(), SINGLE),
        ("exact_halves", default(Pairing::Halves), DOUBLE),
        ("exact_pairs", default(Pairing::Pairs), DOUBLE),
        ("exact_sinusoid", sinusoid(), DOUBLE),
    ] {
        let want = golden(name);
        let got = positions::tokens(&spec, 0, 12);
        assert_eq!((got.shape(), spec.width()), (want.shape(), want.nrows()), "{name}");
        let gap = (got - &want).amax();
        assert!(gap <= tolerance, "{name}: {gap:e}");
        // From another number on: the same columns.
        let later = PositionsSpec { offset: 5, ..spec.clone() };
        assert_eq!(positions::tokens(&later, 0, 4), positions::tokens(&spec, 5, 4), "{name}");
        assert_eq!(positions::tokens(&later, 2, 4), positions::tokens(&spec, 0, 12).columns(7, 4), "{name}");
    }
}

/// The plain loops, which share no code, number tokens the same way.
#[test]
fn tables_are_those_of_the_plain_loops() {
    use pulvinar::oracle::cells::{Pairing as Laid, Positions};
    let rotary = |dims, theta, scale, pairing| {
        PositionKind::Rotary(RotarySpec { dims, turns: Turns::Theta(theta), scale, pairing })
    };
    for (kind, plain) in [
        (PositionKind::Index {}, Positions::Index),
        (PositionKind::OneHot(23), Positions::OneHot(23)),
        (PositionKind::Sinusoid { d_model: 7, theta: 33.0 }, Positions::Sinusoid { d_model: 7, theta: 33.0 }),
        (rotary(6, 500.0, 1.5, Pairing::Halves), Positions::rotary(6, 500.0, 1.5, Laid::Halves)),
        (rotary(10, 1e6, 0.5, Pairing::Pairs), Positions::rotary(10, 1e6, 0.5, Laid::Pairs)),
    ] {
        for offset in [0, 3] {
            let got = positions::tokens(&PositionsSpec { kind: kind.clone(), offset }, 0, 20);
            let want = plain.tokens(20, offset).expect("numbers").concat();
            let gap = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(got.len() == want.len() && gap < 1e-14, "{kind:?}: {gap:e}");
        }
    }
}

/// `{rotate: ...}` times positions, both halves added, is what Llama, GPT-J and RoFormer do to a query.
#[test]
fn a_quarter_turn_times_positions_turns_queries_as_llama_gptj_and_roformer_do() {
    for (name, pairing) in [("llama_q", "halves"), ("gptj_q", "pairs"), ("roformer_q", "pairs")] {
        let (_, wired) = from_text(&format!(
            "schema: pulvinar/1\nname: turns\ntokens:\n  streams:\n    main: {{d_model: 8, input: {{gaussian: {{length: 6}}}}}}\n    \
             pos: {{positions: {{rotary: {{dims: 8, theta: 10000, pairing: {pairing}}}}}, clock: main}}\n\
             thalamus:\n  X: {{pathway: core, per: [query], cells: 8}}\n  P: {{pathway: core, per: [query], cells: 16, tokens: pos}}\n  \
             HO: {{pathway: core, per: [query], cells: 8}}\nareas:\n  R: {{microcolumns: {{per: [query]}}, populations: {{turn: {{cells: 16, activation: product}}}}}}\n\
             projections:\n  q: {{from: X, to: R.turn.basal, weights: {{rotate: {pairing}}}}}\n  p: {{from: P, to: R.turn.apical, weights: identity}}\n  \
             o: {{from: R.turn, to: HO.basal, weights: {{kron: [{{ones: [1, 2]}}, identity]}}}}\noutput: HO\n"
        ))
        .unwrap_or_else(|d| panic!("{d}"));
        let mut tokens = inputs(&wired, Path::new("."), &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
        tokens.insert("main".to_owned(), golden("q"));
        // Every cell of every token, in plain loops.
        let gap = (oracle_output(&wired, &tokens) - golden(name)).amax();
        assert!(gap < SINGLE, "{name}: {gap:e}");
    }
}

/// Attention by place alone: keys and queries are positions, values are tokens.
const BY_PLACE: &str = "schema: pulvinar/1
name: by_place
seed: 4
tokens:
  mask: causal
  streams:
    main: {d_model: 3, input: {gaussian: {length: 9}}}
    pos: {positions: POSITIONS, offset: 2, clock: main}
thalamus:
  PQ: {pathway: core, per: [query], cells: WIDTH, tokens: pos}
  PC: {pathway: matrix, per: [context], cells: WIDTH, tokens: pos}
  C: {pathway: matrix, per: [context], cells: 3}
  HO: {pathway: core, per: [query], cells: 3}
areas:
  A: {microcolumns: {per: [query, context]}, populations: {sup: {cells: WIDTH, activation: product}, score: {cells: 1}, deep: {cells: 3, activation: product}}}
projections:
  k: {from: PC, to: A.sup.apical, weights: identity}
  q: {from: PQ, to: A.sup.basal, weights: identity}
  s: {from: A.sup, to: A.score.basal, weights: ones}
  w: {from: A.score, to: A.deep.apical, weights: ones}
  v: {from: C, to: A.deep.basal, weights: identity}
  o: {from: A.deep, to: HO.basal, weights: identity}
output: HO
";

fn by_place(positions: &str, width: usize) -> String {
    BY_PLACE.replace("POSITIONS", positions).replace("WIDTH", &width.to_string())
}

fn folder(text: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("c.yaml"), text).expect("written");
    dir
}

/// Position, width, and the score of tokens of numbers a and b in closed form.
type Kind = (&'static str, usize, fn(f64, f64) -> f64);
const KINDS: [Kind; 4] = [
    ("{index: {}}", 1, |a, b| a * b),
    ("{one_hot: 12}", 12, |a, b| f64::from(u8::from(a == b))),
    ("{rotary: {dims: 4, theta: 100, pairing: pairs}}", 8, |a, b| {
        2.0 * ((a - b).cos() + ((a - b) / 10.0).cos())
    }),
    ("{sinusoid: {d_model: 4, theta: 100}}", 4, |a, b| (a - b).cos() + ((a - b) / 10.0).cos()),
];

#[test]
fn heads_cells_and_plain_loops_read_the_same_positions() {
    for (kind, width, score) in KINDS {
        let dir = folder(&by_place(kind, width));
        let (document, wired) = from_text(&by_place(kind, width)).unwrap_or_else(|d| panic!("{kind}: {d}"));
        let tokens =
            inputs(&wired, Path::new("."), &BTreeMap::new()).unwrap_or_else(|d| panic!("{kind}: {d}"));
        let x = &tokens["main"];
        let number = |i: usize| (i + 2) as f64;
        let want = DMatrix::from_fn(3, 9, |r, i| {
            (0..=i).map(|j| score(number(i), number(j)) * x[(r, j)]).sum::<f64>()
        });
        let blocks = compile(&wired).unwrap_or_else(|d| panic!("{kind}: {d}")).plain_blocks();
        let ran = run::<f64>(&blocks, &tokens).unwrap_or_else(|d| panic!("{kind}: {d}"));
        assert!(relative(&ran.output, &want) < 1e-13, "{kind}");
        assert!(relative(&oracle_output(&wired, &tokens), &want) < 1e-13, "{kind}");
        let (code, cells) = json_in(dir.path(), &["simulate", "c.yaml", "--mode", "cells"]);
        assert_eq!(code, 0, "{kind}: {cells}");
        assert!(cells["max_rel_error"].as_f64().is_some_and(|e| e < 1e-6), "{kind}: {cells}");
        // What is printed is the same circuit.
        let printed = spec::to_yaml(&document.spec);
        let again = spec::read(printed.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(again.spec.tokens, document.spec.tokens, "{printed}");
    }
}

#[test]
fn numbers_go_on_from_piece_to_piece() {
    let long = pieces::PIECE + 300;
    let text = by_place("{rotary: {dims: 4, theta: 100, pairing: halves}}", 8)
        .replace("length: 9", &format!("length: {long}"));
    let (_, wired) = from_text(&text).unwrap_or_else(|d| panic!("{d}"));
    let none = BTreeMap::new();
    let blocks = compile(&wired).unwrap_or_else(|d| panic!("{d}")).plain_blocks();
    let whole = run::<f64>(&blocks, &inputs(&wired, Path::new("."), &none).expect("tokens")).expect("runs");
    let mut feeds = pieces::feeds(&wired, Path::new("."), &none).unwrap_or_else(|d| panic!("{d}"));
    assert!(matches!(feeds["pos"], pieces::Feed::Positions(_, n) if n == long), "made when they are read");
    let mut all: Vec<f64> = Vec::new();
    let take = |y: &DMatrix<f64>| {
        all.extend(y.iter());
        Ok::<_, pulvinar::diag::Diagnostic>(())
    };
    pieces::run(&blocks, &mut feeds, take, || Ok(())).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(all, whole.output.as_slice(), "the same bytes");
}

#[test]
fn each_sequence_of_a_batch_starts_anew() {
    let (_, wired) = from_text(&by_place("{index: {}}", 1)).unwrap_or_else(|d| panic!("{d}"));
    let dir = tempfile::tempdir().expect("a folder");
    let batch = pulvinar::files::Array {
        shape: vec![2, 4, 3],
        data: (0..24).map(f64::from).collect(),
        dtype: pulvinar::files::Dtype::F64,
    };
    let file = dir.path().join("x.npy");
    pulvinar::files::write_npy_array(&file, &batch).expect("written");
    let given = BTreeMap::from([("main".to_owned(), file)]);
    let all = pulvinar::simulate::inputs::sequences(&wired, Path::new("."), &given)
        .unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(all.len(), 2);
    for sequence in all {
        assert_eq!(sequence["pos"].as_slice(), [2.0, 3.0, 4.0, 5.0]);
    }
}

#[test]
fn a_file_replaces_positions_and_must_fit() {
    let dir = folder(&by_place("{index: {}}", 1));
    let own = |args: &[&str]| json_in(dir.path(), &[&["simulate", "c.yaml"], args].concat());
    let file = |name: &str, x: &DMatrix<f64>| write_npy(&dir.path().join(name), x).expect("written");
    file("same.npy", &DMatrix::from_fn(1, 9, |_, j| (j + 2) as f64));
    file("other.npy", &DMatrix::from_fn(1, 9, |_, j| (j + 3) as f64));
    let (hash, same, other) = (
        own(&[]).1["output_sha256"].clone(),
        own(&["--tokens", "pos=same.npy"]).1["output_sha256"].clone(),
        own(&["--tokens", "pos=other.npy"]).1["output_sha256"].clone(),
    );
    assert!(hash.is_string() && hash == same && hash != other, "{hash} {same} {other}");
    file("wide.npy", &DMatrix::zeros(2, 9));
    file("long.npy", &DMatrix::zeros(1, 10));
    for (name, code) in [("wide.npy", "F009"), ("long.npy", "F013")] {
        let ran = run_in(dir.path(), &["simulate", "c.yaml", "--tokens", &format!("pos={name}")]);
        assert!(ran.code != 0 && ran.stderr.contains(code), "{name}: {}", ran.stderr);
    }
    // A run directory replays with the positions that were given.
    let ran = run_in(dir.path(), &["simulate", "c.yaml", "--tokens", "pos=other.npy", "-o", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (_, replayed) = json_in(dir.path(), &["simulate", "run/circuit.yaml"]);
    assert_eq!(replayed["output_sha256"], other);
}

#[test]
fn a_token_beyond_one_hot_is_refused_by_number() {
    for (n, fits) in [(11, true), (10, false), (1, false)] {
        let text = by_place("{one_hot: N}", 12).replace("{one_hot: N}", &format!("{{one_hot: {n}}}"));
        let dir = folder(&text.replace("cells: 12", &format!("cells: {n}")));
        for extra in [&[][..], &["--mode", "cells"], &["--stream"]] {
            let ran = run_in(dir.path(), &[&["simulate", "c.yaml"], extra].concat());
            if fits {
                assert_eq!(ran.code, 0, "{n} {extra:?}: {}", ran.stderr);
            } else {
                assert_ne!(ran.code, 0, "{n} {extra:?}");
                assert!(
                    ran.stderr.contains("C037") && ran.stderr.contains(&format!("one_hot: {n}")),
                    "{}",
                    ran.stderr
                );
                assert!(ran.stderr.contains("write `one_hot: 11`"), "{}", ran.stderr);
            }
        }
    }
}

/// Tokens in time: each is held with its position.
#[test]
fn positions_in_time() {
    let text = "schema: pulvinar/1
name: in_time
seed: 4
tokens:
  mask: causal
  layout: {time: {duration: 200 ms, gap: 300 ms}}
  streams:
    main: {d_model: 3, input: {gaussian: {length: 5}}}
    pos: {positions: {sinusoid: {d_model: 4, theta: 100}}, clock: main}
thalamus:
  PQ: {pathway: core, per: [query], cells: 4, tokens: pos}
  PC: {pathway: matrix, per: [context], cells: 4, tokens: pos}
  C: {pathway: matrix, per: [context], cells: 3}
  HO: {pathway: core, per: [query], cells: 3}
areas:
  A: {microcolumns: {count: 3}, populations: {sup: {cells: 4, per: [context], activation: product, accumulate: {hebbian: {}}}, deep: {cells: 4, per: [query], activation: product}}}
projections:
  k: {from: PC, to: A.sup.apical, onto: cells, weights: identity}
  v: {from: C, to: A.sup.basal, onto: microcolumns, weights: identity}
  m: {from: A.sup, to: A.deep.apical, weights: identity}
  q: {from: PQ, to: A.deep.basal, onto: cells, weights: identity}
  o: {from: A.deep, to: HO.basal, pool: cells, weights: identity}
output: HO
";
    let dir = folder(text);
    let (code, cells) = json_in(dir.path(), &["simulate", "c.yaml", "--mode", "cells"]);
    assert_eq!(code, 0, "{cells}");
    // Cells of 10 ms write after 200 ms: e^-20 of the way is left.
    assert!(cells["max_rel_error"].as_f64().is_some_and(|e| e < 5.0 * (-20.0f64).exp()), "{cells}");
}

/// Learning reads them beside every sequence, and gradients go through them.
#[test]
fn tasks_number_the_tokens_that_they_feed() {
    let learning = by_place("{sinusoid: {d_model: 4, theta: 100}}", 4)
        .replace("    pos:", "    target: {d_model: 3, clock: main}\n    pos:")
        .replace("A.deep.basal, weights: identity", "A.deep.basal, weights: {normal: {fan_in: 1}}, plasticity: {hebbian: {rate: 0.01}}")
        .replace("output: HO", "output: HO\ntask: {file: {path: x.npz, tokens: {main: x}, target: {target: y}}}\ntrain: {steps: 3, batch: 2, rule: gradient, evaluate: {every: 2, sequences: 2}}");
    let dir = folder(&learning);
    let array = |salt: usize| pulvinar::files::Array {
        shape: vec![6, 5, 3],
        data: (0..90).map(|k| ((k * 37 + salt) % 19) as f64 / 10.0 - 0.9).collect(),
        dtype: pulvinar::files::Dtype::F64,
    };
    pulvinar::files::write_npz(
        &dir.path().join("x.npz"),
        &[("x".to_owned(), array(0)), ("y".to_owned(), array(5))],
    )
    .expect("written");
    let document = spec::read(learning.as_bytes(), dir.path(), &[]).unwrap_or_else(|d| panic!("{d}"));
    let wired = circuit::wire(&document.spec, dir.path()).unwrap_or_else(|d| panic!("{d}"));
    let task = document.spec.reserved.task.as_ref().expect("a task");
    let task = pulvinar::plasticity::tasks::Task::new(task, &wired, dir.path(), None)
        .unwrap_or_else(|d| panic!("{d}"));
    let mut sample = task.sample();
    let PositionsSpec { kind, offset } =
        document.spec.tokens.streams.get("pos").and_then(|s| s.positions.clone()).expect("positions");
    let want = positions::tokens(&PositionsSpec { kind, offset }, 0, 5);
    for index in 0..2 {
        task.fill(pulvinar::plasticity::Split::Train, index, &mut sample).expect("filled");
        assert_eq!(sample["pos"], want);
        assert_ne!(sample["main"].amax(), 0.0);
    }
    let ran = run_in(dir.path(), &["check", "c.yaml", "--gradients"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let ran = run_in(dir.path(), &["train", "c.yaml", "-o", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // Updates after every token read the number of the token, not that of the first.
    let by_token = learning.replace("rule: gradient", "update: token");
    fs::write(dir.path().join("token.yaml"), by_token).expect("written");
    let ran = run_in(dir.path(), &["train", "token.yaml", "-o", "run2"]);
    assert!(ran.code == 0 || ran.stderr.contains("C063"), "{}", ran.stderr);
}
