//! All protocols in one report, beside the published numbers.
//!
//! A number is judged by the tolerance that a reduced neuron can be asked to keep, and beyond that by its own standard
//! error, so that short runs are not taken for wrong ones.

use super::attention::{self, Score, Target};
use super::control::{self, Outcomes};
use super::lab::{Fidelity, Lab, Plan, Sizes};
use super::published::{self, RATES};
use super::stats::Estimate;
use super::{kernel, matching, potentiation, spine};
use crate::experiments::report::{Cell, Digits, Report, Table};
use crate::experiments::setup::Setup;
use pulvinar::diag::Diagnostics;

/// Allowed differences to the published numbers: area under the ROC curve, success and spurious rates.
const AUC: f64 = 0.02;
const RATE: f64 = 0.04;
/// Root mean square distance of the calcium curve, as a part of its peak.
const OFF_BY: f64 = 0.05;
const SLOPE: f64 = 0.04;
const BEST_MS: f64 = 1.0;
/// Explained variance of the linear kernel: distance to that of the new fit to the published runs.
const EXPLAINED: f64 = 0.04;
/// The event tier explains at least so much.
const EVENT: f64 = 0.83;
const SHORT: Digits = Digits::Short;

/// Runs everything on the circuit of a file; a file with `fidelity: event` gets match phases only.
pub(in crate::experiments) fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let sizes = setup.trials.map_or_else(Sizes::quick, Sizes::of);
    let lab = Lab::new(Plan::of(&document, sizes)?, setup.progress)?;
    report(&lab, &document.spec.name)
}

/// Runs everything.
///
/// # Errors
/// `U006`: parameters that make no neuron or no run.
pub fn report(lab: &Lab<'_>, circuit: &str) -> Result<Report, Diagnostics> {
    let mut report = Report { seed: lab.seed, circuit: circuit.to_owned(), ..Report::default() };
    delays(lab, &mut report);
    if lab.is_cable {
        offsets(lab, &mut report)?;
        linear(lab, &mut report)?;
    }
    matches(lab, &mut report)?;
    if lab.is_cable {
        gains(lab, &mut report)?;
        controls(lab, &mut report)?;
    }
    races(lab, &mut report)?;
    Ok(report)
}

