//! The squared error of a block's output.

use crate::attention::ForwardError;
use crate::attention::forward::blocks::BLOCK;
use crate::linalg::{Real, real};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// From so many numbers on threads pay.
const PARALLEL: usize = 1 << 16;

/// Which tokens a loss counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted<'a> {
    All,
    /// the last token only, as in tasks that ask a question at the end
    Last,
    /// those marked `true`, one mark per token
    Marked(&'a [bool]),
}

/// `L = 1/2 sum_i |y_i - t_i|^2` over the counted tokens, and `dL/dY`, which is `y_i - t_i` there and 0 elsewhere.
///
/// `y` and `t` are `[d_model, n_tokens]`. The sum is **not** divided by the number of tokens: a learning rate acts on
/// the sum. It runs in `f64`, in blocks of tokens.
///
/// # Errors
/// [`ForwardError::Shape`] if `y`, `t` and the marks do not fit.
pub fn squared_error<T: Real>(
    y: &DMatrix<T>,
    t: &DMatrix<T>,
    counted: Counted<'_>,
) -> Result<(T, DMatrix<T>), ForwardError> {
    let mut d_output = DMatrix::zeros(0, 0);
    let loss = squared_error_into(y, t, counted, &mut d_output)?;
    Ok((loss, d_output))
}

/// [`squared_error`] with `dL/dY` into `d_output`, which keeps its memory when it has the right shape.
///
/// # Errors
/// As [`squared_error`]; `d_output` is then as it was.
pub fn squared_error_into<T: Real>(
    y: &DMatrix<T>,
    t: &DMatrix<T>,
    counted: Counted<'_>,
    d_output: &mut DMatrix<T>,
) -> Result<T, ForwardError> {
    let misfit = |what: &str, shape| {
        let (what, other) = (what.to_owned(), "the output".to_owned());
        Err(ForwardError::Shape { what, shape, other, other_shape: y.shape() })
    };
    if t.shape() != y.shape() {
        return misfit("the target", t.shape());
    }
    if let Counted::Marked(marks) = counted
        && marks.len() != y.ncols()
    {
        return misfit("the row of marks", (1, marks.len()));
    }
    let counts = |i: usize| match counted {
        Counted::All => true,
        Counted::Last => i + 1 == y.ncols(),
        Counted::Marked(marks) => marks[i],
    };
    if d_output.shape() != y.shape() {
        *d_output = DMatrix::zeros(y.nrows(), y.ncols());
    }
    let rows = y.nrows().max(1);
    let block = |(b, d): (usize, &mut [T])| {
        let from = b * BLOCK * rows;
        let tokens = y.as_slice()[from..].chunks_exact(rows).zip(t.as_slice()[from..].chunks_exact(rows));
        let mut squared = 0.0;
        for (i, (d, (y, t))) in d.chunks_exact_mut(rows).zip(tokens).enumerate() {
            if counts(b * BLOCK + i) {
                for (d, (y, t)) in d.iter_mut().zip(y.iter().zip(t)) {
                    *d = *y - *t;
                }
                squared += squares(d);
            } else {
                d.fill(T::zero());
            }
        }
        squared
    };
    let d = d_output.as_mut_slice();
    let squared: f64 = if d.len() > PARALLEL {
        let parts: Vec<f64> = d.par_chunks_mut(BLOCK * rows).enumerate().map(block).collect();
        parts.iter().sum()
    } else {
        d.chunks_mut(BLOCK * rows).enumerate().map(block).sum()
    };
    Ok(real(0.5 * squared))
}

/// `sum x^2`, in interleaved sums that do not wait for each other.
fn squares<T: Real>(x: &[T]) -> f64 {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x.to_f64() * x.to_f64();
        }
    }
    let rest = rest.iter().fold(0.0, |sum, x| sum + x.to_f64() * x.to_f64());
    sums.iter().fold(rest, |sum, x| sum + x)
}
