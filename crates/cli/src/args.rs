//! Verbs and flags.

mod experiment;
mod figures;
mod heads;
mod train;

pub use experiment::Experiment;
pub use figures::{Figures, Image};
pub use heads::{Check, Import};
pub use train::{Rule, Train};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Cortico-thalamic circuits in YAML, compiled to multihead linear self-attention.
#[derive(Debug, Parser)]
#[command(name = "pulvinar", version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 yes; 1 it ran and the answer is no; 2 usage; 3 the circuit is invalid or is not \
                        attention; 4 a file could not be read or written; 130 interrupted; 143 terminated.\n\nStart: pulvinar new attention_mask_head -o head.yaml"
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Text for people or one JSON object for programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Colour of diagnostics (NO_COLOR is respected)
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// Only errors on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Most memory to take, such as 4GB or 512MiB (default: half of the machine's)
    #[arg(long, global = true, value_name = "SIZE", value_parser = pulvinar::memory::parse)]
    pub max_memory: Option<u64>,
    /// More about what is done, on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List templates, or write a commented starter circuit
    New(New),
    /// Report every mistake of circuit files at once
    Validate(Validate),
    /// Compile a circuit to attention heads and say how each came about
    Compile(Compile),
    /// Run a circuit on tokens
    Simulate(Simulate),
    /// Is this circuit the same function as these transformer heads?
    Check(Check),
    /// Write transformer heads as a circuit
    Import(Import),
    /// Run circuits as memories and compare with closed forms
    Experiment(Experiment),
    /// Draw the figures from their circuits, with the numbers behind each
    Figures(Figures),
    /// Let a circuit learn, by local plasticity or by the exact gradient
    Train(Train),
    /// Is a run directory whole? Checksums, versions and what made it
    Verify(Verify),
    /// Print the JSON Schema of circuit files
    Schema,
    /// Explain the code of a diagnostic
    Explain {
        /// A code such as C010; without it, all codes are listed
        code: Option<String>,
    },
    /// Print completions for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Verb {
    /// The word on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Validate(_) => "validate",
            Self::Compile(_) => "compile",
            Self::Simulate(_) => "simulate",
            Self::Check(_) => "check",
            Self::Import(_) => "import",
            Self::Experiment(_) => "experiment",
            Self::Figures(_) => "figures",
            Self::Train(_) => "train",
            Self::Verify(_) => "verify",
            Self::Schema => "schema",
            Self::Explain { .. } => "explain",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
        }
    }
}

/// Flags of every verb that reads a circuit.
#[derive(Clone, Debug, Default, Args)]
pub struct Reading {
    /// Set a parameter of the circuit
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Replace the circuit's seed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Worker threads (default: all cores; results do not depend on it)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct New {
    /// Template; without it, the templates are listed
    pub template: Option<String>,
    /// File to write, .yaml or .yml (default, and `-`: stdout)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Validate {
    /// Circuit files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// the resolved circuit as YAML, templates written out
    Spec,
    /// the wired circuit
    Graph,
    /// sums of products of linear forms
    Factors,
    /// all matrices of all heads
    Heads,
    /// the circuit as Graphviz text
    Dot,
    /// a drawing of the circuit
    Svg,
}

#[derive(Debug, Args)]
pub struct Compile {
    /// Circuit file
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Print one stage instead of the report
    #[arg(long, value_enum)]
    pub emit: Option<Emit>,
    /// Say which lines of the file became which matrix
    #[arg(long)]
    pub explain: bool,
    /// Print the circuit rewritten with plus and minus cells (Dale's law), as YAML
    #[arg(long, conflicts_with_all = ["emit", "explain", "output"])]
    pub dale: bool,
    /// Write what `--emit` names to a file that ends accordingly (`explain U007`), without it the heads (.safetensors); `-` is
    /// stdout
    #[arg(short, long, value_name = "HEADS.safetensors")]
    pub output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Run directory (or a .safetensors file of heads or weights)
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// the compiled heads
    Algebraic,
    /// every cell in time
    Cells,
    /// match-and-control: spike trains and a neuron as a cable
    Spiking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    F64,
    F32,
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// Circuit file
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Tokens, one row each: .npy, .npz, .csv or .safetensors
    #[arg(long, value_name = "[NAME=]FILE")]
    pub tokens: Vec<String>,
    /// Read tokens piece by piece, from .npy files of any length, in memory that does not grow with them
    #[arg(long)]
    pub stream: bool,
    /// (default: what the circuit is made for: spiking for circuits of spikes, else algebraic)
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Number of trials, in place of the circuit's (needs --mode spiking)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub trials: Option<u32>,
    /// Run directory to write
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace the files of an earlier run in the directory
    #[arg(long)]
    pub force: bool,
    #[arg(long, value_enum, default_value_t = Precision::F64)]
    pub precision: Precision,
    /// Let all cells that do not say otherwise read out `v + tau dv/dt` (needs --mode cells)
    #[arg(long)]
    pub prospective: bool,
    /// Traces to record (needs --mode cells or spiking)
    #[arg(long, value_name = "WHAT")]
    pub record: Vec<String>,
    /// Lesions (need --mode cells)
    #[arg(long, value_name = "WHAT")]
    pub lesion: Vec<String>,
}
