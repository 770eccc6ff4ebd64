//! The report of a training, for people and for programs.

use super::Job;
use super::course::Course;
use crate::report::{Reporter, diagnostics_json};
use pulvinar::plasticity::metrics::Row;
use pulvinar::spec::{OptimiserSpec, RouteSpec, ScheduleSpec, UpdateSpec};
use pulvinar_lab::experiments::learning::Outcome;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Evaluations that are printed, at most.
const LINES: usize = 12;

pub fn report(job: &Job, course: &Course, outcome: &Outcome, out: &Reporter) {
    if out.json {
        let mut rest = object(course, outcome);
        if !outcome.growing.0.is_empty() {
            rest.insert("diagnostics".to_owned(), diagnostics_json(&outcome.growing));
        }
        out.object("train", !course.learned.interrupted, rest);
    } else {
        out.result(&text(job, course, outcome));
        out.draw(&outcome.growing);
    }
}

/// The keys of one training.
pub fn object(course: &Course, outcome: &Outcome) -> Map<String, Value> {
    let last = course.learned.rows.last();
    let mut cosine = Map::new();
    for (name, c) in course.learned.names().iter().zip(last.map_or(&[][..], |r| &r.cosines)) {
        cosine.insert((*name).to_owned(), json!(c));
    }
    let mut rest = Map::new();
    let mut put = |key: &str, value: Value| rest.insert(key.to_owned(), value);
    put("loss", json!(course.learned.last.loss));
    put("standard_error", json!(course.learned.last.standard_error));
    put("held_out_sequences", json!(course.learned.last.sequences));
    put("accuracy", json!(course.learned.last.accuracy));
    put("training_loss", json!(last.and_then(|r| r.loss)));
    put("steps", json!(course.learned.steps));
    put("rule", json!(rule(course)));
    put("cosine", Value::Object(cosine));
    put("checkpoint", json!(course.checkpoint.as_ref().map(|p| p.display().to_string())));
    put("interrupted", json!(course.learned.interrupted));
    put("rewired", json!(course.learned.rewired));
    if let Some((distance, method)) = outcome.teacher {
        put("teacher", json!({"relative_distance": distance, "method": method}));
    }
    if let Some(floor) = &outcome.floor {
        put(
            "squared_error",
            json!({
                "measured": 2.0 * course.learned.last.loss,
                "standard_error": 2.0 * course.learned.last.standard_error,
                "optimum": floor.optimum,
                "closed_form": floor.learned,
            }),
        );
    }
    put("files", json!(course.files));
    rest
}

/// The one rule, or `mixed`.
pub fn rule(course: &Course) -> &'static str {
    if let Some(route) = course.learned.route {
        return route.name();
    }
    let mut names = course.learned.plastic.iter().map(|p| p.spec.rule.name());
    let first = names.next().unwrap_or("none");
    if names.all(|n| n == first) { first } else { "mixed" }
}

fn text(job: &Job, course: &Course, outcome: &Outcome) -> String {
    let mut t = String::new();
    let names = course.learned.names();
    let train = &job.lesson.train;
    let (learn, gradient) = (names.len() - 1, course.learned.route == Some(RouteSpec::Gradient));
    let _ = writeln!(
        t,
        "{}: {learn} {} by {}{}",
        job.lesson.model.spec().name,
        if learn == 1 { "projection learns" } else { "projections learn" },
        rule(course),
        if gradient { " (exact)" } else { "" },
    );
    let _ = writeln!(
        t,
        "{} {} of {} {}, {}, rate {}{}{}",
        course.learned.steps,
        plural(course.learned.steps, "step"),
        train.batch,
        plural(train.batch, "sequence"),
        optimiser(train.optimiser),
        rates(course),
        match train.schedule {
            ScheduleSpec::Constant => "",
            ScheduleSpec::Cosine => ", cosine schedule",
            ScheduleSpec::Linear => ", linear schedule",
        },
        if train.update == UpdateSpec::Token { ", updates at every token" } else { "" },
    );
    if !course.learned.rewired.is_empty() {
        let _ = writeln!(t, "feedback with random weights of its own: {}", course.learned.rewired.join(", "));
    }
    t.push('\n');
    table(&mut t, course, &names, gradient);
    let e = &course.learned.last;
    if course.learned.interrupted {
        let _ = write!(t, "\ninterrupted after step {}", course.learned.steps);
        let _ = match &course.checkpoint {
            Some(c) => {
                writeln!(t, "; `pulvinar train --resume {}` goes on", c.parent().unwrap_or(c).display())
            }
            None => writeln!(t, "; nothing is kept without -o DIR"),
        };
    }
    let _ = write!(
        t,
        "\nheld-out loss {} +- {} ({} {})",
        number(e.loss),
        short(e.standard_error),
        e.sequences,
        plural(e.sequences, "sequence")
    );
    if let Some(accuracy) = e.accuracy {
        let _ = write!(t, ", accuracy {:.2} %", 100.0 * accuracy);
    }
    t.push('\n');
    if let Some(floor) = &outcome.floor {
        let measured = 2.0 * e.loss;
        let _ = writeln!(
            t,
            "squared error {} +- {}; the best linear head reaches {} ({})",
            number(measured),
            short(2.0 * e.standard_error),
            number(floor.optimum),
            beside(measured, floor.optimum),
        );
        if let Some(learned) = floor.learned {
            let _ = writeln!(
                t,
                "expected of the learned heads, in closed form: {} ({})",
                number(learned),
                beside(learned, floor.optimum)
            );
        }
    }
    if let Some((distance, method)) = outcome.teacher {
        let _ = writeln!(t, "distance from the teacher: {distance:.1e} ({method})");
    }
    if let Some(why) = &outcome.why_not {
        let _ = writeln!(t, "not compared: {why}");
    }
    if let Some(dir) = course.checkpoint.as_ref().and_then(|c| c.parent()) {
        let _ = writeln!(t, "wrote {}: {}", dir.display(), course.files.join(", "));
    }
    t
}

