//! What figures of heads start from: a circuit file, wired and compiled, its tokens, and a plain head of its weights.

use super::Making;
use crate::figures::circuit::{Plan, plan};
use crate::figures::sheet::{Axes, Axis, Look, Point, Series};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Residual, Streams};
use pulvinar::circuit::Circuit;
use pulvinar::compile::Compiled;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::linalg::count;
use pulvinar::model::{Model, Parameters};
use pulvinar::simulate::cells::{self, Settings};
use pulvinar::simulate::{inputs::Overrides, run};
use std::sync::Arc;

/// A circuit of a figure.
pub(super) struct Given {
    pub model: Model,
    pub circuit: Arc<Circuit>,
    pub compiled: Arc<Compiled>,
    pub tokens: Streams,
}

impl Given {
    /// Reads a file of the folder, with parameters set as `--set` does.
    pub fn read(making: &Making<'_>, file: &str, set: &[(&str, String)]) -> Result<Self, Diagnostics> {
        let set = set.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        Self::of(Model::open(&making.circuits.join(file), &Parameters { set, seed: None })?)
    }

    /// From a circuit, as it is now.
    pub fn of(model: Model) -> Result<Self, Diagnostics> {
        let (circuit, compiled) = (model.circuit()?, model.heads()?);
        let tokens = model.tokens(&Overrides::new())?;
        Ok(Self { model, circuit, compiled, tokens })
    }

    /// The drawing for a panel.
    pub fn drawing(&self) -> Box<Plan> {
        Box::new(plan(&self.circuit).1)
    }

    /// The compiled block of the output.
    pub fn block(&self) -> Result<&Block, Diagnostics> {
        let last = self.compiled.blocks.last().map(|b| &b.block);
        last.ok_or_else(|| missing("output", format!("`{}` compiles to no block", self.circuit.name)))
    }

    /// What the compiled blocks say, `[d_model, n_tokens]`.
    pub fn algebra(&self) -> Result<DMatrix<f64>, Diagnostics> {
        Ok(run::<f64>(&self.compiled.plain_blocks(), &self.tokens)?.output)
    }

    /// Every cell in time.
    pub fn cells(&self, settings: &Settings) -> Result<cells::Run, Diagnostics> {
        Ok(cells::run(&self.circuit, &self.tokens, settings)?)
    }

    /// Settings of the file.
    pub fn settings(&self) -> Settings {
        Settings::of(self.model.spec())
    }

    /// Tokens of a stream, one per column.
    pub fn stream(&self, name: &str) -> Result<&DMatrix<f64>, Diagnostics> {
        let lost =
            || missing("tokens", format!("`{}` has no tokens of a stream `{name}`", self.circuit.name));
        self.tokens.get(name).ok_or_else(lost)
    }

    /// The matrix of a projection, as written: rows and columns after `onto` and `pool`.
    pub fn weights(&self, projection: &str) -> Result<DMatrix<f64>, Diagnostics> {
        let found = self.circuit.projections.iter().find(|p| p.name == projection);
        let lost =
            || missing("projections", format!("`{}` has no projection `{projection}`", self.circuit.name));
        Ok(found.ok_or_else(lost)?.synapses.weights.dense())
    }
}

/// A file that a figure cannot be made from.
pub(super) fn missing(path: &str, what: String) -> Diagnostics {
    Diagnostic::error(codes::U006, path, what).help("figures read the circuits that the project ships").into()
}

/// One head of a transformer, as in a textbook: four matrices and a mask.
#[derive(Clone)]
pub(super) struct Plain {
    pub q: DMatrix<f64>,
    pub k: DMatrix<f64>,
    pub v: DMatrix<f64>,
    pub o: DMatrix<f64>,
    pub mask: Mask,
}

impl Plain {
    /// With the matrices of four projections `[W_Q, W_K, W_V, W_O]`.
    pub fn of(given: &Given, names: [&str; 4], mask: Mask) -> Result<Self, Diagnostics> {
        let [q, k, v, o] = names.map(|name| given.weights(name));
        Ok(Self { q: q?, k: k?, v: v?, o: o?, mask })
    }

