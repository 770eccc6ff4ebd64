//! `train`: a run that was killed, interrupted or spread over threads ends with the bytes of one that was not.

use crate::binary::{command, json_in, one_object, run_in, text};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// One head that learns a regression in its context, by three factors; `train` is the section of that name.
pub fn circuit(train: &str) -> String {
    circuit_of("strict", 5, 1, "task: {in_context_regression: {context: 8}}\nloss: {on: last}", train)
}

/// The same for any task with tokens of `d` numbers and targets of `out`.
pub fn circuit_of(mask: &str, d: usize, out: usize, task: &str, train: &str) -> String {
    let learns = "weights: {normal: {std: 0.2}}, plasticity: {three_factor: {rate: 0.01}}";
    format!(
        "schema: pulvinar/1
name: learner
seed: 1
tokens:
  mask: {mask}
  streams:
    main:   {{d_model: {d}, input: {{gaussian: {{length: 6}}}}}}
    target: {{d_model: {out}, input: {{gaussian: {{length: 6}}}}, clock: main}}
thalamus:
  VP_core:   {{pathway: core,   per: [query],   cells: {d}}}
  VP_matrix: {{pathway: matrix, per: [context], cells: {d}}}
  HO:        {{pathway: core,   per: [query],   cells: {out}}}
  TEACH:     {{pathway: core,   per: [query],   cells: {out}, tokens: target}}
  ERR:       {{pathway: core,   per: [query],   cells: {out}}}
areas:
  A1:
    microcolumns: {{per: [query, context]}}
    populations:
      superficial: {{layer: L2/3, cells: 5, activation: product}}
      deep:        {{layer: L5,   cells: 3, activation: product}}
projections:
  W_K:  {{from: VP_matrix, to: A1.superficial.apical, {learns}}}
  W_Q:  {{from: VP_core, to: A1.superficial.basal, {learns}}}
  A:    {{from: A1.superficial, to: A1.deep.apical, weights: ones}}
  W_V:  {{from: VP_matrix, to: A1.deep.basal, {learns}}}
  W_O:  {{from: A1.deep, to: HO.basal, {learns}, gain: 0.5}}
  y_in: {{from: HO, to: ERR.basal, weights: identity}}
  t_in: {{from: TEACH, to: ERR.basal, weights: identity, gain: -1}}
  err:  {{from: ERR, to: HO.third, weights: identity}}
  fb_O: {{from: ERR, to: A1.deep.third, weights: {{transpose_of: W_O}}}}
  fb_A: {{from: A1.deep.feedback.apical, to: A1.superficial.third, weights: {{transpose_of: A}}}}
output: HO
{task}
train: {train}
"
    )
}

/// About a second of work, with a checkpoint in the middle of every evaluation.
const LONG: &str = "{steps: 3000, batch: 16, optimiser: adam, schedule: cosine, \
                    evaluate: {every: 300, sequences: 100, at_end: 2000}, checkpoint: {every: 70}}";

pub fn folder_with(train: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("c.yaml"), circuit(train)).expect("written");
    dir
}

fn ok(folder: &Path, args: &[&str]) -> Value {
    let (code, object) = json_in(folder, args);
    assert_eq!(code, 0, "{args:?}: {object}");
    object
}

/// Everything that a training leaves, but the manifest with its number of threads.
pub fn same_bytes(a: &Path, b: &Path, claim: &str) {
    for name in ["metrics.csv", "checkpoint.safetensors", "weights.safetensors", "circuit.yaml"] {
        let read = |dir: &Path| fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{claim}: {name}: {e}"));
        assert!(read(a) == read(b), "{claim}: {name} differs");
    }
}

/// The same number; the reader of JSON may be wrong by its last bit.
pub fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= f64::EPSILON * b.abs()
}

fn start(folder: &Path, args: &[&str]) -> Child {
    let mut command = command(folder, args);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.spawn().expect("started")
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(sent.success(), "the training was over too early");
}

