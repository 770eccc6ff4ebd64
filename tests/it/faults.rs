//! Every single change of the disk fails once, and the program is killed at each: in every verb that writes.
//!
//! The n-th change (creation, write, sync, rename, removal) is made to fail by a switch that only builds with debug assertions
//! have. After a failure the result is the old one or the new one, whole, and the exit code says which; after a kill it is so as
//! soon as somebody looks, and the next run finds nothing in its way. Inputs are never touched.

use crate::binary::{command, run_in};
use crate::cli_train::circuit;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");
const SPIKES: &str = include_str!("../../circuits/match_and_control.yaml");
const LEARN: &str =
    "{steps: 3, batch: 2, rate: 0.001, evaluate: {every: 2, sequences: 4}, checkpoint: {every: 2}}";

/// Files by their path.
type Files = BTreeMap<String, Vec<u8>>;

/// Everything below a folder, but what is under way or left by the dead.
fn files(folder: &Path) -> Files {
    let mut all = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        let Ok(entries) = fs::read_dir(&one) else { continue };
        for entry in entries {
            let path = entry.expect("readable").path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".writing")) {
                continue;
            }
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

fn is_rubbish_left(folder: &Path) -> bool {
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(&one).expect("there") {
            let path = entry.expect("readable").path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".writing")) {
                return true;
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    false
}

fn copy(from: &Files, to: &Path) {
    for (name, bytes) in from {
        let path = to.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }
}

/// A verb that writes.
struct Case {
    name: &'static str,
    /// what makes the result; `--force` where there is an old one
    args: &'static [&'static str],
    /// what makes another result at the same place
    old: &'static [&'static str],
    /// the directory of the result; empty where the files are named in `args`
    dir: &'static str,
    /// may be between two results that are whole: a training
    is_course: bool,
}

struct Bench {
    case: Case,
    inputs: Files,
    /// inputs and the earlier result
    old: Files,
    /// and the new one in its place
    new: Files,
    /// the new one where there was none
    fresh: Files,
}

/// What the program left.
struct After {
    output: Output,
    files: Files,
    folder: tempfile::TempDir,
    /// the change that was hit; none if the run had fewer
    hit: Option<String>,
}

impl Bench {
    fn new(case: Case, inputs: Files) -> Self {
        let made = |from: &Files, args: &[&str]| {
            let folder = tempfile::tempdir().expect("a folder");
            copy(from, folder.path());
            let ran = run_in(folder.path(), args);
            assert_eq!(ran.code, 0, "{}: {}", ran.line, ran.stderr);
            assert!(!is_rubbish_left(folder.path()), "{}", ran.line);
            files(folder.path())
        };
        let old = made(&inputs, case.old);
        let forced = [case.args, case.force()].concat();
        let (new, fresh) = (made(&old, &forced), made(&inputs, case.args));
        assert!(old != new, "{}: nothing to tell apart", case.name);
        Self { case, inputs, old, new, fresh }
    }

    fn run(&self, from: &Files, fault: &str) -> After {
        let folder = tempfile::tempdir().expect("a folder");
        copy(from, folder.path());
        let log = tempfile::NamedTempFile::new().expect("a file");
        let forced = if from == &self.inputs { Vec::new() } else { self.case.force().to_vec() };
        let args = [self.case.args, &forced].concat();
        let output = command(folder.path(), &args)
            .env("PULVINAR_FAULT", fault)
            .env("PULVINAR_FAULT_LOG", log.path())
            .output()
            .expect("ran");
        let hit = fs::read_to_string(log.path()).expect("there").lines().next().map(str::to_owned);
        After { files: files(folder.path()), output, folder, hit }
    }

    /// The result is one of two, or, of a training, whole at some checkpoint.
    fn is_one_of(&self, after: &After, a: &Files, b: &Files) -> bool {
        let now = files(after.folder.path());
        if now == *a || now == *b {
            return true;
        }
        self.case.is_course
            && self.verified(after) == 0
            && self.inputs.iter().all(|(n, b)| now.get(n) == Some(b))
    }

    /// Files that belong together are never of two results.
    fn is_unmixed(&self, now: &Files, a: &Files, b: &Files) -> bool {
        let of = |result: &Files| now.iter().all(|(n, b)| result.get(n) == Some(b));
        self.case.dir.is_empty() && (of(a) || of(b))
    }

    fn verified(&self, after: &After) -> i32 {
        run_in(after.folder.path(), &["verify", self.case.dir]).code
    }

