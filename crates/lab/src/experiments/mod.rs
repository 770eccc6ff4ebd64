//! Experiments: each runs the circuit of a file and compares what it measures with a law, or with published numbers.
//!
//! 1. [`Setup`] holds the circuit file, what the command line changed in it, and who is told about progress.
//! 2. For associative memories, `memory` wires and compiles the file once for each relay that receives: each is a memory, a compiled block of its
//!    own. Keys, values and cues enter as tokens of the streams `key`, `value` and `cue`; the memory rule and its rate
//!    are those of the file.
//! 3. One file for each experiment draws tokens from named streams (`draw`), runs the blocks, and puts measured numbers
//!    beside closed forms (`laws`, `rescorla`) that know no circuit.
//! 4. [`Report`] holds the tables and judges the laws.
//! 5. [`match_and_control`] runs a circuit of spikes.
//!
//! [`learning`] is apart from these: trainings, for `train` and for figures.
//!
//! Trials run in parallel; each has a random stream named after it, and results are kept in the order of trials, so the
//! bytes do not depend on the number of threads.
//!
//! **Deliberately absent:** terminals, directories; any number that belongs to a circuit.

mod aligned;
mod capacity;
mod conditioning;
mod crossover;
mod depth;
mod digits;
mod draw;
mod equilibrium;
mod hopfield;
mod identify;
pub mod laws;
pub mod learning;
mod loops;
pub mod match_and_control;
mod memory;
mod report;
pub mod rescorla;
mod setup;

pub use capacity::mean_law;
pub use memory::{Memory, Plain, Rule, memories};
pub use report::{Allowed, Cell, Digits, Judged, Report, Table, Verdict};
pub use setup::{Progress, Quiet, Setup};

use pulvinar::diag::Diagnostics;

/// An experiment and the circuit that it runs unless another file is given.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    pub name: &'static str,
    /// one line
    pub about: &'static str,
    /// name of the shipped circuit
    pub circuit: &'static str,
    /// its text
    pub text: &'static str,
    run: fn(&Setup<'_>) -> Result<Report, Diagnostics>,
}

const MEMORIES: &str = include_str!("../../../../circuits/associative_memory.yaml");

/// Every experiment, in the order in which they are listed.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: "capacity",
        about: "recall error against the number of stored pairs, for each memory rule",
        circuit: "associative_memory",
        text: MEMORIES,
        run: capacity::run,
    },
    Experiment {
        name: "conditioning",
        about: "Pavlovian protocols: blocking, extinction, overexpectation, ...",
        circuit: "conditioning",
        text: include_str!("../../../../circuits/conditioning.yaml"),
        run: conditioning::run,
    },
    Experiment {
        name: "crossover",
        about: "where one memory wins by squared error and another by decoding",
        circuit: "associative_memory",
        text: MEMORIES,
        run: crossover::run,
    },
    Experiment {
        name: "identify",
        about: "which memory rule made these recalls? An observer's answer for random circuits",
        circuit: "associative_memory",
        text: MEMORIES,
        run: identify::run,
    },
    Experiment {
        name: "depth",
        about: "recall through layers with fresh keys and redundant columns",
        circuit: "recall_chain",
        text: include_str!("../../../../circuits/recall_chain.yaml"),
        run: depth::run,
    },
    Experiment {
        name: "hopfield",
        about: "retrieval, energy, fixed points and capacities of softmax, power and linear heads",
        circuit: "hopfield",
        text: include_str!("../../../../circuits/hopfield.yaml"),
        run: hopfield::run,
    },
    Experiment {
        name: "equilibrium",
        about: "a recurrent memory settles to the pseudo-inverse, which the delta rule learns",
        circuit: "equilibrium",
        text: include_str!("../../../../circuits/equilibrium.yaml"),
        run: equilibrium::run,
    },
    Experiment {
        name: "digits",
        about: "retrieval of corrupted handwritten digits (needs the images: run it beside `circuits/`)",
        circuit: "digit_memories",
        text: include_str!("../../../../circuits/digit_memories.yaml"),
        run: digits::run,
    },
    Experiment {
        name: "match-and-control",
        about: "spikes: calcium, match and control phases, and the kernel of attention that they are",
        circuit: "match_and_control",
        text: include_str!("../../../../circuits/match_and_control.yaml"),
        run: match_and_control::run,
    },
];

/// Finds an experiment.
#[must_use]
pub fn find(name: &str) -> Option<&'static Experiment> {
    ALL.iter().find(|e| e.name == name)
}

impl Experiment {
    /// Runs it.
    ///
    /// # Errors
    /// Mistakes in the circuit, with their places; a circuit that does not fit the experiment; a run that diverges.
    pub fn run(&self, setup: &Setup<'_>) -> Result<Report, Diagnostics> {
        (self.run)(setup)
    }
}
