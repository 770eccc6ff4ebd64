//! Plain loops, straight from the definitions, to check everything else against.
//!
//! - [`heads`]: blocks of attention heads.
//! - [`cells`]: circuits, cell by cell (the meaning of circuits is in `circuits/README.md`).
//!
//! Both are slow on purpose and know nothing of each other.
//!
//! **Deliberately absent:** any import from this crate or from a matrix library. A shared mistake would be
//! invisible.

pub mod cells;
pub mod heads;
