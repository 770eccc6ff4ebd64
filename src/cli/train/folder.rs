//! The run directory of a training: whole at every moment.
//!
//! `circuit.yaml` is written once and reads its learning weights from `weights.safetensors`, which every checkpoint
//! replaces. `checkpoint.safetensors` comes after the files that it stands for, the manifest last.

use super::Job;
use crate::circuit::{AxisMap, Weights};
use crate::cli::report::Failure;
use crate::cli::resolved::{FILES, Tokens, resolved};
use crate::diag::{Diagnostic, codes};
use crate::experiments::learning::Course;
use crate::files::{Array, atomic_write, remove_unfinished, write_safetensors};
use crate::plasticity::metrics::{self, Row};
use crate::plasticity::{Prepared, Trainer, checkpoint, prepare};
use crate::report::{Page, html};
use crate::seed::sha256_hex;
use crate::spec::{
    CircuitSpec, PlasticitySpec, RouteSpec, RuleName, ScheduleSpec, TaskSpec, TeacherFrom, WeightsSpec,
};
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What learned weights are read from.
const WEIGHTS: &str = "weights.safetensors";
const CIRCUIT: &str = "circuit.yaml";
const REPORT: &str = "report.html";

/// A run directory.
pub struct Folder<'a> {
    dir: &'a Path,
    spec: CircuitSpec,
    copies: Vec<(String, Array)>,
    /// projections whose weights the directory holds
    held: Vec<(usize, String)>,
    pub identity: String,
}

impl<'a> Folder<'a> {
    /// The directory of a training; nothing is written yet.
    ///
    /// # Errors
    /// Weight files that changed since they were read.
    pub fn new(
        dir: &'a Path,
        job: &Job,
        route: Option<RouteSpec>,
        prepared: &Prepared,
    ) -> Result<Self, Failure> {
        let (spec, copies) = learned(job, route, prepared)?;
        let held = prepared
            .circuit
            .projections
            .iter()
            .enumerate()
            .filter(|(k, p)| is_held(job, prepared, *k, &p.name))
            .map(|(k, p)| (k, p.name.clone()))
            .collect();
        let identity = identity_of(&spec);
        Ok(Self { dir, spec, copies, held, identity })
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint.safetensors")
    }

    /// Writes what does not change, and the first checkpoint; the circuit last, so that a directory with a circuit has
    /// everything else. What an earlier training left there goes first.
    pub fn start(&self, trainer: &Trainer<'_>) -> Result<(), Failure> {
        for name in [CIRCUIT, "manifest.json", REPORT, "checkpoint.safetensors"] {
            let old = self.dir.join(name);
            if let Err(e) = std::fs::remove_file(&old)
                && e.kind() != std::io::ErrorKind::NotFound
            {
                let what = format!("{}: could not be removed: {e}", old.display());
                return Err(Diagnostic::error(codes::F004, "", what)
                    .help("give another -o directory")
                    .into());
            }
        }
        if !self.copies.is_empty() {
            write_safetensors(&self.dir.join(FILES), &self.copies, &[])?;
        }
        self.keep(trainer, &[])?;
        self.settings()
    }

    /// Writes the circuit with the settings in force, unless it is there.
    pub fn settings(&self) -> Result<(), Failure> {
        remove_unfinished(self.dir);
        let (file, yaml) = (self.dir.join(CIRCUIT), crate::spec::to_yaml(&self.spec));
        if std::fs::read(&file).is_ok_and(|there| there == yaml.as_bytes()) {
            return Ok(());
        }
        Ok(atomic_write(&file, |sink| sink.write_all(yaml.as_bytes()))?)
    }

    fn weights(&self, trainer: &Trainer<'_>) -> Result<(), Diagnostic> {
        let matrix = |k: usize| match &trainer.weights()[k] {
            Weights::Dense(w) => Array::from_matrix(w),
            other => Array::from_matrix(&other.dense()),
        };
        let tensors: Vec<(String, Array)> =
            self.held.iter().map(|(k, name)| (name.clone(), matrix(*k))).collect();
        write_safetensors(&self.dir.join(WEIGHTS), &tensors, &[])
    }

    /// Writes the state so far.
    pub fn keep(&self, trainer: &Trainer<'_>, rows: &[Row]) -> Result<(), Diagnostic> {
        let names = crate::experiments::learning::names(trainer.circuit(), trainer.plastic());
        metrics::write(&self.dir.join("metrics.csv"), &names, rows)?;
        self.weights(trainer)?;
        checkpoint::save(&self.checkpoint(), trainer, &self.identity, rows)
    }

