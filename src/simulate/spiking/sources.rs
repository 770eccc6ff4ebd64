//! Where trains come from: drawn, given in the circuit file, read from a file, or following another train.

use crate::circuit::SpikeCircuit;
use crate::circuit::spikes::{Cells, SpikePopulation};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::files::{Array, read_array};
use crate::memory;
use crate::simulate::cable::trains::Renewal;
use crate::spec::SpikeTrainsSpec;
use std::path::Path;

/// Trains of one population.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Drawn(Renewal),
    /// the same in every trial
    Given(Vec<Vec<f64>>),
    /// others in each trial
    Trials(Vec<Vec<Vec<f64>>>),
    /// the train of the matched axon
    Follow,
}

/// Times that given spikes must fit.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub duration_ms: f64,
    pub dt_ms: f64,
    /// windows that are looked at; a query has the first one
    pub match_ms: (f64, f64),
    pub control_ms: Option<(f64, f64)>,
    pub is_query: bool,
}

impl Source {
    pub fn of(p: &SpikePopulation, folder: &Path, times: Times, d: &mut Diagnostics) -> Option<Self> {
        let Cells::Fire(spec) = &p.does else { return None };
        let path = format!("{}.spike_trains", p.path);
        Some(match spec {
            SpikeTrainsSpec::Renewal { rate, dead_time } => {
                let renewal = Renewal { rate_hz: rate.value, dead_ms: dead_time.ms };
                if let Err(e) = renewal.check() {
                    d.push(Diagnostic { code: codes::C073, ..e.at(format!("{path}.renewal.rate")) });
                }
                Self::Drawn(renewal)
            }
            SpikeTrainsSpec::Times { trains } => {
                for (cell, train) in trains.iter().enumerate() {
                    if let Some(i) = train.iter().position(|t| *t > times.duration_ms) {
                        let place = format!("{path}.times.trains.{cell}.{i}");
                        d.push(outside(place, train[i], times.duration_ms));
                    }
                    if let Some(i) = twice(train, times.dt_ms) {
                        let place = format!("{path}.times.trains.{cell}.{}", i + 1);
                        d.push(in_one_step(place, "", cell, [train[i], train[i + 1]], times.dt_ms));
                    }
                }
                Self::Given(trains.clone())
            }
            SpikeTrainsSpec::File { path: file, array } => {
                let place = format!("{path}.file.path");
                let read = read_array(&folder.join(file), array.as_deref());
                match read.map_err(|e| Diagnostic { path: place.clone(), ..e }) {
                    Ok(array) => trains_of(&array, p, times, &place).map_err(|e| d.push(e)).ok()?,
                    Err(e) => {
                        d.push(e);
                        return None;
                    }
                }
            }
            SpikeTrainsSpec::Follow { .. } => Self::Follow,
        })
    }

    /// Number of trials that a file holds.
    pub fn trials(&self) -> Option<usize> {
        match self {
            Self::Trials(all) => Some(all.len()),
            _ => None,
        }
    }
}

fn outside(path: String, time_ms: f64, duration_ms: f64) -> Diagnostic {
    let (what, help) = if time_ms >= 0.0 {
        (
            format!("a spike at {time_ms} ms is outside the run of {duration_ms} ms"),
            "run longer: `simulation: {stop: {duration: ...}}`, or leave the spike out",
        )
    } else if time_ms.is_nan() {
        ("the time of a spike is no number".to_owned(), "leave the row out, or fill it in")
    } else {
        (
            format!("a spike at {time_ms} ms is before the run, which starts at 0"),
            "count times from the start of the run",
        )
    };
    Diagnostic::error(codes::C073, path, what).help(help)
}

/// The first of two spikes of a sorted train that are less than a step apart.
fn twice(train: &[f64], dt_ms: f64) -> Option<usize> {
    // Times are given to some digits, and multiples of a step are rounded.
    train.windows(2).position(|pair| pair[1] - pair[0] < dt_ms * (1.0 - 1e-6))
}

fn in_one_step(path: String, trial: &str, cell: usize, times_ms: [f64; 2], dt_ms: f64) -> Diagnostic {
    let [first, second] = times_ms;
    let what = format!(
        "{trial}cell {cell} spikes twice within a step of {dt_ms} ms, at {first} ms and at {second} ms"
    );
    let help = "a synapse would take both for one that is many times as strong: leave one of them out";
    Diagnostic::error(codes::C073, path, what).help(help)
}

