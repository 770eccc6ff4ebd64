//! `pulvinar train FILE`: a circuit learns its task; the result is a run directory that the other verbs read.

mod course;
mod folder;
mod ladder;
mod page;
mod say;

use super::args::{Rule, Train};
use super::interrupt;
use super::load;
use super::report::{Failure, Outcome, Reporter};
use super::run_files::claim;
use course::{Course, Place};
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::files::{Claim, settle};
use pulvinar::spec::RouteSpec;
use pulvinar_lab::experiments::learning::{self, Lesson};
use std::path::{Path, PathBuf};

/// A circuit file with its task, ready to learn.
pub(super) struct Job {
    pub file: PathBuf,
    pub lesson: Lesson,
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
    job.lesson.train.steps = args.steps.unwrap_or(job.lesson.train.steps);
    job.lesson.train.rate = args.rate.or(job.lesson.train.rate);
    let claim = args.output.as_ref().map(|dir| claim(dir, args.force)).transpose()?;
    interrupt::listen();
    if args.rule == Some(Rule::All) {
        return ladder::run(&job, claim.as_ref(), out);
    }
    if let Some(route) = args.rule.and_then(Rule::route) {
        job.lesson.train.rule = Some(route);
    }
    let place = claim.as_ref().map(|claim| Place { claim, resume: false });
    finish(&job, job.lesson.train.rule, place, out)
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
    if dir.is_dir() {
        settle(dir)?;
    }
    if !file.is_file() {
        let what = format!("{} holds no training: there is no {}", dir.display(), file.display());
        return Err(Diagnostic::error(codes::F001, "", what)
            .help("name a run directory that `train FILE -o DIR` made; one that ended before its first checkpoint starts anew: `train FILE -o DIR --force`")
            .into());
    }
    let claim = Claim::again(dir)?;
    let mut job = job(&file, args)?;
    job.resumed = true;
    if let Some(other) = &args.file {
        let other = self::job(other, args)?;
        let same = folder::identity(&other, other.lesson.train.rule)?
            == folder::identity(&job, job.lesson.train.rule)?;
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
        let constant = job.lesson.train.schedule == pulvinar::spec::ScheduleSpec::Constant;
        if steps != job.lesson.train.steps && !constant {
            return Err(wrong(
                "--steps cannot change: the schedule of the rate depends on it",
                "only a constant schedule can go on for longer",
            ));
        }
        job.lesson.train.steps = steps;
    }
    interrupt::listen();
    finish(&job, job.lesson.train.rule, Some(Place { claim: &claim, resume: true }), out)
}

/// Reads everything and checks it.
fn job(file: &Path, args: &Train) -> Result<Job, Failure> {
    let lesson = Lesson::new(load::model(file, &args.reading)?)?;
    Ok(Job { file: file.to_owned(), lesson, resumed: false })
}

/// Trains by one route and reports.
fn finish(job: &Job, route: Option<RouteSpec>, place: Option<Place<'_>>, out: &Reporter) -> Outcome {
    let course = Course::run(job, route, place, out)?;
    let mut outcome = learning::result(&job.lesson, &course.learned.circuit);
    outcome.growing = job.lesson.model.placed(outcome.growing);
    say::report(job, &course, &outcome, out);
    Ok(if course.learned.interrupted { interrupt::code() } else { 0 })
}
