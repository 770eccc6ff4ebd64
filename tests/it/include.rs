//! Circuits of other files as parts: the composition, bit for bit.

use crate::binary::json_in;
use crate::support::{oracle_output, relative};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::simulate::{inputs, run};
use pulvinar::spec;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const LAYER: &str = "schema: pulvinar/1
name: layer
seed: 3
parameters: {k: 2}
tokens: {d_model: 4, mask: causal, input: {gaussian: {length: 6}}}
thalamus:
  VQ: {pathway: core, per: [query], cells: 4}
  VC: {pathway: matrix, per: [context], cells: 4}
  HO: {pathway: core, per: [query], cells: 4}
areas:
  A: {microcolumns: {per: [query, context]}, populations: {sup: {cells: $k, activation: product}, score: {cells: 1}, deep: {cells: 4, activation: product}}}
projections:
  W_K: {from: VC, to: A.sup.apical, weights: {normal: {fan_in: 1}}}
  W_Q: {from: VQ, to: A.sup.basal, weights: {normal: {fan_in: 1}}}
  s: {from: A.sup, to: A.score.basal, weights: ones}
  w: {from: A.score, to: A.deep.apical, weights: ones}
  W_V: {from: VC, to: A.deep.basal, weights: {file: {path: data/v.csv}}}
  W_O: {from: A.deep, to: HO.basal, weights: {normal: {fan_in: 1}}}
  skip: {from: VQ, to: HO.basal, weights: identity}
  again: {from: VQ, to: HO.basal, weights: {same_as: skip}, gain: 0.5}
output: HO
task: {associative_recall: {pairs: 1}}
";

const STACK: &str = "schema: pulvinar/1
name: stack
seed: 1
tokens: {d_model: 4, mask: full, input: {gaussian: {length: 6}}}
thalamus: {X: {pathway: core, per: [query], cells: 4}}
include:
  L0: {circuit: parts/layer.yaml, tokens: {main: X}}
  L1: {circuit: parts/layer.yaml, tokens: {main: L0.HO}, seed: 9, set: {k: 3}}
output: L1.HO
";

fn folder(stack: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(dir.path().join("parts/data")).expect("made");
    fs::write(dir.path().join("parts/layer.yaml"), LAYER).expect("written");
    fs::write(dir.path().join("parts/data/v.csv"), "1,0.5,0,0\n0,1,0.5,0\n0,0,1,0.5\n-1,0,0,1\n")
        .expect("written");
    fs::write(dir.path().join("stack.yaml"), stack).expect("written");
    dir
}

fn read(file: &Path, set: &[(&str, &str)]) -> (spec::Document, Circuit) {
    let set: Vec<_> = set.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let document = spec::read_file(file, &set).unwrap_or_else(|d| panic!("{d}"));
    let circuit = wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}"));
    (document, circuit)
}

fn output(circuit: &Circuit, tokens: &Streams) -> DMatrix<f64> {
    let blocks = compile(circuit).unwrap_or_else(|d| panic!("{d}")).plain_blocks();
    run::<f64>(&blocks, tokens).unwrap_or_else(|d| panic!("{d}")).output
}

#[test]
fn a_stack_is_the_composition_of_its_parts() {
    let dir = folder(STACK);
    let (document, stack) = read(&dir.path().join("stack.yaml"), &[]);
    let tokens = inputs(&stack, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
    let layer = |seed: u64, k: &str, x: &DMatrix<f64>| {
        let mut document =
            spec::read_file(&dir.path().join("parts/layer.yaml"), &[("k".to_owned(), k.to_owned())])
                .expect("reads");
        document.spec.seed = seed;
        let circuit = wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}"));
        output(&circuit, &[("main".to_owned(), x.clone())].into())
    };
    let between = layer(3, "2", &tokens["main"]);
    let want = layer(9, "3", &between);
    let got = output(&stack, &tokens);
    assert_eq!(got, want, "the same bits");
    assert_ne!(layer(3, "3", &between), want, "its own seed");
    assert!(relative(&oracle_output(&stack, &tokens), &want) < 1e-12, "every cell in plain loops");
    // Written out, it is the same circuit with the same draws.
    let printed = spec::to_yaml(&document.spec);
    assert!(printed.contains("L1.W_K") && !printed.contains("include"), "{printed}");
    let again =
        spec::read(printed.as_bytes(), &document.folder, &[]).unwrap_or_else(|d| panic!("{d}\n{printed}"));
    assert_eq!(again.spec.projections, document.spec.projections);
    let again = wire(&again.spec, &again.folder).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(output(&again, &tokens), want, "{printed}");
}

