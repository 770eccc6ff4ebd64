//! Why a block cannot be run on given streams, or what went wrong while it ran.

/// `(rows, columns)`.
pub type Shape = (usize, usize);

/// A failure of [`super::forward`] or [`super::attention_map`]; heads and tokens count from 0.
#[derive(thiserror::Error, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ForwardError {
    #[error("{reader} reads stream `{stream}`, which is not among {present:?}")]
    MissingStream { reader: String, stream: String, present: Vec<String> },

    #[error("{what} is {shape:?}, which does not fit {other} {other_shape:?}")]
    Shape { what: String, shape: Shape, other: String, other_shape: Shape },

    #[error("{what}: stream `{stream}` has {tokens} tokens, but `{clock}` has {expected}")]
    TokenCounts { what: String, stream: String, tokens: usize, clock: String, expected: usize },

    #[error("head {head}: {what}")]
    Unsupported { head: usize, what: String },

    #[error("head {head}: token {token} divides by a sum of scores that is zero")]
    DivisionByZero { head: usize, token: usize },

    #[error("head {head}: token {token} is not finite")]
    NotFinite { head: usize, token: usize },

    #[error("output token {token} is not finite")]
    OutputNotFinite { token: usize },

    #[error("there is no head {head}; the block has {heads}")]
    NoSuchHead { head: usize, heads: usize },
}
