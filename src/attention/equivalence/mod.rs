//! Whether two blocks of linear heads are the same function, decided without running them.
//!
//! A head acts only through `P = W_O W_V` and `B = W_K^T W_Q`: `f_i = sum_j sum_h P_h x_j (x_j^T B_h x_i)`. With
//! `T_abce = sum_h P_h[a,b] B_h[c,e]` symmetric in the two slots of `x_j`, two blocks agree on all inputs of all lengths
//! if and only if their tensors do; `|T - T'|` follows from the factors alone.
//!
//! - [`compare()`]: the verdict, by certificate or, where there is none, by running both ([`probe()`]).
//! - [`distance()`]: the distance, group by group; [`exact_distance`]: as a fraction, for whole weights.
//! - [`softmax_distance`]: softmax heads, through QK and OV.
//! - [`matched_heads`]: which head of one block is which of the other.
//! - [`blame()`]: which matrix makes two matched heads differ.
//! - [`witness()`]: a two-token input on which they differ most.
//! - [`expected_squared_gap`]: how much they differ on Gaussian tokens.
//! - [`identifiable_dimension`]: how many numbers of a block its function determines.
//!
//! # Source
//! Our own derivation; closest prior work arXiv 2408.17221 and 2410.10101.

mod aligned;
mod assignment;
mod blame;
mod climb;
mod compare;
mod dimension;
mod distance;
mod exact;
mod expected;
mod gram;
mod groups;
mod matched;
mod number;
mod probe;
mod scope;
mod softmax;
mod stack;
#[cfg(test)]
mod tests;
mod witness;

pub use blame::{Blame, Factor, blame};
pub use compare::{Comparison, HeadRow, Wish, compare};
pub use dimension::{Identifiable, identifiable_dimension};
pub use distance::{Claim, Distance, Gap, GroupDistance, Method, distance};
pub use exact::{ExactDistance, Fraction, exact_distance};
pub use expected::{ExpectedGap, expected_squared_gap};
pub use groups::Group;
pub use matched::{HeadMatch, matched_heads};
pub use probe::{Input, Probed, Worst, gaussian_inputs, probe};
pub use scope::{OutOfScope, Side};
pub use softmax::{
    SameScores, SoftmaxDistance, is_softmax, softmax_distance, softmax_folded, softmax_head_distance,
};
pub use witness::{Witness, witness};
