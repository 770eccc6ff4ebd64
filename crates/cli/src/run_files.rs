//! A run directory: the circuit, its inputs and weights, what a run gave, and a manifest written last.

use super::report::Failure;
use super::resolved::{FILES, INPUTS, Tokens, resolved};
use pulvinar::circuit::Circuit;
use pulvinar::files::{
    Array, Claim, MANIFEST, Manifest, Stage, atomic_write, manifest, write_npz, write_safetensors,
};
use pulvinar::seed::sha256_hex;
use pulvinar::simulate::inputs::Overrides;
use pulvinar::spec::Document;
use pulvinar_lab::report::{Page, html};
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// `ones` and `identity` with more entries than this are not written out: `circuit.yaml` says what they are.
const WRITTEN_OUT: usize = 10_000_000;

/// Files that a run directory may hold, whatever made it.
pub const NAMES: [&str; 12] = [
    "circuit.yaml",
    INPUTS,
    FILES,
    "weights.safetensors",
    "output.npy",
    "traces.npz",
    "traces.svg",
    "spikes.npz",
    "metrics.csv",
    "checkpoint.safetensors",
    "report.html",
    MANIFEST,
];

/// Claims a run directory before the work: it is free or to be replaced, and holds no input of this run.
///
/// # Errors
/// As [`Claim::of`] and [`Claim::guard`].
pub fn claim(dir: &Path, force: bool) -> Result<Claim, Failure> {
    let claim = Claim::of(dir, force)?;
    claim.guard(&NAMES)?;
    claim.guard(&earlier(dir))?;
    Ok(claim)
}

/// Files of the result that a directory holds now.
pub fn earlier(dir: &Path) -> Vec<String> {
    let listed = Manifest::of(dir).ok().flatten().map(|m| m.files).unwrap_or_default();
    let mut all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).chain(listed).collect();
    all.retain(|name| !name.contains('/') && dir.join(name).is_file());
    all.sort();
    all.dedup();
    all
}

/// Writes the manifest of a stage, which vouches for `files`, and puts all in place; files of an earlier result go. Returns
/// all names, the manifest last.
///
/// # Errors
/// Files that cannot be written or put in place.
pub fn close(
    stage: Stage<'_>,
    about: Map<String, Value>,
    mut files: Vec<String>,
    gone: &[String],
) -> Result<Vec<String>, Failure> {
    let there = |name: &String| {
        let new = stage.path(name);
        (name.clone(), if new.is_file() { new } else { stage.folder().join(name) })
    };
    let summed: Vec<(String, PathBuf)> = files.iter().map(there).collect();
    let text = manifest::text(about, manifest::sums(&summed)?);
    atomic_write(&stage.path(MANIFEST), |sink| sink.write_all(text.as_bytes()))?;
    stage.commit(Some(MANIFEST), gone)?;
    files.push(MANIFEST.to_owned());
    Ok(files)
}

/// A run directory that is being written.
pub struct RunFiles<'a> {
    stage: Stage<'a>,
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
        claim: &'a Claim,
        document: &'a Document,
        circuit: &Circuit,
        tokens: Tokens<'_>,
        overrides: &Overrides,
    ) -> Result<Self, Failure> {
        let (spec, copies) = resolved(document, tokens, overrides)?;
        let mut run = Self::of_spikes(claim, document, &pulvinar::spec::to_yaml(&spec))?;
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
    pub fn of_spikes(claim: &'a Claim, document: &'a Document, yaml: &str) -> Result<Self, Failure> {
        let circuit_sha256 = sha256_hex(yaml.as_bytes());
        let mut run = Self { stage: claim.begin()?, document, circuit_sha256, files: Vec::new() };
        run.text("circuit.yaml", yaml)?;
        Ok(run)
    }

    /// Where the file `name` is written; it will be listed in the manifest.
    pub fn path(&mut self, name: &str) -> PathBuf {
        self.files.push(name.to_owned());
        self.stage.path(name)
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

    /// Writes the manifest, puts everything in place and returns all files, in order. `about` is what this kind of run adds to
    /// the manifest.
    ///
    /// # Errors
    /// Files that cannot be written or put in place.
    pub fn close(self, about: Map<String, Value>) -> Result<Vec<String>, Failure> {
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
        let gone = earlier(self.stage.folder());
        close(self.stage, manifest, self.files, &gone)
    }
}
