//! One circuit, from its file to its heads: read, wired and compiled once, with a place on every mistake.
//!
//! 1. [`Model::open`] reads a circuit file or the circuit of a run directory, [`Model::read`] a text.
//! 2. [`Model::circuit`] (or [`Model::spikes`]), [`Model::compiled`] and [`Model::task`] make the later stages when they are first
//!    asked for.
//! 3. [`Model::placed`] gives what any other function says of the circuit its file, line and column.
//!
//! **Deliberately absent:** runs and trainings, which start from here; terminals.

use crate::attention::{Block, Streams};
use crate::circuit::{Circuit, SpikeCircuit, spikes, wire};
use crate::compile::{Compiled, compile, heads_alone};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::files::{MANIFEST, inputs as sums, settle};
use crate::plasticity::{self, tasks::Task};
use crate::simulate::inputs::Overrides;
use crate::simulate::{cells, inputs, spiking};
use crate::spec::{self, CircuitSpec, Document, TaskSpec, TeacherFrom};
use crate::weights;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What is changed in a circuit as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `name`, `value`: takes the place of the value under `parameters`
    pub set: Vec<(String, String)>,
    /// takes the place of the seed of the file
    pub seed: Option<u64>,
}

/// A circuit as written, and what has been made of it so far.
#[derive(Clone, Debug)]
pub struct Model {
    document: Document,
    file: Option<Arc<PathBuf>>,
    circuit: Stage<Circuit>,
    spikes: Stage<SpikeCircuit>,
    compiled: Stage<Compiled>,
}

/// A task, and the blocks of its teacher, if it has one.
pub type Taught = (Task, Option<Vec<Block>>);

/// A later form of the circuit, or why there is none.
type Stage<T> = OnceLock<Result<Arc<T>, Diagnostics>>;

impl Model {
    /// Reads a circuit file; of a run directory, the circuit that it holds, after a run that was killed there was brought to its
    /// end.
    ///
    /// # Errors
    /// Every mistake in the file, `F...` for one that cannot be read, `C080` for a circuit that would not fit into
    /// [`memory::limit`](crate::memory::limit).
    pub fn open(path: &Path, parameters: &Parameters) -> Result<Self, Diagnostics> {
        let inside = path.join("circuit.yaml");
        if path.is_dir() && !path.join(MANIFEST).exists() && inside.is_file() {
            settle(path)?;
            if !path.join(MANIFEST).exists() {
                sums::note_unsummed(path);
            }
        }
        let file = Arc::new(if inside.is_file() { inside } else { path.to_owned() });
        let document = spec::read_file(&file, &parameters.set).map_err(|d| d.in_file(&file))?;
        Self::checked(document, Some(file), parameters.seed)
    }

