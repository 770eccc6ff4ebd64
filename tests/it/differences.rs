//! `check --gradients`: wrong gradients are found, right ones are not doubted, and where differences cannot tell, they say so.

use crate::binary::run_in;
use crate::support::{from_text, load, root, shipped};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::{Circuit, Weights};
use pulvinar::plasticity::differences::{Compared, DOUBT, Sequence, Verdict};
use pulvinar::plasticity::{Plan, Split, prepare_to_compare};
use pulvinar::seed;
use pulvinar::simulate::inputs;
use pulvinar_lab::experiments::learning::Lesson;
use std::collections::BTreeMap;
use std::fs;

const TOLERANCE: f64 = 1e-9;

type Gradient = Vec<Option<DMatrix<f64>>>;

/// A change of a gradient.
type Spoil<'a> = &'a dyn Fn(&mut DMatrix<f64>);

/// The circuit's gradient on a sequence, compared as it is and after each change that `spoil` makes of it.
fn compared(
    circuit: &Circuit,
    tokens: &Streams,
    target: Option<&DMatrix<f64>>,
    spoil: &[Spoil<'_>],
) -> Vec<Vec<Compared>> {
    let (prepared, _) = prepare_to_compare(circuit).unwrap_or_else(|d| panic!("{}: {d}", circuit.name));
    let plan = Plan::new(&prepared.circuit, tokens).unwrap_or_else(|d| panic!("{}: {d}", circuit.name));
    let mut rng = seed::stream(1, "target");
    let d_model = plan.cells[plan.outputs[0].0].n;
    let drawn = DMatrix::from_fn(d_model, plan.queries, |_, _| seed::normal(&mut rng));
    let target = target.unwrap_or(&drawn);
    let weights: Vec<Weights> =
        prepared.circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
    let counted = vec![true; plan.queries];
    let mut sequence = Sequence::new(&plan, &weights, tokens, target, &counted);
    let gradient: Gradient = sequence.gradient(&prepared.plastic).unwrap_or_else(|w| panic!("{w:?}"));
    let mut found = vec![sequence.compare(&gradient, &[], || ()).expect("finite")];
    for spoil in spoil {
        let mut wrong = gradient.clone();
        wrong.iter_mut().flatten().filter(|d| d.norm() > 0.0).for_each(spoil);
        found.push(sequence.compare(&wrong, &[], || ()).expect("finite"));
    }
    found
}

/// The sequence that a task gives a circuit, or its own tokens.
fn tokens_of(file: &std::path::Path) -> (Circuit, Streams, Option<DMatrix<f64>>) {
    let (document, circuit) = load(file);
    if document.spec.reserved.task.is_some() {
        let lesson = Lesson::read(file, &[], None).unwrap_or_else(|d| panic!("{}: {d}", file.display()));
        let mut tokens = lesson.task.sample();
        lesson.task.fill(Split::Train, 0, &mut tokens).expect("a sequence");
        let target = tokens[lesson.task.target()].clone();
        return (circuit, tokens, Some(target));
    }
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    (circuit, tokens, None)
}

#[test]
fn one_wrong_entry_is_found_in_every_shipped_circuit() {
    let wrong = |d: &mut DMatrix<f64>, at: usize, by: f64| {
        let norm = d.norm();
        d[at] += by * norm;
    };
    let first = |d: &mut DMatrix<f64>| wrong(d, 0, 1e-6);
    let last = |d: &mut DMatrix<f64>| wrong(d, d.len() - 1, -1e-6);
    // An entry that is most likely not among those that are drawn.
    let middle = |d: &mut DMatrix<f64>| wrong(d, (d.len() * 5 / 8 + 1) % d.len(), 1e-6);
    let mut matrices = 0;
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (circuit, tokens, target) = tokens_of(&file);
        let found = compared(&circuit, &tokens, target.as_ref(), &[&first, &last, &middle]);
        for c in &found[0] {
            let p = &circuit.projections[c.k].name;
            assert_eq!(c.verdict(TOLERANCE), Verdict::Agree, "{name}: {p}: {c:?}");
            assert!(c.doubt <= DOUBT && !c.kink, "{name}: {p}: {c:?}");
        }
        for (n, spoiled) in found[1..].iter().enumerate() {
            for c in spoiled.iter().filter(|c| c.norm > 0.0 && !c.nothing) {
                let p = &circuit.projections[c.k].name;
                assert_eq!(c.verdict(TOLERANCE), Verdict::Disagree, "{name}: {p}, {n}: {c:?}");
                assert!(c.error > 0.9e-6 && c.error < 1.2e-6, "{name}: {p}, {n}: {c:?}");
                matrices += 1;
            }
        }
    }
    assert!(matrices > 600, "{matrices}");
}

