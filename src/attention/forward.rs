//! Runs a block.