    /// `k_j . q_i` where i sees j, else 0: `[n_query, n_context]`.
    pub fn map(&self, x: &DMatrix<f64>, z: &DMatrix<f64>) -> DMatrix<f64> {
        let (q, k) = (&self.q * x, &self.k * z);
        DMatrix::from_fn(x.ncols(), z.ncols(), |i, j| {
            if self.mask.sees(i, j, z.ncols()) { k.column(j).dot(&q.column(i)) } else { 0.0 }
        })
    }

    /// What the head adds to each query token, `[d_model, n_query]`.
    pub fn adds(&self, x: &DMatrix<f64>, z: &DMatrix<f64>) -> DMatrix<f64> {
        &self.o * (&self.v * z) * self.map(x, z).transpose()
    }

    /// The same head as a block of the library, which knows distances; it reads `query` and `context`.
    pub fn head(&self, query: &str, context: &str) -> Head {
        Head {
            w_q: self.q.clone(),
            w_k: self.k.clone(),
            w_v: self.v.clone(),
            w_o: self.o.clone(),
            b_q: DVector::zeros(self.q.nrows()),
            b_k: DVector::zeros(self.k.nrows()),
            b_v: DVector::zeros(self.v.nrows()),
            scale: 1.0,
            kernel: Kernel::Linear,
            normalisation: Normalisation::None,
            mask: self.mask,
            memory: Memory::None,
            query_stream: query.to_owned(),
            context_stream: context.to_owned(),
            value_stream: context.to_owned(),
            function: Vec::new(),
            sink: None,
            area: String::new(),
        }
    }
}

/// A block of plain heads with an identity from `query` to the output.
pub(super) fn plain_block(heads: Vec<Head>, query: &str, d_model: usize) -> Block {
    let residual = vec![Residual { stream: query.to_owned(), matrix: DMatrix::identity(d_model, d_model) }];
    let b_o = DVector::zeros(d_model);
    Block { relay: "plain".to_owned(), d_model, clock_stream: query.to_owned(), heads, residual, b_o }
}

/// Largest error of each token, over the largest number of `truth`: a series against the tokens.
pub(super) fn errors(
    name: &str,
    look: Look,
    colour: usize,
    found: &DMatrix<f64>,
    truth: &DMatrix<f64>,
) -> Series {
    let error = |i: usize| (found.column(i) - truth.column(i)).amax() / truth.amax();
    let points = (0..truth.ncols()).map(|i| Point::new(count(i), floored(error(i)))).collect();
    Series::new(name, look, colour, points)
}

/// Axes of such series.
pub(super) fn error_axes(token: Axis, series: Vec<Series>) -> Axes {
    let [low, high] = ERRORS;
    let y = Axis::new("relative error", "").log().range(low, high);
    Axes { x: token, y, series, guides: Vec::new() }
}

/// Errors below this are rounding, other ones on another processor; they are drawn there.
pub(super) const FLOOR: f64 = 1e-12;
/// Axis of relative errors: from below that to beyond the largest output.
pub(super) const ERRORS: [f64; 2] = [1e-13, 10.0];

/// A number for a logarithmic axis.
pub(super) fn floored(x: f64) -> f64 {
    x.max(FLOOR)
}

/// A recorded trace.
pub(super) fn trace(run: &cells::Run, number: usize) -> Result<&cells::Trace, Diagnostics> {
    let found = run.traces.get(number).filter(|t| !t.t_ms.is_empty());
    found.ok_or_else(|| missing("record", format!("the run recorded no trace {number}")))
}

/// The last sample of a trace, `[tokens, cells]`, cells fastest.
pub(super) fn last(trace: &cells::Trace) -> &[f64] {
    let width = trace.tokens.len() * trace.cells.len();
    &trace.values[trace.values.len() - width..]
}