fn table(t: &mut String, course: &Course, names: &[&str], gradient: bool) {
    let cosines = !gradient && course.learned.rows.iter().any(|r| r.cosines.iter().any(Option::is_some));
    let _ = write!(t, "{:>8} {:>12} {:>12}", "step", "loss", "held-out");
    let accuracy = course.learned.rows.iter().any(|r| r.accuracy.is_some());
    if accuracy {
        let _ = write!(t, " {:>9}", "accuracy");
    }
    if cosines {
        t.push_str("  cosine");
        for name in names {
            let _ = write!(t, " {:>w$}", name, w = name.len().max(6));
        }
    }
    t.push('\n');
    for row in shown(&course.learned.rows) {
        let loss = row.loss.map_or("-".to_owned(), number);
        let _ = write!(t, "{:>8} {:>12} {:>12}", row.step, loss, number(row.held_out));
        if accuracy {
            let _ =
                write!(t, " {:>9}", row.accuracy.map_or("-".to_owned(), |a| format!("{:.2} %", 100.0 * a)));
        }
        if cosines {
            t.push_str("        ");
            for (name, c) in names.iter().zip(&row.cosines) {
                let c = c.map_or("-".to_owned(), |c| format!("{c:.3}"));
                let _ = write!(t, " {c:>w$}", w = name.len().max(6));
            }
        }
        t.push('\n');
    }
}

/// First, last and some between.
pub fn shown(rows: &[Row]) -> Vec<&Row> {
    if rows.len() <= LINES {
        return rows.iter().collect();
    }
    (0..LINES).map(|k| &rows[k * (rows.len() - 1) / (LINES - 1)]).collect()
}

fn rates(course: &Course) -> String {
    let mut rates: Vec<f64> = course.learned.plastic.iter().map(|p| p.spec.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates.iter().map(f64::to_string).collect::<Vec<_>>().join(" / ")
}

fn optimiser(o: OptimiserSpec) -> String {
    match o {
        OptimiserSpec::Plain => "plain steps".to_owned(),
        OptimiserSpec::Momentum { beta } => format!("momentum {beta}"),
        OptimiserSpec::Adam { .. } => "Adam".to_owned(),
    }
}

pub fn plural(n: usize, what: &str) -> String {
    if n == 1 { what.to_owned() } else { format!("{what}s") }
}

/// How far above the best: in per cent, or in multiples where that says more.
fn beside(x: f64, best: f64) -> String {
    let ratio = x / best;
    if ratio < 10.0 { format!("{:+.2} %", 100.0 * (ratio - 1.0)) } else { format!("{ratio:.3e} times that") }
}

/// Six decimals, or five significant digits where these would say little.
pub fn number(x: f64) -> String {
    if x != 0.0 && !(1e-3..1e6).contains(&x.abs()) { format!("{x:.4e}") } else { format!("{x:.6}") }
}

fn short(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e6).contains(&x.abs()) { format!("{x:.0e}") } else { format!("{x:.5}") }
}
