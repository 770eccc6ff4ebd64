//! All integration tests, in one binary.

mod bad;
mod circuits;
mod conformance;
mod dale;
mod heads;
mod hostile;
mod layout;
mod mistakes;
mod odd;
mod random_circuits;
mod robust;
mod support;
