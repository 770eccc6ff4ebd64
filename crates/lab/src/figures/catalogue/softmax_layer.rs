//! Attention layers of a trained transformer as circuits: what PyTorch recorded, the heads, and every cell in time.
//!
//! A recording is a `.safetensors` as `tests/golden/bert.py` writes it: `layer.N.NAME.input.f64` and `.output.f64`
//! `[n_tokens, D]`, of some examples also `layer.N.NAME.map.H` `[n_query, n_context]`. The output is that of the attention layer
//! with its output bias, before residual and LayerNorm.
//!
//! **Deliberately absent:** panels, and all of the network that is not attention.

use nalgebra::DMatrix;
use pulvinar::attention::{Block, Streams, attention_map, forward};
use pulvinar::circuit::Circuit;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::files::{list_arrays, read_tokens, write_safetensors};
use pulvinar::model::{Model, Parameters};
use pulvinar::simulate::cells::{End, Run, Settings, run};
use pulvinar::spec::{RecordSpec, Variable};
use pulvinar::weights::{self, Attention, Options, Style, Wiring, import};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A network whose attention is looked at.
pub struct Network {
    pub model: PathBuf,
    pub recording: PathBuf,
    pub heads: usize,
    /// layers that are run
    pub layers: Vec<usize>,
    /// longer examples are left out
    pub most_tokens: usize,
}

/// What PyTorch computed for one example; `[D, n_tokens]`.
pub struct Example {
    pub name: String,
    pub input: DMatrix<f64>,
    pub output: DMatrix<f64>,
    /// `[n_query, n_context]` of every head; empty where not recorded
    pub maps: Vec<DMatrix<f64>>,
}

/// One layer as a circuit.
pub struct Layer {
    pub index: usize,
    pub circuit: Arc<Circuit>,
    /// what it compiles to
    pub block: Block,
    /// area of each head
    pub areas: Vec<String>,
    pub examples: Vec<Example>,
}

/// One example, by the heads and by cells in time.
pub struct Ran {
    /// by the compiled heads, `[D, n_tokens]`
    pub compiled: DMatrix<f64>,
    /// attention maps of the compiled heads
    pub maps: Vec<DMatrix<f64>>,
    pub cells: Run,
}

impl Network {
    /// One layer as a circuit; `select` keeps some of its heads.
    ///
    /// # Errors
    /// Files that cannot be read or hold something else.
    pub fn layer(&self, index: usize, select: Option<Vec<usize>>) -> Result<Layer, Diagnostics> {
        let options = Options {
            prefix: Some(format!("encoder.layer.{index}")),
            heads: Some(self.heads),
            select,
            attention: Some(Attention::Softmax),
            ..Options::default()
        };
        let loaded = weights::read(&self.model, &options)?;
        let style = Style {
            name: format!("layer_{index}"),
            weights_file: "weights.safetensors".to_owned(),
            wiring: Some(Wiring::AttentionMask),
            ignored: Vec::new(),
        };
        let imported = import::import(&self.model, &loaded.block, &loaded.selected, &style)?;
        // The circuit reads its weights from a file, as one that a user imports does.
        let folder = tempfile::tempdir().map_err(|e| {
            Diagnostic::error(codes::F004, "", format!("a temporary folder could not be made: {e}"))
                .help("set TMPDIR to a folder that can be written")
        })?;
        write_safetensors(&folder.path().join(&style.weights_file), &imported.weights, &[])?;
        let model = Model::read(imported.yaml.as_bytes(), folder.path(), &Parameters::default())?;
        let (circuit, blocks) = (model.circuit()?, model.heads()?.plain_blocks());
        let Some(block) = blocks.into_iter().next_back() else {
            return Err(unfit(&self.model, "has a layer without heads").into());
        };
        Ok(Layer { index, circuit, block, areas: imported.areas, examples: self.examples(index)? })
    }

    /// What is recorded of a layer, sorted by name.
    fn examples(&self, index: usize) -> Result<Vec<Example>, Diagnostics> {
        let entries = list_arrays(&self.recording)?;
        let arrays: BTreeSet<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        let layer = format!("layer.{index}.");
        let read = |array: &str| read_tokens(&self.recording, Some(array));
        let mut found = Vec::new();
        for array in &arrays {
            let name = array.strip_prefix(layer.as_str()).and_then(|a| a.strip_suffix(".input.f64"));
            let Some(name) = name else { continue };
            let input = read(array)?;
            if input.ncols() > self.most_tokens {
                continue;
            }
            let maps = (0..self.heads).map(|h| format!("{layer}{name}.map.{h}"));
            // Tokens are columns here; a map has its query tokens in rows.
            let maps: Result<Vec<_>, _> = maps
                .filter(|a| arrays.contains(a.as_str()))
                .map(|a| Ok::<_, Diagnostic>(read(&a)?.transpose()))
                .collect();
            let output = read(&format!("{layer}{name}.output.f64"))?;
            found.push(Example { name: name.to_owned(), input, output, maps: maps? });
        }
        if found.is_empty() {
            return Err(unfit(&self.recording, &format!("records nothing of layer {index}")).into());
        }
        Ok(found)
    }
}

