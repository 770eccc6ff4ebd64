//! What a run of spikes says: a table of trials, their means, JSON, rows of `metrics.csv`.

use pulvinar::circuit::SpikeCircuit;
use pulvinar::simulate::spiking::{Mean, Plan, Runs, Scored, Summary};
use pulvinar_lab::report::{Body, Section};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Longer runs show their means only; `metrics.csv` has every trial.
const SHOWN: usize = 20;

/// What the means are of, by the names of [`Summary`].
const MEANINGS: [(&str, &str); 11] = [
    ("queries", "query spikes"),
    ("matched", "g of the matched axon / theta"),
    ("best_other", "largest g of another axon / theta"),
    ("matched_above_others", "matched axon above all others"),
    ("matched_above_theta", "matched axon above theta"),
    ("other_above_theta", "another axon above theta"),
    ("matched_in_control", "matched axon in control of the soma"),
    ("success", "success: its key spikes followed within 20 ms"),
    ("spurious", "spurious: somatic spikes not so, silent trials as 0"),
    ("spurious_if_any", "spurious among trials that were not silent"),
    ("silent", "silent trials: no somatic spike in the control phase"),
];

/// The report for people.
pub fn text(circuit: &SpikeCircuit, plan: &Plan, runs: &Runs) -> String {
    let mut text = head(circuit, plan);
    if runs.scores.len() <= SHOWN {
        table(&mut text, plan, runs);
    }
    let _ = writeln!(text, "\n{:<56} {:>8}  {:>8} {:>6}", "mean over trials", "mean", "+-", "trials");
    for (name, mean) in &Summary::of(&runs.scores).0 {
        let meaning = MEANINGS.iter().find(|(n, _)| n == name).map_or(*name, |(_, m)| *m);
        let error = mean.standard_error.map_or_else(|| "-".to_owned(), |e| format!("{e:.3}"));
        let _ = writeln!(text, "{meaning:<56} {:>8.3}  {error:>8} {:>6}", mean.mean, mean.trials);
    }
    text
}

fn head(circuit: &SpikeCircuit, plan: &Plan) -> String {
    let window = |(from, to): (f64, f64)| format!("{from} to {to} ms");
    let control = plan.phases.control_ms.map_or_else(String::new, |w| format!(", control {}", window(w)));
    let how = match &plan.event {
        Some(event) => format!("closed form, noise {}", event.noise),
        None => format!("{} compartments, dt {} ms", plan.neuron.nodes.len(), plan.settings.dt_ms),
    };
    format!(
        "{}: {} axons of {} spines, {how} (seed {})\nmatch {}{control}; theta {:e} mM^4 ms; {} trial{}\n",
        circuit.name,
        plan.neuron.axons,
        circuit.spines_per_axon(),
        plan.seed,
        window(plan.phases.match_ms),
        plan.theta,
        plan.trials,
        if plan.trials == 1 { "" } else { "s" },
    )
}

fn table(text: &mut String, plan: &Plan, runs: &Runs) {
    let control = plan.phases.control_ms.is_some();
    let _ = write!(text, "\n{:>5} {:>5} {:>7} {:>7} {:>13}", "trial", "axon", "queries", "g", "best other");
    if control {
        let _ = write!(text, " {:>10} {:>8} {:>8}", "in control", "success", "spurious");
    }
    text.push('\n');
    let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
    let axon = |a: Option<usize>| a.map_or_else(|| "-".to_owned(), |a| a.to_string());
    for s in &runs.scores {
        let best = format!("{:.3} ({})", s.best_other, s.best);
        let _ = write!(
            text,
            "{:>5} {:>5} {:>7} {:>7} {best:>13}",
            s.trial,
            axon(s.axon),
            s.queries,
            number(s.matched)
        );
        if control {
            let success = s.control.and_then(|c| c.success());
            let spurious = number(s.spurious_if_any());
            let _ = write!(text, " {:>10} {:>8} {spurious:>8}", axon(s.controller), number(success));
        }
        text.push('\n');
    }
}

/// The means as a part of the page about a run.
pub fn section(circuit: &SpikeCircuit, plan: &Plan, runs: &Runs) -> Section {
    let words = head(circuit, plan).lines().map(str::to_owned).collect();
    let row = |(name, mean): &(&'static str, Mean)| {
        let meaning = MEANINGS.iter().find(|(n, _)| n == name).map_or(*name, |(_, m)| *m);
        let error = mean.standard_error.map_or_else(|| "-".to_owned(), |e| format!("{e:.3}"));
        vec![meaning.to_owned(), format!("{:.3}", mean.mean), error, mean.trials.to_string()]
    };
    let head = ["mean over trials", "mean", "standard error", "trials"].map(str::to_owned).to_vec();
    let rows = Summary::of(&runs.scores).0.iter().map(row).collect();
    Section { heading: "Match and control".to_owned(), words, body: vec![Body::Table { head, rows }] }
}

/// The keys of the JSON object.
pub fn object(circuit: &SpikeCircuit, plan: &Plan, runs: &Runs) -> Map<String, Value> {
    let mean = |m: &Mean| json!({"mean": m.mean, "standard_error": m.standard_error, "trials": m.trials});
    let summary: Map<String, Value> =
        Summary::of(&runs.scores).0.iter().map(|(n, m)| ((*n).to_owned(), mean(m))).collect();
    let all = json!({
        "circuit": circuit.name,
        "fidelity": if plan.event.is_some() { "event" } else { "cable" },
        "axons": plan.neuron.axons,
        "compartments": plan.neuron.nodes.len(),
        "dt_ms": plan.settings.dt_ms,
        "duration_ms": plan.settings.duration_ms,
        "match_ms": [plan.phases.match_ms.0, plan.phases.match_ms.1],
        "control_ms": plan.phases.control_ms.map(|(from, to)| [from, to]),
        "theta": plan.theta,
        "trials": runs.scores.iter().map(trial).collect::<Vec<_>>(),
        "summary": summary,
    });
    match all {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn trial(s: &Scored) -> Value {
    json!({
        "trial": s.trial,
        "axon": s.axon,
        "queries": s.queries,
        "matched": s.matched,
        "best_other": s.best_other,
        "best_other_axon": s.best,
        "somatic_spikes": s.spikes,
        "control_spikes": s.control_spikes,
        "keys": s.control.map(|c| c.keys),
        "followed": s.control.map(|c| c.followed),
        "stray": s.control.map(|c| c.stray),
        "in_control": s.controller,
        "success": s.control.and_then(|c| c.success()),
        "spurious": s.control.map(|c| c.spurious()),
        "spurious_if_any": s.spurious_if_any(),
    })
}

/// `metrics.csv`: header and one row for each trial; what does not apply is NaN.
pub fn rows(runs: &Runs) -> (Vec<String>, Vec<Vec<f64>>) {
    let all: Vec<Value> = runs.scores.iter().map(trial).collect();
    let header: Vec<String> =
        all.first().and_then(Value::as_object).map_or_else(Vec::new, |first| first.keys().cloned().collect());
    let row = |v: &Value| header.iter().map(|k| v[k.as_str()].as_f64().unwrap_or(f64::NAN)).collect();
    let table = all.iter().map(row).collect();
    (header, table)
}
