//! Against the oracle.
