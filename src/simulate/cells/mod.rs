//! Every cell in time: two leaky compartments per cell, no knowledge of the heads that a circuit compiles to.
//!
//! # What is computed
//!
//! A cell has a basal and an apical compartment (memories also a gate), each a leaky integrator of its own input,
//! `tau dv/dt = -v + I`; `I` is (sum of additive inputs) / (sum of divisive inputs). The activation of the population
//! makes a rate of the two. Relays that carry tokens in, and `tonic`, are held at their values.
//!
//! A **prospective** population reads `v + tau dv/dt` instead of `v`, taken from the equation of the cell and not from
//! differences of the past. That is the input itself, so a prospective circuit is the algebra at every step, for any
//! time constant and any initial state: a proof of the wiring, not of the dynamics. Cells are leaky unless they (or
//! [`Settings::prospective`]) say otherwise.
//!
//! # How
//!
//! 1. `settings` fixes the step and the longest time; `net` lays populations out as flat arrays `[cells, columns]`
//!    (`columns`: one column for each token or pair of tokens that exists) and gives each projection its way from the
//!    source's columns to the target's (`arrive`: broadcast, sum under the mask, token-aligned) and its matrix product
//!    over all columns at once (`product`).
//! 2. `step` visits populations in order: inputs, potentials and rates (`sweep`), memories (`memory`), delays
//!    (`delay`), `noise`. Inputs from what stands still are summed once.
//! 3. `run` repeats that until everything stands still, the time is over, or a number goes wild; `record` keeps
//!    traces, `lesion` perturbs in windows of time, `growth` sees whether loops run away, `underflow` whether divisors are lost, `notes` says what was rounded.
//!
//! With `layout: time` there is one column of everything, and `schedule` says when tokens come, memories are written
//! and the output is read.
//!
//! All buffers are made before the first step; only the packed matrix kernel takes room for its panels. Work is split
//! into pieces of fixed size (`pieces`), so the bytes do not depend on the number of threads.
//!
//! **Deliberately absent:** heads, blocks, anything compiled; files; learning.

mod arrive;
pub(crate) mod columns;
mod delay;
mod divisions;
mod growth;
mod lesion;
pub(crate) mod memory;
mod net;
mod noise;
mod notes;
mod pieces;
mod product;
mod record;
mod run;
mod schedule;
mod settings;
mod step;
pub(crate) mod sweep;
pub(crate) mod underflow;

pub use divisions::{Divisions, divisions, doubtful};
pub use growth::Growing;
pub use lesion::{extents, lesioned};
pub use notes::{notes, windows};
pub use record::{MOST_RECORDED, Sketch, Token, Trace};
pub use run::{Cause, End, Run, check, run};
pub use schedule::presentations;
pub use settings::{MOST_STEPS, Settings, TAU_MS};
