//! Flags of `experiment`.

use super::Reading;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Experiment {
    /// Experiment; without it, the experiments are listed
    pub name: Option<String>,
    /// Circuit file (default: the shipped one of the experiment)
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// Exit with 1 when a number leaves its law: any beyond 4 standard errors, or more than 1% beyond 3 (with another
    /// --seed a table of few numbers may do so by chance)
    #[arg(long)]
    pub check: bool,
    /// Replace the number of trials of the file
    #[arg(long, value_name = "N", value_parser = trials)]
    pub trials: Option<usize>,
    /// Print the shipped circuit of the experiment, to copy and change
    #[arg(long, conflicts_with_all = ["file", "check", "output", "trials"])]
    pub print: bool,
    /// Directory for the tables (.csv)
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace the files of an earlier run in the directory
    #[arg(long)]
    pub force: bool,
}

fn trials(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 2..=1_000_000) => Ok(n),
        _ => Err("a whole number from 2 to 1000000 is needed".to_owned()),
    }
}