    /// Writes the page and the manifest; returns all files.
    pub fn finish(&self, steps: usize, learned: &Course, page: &Page) -> Result<Vec<String>, Failure> {
        let mut files = vec![CIRCUIT, WEIGHTS, "metrics.csv", "checkpoint.safetensors"];
        if !self.copies.is_empty() {
            files.insert(1, FILES);
        }
        atomic_write(&self.dir.join(REPORT), |sink| sink.write_all(html(page).as_bytes()))?;
        files.extend([REPORT, "manifest.json"]);
        let (last, names) = (&learned.last, learned.names());
        let yaml = crate::spec::to_yaml(&self.spec);
        let mut manifest = Map::new();
        let mut put = |key: &str, value: Value| manifest.insert(key.to_owned(), value);
        put("pulvinar", json!(env!("CARGO_PKG_VERSION")));
        put("verb", json!("train"));
        put("circuit", json!(self.spec.name));
        put("circuit_sha256", json!(sha256_hex(yaml.as_bytes())));
        put("parameters", json!(self.spec.parameters));
        put("seed", json!(self.spec.seed));
        put("threads", json!(rayon::current_num_threads()));
        put("train", json!(self.spec.reserved.train));
        put("learns", json!(names[..names.len() - 1]));
        put("steps", json!(steps));
        put("interrupted", json!(learned.interrupted));
        put("held_out_loss", json!(last.loss));
        put("standard_error", json!(last.standard_error));
        put("held_out_sequences", json!(last.sequences));
        put("files", json!(files));
        let text = format!("{:#}\n", Value::Object(manifest));
        atomic_write(&self.dir.join("manifest.json"), |sink| sink.write_all(text.as_bytes()))?;
        Ok(files.iter().map(|f| (*f).to_owned()).collect())
    }
}

/// What makes a training the same one.
pub fn identity(job: &Job, route: Option<RouteSpec>) -> Result<String, Failure> {
    let placed = |d| crate::cli::load::placed(&job.lesson.document, &job.file, d);
    let prepared = prepare(&job.lesson.circuit, route, job.lesson.train.rate).map_err(placed)?;
    Ok(identity_of(&learned(job, route, &prepared)?.0))
}

/// A training with a constant rate may go on for longer.
fn identity_of(spec: &CircuitSpec) -> String {
    let mut spec = spec.clone();
    if let Some(train) = spec.reserved.train.as_mut().filter(|t| t.schedule == ScheduleSpec::Constant) {
        train.steps = 0;
    }
    sha256_hex(crate::spec::to_yaml(&spec).as_bytes())
}

/// Does the directory hold the weights of projection `k`? Those that learn, and feedback that the rule gave weights of its
/// own: when it goes on, these are read from there.
fn is_held(job: &Job, prepared: &Prepared, k: usize, name: &String) -> bool {
    let read_from_there = || {
        let written = job.lesson.document.spec.projections.0.iter().find(|(n, _)| n == name);
        written.is_some_and(|(_, p)| matches!(&p.weights, WeightsSpec::File { path, .. } if path == WEIGHTS))
    };
    prepared.plastic.iter().any(|q| q.k == k)
        || prepared.rewired.contains(name)
        || job.resumed && read_from_there()
}

/// The circuit of the directory: learning weights come from its file, the settings are those in force.
fn learned(
    job: &Job,
    route: Option<RouteSpec>,
    prepared: &Prepared,
) -> Result<(CircuitSpec, Vec<(String, Array)>), Failure> {
    let (mut spec, mut copies) = resolved(&job.lesson.document, Tokens::Left, &Default::default())?;
    for (k, p) in prepared.circuit.projections.iter().enumerate() {
        let plastic = prepared.plastic.iter().find(|q| q.k == k);
        if !is_held(job, prepared, k, &p.name) {
            continue;
        }
        let Some((_, written)) = spec.projections.0.iter_mut().find(|(name, _)| *name == p.name) else {
            continue;
        };
        copies.retain(|(name, _)| *name != p.name);
        written.weights = WeightsSpec::File { path: WEIGHTS.to_owned(), tensor: Some(p.name.clone()) };
        // The gain is in the matrix.
        written.gain = None;
        let rule = plastic.map(|q| q.spec);
        if rule.is_none_or(|r| r.rule != RuleName::DaleEg) || route == Some(RouteSpec::Gradient) {
            // Only a multiplicative rule keeps signs.
            written.sign = None;
        }
        if (p.synapses.onto, p.synapses.pool) == (AxisMap::All, AxisMap::All) {
            (written.onto, written.pool, written.tied) = (None, None, None);
        }
        if let Some(rule) = rule {
            written.plasticity = Some(PlasticitySpec { ..rule });
        }
    }
    let mut train = job.lesson.train;
    (train.rule, train.rate) = (route, None);
    spec.reserved.train = Some(train);
    if let Some(task) = &mut spec.reserved.task {
        absolute(task, &job.lesson.document.folder);
    }
    Ok((spec, copies))
}

/// Files of a task are not copied: their paths lead there from anywhere.
fn absolute(task: &mut TaskSpec, folder: &Path) {
    let path = match task {
        TaskSpec::Teacher(t) => match &mut t.from {
            TeacherFrom::Heads { heads, .. } => heads,
            TeacherFrom::Circuit { circuit } => circuit,
        },
        TaskSpec::Digits(t) => &mut t.path,
        TaskSpec::File(t) => &mut t.path,
        TaskSpec::InContextRegression(_) | TaskSpec::AssociativeRecall(_) => return,
    };
    let there = folder.join(&*path);
    let whole = std::fs::canonicalize(&there).or_else(|_| std::path::absolute(&there));
    *path = whole.unwrap_or(there).display().to_string();
}
