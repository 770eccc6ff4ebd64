//! Transformer heads as plus/minus circuits.

use crate::binary::{run_in, text};
use crate::support::{load, net};
use crate::weights::fixture;
use pulvinar::oracle::cells as oracle;
use pulvinar::simulate::inputs;
use std::fs;
use std::path::Path;

/// Layout, its flags, and how it is imported.
const CASES: [(&str, &[&str], &[&str]); 6] = [
    ("torch_f64", &["--heads", "2"], &["--attention", "softmax"]),
    ("torch_f32", &["--heads", "2"], &["--attention", "linear"]),
    (
        "torch_bf16",
        &["--heads", "2"],
        &["--attention", "linear", "--circuit", "key-value-memory", "--mask", "causal"],
    ),
    (
        "bert",
        &["--prefix", "encoder.layer.1", "--heads", "2"],
        &["--attention", "softmax", "--mask", "strict"],
    ),
    ("gpt2", &["--prefix", "h.1", "--heads", "2"], &["--attention", "softmax"]),
    (
        "grouped",
        &["--prefix", "model.layers.1.self_attn", "--heads", "4"],
        &["--attention", "linear", "--select", "3,1"],
    ),
];

fn import(folder: &Path, model: &str, flags: &[&[&str]]) -> String {
    let mut args = vec!["import", model, "-o", "x.yaml", "--dale"];
    args.extend(flags.concat());
    let ran = run_in(folder, &args);
    assert_eq!(ran.code, 0, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
    ran.stdout
}

#[test]
fn plus_and_minus_cells_compute_the_layer_and_come_back_the_same() {
    for (name, layer, how) in CASES {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let model = fixture(&format!("{name}.safetensors"));
        let said = import(here.path(), text(&model), &[layer, how, &["--check"]]);
        assert!(said.contains("\nequivalent if ") && said.contains(": x.yaml and "), "{name}: {said}");
        let heads = here.path().join("h.safetensors");
        let ran = run_in(here.path(), &["compile", "x.yaml", "-o", "h.safetensors"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let mut again: Vec<&str> = Vec::new();
        if how.contains(&"key-value-memory") {
            again.extend(["--attention", "linear", "--circuit", "key-value-memory"]);
        }
        import(there.path(), text(&heads), &[&again]);
        for file in ["x.yaml", "x.weights.safetensors"] {
            let read = |folder: &Path| fs::read(folder.join(file)).expect("written");
            assert!(read(here.path()) == read(there.path()), "{name}: {file} differs");
        }
    }
}

#[test]
fn no_rate_of_an_imported_circuit_is_negative() {
    for (name, layer, how) in CASES {
        let here = tempfile::tempdir().expect("a folder");
        let model = fixture(&format!("{name}.safetensors"));
        import(here.path(), text(&model), &[layer, how]);
        let (document, circuit) = load(&here.path().join("x.yaml"));
        let tokens =
            inputs(&circuit, &document.folder, &Default::default()).unwrap_or_else(|d| panic!("{d}"));
        let sent = oracle::evaluate(&net(&circuit, &tokens)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lowest =
            sent.iter().flat_map(|s| s.values.iter().flatten().flatten()).copied().fold(f64::MAX, f64::min);
        let largest =
            sent.iter().flat_map(|s| s.values.iter().flatten().flatten()).copied().fold(0.0, f64::max);
        assert!(lowest >= 0.0 && largest > 0.1, "{name}: {lowest}");
    }
}