impl Layer {
    /// Runs one example by the heads, and by cells from silence until they are still.
    ///
    /// # Errors
    /// Numbers that are not finite, runs that do not settle.
    pub fn run(&self, example: &Example) -> Result<Ran, Diagnostics> {
        let streams = Streams::from([("main".to_owned(), example.input.clone())]);
        let wild = |e: pulvinar::attention::ForwardError| {
            Diagnostic::error(codes::R001, "", e.to_string()).help("the weights of this layer cannot be run")
        };
        let compiled = forward(&self.block, &streams).map_err(wild)?;
        let maps: Result<Vec<_>, _> =
            (0..self.block.heads.len()).map(|h| attention_map(&self.block, h, &streams)).collect();
        let maps = maps.map_err(wild)?;
        let rate = |population: String| RecordSpec {
            population,
            variable: Variable::Rate,
            compartment: None,
            cells: None,
            query: None,
            context: None,
            every: 1,
        };
        let of_heads = self.areas.iter().flat_map(|a| [format!("{a}.score"), format!("{a}.total")]);
        let record = of_heads.chain(["HO".to_owned()]).map(rate).collect();
        let cells = run(&self.circuit, &streams, &Settings { record, ..Settings::default() })?;
        if cells.end != End::Settled {
            let what = format!("the cells of `{}` do not settle: {}", example.name, cells.end.name());
            return Err(Diagnostic::error(codes::R001, "", what)
                .help("`simulate --mode cells` on the imported circuit shows why")
                .into());
        }
        Ok(Ran { compiled, maps, cells })
    }
}

impl Ran {
    /// Times of the samples.
    #[must_use]
    pub fn t_ms(&self) -> &[f64] {
        self.cells.traces.first().map_or(&[], |t| &t.t_ms)
    }

    /// Scores that the cells send at a sample, `[n_query, n_context]`.
    #[must_use]
    pub fn scores(&self, head: usize, sample: usize) -> DMatrix<f64> {
        let trace = &self.cells.traces[2 * head];
        let n = trace.tokens.iter().filter_map(|t| t.query).max().map_or(0, |q| q + 1);
        let contexts = trace.tokens.iter().filter_map(|t| t.context).max().map_or(0, |c| c + 1);
        let mut map = DMatrix::zeros(n, contexts);
        let values = &trace.values[sample * trace.tokens.len()..][..trace.tokens.len()];
        for (token, value) in trace.tokens.iter().zip(values) {
            if let (Some(i), Some(j)) = (token.query, token.context) {
                map[(i, j)] = *value;
            }
        }
        map
    }

    /// Inhibition of each query at a sample.
    #[must_use]
    pub fn inhibition(&self, head: usize, sample: usize) -> Vec<f64> {
        let trace = &self.cells.traces[2 * head + 1];
        trace.values[sample * trace.tokens.len()..][..trace.tokens.len()].to_vec()
    }

    /// Attention at a sample: scores over the inhibition of their query; 0 where there is no inhibition yet.
    #[must_use]
    pub fn attention(&self, head: usize, sample: usize) -> DMatrix<f64> {
        let mut map = self.scores(head, sample);
        for (mut row, by) in map.row_iter_mut().zip(self.inhibition(head, sample)) {
            row *= if by == 0.0 { 0.0 } else { 1.0 / by };
        }
        map
    }

    /// What the relay sends at a sample, `[D, n_tokens]`.
    #[must_use]
    pub fn output(&self, sample: usize) -> DMatrix<f64> {
        let Some(trace) = self.cells.traces.last() else { return DMatrix::zeros(0, 0) };
        let (tokens, cells) = (trace.tokens.len(), trace.cells.len());
        DMatrix::from_column_slice(cells, tokens, &trace.values[sample * tokens * cells..][..tokens * cells])
    }
}

/// `max |a - b| / max |b|`.
#[must_use]
pub fn distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    (a - b).amax() / b.amax()
}

fn unfit(file: &Path, what: &str) -> Diagnostic {
    Diagnostic::error(codes::F012, "", format!("{}: {what}", file.display()))
        .help("the recording must be of these weights; `tests/golden/bert.py` says what it holds")
}
