//! All integration tests, in one binary.

mod binary;
mod cli_codes;
mod cli_compile;
mod cli_simulate;
mod conformance;
mod emit;
mod golden;
mod random_circuits;
mod schema;
mod support;
