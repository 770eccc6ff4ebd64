//! Spikes that a file or a circuit gives: what cannot be meant is refused, with the cell and the times.

use crate::binary::{json_in, run_in};
use std::fs;
use std::path::Path;

/// Six keys and a query, a match window from 50 to 550 ms; the run ends at 650 ms.
fn circuit(keys: &str, query: &str, control: &str) -> String {
    format!(
        "schema: pulvinar/1
name: spk
thalamus:
  query: {{pathway: core, cells: 1, spike_trains: {query}}}
areas:
  A1:
    populations:
      keys:   {{layer: L2/3, cells: 6, spike_trains: {keys}}}
      neuron: {{layer: L5, cells: 1, cable: {{shaft: 2, top: 1, tuft: 2}}}}
projections:
  K: {{from: A1.keys, to: A1.neuron.spines, weights: {{blocks: {{count: 6, of: ones}}}}}}
  Q: {{from: query, to: A1.neuron.soma, weights: ones}}
output: A1.neuron
protocol: {{match_and_control: {{match: {{from: 50 ms, duration: 500 ms}}{control}, trials: 1, matched: nobody}}}}
"
    )
}

const QUERY: &str = "{times: {trains: [[100 ms, 160 ms]]}}";
const FILE: &str = "{file: {path: s.csv}}";

fn told(folder: &Path, text: &str, spikes: &str) -> (i32, String) {
    fs::write(folder.join("c.yaml"), text).expect("written");
    fs::write(folder.join("s.csv"), spikes).expect("written");
    let ran = run_in(folder, &["simulate", "c.yaml"]);
    (ran.code, ran.stderr)
}

#[test]
fn spikes_that_cannot_be_meant_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let rows = |rows: &[&str]| rows.join("\n") + "\n";
    let good = ["0,60", "1,70", "2,80", "3,90", "4,100", "5,110", "4,150"];
    let with = |more: &[&str]| rows(&[&good[..], more].concat());
    let keys = circuit(FILE, QUERY, "");
    let cases: &[(&str, String, String, &[&str])] = &[
        (
            "the same row twice",
            keys.clone(),
            with(&["4,100"]),
            &["cell 4 spikes twice", "at 100 ms and at 100 ms"],
        ),
        ("within a step", keys.clone(), with(&["4,100.01"]), &["cell 4", "100 ms and at 100.01 ms"]),
        (
            "rows in any order, within a step",
            keys.clone(),
            with(&["0,59.99"]),
            &["cell 0", "59.99 ms and at 60 ms"],
        ),
        (
            "seconds",
            keys.clone(),
            rows(&["0,0.06", "1,0.07", "2,0.55"]),
            &["are these seconds?", "multiply them by 1000"],
        ),
        ("negative", keys.clone(), with(&["2,-5"]), &["row 7", "-5 ms is before the run"]),
        ("too late", keys.clone(), with(&["2,5000"]), &["row 7", "5000 ms is outside the run of 650 ms"]),
        (
            "outside the window",
            keys.clone(),
            rows(&["0,600", "3,20"]),
            &["no spike of the file", "50 to 550 ms"],
        ),
        (
            "a trial without spikes",
            keys.clone(),
            rows(&["1,0,60", "1,2,70"]),
            &["trial 0: there is no spike", "counted from 0"],
        ),
        (
            "twice in a trial",
            keys.clone(),
            rows(&["0,0,60", "1,0,60", "1,0,60"]),
            &["trial 1: cell 0 spikes twice"],
        ),
        ("no such cell", keys.clone(), with(&["6,70"]), &["no cell 6", "has 6"]),
        ("half a cell", keys.clone(), with(&["1.5,70"]), &["no cell 1.5"]),
        (
            "a control window without spikes",
            circuit(FILE, QUERY, ", control: {pause: 500 ms, duration: 1 s}"),
            with(&[]),
            &["no spike of the file", "1050 to 2050 ms"],
        ),
        (
            "a query in seconds",
            circuit("{renewal: {rate: 6 Hz, dead_time: 50 ms}}", FILE, ""),
            rows(&["0,0.1", "0,0.16"]),
            &["are these seconds?"],
        ),
        (
            "a query twice",
            circuit("{renewal: {rate: 6 Hz, dead_time: 50 ms}}", FILE, ""),
            rows(&["0,100", "0,100"]),
            &["cell 0 spikes twice"],
        ),
        (
            "written out",
            circuit("{times: {trains: [[60 ms, 60 ms],[],[],[],[],[]]}}", QUERY, ""),
            with(&[]),
            &["cell 0 spikes twice", "60 ms and at 60 ms", "c.yaml:8:"],
        ),
    ];
    for (claim, text, spikes, words) in cases {
        let (code, said) = told(dir.path(), text, spikes);
        assert_eq!(code, 3, "{claim}: {said}");
        assert!(said.contains("C073"), "{claim}: {said}");
        for word in *words {
            assert!(said.contains(word), "{claim}: no `{word}` in {said}");
        }
    }
    let (code, said) = told(dir.path(), &keys, &with(&[]));
    assert_eq!(code, 0, "{said}");
    // As near as a step is not within one.
    let (code, said) = told(dir.path(), &keys, &with(&["4,100.025"]));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn times_that_are_no_numbers_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for (n, bad) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().enumerate() {
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }";
        bytes.extend(format!("{header:<117}\n").bytes());
        for x in [0.0, 60.0, 1.0, bad] {
            bytes.extend(f64::to_le_bytes(x));
        }
        fs::write(dir.path().join("s.npy"), bytes).expect("written");
        fs::write(dir.path().join("c.yaml"), circuit("{file: {path: s.npy}}", QUERY, "")).expect("written");
        let (code, object) = json_in(dir.path(), &["simulate", "c.yaml"]);
        assert!(code == 3 || code == 4, "{n}: {object}");
        assert_eq!(object["ok"], false, "{n}: {object}");
    }
}
