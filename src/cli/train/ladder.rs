//! `--rule all`: the same circuit, task and steps under every rule: how far from the gradient, and what loss.

use super::Job;
use super::course::{Course, Place};
use super::outcome;
use super::say::{number, object};
use crate::cli::interrupt::INTERRUPTED;
use crate::cli::report::{Outcome, Reporter, diagnostics_json};
use crate::diag::{Diagnostics, codes};
use crate::files::atomic_write;
use crate::linalg::count;
use crate::spec::RouteSpec;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// One rung.
enum Rung {
    Learned(Box<Course>),
    /// the rule does not fit the circuit, or diverged
    Not(Diagnostics),
}

/// Trains by every rule; a directory gets one run directory for each, and `ladder.csv`.
pub fn run(job: &Job, dir: Option<&Path>, out: &Reporter) -> Outcome {
    let mut rungs: Vec<(RouteSpec, Rung)> = Vec::new();
    let mut interrupted = false;
    for (name, route) in RouteSpec::NAMES {
        if interrupted {
            break;
        }
        let inside = dir.map(|d| d.join(name));
        if let Some(inside) = &inside {
            crate::files::prepare_output_dir(inside, true)?;
        }
        let place = inside.as_deref().map(|dir| Place { dir, resume: false });
        let rung = match Course::run(job, Some(route), place, out) {
            Ok(course) => {
                interrupted = course.interrupted;
                Rung::Learned(Box::new(course))
            }
            Err(failure) if is_answer(&failure.diagnostics) => Rung::Not(failure.diagnostics),
            Err(failure) => return Err(failure),
        };
        if let (Rung::Not(_), Some(inside)) = (&rung, &inside) {
            // Nothing was learned there; a directory with a checkpoint of a divergence stays.
            let _ = std::fs::remove_dir(inside);
        }
        rungs.push((route, rung));
    }
    if let Some(dir) = dir {
        let text = csv(&rungs);
        atomic_write(&dir.join("ladder.csv"), |sink| sink.write_all(text.as_bytes()))?;
    }
    if out.json {
        let mut rest = Map::new();
        let mut list = Vec::new();
        for (route, rung) in &rungs {
            let mut one = Map::new();
            one.insert("rule".to_owned(), json!(route.name()));
            match rung {
                Rung::Learned(course) => {
                    one.append(&mut object(course, &outcome::of(job, course)?));
                    one.insert("mean_cosine".to_owned(), json!(mean_cosine(course)));
                }
                Rung::Not(why) => {
                    one.insert("diagnostics".to_owned(), diagnostics_json(why, Some(&job.file)));
                }
            }
            list.push(Value::Object(one));
        }
        rest.insert("steps".to_owned(), json!(job.train.steps));
        rest.insert("rules".to_owned(), Value::Array(list));
        out.object("train", !interrupted, rest);
    } else {
        out.result(&text(job, &rungs));
        if let Some(dir) = dir {
            out.result(&format!("wrote {}: ladder.csv and a run directory for each rule\n", dir.display()));
        }
    }
    Ok(if interrupted { INTERRUPTED } else { 0 })
}

/// A rule that does not fit or diverges is an answer of the ladder, not its end.
fn is_answer(d: &Diagnostics) -> bool {
    d.0.iter().all(|d| d.code == codes::C063 || d.code == codes::R006)
}

/// Mean over the evaluations of the cosine of all weights together.
fn mean_cosine(course: &Course) -> Option<f64> {
    let all: Vec<f64> = course.rows.iter().filter_map(|r| r.cosines.last().copied().flatten()).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / count(all.len()))
}

fn text(job: &Job, rungs: &[(RouteSpec, Rung)]) -> String {
    let mut t = format!(
        "{}: {} steps of {} sequences under every rule\n\n{:<19} {:>12} {:>12} {:>8} {:>8} {:>8}\n",
        job.document.spec.name,
        job.train.steps,
        job.train.batch,
        "rule",
        "held-out",
        "+-",
        "first",
        "mean",
        "last"
    );
    let cosine = |c: Option<f64>| c.map_or("-".to_owned(), |c| format!("{c:.4}"));
    for (route, rung) in rungs {
        match rung {
            Rung::Learned(course) => {
                let at = |row: Option<&crate::plasticity::metrics::Row>| {
                    cosine(row.and_then(|r| r.cosines.last().copied().flatten()))
                };
                let _ = writeln!(
                    t,
                    "{:<19} {:>12} {:>12} {:>8} {:>8} {:>8}",
                    route.name(),
                    number(course.last.loss),
                    number(course.last.standard_error),
                    at(course.rows.first()),
                    cosine(mean_cosine(course)),
                    at(course.rows.last()),
                );
            }
            Rung::Not(why) => {
                let what = why.0.first().map_or("", |d| d.message.as_str());
                let _ = writeln!(t, "{:<19} {what}", route.name());
            }
        }
    }
    t.push_str(
        "\nfirst, mean, last: cosine to the exact gradient, all weights together, over the training\n",
    );
    t
}

fn csv(rungs: &[(RouteSpec, Rung)]) -> String {
    let mut t = "rule,step,loss,held_out_loss,standard_error,parameter,cosine\n".to_owned();
    for (route, rung) in rungs {
        let Rung::Learned(course) = rung else { continue };
        for row in &course.rows {
            for (name, c) in course.names().iter().zip(&row.cosines) {
                let or_empty = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
                let _ = writeln!(
                    t,
                    "{},{},{},{},{},{name},{}",
                    route.name(),
                    row.step,
                    or_empty(row.loss),
                    row.held_out,
                    row.standard_error,
                    or_empty(*c)
                );
            }
        }
    }
    t
}
