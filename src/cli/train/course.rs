//! One training from its first step (or where it was left) to its last.

use super::Job;
use super::folder::Folder;
use super::say::plural;
use crate::circuit::Circuit;
use crate::cli::report::{Failure, Reporter};
use crate::cli::{interrupt, load, progress};
use crate::diag::{Diagnostic, codes};
use crate::plasticity::metrics::Row;
use crate::plasticity::{Evaluated, Plastic, Stop, Trainer, checkpoint, prepare};
use crate::spec::RouteSpec;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where a training is written, and whether it goes on there.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub dir: &'a Path,
    pub resume: bool,
}

/// A training that is over, or was interrupted.
pub struct Course {
    pub route: Option<RouteSpec>,
    /// the circuit with the weights that were learned
    pub circuit: Circuit,
    pub plastic: Vec<Plastic>,
    /// feedback projections that were given weights of their own
    pub rewired: Vec<String>,
    pub rows: Vec<Row>,
    pub steps: usize,
    /// on the sequences that `evaluate` names for the end
    pub last: Evaluated,
    pub interrupted: bool,
    pub checkpoint: Option<PathBuf>,
    pub files: Vec<String>,
}

impl Course {
    /// Names of the projections that learn, then `all`.
    pub fn names(&self) -> Vec<&str> {
        names(&self.circuit, &self.plastic)
    }

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
        let placed = |d| load::placed(&job.document, &job.file, d);
        let prepared = prepare(&job.circuit, route, job.train.rate).map_err(placed)?;
        for name in &prepared.rewired {
            out.detail(&format!("feedback `{name}` got random weights of its own"));
        }
        let loss = job.document.spec.reserved.loss.unwrap_or_default();
        let trainer = Trainer::new(&prepared, &job.task, loss, job.train).map_err(|d| placed(d.into()))?;
        let folder = place.map(|Place { dir, .. }| Folder::new(dir, job, route, &prepared)).transpose()?;
        let what = route.map_or("train", RouteSpec::name);
        let bar = progress::bar(out, job.train.steps, what);
        let mut going = Going { job, trainer, folder, rows: Vec::new(), kept: 0 };
        let ended = going.open(place).and_then(|()| {
            progress::start(&bar, going.trainer.steps_done());
            going.train(&bar)
        });
        bar.finish_and_clear();
        let (last, interrupted) = ended?;
        let Going { trainer, folder, rows, .. } = going;
        let steps = trainer.steps_done();
        let files = match &folder {
            Some(folder) => {
                folder.finish(steps, &last, interrupted, &names(&prepared.circuit, &prepared.plastic))?
            }
            None => Vec::new(),
        };
        let mut circuit = prepared.circuit.clone();
        for (p, w) in circuit.projections.iter_mut().zip(trainer.weights()) {
            p.synapses.weights = w.clone();
        }
        Ok(Self {
            route,
            circuit,
            plastic: prepared.plastic.clone(),
            rewired: prepared.rewired.clone(),
            rows,
            steps,
            last,
            interrupted,
            checkpoint: folder.map(|f| f.checkpoint()),
            files,
        })
    }
}

/// A training under way.
struct Going<'a> {
    job: &'a Job,
    trainer: Trainer<'a>,
    folder: Option<Folder<'a>>,
    rows: Vec<Row>,
    /// steps in the last checkpoint
    kept: usize,
}

