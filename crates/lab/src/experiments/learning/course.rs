//! The loop of a training: steps, measurements every so often, and how it ends.

use super::Lesson;
use pulvinar::circuit::Circuit;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::linalg::count;
use pulvinar::plasticity::metrics::Row;
use pulvinar::plasticity::{Evaluated, Plastic, Prepared, Stop, Trainer, prepare};
use pulvinar::simulate::cells::Cause;
use pulvinar::spec::{RouteSpec, TrainSpec};
use std::fmt::Write as _;

/// Sequences whose changes are compared with the gradient, at most.
const COMPARED: usize = 64;

/// Someone beside a training.
pub trait Watch {
    /// What says that the training shall end early.
    fn asked(&self) -> fn() -> bool {
        || false
    }

    /// A step was made.
    fn stepped(&mut self) {}

    /// It was measured; `row` is the last of the rows.
    ///
    /// # Errors
    /// What cannot be worked out or written.
    fn measured(&mut self, _trainer: &Trainer<'_>, _row: &Row) -> Result<(), Diagnostic> {
        Ok(())
    }

    /// The last measurement begins, on so many sequences.
    fn last(&mut self, _sequences: usize) {}

    /// What there is should be kept.
    ///
    /// # Errors
    /// Files that cannot be written.
    fn keep(&mut self, _trainer: &Trainer<'_>, _rows: &[Row]) -> Result<(), Diagnostic> {
        Ok(())
    }
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Why a training broke off.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// a number went wild, or a sequence could not be made
    Stopped(Stop),
    /// a [`Watch`] failed
    Failed(Diagnostic),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<Diagnostic> for Halt {
    fn from(d: Diagnostic) -> Self {
        Self::Failed(d)
    }
}

/// A training under way.
pub struct Going<'a> {
    pub trainer: Trainer<'a>,
    /// one for each measurement so far
    pub rows: Vec<Row>,
    train: TrainSpec,
}

impl<'a> Going<'a> {
    /// A training before its first step, of a circuit that was prepared for it.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn new(lesson: &'a Lesson, prepared: &'a Prepared) -> Result<Self, Diagnostic> {
        let loss = lesson.model.spec().reserved.loss.unwrap_or_default();
        let trainer = Trainer::new(prepared, &lesson.task, loss, lesson.train)?;
        Ok(Self { trainer, rows: Vec::new(), train: lesson.train })
    }

    /// All steps that are left, and the measurements at the end; whether somebody asked for an early end.
    ///
    /// # Errors
    /// Where a number went wild, and what `watch` reports.
    pub fn train(&mut self, watch: &mut dyn Watch) -> Result<(Evaluated, bool), Halt> {
        let (train, asked) = (self.train, watch.asked());
        let mut enough = false;
        while self.trainer.steps_done() < train.steps {
            if self.trainer.steps_done().is_multiple_of(train.evaluate.every) {
                let Some(held_out) = self.measure(watch)? else { return self.interrupted(watch) };
                enough = train.stop_below.is_some_and(|least| held_out < least);
            }
            if enough {
                break;
            }
            if asked() {
                return self.interrupted(watch);
            }
            self.trainer.step()?;
            watch.stepped();
            if self.trainer.steps_done().is_multiple_of(train.checkpoint.every) {
                watch.keep(&self.trainer, &self.rows)?;
            }
        }
        // What was learned is safe before it is measured.
        watch.keep(&self.trainer, &self.rows)?;
        if !enough && self.measure(watch)?.is_none() {
            return self.interrupted(watch);
        }
        let at_end = train.evaluate.at_end.unwrap_or(train.evaluate.sequences);
        if at_end != train.evaluate.sequences {
            watch.last(self.trainer.held_out(at_end));
        }
        let last = self.trainer.evaluate_unless(at_end, &asked)?;
        let Some(last) = last else { return self.interrupted(watch) };
        watch.keep(&self.trainer, &self.rows)?;
        Ok((last, false))
    }

    /// Adds a row; gives its held-out loss, or none if interrupted.
    fn measure(&mut self, watch: &mut dyn Watch) -> Result<Option<f64>, Halt> {
        let train = &self.train;
        let (step, loss) = (self.trainer.steps_done(), self.trainer.last_loss());
        let evaluated = self.trainer.evaluate_unless(train.evaluate.sequences, &watch.asked());
        let Some(e) = evaluated? else { return Ok(None) };
        let cosines = match self.trainer.route() {
            Some(_) => vec![None; self.trainer.plastic().len() + 1],
            None => {
                let first = (step as u64).saturating_mul(train.batch as u64);
                self.trainer.cosines(first, train.batch.min(COMPARED))?
            }
        };
        let Evaluated { loss: held_out, standard_error, accuracy, .. } = e;
        let row = Row { step, loss, held_out, standard_error, accuracy, cosines };
        watch.measured(&self.trainer, &row)?;
        self.rows.push(row);
        Ok(Some(held_out))
    }

    /// Keeps what there is; the last measurement stands for the one at the end.
    fn interrupted(&mut self, watch: &mut dyn Watch) -> Result<(Evaluated, bool), Halt> {
        watch.keep(&self.trainer, &self.rows)?;
        let sequences = self.trainer.held_out(self.train.evaluate.sequences);
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
}

