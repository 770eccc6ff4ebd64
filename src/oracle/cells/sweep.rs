//! One sweep over all populations, in order; populations of a loop together.

use super::activation::{OnPaper, activate, activate_on_paper, rectify};
use super::arrive::arriving;
use super::net::{Accumulate, CellError, Compartment, Kind, Mask, Net, Sent};
use super::settle::{Loop, groups, settle};

/// A column: its query and context token, where it has them.
#[derive(Clone, Copy)]
pub struct Column {
    pub i: Option<usize>,
    pub j: Option<usize>,
}

/// What a population sends, and what is known of it on paper, cell by cell.
pub struct State {
    pub sent: Sent,
    pub on_paper: Vec<Vec<Vec<OnPaper>>>,
}

/// What all populations send so far.
pub type States = Vec<Option<State>>;

/// Numbers of the cells of one column.
#[derive(Clone)]
pub struct Cells {
    pub values: Vec<f64>,
    pub on_paper: Vec<OnPaper>,
}

/// A sum of exponentials below this may have lost digits (the smallest normal number over the rounding of 1): it underflowed.
const UNDERFLOWN: f64 = f64::MIN_POSITIVE / f64::EPSILON;

/// What every population sends, in the order of [`Net::populations`].
///
/// # Errors
/// A projection that changes indices in a way the language does not have, a source that comes after its target without a delay, a
/// loop among pairs, memories or populations of different indices, weights, token counts or indices that do not fit.
pub fn evaluate(net: &Net) -> Result<Vec<Sent>, CellError> {
    let mut states: States = net.populations.iter().map(|_| None).collect();
    for p in 0..net.populations.len() {
        check(net, p)?;
    }
    for group in groups(net) {
        if group.closes_a_loop {
            settle(net, &group.members, &mut states)?;
            continue;
        }
        for p in group.members {
            let population = &net.populations[p];
            let one = match (population.kind, population.accumulate) {
                (Kind::Cells, Some(rule)) => accumulate(net, p, rule, &states)?,
                _ => replicate(net, p, &states)?,
            };
            states[p] = Some(one);
        }
    }
    Ok(states.into_iter().flatten().map(|s| s.sent).collect())
}

/// The first population that sends a number that is none.
#[must_use]
pub fn diverged<'n>(net: &'n Net, sent: &[Sent]) -> Option<&'n str> {
    let none = |s: &Sent| s.values.iter().flatten().flatten().any(|x| !x.is_finite());
    net.populations.iter().zip(sent).find(|(_, s)| none(s)).map(|(p, _)| p.name.as_str())
}

/// A population without memory: every column by itself.
fn replicate(net: &Net, p: usize, states: &States) -> Result<State, CellError> {
    let population = &net.populations[p];
    let (has_query, has_context) = (population.has_query, population.has_context);
    let queries = if has_query { population.query_clock } else { 1 };
    let contexts = if has_context { population.context_clock } else { 1 };
    let (mut values, mut on_paper) = (Vec::new(), Vec::new());
    for i in 0..queries {
        let (mut row, mut row_on_paper) = (Vec::new(), Vec::new());
        for j in 0..contexts {
            let exists = !(has_query && has_context) || population.mask.sees(i, j);
            let column = Column { i: has_query.then_some(i), j: has_context.then_some(j) };
            let cells =
                if exists { rates(net, p, column, states, &mut None)? } else { nothing(population.size()) };
            row.push(cells.values);
            row_on_paper.push(cells.on_paper);
        }
        values.push(row);
        on_paper.push(row_on_paper);
    }
    Ok(State { sent: Sent { has_query, has_context, values }, on_paper })
}

/// Cells that are silent or not there.
pub fn nothing(size: usize) -> Cells {
    Cells { values: vec![0.0; size], on_paper: vec![OnPaper::NotBelow; size] }
}

