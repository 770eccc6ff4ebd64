//! Flags of `train`.

use super::Reading;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use pulvinar::spec::RouteSpec;
use std::path::PathBuf;

/// How the projections that learn are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    One(RouteSpec),
    All,
}

impl Rule {
    const EVERY: [Self; RouteSpec::NAMES.len() + 1] = {
        let mut every = [Self::All; RouteSpec::NAMES.len() + 1];
        let mut k = 0;
        while k < RouteSpec::NAMES.len() {
            every[k] = Self::One(RouteSpec::NAMES[k].1);
            k += 1;
        }
        every
    };

    /// The one route; none of `all`.
    pub fn route(self) -> Option<RouteSpec> {
        match self {
            Self::One(route) => Some(route),
            Self::All => None,
        }
    }
}

impl ValueEnum for Rule {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::EVERY
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::One(RouteSpec::Gradient) => PossibleValue::new("gradient").help("the exact gradient"),
            Self::One(route) => PossibleValue::new(route.name()),
            Self::All => PossibleValue::new("all").help("every rule and the gradient, one after another"),
        })
    }
}

#[derive(Clone, Debug, Args)]
pub struct Train {
    /// Circuit file (or run directory); not needed with --resume
    #[arg(required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// Steps in all, instead of those of the circuit
    #[arg(long, value_parser = steps, allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// Rule of all projections that learn, instead of their own
    #[arg(long, value_enum)]
    pub rule: Option<Rule>,
    /// Learning rate of all projections that learn, instead of their own
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// Go on with the training of a run directory, bit for bit
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "force"])]
    pub resume: Option<PathBuf>,
    /// Run directory to write
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace the files of an earlier run in the directory
    #[arg(long)]
    pub force: bool,
}

/// Most steps, as in a circuit.
const MOST: usize = 100_000_000;

fn steps(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=MOST).contains(n));
    n.ok_or_else(|| format!("write a whole number, 1 to {MOST}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let x: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if x.is_finite() && x >= 0.0 { Ok(x) } else { Err("a rate is finite, and zero or positive".to_owned()) }
}