impl Course {
    /// A whole training by one route, or by the rules of the file.
    ///
    /// # Errors
    /// `C063` for rules that do not fit, `R006` when a number goes wild, and what `watch` reports; without places.
    pub fn run(
        lesson: &Lesson,
        route: Option<RouteSpec>,
        watch: &mut dyn Watch,
    ) -> Result<Self, Diagnostics> {
        let prepared = prepare(&lesson.circuit, route, lesson.train.rate)?;
        let mut going = Going::new(lesson, &prepared)?;
        let (last, interrupted) = going.train(watch).map_err(|halt| match halt {
            Halt::Stopped(stop) => stopped(&going.trainer, stop, ""),
            Halt::Failed(d) => d,
        })?;
        Ok(Self::of(going, &prepared, route, last, interrupted))
    }

    /// What is left of a training that is over.
    #[must_use]
    pub fn of(
        going: Going<'_>,
        prepared: &Prepared,
        route: Option<RouteSpec>,
        last: Evaluated,
        interrupted: bool,
    ) -> Self {
        Self {
            route,
            circuit: learned(&going.trainer),
            plastic: prepared.plastic.clone(),
            rewired: prepared.rewired.clone(),
            steps: going.trainer.steps_done(),
            rows: going.rows,
            last,
            interrupted,
        }
    }

    /// Names of the projections that learn, then `all`.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        names(&self.circuit, &self.plastic)
    }

    /// Mean over the measurements of the cosine to the gradient of all weights together; none where there is no rule.
    #[must_use]
    pub fn mean_cosine(&self) -> Option<f64> {
        let all: Vec<f64> = self.rows.iter().filter_map(|r| r.cosines.last().copied().flatten()).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / count(all.len()))
    }
}

/// The circuit with the weights that a trainer has come to.
#[must_use]
pub fn learned(trainer: &Trainer<'_>) -> Circuit {
    let mut circuit = trainer.circuit().clone();
    for (p, w) in circuit.projections.iter_mut().zip(trainer.weights()) {
        p.synapses.weights = w.clone();
    }
    circuit
}

/// Names of the projections that learn, then `all`.
#[must_use]
pub fn names<'c>(circuit: &'c Circuit, plastic: &[Plastic]) -> Vec<&'c str> {
    plastic.iter().map(|p| circuit.projections[p.k].name.as_str()).chain(["all"]).collect()
}

/// A rule that does not fit or diverges is an answer of the locality ladder, not its end.
#[must_use]
pub fn is_answer(d: &Diagnostics) -> bool {
    d.0.iter().all(|d| d.code == codes::C063 || d.code == codes::R006)
}

/// What a training says that stopped: `R006` with the step and the parameter; `kept` goes at the end of the advice.
#[must_use]
pub fn stopped(trainer: &Trainer<'_>, stop: Stop, kept: &str) -> Diagnostic {
    let circuit = trainer.circuit();
    let path_of = |name: &str| circuit.projections.iter().find(|p| p.name == name).map_or("", |p| &p.path);
    let (step, path, mut what) = match stop {
        Stop::Task { step, mut why } => {
            why.message = format!("at step {step}: {}", why.message);
            return *why;
        }
        Stop::Cells { step, wild } => {
            let p = circuit.populations.iter().find(|p| p.name == wild.population);
            let how = match wild.cause {
                Cause::DividedByZero => "divided a number by zero",
                Cause::Underflow => "is divided by rates that are too small for 64-bit numbers",
                Cause::Unsettled => "lies in a loop that does not come to rest",
                Cause::Singular => "lies in a loop whose rest has no derivative (its Jacobian is singular)",
                Cause::Infinite | Cause::NotANumber => "sent an infinite rate, or one that is no number",
            };
            (step, p.map_or("", |p| p.path.as_str()), format!("`{}` {how}", wild.population))
        }
        Stop::Loss { step } => (step, "", "the loss became infinite or no number".to_owned()),
        Stop::Weights { step, projection } => {
            (step, path_of(&projection), format!("a weight of `{projection}` became infinite or no number"))
        }
    };
    let largest = trainer.largest_weight();
    let path = if path.is_empty() { largest.map_or("", |(name, _)| path_of(name)) } else { path };
    if let Some((name, x)) = largest.filter(|(_, x)| x.is_finite()) {
        let _ = write!(what, "; the largest weight is {x:.1e}, of `{name}`");
    }
    Diagnostic::error(codes::R006, path, format!("at step {step}, {what}"))
        .help(format!("try a smaller rate (--rate), or smaller weights at the start{kept}"))
}
