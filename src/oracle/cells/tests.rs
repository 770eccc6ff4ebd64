//! Circuits by hand against heads.
