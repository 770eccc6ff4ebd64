//! All integration tests, in one binary.

mod binary;
mod cli_codes;
mod cli_compile;
mod cli_simulate;
mod conformance;
mod dale;
mod emit;
mod golden;
mod heads;
mod random_circuits;
mod readme;
mod support;
