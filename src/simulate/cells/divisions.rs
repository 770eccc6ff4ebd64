//! Divisions by sums that may be zero, where a circuit runs as compiled heads.
//!
//! Cells divide before heads do: `x / 0` in a cell ends the run even where the head's own sum is `0 / 0`, or where no head
//! is left of the cell. So that both say the same, cells whose divisor is not positive for certain are computed once, for
//! these tokens, with all that they depend on.

use super::lesion::Lesions;
use super::net::net;
use super::run::{Cause, cause, present};
use super::settings::{Grid, Settings};
use super::step::Wild;
use crate::attention::Streams;
use crate::circuit::{Circuit, Compartment, IndexRule, Kind, Population, PopulationId, Projection};
use crate::diag::{Diagnostic, codes};
use crate::spec::{AccumulateSpec, CellOptions, Effect, LayoutSpec, StopSpec};
use crate::vocabulary::{Activation, Mask, OnPaper};
use std::collections::{BTreeMap, BTreeSet};

/// Most numbers that the check may hold; with more tokens only what the heads themselves divide is looked at.
const MOST_NUMBERS: usize = 20_000_000;

/// What became of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisions {
    /// no cell divides a number by zero
    Sound,
    /// too many tokens
    Unchecked,
}

/// Whether a cell divides a number other than 0 by 0 on these tokens.
///
/// # Errors
/// `R001` names the population; `R003` for token counts that do not fit.
pub fn divisions(circuit: &Circuit, inputs: &Streams) -> Result<Divisions, Diagnostic> {
    let doubtful = doubtful(circuit);
    if doubtful.is_empty() {
        return Ok(Divisions::Sound);
    }
    let plain = upstream(circuit, &doubtful);
    let length = |clock: Option<usize>| {
        clock.and_then(|c| inputs.get(&plain.streams[c].name)).map_or(1, nalgebra::DMatrix::ncols)
    };
    let numbers = plain.order.iter().map(|id| plain.population(*id)).fold(0usize, |sum, p| {
        let columns = length(p.query_clock).saturating_mul(length(p.context_clock));
        sum.saturating_add(columns.saturating_mul(4 * p.size()))
    });
    if numbers > MOST_NUMBERS {
        return Ok(Divisions::Unchecked);
    }
    let settings = Settings { prospective: true, stop: StopSpec::Settle, ..Settings::default() };
    let grid = Grid::new(&plain, &settings)?;
    let mut net = net(&plain, inputs, &settings, &grid, &Lesions::new(&plain, &[], &grid)?)?;
    let mut currents: Vec<_> = net.cells.iter().map(|_| None).collect();
    present(&plain, inputs, &mut net);
    match net.step(&mut currents, settings.tolerance) {
        Err(Wild(i)) if cause(&net, i) == Cause::DividedByZero => {
            let p = net.cells[i].of;
            let what = format!("`{}` diverged: it divides a number that is not 0 by 0", p.name);
            Err(Diagnostic::error(codes::R001, &p.path, what)
                .help("0/0 is 0; a divisor that can be zero needs other weights, or a `tonic` input that keeps it away from 0"))
        }
        _ => Ok(Divisions::Sound),
    }
}

/// The circuit up to these populations, without what acts in time only.
fn upstream(circuit: &Circuit, wanted: &[PopulationId]) -> Circuit {
    let mut needed: BTreeSet<PopulationId> = BTreeSet::new();
    let mut open = wanted.to_vec();
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            let inputs = circuit.inputs_of(id).filter(|(_, p)| p.compartment != Compartment::Third);
            open.extend(inputs.map(|(_, p)| p.from));
        }
    }
    let mut plain = circuit.clone();
    plain.layout = LayoutSpec::Space {};
    plain.order.retain(|id| needed.contains(id));
    plain.populations.iter_mut().for_each(|p| p.options = CellOptions::default());
    plain.projections.iter_mut().for_each(|p| p.delay_ms = None);
    plain
}

/// What is known of the sign of all numbers of a population or a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Any,
    NonNegative,
    /// positive, but for the first query token, which a strict sum leaves without any context
    LaterPositive,
    Positive,
}

impl Sign {
    fn on_paper(self) -> OnPaper {
        match self {
            Self::Any => OnPaper::Any,
            Self::NonNegative => OnPaper::NonNegative,
            Self::LaterPositive | Self::Positive => OnPaper::Positive,
        }
    }
}

/// Signs, and whether all numbers of the first query token are 0 because a strict sum is empty.
#[derive(Clone, Copy, Debug)]
struct Known {
    sign: Sign,
    starts_at_zero: bool,
}

