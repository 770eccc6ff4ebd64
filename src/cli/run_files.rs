//! A run directory: the circuit, its inputs and weights, what a run gave, and a manifest written last.

use super::report::Failure;
use super::resolved::{FILES, INPUTS, Tokens, resolved};
use crate::circuit::Circuit;
use crate::files::{Array, atomic_write, write_npz, write_safetensors};
use crate::report::{Page, html};
use crate::seed::sha256_hex;
use crate::simulate::inputs::Overrides;
use crate::spec::Document;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// `ones` and `identity` with more entries than this are not written out: `circuit.yaml` says what they are.
const WRITTEN_OUT: usize = 10_000_000;

/// A run directory that is being written.
pub struct RunFiles<'a> {
    dir: &'a Path,
    document: &'a Document,
    circuit_sha256: String,
    files: Vec<String>,
}

impl<'a> RunFiles<'a> {
    /// Writes what was run: circuit, tokens where they are to be copied, weights.
    ///
    /// # Errors
    /// Files that cannot be written, and weight files that changed since they were read.
    pub fn open(
        dir: &'a Path,
        document: &'a Document,
        circuit: &Circuit,
        tokens: Tokens<'_>,
        overrides: &Overrides,
    ) -> Result<Self, Failure> {
        let (spec, copies) = resolved(document, tokens, overrides)?;
        let yaml = crate::spec::to_yaml(&spec);
        let mut run = Self { dir, document, circuit_sha256: sha256_hex(yaml.as_bytes()), files: Vec::new() };
        run.text("circuit.yaml", &yaml)?;
        if let Tokens::Copied(inputs) = tokens {
            let tokens: Vec<(String, Array)> =
                inputs.iter().map(|(name, x)| (name.clone(), Array::from_tokens(x))).collect();
            write_npz(&run.path(INPUTS), &tokens)?;
        }
        let weights: Vec<(String, Array)> = circuit
            .projections
            .iter()
            .filter(|p| p.synapses.weights.is_stored() || p.synapses.weights.entries() <= WRITTEN_OUT)
            .map(|p| (p.name.clone(), Array::from_matrix(&p.synapses.weights.dense())))
            .collect();
        write_safetensors(&run.path("weights.safetensors"), &weights, &[])?;
        if !copies.is_empty() {
            write_safetensors(&run.path(FILES), &copies, &[])?;
        }
        Ok(run)
    }

    /// Writes a circuit that has neither tokens nor weights.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn of_spikes(dir: &'a Path, document: &'a Document, yaml: &str) -> Result<Self, Failure> {
        let mut run = Self { dir, document, circuit_sha256: sha256_hex(yaml.as_bytes()), files: Vec::new() };
        run.text("circuit.yaml", yaml)?;
        Ok(run)
    }

    /// Where the file `name` goes; it will be listed in the manifest.
    pub fn path(&mut self, name: &str) -> PathBuf {
        self.files.push(name.to_owned());
        self.dir.join(name)
    }

    /// The page about the run.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn report(&mut self, page: &Page) -> Result<(), Failure> {
        self.text("report.html", &html(page))
    }

    fn text(&mut self, name: &str, content: &str) -> Result<(), Failure> {
        atomic_write(&self.path(name), |sink| sink.write_all(content.as_bytes()))?;
        Ok(())
    }

    /// Writes the manifest and returns all files, in order. `about` is what this kind of run adds to it.
    ///
    /// # Errors
    /// A manifest that cannot be written.
    pub fn close(mut self, about: Map<String, Value>) -> Result<Vec<String>, Failure> {
        let spec = &self.document.spec;
        let mut manifest = Map::new();
        let mut put = |key: &str, value: Value| manifest.insert(key.to_owned(), value);
        put("pulvinar", json!(env!("CARGO_PKG_VERSION")));
        put("verb", json!("simulate"));
        put("circuit", json!(spec.name));
        put("circuit_sha256", json!(self.circuit_sha256));
        put("parameters", json!(spec.parameters));
        put("seed", json!(spec.seed));
        put("threads", json!(rayon::current_num_threads()));
        manifest.extend(about);
        // The list holds itself: one that ends with the manifest is whole.
        let mut files = self.files.clone();
        files.push("manifest.json".to_owned());
        manifest.insert("files".to_owned(), json!(files));
        let text = format!("{:#}\n", Value::Object(manifest));
        self.text("manifest.json", &text)?;
        Ok(self.files)
    }
}
