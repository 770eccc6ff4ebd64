//! `pulvinar train FILE`: a circuit learns its task; the result is a run directory that the other verbs read.

mod course;
mod folder;
mod ladder;
mod outcome;
mod say;

use super::args::{Rule, Train};
use super::interrupt::{self, INTERRUPTED};
use super::load;
use super::report::{Failure, Outcome, Reporter};
use crate::attention::Block;
use crate::circuit::Circuit;
use crate::diag::{Diagnostic, codes};
use crate::files::prepare_output_dir;
use crate::plasticity::tasks::Task;
use crate::spec::{Document, RouteSpec, TaskSpec, TeacherFrom, TrainSpec};
use course::{Course, Place};
use std::path::{Path, PathBuf};

/// A circuit with its task, ready to learn.
pub(super) struct Job {
    pub file: PathBuf,
    pub document: Document,
    pub circuit: Circuit,
    pub task: Task,
    pub train: TrainSpec,
    /// blocks of the teacher, if the task has one
    pub teacher: Option<Vec<Block>>,
    /// it was read from the directory in which it goes on
    pub resumed: bool,
}

pub fn run(args: &Train, out: &Reporter) -> Outcome {
    if let Some(dir) = &args.resume {
        return resume(args, dir, out);
    }
    let Some(file) = &args.file else {
        return Err(Diagnostic::error(codes::U005, "", "no circuit to train")
            .help("name a circuit file")
            .into());
    };
    let mut job = job(file, args)?;
    job.train.steps = args.steps.unwrap_or(job.train.steps);
    job.train.rate = args.rate.or(job.train.rate);
    if let Some(dir) = &args.output {
        prepare_output_dir(dir, args.force)?;
    }
    interrupt::listen();
    if args.rule == Some(Rule::All) {
        return ladder::run(&job, args.output.as_deref(), out);
    }
    if let Some(route) = args.rule.and_then(Rule::route) {
        job.train.rule = Some(route);
    }
    let place = args.output.as_deref().map(|dir| Place { dir, resume: false });
    finish(&job, job.train.rule, place, out)
}

/// Goes on with what a directory holds.
fn resume(args: &Train, dir: &Path, out: &Reporter) -> Outcome {
    let file = dir.join("circuit.yaml");
    let wrong = |what: &str, help: &str| Failure::from(Diagnostic::error(codes::U005, "", what).help(help));
    if args.rule.is_some()
        || args.rate.is_some()
        || !args.reading.set.is_empty()
        || args.reading.seed.is_some()
    {
        return Err(wrong(
            "a training goes on with its own rules, rates, parameters and seed",
            "of the settings only --steps may change; start a new training for others",
        ));
    }
    if !file.is_file() {
        let what = format!("{} holds no training: there is no {}", dir.display(), file.display());
        return Err(Diagnostic::error(codes::F001, "", what)
            .help("name a run directory that `train FILE -o DIR` made; one that ended before its first checkpoint starts anew: `train FILE -o DIR --force`")
            .into());
    }
    let mut job = job(&file, args)?;
    job.resumed = true;
    if let Some(other) = &args.file {
        let other = self::job(other, args)?;
        let same = folder::identity(&other, other.train.rule)? == folder::identity(&job, job.train.rule)?;
        if !same {
            return Err(Diagnostic::error(
                codes::F017,
                "",
                format!("{} is not the circuit that the training in {} was started from", other.file.display(), dir.display()),
            )
            .help("leave the file out: `train --resume DIR` takes the circuit and the settings from the directory")
            .into());
        }
    }
    if let Some(steps) = args.steps {
        let constant = job.train.schedule == crate::spec::ScheduleSpec::Constant;
        if steps != job.train.steps && !constant {
            return Err(wrong(
                "--steps cannot change: the schedule of the rate depends on it",
                "only a constant schedule can go on for longer",
            ));
        }
        job.train.steps = steps;
    }
    interrupt::listen();
    finish(&job, job.train.rule, Some(Place { dir, resume: true }), out)
}

/// Reads everything and checks it.
fn job(file: &Path, args: &Train) -> Result<Job, Failure> {
    let document = load::document(file, &args.reading)?;
    let circuit = load::circuit(&document, file)?;
    let Some(spec) = &document.spec.reserved.task else {
        let d = Diagnostic::error(codes::U005, "", "the circuit has no task to learn")
            .help("say what it shall learn: `task: {in_context_regression: {context: 8}}`, for example");
        return Err(Failure::in_file(d, file));
    };
    let (task, teacher) = task(spec, &document, &circuit, file)?;
    let train = document.spec.reserved.train.unwrap_or_default();
    Ok(Job { file: file.to_owned(), document, circuit, task, train, teacher, resumed: false })
}

/// A task with the blocks of its teacher, if it has one.
pub(super) fn task(
    spec: &TaskSpec,
    document: &Document,
    circuit: &Circuit,
    file: &Path,
) -> Result<(Task, Option<Vec<Block>>), Failure> {
    let teacher = match spec {
        TaskSpec::Teacher(t) => Some(teacher(&t.from, &document.folder)?),
        _ => None,
    };
    let task = Task::new(spec, circuit, &document.folder, teacher.clone())
        .map_err(|d| load::placed(document, file, d))?;
    Ok((task, teacher))
}

/// The blocks of a teacher.
fn teacher(from: &TeacherFrom, folder: &Path) -> Result<Vec<Block>, Failure> {
    match from {
        TeacherFrom::Heads { heads, prefix } => {
            let options = crate::weights::Options { prefix: prefix.clone(), ..Default::default() };
            Ok(vec![crate::weights::read(&folder.join(heads), &options)?.block])
        }
        TeacherFrom::Circuit { circuit } => {
            let file = folder.join(circuit);
            let document = load::document(&file, &super::args::Reading::default())?;
            let circuit = load::circuit(&document, &file)?;
            Ok(load::compiled(&document, &circuit, &file)?.plain_blocks())
        }
    }
}

/// Trains by one route and reports.
fn finish(job: &Job, route: Option<RouteSpec>, place: Option<Place<'_>>, out: &Reporter) -> Outcome {
    let course = Course::run(job, route, place, out)?;
    let outcome = outcome::of(job, &course)?;
    say::report(job, &course, &outcome, out);
    Ok(if course.interrupted { INTERRUPTED } else { 0 })
}