    /// Reads a circuit from YAML text; relative paths in it start at `folder`.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn read(text: &[u8], folder: &Path, parameters: &Parameters) -> Result<Self, Diagnostics> {
        Self::checked(spec::read(text, folder, &parameters.set)?, None, parameters.seed)
    }

    fn checked(
        mut document: Document,
        file: Option<Arc<PathBuf>>,
        seed: Option<u64>,
    ) -> Result<Self, Diagnostics> {
        document.spec.seed = seed.unwrap_or(document.spec.seed);
        let model = Self { file, ..Self::of(document) };
        let fits = crate::circuit::memory::estimate(model.spec()).check();
        fits.map_err(|d| model.placed(d)).map(|()| model)
    }

    /// Starts from a document that was read elsewhere or made in memory.
    #[must_use]
    pub fn of(document: Document) -> Self {
        let (circuit, spikes, compiled) = Default::default();
        Self { document, file: None, circuit, spikes, compiled }
    }

    /// The same file with changes to what it says; later stages are made anew.
    #[must_use]
    pub fn changed(self, change: impl FnOnce(&mut CircuitSpec)) -> Self {
        let mut document = self.document;
        change(&mut document.spec);
        Self { file: self.file, ..Self::of(document) }
    }

    /// The circuit as written.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The same without its places.
    #[must_use]
    pub fn spec(&self) -> &CircuitSpec {
        &self.document.spec
    }

    /// The circuit file that was opened.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.as_path())
    }

    /// The circuit as written, at the end of all work with it.
    #[must_use]
    pub fn into_document(self) -> Document {
        self.document
    }

    /// The wired circuit.
    ///
    /// # Errors
    /// As [`wire`].
    pub fn circuit(&self) -> Result<Arc<Circuit>, Diagnostics> {
        self.stage(&self.circuit, || wire(self.spec(), &self.document.folder))
    }

    /// The wired circuit of spikes.
    ///
    /// # Errors
    /// As [`spikes`](fn@spikes).
    pub fn spikes(&self) -> Result<Arc<SpikeCircuit>, Diagnostics> {
        self.stage(&self.spikes, || spikes(self.spec()))
    }

    /// The compiled circuit: blocks of heads, and the maps of single tokens between them.
    ///
    /// # Errors
    /// As [`wire`] and [`compile`].
    pub fn compiled(&self) -> Result<Arc<Compiled>, Diagnostics> {
        self.stage(&self.compiled, || Ok(compile(&*self.circuit()?)?))
    }

    /// The compiled circuit, for whatever reads blocks of heads alone.
    ///
    /// # Errors
    /// As [`Model::compiled`], and as [`heads_alone`].
    pub fn heads(&self) -> Result<Arc<Compiled>, Diagnostics> {
        let compiled = self.compiled()?;
        heads_alone(&compiled).map_err(|d| self.placed(d)).map(|()| compiled)
    }

    fn stage<T>(
        &self,
        stage: &Stage<T>,
        make: impl FnOnce() -> Result<T, Diagnostics>,
    ) -> Result<Arc<T>, Diagnostics> {
        stage.get_or_init(|| make().map(Arc::new).map_err(|d| self.placed(d))).clone()
    }

    /// The tokens of all streams, from the circuit or from the files that take their place: each `[d_model, n_tokens]`.
    ///
    /// # Errors
    /// As [`wire`] and [`inputs`](fn@inputs).
    pub fn tokens(&self, overrides: &Overrides) -> Result<Streams, Diagnostics> {
        inputs(&*self.circuit()?, &self.document.folder, overrides).map_err(|d| self.placed(d))
    }

    /// The task with the blocks of its teacher, if it has one; `None` for a circuit that has no task.
    ///
    /// # Errors
    /// A task that does not fit; a teacher that cannot be read, with places in its own file.
    pub fn task(&self) -> Result<Option<Taught>, Diagnostics> {
        let Some(task) = &self.spec().reserved.task else { return Ok(None) };
        let teacher = match task {
            TaskSpec::Teacher(t) => Some(self.teacher(&t.from)?),
            _ => None,
        };
        let fits = Task::new(task, &*self.circuit()?, &self.document.folder, teacher.clone());
        Ok(Some((fits.map_err(|d| self.placed(d))?, teacher)))
    }

    /// The blocks of a teacher.
    fn teacher(&self, from: &TeacherFrom) -> Result<Vec<Block>, Diagnostics> {
        let folder = &self.document.folder;
        match from {
            TeacherFrom::Heads { heads, prefix } => {
                let options = weights::Options { prefix: prefix.clone(), ..Default::default() };
                Ok(vec![weights::read(&folder.join(heads), &options)?.block])
            }
            TeacherFrom::Circuit { circuit } => {
                let teacher = Self::open(&folder.join(circuit), &Parameters::default())?;
                let same = same_positions(&*teacher.circuit()?, &*self.circuit()?);
                same.map_err(|d| self.placed(d))?;
                Ok(teacher.heads()?.plain_blocks())
            }
        }
    }

    /// All that is wrong with it, whatever it is to be used for: names, shapes and weights; where it stops being attention; what
    /// keeps its cells from running and its rules from learning. Of a circuit of spikes, what keeps it from running.
    #[must_use]
    pub fn mistakes(&self) -> Diagnostics {
        if self.spec().spikes() {
            let found = self.spikes().and_then(|c| spiking::check(&c, &self.document.folder));
            return found.map_err(|d| self.placed(d)).err().unwrap_or_default();
        }
        let circuit = match self.circuit() {
            Ok(circuit) => circuit,
            Err(d) => return d,
        };
        let mut found = self.compiled().err().unwrap_or_default();
        let cells = cells::check(self.spec(), &circuit).map_err(|d| self.placed(d));
        found.0.extend(cells.err().unwrap_or_default().0);
        let rules = plasticity::check(&circuit).map_err(|d| self.placed(d));
        found.0.extend(rules.err().unwrap_or_default().0);
        found
    }

    /// What any function says of this circuit, with file, line and column, in the order of the file.
    #[must_use]
    pub fn placed(&self, diagnostics: impl Into<Diagnostics>) -> Diagnostics {
        let mut d = diagnostics.into();
        self.document.locate(&mut d);
        match &self.file {
            Some(file) => d.in_file(file),
            None => d,
        }
    }

    /// The same for one.
    #[must_use]
    pub fn placed_one(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        self.document.locate_one(&mut diagnostic);
        if diagnostic.file.is_none() {
            diagnostic.file.clone_from(&self.file);
        }
        diagnostic
    }
}

