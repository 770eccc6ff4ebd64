//! Run directories, checkpoints and heads files of earlier versions (`tests/older/`) are read, and mean what they meant.
//!
//! Numbers may differ in their last digits: the files were written on another processor.

use crate::binary::{json, json_in, run_in};
use crate::support::root;
use pulvinar::files::{Array, Format, list_arrays, read_array};
use std::fs;
use std::path::{Path, PathBuf};

/// One folder for each version that wrote something else than the one before.
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/older")).expect("tests/older is there");
    let mut folders: Vec<PathBuf> =
        entries.map(|e| e.expect("readable").path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no older version");
    folders
}

/// A copy that may be written to.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
    }
    copy
}

fn read(path: &Path, name: Option<&str>) -> Array {
    read_array(path, name).unwrap_or_else(|d| panic!("{}: {d}", path.display()))
}

/// `max |a - b| <= bound max |b|` for every array of two files.
fn same_numbers(ours: &Path, theirs: &Path, bound: f64) {
    let names: Vec<Option<String>> = match Format::of(theirs).expect("a format") {
        Format::Npy | Format::Csv => vec![None],
        Format::Npz | Format::Safetensors => {
            list_arrays(theirs).expect("arrays").into_iter().map(|e| Some(e.name)).collect()
        }
    };
    assert!(!names.is_empty(), "{}: nothing to compare", theirs.display());
    for name in names {
        let (a, b) = (read(ours, name.as_deref()), read(theirs, name.as_deref()));
        assert_eq!(a.shape, b.shape, "{name:?}");
        let largest = b.data.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let gap = a.data.iter().zip(&b.data).fold(0.0_f64, |m, (x, y)| m.max((x - y).abs()));
        assert!(gap <= bound * largest, "{}: {name:?} differs by {gap:e} of {largest:e}", theirs.display());
    }
}

#[test]
fn run_directories_are_circuits_that_give_what_they_gave() {
    for version in versions() {
        for (name, file) in [("simulate", "output.npy"), ("spiking", "spikes.npz")] {
            let (from, out) = (copy_of(&version.join(name)), tempfile::tempdir().expect("a folder"));
            let run = out.path().join("run");
            let words =
                ["simulate", from.path().to_str().expect("UTF-8"), "-o", run.to_str().expect("UTF-8")];
            let (code, object) = json(&words);
            assert_eq!(code, 0, "{}: {name}: {object}", version.display());
            same_numbers(&run.join(file), &from.path().join(file), 1e-12);
        }
    }
}

#[test]
fn trainings_go_on_to_where_they_would_have_gone() {
    for version in versions() {
        for name in ["interrupted", "killed"] {
            let run = copy_of(&version.join(name));
            let (code, object) = json_in(run.path(), &["train", "--resume", "."]);
            assert_eq!(code, 0, "{}: {name}: {object}", version.display());
            assert_eq!(object["steps"], 6000, "{name}");
            // Adam divides by small numbers: what another order of sums leaves grows over 1,240 steps and more.
            same_numbers(&run.path().join("weights.safetensors"), &version.join("learned.safetensors"), 1e-8);
        }
    }
}

#[test]
fn heads_are_those_of_the_circuit_that_they_came_from() {
    for version in versions() {
        let heads = version.join("heads.safetensors");
        let words = ["check", "circuits/template_heads.yaml", "--against", heads.to_str().expect("UTF-8")];
        let ran = run_in(root(), &words);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}
