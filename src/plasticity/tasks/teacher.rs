//! Targets from a teacher: tokens are drawn as the streams say, the teacher's output is what should come out.

use super::resolve::{Finder, Resolved};
use crate::attention::{Block, ForwardError, Memory, Rate, Streams, forward};
use crate::circuit::Circuit;
use crate::diag::{Diagnostic, Diagnostics, codes, one_of};
use crate::seed;
use crate::spec::{InputSpec, TeacherSpec};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// A stack of blocks that read the circuit's own streams.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    blocks: Vec<Block>,
    /// streams that are drawn, in the order of the circuit, and the standard deviation of their numbers
    drawn: Vec<(String, f64)>,
    target: String,
}

impl Teacher {
    pub fn new(
        spec: &TeacherSpec,
        circuit: &Circuit,
        blocks: Vec<Block>,
    ) -> Result<(Resolved, Self), Diagnostics> {
        let mut f = Finder::new(circuit, "teacher");
        let blocks = rename(blocks, spec, circuit, &mut f);
        let mut drawn = Vec::new();
        let mut lengths = BTreeMap::new();
        let tokens = |s: &&crate::circuit::Stream| s.name != spec.target && s.positions.is_none();
        for stream in circuit.streams.iter().filter(tokens) {
            let Some(InputSpec::Gaussian { length, std }) = stream.input else {
                let place = if circuit.streams.len() == 1 { "tokens" } else { "tokens.streams" };
                let what = format!("stream `{}` does not say how its tokens are drawn", stream.name);
                f.mistakes.push(
                    Diagnostic::error(codes::C061, format!("{place}.{}", stream.name), what)
                        .help("add `input: {gaussian: {length: 16}}` to it"),
                );
                continue;
            };
            lengths.entry(stream.clock).or_insert(length);
            if f.stream("tokens", &stream.name, length).is_some() {
                drawn.push((stream.name.clone(), std));
            }
        }
        let clock = circuit.streams.iter().find(|s| s.name == spec.target).map(|s| s.clock);
        let length = clock.and_then(|c| lengths.get(&c).copied());
        if clock.is_some() && length.is_none() && !f.mistakes.has_errors() {
            let what = format!("stream `{}` has a clock of its own", spec.target);
            f.wrong("target", what, "add `clock: NAME`: there is one target for each token of the output");
        }
        let Some(target) = f.stream("target", &spec.target, length.unwrap_or(1)) else {
            return Err(f.mistakes);
        };
        let resolved = f.finish(target)?;
        let teacher = Self { blocks, drawn, target: spec.target.clone() };
        let mut trial: Streams = resolved.all.iter().map(|s| (s.name.clone(), s.blank())).collect();
        teacher
            .fill(&mut seed::stream(circuit.seed, "task.trial"), &mut trial)
            .map_err(|d| Diagnostics::from(Diagnostic { path: "task.teacher".to_owned(), ..d }))?;
        Ok((resolved, teacher))
    }

    pub fn fill(&self, rng: &mut ChaCha8Rng, streams: &mut Streams) -> Result<(), Diagnostic> {
        for (name, std) in &self.drawn {
            let tokens = streams.get_mut(name).expect("the streams of `Task::sample`");
            tokens.as_mut_slice().fill_with(|| std * seed::normal(rng));
        }
        let outcome = self.run(streams);
        for block in &self.blocks {
            streams.remove(&block.relay);
        }
        outcome
    }

    fn run(&self, streams: &mut Streams) -> Result<(), Diagnostic> {
        let wrong = |code, what: String| {
            Diagnostic::error(code, "task.teacher", what)
                .help("the teacher needs the widths and clocks of the circuit that learns; see `pulvinar compile` of both")
        };
        let last = self.blocks.len().saturating_sub(1);
        for (n, block) in self.blocks.iter().enumerate() {
            let y = forward(block, streams).map_err(|e| {
                let diverged = matches!(
                    e,
                    ForwardError::DivisionByZero { .. }
                        | ForwardError::Underflow { .. }
                        | ForwardError::NotFinite { .. }
                        | ForwardError::OutputNotFinite { .. }
                );
                let code = if diverged { codes::R001 } else { codes::C060 };
                wrong(code, format!("the teacher does not run on these tokens: {e}"))
            })?;
            if n < last {
                streams.insert(block.relay.clone(), y);
                continue;
            }
            let target = streams.get_mut(&self.target).expect("the streams of `Task::sample`");
            if target.shape() != y.shape() {
                let what = format!(
                    "the teacher sends {} tokens of {} numbers, but `{}` has {} of {}",
                    y.ncols(),
                    y.nrows(),
                    self.target,
                    target.ncols(),
                    target.nrows()
                );
                return Err(wrong(codes::C060, what));
            }
            target.copy_from(&y);
        }
        Ok(())
    }
}

/// Gives the teacher's streams the names that the circuit has for them, and its relays names that no stream has.
fn rename(mut blocks: Vec<Block>, spec: &TeacherSpec, circuit: &Circuit, f: &mut Finder<'_>) -> Vec<Block> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (n, block) in blocks.iter().enumerate() {
        names.insert(block.relay.clone(), format!("teacher.{n}"));
    }
    let mut inputs = BTreeSet::new();
    for block in &mut blocks {
        each_stream(block, &mut |name| {
            if !names.contains_key(name) {
                inputs.insert(name.clone());
            }
        });
    }
    if inputs.len() == 1 {
        names.extend(inputs.into_iter().map(|name| (name, spec.tokens.clone())));
    } else {
        for name in inputs {
            if name == spec.target || !circuit.streams.iter().any(|s| s.name == name) {
                let known = circuit.streams.iter().map(|s| s.name.as_str()).filter(|s| *s != spec.target);
                let help = format!("streams that it can read: {}", one_of(known));
                f.wrong(
                    "",
                    format!("the teacher reads a stream `{name}`, which the circuit does not give it"),
                    help,
                );
            }
            names.insert(name.clone(), name);
        }
    }
    for block in &mut blocks {
        each_stream(block, &mut |name| {
            if let Some(new) = names.get(name) {
                name.clone_from(new);
            }
        });
        if let Some(new) = names.get(&block.relay) {
            block.relay.clone_from(new);
        }
    }
    if blocks.is_empty() {
        f.wrong("", "the teacher has no block", "name a circuit that compiles to heads");
    }
    blocks
}

/// Every name of a stream that a block reads.
fn each_stream(block: &mut Block, act: &mut impl FnMut(&mut String)) {
    act(&mut block.clock_stream);
    for path in &mut block.residual {
        act(&mut path.stream);
    }
    for head in &mut block.heads {
        act(&mut head.query_stream);
        act(&mut head.context_stream);
        act(&mut head.value_stream);
        if let Memory::Gated { gate, .. } | Memory::Delta(Rate::Gate(gate)) = &mut head.memory {
            act(&mut gate.stream);
        }
    }
}