fn fidelities(lab: &Lab<'_>) -> &'static [Fidelity] {
    if lab.is_cable { &[Fidelity::Cable, Fidelity::Event] } else { &[Fidelity::Event] }
}

/// Judges a number by a tolerance and its error; the cells are the number, its error and what was published.
fn judge(report: &mut Report, what: String, got: Estimate, want: f64, tolerance: f64) -> [Cell; 3] {
    let [measured, se, law, _] = report.judge(what, got.value, got.se, tolerance / want.abs(), Some(want));
    [measured, se, law]
}

fn delays(lab: &Lab<'_>, report: &mut Report) {
    let found = spine::delays(lab);
    let (slope, at_zero) = published::DELAY;
    let columns = [("what", SHORT), ("measured", SHORT), ("published", SHORT)];
    let mut table =
        Table::new("delays", "Delay of the somatic spike in the spines, and the line through it", &columns);
    let mut row = |what: &str, got: f64, want: f64| {
        table.rows.push(vec![Cell::Text(what.to_owned()), Cell::Number(got), Cell::Number(want)]);
    };
    row("slope (ms/um)", found.slope_ms_um, slope);
    row("at 0 um (ms)", found.at_zero_ms, at_zero);
    row("correlation", found.correlation, 0.998);
    report.judge_exact("slope of the delay".to_owned(), found.slope_ms_um, slope, SLOPE * slope);
    report.tables.push(table);
    let columns = [("axon", SHORT), ("branch", SHORT), ("distance_um", SHORT), ("delay_ms", SHORT)];
    let mut table = Table::new("delay_by_axon", "Delay by axon", &columns);
    table.hidden = true;
    for (axon, ms) in found.delays_ms.iter().enumerate() {
        let (branch, um) = (found.branches[axon], found.distances_um[axon]);
        table.rows.push(vec![Cell::Count(axon), Cell::Count(branch), Cell::Number(um), Cell::Number(*ms)]);
    }
    report.tables.push(table);
}

fn offsets(lab: &Lab<'_>, report: &mut Report) -> Result<(), Diagnostics> {
    let curve = spine::offsets(lab)?;
    let columns = [
        ("offset_ms", SHORT),
        ("integral", SHORT),
        ("se", SHORT),
        ("sd", SHORT),
        ("published", SHORT),
        ("event", SHORT),
    ];
    let title =
        "Calcium integral (thresholds of 1 s) of two pairings against the offset of the spike in the spine";
    let mut table = Table::new("offsets", title, &columns);
    for at in &curve {
        let known = published::OFFSETS.iter().find(|o| o.0 == at.offset_ms);
        table.rows.push(vec![
            Cell::Number(at.offset_ms),
            Cell::Number(at.integral.value),
            Cell::Number(at.integral.se),
            Cell::Number(at.sd),
            known.map_or(Cell::None, |o| Cell::Number(o.1)),
            Cell::Number(at.event),
        ]);
    }
    report.tables.push(table);
    let (off_by, best) = (spine::off_by(&curve), spine::best(&curve));
    // Errors of few runs widen the distance by themselves.
    let what = format!("calcium curve, rms distance over its peak beyond {OFF_BY}");
    report.judge(what, (off_by - OFF_BY).max(0.0), spine::off_by_chance(&curve), 0.0, Some(0.0));
    report.judge_exact("offset of the peak (ms)".to_owned(), best, 7.0, BEST_MS);
    report.notes.push(format!(
        "calcium curve: rms distance {:.1} % of the peak, largest at {best} ms",
        100.0 * off_by
    ));
    Ok(())
}

fn linear(lab: &Lab<'_>, report: &mut Report) -> Result<(), Diagnostics> {
    let kernel = kernel::fit(lab)?;
    let columns = [("lag_ms", SHORT), ("kernel", SHORT), ("published", SHORT), ("event", SHORT)];
    let mut table = Table::new("kernel", "Kernel of pairs of spikes (thresholds of 1 s)", &columns);
    for ((lag, value), event) in kernel.lags_ms.iter().zip(&kernel.values).zip(&kernel.event) {
        let known = published::KERNEL.iter().find(|k| k.0 == *lag);
        let published = known.map_or(Cell::None, |k| Cell::Number(k.2));
        table.rows.push(vec![Cell::Number(*lag), Cell::Number(*value), published, Cell::Number(*event)]);
    }
    table.hidden = true;
    report.tables.push(table);
    let columns = [("explained variance", SHORT), ("measured", SHORT), ("se", SHORT), ("published", SHORT)];
    let mut table = Table::new("explained", "Calcium integrals as a sum over pairs of spikes", &columns);
    let (_, train, test) = published::EXPLAINED;
    let mut row = |what: &str, got: Estimate, want: Option<f64>| {
        let cells = match want {
            Some(want) => judge(report, format!("explained variance, {what}"), got, want, EXPLAINED),
            None => [Cell::Number(got.value), Cell::Number(got.se), Cell::None],
        };
        table.rows.push([vec![Cell::Text(what.to_owned())], cells.to_vec()].concat());
    };
    row("kernel, training trials", kernel.train, Some(train));
    row("kernel, test trials", kernel.test, Some(test));
    row("published closed form, test trials", kernel.published, Some(test));
    row("event tier, test trials", kernel.event_test, None);
    report.tables.push(table);
    let shortfall = (EVENT - kernel.event_test.value).max(0.0);
    report.judge_exact(format!("explained variance of the event tier below {EVENT}"), shortfall, 0.0, 0.0);
    report.judge_exact("lag of the kernel's peak (ms)".to_owned(), kernel.best_ms(), 7.0, BEST_MS);
    report.notes.push(format!(
        "kernel: largest at {} ms, rms distance {:.1} % of the peak",
        kernel.best_ms(),
        100.0 * kernel.off_by()
    ));
    Ok(())
}

fn matches(lab: &Lab<'_>, report: &mut Report) -> Result<(), Diagnostics> {
    let columns = [
        ("fidelity", SHORT),
        ("window_ms", SHORT),
        ("jitter_ms", SHORT),
        ("trials", SHORT),
        ("auc", SHORT),
        ("se", SHORT),
        ("published", SHORT),
        ("matched", SHORT),
        ("published_matched", SHORT),
        ("unmatched", SHORT),
        ("published_unmatched", SHORT),
        ("own_threshold", SHORT),
    ];
    let mut table =
        Table::new("matching", "Matched against unmatched axons (integrals in thresholds)", &columns);
    let rates = [
        ("fidelity", SHORT),
        ("window_ms", SHORT),
        ("jitter_ms", SHORT),
        ("false", SHORT),
        ("true", SHORT),
        ("published", SHORT),
    ];
    let mut curves = Table::new("roc", "ROC curves", &rates);
    curves.hidden = true;
    for fidelity in fidelities(lab) {
        for want in &published::WINDOWS {
            let found = matching::run(lab, want.window_ms, want.jitter_ms, *fidelity)?;
            let area = found.auc();
            let what = format!("area under the curve, {} ms, jitter {} ms", want.window_ms, want.jitter_ms);
            let cells = match fidelity {
                Fidelity::Cable => judge(report, what, area, want.auc, AUC),
                Fidelity::Event => [Cell::Number(area.value), Cell::Number(area.se), Cell::Number(want.auc)],
            };
            let name = || Cell::Text(fidelity.name().to_owned());
            let mut row = vec![name(), Cell::Number(want.window_ms), Cell::Number(want.jitter_ms)];
            row.push(Cell::Count(found.matched.len()));
            row.extend(cells);
            row.push(Cell::Number(Estimate::mean(&found.matched).value));
            row.push(want.matched.map_or(Cell::None, |m| Cell::Number(m.0)));
            row.push(Cell::Number(Estimate::mean(&found.others).value));
            row.push(Cell::Number(want.unmatched.0));
            row.push(Cell::Number(found.own_threshold()));
            table.rows.push(row);
            for (i, (rate, got)) in RATES.iter().zip(found.roc(&RATES)).enumerate() {
                let numbers = [want.window_ms, want.jitter_ms, *rate, got, want.roc[i]].map(Cell::Number);
                curves.rows.push([vec![name()], numbers.to_vec()].concat());
            }
        }
    }
    report.tables.extend([table, curves]);
    Ok(())
}

fn gains(lab: &Lab<'_>, report: &mut Report) -> Result<(), Diagnostics> {
    let columns = [("lagged integral", SHORT), ("gain", SHORT), ("published", SHORT)];
    let mut table = Table::new("gain", "Gain of AMPA synapses by calcium (thresholds)", &columns);
    for (ratio, want) in published::GAIN {
        let got = potentiation::sigmoid(lab, ratio);
        let cells = report.judge_exact(format!("gain at {ratio} thresholds"), got, want, 0.01);
        table.rows.push([vec![Cell::Number(ratio)], cells.to_vec()].concat());
    }
    report.tables.push(table);
    let examples = potentiation::examples(lab)?;
    report.judge_exact("recorded gains against the equation".to_owned(), examples.gain_off, 0.0, 1e-9);
    let columns = [
        ("trial", SHORT),
        ("success", SHORT),
        ("ms", SHORT),
        ("soma_mv", SHORT),
        ("matched", SHORT),
        ("matched_gain", SHORT),
        ("second", SHORT),
        ("second_gain", SHORT),
    ];
    let mut table = Table::new("examples", "Single trials in time (integrals in thresholds)", &columns);
    table.hidden = true;
    for example in [&examples.success, &examples.failure] {
        for (i, ms) in example.times_ms.iter().enumerate() {
            let numbers = [
                example.success,
                *ms,
                example.soma_mv[i],
                example.matched.integral[i],
                example.matched.gain[i],
                example.second.integral[i],
                example.second.gain[i],
            ];
            let numbers = numbers.map(Cell::Number);
            table.rows.push([vec![Cell::Count(example.trial)], numbers.to_vec()].concat());
        }
    }
    report.tables.push(table);
    Ok(())
}

fn controls(lab: &Lab<'_>, report: &mut Report) -> Result<(), Diagnostics> {
    let columns = [
        ("window_ms", SHORT),
        ("trials", SHORT),
        ("success", SHORT),
        ("se", SHORT),
        ("published", SHORT),
        ("spurious", SHORT),
        ("spurious_se", SHORT),
        ("published_spurious", SHORT),
        ("if_spiking", SHORT),
        ("of_all_spikes", SHORT),
        ("per_s", SHORT),
        ("silent", SHORT),
        ("all_failed", SHORT),
        ("none_spurious", SHORT),
    ];
    let title = "Control phase: keys that the soma follows, spikes that follow no key of the matched axon";
    let mut table = Table::new("control", title, &columns);
    let by = [
        ("window_ms", SHORT),
        ("queries", SHORT),
        ("trials", SHORT),
        ("success", SHORT),
        ("se", SHORT),
        ("published", SHORT),
        ("spurious", SHORT),
        ("spurious_se", SHORT),
        ("published_spurious", SHORT),
        ("if_spiking", SHORT),
    ];
    let mut by_queries = Table::new("control_by_queries", "Control phase by number of query spikes", &by);
    by_queries.hidden = true;
    for want in &published::PHASES {
        let phase = control::run(lab, want.window_ms)?;
        let all = Outcomes::all(&phase);
        let ms = want.window_ms;
        let mut row = vec![Cell::Number(ms), Cell::Count(all.trials)];
        row.extend(judge(report, format!("success after {ms} ms"), all.success, want.success.0, RATE));
        row.extend(judge(report, format!("spurious after {ms} ms"), all.spurious, want.spurious.0, RATE));
        let rest = [
            all.spurious_if_spiking.value,
            all.spurious_of_all.value,
            all.spurious_hz.value,
            all.silent,
            all.all_failed,
            all.none_spurious,
        ];
        row.extend(rest.map(Cell::Number));
        table.rows.push(row);
        for (queries, found) in phase.by_queries(2) {
            let known = want.by_queries.iter().find(|k| k.0 == queries);
            let published =
                |f: &dyn Fn(&(usize, f64, f64)) -> f64| known.map_or(Cell::None, |k| Cell::Number(f(k)));
            by_queries.rows.push(vec![
                Cell::Number(ms),
                Cell::Count(queries),
                Cell::Count(found.trials),
                Cell::Number(found.success.value),
                Cell::Number(found.success.se),
                published(&|k| k.1),
                Cell::Number(found.spurious.value),
                Cell::Number(found.spurious.se),
                published(&|k| k.2),
                Cell::Number(found.spurious_if_spiking.value),
            ]);
        }
    }
    report.tables.extend([table, by_queries]);
    Ok(())
}

fn races(lab: &Lab<'_>, report: &mut Report) -> Result<(), Diagnostics> {
    let columns = [
        ("fidelity", SHORT),
        ("explained", SHORT),
        ("by", SHORT),
        ("family", SHORT),
        ("trials", SHORT),
        ("b", SHORT),
        ("b_se", SHORT),
        ("lapse", SHORT),
        ("nats above uniform", SHORT),
        ("se", SHORT),
        ("behind the best", SHORT),
        ("behind_se", SHORT),
    ];
    let mut table = Table::new(
        "attention",
        "Which kernel of vectors the race is (P = (1 - lapse) f(s) / sum f + lapse / n)",
        &columns,
    );
    for fidelity in fidelities(lab) {
        let race = attention::run(lab, *fidelity)?;
        for (target, score) in [
            (Target::Winner, Score::InnerProduct),
            (Target::Potentiation, Score::InnerProduct),
            (Target::Winner, Score::Overlap),
            (Target::Potentiation, Score::Overlap),
        ] {
            for fit in race.fits(score, target, lab.seed) {
                let text = |t: &str| Cell::Text(t.to_owned());
                let mut row = vec![
                    text(fidelity.name()),
                    text(target.name()),
                    text(score.name()),
                    text(fit.family.name()),
                ];
                row.push(Cell::Count(fit.gain.n));
                let numbers = [
                    fit.b.value,
                    fit.b.se,
                    fit.lapse,
                    fit.gain.value,
                    fit.gain.se,
                    fit.behind.value,
                    fit.behind.se,
                ];
                row.extend(numbers.map(Cell::Number));
                table.rows.push(row);
            }
        }
        let [code, vectors, trains] = race.correlations();
        let [none, one, several] = race.potentiated();
        report.notes.push(format!(
            "vectors ({}): correlation of meeting spikes with k.q {code:.3}, of integrals with k.q {vectors:.3}, with meeting \
             spikes {trains:.3}; no, one, several keys potentiated in {none:.3}, {one:.3}, {several:.3} of the trials; an axon \
             without key has the largest integral in {:.3}",
            fidelity.name(),
            race.background().value
        ));
    }
    report.tables.push(table);
    Ok(())
}
