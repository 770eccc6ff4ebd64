//! What an experiment is given: a circuit file, what the command line changed in it, and how to work.

use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::seed;
use pulvinar::spec::{self, Document, ProtocolSpec};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::path::PathBuf;

/// Someone who is told how far the work is.
pub trait Progress: Sync {
    /// Work of so many steps begins.
    fn begin(&self, what: &str, steps: usize);
    /// One step is over.
    fn step(&self);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: usize) {}
    fn step(&self) {}
}

/// One experiment to run.
pub struct Setup<'a> {
    /// name of the experiment: the beginning of the names of its random streams
    pub experiment: &'static str,
    /// the circuit file
    pub text: Vec<u8>,
    /// folder that relative paths in it start from
    pub folder: PathBuf,
    /// `--set name=value` pairs
    pub set: Vec<(String, String)>,
    /// replaces the seed of the file
    pub seed: Option<u64>,
    /// replaces the number of trials of the file
    pub trials: Option<usize>,
    pub progress: &'a dyn Progress,
}

impl Setup<'_> {
    /// The circuit with more parameters set.
    ///
    /// # Errors
    /// Every mistake in the text, with its place; parameters that the file does not have.
    pub fn document(&self, more: &[(&str, String)]) -> Result<Document, Diagnostics> {
        let mut set = self.set.clone();
        set.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut document = spec::read(&self.text, &self.folder, &set)?;
        if let Some(seed) = self.seed {
            document.spec.seed = seed;
        }
        Ok(document)
    }

    /// The part of `protocol` that the experiment reads.
    ///
    /// # Errors
    /// `U006` if the file has none.
    pub fn plan<T>(
        &self,
        document: &Document,
        part: impl FnOnce(&ProtocolSpec) -> Option<T>,
    ) -> Result<T, Diagnostics> {
        document.spec.reserved.protocol.as_ref().and_then(part).ok_or_else(|| {
            unfit(
                "protocol",
                format!(
                    "`{}` does not say what to do: there is no `protocol.{}`",
                    document.spec.name, self.experiment
                ),
            )
            .help(format!("`pulvinar experiment {} --print` prints a file that has it", self.experiment))
            .into()
        })
    }

    /// The values over which a parameter is swept; one that `--set` fixed stays as it is.
    ///
    /// # Errors
    /// `U006` if the value that was set is not a count.
    pub fn sweep(&self, name: &str, values: &[usize]) -> Result<Vec<usize>, Diagnostics> {
        let Some((_, value)) = self.set.iter().rev().find(|(n, _)| n == name) else {
            return Ok(values.to_vec());
        };
        match value.parse() {
            Ok(n) if n > 0 => Ok(vec![n]),
            _ => Err(unfit("parameters", format!("`--set {name}={value}`: the experiment needs a count"))
                .help("give a whole number, 1 or more")
                .into()),
        }
    }

    /// Runs `count` trials in parallel; trial `t` draws from the stream `EXPERIMENT.WHAT.t`. Results are in the
    /// order of trials.
    ///
    /// # Errors
    /// The first of the trials, in order, that failed.
    pub fn trials<T: Send>(
        &self,
        seed: u64,
        what: &str,
        count: usize,
        run: impl Fn(usize, &mut ChaCha8Rng) -> Result<T, Diagnostics> + Sync,
    ) -> Result<Vec<T>, Diagnostics> {
        self.progress.begin(what, count);
        let all: Vec<Result<T, Diagnostics>> = (0..count)
            .into_par_iter()
            .map(|trial| {
                let mut rng = seed::stream(seed, &format!("{}.{what}.{trial}", self.experiment));
                let result = run(trial, &mut rng);
                self.progress.step();
                result
            })
            .collect();
        all.into_iter().collect()
    }
}

/// Most numbers in one matrix of tokens: 400 MB.
const MOST_NUMBERS: usize = 50_000_000;

/// Whether a matrix of tokens may be made.
///
/// # Errors
/// `U006` if it would be too large; nothing is allocated.
pub(super) fn room(rows: usize, tokens: usize) -> Result<(), Diagnostic> {
    if rows.checked_mul(tokens).is_some_and(|n| n <= MOST_NUMBERS) {
        return Ok(());
    }
    let what =
        format!("{tokens} tokens of {rows} numbers each are too many; {MOST_NUMBERS} numbers are the most");
    Err(unfit("protocol", what).help("store less, or use narrower tokens; nothing was allocated"))
}

/// How often `tokens` of `rows` numbers may be repeated in one matrix, at most `most` times.
pub(super) fn passes_within(rows: usize, tokens: usize, most: usize) -> usize {
    (MOST_NUMBERS / rows.saturating_mul(tokens).max(1)).clamp(1, most)
}

/// A circuit that the experiment cannot use.
pub(super) fn unfit(path: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(codes::U006, path, message)
}