    /// One change fails (`error`), or all that need room from there on (`full`), or all (`dead`).
    fn failing(&self, kind: &str, from: &Files, whole: &Files, step: usize) -> usize {
        let mut n = 1;
        loop {
            let after = self.run(from, &format!("{kind}:{n}"));
            let Some(hit) = &after.hit else { return n - 1 };
            let stderr = String::from_utf8_lossy(&after.output.stderr);
            let claim = format!("{} {kind} {hit}: {:?} {stderr}", self.case.name, after.output.status.code());
            assert!(!stderr.contains("panicked"), "{claim}");
            // What a dead disk left in the middle of its moves is completed by whoever looks next.
            if kind == "dead" && !self.case.dir.is_empty() && after.folder.path().join(self.case.dir).is_dir()
            {
                self.verified(&after);
            }
            let now = files(after.folder.path());
            match after.output.status.code() {
                Some(0) => assert!(now == *whole, "{claim}: success without the result"),
                Some(4) => {
                    assert!(stderr.contains("error[F004]"), "{claim}");
                    let whole = self.is_one_of(&after, from, whole)
                        || kind == "dead" && self.is_unmixed(&now, from, whole);
                    assert!(whole, "{claim}: {:?}", now.keys());
                }
                _ => panic!("{claim}"),
            }
            n += step;
        }
    }

    /// Killed at every change.
    fn killed(&self, from: &Files, whole: &Files, step: usize) {
        let mut n = 1;
        loop {
            let after = self.run(from, &format!("kill:{n}"));
            let Some(hit) = &after.hit else { break };
            let claim = format!("{} killed at {hit}", self.case.name);
            assert_eq!(after.output.status.code(), None, "{claim}");
            for (name, bytes) in &self.inputs {
                assert!(after.files.get(name) == Some(bytes), "{claim}: input {name}");
            }
            let is_fresh = from == &self.inputs;
            if !self.case.dir.is_empty() {
                let code = self.verified(&after);
                if is_fresh {
                    assert!(
                        code == 0 || [1, 4].contains(&code) && files(after.folder.path()) == self.inputs,
                        "{claim}: half a result is not said ({code})"
                    );
                } else {
                    assert_eq!(code, 0, "{claim}: verify");
                    assert!(self.is_one_of(&after, from, whole), "{claim}: neither old nor new");
                }
            } else {
                assert!(self.is_unmixed(&after.files, from, whole), "{claim}: a mixture");
            }
            // Nothing is in the way of the next run, and nothing is left of the dead one.
            let forced: &[&str] = if self.case.force().is_empty() { &[] } else { &["--force"] };
            let ran = run_in(after.folder.path(), &[self.case.args, forced].concat());
            assert_eq!(ran.code, 0, "{claim}: {}", ran.stderr);
            assert!(files(after.folder.path()) == *whole, "{claim}: the next run gives something else");
            assert!(!is_rubbish_left(after.folder.path()), "{claim}: rubbish");
            n += step;
        }
        assert!(n > 3, "{}: nothing was killed", self.case.name);
    }

    fn all(&self) {
        let changes = self.failing("error", &self.old, &self.new, 1);
        assert!(changes >= 4, "{}: only {changes} changes", self.case.name);
        self.failing("error", &self.inputs, &self.fresh, 1);
        self.failing("full", &self.old, &self.new, 3);
        self.failing("dead", &self.old, &self.new, 2);
        self.killed(&self.old, &self.new, 1);
        self.killed(&self.inputs, &self.fresh, 2);
    }
}

impl Case {
    fn force(&self) -> &'static [&'static str] {
        // Figures always replace their own.
        if self.name == "figures" { &[] } else { &["--force"] }
    }
}

fn text(name: &str, text: &str) -> Files {
    Files::from([(name.to_owned(), text.as_bytes().to_vec())])
}

fn head() -> Files {
    text("head.yaml", HEAD)
}

/// A run directory in `out`.
fn directory(name: &'static str, args: &'static [&'static str], old: &'static [&'static str]) -> Case {
    Case { name, args, old, dir: "out", is_course: false }
}

#[test]
fn compile_and_new() {
    let case = |name, args, old| Case { name, args, old, dir: "", is_course: false };
    for (name, args, old) in [
        (
            "compile",
            &["compile", "head.yaml", "-o", "h.safetensors"][..],
            &["compile", "head.yaml", "-o", "h.safetensors", "--seed", "7"][..],
        ),
        (
            "compile --emit svg",
            &["compile", "head.yaml", "-o", "h.svg", "--emit", "svg"],
            &["compile", "head.yaml", "-o", "h.svg", "--emit", "svg", "--set", "d_k=2"],
        ),
        ("new", &["new", "dale_head", "-o", "n.yaml"], &["new", "multihead", "-o", "n.yaml"]),
    ] {
        Bench::new(case(name, args, old), head()).all();
    }
}

#[test]
fn import() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("head.yaml"), HEAD).expect("written");
    for (seed, name) in [("1", "a.safetensors"), ("2", "b.safetensors")] {
        assert_eq!(run_in(dir.path(), &["compile", "head.yaml", "--seed", seed, "-o", name]).code, 0);
    }
    let case = Case {
        name: "import",
        args: &["import", "a.safetensors", "-o", "i.yaml"],
        old: &["import", "b.safetensors", "-o", "i.yaml", "--circuit", "key-value-memory"],
        dir: "",
        is_course: false,
    };
    Bench::new(case, files(dir.path())).all();
}

#[test]
fn simulate() {
    let args = &["simulate", "head.yaml", "-o", "out"];
    let old = &["simulate", "head.yaml", "-o", "out", "--seed", "7"];
    Bench::new(directory("simulate", args, old), head()).all();
}