/// Waits until a training has its directory.
fn has_started(out: &Path) {
    let began = Instant::now();
    while !out.join("circuit.yaml").is_file() {
        assert!(began.elapsed() < Duration::from_secs(60), "no circuit in {}", out.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The end of a child: its code and what it printed.
fn end(child: Child) -> crate::binary::Ran {
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let ran = crate::binary::Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        line: "train".to_owned(),
    };
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

#[cfg(unix)]
#[test]
fn killed_again_and_again_it_ends_with_the_same_bytes() {
    let dir = folder_with(LONG);
    let at = dir.path();
    ok(at, &["train", "c.yaml", "-o", "whole"]);
    // The first kill comes before there is anything, later ones wherever the training is.
    for (round, delays) in [[0, 10, 40, 80], [3, 25, 60, 110]].iter().enumerate() {
        let out = at.join(format!("killed{round}"));
        let (mut killed, mut begun) = (0, false);
        for delay in delays {
            let force = ["train", "c.yaml", "-o", text(&out), "--force"];
            let go_on = ["train", "--resume", text(&out)];
            let mut child = start(at, if begun { &go_on } else { &force });
            if *delay > 5 {
                has_started(&out);
            }
            std::thread::sleep(Duration::from_millis(*delay));
            killed += usize::from(child.try_wait().expect("known").is_none());
            let _ = child.kill();
            child.wait().expect("ends");
            begun = out.join("circuit.yaml").is_file();
            if !begun && out.is_dir() {
                let refused = run_in(at, &go_on);
                assert_eq!(refused.code, 4, "{}", refused.stderr);
                assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
            }
        }
        assert!(killed >= 3, "only {killed} of the kills found it running");
        let resumed = ok(at, &["train", "--resume", text(&out)]);
        assert_eq!(resumed["steps"], 3000);
        same_bytes(&at.join("whole"), &out, "killed and resumed");
        assert_eq!(fs::read_dir(&out).expect("there").count(), 6, "no temporary files");
        // Once more, when all is done.
        ok(at, &["train", "--resume", text(&out)]);
        same_bytes(&at.join("whole"), &out, "resumed at its end");
    }
}

#[cfg(unix)]
#[test]
fn interrupted_it_keeps_what_it_has_and_goes_on() {
    let dir = folder_with(LONG);
    let at = dir.path();
    ok(at, &["train", "c.yaml", "-o", "whole"]);
    let child = start(at, &["train", "c.yaml", "-o", "asked", "--format", "json"]);
    has_started(&at.join("asked"));
    std::thread::sleep(Duration::from_millis(60));
    interrupt(&child);
    let ran = end(child);
    let object = one_object(&ran);
    assert_eq!(ran.code, 130, "{object}");
    assert_eq!((&object["interrupted"], &object["ok"]), (&Value::Bool(true), &Value::Bool(false)));
    let steps = object["steps"].as_u64().expect("steps");
    assert!(steps < 3000, "{object}");
    assert!(object["loss"].is_f64() && object["checkpoint"] == "asked/checkpoint.safetensors", "{object}");
    let manifest: Value =
        serde_json::from_slice(&fs::read(at.join("asked/manifest.json")).expect("there")).expect("JSON");
    assert_eq!((&manifest["interrupted"], &manifest["steps"]), (&Value::Bool(true), &object["steps"]));
    for args in [&["compile", "asked"][..], &["validate", "asked/circuit.yaml"], &["simulate", "asked"]] {
        assert_eq!(run_in(at, args).code, 0, "{args:?}");
    }
    ok(at, &["train", "--resume", "asked"]);
    same_bytes(&at.join("whole"), &at.join("asked"), "interrupted and resumed");

    // In words; twice in a row the second may end it before it is done, and that does no harm.
    let child = start(at, &["train", "c.yaml", "-o", "twice"]);
    has_started(&at.join("twice"));
    interrupt(&child);
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let ran = end(child);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    ok(at, &["train", "--resume", "twice"]);
    same_bytes(&at.join("whole"), &at.join("twice"), "interrupted twice and resumed");
}

#[cfg(unix)]
#[test]
fn work_that_is_not_a_step_is_interrupted_too() {
    // Long measuring at the end: the steps are safe before.
    let dir = folder_with("{steps: 5, rate: 0.0001, evaluate: {at_end: 100000000}}");
    let at = dir.path();
    let child = start(at, &["train", "c.yaml", "-o", "out"]);
    let began = Instant::now();
    has_started(&at.join("out"));
    std::thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    let ran = end(child);
    assert_eq!(ran.code, 130, "{}{}", ran.stdout, ran.stderr);
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(
        ran.stdout.contains("interrupted after step 5; `pulvinar train --resume out` goes on"),
        "{}",
        ran.stdout
    );
    let manifest = fs::read_to_string(at.join("out/manifest.json")).expect("there");
    assert!(manifest.contains("\"steps\": 5,"), "{manifest}");

    // A long step ends with the second request; the checkpoint before it is whole.
    let text = circuit("{steps: 5, batch: 100000000, rate: 0.0001}");
    fs::write(at.join("slow.yaml"), text).expect("written");
    let mut child = start(at, &["train", "slow.yaml", "-o", "slow"]);
    has_started(&at.join("slow"));
    std::thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().expect("known").is_none(), "the first request waits for the step");
    interrupt(&child);
    let ran = end(child);
    assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{}", ran.stderr);
    assert_eq!(run_in(at, &["compile", "slow"]).code, 0);
}

#[test]
fn threads_and_restarts_do_not_show() {
    let settings = "{steps: 130, batch: 20, optimiser: adam, evaluate: {every: 25, sequences: 60}, checkpoint: {every: 50}}";
    let dir = folder_with(settings);
    let at = dir.path();
    for (rule, more) in [
        ("three_factor", &[][..]),
        ("gradient", &[]),
        ("feedback_alignment", &[]),
        ("kolen_pollack", &[]),
        ("dale_eg", &["--rate", "0.001"]),
        ("oja", &["--rate", "0.0001"]),
    ] {
        let train = |steps: &str, threads: &str, out: &str| {
            let mut args =
                vec!["train", "c.yaml", "--rule", rule, "--steps", steps, "--threads", threads, "-o", out];
            args.extend(more);
            ok(at, &args)
        };
        let name = |what: &str| format!("{rule}_{what}");
        let one = train("130", "1", &name("one"));
        let two = train("130", "2", &name("two"));
        assert_eq!(one["loss"], two["loss"]);
        same_bytes(&at.join(name("one")), &at.join(name("two")), rule);
        // A shorter training that goes on for longer, from a step between two evaluations and at one.
        for steps in ["60", "75"] {
            let out = name(steps);
            train(steps, "2", &out);
            ok(at, &["train", "--resume", &out, "--steps", "130"]);
            same_bytes(&at.join(name("one")), &at.join(&out), &format!("{rule}, longer than {steps}"));
        }
        // What was learned is what the directory computes.
        let again = name("again");
        ok(at, &["train", &name("one"), "--steps", "1", "-o", &again]);
        let csv = fs::read_to_string(at.join(&again).join("metrics.csv")).expect("there");
        let first = csv.lines().nth(1).and_then(|l| l.split(',').nth(2)).expect("a loss");
        let (first, loss) = (first.parse().expect("a number"), one["loss"].as_f64().expect("a loss"));
        assert!(same(first, loss), "{rule}: {first}, {loss}");
    }
}
