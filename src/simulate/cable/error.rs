//! What can be wrong with a cable model or a run of it, and what to try.

use crate::diag::{Diagnostic, codes};

/// A mistake in the parameters of a cable model, or a run that left all bounds.
#[derive(thiserror::Error, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CableError {
    #[error("{what} is {value}, but must be {range}")]
    OutOfRange { what: String, value: f64, range: &'static str },
    #[error("section `{section}` hangs on section {parent}, which does not precede it")]
    NoParent { section: String, parent: usize },
    #[error("{spines} spines on {axons} axons of {per_axon} spines each, which hold {}", axons * per_axon)]
    SpinesOnAxons { spines: usize, axons: usize, per_axon: usize },
    #[error("{what} do not divide into equal parts: {total} by {parts}")]
    Indivisible { what: &'static str, total: usize, parts: usize },
    #[error("trial {trial} has trains for {trains} axons, the neuron has {axons}")]
    Trains { trial: usize, trains: usize, axons: usize },
    #[error(
        "trial {trial}: {what} holds the time {time_ms} ms, which is outside the run of {duration_ms} ms"
    )]
    TimeOutsideRun { trial: usize, what: String, time_ms: f64, duration_ms: f64 },
    #[error("trial {trial}: the times of {what} do not rise ({before_ms} ms, then {time_ms} ms)")]
    UnsortedTrain { trial: usize, what: String, before_ms: f64, time_ms: f64 },
    #[error(
        "trial {trial}: {what} has two spikes that arrive in one step, those of {before_ms} and {time_ms} ms"
    )]
    SameStep { trial: usize, what: String, before_ms: f64, time_ms: f64 },
    #[error("the {what} from {from_ms} to {to_ms} ms does not lie in the run of {duration_ms} ms")]
    WindowOutsideRun { what: &'static str, from_ms: f64, to_ms: f64, duration_ms: f64 },
    #[error("a time step of {dt_ms} ms is too coarse: the longest is {longest_ms} ms")]
    StepTooCoarse { dt_ms: f64, longest_ms: f64 },
    #[error("the model would have {nodes} compartments, more than {most}")]
    TooLarge { nodes: usize, most: usize },
    #[error("no {what} {index}: there are {count}")]
    NoSuch { what: &'static str, index: usize, count: usize },
    #[error("{lanes} trials side by side are not built")]
    Lanes { lanes: usize },
    #[error("trial {trial} diverged before {at_ms} ms: a potential is no longer a finite number")]
    Diverged { trial: usize, at_ms: f64 },
}

impl CableError {
    /// The code that says more.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } | Self::NoParent { .. } | Self::Lanes { .. } => codes::C076,
            Self::SpinesOnAxons { .. } | Self::Indivisible { .. } => codes::C072,
            Self::Trains { .. }
            | Self::TimeOutsideRun { .. }
            | Self::UnsortedTrain { .. }
            | Self::SameStep { .. } => codes::C073,
            Self::WindowOutsideRun { .. } => codes::C074,
            Self::StepTooCoarse { .. } => codes::C075,
            Self::TooLarge { .. } => codes::C006,
            Self::NoSuch { .. } => codes::C077,
            Self::Diverged { .. } => codes::R001,
        }
    }

    /// With the path of what is at fault.
    #[must_use]
    pub fn at(&self, path: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.code(), path, self.to_string()).help(self.hint())
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "densities and rates are never negative, sizes and times are positive",
            Self::NoParent { .. } => "list sections from the soma outwards; only the first has no parent",
            Self::SpinesOnAxons { .. } => "spines = axons x spines per axon; add axons or remove spines",
            Self::Indivisible { .. } => "choose a divisor",
            Self::Trains { .. } => "give one train for each axon; a silent axon has an empty one",
            Self::TimeOutsideRun { .. } => "run longer, or draw the train in a shorter window",
            Self::UnsortedTrain { .. } => "sort each train",
            Self::SameStep { .. } => {
                "a synapse would take both for one that is many times as strong: leave one out, or draw trains with a dead time"
            }
            Self::WindowOutsideRun { .. } => "run longer, or shorten the window",
            Self::StepTooCoarse { .. } => {
                "0.025 ms is the step of the reference; at 0.05 ms calcium integrals are 6 % too large"
            }
            Self::TooLarge { .. } => "use fewer compartments per section or more spines per head",
            Self::NoSuch { .. } => "count from 0",
            Self::Lanes { .. } => "1, 2, 4, 8 or 16 are",
            Self::Diverged { .. } => "use a shorter step or smaller currents and conductances",
        }
    }
}

/// Checks that a quantity is finite and at least 0.
pub(super) fn not_negative(what: impl Into<String>, value: f64) -> Result<(), CableError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(CableError::OutOfRange { what: what.into(), value, range: "at least 0" })
}

/// Checks that a quantity is finite and above 0.
pub(super) fn positive(what: impl Into<String>, value: f64) -> Result<(), CableError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(CableError::OutOfRange { what: what.into(), value, range: "above 0" })
}

/// Checks that a quantity is a finite number.
pub(super) fn finite(what: impl Into<String>, value: f64) -> Result<(), CableError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(CableError::OutOfRange { what: what.into(), value, range: "a finite number" })
}