#[test]
fn simulate_cells() {
    let args = &["simulate", "head.yaml", "-o", "out", "--mode", "cells", "--set", "d_k=1"];
    let old = &["simulate", "head.yaml", "-o", "out", "--mode", "cells", "--record", "A1.deep"];
    let few = HEAD.replace("length: 16", "length: 2");
    Bench::new(directory("cells", args, old), text("head.yaml", &few)).all();
}

#[test]
fn simulate_a_stream() {
    let args = &["simulate", "head.yaml", "-o", "out", "--stream"];
    let old = &["simulate", "head.yaml", "-o", "out"];
    Bench::new(directory("stream", args, old), head()).all();
}

#[test]
fn simulate_spikes() {
    let args = &["simulate", "spikes.yaml", "-o", "out", "--trials", "1", "--seed", "2"];
    let old = &["simulate", "spikes.yaml", "-o", "out", "--trials", "1"];
    let bench = Bench::new(directory("spikes", args, old), text("spikes.yaml", SPIKES));
    // Each run takes its time: every change fails, some are killed.
    bench.failing("error", &bench.old, &bench.new, 1);
    bench.killed(&bench.old, &bench.new, 5);
}

#[test]
fn train_and_resume() {
    let case = Case {
        name: "train",
        args: &["train", "learn.yaml", "-o", "out"],
        old: &["simulate", "learn.yaml", "-o", "out"],
        dir: "out",
        is_course: true,
    };
    let bench = Bench::new(case, text("learn.yaml", &circuit(LEARN)));
    bench.failing("error", &bench.old, &bench.new, 1);
    bench.failing("dead", &bench.old, &bench.new, 5);
    bench.failing("full", &bench.old, &bench.new, 7);
    bench.killed(&bench.old, &bench.new, 3);
    // What was killed goes on to the same end.
    let (mut n, mut resumed) = (1, 0);
    loop {
        let after = bench.run(&bench.inputs, &format!("kill:{n}"));
        let Some(hit) = &after.hit else { break };
        if bench.verified(&after) == 0 {
            let second = command(after.folder.path(), &["train", "--resume", "out"])
                .env("PULVINAR_FAULT", format!("error:{}", 3 + n % 40))
                .output()
                .expect("ran");
            let stderr = String::from_utf8_lossy(&second.stderr);
            assert!(matches!(second.status.code(), Some(0 | 4)), "{hit}: {stderr}");
            assert_eq!(bench.verified(&after), 0, "{hit}: a failed resumption");
            let ran = run_in(after.folder.path(), &["train", "--resume", "out"]);
            assert_eq!(ran.code, 0, "{hit}: {}", ran.stderr);
            assert!(files(after.folder.path()) == bench.fresh, "{hit}: another end");
            resumed += 1;
        }
        n += 5;
    }
    assert!(resumed > 5, "only {resumed}");
}

#[test]
fn train_by_all_rules() {
    let case = Case {
        name: "ladder",
        args: &["train", "learn.yaml", "-o", "out", "--rule", "all"],
        old: &["train", "learn.yaml", "-o", "out", "--rule", "all", "--seed", "5"],
        dir: "out",
        is_course: true,
    };
    let short = circuit("{steps: 1, batch: 1, rate: 0.001, evaluate: {every: 1, sequences: 1}}");
    let bench = Bench::new(case, text("learn.yaml", &short));
    let mut n = 1;
    loop {
        let after = bench.run(&bench.old, &format!("kill:{n}"));
        let Some(hit) = &after.hit else { break };
        let now = files(after.folder.path());
        // Many trainings: whole, old or new, or it says that it did not end.
        let code = bench.verified(&after);
        let settled = files(after.folder.path());
        assert!(code == 1 || settled == bench.old || settled == bench.new, "{hit}: {:?}", now.keys());
        let ran =
            run_in(after.folder.path(), &["train", "learn.yaml", "-o", "out", "--rule", "all", "--force"]);
        assert_eq!(ran.code, 0, "{hit}: {}", ran.stderr);
        assert!(files(after.folder.path()) == bench.new, "{hit}");
        n += 61;
    }
    assert!(n > 100);
}

#[test]
fn experiment() {
    let ran = run_in(Path::new("."), &["experiment", "conditioning", "--print"]);
    let args = &["experiment", "conditioning", "c.yaml", "-o", "out", "--trials", "2"];
    let old = &["experiment", "conditioning", "c.yaml", "-o", "out", "--trials", "2", "--seed", "5"];
    Bench::new(directory("experiment", args, old), text("c.yaml", &ran.stdout)).all();
}

#[test]
fn figures() {
    const CIRCUITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/circuits");
    let case = Case {
        name: "figures",
        args: &["figures", "identity", "--circuits", CIRCUITS, "--image", "png", "--dpi", "40", "-o", "out"],
        old: &["figures", "identity", "--circuits", CIRCUITS, "--image", "png", "--dpi", "36", "-o", "out"],
        dir: "",
        is_course: false,
    };
    let bench = Bench::new(case, head());
    bench.failing("error", &bench.old, &bench.new, 1);
    bench.killed(&bench.old, &bench.new, 2);
}
