//! The words that every layer shares, each declared once with its name, its equation and a sentence for users.
//!
//! - [`Activation`], [`Function`]: what a cell makes of its compartments, and its slope.
//! - [`Mask`]: which context tokens a query token sees.
//!
//! **Deliberately absent:** YAML, circuits, heads, the oracle (it keeps its own words, to be a second opinion).

mod activation;
mod function;
mod mask;
mod normal;

pub use activation::Activation;
pub use function::{Exponent, Function, OnPaper};
pub use mask::Mask;
