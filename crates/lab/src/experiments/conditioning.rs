//! Pavlovian conditioning: the conditioned stimulus is the key, the unconditioned one the value, the test stimulus the query.
//!
//! One trial is one token: its key is the sum of the unit vectors of the stimuli that are present, its value the strength of
//! the US. The response to a test is the recall of the sum of the stimuli tested, after each trial. Protocols are those of
//! the file (`protocol.conditioning`); beside each response stands that of the Rescorla-Wagner equations (`rescorla`) with
//! the rule and rate of the circuit.
//!
//! # Source
//! The mapping of stimuli to query, key and value: Qiao 2025, arXiv 2508.08289.

use super::memory::{Memory, Rule, memories, width};
use super::report::{Cell, Digits, Report, Table};
use super::rescorla::{Learning, Trial, strengths};
use super::setup::{Setup, room, unfit};
use nalgebra::DMatrix;
use pulvinar::attention::Mask;
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::spec::{ConditioningSpec, PhaseSpec, Shows, StimuliSpec, Table as Named};

/// Largest distance to the equations, relative to the response where that is above 1.
const EXACT: f64 = 1e-9;
/// A response counts as different from another (or from none) beyond this part of the strongest US.
const VISIBLE: f64 = 0.05;
/// Most points of a learning curve that are kept.
const MOST_POINTS: usize = 1000;

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let protocols =
        setup.plan(&document, |p| (!p.conditioning.is_empty()).then(|| p.conditioning.clone()))?;
    let (d, d_v) = (width(&document, "key")?, width(&document, "value")?);
    let memories = memories(&document)?;
    let mut report =
        Report { seed: document.spec.seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut table = Table::new(
        "conditioning",
        "response to the test stimulus after training, and after the control training",
        &[
            ("protocol", Digits::Short),
            ("memory", Digits::Short),
            ("response", Digits::Long),
            ("equations", Digits::Long),
            ("control", Digits::Long),
            ("control_equations", Digits::Long),
            ("finding", Digits::Short),
            ("shown", Digits::Short),
        ],
    );
    let mut curves = Table::new(
        "curves",
        "response to the test stimulus after each trial",
        &[
            ("protocol", Digits::Short),
            ("training", Digits::Short),
            ("memory", Digits::Short),
            ("trial", Digits::Short),
            ("response", Digits::Long),
        ],
    );
    curves.hidden = true;
    setup.progress.begin("protocols", protocols.0.len());
    for (name, protocol) in protocols.iter() {
        let names = stimuli(protocol);
        if names.len() > d {
            let path = format!("protocol.conditioning.{name}");
            let what = format!("`{name}` shows {} stimuli, but keys have {d} cells", names.len());
            let help = "each stimulus needs a direction of its own: a wider stream `key`";
            let mut found: Diagnostics = unfit(&path, what).help(help).into();
            document.locate(&mut found);
            return Err(found);
        }
        let mut cannot = Vec::new();
        for memory in &memories {
            let job = Job { memory, names: &names, d, d_v, test: &protocol.test };
            let mut row = vec![Cell::Text(name.to_owned()), Cell::Text(memory.name.clone())];
            let mut ends = Vec::new();
            for (training, phases) in [("train", &protocol.train), ("control", &protocol.control)] {
                if phases.is_empty() {
                    row.extend([Cell::None, Cell::None]);
                    continue;
                }
                let trials = trials(phases, &names);
                let responses = job.responses(&trials)?;
                let end = responses.last().copied().unwrap_or(0.0);
                ends.push(end);
                match job.equations(&trials) {
                    None => row.extend([Cell::Number(end), Cell::None]),
                    Some(law) => {
                        let what = format!("{name} ({training}) of {}", memory.name);
                        row.extend(report.judge_exact(what, end, law, EXACT * law.abs().max(1.0)));
                    }
                }
                let stride = responses.len().div_ceil(MOST_POINTS);
                for (trial, response) in responses.iter().enumerate().filter(|(t, _)| (t + 1) % stride == 0) {
                    let words = [name, training, &memory.name].map(|w| Cell::Text(w.to_owned()));
                    curves.rows.push(
                        words.into_iter().chain([Cell::Count(trial + 1), Cell::Number(*response)]).collect(),
                    );
                }
            }
            let is_shown = shown(protocol, &ends);
            if !is_shown {
                cannot.push(memory.name.as_str());
            }
            row.push(Cell::Text(protocol.shows.name().to_owned()));
            row.push(Cell::Text(if is_shown { "yes" } else { "no" }.to_owned()));
            table.rows.push(row);
        }
        if !cannot.is_empty() {
            report.notes.push(format!("{name}: not shown by {}", cannot.join(", ")));
        }
        setup.progress.step();
    }
    report.tables = vec![table, curves];
    Ok(report)
}