/// Rates of one column; `around` is the loop that the population lies in.
pub fn rates(
    net: &Net,
    p: usize,
    at: Column,
    states: &States,
    around: &mut Option<Loop<'_>>,
) -> Result<Cells, CellError> {
    let population = &net.populations[p];
    match population.kind {
        // x_i at a query relay, x_j at a context relay
        Kind::Input { stream, part } => {
            let Some(token) = at.i.or(at.j) else {
                return Err(CellError::new(&population.name, "an input needs a token index"));
            };
            let values = net.streams[stream].tokens[token].iter().map(|x| rectify(part, *x)).collect();
            let known = if part.is_some() { OnPaper::NotBelow } else { OnPaper::Anything };
            Ok(Cells { values, on_paper: vec![known; population.size()] })
        }
        Kind::Constant(x) => {
            let known = if x > 0.0 { OnPaper::Above } else { OnPaper::Anything };
            Ok(Cells { values: vec![x; population.size()], on_paper: vec![known; population.size()] })
        }
        Kind::Cells => {
            let basal = compartment(net, p, Compartment::Basal, at, states, around)?;
            let apical = compartment(net, p, Compartment::Apical, at, states, around)?;
            let mut cells = nothing(population.size());
            for c in 0..population.size() {
                let rate = activate(population.activation, basal.values[c], apical.values[c]);
                cells.values[c] = rectify(population.part, rate);
                let known = activate_on_paper(population.activation, basal.on_paper[c], apical.on_paper[c]);
                cells.on_paper[c] = if population.part.is_some() { OnPaper::NotBelow } else { known };
            }
            Ok(cells)
        }
    }
}

/// A memory: folds its rate over the context and sends the state after `M(i)`.
fn accumulate(net: &Net, p: usize, rule: Accumulate, states: &States) -> Result<State, CellError> {
    let population = &net.populations[p];
    let mut state = nothing(population.size());
    let mut after = vec![state.clone()]; // after[j]: before context token j
    for j in 0..population.context_clock {
        let at = Column { i: None, j: Some(j) };
        let basal = compartment(net, p, Compartment::Basal, at, states, &mut None)?;
        let apical = compartment(net, p, Compartment::Apical, at, states, &mut None)?;
        let gate = compartment(net, p, Compartment::Gate, at, states, &mut None)?;
        let before = state.clone();
        for column in 0..population.n_microcolumns {
            let cells = column * population.n_cells..(column + 1) * population.n_cells;
            // delta: what the memory of this microcolumn already says, sum_b' S_ab' apical_ab'
            let recalled: f64 = cells.clone().map(|c| before.values[c] * apical.values[c]).sum();
            for c in cells {
                let r = activate(population.activation, basal.values[c], apical.values[c]);
                let known = activate_on_paper(population.activation, basal.on_paper[c], apical.on_paper[c]);
                let (kept, old) = (before.on_paper[c], before.values[c]);
                let (value, on_paper) = match rule {
                    Accumulate::Hebbian { rate } => (old + rate * r, kept.plus(known.weighted(rate))),
                    Accumulate::Decay { g, rate } => (g * old + rate * r, kept.plus(known.weighted(rate))),
                    Accumulate::Delta { rate } => {
                        let b = rate.unwrap_or(gate.values[c]);
                        (old + b * (basal.values[c] - recalled) * apical.values[c], OnPaper::Anything)
                    }
                    Accumulate::Gated => (gate.values[c] * old + r, kept.min(gate.on_paper[c]).plus(known)),
                };
                (state.values[c], state.on_paper[c]) = (value, on_paper);
            }
        }
        after.push(state.clone());
    }
    let (mut values, mut on_paper) = (Vec::new(), Vec::new());
    for i in 0..population.query_clock {
        let read = match population.mask {
            Mask::Full => population.context_clock,
            Mask::Causal => i + 1,
            Mask::Strict => i,
            _ => return Err(CellError::new(&population.name, "a memory has no window")),
        };
        values.push(vec![after[read].values.iter().map(|x| rectify(population.part, *x)).collect()]);
        on_paper.push(vec![after[read].on_paper.clone()]);
    }
    Ok(State { sent: Sent { has_query: true, has_context: false, values }, on_paper })
}

