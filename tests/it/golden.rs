//! Every shipped circuit against numbers that PyTorch computed from equations written by hand (`tests/golden`).

use crate::support::{load, lost_to_cancellation, relative, root, shipped};
use nalgebra::DMatrix;
use pulvinar::compile::compile;
use pulvinar::files::read_tokens;
use pulvinar::simulate::{inputs, run};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Sums of at most some hundred products in another order: 1e-12 is ten thousand roundings.
const F64: f64 = 1e-12;
/// The same in single precision, with fewer to spare: 3e-6 is fifty.
const F32: f64 = 3e-6;
/// Golden files are kept small enough to be looked at in a review.
const MAX_BYTES: u64 = 40_000;

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden").join(format!("{name}.npz"))
}

fn names(files: &[PathBuf]) -> BTreeSet<String> {
    files.iter().map(|p| p.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn every_circuit_has_a_golden_output_and_every_golden_output_a_circuit() {
    let files: Vec<PathBuf> = std::fs::read_dir(root().join("tests/golden"))
        .expect("tests/golden is there")
        .map(|e| e.expect("readable").path())
        .filter(|p| p.extension().is_some_and(|e| e == "npz"))
        .collect();
    let (circuits, goldens) = (names(&shipped()), names(&files));
    let without: Vec<_> = circuits.difference(&goldens).collect();
    assert!(without.is_empty(), "circuits without a golden output: {without:?} (tests/golden/README.md)");
    let orphans: Vec<_> = goldens.difference(&circuits).collect();
    assert!(orphans.is_empty(), "golden outputs without a circuit: {orphans:?}");
    for file in files {
        let bytes = file.metadata().expect("a file").len();
        assert!(bytes < MAX_BYTES, "{} has {bytes} bytes", file.display());
    }
}

/// Circuits of spikes have no output of tokens that PyTorch could compute: what holds their numbers instead.
const SPIKES: &[(&str, &str)] = &[(
    "match_and_control",
    "spiking::a_run_is_the_published_protocol, spiking::a_neuron_of_a_circuit_is_the_plain_loops, and cable_reference \
     beside stored results of the published simulations",
)];

#[test]
fn circuits_of_spikes_say_what_stands_in_for_their_golden_output() {
    let spiking = |p: &PathBuf| crate::support::speaks_of_spikes(p);
    let files: Vec<PathBuf> = crate::support::every_shipped().into_iter().filter(spiking).collect();
    let listed: BTreeSet<String> = SPIKES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&files), listed, "each with the tests that hold it");
    for (name, tests) in SPIKES {
        assert!(!golden(name).exists(), "{name} has a golden output now: take it off the list");
        for test in tests.split_whitespace().filter_map(|w| w.trim_end_matches(',').split_once("::")) {
            let source =
                std::fs::read_to_string(root().join(format!("tests/it/{}.rs", test.0))).expect("there");
            assert!(source.contains(&format!("fn {}()", test.1)), "{name}: no test {}::{}", test.0, test.1);
        }
    }
}

#[test]
fn shipped_circuits_reproduce_their_golden_outputs() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let want = read_tokens(&golden(&name), Some("y")).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert!(want.amax() > 1e-3, "{name}: the golden output is next to nothing");
        let (document, circuit) = load(&file);
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}"));
        let tokens =
            inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
        let blocks = compiled.plain_blocks();
        let double = run::<f64>(&blocks, &tokens).unwrap_or_else(|d| panic!("{name}: {d}")).output;
        let single = run::<f32>(&blocks, &tokens).unwrap_or_else(|d| panic!("{name}: {d}")).output;
        let single: DMatrix<f64> = single.map(f64::from);
        let f32 = lost_to_cancellation(&name, &blocks, &tokens, &want).unwrap_or(F32);
        for (precision, got, limit) in [("f64", double, F64), ("f32", single, f32)] {
            let error = relative(&got, &want);
            assert!(error < limit, "{name}: {precision} differs from the golden output by {error:e}");
        }
    }
}
