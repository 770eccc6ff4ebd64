//! A block that reads its tokens as they come.

use super::error::ForwardError;
use super::pass::Workspace;
use super::{PARALLEL_FLOP, check, flop};
use crate::attention::{Block, Kernel, Mask, Streams};
use crate::linalg::Real;
use nalgebra::DMatrix;

/// A block between two tokens: the memory matrix of each head, whatever the number of tokens that have passed.
///
/// ```
/// use pulvinar::attention::{Block, Residual, Streams};
/// use nalgebra::{DMatrix, DVector};
///
/// let residual = vec![Residual { stream: "x".into(), matrix: DMatrix::identity(2, 2) }];
/// let (clock_stream, b_o) = ("x".to_owned(), DVector::zeros(2));
/// let block = Block { relay: "HO".into(), d_model: 2, clock_stream, heads: Vec::new(), residual, b_o };
/// let mut stream = block.stream()?;
/// let mut tokens = Streams::from([("x".to_owned(), DMatrix::<f64>::zeros(2, 1))]);
/// let mut y = DMatrix::zeros(2, 1);
/// for i in 0..3 {
///     tokens.get_mut("x").expect("there").fill(f64::from(i));
///     stream.push(&tokens, &mut y)?;
///     assert_eq!(y.as_slice(), [f64::from(i); 2]);
/// }
/// # Ok::<(), pulvinar::attention::ForwardError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream<'a, T: Real = f64> {
    block: &'a Block<T>,
    workspace: Workspace<T>,
}

impl<T: Real> Block<T> {
    /// The block before its first token, for tokens that come one by one or in pieces of any length.
    ///
    /// # Errors
    /// [`ForwardError::Unsupported`] where a head needs tokens that have not come yet (a full mask) or all that have
    /// (an exponential or power kernel, which has no memory of constant size).
    pub fn stream(&self) -> Result<Stream<'_, T>, ForwardError> {
        for (index, head) in self.heads.iter().enumerate() {
            let fail = |what: &str| Err(ForwardError::Unsupported { head: index, what: what.to_owned() });
            if matches!(head.kernel, Kernel::Exp | Kernel::Power(_)) {
                return fail("scores of this kernel need all earlier tokens, so it cannot run as a stream");
            }
            if head.mask == Mask::Full {
                return fail(
                    "a full mask needs all tokens before the first output, so it cannot run as a stream",
                );
            }
        }
        Ok(Stream { block: self, workspace: Workspace::new() })
    }
}

impl<T: Real> Stream<'_, T> {
    /// Outputs of the next tokens, which stand in `streams` alone: `output` becomes `[d_model, n]` for `n` new tokens.
    ///
    /// Equal to the columns of [`crate::attention::forward()`] on the whole sequence up to rounding; the same bytes when
    /// the same tokens come in the same pieces.
    ///
    /// # Errors
    /// As [`crate::attention::forward()`], tokens counted from the first of this piece. After an error the memories are
    /// of no use.
    pub fn push(&mut self, streams: &Streams<T>, output: &mut DMatrix<T>) -> Result<(), ForwardError> {
        check(self.block, streams)?;
        if self.workspace.rooms.len() != self.block.heads.len() || self.workspace.plan.seats.is_empty() {
            self.workspace.start(self.block, false, false, |_| 0);
        }
        let parallel = flop(self.block, streams) > PARALLEL_FLOP;
        self.workspace.advance(self.block, streams, parallel, output)
    }
}
