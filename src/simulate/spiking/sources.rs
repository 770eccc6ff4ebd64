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

impl Source {
    pub fn of(p: &SpikePopulation, folder: &Path, duration_ms: f64, d: &mut Diagnostics) -> Option<Self> {
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
                    if let Some(i) = train.iter().position(|t| *t > duration_ms) {
                        let place = format!("{path}.times.trains.{cell}.{i}");
                        d.push(outside(place, train[i], duration_ms));
                    }
                }
                Self::Given(trains.clone())
            }
            SpikeTrainsSpec::File { path: file, array } => {
                let place = format!("{path}.file.path");
                let read = read_array(&folder.join(file), array.as_deref());
                match read.map_err(|e| Diagnostic { path: place.clone(), ..e }) {
                    Ok(array) => trains_of(&array, p, duration_ms, &place).map_err(|e| d.push(e)).ok()?,
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
    let what = format!("a spike at {time_ms} ms is outside the run of {duration_ms} ms");
    let help = "run longer: `simulation: {stop: {duration: ...}}`, or leave the spike out";
    Diagnostic::error(codes::C073, path, what).help(help)
}

/// Rows `cell, ms` or `trial, cell, ms`.
fn trains_of(array: &Array, p: &SpikePopulation, duration_ms: f64, path: &str) -> Result<Source, Diagnostic> {
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
    match (width, all.pop()) {
        (2, Some(trains)) => Ok(Source::Given(trains)),
        (_, Some(last)) => {
            all.push(last);
            Ok(Source::Trials(all))
        }
        (_, None) => wrong("the file holds no spikes".to_owned()),
    }
}

/// Keys and query of a circuit.
pub fn both(
    circuit: &SpikeCircuit,
    folder: &Path,
    duration_ms: f64,
    d: &mut Diagnostics,
) -> Option<(Source, Source)> {
    let keys = Source::of(circuit.keys(), folder, duration_ms, d);
    let query = Source::of(circuit.query(), folder, duration_ms, d);
    keys.zip(query)
}
