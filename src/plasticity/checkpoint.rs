//! The state of a training in one file: weights, the optimiser's numbers, the step and its loss, and the rows so far.
//! Sequences are pure functions of their number, so this is all that a run needs to go on bit for bit.

use super::metrics::Row;
use super::optimise::State;
use super::trainer::{Trainer, follow};
use crate::circuit::Weights;
use crate::diag::{Diagnostic, codes};
use crate::files::{Array, Dtype, safetensors, write_safetensors};
use nalgebra::DMatrix;
use std::path::Path;

/// Most steps of a training.
const MOST_STEPS: usize = 100_000_000;

/// Writes the state; `identity` says which training it belongs to.
///
/// # Errors
/// As [`write_safetensors`].
pub fn save(path: &Path, trainer: &Trainer<'_>, identity: &str, rows: &[Row]) -> Result<(), Diagnostic> {
    let mut tensors: Vec<(String, Array)> = Vec::new();
    for (plastic, state) in trainer.plastic.iter().zip(&trainer.states) {
        let name = &trainer.circuit().projections[plastic.k].name;
        let Weights::Dense(w) = &trainer.weights[plastic.k] else { continue };
        tensors.push((format!("weight.{name}"), Array::from_matrix(w)));
        for (what, m) in [("mean", &state.mean), ("square", &state.square)] {
            if !m.is_empty() {
                tensors.push((format!("{what}.{name}"), Array::from_matrix(m)));
            }
        }
    }
    if let Some(first) = rows.first() {
        let data: Vec<f64> = rows.iter().flat_map(Row::numbers).collect();
        let shape = vec![rows.len(), first.numbers().len()];
        tensors.push(("metrics".to_owned(), Array { shape, data, dtype: Dtype::F64 }));
    }
    let mut metadata = vec![("step".to_owned(), trainer.step.to_string())];
    // The shortest text that reads back as the same number.
    metadata.extend(trainer.last_loss.map(|loss| ("loss".to_owned(), loss.to_string())));
    metadata.push(("training".to_owned(), identity.to_owned()));
    write_safetensors(path, &tensors, &metadata)
}

/// Brings a trainer into the state of a file and returns the rows of the steps before it.
///
/// # Errors
/// `F017` if the file belongs to another training, misses something or holds a state that no training can reach (a step beyond
/// all steps, negative squares, rows that do not rise), `F010` for numbers that are not finite; else as reading any file.
pub fn load(path: &Path, trainer: &mut Trainer<'_>, identity: &str) -> Result<Vec<Row>, Diagnostic> {
    let wrong = |what: String, help: &str| {
        let message = format!("{}: {what}", path.display());
        Diagnostic::error(codes::F017, "", message).help(help)
    };
    let broken = |what: &str| wrong(format!("the checkpoint has no {what}"), "start the training anew");
    let mut reader = safetensors::open(path)?;
    let metadata = reader.metadata();
    if metadata.get("training").map(String::as_str) != Some(identity) {
        return Err(wrong(
            "the checkpoint belongs to another circuit, or to other settings".to_owned(),
            "resume with the circuit and the flags that the training was started with, or leave the file out: `train --resume DIR`",
        ));
    }
    let step = metadata
        .get("step")
        .and_then(|s| s.parse::<usize>().ok())
        .ok_or_else(|| broken("number of steps"))?;
    let loss: Option<f64> = metadata.get("loss").and_then(|s| s.parse().ok());
    if loss.is_none() && step > 0 {
        return Err(broken("loss of the last step"));
    }
    let impossible = |what: String| wrong(format!("no training has {what}"), "start the training anew");
    if step > MOST_STEPS {
        return Err(impossible(format!("{step} steps")));
    }
    if let Some(loss) = loss.filter(|x| !x.is_finite()) {
        return Err(impossible(format!("a loss of {loss} and goes on")));
    }
    let names = reader.names();
    let mut matrix = |name: String, shape: (usize, usize)| -> Result<DMatrix<f64>, Diagnostic> {
        if !names.contains(&name) {
            return Err(broken(&format!("tensor `{name}`")));
        }
        let array = reader.read(&name).map_err(|bad| bad.in_file(path))?;
        if array.shape != [shape.0, shape.1] {
            return Err(broken(&format!("tensor `{name}` of shape [{}, {}]", shape.0, shape.1)));
        }
        array.require_finite(&format!("tensor `{name}`")).map_err(|bad| bad.in_file(path))?;
        if let Some(x) = array.data.iter().find(|x| name.starts_with("square.") && **x < 0.0) {
            return Err(impossible(format!("{x} as a mean square (tensor `{name}`)")));
        }
        Ok(DMatrix::from_row_slice(shape.0, shape.1, &array.data))
    };
    let circuit = trainer.circuit();
    let mut loaded = Vec::new();
    for (plastic, state) in trainer.plastic.iter().zip(&trainer.states) {
        let name = &circuit.projections[plastic.k].name;
        let old = &trainer.weights[plastic.k];
        let shape = (old.rows(), old.columns());
        let mut part = |what: &str, m: &DMatrix<f64>| {
            if m.is_empty() { Ok(m.clone()) } else { matrix(format!("{what}.{name}"), shape) }
        };
        let state = State { mean: part("mean", &state.mean)?, square: part("square", &state.square)? };
        loaded.push((matrix(format!("weight.{name}"), shape)?, state));
    }
    let mut rows = Vec::new();
    if names.iter().any(|n| n == "metrics") {
        let array = reader.read("metrics").map_err(|bad| bad.in_file(path))?;
        let width = Row::FIXED + trainer.plastic.len() + 1;
        if array.shape.get(1) != Some(&width) {
            return Err(broken(&format!("tensor `metrics` with {width} numbers for each evaluation")));
        }
        rows = array.data.chunks_exact(width).filter_map(Row::of).collect::<Vec<_>>();
        // What is not there is written as NaN; what must be there is finite, and steps rise.
        let is_sound = |r: &Row| {
            let optional = [r.loss, r.accuracy].into_iter().chain(r.cosines.iter().copied()).flatten();
            let error = !r.standard_error.is_infinite();
            error && r.step <= step && [r.held_out].into_iter().chain(optional).all(f64::is_finite)
        };
        let is_step = |x: &f64| *x >= 0.0 && x.fract() == 0.0;
        let rises = rows.windows(2).all(|pair| pair[0].step < pair[1].step);
        let whole = array.data.iter().step_by(width).all(is_step);
        if !(rises && whole && rows.iter().all(is_sound)) {
            return Err(impossible("such rows in `metrics`".to_owned()));
        }
        rows.retain(|r| r.step < step);
    }
    for (n, (w, state)) in loaded.into_iter().enumerate() {
        trainer.weights[trainer.plastic[n].k] = Weights::Dense(w);
        trainer.states[n] = state;
    }
    follow(trainer.plan_circuit(), &mut trainer.weights);
    trainer.step = step;
    trainer.last_loss = loss;
    Ok(rows)
}
