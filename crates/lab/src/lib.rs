//! The laboratory of [`pulvinar`]: circuits run beside closed forms, and drawn.
//!
//! | module | holds | may import |
//! |---|---|---|
//! | [`experiments`] | capacity, conditioning, ...: circuits run beside closed forms; trainings; tables | the library |
//! | [`figures`] | pictures of circuits and of runs, and the figures of the theory, one file each; plotters, fonts | `experiments` `report` |
//! | [`report`] | a page about a run, with its pictures | `experiments` `figures` |
//!
//! **Deliberately absent:** terminals, exit codes.

pub mod experiments;
pub mod figures;
pub mod report;
