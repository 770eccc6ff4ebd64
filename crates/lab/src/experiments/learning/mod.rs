//! A circuit that learns its task: one training, measured on the way, and what came of it.
//!
//! 1. [`Lesson`] is a circuit with its task, its teacher and its settings.
//! 2. [`Going`] makes the steps and measures; a [`Watch`] sees it, may end it and may keep what there is.
//! 3. [`Course`] is a training that is over; [`is_answer`] tells a rule that does not fit from a failure.
//! 4. [`result()`] puts the learned heads beside their teacher and beside the best heads there are.
//!
//! **Deliberately absent:** directories, checkpoints, terminals.

mod course;
mod outcome;

pub use course::{Course, Going, Halt, Unwatched, Watch, is_answer, learned, names, stopped};
pub use outcome::{Floor, Outcome, result};

use pulvinar::attention::Block;
use pulvinar::circuit::Circuit;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::model::{Model, Parameters};
use pulvinar::plasticity::tasks::Task;
use pulvinar::spec::TrainSpec;
use std::path::Path;
use std::sync::Arc;

/// A circuit with its task, ready to learn.
pub struct Lesson {
    pub model: Model,
    pub circuit: Arc<Circuit>,
    pub task: Task,
    pub train: TrainSpec,
    /// blocks of the teacher, if the task has one
    pub teacher: Option<Vec<Block>>,
}

impl Lesson {
    /// Reads the task of a circuit.
    ///
    /// # Errors
    /// `U005` if it has none; mistakes in the circuit, a task that does not fit, a teacher that cannot be read.
    pub fn new(model: Model) -> Result<Self, Diagnostics> {
        let circuit = model.circuit()?;
        let Some((task, teacher)) = model.task()? else {
            let d = Diagnostic::error(codes::U005, "", "the circuit has no task to learn")
                .help("say what it shall learn: `task: {in_context_regression: {context: 8}}`, for example");
            return Err(model.placed(d));
        };
        let train = model.spec().reserved.train.unwrap_or_default();
        Ok(Self { model, circuit, task, train, teacher })
    }

    /// The lesson of a circuit file; `set` changes parameters, `seed` takes the place of the file's.
    ///
    /// # Errors
    /// Every mistake in the file, with its place, and as [`Lesson::new`].
    pub fn read(file: &Path, set: &[(String, String)], seed: Option<u64>) -> Result<Self, Diagnostics> {
        Self::new(Model::open(file, &Parameters { set: set.to_vec(), seed })?)
    }
}
