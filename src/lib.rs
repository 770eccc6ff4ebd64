//! pulvinar: cortico-thalamic circuits, compiled to multihead linear self-attention.
pub mod attention;
pub mod circuit;
pub mod cli;
pub mod compile;
pub mod diag;
pub mod files;
pub mod linalg;
pub mod oracle;
pub mod seed;
pub mod simulate;
pub mod spec;
pub mod units;
pub mod weights;
