//! A verb that writes, run with a disk that fails or a death in the middle: see `faults`.

use crate::binary::{command, run_in};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

/// Files by their path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Everything below a folder, but what is under way or left by the dead.
pub fn files(folder: &Path) -> Files {
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
pub struct Case {
    pub name: &'static str,
    /// what makes the result; `--force` where there is an old one
    pub args: &'static [&'static str],
    /// what makes another result at the same place
    pub old: &'static [&'static str],
    /// the directory of the result; empty where the files are named in `args`
    pub dir: &'static str,
    /// may be between two results that are whole: a training
    pub is_course: bool,
}

pub struct Bench {
    case: Case,
    pub inputs: Files,
    /// inputs and the earlier result
    pub old: Files,
    /// and the new one in its place
    pub new: Files,
    /// the new one where there was none
    pub fresh: Files,
}

/// What the program left.
pub struct After {
    output: Output,
    files: Files,
    pub folder: tempfile::TempDir,
    /// the change that was hit; none if the run had fewer
    pub hit: Option<String>,
}

impl Bench {
    pub fn new(case: Case, inputs: Files) -> Self {
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

    pub fn run(&self, from: &Files, fault: &str) -> After {
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

    pub fn verified(&self, after: &After) -> i32 {
        run_in(after.folder.path(), &["verify", self.case.dir]).code
    }

    /// One change fails (`error`), or all that need room from there on (`full`), or all (`dead`).
    pub fn failing(&self, kind: &str, from: &Files, whole: &Files, step: usize) -> usize {
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
    pub fn killed(&self, from: &Files, whole: &Files, step: usize) {
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

    pub fn all(&self) {
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
