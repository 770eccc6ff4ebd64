//! No output destroys an input or another's file, one writer writes at a time, and whoever ends a run finds whole files.

use crate::binary::{Ran, command, json_in, run_in};
use crate::cli_train::circuit;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");
const SHORT: &str = "{steps: 4, batch: 2, rate: 0.001, evaluate: {every: 2, sequences: 4}}";
const ENDLESS: &str =
    "{steps: 10000000, batch: 4, rate: 1e-9, evaluate: {every: 1000, sequences: 4}, checkpoint: {every: 50}}";

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("head.yaml"), HEAD).expect("written");
    fs::write(dir.path().join("learn.yaml"), circuit(SHORT)).expect("written");
    fs::write(dir.path().join("endless.yaml"), circuit(ENDLESS)).expect("written");
    let small = "gaussian: {length: 16}";
    assert!(HEAD.contains(small));
    dir
}

fn ok(folder: &Path, args: &[&str]) -> Ran {
    let ran = run_in(folder, args);
    assert_eq!(ran.code, 0, "{}: {}", ran.line, ran.stderr);
    ran
}

/// Every file below a folder, by its path; what is under way is not looked at.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(&one).expect("there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("inside").display().to_string();
                all.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    all
}

#[cfg(unix)]
#[test]
fn no_output_replaces_what_the_run_reads() {
    use std::os::unix::fs::symlink;
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    ok(dir.path(), &["simulate", "head.yaml", "-o", "so"]);
    ok(dir.path(), &["train", "learn.yaml", "-o", "lo"]);
    ok(dir.path(), &["compile", "head.yaml", "-o", "heads.safetensors"]);
    ok(dir.path(), &["import", "heads.safetensors", "-o", "model.yaml"]);
    // The same things under other names.
    symlink("so", at("link")).expect("linked");
    symlink("../so/output.npy", at("lo/output.npy")).expect("linked");
    fs::create_dir(at("hard")).expect("made");
    fs::hard_link(at("head.yaml"), at("hard/circuit.yaml")).expect("linked");
    fs::hard_link(at("heads.safetensors"), at("again.weights.safetensors")).expect("linked");
    fs::copy(at("heads.safetensors"), at("own.weights.safetensors")).expect("copied");
    symlink("head.yaml", at("soft.yaml")).expect("linked");
    let before = files(dir.path());
    let rows: &[&[&str]] = &[
        &["simulate", "so", "-o", "so"],
        &["simulate", "so/circuit.yaml", "-o", "so"],
        &["simulate", "so", "-o", "link"],
        &["simulate", "link", "-o", "./so/../so"],
        &["simulate", "so", "-o", "so", "--mode", "cells"],
        &["simulate", "head.yaml", "--tokens", "so/output.npy", "-o", "so"],
        &["simulate", "head.yaml", "--tokens", "so/inputs.npz", "-o", "so"],
        &["simulate", "head.yaml", "--tokens", "link/output.npy", "-o", "so", "--stream"],
        &["simulate", "head.yaml", "--tokens", "so/output.npy", "-o", "lo"],
        &["simulate", "head.yaml", "-o", "hard"],
        &["simulate", "so", "-o", "so", "--stream"],
        &["train", "lo", "-o", "lo"],
        &["train", "lo/circuit.yaml", "-o", "lo"],
        &["train", "lo", "-o", "lo", "--rule", "all"],
        &["compile", "so", "-o", "so/weights.safetensors"],
        &["compile", "head.yaml", "--emit", "spec", "-o", "head.yaml"],
        &["compile", "soft.yaml", "--emit", "spec", "-o", "head.yaml"],
        &["compile", "head.yaml", "--emit", "spec", "-o", "soft.yaml"],
        &["compile", "head.yaml", "--emit", "spec", "-o", "hard/circuit.yaml"],
        &["import", "own.weights.safetensors", "-o", "own.yaml"],
        &["import", "heads.safetensors", "-o", "again.yaml"],
    ];
    for args in rows {
        let ran = run_in(dir.path(), &[args, &["--force"][..]].concat());
        assert_eq!(ran.code, 4, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("error[F020]"), "{}: {}", ran.line, ran.stderr);
        assert!(files(dir.path()) == before, "{}: something changed", ran.line);
        // Without --force what exists is enough.
        let ran = run_in(dir.path(), args);
        assert_eq!(ran.code, 4, "{}: {}", ran.line, ran.stderr);
        assert!(files(dir.path()) == before, "{}: something changed", ran.line);
    }
}

