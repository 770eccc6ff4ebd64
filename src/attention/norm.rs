//! The functional size of a head.