/// A teacher reads the positions of the circuit that learns: they must be its own.
fn same_positions(teacher: &Circuit, learner: &Circuit) -> Result<(), Diagnostic> {
    for stream in teacher.streams.iter().filter(|s| s.positions.is_some()) {
        let other = learner.streams.iter().find(|s| s.name == stream.name);
        if other.is_some_and(|s| s.positions != stream.positions) {
            let what = format!("the teacher numbers its tokens another way: its stream `{}`", stream.name);
            return Err(Diagnostic::error(codes::C060, "task.teacher.circuit", what)
                .help("give both circuits the same `positions` and `offset`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = include_str!("../circuits/one_head_attention_mask.yaml");

    #[test]
    fn every_stage_names_file_line_and_column() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("c.yaml");
        let line = |text: &str, what: &str| text.lines().position(|l| l.contains(what)).expect("there") + 1;
        type Ask = fn(&Model) -> Option<Diagnostics>;
        let cases: [(&str, &str, &str, Ask); 3] = [
            ("reading", "mask: causal", "mask: casual", |_| None),
            ("wiring", "output: ", "output: no_", |m| m.circuit().err()),
            ("a later stage", "output: ", "output: no_", |m| m.tokens(&Overrides::new()).err()),
        ];
        for (stage, from, to, ask) in cases {
            let text = HEAD.replacen(from, to, 1);
            assert_ne!(text, HEAD, "{stage}");
            std::fs::write(&file, &text).expect("written");
            let found = match Model::open(&file, &Parameters::default()) {
                Err(d) => d,
                Ok(model) => ask(&model).unwrap_or_else(|| panic!("{stage}: no mistake")),
            };
            let first = &found.0[0];
            let span = first.span.unwrap_or_else(|| panic!("{stage}: {first} has no place"));
            assert_eq!(span.line as usize, line(&text, to), "{stage}: {first}");
            let shown = format!("{}:{}:{} ", file.display(), span.line, span.column);
            assert!(first.to_string().contains(&shown), "{stage}: {first}");
        }
    }

    #[test]
    fn where_a_circuit_stops_being_attention_has_a_place() {
        let text = include_str!("../tests/bad/not_attention_value_from_query_relay.yaml");
        let model = Model::read(text.as_bytes(), Path::new("."), &Parameters::default()).expect("reads");
        let found = model.compiled().expect_err("no attention").0;
        let span = found[0].span.expect("a place");
        let want = format!("# error[{}] {}:{} ", found[0].code, span.line, span.column);
        assert!(text.starts_with(&want), "{want}");
        assert_eq!(model.mistakes().0, found);
    }

    #[test]
    fn stages_are_made_once_and_anew_after_a_change() {
        let none = Parameters::default();
        let model = Model::read(HEAD.as_bytes(), Path::new("."), &none).expect("reads");
        let (first, second) = (model.circuit().expect("wired"), model.circuit().expect("wired"));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(model.compiled().expect("compiled").blocks.len(), 1);
        assert!(model.mistakes().0.is_empty());
        let other = model.changed(|spec| spec.seed += 1);
        assert_ne!(other.circuit().expect("wired").seed, first.seed);
        let seeded = Parameters { seed: Some(first.seed + 1), ..none };
        let seeded = Model::read(HEAD.as_bytes(), Path::new("."), &seeded).expect("reads");
        let weights = |m: &Model| m.circuit().expect("wired").projections[0].synapses.weights.dense();
        assert_eq!(weights(&seeded), weights(&other));
    }
}