/// Populations of which a divisor is not positive wherever it divides a number.
pub fn doubtful(circuit: &Circuit) -> Vec<PopulationId> {
    if circuit.projections.iter().all(|p| p.effect != Effect::Divisive) || !circuit.recurrent.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeMap<PopulationId, Known> = BTreeMap::new();
    let mut found = Vec::new();
    for id in &circuit.order {
        let p = circuit.population(*id);
        let mut sides = Vec::new();
        for c in [Compartment::Basal, Compartment::Apical] {
            let Some(above) = arriving(circuit, *id, (c, Effect::Additive), &known) else { continue };
            let Some(below) = arriving(circuit, *id, (c, Effect::Divisive), &known) else {
                sides.push(above);
                continue;
            };
            // Columns (0, j) of a strict area do not exist.
            let first = p.indices.context && p.indices.query && p.mask.whole() == Mask::Strict;
            let sound = match below.sign {
                Sign::Positive => true,
                Sign::LaterPositive => first || above.starts_at_zero,
                _ => false,
            };
            if !sound {
                found.push(*id);
            }
            sides.push(Known { sign: above.sign.min(below.sign), starts_at_zero: above.starts_at_zero });
        }
        known.insert(*id, sent(p, &sides));
    }
    found.dedup();
    found
}

/// The sum of the inputs of one kind to a compartment, if there are any.
fn arriving(
    circuit: &Circuit,
    id: PopulationId,
    (compartment, effect): (Compartment, Effect),
    known: &BTreeMap<PopulationId, Known>,
) -> Option<Known> {
    let all: Vec<(&Projection, Known)> = circuit
        .inputs_of(id)
        .filter(|(_, p)| p.compartment == compartment && p.effect == effect)
        .map(|(_, p)| (p, on_the_way(p, known.get(&p.from).copied())))
        .collect();
    if all.is_empty() {
        return None;
    }
    let weights_are_signed = |p: &Projection| p.synapses.weights.find(|w| w < 0.0).is_some();
    let starts_at_zero = all.iter().all(|(_, k)| k.starts_at_zero);
    if all.iter().any(|(p, k)| k.sign == Sign::Any || weights_are_signed(p)) {
        return Some(Known { sign: Sign::Any, starts_at_zero });
    }
    // Every cell needs a positive number through a positive weight.
    let cells = circuit.population(id).size();
    let reaches = |at_least: Sign| {
        (0..cells).all(|cell| {
            all.iter().any(|(p, k)| {
                let (s, w) = (&p.synapses, &p.synapses.weights);
                let row = s.onto.of(cell);
                k.sign >= at_least && (0..w.columns()).any(|column| w.get(row, column) > 0.0)
            })
        })
    };
    let sign = match (reaches(Sign::Positive), reaches(Sign::LaterPositive)) {
        (true, _) => Sign::Positive,
        (_, true) => Sign::LaterPositive,
        _ => Sign::NonNegative,
    };
    Some(Known { sign, starts_at_zero })
}

/// What becomes of the signs of a source before the weights.
fn on_the_way(p: &Projection, from: Option<Known>) -> Known {
    let from = from.unwrap_or(Known { sign: Sign::Any, starts_at_zero: false });
    match p.index {
        IndexRule::SumContext(mask) if mask.whole() == Mask::Strict => {
            Known { sign: from.sign.min(Sign::LaterPositive), starts_at_zero: true }
        }
        // The first query token becomes a context token, which is not known apart.
        IndexRule::Aligned if from.sign == Sign::LaterPositive => {
            Known { sign: Sign::NonNegative, starts_at_zero: false }
        }
        IndexRule::Aligned => Known { starts_at_zero: false, ..from },
        IndexRule::SumContext(_) | IndexRule::Broadcast | IndexRule::Error => from,
    }
}

/// What a population sends.
fn sent(p: &Population, sides: &[Known]) -> Known {
    let zero = !sides.is_empty() && sides.iter().all(|s| s.starts_at_zero);
    let lowest = sides.iter().map(|s| s.sign).min().unwrap_or(Sign::Any);
    let highest = sides.iter().map(|s| s.sign).max().unwrap_or(Sign::Any);
    let sum = if lowest == Sign::Any { Sign::Any } else { highest };
    let (sign, starts_at_zero) = match (&p.kind, p.activation) {
        (Kind::Tonic, _) => (Sign::Positive, false),
        (Kind::Relay { stream: Some(_), part, .. }, _) => {
            (if part.is_some() { Sign::NonNegative } else { Sign::Any }, false)
        }
        (Kind::Relay { part: Some(_), .. }, _) => (Sign::NonNegative, zero),
        (_, Activation::Product) => (lowest, sides.iter().any(|s| s.starts_at_zero)),
        (_, Activation::Function(f)) => {
            let sign = match f.on_paper(sum.on_paper()) {
                OnPaper::Any => Sign::Any,
                OnPaper::NonNegative => Sign::NonNegative,
                // Above 0 wherever its argument is.
                OnPaper::Positive if f.on_paper(OnPaper::Any) != OnPaper::Positive => sum,
                OnPaper::Positive => Sign::Positive,
            };
            (sign, zero && f.value(0.0) == 0.0)
        }
    };
    let strict = p.mask.whole() == Mask::Strict;
    match p.accumulate {
        None => Known { sign, starts_at_zero },
        Some(AccumulateSpec::Hebbian { rate } | AccumulateSpec::Decay { rate, .. }) if rate > 0.0 => {
            let sign = match sign {
                Sign::LaterPositive => Sign::NonNegative,
                Sign::Positive if strict => Sign::LaterPositive,
                other => other,
            };
            Known { sign, starts_at_zero: strict }
        }
        Some(_) => Known { sign: Sign::Any, starts_at_zero: strict },
    }
}
