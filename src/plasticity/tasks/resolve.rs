//! The streams of a task: names become streams of the circuit, widths and clocks are checked.

use crate::circuit::{Circuit, Kind, Output};
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean, one_of};
use crate::simulate::positions;
use crate::spec::PositionsSpec;
use nalgebra::DMatrix;
use std::collections::BTreeSet;

/// Most numbers that one stream of one sequence may hold.
const MAX_NUMBERS: usize = 20_000_000;

/// A stream that the task fills.
#[derive(Clone, Debug)]
pub(super) struct TaskStream {
    pub name: String,
    pub d_model: usize,
    pub length: usize,
    pub clock: usize,
    /// its tokens are functions of their number, which no task feeds
    pub positions: Option<PositionsSpec>,
}

impl TaskStream {
    /// Tokens before a sequence fills them, `[d_model, n_tokens]`.
    pub fn blank(&self) -> DMatrix<f64> {
        match &self.positions {
            Some(spec) => positions::tokens(spec, 0, self.length),
            None => DMatrix::zeros(self.d_model, self.length),
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub all: Vec<TaskStream>,
    /// which of them carries the targets
    pub target: usize,
}

/// Finds streams by name, and collects what does not fit.
pub(super) struct Finder<'a> {
    circuit: &'a Circuit,
    /// `task.digits` and so on
    pub path: String,
    found: Vec<TaskStream>,
    /// streams whose tokens could not be read: what that leads to is no mistake of its own
    lost: BTreeSet<String>,
    pub mistakes: Diagnostics,
}

impl<'a> Finder<'a> {
    pub fn new(circuit: &'a Circuit, task: &str) -> Self {
        Self {
            circuit,
            path: format!("task.{task}"),
            found: Vec::new(),
            lost: BTreeSet::new(),
            mistakes: Diagnostics::new(),
        }
    }

    pub fn wrong(&mut self, key: &str, what: impl Into<String>, help: impl Into<String>) {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        self.mistakes.push(Diagnostic::error(codes::C060, path, what).help(help));
    }

    /// The stream that `key` of the task names, with `length` tokens; its number.
    pub fn stream(&mut self, key: &str, name: &str, length: usize) -> Option<usize> {
        let Some(stream) = self.circuit.streams.iter().find(|s| s.name == name) else {
            let names = self.circuit.streams.iter().map(|s| s.name.as_str());
            self.mistakes.push(
                Diagnostic::error(codes::C001, format!("{}.{key}", self.path), format!("no stream `{name}`"))
                    .help(did_you_mean(name, names)),
            );
            return None;
        };
        if stream.positions.is_some() {
            let what = format!("stream `{name}` holds positions, which no task feeds");
            self.wrong(key, what, "name a stream of tokens; positions follow the clock of theirs");
            return None;
        }
        if self.found.iter().any(|s| s.name == name) {
            self.wrong(key, format!("stream `{name}` has two roles in the task"), "name two streams");
            return None;
        }
        if length.checked_mul(stream.d_model).is_none_or(|n| n > MAX_NUMBERS) {
            let what = format!(
                "{length} tokens of {} numbers each are too many; one sequence may have {MAX_NUMBERS} numbers",
                stream.d_model
            );
            let why = Diagnostic::error(codes::C006, self.path.clone(), what)
                .help("use shorter sequences; nothing was allocated");
            self.lose(name, why);
            return None;
        }
        self.found.push(TaskStream {
            name: name.to_owned(),
            d_model: stream.d_model,
            length,
            clock: stream.clock,
            positions: None,
        });
        Some(self.found.len() - 1)
    }

    /// Tokens of a stream that could not be had, and why.
    pub fn lose(&mut self, stream: &str, why: Diagnostic) {
        self.lost.insert(stream.to_owned());
        self.mistakes.push(why);
    }

    pub fn d_model(&self, stream: usize) -> usize {
        self.found[stream].d_model
    }

    /// A width that the task needs.
    pub fn wants_width(&mut self, key: &str, stream: usize, width: usize, why: &str) {
        let s = &self.found[stream];
        if s.d_model != width {
            let what = format!("stream `{}` has d_model {}, but {why} {width}", s.name, s.d_model);
            self.wrong(key, what, format!("write `d_model: {width}`, or name another stream"));
        }
    }

    /// Positions beside the tokens that they number.
    fn number(&mut self) {
        for stream in &self.circuit.streams {
            let Some(spec) = &stream.positions else { continue };
            let Some(length) = self.found.iter().find(|s| s.clock == stream.clock).map(|s| s.length) else {
                continue;
            };
            if let Err(why) = positions::fit(stream, spec, length, length) {
                self.lose(&stream.name, why);
                continue;
            }
            self.found.push(TaskStream {
                name: stream.name.clone(),
                d_model: stream.d_model,
                length,
                clock: stream.clock,
                positions: Some(spec.clone()),
            });
        }
    }

    /// Checks what all tasks need: one clock for output and target, equal lengths on each clock, no relay left without tokens.
    pub fn finish(mut self, target: usize) -> Result<Resolved, Diagnostics> {
        let circuit = self.circuit;
        let output = circuit.population(match circuit.output {
            Output::Relay(id) | Output::Signed { plus: id, .. } => id,
        });
        let t = self.found[target].clone();
        if t.d_model != output.cells {
            let what = format!(
                "stream `{}` has d_model {}, but the output `{}` has {} cells",
                t.name, t.d_model, output.name, output.cells
            );
            self.wrong("target", what, "targets are compared with the output, cell by cell");
        }
        if output.query_clock.is_some_and(|clock| clock != t.clock) {
            let clock = output.query_clock.map_or("", |c| circuit.streams[c].name.as_str());
            let what =
                format!("targets of `{}` and the output `{}` have different clocks", t.name, output.name);
            self.wrong("target", what, format!("write `clock: {clock}` in the stream `{}`", t.name));
        }
        for (n, s) in self.found.clone().iter().enumerate() {
            if let Some(other) = self.found[..n].iter().find(|o| o.clock == s.clock && o.length != s.length) {
                let what = format!(
                    "streams `{}` and `{}` share a clock, but have {} and {} tokens in this task",
                    other.name, s.name, other.length, s.length
                );
                self.wrong("", what, "give one of them a clock of its own");
            }
        }
        self.number();
        let filled: BTreeSet<&str> = self.found.iter().map(|s| s.name.as_str()).collect();
        for p in &circuit.populations {
            let Kind::Relay { stream: Some(s), .. } = p.kind else { continue };
            let name = circuit.streams[s].name.as_str();
            if !filled.contains(name) && !self.lost.contains(name) {
                let what =
                    format!("relay `{}` carries stream `{name}`, which the task does not fill", p.name);
                let help = format!("the task fills {}", one_of(filled.iter().copied()));
                self.mistakes.push(Diagnostic::error(codes::C061, p.path.clone(), what).help(help));
            }
        }
        if self.mistakes.has_errors() {
            return Err(self.mistakes);
        }
        Ok(Resolved { all: self.found, target })
    }
}
