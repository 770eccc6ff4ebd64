//! Why a circuit is not attention.

use crate::circuit::PopulationId;
use crate::diag::{Diagnostic, codes};
use crate::spec::Part;

/// Where the form breaks. [`Reason::at`] turns it into a diagnostic at the population or projection at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    QueryDegree,
    ContextDegree,
    NoQuery,
    /// a projection, and where it ends
    QueryFree {
        to: String,
    },
    NoClock,
    NonlinearValue,
    Score {
        activation: String,
    },
    NonlinearSum {
        activation: String,
    },
    DividesResidual,
    Divisor {
        why: &'static str,
    },
    OutputPerContext,
    NoRelay,
    TwoSums,
    SumTimesContext,
    Rectified,
    RectifiedOutput {
        part: Part,
    },
    Unpaired,
    NoHeads,
    Recurrent,
    TwoStreams,
    Delta {
        why: &'static str,
    },
    Gate,
    Power,
    DividedTwice,
    ScoreDivided,
    MemoryOfQuery,
    ContextRelay,
    PerToken,
}

/// What breaks the form, and the population whose value did: what it reads may be a map instead.
#[derive(Clone, Debug)]
pub struct Fault {
    pub diagnostic: Box<Diagnostic>,
    pub at: Option<PopulationId>,
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostic: Box::new(diagnostic), at: None }
    }
}

impl Fault {
    /// The same, in the value of `id`.
    #[must_use]
    pub fn of(self, id: PopulationId) -> Self {
        Self { at: Some(id), ..self }
    }
}

impl Reason {
    /// The diagnostic at `path`; `name` is the population (or projection) at fault.
    #[must_use]
    pub fn at(&self, path: &str, name: &str) -> Fault {
        let (code, message, help) = self.words(name);
        Diagnostic::error(code, path, format!("this circuit is not attention: {message}")).help(help).into()
    }