/// All stimuli of a protocol, in order of appearance: each has a direction of its own.
fn stimuli(protocol: &ConditioningSpec) -> Vec<String> {
    let phases = protocol.train.iter().chain(&protocol.control);
    let shown = phases.flat_map(|p| &p.trials).flat_map(|t| t.cs.0.names()).chain(protocol.test.0.names());
    let mut names: Vec<String> = Vec::new();
    for name in shown {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The phases written out, trial by trial.
fn trials(phases: &[PhaseSpec], names: &[String]) -> Vec<Trial> {
    let once = |phase: &PhaseSpec| -> Vec<Trial> {
        phase.trials.iter().map(|t| Trial { stimuli: intensities(&t.cs, names), us: t.us }).collect()
    };
    phases.iter().flat_map(|phase| std::iter::repeat_n(once(phase), phase.repeat).flatten()).collect()
}

fn intensities(cs: &StimuliSpec, names: &[String]) -> Vec<f64> {
    let Named(shown) = &cs.0;
    names.iter().map(|name| shown.iter().find(|(n, _)| n == name).map_or(0.0, |(_, x)| *x)).collect()
}

struct Job<'a> {
    memory: &'a Memory,
    names: &'a [String],
    d: usize,
    d_v: usize,
    test: &'a StimuliSpec,
}

impl Job<'_> {
    /// The response to the test after each trial; after the last one only where the memory is read when all is stored.
    fn responses(&self, trials: &[Trial]) -> Result<Vec<f64>, Diagnostic> {
        room(self.d.max(self.d_v), trials.len() + 1)?;
        let strict = self.memory.blocks().iter().any(|b| b.heads.iter().any(|h| h.mask == Mask::Strict));
        // A strict mask answers before it writes: a rest at the end shows what the last trial left.
        let n = trials.len() + usize::from(strict);
        let test = intensities(self.test, self.names);
        let cell = |x: &[f64], i: usize| x.get(i).copied().unwrap_or(0.0);
        let key = |i: usize, t: usize| trials.get(t).map_or(0.0, |trial| cell(&trial.stimuli, i));
        let cues = DMatrix::from_fn(self.d, n, |i, _| cell(&test, i));
        let keys = DMatrix::from_fn(self.d, n, key);
        let values = DMatrix::from_fn(self.d_v, n, |_, t| trials.get(t).map_or(0.0, |trial| trial.us));
        let answer = self.memory.recall(&cues, &keys, &values)?;
        Ok(answer.row(0).iter().copied().skip(n - trials.len()).collect())
    }

    /// The same by the equations of associative strength, where the circuit is one that they describe.
    fn equations(&self, trials: &[Trial]) -> Option<f64> {
        let plain = self.memory.plain()?;
        // A strict mask reads before the rest fades anything; a full or causal one after the last trial: all the same.
        let learning = match plain.rule {
            Rule::Hebbian => Learning::Hebbian { rate: plain.gain },
            Rule::Decay(g) => Learning::Decay { g, rate: plain.gain },
            Rule::Delta(rate) => Learning::Delta { rate },
        };
        let strength = strengths(learning, self.names.len(), trials);
        let test = intensities(self.test, self.names);
        Some(strength.iter().zip(&test).map(|(v, x)| v * x).sum())
    }
}

/// Whether the responses are what the protocol is known for.
fn shown(protocol: &ConditioningSpec, ends: &[f64]) -> bool {
    let phases = protocol.train.iter().chain(&protocol.control);
    let strongest = phases.flat_map(|p| &p.trials).map(|t| t.us.abs()).fold(0.0, f64::max);
    let visible = VISIBLE * strongest;
    let (after, control) = (ends.first().copied().unwrap_or(0.0), ends.get(1).copied().unwrap_or(0.0));
    match protocol.shows {
        Shows::Positive => after > visible,
        Shows::Negative => after < -visible,
        Shows::Less => after < control - visible,
        Shows::More => after > control + visible,
    }
}
