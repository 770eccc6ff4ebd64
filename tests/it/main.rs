//! All integration tests, in one binary.

mod bad;
mod binary;
mod blocks;
mod chaos;
mod circuits;
mod cli_codes;
mod cli_compile;
mod cli_simulate;
mod conformance;
mod dale;
mod dale_rewrite;
mod emit;
mod equivalence;
mod golden;
mod heads;
mod hostile;
mod layout;
mod mistakes;
mod odd;
mod random_circuits;
mod readme;
mod robust;
mod schema;
mod support;
mod weights;
