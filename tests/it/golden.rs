//! Every shipped circuit against numbers that PyTorch computed from equations written by hand (`tests/golden`).

use crate::support::{load, relative, root, shipped};
use nalgebra::DMatrix;
use pulvinar::attention::{Block, Kernel, Memory, Normalisation, Streams};
use pulvinar::compile::compile;
use pulvinar::files::read_tokens;
use pulvinar::simulate::{inputs, run};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Sums of at most some hundred products in another order: 1e-12 is ten thousand roundings.
const F64: f64 = 1e-12;
/// The same in single precision, with fewer to spare: 3e-6 is fifty.
const F32: f64 = 3e-6;
/// Circuits whose output, here one number, is what is left of terms that cancel each other: in single precision they are
/// held to one rounding of the sum of the terms' absolute values (one is 2,000 times the output).
const CANCELLING: &[&str] = &["learn_in_context"];
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

/// One rounding of single precision of the sum of the absolute values of the terms of the largest output, which linear heads
/// compute from absolute weights and tokens.
fn lost_to_cancellation(blocks: &[Block], tokens: &Streams) -> f64 {
    let absolute = |m: &mut DMatrix<f64>| m.apply(|x| *x = x.abs());
    let mut blocks = blocks.to_vec();
    for head in blocks.iter_mut().flat_map(|b| &mut b.heads) {
        assert!(head.kernel == Kernel::Linear && head.normalisation == Normalisation::None, "linear heads");
        assert!(matches!(head.memory, Memory::None | Memory::Hebbian), "sums of tokens");
        [&mut head.w_q, &mut head.w_k, &mut head.w_v, &mut head.w_o].into_iter().for_each(absolute);
        for bias in [&mut head.b_q, &mut head.b_k, &mut head.b_v] {
            bias.apply(|x| *x = x.abs());
        }
        head.scale = head.scale.abs();
    }
    for block in &mut blocks {
        block.residual.iter_mut().for_each(|path| absolute(&mut path.matrix));
        block.b_o.apply(|x| *x = x.abs());
    }
    let mut tokens = tokens.clone();
    tokens.values_mut().for_each(absolute);
    f64::from(f32::EPSILON) / 2.0 * run::<f64>(&blocks, &tokens).expect("finite").output.amax()
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
        let cancels = CANCELLING.contains(&name.as_str());
        let lost = if cancels { lost_to_cancellation(&blocks, &tokens) / want.amax() } else { F32 };
        for (precision, got, limit) in [("f64", double, F64), ("f32", single, lost)] {
            let error = relative(&got, &want);
            assert!(error < limit, "{name}: {precision} differs from the golden output by {error:e}");
        }
    }
}