/// A run directory holds the parts written out, with copies of their files.
#[test]
fn a_run_of_a_stack_replays() {
    let dir = folder(STACK);
    let (code, first) = json_in(dir.path(), &["simulate", "stack.yaml", "-o", "run"]);
    assert_eq!(code, 0, "{first}");
    fs::remove_dir_all(dir.path().join("parts")).expect("removed");
    let (code, again) = json_in(dir.path(), &["simulate", "run/circuit.yaml"]);
    assert_eq!((code, &again["output_sha256"]), (0, &first["output_sha256"]), "{again}");
    let (_, cells) = json_in(dir.path(), &["simulate", "run/circuit.yaml", "--mode", "cells"]);
    assert!(cells["max_rel_error"].as_f64().is_some_and(|e| e < 1e-9), "{cells}");
}

#[test]
fn parts_inside_parts_ties_and_positions() {
    let numbered = LAYER
        .replace("tokens: {d_model: 4, mask: causal, input: {gaussian: {length: 6}}}", "tokens:\n  mask: causal\n  streams:\n    main: {d_model: 4, input: {gaussian: {length: 6}}}\n    pos: {positions: {sinusoid: {d_model: 4, theta: 10}}, offset: 1, clock: main}")
        .replace("HO: {pathway", "PQ: {pathway: core, per: [query], cells: 4, tokens: pos}\n  PC: {pathway: matrix, per: [context], cells: 4, tokens: pos}\n  HO: {pathway")
        .replace("from: VC, to: A.sup.apical", "from: PC, to: A.sup.apical")
        .replace("from: VQ, to: A.sup.basal", "from: PQ, to: A.sup.basal");
    let stack = STACK.replace("output: L1.HO", "projections: {more: {from: X, to: END.basal, weights: {same_as: M.L0.W_V}}, o: {from: M.L1.HO, to: END.basal, weights: identity}}\noutput: END")
        .replace("thalamus: {X", "thalamus: {END: {pathway: core, per: [query], cells: 4}, X");
    let start = stack.find("include:").expect("parts");
    let end = stack.find("projections:").expect("a tie");
    let stack = format!(
        "{}include: {{M: {{circuit: parts/middle.yaml, tokens: {{main: X}}}}}}\n{}",
        &stack[..start],
        &stack[end..]
    );
    let dir = folder(&stack);
    fs::write(dir.path().join("parts/layer.yaml"), &numbered).expect("written");
    fs::write(dir.path().join("parts/middle.yaml"), STACK.replace("parts/layer.yaml", "layer.yaml"))
        .expect("written");
    let (document, circuit) = read(&dir.path().join("stack.yaml"), &[]);
    let pos = document.spec.tokens.streams.get("M.L1.pos").expect("positions of the inner part");
    assert_eq!(pos.clock.as_deref(), Some("main"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(tokens["M.L0.pos"].ncols(), 6);
    let layer = |seed: u64, k: &str, x: &DMatrix<f64>| {
        let set = [("k".to_owned(), k.to_owned())];
        let mut document = spec::read_file(&dir.path().join("parts/layer.yaml"), &set).expect("reads");
        document.spec.seed = seed;
        let circuit = wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}"));
        output(
            &circuit,
            &[("main".to_owned(), x.clone()), ("pos".to_owned(), tokens["M.L0.pos"].clone())].into(),
        )
    };
    let v = DMatrix::from_row_slice(
        4,
        4,
        &[1.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.5, -1.0, 0.0, 0.0, 1.0],
    );
    let want = layer(9, "3", &layer(3, "2", &tokens["main"])) + v * &tokens["main"];
    assert!(relative(&output(&circuit, &tokens), &want) < 1e-14);
    assert!(relative(&oracle_output(&circuit, &tokens), &want) < 1e-12);
}

#[test]
fn a_mistake_in_a_part_names_its_file_and_line() {
    let dir = folder(&STACK.replace("set: {k: 3}", "set: {k: 0}"));
    let d = spec::read_file(&dir.path().join("stack.yaml"), &[]).expect_err("no cells");
    let one = &d.0[0];
    assert!(
        one.message.starts_with("`parts/layer.yaml`:11:") && one.message.contains("`cells` is 0"),
        "{one}"
    );
    assert_eq!(one.span.map(|s| s.line), Some(8), "{one}");
    // A ring of two files is named as it runs.
    fs::write(dir.path().join("parts/layer.yaml"), STACK.replace("parts/layer.yaml", "../stack.yaml"))
        .expect("written");
    let d = spec::read_file(&dir.path().join("stack.yaml"), &[]).expect_err("a ring");
    assert!(d.0[0].message.contains("stack.yaml -> layer.yaml -> stack.yaml"), "{d}");
}
