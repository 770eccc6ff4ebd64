//! `pulvinar experiment`: what it prints and writes, exit codes, and how it refuses.

use crate::binary::{json_in, one_object, run, run_in, text};
use pulvinar_lab::experiments::ALL;
use std::fs;
use std::path::Path;

fn changed(folder: &Path, experiment: &str, changes: &[(&str, &str)]) {
    let mut file = run(&["experiment", experiment, "--print"]).stdout;
    for (from, to) in changes {
        assert!(file.contains(from), "{experiment} has no {from}");
        file = file.replacen(from, to, 1);
    }
    fs::write(folder.join("mine.yaml"), file).expect("written");
}

#[test]
fn experiments_are_listed_and_printed() {
    let list = run(&["experiment"]);
    assert_eq!(list.code, 0, "{}", list.stderr);
    let object = one_object(&run(&["experiment", "--format", "json"]));
    for (e, entry) in ALL.iter().zip(object["experiments"].as_array().expect("a list")) {
        assert!(
            list.stdout.contains(&format!("\n{:<18} ", e.name)) || list.stdout.starts_with(e.name),
            "{}",
            e.name
        );
        assert_eq!(entry["name"].as_str(), Some(e.name));
        // What is built in is the file in `circuits/`.
        let file = crate::support::root().join(format!("circuits/{}.yaml", e.circuit));
        assert_eq!(
            fs::read_to_string(file).expect("shipped"),
            run(&["experiment", e.name, "--print"]).stdout
        );
    }
}

#[test]
fn a_law_that_is_left_is_an_answer_of_no() {
    let dir = tempfile::tempdir().expect("a folder");
    // An observer cannot name rules when the noise is as large as the recall.
    changed(dir.path(), "identify", &[("noise: 0.05", "noise: 1"), ("circuits: 200", "circuits: 30")]);
    let checked = run_in(dir.path(), &["experiment", "identify", "mine.yaml", "--check"]);
    assert_eq!(checked.code, 1, "{}{}", checked.stdout, checked.stderr);
    assert!(
        checked.stdout.contains("laws: LEFT") && checked.stdout.contains("named so"),
        "{}",
        checked.stdout
    );
    assert_eq!(run_in(dir.path(), &["experiment", "identify", "mine.yaml"]).code, 0, "only --check asks");
    let (code, object) = json_in(dir.path(), &["experiment", "identify", "mine.yaml", "--check"]);
    assert_eq!(
        (code, object["ok"].as_bool(), object["laws"]["kept"].as_bool()),
        (1, Some(false), Some(false))
    );
    assert_eq!(run(&["experiment", "identify", "--trials", "30", "--check"]).code, 0);
}

#[test]
fn tables_are_written_whole_and_only_where_there_is_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let command = ["experiment", "conditioning", "-o", "out"];
    let ran = run_in(dir.path(), &command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.ends_with("wrote out: conditioning.csv, curves.csv, circuit.yaml, manifest.json\n"),
        "{}",
        ran.stdout
    );
    let csv = fs::read_to_string(dir.path().join("out/conditioning.csv")).expect("written");
    assert!(
        csv.starts_with("protocol,memory,response,equations,control,control_equations,finding,shown\n"),
        "{csv}"
    );
    let blocking = csv.lines().find(|l| l.starts_with("blocking,delta,")).expect("a row");
    let response: f64 = blocking.split(',').nth(2).expect("a cell").parse().expect("a number");
    assert!((response - 1.328_069_944_1e-5).abs() < 1e-15, "{blocking}");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("out/manifest.json")).expect("written"))
            .expect("JSON");
    assert_eq!(manifest["experiment"].as_str(), Some("conditioning"));
    assert_eq!(manifest["laws"]["kept"].as_bool(), Some(true));
    for file in manifest["files"].as_array().expect("a list") {
        assert!(dir.path().join("out").join(file.as_str().expect("a name")).is_file(), "{file}");
    }
    // The circuit that was written repeats the run.
    let again = run_in(dir.path(), &["experiment", "conditioning", "out/circuit.yaml"]);
    let rest =
        |t: &str| t.split_once('\n').map(|(_, rest)| rest.split("wrote ").next().unwrap_or("").to_owned());
    assert_eq!(rest(&again.stdout), rest(&ran.stdout), "{}", again.stderr);
    let refused = run_in(dir.path(), &command);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("F011"), "{}", refused.stderr);
    assert_eq!(run_in(dir.path(), &["experiment", "conditioning", "-o", "out", "--force"]).code, 0);
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a folder");
    for threads in ["1", "3"] {
        let command = ["experiment", "depth", "--trials", "20", "--threads", threads, "-o", threads];
        assert_eq!(run_in(dir.path(), &command).code, 0);
    }
    let read = |threads: &str| fs::read(dir.path().join(threads).join("depth.csv")).expect("written");
    assert_eq!(read("1"), read("3"));
}