/// (sum of additive inputs) / (sum of divisive inputs) of every cell; without divisive inputs just the sum.
fn compartment(
    net: &Net,
    p: usize,
    which: Compartment,
    at: Column,
    states: &States,
    around: &mut Option<Loop<'_>>,
) -> Result<Cells, CellError> {
    let size = net.populations[p].size();
    let (mut additive, mut divisive) = (nothing(size), nothing(size));
    let (mut divided, mut by_loop) = (false, false);
    for projection in net.projections.iter().filter(|s| s.to == p && s.compartment == which) {
        let Some(source) = &states[projection.from] else {
            return Err(CellError::new(&projection.name, "its source comes after its target"));
        };
        let source = arriving(net, projection, at, source)?;
        let sum = if projection.divisive { &mut divisive } else { &mut additive };
        for cell in 0..size {
            for (b, w) in projection.weights[cell].iter().enumerate() {
                sum.values[cell] += w * source.rates[b];
                sum.on_paper[cell] = sum.on_paper[cell].plus(source.on_paper[b].weighted(*w));
            }
        }
        divided |= projection.divisive;
        by_loop |= projection.divisive
            && around.as_ref().is_some_and(|around| around.members.contains(&projection.from));
    }
    if !divided {
        return Ok(additive);
    }
    for cell in 0..size {
        let (x, mut y) = (additive.values[cell], divisive.values[cell]);
        let above = divisive.on_paper[cell] == OnPaper::Above;
        additive.on_paper[cell] = additive.on_paper[cell].min(divisive.on_paper[cell]);
        let mut waits = false;
        if by_loop && let Some(around) = around {
            waits = !around.has_spoken(p, which, cell, y);
            y = if waits { 1.0 } else { y };
        }
        additive.values[cell] = if above && !waits && y < UNDERFLOWN {
            f64::NAN
        } else if x == 0.0 && y == 0.0 {
            0.0
        } else {
            x / y
        };
    }
    Ok(additive)
}

/// Sizes and order of one population and its inputs.
fn check(net: &Net, p: usize) -> Result<(), CellError> {
    let population = &net.populations[p];
    let fail = |reason: String| Err(CellError::new(&population.name, reason));
    if let Kind::Input { stream, .. } = population.kind {
        let tokens = net.streams[stream].tokens.len();
        let clock = if population.has_query { population.query_clock } else { population.context_clock };
        if population.has_query == population.has_context {
            return fail("an input is per query or per context".into());
        }
        if tokens != clock || net.streams[stream].d_model != population.size() {
            return fail(format!("{tokens} tokens and {clock} columns, or another width than its stream"));
        }
    }
    let memory = population.accumulate.is_some();
    if memory && (population.has_query || !population.has_context) {
        return fail("a memory is per context and nothing else".into());
    }
    let aligned = population.query_clock == population.context_clock;
    if (memory || (population.has_query && population.has_context))
        && population.mask != Mask::Full
        && !aligned
    {
        return fail("masks other than full need one clock".into());
    }
    for s in net.projections.iter().filter(|s| s.to == p) {
        if s.from >= p && !s.delayed {
            return Err(CellError::new(&s.name, "its source comes after its target"));
        }
        let columns = net.populations[s.from].size();
        if s.weights.len() != population.size() || s.weights.iter().any(|row| row.len() != columns) {
            let reason = format!("weights are not [{}][{columns}]", population.size());
            return Err(CellError::new(&s.name, reason));
        }
        if s.compartment == Compartment::Gate && !memory {
            return Err(CellError::new(&s.name, "only a memory has a gate"));
        }
    }
    Ok(())
}
