//! A block that reads its tokens as they come.

use super::error::ForwardError;
use super::pass::Workspace;
use super::{PARALLEL_FLOP, check, flop, is_scored};
use crate::attention::{Block, Mask, Streams};
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
    is_laid_out: bool,
}

impl<T: Real> Block<T> {
    /// The block before its first token, for tokens that come one by one or in pieces of any length.
    ///
    /// # Errors
    /// [`ForwardError::Unsupported`] where a head needs tokens that have not come yet (a full mask) or all that have
    /// (a kernel of scores, which has no memory of constant size).
    pub fn stream(&self) -> Result<Stream<'_, T>, ForwardError> {
        if let Some(head) = self.heads.iter().position(|head| head.mask == Mask::Full) {
            let what = "a full mask needs all tokens before the first output, so it cannot run as a stream";
            return Err(ForwardError::Unsupported { head, what: what.to_owned() });
        }
        self.stream_in_passes()
    }

    /// The same for tokens that can be gone through twice: first all of them to [`Stream::absorb`], for the heads with a
    /// full mask, then again to [`Stream::push`].
    ///
    /// # Errors
    /// [`ForwardError::Unsupported`] for a kernel of scores (exponential, power, function).
    pub fn stream_in_passes(&self) -> Result<Stream<'_, T>, ForwardError> {
        match self.heads.iter().position(is_scored) {
            Some(head) => {
                let what = "scores of this kernel need all earlier tokens, so it cannot run as a stream";
                Err(ForwardError::Unsupported { head, what: what.to_owned() })
            }
            None => Ok(Stream { block: self, workspace: Workspace::new(), is_laid_out: false }),
        }
    }
}

impl<T: Real> Stream<'_, T> {
    /// Reads the next tokens into the memories of heads with a full mask; other heads take no notice.
    ///
    /// # Errors
    /// As [`crate::attention::forward()`] for streams that do not fit.
    pub fn absorb(&mut self, streams: &Streams<T>) -> Result<(), ForwardError> {
        let parallel = self.begin(streams)?;
        self.workspace.absorb(self.block, streams, parallel);
        Ok(())
    }

    /// Outputs of the next tokens, which stand in `streams` alone: `output` becomes `[d_model, n]` for `n` new tokens.
    ///
    /// Equal to the columns of [`crate::attention::forward()`] on the whole sequence up to rounding; the same bytes when
    /// the same tokens come in the same pieces.
    ///
    /// # Errors
    /// As [`crate::attention::forward()`], tokens counted from the first of this piece. After an error the memories are
    /// of no use.
    pub fn push(&mut self, streams: &Streams<T>, output: &mut DMatrix<T>) -> Result<(), ForwardError> {
        let parallel = self.begin(streams)?;
        self.workspace.advance(self.block, streams, parallel, output)
    }

    /// Before the first token again; what heads with a full mask have absorbed stays.
    pub fn rewind(&mut self) {
        let Workspace { plan, rooms, .. } = &mut self.workspace;
        for ((room, seat), head) in rooms.iter_mut().zip(&plan.seats).zip(&self.block.heads) {
            if head.mask != Mask::Full {
                room.reset(head, *seat, 0);
            }
        }
    }

    /// Whether the tokens fit, and whether they are enough for threads.
    fn begin(&mut self, streams: &Streams<T>) -> Result<bool, ForwardError> {
        check(self.block, streams)?;
        if !self.is_laid_out {
            self.workspace.start(self.block, false, false, |_| 0);
            self.is_laid_out = true;
        }
        Ok(flop(self.block, streams) > PARALLEL_FLOP)
    }
}