#[test]
fn what_exists_stays_without_force_and_what_is_not_ours_stays_with_it() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    ok(dir.path(), &["compile", "head.yaml", "-o", "h.safetensors"]);
    ok(dir.path(), &["new", "multihead", "-o", "new.yaml"]);
    fs::write(at("mine.weights.safetensors"), b"precious").expect("written");
    let before = files(dir.path());
    for args in [
        &["compile", "head.yaml", "-o", "h.safetensors"][..],
        &["new", "dale_head", "-o", "new.yaml"],
        &["import", "h.safetensors", "-o", "head.yaml"],
        &["import", "h.safetensors", "-o", "mine.yaml"],
    ] {
        let ran = run_in(dir.path(), args);
        assert!(
            ran.code == 4 && ran.stderr.contains("F011") && ran.stderr.contains("--force"),
            "{}",
            ran.stderr
        );
        assert!(files(dir.path()) == before, "{args:?}");
    }
    // A re-import over import's own files needs no word.
    for _ in 0..2 {
        ok(dir.path(), &["import", "h.safetensors", "-o", "i.yaml"]);
    }
    // A run directory is replaced as a whole; notes, figures and folders of its owner are not part of it.
    ok(dir.path(), &["simulate", "head.yaml", "-o", "run", "--mode", "cells", "--record", "A1.deep"]);
    assert!(at("run/traces.npz").exists());
    fs::write(at("run/notes.md"), b"remember").expect("written");
    fs::create_dir(at("run/plots")).expect("made");
    fs::write(at("run/plots/a.png"), b"png").expect("written");
    ok(dir.path(), &["simulate", "head.yaml", "-o", "run", "--force", "--seed", "3"]);
    assert_eq!(fs::read(at("run/notes.md")).expect("there"), b"remember");
    assert_eq!(fs::read(at("run/plots/a.png")).expect("there"), b"png");
    assert!(!at("run/traces.npz").exists() && !at("run/traces.svg").exists(), "no file of the earlier run");
    let (code, object) = json_in(dir.path(), &["verify", "run"]);
    assert_eq!((code, &object["unlisted"]), (0, &serde_json::json!(["notes.md", "plots"])), "{object}");
    // A training over it, and a folder where a file should be.
    ok(dir.path(), &["train", "learn.yaml", "-o", "run", "--force"]);
    assert!(!at("run/output.npy").exists() && at("run/checkpoint.safetensors").exists());
    fs::remove_file(at("run/metrics.csv")).expect("there");
    fs::create_dir(at("run/metrics.csv")).expect("made");
    fs::write(at("run/metrics.csv/x"), b"deep").expect("written");
    let before = files(dir.path());
    let ran = run_in(dir.path(), &["train", "learn.yaml", "-o", "run", "--force"]);
    assert!(ran.code == 4 && ran.stderr.contains("metrics.csv"), "{}", ran.stderr);
    assert!(files(dir.path()) == before);
    // Here is a place, too.
    fs::create_dir(at("here")).expect("made");
    ok(&at("here"), &["simulate", "../head.yaml", "-o", "."]);
    ok(&at("here"), &["simulate", "../head.yaml", "-o", ".", "--force"]);
    assert_eq!(ok(&at("here"), &["verify", "."]).code, 0);
}

fn start(folder: &Path, args: &[&str]) -> Child {
    command(folder, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
}

fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill is there");
    assert!(sent.success(), "it was over too early");
}

