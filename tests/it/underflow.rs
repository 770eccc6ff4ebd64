//! Divisors that are above 0 on paper and 0 in 64 bits: cells give the limit or say that they diverged, never another number.

use crate::binary::{json_in, run_in};
use crate::support::{from_text, root};
use pulvinar::plasticity::{Plan, Work, forward};
use pulvinar::simulate::cells::{Cause, End, Run, Settings, run};
use pulvinar::simulate::{inputs, run as algebra};
use std::collections::BTreeMap;
use std::fs;

/// One softmax head of gain `g` on tokens whose first number is 1: all scores are near `g`.
fn softmax(g: f64, mask: &str, rest: &str) -> String {
    format!(
        "schema: pulvinar/1
name: low
seed: 1
tokens: {{d_model: 2, mask: {mask}, input: {{values: [[1, 0.5], [1, -0.5], [1, 0.25]]}}}}
thalamus:
  Q:  {{pathway: core,   per: [query],   cells: 2}}
  C:  {{pathway: matrix, per: [context], cells: 2}}
  HO: {{pathway: core,   per: [query],   cells: 2}}
areas:
  A1:
    microcolumns: {{per: [query, context]}}
    populations:
      superficial: {{layer: L2/3, cell_type: pyramidal,   cells: 2, activation: product}}
      score:       {{layer: L5,   cell_type: pyramidal,   cells: 1, activation: exp}}
      total:       {{layer: L5,   cell_type: interneuron, cells: 1, activation: linear, per: [query]}}
      deep:        {{layer: L5,   cell_type: pyramidal,   cells: 2, activation: product}}
      readout:     {{layer: L5,   cell_type: pyramidal,   cells: 2, activation: linear, per: [query]}}
projections:
  W_K:    {{from: C,              to: A1.superficial.apical, weights: identity}}
  W_Q:    {{from: Q,              to: A1.superficial.basal,  weights: identity, gain: {g}}}
  beta:   {{from: A1.superficial, to: A1.score.basal,        weights: ones}}
  w:      {{from: A1.score,       to: A1.deep.apical,        weights: ones}}
  sum:    {{from: A1.score,       to: A1.total.basal,        weights: ones}}
  W_V:    {{from: C,              to: A1.deep.basal,         weights: identity}}
  u:      {{from: A1.deep,        to: A1.readout.basal,      weights: identity}}
  divide: {{from: A1.total,       to: A1.readout.basal,      weights: ones, effect: divisive}}
  W_O:    {{from: A1.readout,     to: HO.basal,              weights: identity}}
output: HO
{rest}"
    )
}

fn cells(text: &str, prospective: bool) -> Run {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{e}"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let settings = Settings { prospective, ..Settings::of(&document.spec) };
    run(&circuit, &tokens, &settings).unwrap_or_else(|d| panic!("{d}"))
}

fn heads(text: &str) -> nalgebra::DMatrix<f64> {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{e}"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let blocks = pulvinar::compile::compile(&circuit).expect("compiles").plain_blocks();
    algebra::<f64>(&blocks, &tokens).expect("runs").output
}

#[test]
fn softmax_of_low_scores_is_the_limit_or_diverged() {
    for prospective in [false, true] {
        for (g, lost) in [
            (-30.0, false),
            (-300.0, false),
            (-480.0, false),
            (-700.0, true),
            (-900.0, true),
            (-2000.0, true),
        ] {
            let text = softmax(g, "causal", "");
            let (got, want) = (cells(&text, prospective), heads(&text));
            if lost {
                let End::Diverged { population, cause, .. } = &got.end else {
                    panic!("{g}, {prospective}: {:?} {}", got.end, got.output)
                };
                assert_eq!((population.as_str(), *cause), ("A1.readout", Cause::Underflow), "{g}");
            } else {
                assert_eq!(got.end, End::Settled, "{g}, {prospective}");
                let error = (&got.output - &want).amax() / want.amax();
                assert!(error < 1e-6, "{g}, {prospective}: {error:e}");
            }
            // The heads give the limit, whatever the gain: weights that sum to 1.
            assert!((want[(0, 2)] - 1.0).abs() < 1e-12 && want.iter().all(|y| y.is_finite()), "{g}: {want}");
        }
    }
}