/// The images stand beside the shipped circuits, which are found from any folder of the project.
#[test]
fn shipped_data_is_found_from_folders_below() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, below) = (dir.path().join("circuits/data"), dir.path().join("notes/deep"));
    fs::create_dir_all(&data).expect("a folder");
    fs::create_dir_all(&below).expect("a folder");
    let shipped = crate::support::root().join("circuits/data/digits.npz");
    fs::copy(shipped, data.join("digits.npz")).expect("copied");
    let command = ["experiment", "digits", "--trials", "2"];
    let (here, there) = (run_in(dir.path(), &command), run_in(&below, &command));
    assert_eq!((here.code, there.code), (0, 0), "{}{}", here.stderr, there.stderr);
    assert_eq!(here.stdout, there.stdout);
}

#[test]
fn a_circuit_without_a_law_is_measured_all_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let change = ("accumulate: {hebbian: {}}", "accumulate: {hebbian: {rate: 0.5}}");
    changed(dir.path(), "capacity", &[change]);
    let (code, object) =
        json_in(dir.path(), &["experiment", "capacity", "mine.yaml", "--set", "d=16", "--trials", "10"]);
    let rows = object["tables"][0]["rows"].as_array().expect("rows");
    assert_eq!(code, 0);
    assert!(
        rows.iter().filter(|r| r["memory"] == "hebbian").all(|r| r["law"].is_null() && r["NMSE"].is_f64())
    );
    assert!(rows.iter().filter(|r| r["memory"] == "delta").all(|r| r["law"].is_f64()));
}

#[test]
fn what_cannot_be_run_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |changes: &[(&str, &str)]| changed(dir.path(), "capacity", changes);
    let mut rows: Vec<(i32, &str, Vec<&str>)> = vec![
        (2, "U005", vec!["experiment", "capacitie"]),
        (2, "U005", vec!["experiment", "--check"]),
        (2, "trials", vec!["experiment", "capacity", "--trials", "1"]),
        (2, "cannot be used with", vec!["experiment", "capacity", "--print", "--check"]),
        (2, "U001", vec!["experiment", "conditioning", "--set", "gamma=1"]),
        (3, "S002", vec!["experiment", "capacity", "--set", "d=sixteen"]),
        (4, "F001", vec!["experiment", "capacity", "none.yaml"]),
        (2, "U006", vec!["experiment", "hopfield", "--set", "beta=3"]),
        (
            4,
            "copy `circuits/digit_memories.yaml` with that file",
            vec!["experiment", "digits", "--trials", "2"],
        ),
    ];
    for (code, word, args) in rows.drain(..) {
        let ran = run_in(dir.path(), &args);
        assert_eq!(ran.code, code, "{args:?}\n{}", ran.stderr);
        assert!(ran.stderr.contains(word), "{args:?}\n{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    type Row<'a> = (i32, &'a str, &'a str, &'a [(&'a str, &'a str)]);
    let rows: &[Row<'_>] = &[
        (
            2,
            "U006",
            "there is no `protocol.capacity`",
            &[(
                "  capacity:  {d: [16, 64, 256], load: [0.125, 0.25, 0.5, 1, 2], ages: [1, 4, 16, 64], trials: 400}\n",
                "",
            )],
        ),
        (3, "S006", "mine.yaml:", &[("trials: 400", "trials: 0")]),
        (3, "C010", "mine.yaml:", &[("from: HEB.deep", "from: HEB.deap")]),
        (
            3,
            "N006",
            "mine.yaml:",
            &[("per: [query],   cells: $d, activation: product", "per: [query], cells: $d, activation: exp")],
        ),
        (
            2,
            "U006",
            "feeds a stream `value`",
            &[("    value: {d", "    valeu: {d"), ("tokens: value", "tokens: valeu")],
        ),
    ];
    for (code, word, words, changes) in rows {
        at(changes);
        let ran =
            run_in(dir.path(), &["experiment", "capacity", "mine.yaml", "--trials", "2", "--set", "d=16"]);
        assert_eq!(ran.code, *code, "{changes:?}\n{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(word) && ran.stderr.contains(words), "{changes:?}\n{}", ran.stderr);
    }
    at(&[("load: [0.125, 0.25, 0.5, 1, 2]", "load: [1000]")]);
    let ran = run_in(dir.path(), &["experiment", "capacity", "mine.yaml", "--set", "d=256"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("256000 tokens of 256 numbers each are too many"), "{}", ran.stderr);
    changed(
        dir.path(),
        "conditioning",
        &[
            ("d: 4, rate", "d: 1, rate"),
            (
                "values: [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]",
                "values: [[1], [1], [1], [1], [1], [1]]",
            ),
        ],
    );
    let ran = run_in(dir.path(), &["experiment", "conditioning", text(&dir.path().join("mine.yaml"))]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("shows 2 stimuli, but keys have 1 cells") && ran.stderr.contains("mine.yaml:"),
        "{}",
        ran.stderr
    );
}
