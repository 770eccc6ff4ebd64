//! Matrix kernels on nalgebra and gemmkit.
//!
//! - [`gemm()`]: the one matrix product of the crate, on whole matrices.
//! - [`gemm_into`], [`gemm_rows`]: the same on [`Operand`]s, views of columns that transpose for free.
//! - [`copy_rows`]: some rows of many columns.
//! - [`exp_nonpositive`], [`maximum`], [`sum`]: the sweeps of softmax, as vector code; [`all_finite`] likewise.
//!
//! **Deliberately absent:** threads (callers split the work, each product runs on one thread, so that results
//! do not depend on the number of threads), attention.

mod exp;
mod gemm;
mod rows;
mod small;
mod svd;

pub use exp::{all_finite, exp_nonpositive, maximum, sum};
pub use gemm::{Operand, gemm, gemm_into, gemm_rows};
pub use rows::copy_rows;
pub use svd::{Svd, svd};

use nalgebra::{DMatrix, RealField};
use std::borrow::Cow;

/// The two precisions that a block runs in.
pub trait Real: RealField + gemmkit::GemmScalar + Copy + Default + Send + Sync + 'static {
    /// Rounds to nearest.
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    /// The same numbers in double precision.
    fn wide(m: &DMatrix<Self>) -> Cow<'_, DMatrix<f64>>;
}

impl Real for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn wide(m: &DMatrix<f64>) -> Cow<'_, DMatrix<f64>> {
        Cow::Borrowed(m)
    }
}

impl Real for f32 {
    #[allow(clippy::cast_possible_truncation)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn wide(m: &DMatrix<f32>) -> Cow<'_, DMatrix<f64>> {
        Cow::Owned(m.map(f64::from))
    }
}

/// `x` in the precision `T`; nalgebra's own number traits also have a `from_f64`, so a generic caller needs this.
pub fn real<T: Real>(x: f64) -> T {
    <T as Real>::from_f64(x)
}

/// A count as a number.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub fn count(n: usize) -> f64 {
    n as f64
}
