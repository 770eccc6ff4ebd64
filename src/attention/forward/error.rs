//! Why a block cannot be run on given streams, or what went wrong while it ran.

/// `(rows, columns)`.
pub type Shape = (usize, usize);

/// A failure of [`super::forward`], [`super::attention_map`] or of a gradient; heads and tokens count from 0.
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

    #[error("head {head}: token {token} divides by rates that are too small for its numbers")]
    Underflow { head: usize, token: usize },

    #[error("head {head}: token {token} is not finite")]
    NotFinite { head: usize, token: usize },

    #[error("output token {token} is not finite")]
    OutputNotFinite { token: usize },

    #[error("there is no head {head}; the block has {heads}")]
    NoSuchHead { head: usize, heads: usize },

    #[error("a map that cannot be run: {what}")]
    BadMap { what: String },

    #[error("`{cells}`: token {token} divides by a sum that is zero")]
    CellsDivideByZero { cells: String, token: usize },

    #[error("`{cells}`: token {token} is not finite, or is no input of its function")]
    CellsNotFinite { cells: String, token: usize },

    #[error("the loop of {cells} has not settled after {rounds} rounds at token {token}")]
    Unsettled { cells: String, token: usize, rounds: usize },

    #[error("the loop of {cells} has no derivative at token {token}: its Jacobian is singular")]
    SingularLoop { cells: String, token: usize },

    #[error("block `{relay}`: {error}")]
    InBlock { relay: String, error: Box<ForwardError> },

    #[error("map `{map}`: {error}")]
    InMap { map: String, error: Box<ForwardError> },

    #[error("there is no block to run")]
    NoBlock,

    #[error("block `{relay}` would replace the stream of that name")]
    RelayIsStream { relay: String },

    #[error("the derivative by {what} is not finite")]
    GradientNotFinite { what: String },
}

impl ForwardError {
    /// The same error, with the map that it happened in.
    pub(in crate::attention) fn in_map(self, map: &str) -> Self {
        Self::InMap { map: map.to_owned(), error: Box::new(self) }
    }

    /// The same error, with the block that it happened in.
    pub(in crate::attention) fn in_block(self, relay: &str) -> Self {
        Self::InBlock { relay: relay.to_owned(), error: Box::new(self) }
    }

    /// The same error, where there is only one block.
    pub(in crate::attention) fn without_block(self) -> Self {
        match self {
            Self::InBlock { error, .. } => *error,
            other => other,
        }
    }
}
