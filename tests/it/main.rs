//! All integration tests, in one binary.

mod conformance;
mod random_circuits;
mod support;