/// Derivatives by every entry of every matrix, connections of ones and identities included, against complex steps of loops
/// written in NumPy (`tests/golden/gradients/complex_steps.py`).
#[test]
fn three_levels_have_the_derivatives_of_complex_steps() {
    let path = root().join("tests/golden/gradients/complex_steps.safetensors");
    let (document, circuit) = load(&root().join("circuits/three_level_hierarchy.yaml"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let plan = Plan::new(&circuit, &tokens).unwrap_or_else(|d| panic!("{d}"));
    let d_model = plan.cells[plan.outputs[0].0].n;
    let target = DMatrix::from_fn(d_model, plan.queries, |a, i| (((7 * i + 3 * a) % 5) as f64 - 2.0) / 2.0);
    let weights: Vec<Weights> = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
    let counted = vec![true; plan.queries];
    let mut sequence = Sequence::new(&plan, &weights, &tokens, &target, &counted);
    let descent = sequence.gradient(&[]).expect("finite");
    let mut wanted: Gradient = vec![None; weights.len()];
    for (k, p) in circuit.projections.iter().enumerate() {
        let tensor = format!("three_level_hierarchy/{}", p.name);
        let want = pulvinar::files::read_array(&path, Some(&tensor)).unwrap_or_else(|d| panic!("{d}"));
        let want = -DMatrix::from_row_slice(want.shape[0], want.shape[1], &want.data);
        let got = descent[k].as_ref().expect("every projection counts");
        let error = (got - &want).norm() / want.norm();
        assert!(error < 1e-13, "{tensor}: {error:e}");
        wanted[k] = Some(want);
    }
    // The differences judge what NumPy says as they judge ours.
    for c in sequence.compare(&wanted, &[], || ()).expect("finite") {
        assert_eq!(c.verdict(TOLERANCE), Verdict::Agree, "{c:?}");
    }
}

const SMALL: &str = "\
schema: pulvinar/1
name: small
seed: 4
tokens: {d_model: 3, mask: causal, input: INPUT}
thalamus:
  Q:  {pathway: core,   per: [query],   cells: 3}
  C:  {pathway: matrix, per: [context], cells: 3}
  HO: {pathway: core,   per: [query],   cells: 3}
areas:
  A:
    microcolumns: {per: [query, context]}
    populations:
      s: {layer: L2/3, cell_type: pyramidal, cells: 3, activation: product}
      d: {layer: L5,   cell_type: pyramidal, cells: 3, activation: product}
projections:
  K: {from: C,   to: A.s.apical, weights: KEYS}
  Q: {from: Q,   to: A.s.basal,  weights: {normal: {fan_in: 1}}}
  M: {from: A.s, to: A.d.apical, weights: ones}
  V: {from: C,   to: A.d.basal,  weights: VALUES}
  O: {from: A.d, to: HO.basal,   weights: {normal: {fan_in: 1}}}
output: HO
";

fn small(input: &str, keys: &str, values: &str) -> String {
    let normal = "{normal: {fan_in: 1}}";
    let or = |text: &str| if text.is_empty() { normal.to_owned() } else { text.to_owned() };
    SMALL.replace("INPUT", input).replace("KEYS", &or(keys)).replace("VALUES", &or(values))
}

fn verdicts(text: &str, tokens: Option<Streams>, target: Option<&DMatrix<f64>>) -> Vec<(String, Compared)> {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{e}"));
    let tokens =
        tokens.unwrap_or_else(|| inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens"));
    let found = compared(&circuit, &tokens, target, &[]).remove(0);
    found.into_iter().map(|c| (circuit.projections[c.k].name.clone(), c)).collect()
}

const GAUSSIAN: &str = "{gaussian: {length: 5}}";

#[test]
fn gradients_that_are_no_numbers_do_not_agree() {
    let (document, circuit) = from_text(&small(GAUSSIAN, "", "")).unwrap_or_else(|e| panic!("{e}"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let nan = |d: &mut DMatrix<f64>| d[3] = f64::NAN;
    let infinite = |d: &mut DMatrix<f64>| d[0] = f64::INFINITY;
    for found in &compared(&circuit, &tokens, None, &[&nan, &infinite])[1..] {
        assert!(found.iter().all(|c| c.verdict(TOLERANCE) == Verdict::Disagree), "{found:?}");
    }
    // Targets whose squares are no numbers leave nothing to compare with.
    let far = DMatrix::from_element(3, 5, 1e300);
    for (name, c) in verdicts(&small(GAUSSIAN, "", ""), None, Some(&far)) {
        assert_ne!(c.verdict(TOLERANCE), Verdict::Disagree, "{name}: {c:?}");
    }
}

#[test]
fn tied_matrices_have_the_derivative_of_all_their_uses() {
    let text = small(GAUSSIAN, "", "{transpose_of: K}");
    for (name, c) in verdicts(&text, None, None) {
        assert_eq!(c.verdict(TOLERANCE), Verdict::Agree, "{name}: {c:?}");
    }
    // The part of one use is not the derivative: it is found to be wrong.
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let halved = |d: &mut DMatrix<f64>| *d *= 1.0 + 1e-7;
    let found = compared(&circuit, &tokens, None, &[&halved]).remove(1);
    assert!(found.iter().all(|c| c.verdict(TOLERANCE) == Verdict::Disagree), "{found:?}");
}

#[test]
fn dead_heads_have_no_derivative_and_agree() {
    // Values of zero: keys and queries have no derivative, neither has the output.
    for (name, c) in verdicts(&small(GAUSSIAN, "", "zeros"), None, None) {
        assert_eq!(c.verdict(TOLERANCE), Verdict::Agree, "{name}: {c:?}");
        assert!(c.norm > 0.0 || c.nothing, "{name}: {c:?}");
    }
    for (name, c) in verdicts(&small(GAUSSIAN, "zeros", "zeros"), None, None) {
        assert_eq!((c.verdict(TOLERANCE), c.norm), (Verdict::Agree, 0.0), "{name}: {c:?}");
    }
}

#[test]
fn what_rounding_hides_is_undecided() {
    // Beside targets of 1e20 an output of order 1 does not move the loss, but its derivative is exact.
    let far = DMatrix::from_element(3, 5, 1e20);
    for (name, c) in verdicts(&small(GAUSSIAN, "", ""), None, Some(&far)) {
        assert_eq!(c.verdict(TOLERANCE), Verdict::Agree, "{name}: {c:?}");
    }
    // A residual of 1e12 beside the heads does hide them, and its own derivative too.
    let text = small(GAUSSIAN, "", "")
        .replace("output: HO", "  R: {from: Q, to: HO.basal, weights: identity, gain: 1.0e+12}\noutput: HO");
    let near = DMatrix::from_fn(3, 5, |a, i| a as f64 - i as f64);
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let target = &tokens["main"] * 1e12 + near;
    let found = verdicts(&text, Some(tokens.clone()), Some(&target));
    let open: Vec<&str> = found
        .iter()
        .filter(|(_, c)| c.verdict(TOLERANCE) == Verdict::Undecided)
        .map(|(n, _)| n.as_str())
        .collect();
    assert_eq!(open, ["K", "Q", "M", "V", "O", "R"], "{found:?}");
    assert!(found.iter().all(|(_, c)| c.verdict(TOLERANCE) != Verdict::Disagree), "{found:?}");
}

#[test]
fn kinks_have_no_derivative_and_that_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = small("{values: [[1, 0, 2], [0, 1, 0], [1, 1, 1]]}", "{values: [[0, 0, 0], [1, 0, 0], [0, 1, 0]]}", "")
        .replace("  s: {layer: L2/3, cell_type: pyramidal, cells: 3, activation: product}", "  s: {layer: L2/3, cell_type: pyramidal, cells: 3, activation: product}\n      f: {layer: L2/3, cell_type: pyramidal, per: [context], cells: 3, activation: relu}")
        .replace("  K: {from: C,   to: A.s.apical, ", "  F: {from: A.f, to: A.s.apical, weights: identity}\n  K: {from: C,   to: A.f.basal, ");
    fs::write(dir.path().join("kink.yaml"), text).expect("written");
    let ran = run_in(dir.path(), &["check", "kink.yaml", "--gradients"]);
    let words = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 1, "{words}");
    assert!(words.contains("UNDECIDED by K") && words.contains("K: the loss has a kink"), "{words}");
    let ran = run_in(dir.path(), &["check", "kink.yaml", "--gradients", "--format", "json"]);
    let object: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&object["ok"], &object["undecided"][0]), (&false.into(), &"K".into()), "{object}");
    assert_eq!(object["disagree"], serde_json::json!([]), "{object}");
    let k = &object["parameters"]["K"];
    assert_eq!((&k["verdict"], &k["kink"]), (&"undecided".into(), &true.into()), "{object}");
}

#[test]
fn steep_scores_take_smaller_steps() {
    let text = fs::read_to_string(root().join("circuits/softmax_divisive.yaml")).expect("readable");
    for gain in ["{inv_sqrt: $d_k}", "40.0"] {
        let text = text.replace("{inv_sqrt: $d_k}", gain);
        for (name, c) in verdicts(&text, None, None) {
            assert_eq!(c.verdict(TOLERANCE), Verdict::Agree, "gain {gain}: {name}: {c:?}");
        }
    }
}

#[test]
fn every_circuit_that_trains_by_the_gradient_is_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let learns = |rule: &str| {
        let text = small(GAUSSIAN, "", "").replace("tokens: {d_model: 3, mask: causal, input: {gaussian: {length: 5}}}", "tokens: {mask: causal, streams: {main: {d_model: 3, input: {gaussian: {length: 5}}}, target: {d_model: 3, input: {gaussian: {length: 5}}, clock: main}}}")
            .replace("to: A.s.apical, weights: {normal: {fan_in: 1}}", &format!("to: A.s.apical, weights: {{normal: {{fan_in: 1}}}}, plasticity: {{{rule}: {{rate: 0.001}}}}"));
        format!("{text}task: {{teacher: {{circuit: teacher.yaml}}}}\ntrain: {{steps: 1, batch: 2}}\n")
    };
    fs::write(dir.path().join("teacher.yaml"), small(GAUSSIAN, "", "").replace("seed: 4", "seed: 5"))
        .expect("written");
    for rule in [
        "three_factor",
        "online",
        "own_token",
        "frozen_memory",
        "feedback_alignment",
        "kolen_pollack",
        "oja",
        "hebbian",
        "dale_eg",
    ] {
        fs::write(dir.path().join("c.yaml"), learns(rule)).expect("written");
        let trained = run_in(dir.path(), &["train", "c.yaml", "--rule", "gradient", "--format", "json"]);
        let ran = run_in(dir.path(), &["check", "c.yaml", "--gradients", "--format", "json"]);
        assert_eq!((trained.code, ran.code), (0, 0), "{rule}: {}{}", ran.stdout, ran.stderr);
        let object: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let left_out = object["rules_left_out"].as_array().expect("a list").len();
        assert_eq!(left_out == 0, ["oja", "hebbian"].contains(&rule), "{rule}: {object}");
        assert_eq!(object["parameters"]["K"]["cosine"].is_null(), left_out > 0, "{rule}: {object}");
    }
}
