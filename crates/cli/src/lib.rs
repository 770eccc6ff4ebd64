//! The command line: one file per verb; the only place with colour, terminals and exit codes.
//!
//! stdout carries results, stderr diagnostics. Exit codes: 0 yes; 1 it ran and the answer is no; 2 usage; 3 the
//! circuit is invalid or is not attention; 4 a file could not be read or written, or holds bad numbers;
//! 130 interrupted, 143 terminated.

mod args;
mod cells;
mod cells_args;
mod cells_report;
mod check;
mod compile;
mod dale;
mod emit;
mod experiment;
mod figures;
mod helpers;
mod import;
mod intact;
mod interrupt;
mod load;
mod new;
mod output;
mod page;
mod pieces;
mod progress;
mod report;
mod resolved;
mod run_files;
mod simulate;
mod spiking;
mod spiking_report;
mod train;
mod validate;
mod verify;

pub use args::Cli;
use args::Verb;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use pulvinar::files::inputs;
use std::process::ExitCode;

/// Exit code of a wrong command line.
const USAGE: u8 = 2;

/// Runs the program; the process ends with the returned code.
#[must_use]
pub fn main() -> ExitCode {
    interrupt::begin();
    let (out, own) = match Cli::try_parse() {
        Ok(cli) => {
            let out = report::Reporter::new(&cli.common);
            let own = run(&cli, &out);
            (out, own)
        }
        Err(error) => refused(&error),
    };
    ExitCode::from(out.code(own))
}

/// Help and version, and command lines that could not be read.
fn refused(error: &clap::Error) -> (report::Reporter, u8) {
    let words: Vec<String> = std::env::args_os().skip(1).map(|w| w.to_string_lossy().into_owned()).collect();
    let out = report::Reporter::of_words(&words);
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        out.help(&error.render());
        return (out, 0);
    }
    let command = Cli::command();
    let verb = words.iter().find(|w| command.find_subcommand(w).is_some());
    out.usage(verb.map_or("usage", String::as_str), error);
    (out, USAGE)
}

fn run(cli: &Cli, out: &report::Reporter) -> u8 {
    if let Some(bytes) = cli.common.max_memory {
        pulvinar::memory::set_limit(bytes);
    }
    let result = match &cli.verb {
        Verb::New(a) => new::run(a, out),
        Verb::Validate(a) => validate::run(a, out),
        Verb::Compile(a) => compile::run(a, out),
        Verb::Simulate(a) => simulate::run(a, out),
        Verb::Check(a) => check::run(a, out),
        Verb::Import(a) => import::run(a, out),
        Verb::Experiment(a) => experiment::run(a, out),
        Verb::Figures(a) => figures::run(a, out),
        Verb::Train(a) => train::run(a, out),
        Verb::Verify(a) => verify::run(a, out),
        Verb::Schema => helpers::schema(out),
        Verb::Explain { code } => helpers::explain(code, out),
        Verb::Completions { shell } => helpers::completions(*shell, out),
        Verb::Man => helpers::man(out),
    };
    let says_itself = matches!(cli.verb, Verb::Verify(_));
    for path in inputs::unsummed().iter().filter(|_| !says_itself) {
        out.note(&format!(
            "note: {} carries no checksum, so that damage to it does not show",
            path.display()
        ));
    }
    result.unwrap_or_else(|failure| out.failure(cli.verb.name(), &failure))
}
