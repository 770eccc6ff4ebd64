//! All integration tests, in one binary.

mod conformance;
mod dale;
mod heads;
mod random_circuits;
mod support;
