//! The run directory of a training: whole at every moment.
//!
//! `circuit.yaml` is written once and reads its learning weights from `weights.safetensors`, which every checkpoint
//! replaces together with `checkpoint.safetensors` and `metrics.csv`, under a manifest that vouches for all.

use super::Job;
use crate::report::Failure;
use crate::resolved::{FILES, Tokens, resolved};
use crate::run_files::earlier;
use pulvinar::circuit::{AxisMap, Weights};
use pulvinar::diag::Diagnostic;
use pulvinar::files::{Array, Claim, MANIFEST, Stage, atomic_write, manifest, write_safetensors};
use pulvinar::plasticity::metrics::{self, Row};
use pulvinar::plasticity::{Prepared, Trainer, checkpoint, prepare};
use pulvinar::seed::sha256_hex;
use pulvinar::spec::{
    CircuitSpec, PlasticitySpec, RouteSpec, RuleName, ScheduleSpec, TaskSpec, TeacherFrom, WeightsSpec,
};
use pulvinar_lab::experiments::learning::Course;
use pulvinar_lab::report::{Page, html};
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What learned weights are read from.
const WEIGHTS: &str = "weights.safetensors";
const CIRCUIT: &str = "circuit.yaml";
const METRICS: &str = "metrics.csv";
const CHECKPOINT: &str = "checkpoint.safetensors";
const REPORT: &str = "report.html";

/// A run directory.
pub struct Folder<'a> {
    claim: &'a Claim,
    spec: CircuitSpec,
    copies: Vec<(String, Array)>,
    /// projections whose weights the directory holds
    held: Vec<(usize, String)>,
    pub identity: String,
    /// checksums of what no checkpoint changes
    fixed: OnceCell<Map<String, Value>>,
}

impl<'a> Folder<'a> {
    /// The directory of a training; nothing is written yet.
    ///
    /// # Errors
    /// Weight files that changed since they were read.
    pub fn new(
        claim: &'a Claim,
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
        Ok(Self { claim, spec, copies, held, identity, fixed: OnceCell::new() })
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.claim.folder().join(CHECKPOINT)
    }

    /// Writes what does not change, and the first checkpoint, in place of what an earlier run left there.
    pub fn start(&self, trainer: &Trainer<'_>) -> Result<(), Failure> {
        let stage = self.claim.begin()?;
        if !self.copies.is_empty() {
            write_safetensors(&stage.path(FILES), &self.copies, &[])?;
        }
        self.circuit(&stage)?;
        self.state(&stage, trainer, &[])?;
        self.close(stage, self.about(trainer), &[], &earlier(self.claim.folder()))?;
        Ok(())
    }

    /// Writes the circuit with the settings in force, unless it is there.
    pub fn settings(&self, trainer: &Trainer<'_>) -> Result<(), Failure> {
        let yaml = pulvinar::spec::to_yaml(&self.spec);
        let file = self.claim.folder().join(CIRCUIT);
        if std::fs::read(file).is_ok_and(|there| there == yaml.as_bytes()) {
            return Ok(());
        }
        let stage = self.claim.begin()?;
        self.circuit(&stage)?;
        self.close(stage, self.about(trainer), &[], &[REPORT.to_owned()])?;
        Ok(())
    }

    fn circuit(&self, stage: &Stage<'_>) -> Result<(), Diagnostic> {
        let yaml = pulvinar::spec::to_yaml(&self.spec);
        atomic_write(&stage.path(CIRCUIT), |sink| sink.write_all(yaml.as_bytes()))
    }

    fn weights(&self, stage: &Stage<'_>, trainer: &Trainer<'_>) -> Result<(), Diagnostic> {
        let matrix = |k: usize| match &trainer.weights()[k] {
            Weights::Dense(w) => Array::from_matrix(w),
            other => Array::from_matrix(&other.dense()),
        };
        let tensors: Vec<(String, Array)> =
            self.held.iter().map(|(k, name)| (name.clone(), matrix(*k))).collect();
        write_safetensors(&stage.path(WEIGHTS), &tensors, &[])
    }

    /// What every checkpoint replaces.
    fn state(&self, stage: &Stage<'_>, trainer: &Trainer<'_>, rows: &[Row]) -> Result<(), Diagnostic> {
        let names = pulvinar_lab::experiments::learning::names(trainer.circuit(), trainer.plastic());
        metrics::write(&stage.path(METRICS), &names, rows)?;
        self.weights(stage, trainer)?;
        checkpoint::save(&stage.path(CHECKPOINT), trainer, &self.identity, rows)
    }

