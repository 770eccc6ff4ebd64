//! One training from its first step (or where it was left) to its last.

use super::Job;
use super::folder::Folder;
use super::say::plural;
use crate::report::{Failure, Reporter};
use crate::{interrupt, progress};
use indicatif::ProgressBar;
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::files::Claim;
use pulvinar::plasticity::metrics::Row;
use pulvinar::plasticity::{Stop, Trainer, checkpoint, prepare};
use pulvinar::spec::RouteSpec;
use pulvinar_lab::experiments::learning::{self, Going, Halt, Watch};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where a training is written, and whether it goes on there.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub claim: &'a Claim,
    pub resume: bool,
}

/// A training that is over, or was interrupted, and its files.
pub struct Course {
    pub learned: learning::Course,
    pub checkpoint: Option<PathBuf>,
    pub files: Vec<String>,
}

impl Course {
    /// Trains.
    ///
    /// # Errors
    /// What does not fit, files that cannot be written, and `R006` when a number goes wild; the last good checkpoint
    /// stays.
    pub fn run(
        job: &Job,
        route: Option<RouteSpec>,
        place: Option<Place<'_>>,
        out: &Reporter,
    ) -> Result<Self, Failure> {
        let lesson = &job.lesson;
        let placed = |d| lesson.model.placed(d);
        let prepared = prepare(&lesson.circuit, route, lesson.train.rate).map_err(placed)?;
        for name in &prepared.rewired {
            out.detail(&format!("feedback `{name}` got random weights of its own"));
        }
        let mut going = Going::new(lesson, &prepared).map_err(|d| placed(d.into()))?;
        let folder =
            place.map(|Place { claim, .. }| Folder::new(claim, job, route, &prepared)).transpose()?;
        let what = route.map_or("train", RouteSpec::name);
        let bar = progress::bar(out, lesson.train.steps, what);
        let mut beside = Beside { folder, bar: bar.clone(), kept: 0 };
        let ended = beside.open(job, &mut going, place).and_then(|()| {
            progress::start(&bar, going.trainer.steps_done());
            going.train(&mut beside).map_err(|halt| match halt {
                Halt::Stopped(stop) => beside.diverged(job, &going.trainer, stop),
                Halt::Failed(d) => d.into(),
            })
        });
        bar.finish_and_clear();
        let (last, interrupted) = ended?;
        let steps = going.trainer.steps_done();
        let learned = learning::Course::of(going, &prepared, route, last, interrupted);
        let files = match &beside.folder {
            Some(folder) => folder.finish(steps, &learned, &super::page::of(job, &learned)?)?,
            None => Vec::new(),
        };
        Ok(Self { learned, checkpoint: beside.folder.map(|f| f.checkpoint()), files })
    }
}

/// The directory and the bar beside a training.
struct Beside<'a> {
    folder: Option<Folder<'a>>,
    bar: ProgressBar,
    /// steps in the last checkpoint
    kept: usize,
}

impl Watch for Beside<'_> {
    fn asked(&self) -> fn() -> bool {
        interrupt::asked
    }

    fn stepped(&mut self) {
        self.bar.inc(1);
    }

    fn measured(&mut self, _: &Trainer<'_>, row: &Row) -> Result<(), Diagnostic> {
        self.bar.set_message(format!("held-out loss {:.5}", row.held_out));
        Ok(())
    }

    fn last(&mut self, sequences: usize) {
        self.bar.set_message(format!("measured on {sequences} sequences"));
    }

    fn keep(&mut self, trainer: &Trainer<'_>, rows: &[Row]) -> Result<(), Diagnostic> {
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.keep(trainer, rows)?;
        self.kept = trainer.steps_done();
        Ok(())
    }
}

impl Beside<'_> {
    /// Brings the directory and the trainer together.
    fn open(&mut self, job: &Job, going: &mut Going<'_>, place: Option<Place<'_>>) -> Result<(), Failure> {
        let (Some(folder), Some(Place { claim, resume })) = (&self.folder, place) else { return Ok(()) };
        if !resume {
            folder.start(&going.trainer)?;
            return Ok(());
        }
        going.rows = checkpoint::load(&folder.checkpoint(), &mut going.trainer, &folder.identity)?;
        self.kept = going.trainer.steps_done();
        if self.kept > job.lesson.train.steps {
            let what = format!(
                "--steps {}: the training in {} has made {} steps already",
                job.lesson.train.steps,
                claim.folder().display(),
                self.kept
            );
            return Err(Diagnostic::error(codes::U005, "", what)
                .help("--steps counts from the start of the training; give a larger number")
                .into());
        }
        folder.settings(&going.trainer)
    }

    /// The report of a number that went wild.
    fn diverged(&self, job: &Job, trainer: &Trainer<'_>, stop: Stop) -> Failure {
        let step = match &stop {
            Stop::Task { .. } => None,
            Stop::Cells { step, .. } | Stop::Loss { step } | Stop::Weights { step, .. } => Some(*step),
        };
        let checkpoint = self.folder.as_ref().map(|f| f.checkpoint().display().to_string());
        let kept = checkpoint.as_ref().map_or(String::new(), |c| {
            format!("; the last good checkpoint is {c}, after {} {}", self.kept, plural(self.kept, "step"))
        });
        let d = learning::stopped(trainer, stop, &kept);
        let mut failure = Failure::from(job.lesson.model.placed(d));
        let Some(step) = step else { return failure };
        for (key, value) in [
            ("loss", Value::Null),
            ("steps", json!(self.kept)),
            ("diverged_at", json!(step)),
            ("checkpoint", json!(checkpoint)),
        ] {
            failure.rest.insert(key.to_owned(), value);
        }
        failure
    }
}
