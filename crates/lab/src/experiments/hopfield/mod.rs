//! Hopfield networks: the answer of a memory is the next cue.
//!
//! Four parts, each on the relays of the circuit that it can be about:
//!
//! 1. `retrieval`: one update of a softmax head on stored patterns, against softmax written as loops.
//! 2. `fixed_points`: iterated updates over the inverse temperature beta; the energy along the way.
//! 3. `exponents`: pairs that scores of degree p - 1 can hold at a bit error of 1%, against the number of cells.
//! 4. `diluted`: signs of a linear memory of diluted patterns, which recalls several of them at once.
//!
//! **Deliberately absent:** asynchronous updates, temperatures of spins.

mod diluted;
mod exponents;
mod fixed_points;
mod retrieval;

use super::report::Report;
pub use retrieval::weights;

use super::setup::Setup;
use pulvinar::diag::Diagnostics;

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let mut plan = setup.plan(&document, |p| p.hopfield.clone())?;
    if let Some(trials) = setup.trials {
        (plan.trials, plan.runs) = (trials, trials);
    }
    let mut report =
        Report { seed: document.spec.seed, circuit: document.spec.name.clone(), ..Report::default() };
    retrieval::run(setup, &plan, &mut report)?;
    fixed_points::run(setup, &plan, &mut report)?;
    exponents::run(setup, &plan, &mut report)?;
    diluted::run(setup, &plan, &mut report)?;
    report.tables.retain(|t| !t.rows.is_empty());
    Ok(report)
}