/// Rows `cell, ms` or `trial, cell, ms`.
fn trains_of(array: &Array, p: &SpikePopulation, times: Times, path: &str) -> Result<Source, Diagnostic> {
    let duration_ms = times.duration_ms;
    let wrong = |what: String| {
        let help = "write one row for each spike: `cell, ms`, or `trial, cell, ms`, counted from 0";
        Err(Diagnostic::error(codes::C073, path, what).help(help))
    };
    let width = match array.shape[..] {
        [_, width @ (2 | 3)] => width,
        _ => return wrong(format!("the file holds an array of shape {:?}, not spikes", array.shape)),
    };
    let mut all: Vec<Vec<Vec<f64>>> = if width == 2 { vec![vec![Vec::new(); p.cells]] } else { Vec::new() };
    for (number, row) in array.data.chunks(width).enumerate() {
        let (trial, cell, ms) = if width == 3 { (row[0], row[1], row[2]) } else { (0.0, row[0], row[1]) };
        let whole = |x: f64| x >= 0.0 && x.fract() == 0.0 && x < 1e8;
        if !(whole(trial) && whole(cell)) || cell >= p.cells as f64 || trial >= 1e6 {
            let what = format!("row {number}: no cell {cell} in trial {trial}; `{}` has {}", p.name, p.cells);
            return wrong(what);
        }
        if !(0.0..=duration_ms).contains(&ms) {
            let Diagnostic { message, help, .. } = outside(path.to_owned(), ms, duration_ms);
            return Err(
                Diagnostic::error(codes::C073, path, format!("row {number}: {message}")).help_if(help)
            );
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (trial, cell) = (trial as usize, cell as usize);
        // Trials up to the last one that has a spike; memory grows with what is there, cell by cell.
        if trial >= all.len() {
            if (trial + 1).saturating_mul(p.cells) > 100_000_000 {
                return wrong(format!("row {number}: trial {trial} of {} cells is too many trains", p.cells));
            }
            let bytes = memory::bytes((trial + 1) * p.cells, size_of::<Vec<f64>>());
            memory::check(codes::C080, path, "its trains", bytes)?;
            all.resize(trial + 1, vec![Vec::new(); p.cells]);
        }
        all[trial][cell].push(ms);
    }
    all.iter_mut().flatten().for_each(|train| train.sort_by(f64::total_cmp));
    plausible(&all, width == 3, times, path)?;
    match (width, all.pop()) {
        (2, Some(trains)) => Ok(Source::Given(trains)),
        (_, Some(last)) => {
            all.push(last);
            Ok(Source::Trials(all))
        }
        (_, None) => wrong("the file holds no spikes".to_owned()),
    }
}

/// What trains of a file would mean that nobody means.
fn plausible(all: &[Vec<Vec<f64>>], by_trials: bool, times: Times, path: &str) -> Result<(), Diagnostic> {
    let error = |what: String, help: String| Err(Diagnostic::error(codes::C073, path, what).help(help));
    let name = |trial: usize| if by_trials { format!("trial {trial}: ") } else { String::new() };
    let last = all.iter().flatten().flatten().fold(0.0, |m: f64, t| m.max(*t));
    if all.iter().flatten().all(Vec::is_empty) {
        return error("the file holds no spikes".to_owned(), "write one row for each spike".to_owned());
    }
    if last <= times.duration_ms / 1000.0 {
        let what = format!(
            "all spikes come within the first {last} ms of a run of {} ms: are these seconds?",
            times.duration_ms
        );
        return error(what, "times are in milliseconds: multiply them by 1000".to_owned());
    }
    for (trial, trains) in all.iter().enumerate() {
        for (cell, train) in trains.iter().enumerate() {
            if let Some(i) = twice(train, times.dt_ms) {
                let pair = [train[i], train[i + 1]];
                return Err(in_one_step(path.to_owned(), &name(trial), cell, pair, times.dt_ms));
            }
        }
        // A query may be silent in a trial.
        if !times.is_query && trains.iter().all(Vec::is_empty) {
            let help = "trials are counted from 0, and each has rows `trial, cell, ms`";
            return error(format!("{}there is no spike", name(trial)), help.to_owned());
        }
    }
    for (from, to) in std::iter::once(times.match_ms).chain(times.control_ms) {
        if !all.iter().flatten().flatten().any(|t| (from..=to).contains(t)) {
            let what = format!("no spike of the file is in the window from {from} to {to} ms");
            let help =
                "times are counted from the start of each trial; a phase without spikes has nothing to score";
            return error(what, help.to_owned());
        }
    }
    Ok(())
}

/// Keys and query of a circuit.
pub fn both(
    circuit: &SpikeCircuit,
    folder: &Path,
    times: Times,
    d: &mut Diagnostics,
) -> Option<(Source, Source)> {
    let keys = Source::of(circuit.keys(), folder, times, d);
    let query = Source::of(circuit.query(), folder, Times { control_ms: None, is_query: true, ..times }, d);
    keys.zip(query)
}
