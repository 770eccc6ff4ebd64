//! `--rule all`: the same circuit, task and steps under every rule: how far from the gradient, and what loss.

use super::Job;
use super::course::{Course, Place};
use super::say::{number, object};
use crate::interrupt;
use crate::report::{Outcome, Reporter, diagnostics_json};
use crate::run_files::{self, close, earlier};
use pulvinar::diag::Diagnostics;
use pulvinar::files::{Claim, MANIFEST, atomic_write};
use pulvinar::spec::RouteSpec;
use pulvinar_lab::experiments::learning::{is_answer, result};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

/// The table of all rungs.
const LADDER: &str = "ladder.csv";

/// One rung.
enum Rung {
    Learned(Box<Course>),
    /// the rule does not fit the circuit, or diverged
    Not(Diagnostics),
}

/// Trains by every rule; a directory gets one run directory for each, and `ladder.csv`.
pub fn run(job: &Job, claim: Option<&Claim>, out: &Reporter) -> Outcome {
    let dir = claim.map(Claim::folder);
    if let Some(claim) = claim {
        // From here on nothing vouches for what an earlier ladder left.
        close(claim.begin()?, about(job, false), Vec::new(), &earlier(claim.folder()))?;
    }
    let mut rungs: Vec<(RouteSpec, Rung)> = Vec::new();
    let mut interrupted = false;
    for (name, route) in RouteSpec::NAMES {
        if interrupted {
            break;
        }
        let inside = dir.map(|d| run_files::claim(&d.join(name), true)).transpose()?;
        if let Some(inside) = &inside {
            inside.begin()?.commit(None, &earlier(inside.folder()))?;
        }
        let place = inside.as_ref().map(|claim| Place { claim, resume: false });
        let rung = match Course::run(job, Some(route), place, out) {
            Ok(course) => {
                interrupted = course.learned.interrupted;
                Rung::Learned(Box::new(course))
            }
            Err(failure) if is_answer(&failure.diagnostics) => Rung::Not(failure.diagnostics),
            Err(failure) => return Err(failure),
        };
        let left = inside.map(|claim| claim.folder().to_owned());
        if let (Rung::Not(_), Some(inside)) = (&rung, &left) {
            // Nothing was learned there; a directory with a checkpoint of a divergence stays.
            let _ = std::fs::remove_dir(inside);
        }
        rungs.push((route, rung));
    }
    if let Some(claim) = claim {
        let (stage, text) = (claim.begin()?, csv(&rungs));
        atomic_write(&stage.path(LADDER), |sink| sink.write_all(text.as_bytes()))?;
        let mut files = vec![LADDER.to_owned()];
        let parts = rungs.iter().map(|(route, _)| format!("{}/{MANIFEST}", route.name()));
        files.extend(parts.filter(|name| claim.folder().join(name).is_file()));
        close(stage, about(job, !interrupted), files, &[])?;
    }
    if out.json {
        let mut rest = Map::new();
        let mut list = Vec::new();
        for (route, rung) in &rungs {
            let mut one = Map::new();
            one.insert("rule".to_owned(), json!(route.name()));
            match rung {
                Rung::Learned(course) => {
                    one.append(&mut object(course, &result(&job.lesson, &course.learned.circuit)));
                    one.insert("mean_cosine".to_owned(), json!(course.learned.mean_cosine()));
                }
                Rung::Not(why) => {
                    one.insert("diagnostics".to_owned(), diagnostics_json(why));
                }
            }
            list.push(Value::Object(one));
        }
        rest.insert("steps".to_owned(), json!(job.lesson.train.steps));
        rest.insert("rules".to_owned(), Value::Array(list));
        out.object("train", !interrupted, rest);
    } else {
        out.result(&text(job, &rungs));
        if let Some(dir) = dir {
            out.result(&format!("wrote {}: ladder.csv and a run directory for each rule\n", dir.display()));
        }
    }
    Ok(if interrupted { interrupt::code() } else { 0 })
}

/// What the manifest over all rungs says.
fn about(job: &Job, ended: bool) -> Map<String, Value> {
    let spec = &job.lesson.model.spec();
    let mut about = Map::new();
    let mut put = |key: &str, value: Value| about.insert(key.to_owned(), value);
    put("pulvinar", json!(env!("CARGO_PKG_VERSION")));
    put("verb", json!("train"));
    put("rule", json!("all"));
    put("circuit", json!(spec.name));
    put("parameters", json!(spec.parameters));
    put("seed", json!(spec.seed));
    put("threads", json!(rayon::current_num_threads()));
    put("steps", json!(job.lesson.train.steps));
    put("ended", json!(ended));
    about
}

fn text(job: &Job, rungs: &[(RouteSpec, Rung)]) -> String {
    let mut t = format!(
        "{}: {} steps of {} sequences under every rule\n\n{:<19} {:>12} {:>12} {:>8} {:>8} {:>8}\n",
        job.lesson.model.spec().name,
        job.lesson.train.steps,
        job.lesson.train.batch,
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
                let at = |row: Option<&pulvinar::plasticity::metrics::Row>| {
                    cosine(row.and_then(|r| r.cosines.last().copied().flatten()))
                };
                let _ = writeln!(
                    t,
                    "{:<19} {:>12} {:>12} {:>8} {:>8} {:>8}",
                    route.name(),
                    number(course.learned.last.loss),
                    number(course.learned.last.standard_error),
                    at(course.learned.rows.first()),
                    cosine(course.learned.mean_cosine()),
                    at(course.learned.rows.last()),
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
        for row in &course.learned.rows {
            for (name, c) in course.learned.names().iter().zip(&row.cosines) {
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
