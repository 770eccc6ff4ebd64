//! The local rules, one file each, equation and source first; feedback alignment is [`Online`] in another wiring ([`with()`]).

mod dale_eg;
mod frozen_memory;
mod hebbian;
mod kolen_pollack;
mod oja;
mod online;
mod own_token;
mod three_factor;

pub use dale_eg::DaleEg;
pub use frozen_memory::FrozenMemory;
pub use hebbian::Hebbian;
pub use kolen_pollack::KolenPollack;
pub use oja::Oja;
pub use online::Online;
pub use own_token::OwnToken;
pub use three_factor::ThreeFactor;

use super::local::Rule;
use crate::spec::{PlasticitySpec, RuleName};

/// Something that is done with a rule, whichever it is.
pub trait With {
    type Out;
    fn with<R: Rule>(self, rule: &R) -> Self::Out;
}

/// Calls `then` with the rule that the file names.
///
/// Feedback alignment is no rule of its own at the synapse: errors come back through fixed random weights, drawn once in place
/// of every transpose of a learning projection (`prepare`), so that no synapse needs to know another's weight. Source:
/// Lillicrap et al. 2016, doi 10.1038/ncomms13276.
pub fn with<W: With>(spec: &PlasticitySpec, then: W) -> W::Out {
    match spec.rule {
        RuleName::ThreeFactor => then.with(&ThreeFactor),
        RuleName::Online | RuleName::FeedbackAlignment => then.with(&Online),
        RuleName::OwnToken => then.with(&OwnToken),
        RuleName::FrozenMemory => then.with(&FrozenMemory),
        RuleName::KolenPollack => then.with(&KolenPollack { decay: spec.decay }),
        RuleName::DaleEg => then.with(&DaleEg),
        RuleName::Hebbian => then.with(&Hebbian),
        RuleName::Oja => then.with(&Oja),
    }
}

/// Does the rule read errors?
#[must_use]
pub fn needs_errors(spec: &PlasticitySpec) -> bool {
    struct Needs;
    impl With for Needs {
        type Out = bool;
        fn with<R: Rule>(self, _: &R) -> bool {
            R::NEEDS_ERROR
        }
    }
    with(spec, Needs)
}
