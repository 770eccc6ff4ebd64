//! One training from its first step (or where it was left) to its last.

use super::Job;
use super::folder::Folder;
use crate::circuit::Circuit;
use crate::cli::load;
use crate::cli::report::{Failure, Reporter};
use crate::cli::{interrupt, progress};
use crate::diag::{Diagnostic, codes};
use crate::plasticity::metrics::Row;
use crate::plasticity::{Evaluated, Plastic, Stop, Trainer, checkpoint, prepare};
use crate::spec::RouteSpec;
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
        let mut trainer =
            Trainer::new(&prepared, &job.task, loss, job.train).map_err(|d| placed(d.into()))?;
        let mut rows = Vec::new();
        let mut folder = match place {
            None => None,
            Some(Place { dir, resume }) => {
                let folder = Folder::new(dir, job, route, &prepared)?;
                if resume {
                    rows = checkpoint::load(&folder.checkpoint(), &mut trainer, &folder.identity)?;
                } else {
                    folder.start(&trainer)?;
                    folder.keep(&trainer, &rows)?;
                }
                Some(folder)
            }
        };
        let train = job.train;
        let names = names(&prepared.circuit, &prepared.plastic);
        let bar = progress::bar(out, train.steps, route.map_or("train", RouteSpec::name));
        bar.set_position(trainer.steps_done() as u64);
        let stopped =
            |stop: Stop, folder: &Option<Folder<'_>>| diverged(job, &prepared.circuit, stop, folder);
        let mut loss = rows.last().and_then(|r: &Row| r.loss);
        let mut interrupted = false;
        let mut enough = false;
        while trainer.steps_done() < train.steps && !enough {
            let step = trainer.steps_done();
            if step.is_multiple_of(train.evaluate.every) {
                let row = evaluated(&mut trainer, job, loss).map_err(|s| stopped(s, &folder))?;
                bar.set_message(format!("held-out loss {:.5}", row.held_out));
                enough = train.stop_below.is_some_and(|least| row.held_out < least);
                rows.push(row);
            }
            if enough {
                break;
            }
            if interrupt::asked() {
                interrupted = true;
                break;
            }
            loss = Some(trainer.step().map_err(|s| stopped(s, &folder))?.loss);
            bar.inc(1);
            if trainer.steps_done().is_multiple_of(train.checkpoint.every)
                && let Some(folder) = &mut folder
            {
                folder.keep(&trainer, &rows)?;
            }
        }
        let last = trainer
            .evaluate(train.evaluate.at_end.unwrap_or(train.evaluate.sequences))
            .map_err(|s| stopped(s, &folder))?;
        if !interrupted && !enough {
            rows.push(evaluated(&mut trainer, job, loss).map_err(|s| stopped(s, &folder))?);
        }
        bar.finish_and_clear();
        let mut files = Vec::new();
        let steps = trainer.steps_done();
        if let Some(folder) = &mut folder {
            folder.keep(&trainer, &rows)?;
            files = folder.finish(steps, &last, interrupted, &names)?;
        }
        let weights = trainer.weights().to_vec();
        let mut circuit = prepared.circuit.clone();
        for (p, w) in circuit.projections.iter_mut().zip(weights) {
            p.synapses.weights = w;
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

/// Names of the projections that learn, then `all`.
pub fn names<'c>(circuit: &'c Circuit, plastic: &[Plastic]) -> Vec<&'c str> {
    plastic.iter().map(|p| circuit.projections[p.k].name.as_str()).chain(["all"]).collect()
}

/// Sequences whose changes are compared with the gradient, at most.
const COMPARED: usize = 64;

fn evaluated(trainer: &mut Trainer<'_>, job: &Job, loss: Option<f64>) -> Result<Row, Stop> {
    let step = trainer.steps_done();
    let Evaluated { loss: held_out, standard_error, accuracy, .. } =
        trainer.evaluate(job.train.evaluate.sequences)?;
    let batch = job.train.batch;
    let cosines = match trainer.route() {
        Some(_) => vec![None; trainer.plastic().len() + 1],
        None => trainer.cosines((step as u64).saturating_mul(batch as u64), batch.min(COMPARED))?,
    };
    Ok(Row { step, loss, held_out, standard_error, accuracy, cosines })
}

/// The report of a number that went wild.
fn diverged(job: &Job, circuit: &Circuit, stop: Stop, folder: &Option<Folder<'_>>) -> Failure {
    let (path, what) = match stop {
        Stop::Task { step, why } => {
            let mut why = why;
            why.message = format!("at step {step}: {}", why.message);
            return load::placed(&job.document, &job.file, why);
        }
        Stop::Cells { step, wild } => {
            let p = circuit.populations.iter().find(|p| p.name == wild.population);
            let how = if wild.divided_by_zero {
                "divided a number by zero"
            } else {
                "sent an infinite rate, or one that is no number"
            };
            (p.map_or("", |p| p.path.as_str()), format!("at step {step}, `{}` {how}", wild.population))
        }
        Stop::Weights { step, projection } => {
            let p = circuit.projections.iter().find(|p| p.name == projection);
            let what = format!("at step {step}, a weight of `{projection}` became infinite or no number");
            (p.map_or("", |p| p.path.as_str()), what)
        }
    };
    let kept = folder
        .as_ref()
        .map_or(String::new(), |f| format!("; the last good checkpoint is {}", f.checkpoint().display()));
    let d = Diagnostic::error(codes::R006, path, what)
        .help(format!("try a smaller rate (--rate), or smaller weights at the start{kept}"));
    load::placed(&job.document, &job.file, d)
}