impl Going<'_> {
    /// Brings the directory and the trainer together.
    fn open(&mut self, place: Option<Place<'_>>) -> Result<(), Failure> {
        let (Some(folder), Some(Place { dir, resume })) = (&self.folder, place) else { return Ok(()) };
        if !resume {
            folder.start(&self.trainer)?;
            return Ok(());
        }
        self.rows = checkpoint::load(&folder.checkpoint(), &mut self.trainer, &folder.identity)?;
        self.kept = self.trainer.steps_done();
        if self.kept > self.job.train.steps {
            let what = format!(
                "--steps {}: the training in {} has made {} steps already",
                self.job.train.steps,
                dir.display(),
                self.kept
            );
            return Err(Diagnostic::error(codes::U005, "", what)
                .help("--steps counts from the start of the training; give a larger number")
                .into());
        }
        folder.settings()
    }

    /// All steps that are left, and the measurements at the end; whether it was interrupted.
    fn train(&mut self, bar: &ProgressBar) -> Result<(Evaluated, bool), Failure> {
        let train = self.job.train;
        let mut enough = false;
        while self.trainer.steps_done() < train.steps {
            if self.trainer.steps_done().is_multiple_of(train.evaluate.every) {
                let Some(held_out) = self.measure()? else { return self.interrupted() };
                bar.set_message(format!("held-out loss {held_out:.5}"));
                enough = train.stop_below.is_some_and(|least| held_out < least);
            }
            if enough {
                break;
            }
            if interrupt::asked() {
                return self.interrupted();
            }
            self.trainer.step().map_err(|s| self.diverged(s))?;
            bar.inc(1);
            if self.trainer.steps_done().is_multiple_of(train.checkpoint.every) {
                self.keep()?;
            }
        }
        // What was learned is safe before it is measured.
        self.keep()?;
        if !enough && self.measure()?.is_none() {
            return self.interrupted();
        }
        let at_end = train.evaluate.at_end.unwrap_or(train.evaluate.sequences);
        if at_end != train.evaluate.sequences {
            bar.set_message(format!("measured on {} sequences", self.trainer.held_out(at_end)));
        }
        let last = self.trainer.evaluate_unless(at_end, &interrupt::asked).map_err(|s| self.diverged(s))?;
        let Some(last) = last else { return self.interrupted() };
        self.keep()?;
        Ok((last, false))
    }

    /// Adds a row; gives its held-out loss, or none if interrupted.
    fn measure(&mut self) -> Result<Option<f64>, Failure> {
        let train = &self.job.train;
        let (step, loss) = (self.trainer.steps_done(), self.trainer.last_loss());
        let evaluated = self.trainer.evaluate_unless(train.evaluate.sequences, &interrupt::asked);
        let Some(e) = evaluated.map_err(|s| self.diverged(s))? else { return Ok(None) };
        let cosines = match self.trainer.route() {
            Some(_) => vec![None; self.trainer.plastic().len() + 1],
            None => {
                let first = (step as u64).saturating_mul(train.batch as u64);
                let cosines = self.trainer.cosines(first, train.batch.min(COMPARED));
                cosines.map_err(|s| self.diverged(s))?
            }
        };
        let Evaluated { loss: held_out, standard_error, accuracy, .. } = e;
        self.rows.push(Row { step, loss, held_out, standard_error, accuracy, cosines });
        Ok(Some(held_out))
    }

    fn keep(&mut self) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.keep(&self.trainer, &self.rows)?;
        self.kept = self.trainer.steps_done();
        Ok(())
    }

    /// Keeps what there is; the last measurement stands for the one at the end.
    fn interrupted(&mut self) -> Result<(Evaluated, bool), Failure> {
        self.keep()?;
        let sequences = self.trainer.held_out(self.job.train.evaluate.sequences);
        let last = self.rows.last().map_or(
            Evaluated { loss: f64::NAN, standard_error: f64::NAN, sequences: 0, accuracy: None },
            |r| Evaluated {
                loss: r.held_out,
                standard_error: r.standard_error,
                sequences,
                accuracy: r.accuracy,
            },
        );
        Ok((last, true))
    }

    /// The report of a number that went wild.
    fn diverged(&self, stop: Stop) -> Failure {
        let circuit = self.trainer.circuit();
        let path_of =
            |name: &str| circuit.projections.iter().find(|p| p.name == name).map_or("", |p| &p.path);
        let (step, path, mut what) = match stop {
            Stop::Task { step, mut why } => {
                why.message = format!("at step {step}: {}", why.message);
                return load::placed(&self.job.document, &self.job.file, why);
            }
            Stop::Cells { step, wild } => {
                let p = circuit.populations.iter().find(|p| p.name == wild.population);
                let how = if wild.divided_by_zero {
                    "divided a number by zero"
                } else {
                    "sent an infinite rate, or one that is no number"
                };
                (step, p.map_or("", |p| p.path.as_str()), format!("`{}` {how}", wild.population))
            }
            Stop::Loss { step } => (step, "", "the loss became infinite or no number".to_owned()),
            Stop::Weights { step, projection } => (
                step,
                path_of(&projection),
                format!("a weight of `{projection}` became infinite or no number"),
            ),
        };
        let largest = self.trainer.largest_weight();
        let path = if path.is_empty() { largest.map_or("", |(name, _)| path_of(name)) } else { path };
        if let Some((name, x)) = largest.filter(|(_, x)| x.is_finite()) {
            let _ = write!(what, "; the largest weight is {x:.1e}, of `{name}`");
        }
        let checkpoint = self.folder.as_ref().map(|f| f.checkpoint().display().to_string());
        let kept = checkpoint.as_ref().map_or(String::new(), |c| {
            format!("; the last good checkpoint is {c}, after {} {}", self.kept, plural(self.kept, "step"))
        });
        let d = Diagnostic::error(codes::R006, path, format!("at step {step}, {what}"))
            .help(format!("try a smaller rate (--rate), or smaller weights at the start{kept}"));
        let mut failure = load::placed(&self.job.document, &self.job.file, d);
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

/// Names of the projections that learn, then `all`.
pub fn names<'c>(circuit: &'c Circuit, plastic: &[Plastic]) -> Vec<&'c str> {
    plastic.iter().map(|p| circuit.projections[p.k].name.as_str()).chain(["all"]).collect()
}

/// Sequences whose changes are compared with the gradient, at most.
const COMPARED: usize = 64;