    /// Writes the state so far; a page about an earlier end goes.
    pub fn keep(&self, trainer: &Trainer<'_>, rows: &[Row]) -> Result<(), Diagnostic> {
        let stage = self.claim.begin()?;
        self.state(&stage, trainer, rows)?;
        self.close(stage, self.about(trainer), &[], &[REPORT.to_owned()])?;
        Ok(())
    }

    /// Writes the manifest over the stage and puts it in place; returns all files.
    fn close(
        &self,
        stage: Stage<'_>,
        about: Map<String, Value>,
        more: &[&str],
        gone: &[String],
    ) -> Result<Vec<String>, Diagnostic> {
        let sums = |names: &[&str]| {
            let place = |name: &&str| {
                let new = stage.path(name);
                ((*name).to_owned(), if new.is_file() { new } else { self.claim.folder().join(name) })
            };
            manifest::sums(&names.iter().map(place).collect::<Vec<_>>())
        };
        let fixed: &[&str] = if self.copies.is_empty() { &[CIRCUIT] } else { &[CIRCUIT, FILES] };
        if self.fixed.get().is_none() {
            let _ = self.fixed.set(sums(fixed)?);
        }
        let mut all = self.fixed.get().cloned().unwrap_or_default();
        all.extend(sums(&[WEIGHTS, METRICS, CHECKPOINT])?);
        all.extend(sums(more)?);
        let files = all.keys().cloned().chain([MANIFEST.to_owned()]).collect();
        let text = manifest::text(about, all);
        atomic_write(&stage.path(MANIFEST), |sink| sink.write_all(text.as_bytes()))?;
        stage.commit(Some(MANIFEST), gone)?;
        Ok(files)
    }

    /// What a manifest says of a training that has not ended.
    fn about(&self, trainer: &Trainer<'_>) -> Map<String, Value> {
        let names = pulvinar_lab::experiments::learning::names(trainer.circuit(), trainer.plastic());
        let mut about = self.head(&names, trainer.steps_done());
        about.insert("ended".to_owned(), json!(false));
        about
    }

    /// What every manifest of a training begins with.
    fn head(&self, names: &[&str], steps: usize) -> Map<String, Value> {
        let yaml = pulvinar::spec::to_yaml(&self.spec);
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
        manifest
    }

    /// Writes the page and the manifest; returns all files.
    pub fn finish(&self, steps: usize, learned: &Course, page: &Page) -> Result<Vec<String>, Failure> {
        let stage = self.claim.begin()?;
        atomic_write(&stage.path(REPORT), |sink| sink.write_all(html(page).as_bytes()))?;
        let (last, names) = (&learned.last, learned.names());
        let mut about = self.head(&names, steps);
        let mut put = |key: &str, value: Value| about.insert(key.to_owned(), value);
        put("ended", json!(!learned.interrupted));
        put("interrupted", json!(learned.interrupted));
        put("held_out_loss", json!(last.loss));
        put("standard_error", json!(last.standard_error));
        put("held_out_sequences", json!(last.sequences));
        Ok(self.close(stage, about, &[REPORT], &[])?)
    }
}

/// What makes a training the same one.
pub fn identity(job: &Job, route: Option<RouteSpec>) -> Result<String, Failure> {
    let placed = |d| job.lesson.model.placed(d);
    let prepared = prepare(&job.lesson.circuit, route, job.lesson.train.rate).map_err(placed)?;
    Ok(identity_of(&learned(job, route, &prepared)?.0))
}

/// A training with a constant rate may go on for longer.
fn identity_of(spec: &CircuitSpec) -> String {
    let mut spec = spec.clone();
    if let Some(train) = spec.reserved.train.as_mut().filter(|t| t.schedule == ScheduleSpec::Constant) {
        train.steps = 0;
    }
    sha256_hex(pulvinar::spec::to_yaml(&spec).as_bytes())
}

/// Does the directory hold the weights of projection `k`? Those that learn, and feedback that the rule gave weights of its
/// own: when it goes on, these are read from there.
fn is_held(job: &Job, prepared: &Prepared, k: usize, name: &String) -> bool {
    let read_from_there = || {
        let written = job.lesson.model.spec().projections.0.iter().find(|(n, _)| n == name);
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
    let (mut spec, mut copies) = resolved(job.lesson.model.document(), Tokens::Left, &Default::default())?;
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
        absolute(task, &job.lesson.model.document().folder);
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
