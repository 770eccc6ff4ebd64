//! Learning by local rules, measured against the analytic gradient.
//!
//! - [`tasks`]: sequences of tokens and targets to learn from.
//!
//! **Deliberately absent:** the compiler, files of heads, terminals.

pub mod tasks;