#[test]
fn sums_of_nothing_stay_nothing() {
    // Before the first token of a strict mask nothing is summed: 0/0 is 0.
    let got = cells(&softmax(-1.0, "strict", ""), true);
    assert_eq!((&got.end, got.output[(0, 0)]), (&End::Settled, 0.0));
    // A sum whose weights are 0 is no sum either.
    let dead = softmax(-1.0, "causal", "")
        .replace("A1.total.basal,        weights: ones", "A1.total.basal,        weights: zeros")
        .replace("A1.deep.apical,        weights: ones", "A1.deep.apical,        weights: zeros");
    let got = cells(&dead, true);
    assert_eq!((&got.end, got.output.amax()), (&End::Settled, 0.0));
    // Sums of cells that may be silent: 0/0 is 0, and what is left of them decays to that.
    let silent = softmax(-900.0, "causal", "").replace("activation: exp", "activation: relu");
    for prospective in [true, false] {
        let got = cells(&silent, prospective);
        assert_eq!((&got.end, got.output.amax()), (&End::Settled, 0.0), "{prospective}");
    }
}

#[test]
fn the_other_rates_above_zero_underflow_alike() {
    for activation in ["sigmoid", "elu_plus_one"] {
        let text =
            softmax(-900.0, "full", "").replace("activation: exp", &format!("activation: {activation}"));
        let got = cells(&text, true);
        assert!(
            matches!(got.end, End::Diverged { cause: Cause::Underflow, .. }),
            "{activation}: {:?}",
            got.end
        );
    }
}

#[test]
fn a_lesion_that_silences_the_scores_is_no_underflow() {
    let text = softmax(-1.0, "causal", "lesions: [{silence: {population: A1.score}}]\n");
    assert_eq!(cells(&text, true).end, End::Settled);
}

#[test]
fn a_run_for_a_time_says_so_too() {
    let text = softmax(-900.0, "causal", "simulation: {stop: {duration: 200 ms}}\n");
    for prospective in [true, false] {
        let got = cells(&text, prospective);
        assert!(
            matches!(got.end, End::Diverged { cause: Cause::Underflow, .. }),
            "{prospective}: {:?}",
            got.end
        );
    }
}

#[test]
fn the_program_says_what_was_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("low.yaml"), softmax(-900.0, "causal", "")).expect("written");
    let ran = run_in(dir.path(), &["simulate", "low.yaml", "--mode", "cells"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.contains("R001") && ran.stderr.contains("too small for 64-bit numbers"),
        "{}",
        ran.stderr
    );
    let (code, object) = json_in(dir.path(), &["simulate", "low.yaml", "--mode", "cells"]);
    assert_eq!((code, &object["ok"]), (1, &false.into()), "{object}");
    let (code, object) = json_in(dir.path(), &["simulate", "low.yaml"]);
    assert_eq!((code, &object["ok"]), (0, &true.into()), "{object}");
}

/// What learns has no maximum to subtract: it stops, and does not learn from 0/0.
#[test]
fn settled_cells_of_learning_stop() {
    for (g, lost) in [(-30.0, false), (-900.0, true)] {
        let (document, circuit) = from_text(&softmax(g, "strict", "")).unwrap_or_else(|e| panic!("{e}"));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let plan = Plan::new(&circuit, &tokens).unwrap_or_else(|d| panic!("{d}"));
        let weights: Vec<_> = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
        let ended = forward(&plan, &weights, &tokens, &mut Work::new(&plan));
        assert_eq!(ended.is_err(), lost, "{g}: {ended:?}");
        assert_eq!(ended.err().map(|w| w.cause), lost.then_some(Cause::Underflow));
    }
}

/// A memory of features `exp(k)`: its divisor is a sum without a maximum, in the heads too.
#[test]
fn features_that_underflow_diverge_in_heads_and_cells() {
    let text = fs::read_to_string(root().join("circuits/feature_map_memory.yaml")).expect("readable");
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let mut tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    let blocks = pulvinar::compile::compile(&circuit).expect("compiles").plain_blocks();
    assert!(algebra::<f64>(&blocks, &tokens).is_ok());
    // Keys of -1000 for every token that is there.
    let mut low = blocks.clone();
    for head in low.iter_mut().flat_map(|b| &mut b.heads) {
        head.w_k.fill(0.0);
        head.b_k.fill(-1000.0);
    }
    let error = algebra::<f64>(&low, &tokens).expect_err("lost");
    assert!(error.code == "R001" && error.message.contains("too small"), "{error:?}");
    for x in tokens.values_mut() {
        *x = x.columns(0, 0).into_owned();
    }
    assert!(algebra::<f64>(&low, &tokens).is_ok(), "no token, nothing to divide");
}
