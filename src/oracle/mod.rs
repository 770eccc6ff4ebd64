//! Plain loops, straight from the definitions, to check everything else against.
//!
//! - [`heads`]: blocks of attention heads (THEORY sections 1 and 2).
//! - [`cells`]: circuits, cell by cell (LANGUAGE sections 2, 3 and 4).
//!
//! Both are slow on purpose and know nothing of each other.
//!
//! **Deliberately absent:** any import from this crate or from a matrix library. A shared mistake would be
//! invisible.

pub mod cells;
pub mod heads;