    fn words(&self, name: &str) -> (&'static str, String, &'static str) {
        match self {
            Self::QueryDegree => (
                codes::N001,
                format!(
                    "`{name}` multiplies two factors of the query token, so the output has degree 2 or more in it"
                ),
                "keys and values come from a relay per [context], the query from one per [query]",
            ),
            Self::ContextDegree => (
                codes::N002,
                format!("`{name}` multiplies more than two factors of a context token"),
                "one key and one value meet a query: check which relay `W_Q` comes from",
            ),
            Self::NoQuery => (
                codes::N003,
                format!("`{name}` sums over the context without any factor of the query token"),
                "every summed term needs a query: let one compartment come from a relay per [query]",
            ),
            Self::QueryFree { to } => (
                codes::N003,
                format!(
                    "`{name}` brings to `{to}` what has no factor of the query token, and it is summed over the context"
                ),
                "every summed term needs a query, or values that a query weighs too: remove the projection, or multiply it by something per [query]",
            ),
            Self::NoClock => (
                codes::N003,
                format!("nothing says for which tokens `{name}` answers: no relay per [query] reaches it"),
                "let a relay per [query] carry tokens to it, as the query of a head or as a residual",
            ),
            Self::NonlinearValue => (
                codes::N004,
                format!("in `{name}` a nonlinear value or a second nonlinear factor is attended to"),
                "values must be linear in what they read: make the nonlinear population per [context], then it is a map of the token",
            ),
            Self::Score { activation } => (
                codes::N005,
                format!("`{name}` passes a score of query and key through `{activation}`"),
                "a function of the score weighs values: let the population that passes it project to one that multiplies it with a value",
            ),
            Self::NonlinearSum { activation } => (
                codes::N006,
                format!(
                    "`{name}` passes more than a linear form or a query-key product (a value, a sum, another nonlinearity) through `{activation}`"
                ),
                "use `activation: linear` after the values came in, or put a relay behind the sum: what reads the relay may be nonlinear",
            ),
            Self::DividesResidual => (
                codes::N007,
                format!(
                    "divisive inhibition onto `{name}` divides a direct path of the token, or a constant, too"
                ),
                "divide in a read-out population before the relay, and bring the residual to the relay itself",
            ),
            Self::Divisor { why } => (
                codes::N008,
                format!("`{name}`, is not the sum of the attention weights there: {why}"),
                "pool the same scores that weigh the values, over the same mask; any other divisor divides behind a relay",
            ),
            Self::OutputPerContext => (
                codes::N009,
                format!("the output `{name}` is per [context]"),
                "attention answers for each query: make the output relay `per: [query]`",
            ),
            Self::NoRelay => (
                codes::N010,
                format!(
                    "the result of a sum over the context enters `{name}` as a token, without passing a relay"
                ),
                "end the block on a relay, and let the next area read that relay",
            ),
            Self::TwoSums => (
                codes::N011,
                format!("`{name}` multiplies two sums over the context"),
                "a head reads one memory; add the results of two instead",
            ),
            Self::SumTimesContext => (
                codes::N012,
                format!("`{name}` multiplies a sum over the context by another context token"),
                "read a memory with a population per [query]",
            ),
            Self::Rectified => (
                codes::N013,
                format!("rectified parts of a token reach `{name}` without their partner"),
                "plus and minus relays must enter every factor as [F, -F]: relu(z) - relu(-z) = z is the only rectifier rule",
            ),
            Self::RectifiedOutput { part } => (
                codes::N013,
                format!(
                    "the output `{name}` sends max({}, 0) of what it receives",
                    if *part == Part::Minus { "-x" } else { "x" }
                ),
                "a head's output has both signs: leave out `part`, or take the difference of two relays that receive the same, `output: {plus: ..., minus: ...}`",
            ),
            Self::Unpaired => (
                codes::N013,
                format!("the output reads `{name}`, which is rectified, without its partner"),
                "the relays of `output: {plus: ..., minus: ...}` receive the same and have opposite parts, or neither has one",
            ),
            Self::NoHeads => (
                codes::N014,
                format!("`{name}` depends on each token alone; there is no head"),
                "some population must multiply a query, a key and a value and be summed over the context",
            ),
            Self::Recurrent => (
                codes::N015,
                format!("`{name}` depends on itself through a delay"),
                "loops lie among populations of one token index, not through relays, pairs of tokens or memories; cells in time run them all",
            ),
            Self::TwoStreams => (
                codes::N016,
                format!(
                    "a nonlinear cell of `{name}` reads a mix of both tokens that is no sum of products of one factor each"
                ),
                "a score is a sum of products of one factor of each token; functions of one token alone belong in a population per [query] or per [context]",
            ),
            Self::Delta { why } => (
                codes::N017,
                format!("`{name}` is not the memory of a delta rule: {why}"),
                "key to apical (`onto: cells`), value to basal (`onto: microcolumns`), each a linear or mapped form of one token",
            ),
            Self::Gate => (
                codes::N018,
                format!("the gate of `{name}` is not a one-layer function of one context token"),
                "gate = weights x activation(form of the context token) + bias; signed halves need their partner",
            ),
            Self::Power => (
                codes::N019,
                format!("`{name}` raises a token's own form to a power"),
                "make the population per [context] or per [query]: then it is a map of its token; on pairs of tokens `power` belongs on the score",
            ),
            Self::DividedTwice => (
                codes::N020,
                format!("`{name}` is divided twice by sums over the context"),
                "normalise the weights or the read-out, not both",
            ),
            Self::ScoreDivided => (
                codes::N008,
                format!("`{name}` divides by cells of the query token what a nonlinear score weighs"),
                "divide the score or the query before the nonlinearity, or put a relay behind the sum and divide there",
            ),
            Self::MemoryOfQuery => (
                codes::N021,
                format!("the memory `{name}` stores something of the query token"),
                "only factors of the context token may be accumulated",
            ),
            Self::PerToken => (
                codes::N023,
                format!("`{name}` sends a nonlinear function of the query token alone"),
                "make the nonlinear population per [query]: then it is a map of the token",
            ),
            Self::ContextRelay => (
                codes::N022,
                format!(
                    "relay `{name}` is per [context], but combines tokens as only a relay per [query] can"
                ),
                "end the block on a relay per [query] and copy it to a relay per [context]",
            ),
        }
    }
}
