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
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::plasticity::tasks::Task;
use pulvinar::spec::{self, Document, TaskSpec, TeacherFrom, TrainSpec};
use std::path::{Path, PathBuf};

/// A circuit with its task, ready to learn.
pub struct Lesson {
    pub document: Document,
    pub circuit: Circuit,
    pub task: Task,
    pub train: TrainSpec,
    /// blocks of the teacher, if the task has one
    pub teacher: Option<Vec<Block>>,
}

/// What is wrong, and with which file.
#[derive(Debug)]
pub struct Mistakes {
    pub diagnostics: Diagnostics,
    pub of: Of,
}

/// Whose mistakes they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// of the circuit that learns; no places yet
    Circuit,
    /// of the teacher's circuit, with places in its file
    Teacher(PathBuf),
    /// of a file of weights, which the messages name
    Weights,
}

impl Lesson {
    /// Reads the task of a circuit.
    ///
    /// # Errors
    /// `U005` if it has none; a task that does not fit, a teacher that cannot be read.
    pub fn new(document: Document, circuit: Circuit) -> Result<Self, Mistakes> {
        let Some(spec) = &document.spec.reserved.task else {
            let d = Diagnostic::error(codes::U005, "", "the circuit has no task to learn")
                .help("say what it shall learn: `task: {in_context_regression: {context: 8}}`, for example");
            return Err(Mistakes { diagnostics: d.into(), of: Of::Circuit });
        };
        let (task, teacher) = task(spec, &document.folder, &circuit)?;
        let train = document.spec.reserved.train.unwrap_or_default();
        Ok(Self { document, circuit, task, train, teacher })
    }

    /// The lesson of a circuit file; `set` changes parameters, `seed` takes the place of the file's.
    ///
    /// # Errors
    /// Every mistake in the file, with its place, and as [`Lesson::new`].
    pub fn read(file: &Path, set: &[(String, String)], seed: Option<u64>) -> Result<Self, Diagnostics> {
        let mut document = spec::read_file(file, set)?;
        document.spec.seed = seed.unwrap_or(document.spec.seed);
        let placed = |document: &Document, mut d: Diagnostics| {
            document.locate(&mut d);
            d
        };
        let circuit = wire(&document.spec, &document.folder).map_err(|d| placed(&document, d))?;
        let tree = document.clone();
        Self::new(document, circuit).map_err(|m| match m.of {
            Of::Circuit => placed(&tree, m.diagnostics),
            Of::Teacher(_) | Of::Weights => m.diagnostics,
        })
    }
}

/// A task with the blocks of its teacher, if it has one; paths start at `folder`.
///
/// # Errors
/// As [`Lesson::new`].
pub fn task(
    spec: &TaskSpec,
    folder: &Path,
    circuit: &Circuit,
) -> Result<(Task, Option<Vec<Block>>), Mistakes> {
    let teacher = match spec {
        TaskSpec::Teacher(t) => Some(teacher(&t.from, folder, circuit)?),
        _ => None,
    };
    let task = Task::new(spec, circuit, folder, teacher.clone())
        .map_err(|diagnostics| Mistakes { diagnostics, of: Of::Circuit })?;
    Ok((task, teacher))
}

/// A teacher reads the positions of the circuit that learns: they must be its own.
fn same_positions(teacher: &Circuit, learner: &Circuit) -> Result<(), Diagnostic> {
    for stream in teacher.streams.iter().filter(|s| s.positions.is_some()) {
        let other = learner.streams.iter().find(|s| s.name == stream.name);
        if other.is_some_and(|s| s.positions != stream.positions) {
            let what = format!("the teacher numbers its tokens another way: its stream `{}`", stream.name);
            return Err(Diagnostic::error(codes::C060, "task.teacher.circuit", what)
                .help("give both circuits the same `positions` and `offset`"));
        }
    }
    Ok(())
}

/// The blocks of a teacher.
fn teacher(from: &TeacherFrom, folder: &Path, learner: &Circuit) -> Result<Vec<Block>, Mistakes> {
    match from {
        TeacherFrom::Heads { heads, prefix } => {
            let options = pulvinar::weights::Options { prefix: prefix.clone(), ..Default::default() };
            let loaded = pulvinar::weights::read(&folder.join(heads), &options)
                .map_err(|d| Mistakes { diagnostics: d.into(), of: Of::Weights })?;
            Ok(vec![loaded.block])
        }
        TeacherFrom::Circuit { circuit } => {
            let mut file = folder.join(circuit);
            // Of a run directory, the circuit that it holds.
            if file.join("circuit.yaml").is_file() {
                file.push("circuit.yaml");
            }
            let wrong = |diagnostics| Mistakes { diagnostics, of: Of::Teacher(file.clone()) };
            let document = spec::read_file(&file, &[]).map_err(wrong)?;
            let located = |mut d: Diagnostics| {
                document.locate(&mut d);
                wrong(d)
            };
            let circuit = wire(&document.spec, &document.folder).map_err(located)?;
            same_positions(&circuit, learner)
                .map_err(|d| Mistakes { diagnostics: d.into(), of: Of::Circuit })?;
            Ok(compile(&circuit).map_err(|d| located(d.into()))?.plain_blocks())
        }
    }
}
