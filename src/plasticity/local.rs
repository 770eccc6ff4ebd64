//! What a synapse can see, and what a local rule is.

/// Everything that a synapse may know: its own numbers and those of the cell that it sits on.
///
/// A rule is a function of this and of nothing else, so a rule that is not local cannot be written: other weights,
/// other cells, the loss and other tokens are not here.
///
/// ```compile_fail
/// use pulvinar::plasticity::{Local, Rule};
/// struct Backpropagation;
/// impl Rule for Backpropagation {
///     fn change(&self, s: &Local) -> f64 {
///         -s.pre * s.transposed_weights_of_the_next_layer
///     }
/// }
/// ```
///
/// ```
/// use pulvinar::plasticity::{Local, Rule};
/// struct Covariance;
/// impl Rule for Covariance {
///     fn change(&self, s: &Local) -> f64 {
///         (s.rate - 1.0) * s.pre
///     }
/// }
/// assert_eq!(Covariance.change(&Local { pre: 2.0, rate: 1.5, ..Local::default() }), 1.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Local {
    /// what arrives at the synapse
    pub pre: f64,
    /// basal potential of the cell
    pub basal: f64,
    /// apical potential of the cell
    pub apical: f64,
    /// the error that reached the cell
    pub third: f64,
    /// the weight of the synapse
    pub weight: f64,
    /// what the synapse remembers of past tokens
    pub trace: f64,
    /// the cell's rate; of a memory cell what it writes, before the rate of its memory rule
    pub rate: f64,
    /// derivative of the cell's rate (of a memory cell: of its new state) by the synapse's current, a function of the
    /// cell's potentials
    pub slope: f64,
    /// what a memory cell keeps of its state at this token: its decay or gate
    pub keep: f64,
}

/// A local learning rule. Everything it returns is *added*: errors are descended with a minus sign.
///
/// Units: changes are weights per unit of the learning rate, summed over tokens.
pub trait Rule: Sync {
    /// Nothing changes where no error arrives: such cells are skipped.
    const NEEDS_ERROR: bool = false;

    /// What one token (or pair of tokens) adds to the weight.
    fn change(&self, s: &Local) -> f64;

    /// The new trace of a synapse on a memory cell, at every token that the cell writes.
    fn trace(&self, _s: &Local) -> f64 {
        0.0
    }

    /// What a query adds to the weight of a synapse on a memory cell; `third` is the error of that query.
    fn recalled(&self, _s: &Local) -> f64 {
        0.0
    }

    /// What one token adds to the weight of a synapse on a third compartment: `pre` is the error that arrives.
    fn feedback(&self, _s: &Local) -> f64 {
        0.0
    }

    /// The new weight, from its old one and a step: learning rate x mean change, as the optimiser made it.
    fn applied(&self, weight: f64, step: f64) -> f64 {
        weight + step
    }
}