fn end(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[cfg(unix)]
#[test]
fn one_writer_at_a_time_and_a_kill_lets_go() {
    let dir = folder();
    let out = dir.path().join("out");
    let mut child = start(dir.path(), &["train", "endless.yaml", "-o", "out"]);
    wait_for(&out.join("manifest.json"));
    for args in [
        &["train", "learn.yaml", "-o", "out", "--force"][..],
        &["train", "--resume", "out"],
        &["simulate", "head.yaml", "-o", "out", "--force"],
        &["simulate", "head.yaml", "-o", "out", "--force", "--mode", "cells"],
        &["experiment", "conditioning", "-o", "out", "--force"],
    ] {
        let ran = run_in(dir.path(), args);
        assert_eq!(ran.code, 4, "{}: {}", ran.line, ran.stderr);
        assert!(ran.stderr.contains("error[F021]"), "{}: {}", ran.line, ran.stderr);
    }
    // Readers see one checkpoint or the next, each whole.
    for _ in 0..20 {
        for args in [&["verify", "out"][..], &["compile", "out"], &["validate", "out/circuit.yaml"]] {
            let ran = run_in(dir.path(), args);
            assert_eq!(ran.code, 0, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
        }
    }
    assert!(child.try_wait().expect("known").is_none(), "it still writes");
    child.kill().expect("killed");
    child.wait().expect("ends");
    assert_eq!(run_in(dir.path(), &["verify", "out"]).code, 0);
    ok(dir.path(), &["train", "learn.yaml", "-o", "out", "--force"]);
    let left: Vec<String> = files(&out).into_keys().filter(|n| n.contains(".writing")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(unix)]
#[test]
fn signals_leave_a_checkpoint_and_their_code() {
    let dir = folder();
    for (name, code) in [("-TERM", 143), ("-HUP", 143), ("-INT", 130)] {
        let out = format!("out{name}");
        let child = start(dir.path(), &["train", "endless.yaml", "-o", &out]);
        wait_for(&dir.path().join(&out).join("manifest.json"));
        std::thread::sleep(Duration::from_millis(100));
        signal(&child, name);
        let (got, stdout, stderr) = end(child);
        assert_eq!(got, Some(code), "{name}: {stdout}{stderr}");
        assert!(stdout.contains("interrupted after step"), "{name}: {stdout}");
        let ran = run_in(dir.path(), &["verify", &out]);
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.stdout, ran.stderr);
        let (_, object) = json_in(dir.path(), &["verify", &out]);
        assert_eq!(object["made_by"]["interrupted"], true, "{name}: {object}");
        assert!(files(&dir.path().join(&out)).keys().all(|n| !n.contains(".writing")), "{name}");
    }
}

/// Verbs that cannot stop in the middle end at once, and leave nothing half done.
#[cfg(unix)]
#[test]
fn every_verb_ends_with_the_code_of_its_signal() {
    let dir = folder();
    let long = HEAD.replace("gaussian: {length: 16}", "gaussian: {length: 60000}");
    fs::write(dir.path().join("long.yaml"), long).expect("written");
    let rows: &[&[&str]] = &[
        &["simulate", "long.yaml", "--mode", "cells", "-o", "new"],
        &["simulate", "long.yaml", "-o", "new"],
        &["train", "endless.yaml"],
        &["experiment", "hopfield", "-o", "new"],
        &["check", "endless.yaml", "--gradients"],
    ];
    for (name, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 143)] {
        for args in rows {
            let mut child = start(dir.path(), args);
            std::thread::sleep(Duration::from_millis(400));
            if child.try_wait().expect("known").is_some() {
                // Too fast on this machine to be hit.
                let _ = fs::remove_dir_all(dir.path().join("new"));
                continue;
            }
            signal(&child, name);
            let (got, _, stderr) = end(child);
            assert_eq!(got, Some(code), "{name} {args:?}: {stderr}");
            assert!(!dir.path().join("new").exists(), "{name} {args:?}: something is left");
        }
    }
}

/// `nohup` lets its child ignore SIGHUP: that stays so. Shells let jobs in the background ignore SIGINT: sent to one, it counts.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let dir = folder();
    let program = env!("CARGO_BIN_EXE_pulvinar");
    let line = format!("{program} train endless.yaml -o job & sleep 0.5; kill -INT $!; wait $!");
    let job = Command::new("sh").args(["-c", &line]).current_dir(dir.path()).output().expect("ran");
    assert_eq!(job.status.code(), Some(130), "{}", String::from_utf8_lossy(&job.stderr));
    let line = format!("trap '' HUP; exec {program} train endless.yaml -o out");
    let mut child = Command::new("sh")
        .args(["-c", &line])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    wait_for(&dir.path().join("out/manifest.json"));
    signal(&child, "-HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("known").is_none(), "the training goes on");
    signal(&child, "-TERM");
    assert_eq!(end(child).0, Some(143));
}

/// Writing beyond `ulimit -f` is an error like a full disk: no death by a signal, and the last good checkpoint is whole.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_size_is_an_error() {
    let dir = folder();
    ok(dir.path(), &["simulate", "head.yaml", "-o", "run"]);
    let before = files(&dir.path().join("run"));
    let program = env!("CARGO_BIN_EXE_pulvinar");
    let grows = circuit(
        "{steps: 100000, batch: 1, rate: 1e-9, evaluate: {every: 1, sequences: 1}, checkpoint: {every: 40}}",
    );
    fs::write(dir.path().join("grows.yaml"), grows).expect("written");
    for args in ["simulate head.yaml -o run --force --seed 5", "train grows.yaml -o grown"] {
        let line = format!("ulimit -f 32; exec {program} {args}");
        let output = Command::new("sh").args(["-c", &line]).current_dir(dir.path()).output().expect("ran");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{args}: {stderr}");
        assert!(stderr.contains("F004") && stderr.contains("ulimit"), "{args}: {stderr}");
    }
    assert!(files(&dir.path().join("run")) == before, "the earlier run is untouched");
    assert_eq!(run_in(dir.path(), &["verify", "grown"]).code, 0, "the last good checkpoint is whole");
}

/// What a dead writer left goes; what a living one writes stays.
#[test]
fn rubbish_of_the_dead_is_removed() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("out")).expect("made");
    fs::create_dir(at("out/.writing-0123456789abcdef")).expect("made");
    fs::write(at("out/.writing-0123456789abcdef/output.npy"), b"half").expect("written");
    fs::write(at("out/.writing-x.tmp"), b"half").expect("written");
    fs::write(at("out/.writing.lock"), b"").expect("written");
    fs::write(at(".writing-y.tmp"), b"half").expect("written");
    let held = fs::File::create(at(".writing-z.tmp")).expect("made");
    held.lock().expect("locked");
    assert_eq!(run_in(dir.path(), &["verify", "out"]).code, 1, "nothing is there yet");
    // It counts as empty.
    ok(dir.path(), &["simulate", "head.yaml", "-o", "out"]);
    assert!(files(&at("out")).keys().all(|n| !n.contains(".writing")));
    ok(dir.path(), &["compile", "head.yaml", "-o", "h.safetensors"]);
    assert!(!at(".writing-y.tmp").exists() && at(".writing-z.tmp").exists());
}
