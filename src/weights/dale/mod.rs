//! Signed circuits as plus/minus circuits: every rate at or above zero, every weight of a cell of one sign.
//!
//! A signal x is carried by two populations, x = x+ - x-, both at or above zero and not necessarily minimal. A product
//! takes four populations, one for each pair of signs; a signal that is never negative takes one. Where a sign has to
//! be met before the output (nonlinear cells, relays that a later block reads), the wrong half arrives through
//! interneurons.
//!
//! 1. `plan` says into which populations each one splits, in the order of evaluation, or why it cannot.
//! 2. `halves` finds the recipe of the non-negative parts of each weight matrix: the numbers stay those of the original.
//! 3. `cells` names the populations and adds interneurons, `write` draws the projections between them, `clocks` keeps the
//!    tokens known where a half is empty; `remarks` says what was left out.
//!
//! **Deliberately absent:** any notion of a head; learning (errors and rules are left out, and said so).

mod cells;
mod clocks;
mod halves;
mod plan;
mod remarks;
mod write;

use crate::circuit::Circuit;
use crate::diag::Diagnostic;
use crate::spec::{CircuitSpec, to_yaml};
use std::fmt::Write;

/// A plus/minus circuit, and what is not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewritten {
    pub spec: CircuitSpec,
    /// What was left out, in words.
    pub remarks: Vec<String>,
}

/// The sign of a half of a signal or of a weight matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Half {
    Plus,
    Minus,
}

impl Half {
    const BOTH: [Self; 2] = [Self::Plus, Self::Minus];

    fn times(self, other: Self) -> Self {
        if self == other { Self::Plus } else { Self::Minus }
    }

    fn opposite(self) -> Self {
        self.times(Self::Minus)
    }

    fn sign(self) -> f64 {
        if self == Self::Plus { 1.0 } else { -1.0 }
    }

    fn of(x: f64) -> Self {
        if x < 0.0 { Self::Minus } else { Self::Plus }
    }

    /// `plus`, `minus`
    fn word(self) -> &'static str {
        if self == Self::Plus { "plus" } else { "minus" }
    }

    /// `p`, `m`
    fn letter(self) -> &'static str {
        if self == Self::Plus { "p" } else { "m" }
    }
}

/// Rewrites a circuit with signed cells and weights as an equivalent one with plus and minus cells.
///
/// `circuit` is `spec` after wiring. What is in that form already stays as it is.
///
/// # Errors
/// `N024` names the population that has no such form: a delta memory, an odd function of a signed argument, a gate or
/// a divisor that may be negative, a loop.
pub fn rewrite(spec: &CircuitSpec, circuit: &Circuit) -> Result<Rewritten, Diagnostic> {
    let plan = plan::plan(circuit)?;
    Ok(write::write(spec, circuit, &plan))
}

impl Rewritten {
    /// The circuit file, remarks as comments at its top.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = String::from(
            "# Plus/minus form: a signal x is x_plus - x_minus (or x_pp + x_mm - x_pm - x_mp), no rate is negative, and the\n\
             # weights of a cell have one sign. The numbers are those of the signed circuit.\n",
        );
        for remark in &self.remarks {
            let _ = writeln!(text, "# {remark}");
        }
        text + &to_yaml(&self.spec)
    }
}
