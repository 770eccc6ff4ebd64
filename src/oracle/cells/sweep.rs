//! One sweep over all populations, in order.

use super::net::{Accumulate, Activation, CellError, Compartment, Kind, Mask, Net, Part, Projection, Sent};

/// A column: its query and context token, where it has them.
#[derive(Clone, Copy)]
struct Column {
    i: Option<usize>,
    j: Option<usize>,
}

/// What every population sends, in the order of [`Net::populations`].
///
/// # Errors
/// A projection that changes indices in a way the language does not have, a source that comes after its target,
/// weights, token counts or indices that do not fit.
pub fn evaluate(net: &Net) -> Result<Vec<Sent>, CellError> {
    let mut sent: Vec<Sent> = Vec::new();
    for (p, population) in net.populations.iter().enumerate() {
        check(net, p)?;
        let one = match (population.kind, population.accumulate) {
            (Kind::Cells, Some(rule)) => accumulate(net, p, rule, &sent)?,
            _ => replicate(net, p, &sent)?,
        };
        sent.push(one);
    }
    Ok(sent)
}

/// A population without memory: every column by itself.
fn replicate(net: &Net, p: usize, sent: &[Sent]) -> Result<Sent, CellError> {
    let population = &net.populations[p];
    let (has_query, has_context) = (population.has_query, population.has_context);
    let queries = if has_query { population.query_clock } else { 1 };
    let contexts = if has_context { population.context_clock } else { 1 };
    let mut values = Vec::new();
    for i in 0..queries {
        let mut row = Vec::new();
        for j in 0..contexts {
            let exists = !(has_query && has_context) || population.mask.sees(i, j);
            let column = Column { i: has_query.then_some(i), j: has_context.then_some(j) };
            row.push(if exists { rates(net, p, column, sent)? } else { vec![0.0; population.size()] });
        }
        values.push(row);
    }
    Ok(Sent { has_query, has_context, values })
}

/// Rates of one column.
fn rates(net: &Net, p: usize, at: Column, sent: &[Sent]) -> Result<Vec<f64>, CellError> {
    let population = &net.populations[p];
    let rates = match population.kind {
        // x_i at a query relay, x_j at a context relay
        Kind::Input { stream, part } => {
            let Some(token) = at.i.or(at.j) else {
                return Err(CellError::new(&population.name, "an input needs a token index"));
            };
            net.streams[stream].tokens[token].iter().map(|x| rectify(part, *x)).collect()
        }
        Kind::Constant(x) => vec![x; population.size()],
        Kind::Cells => {
            let basal = compartment(net, p, Compartment::Basal, at, sent)?;
            let apical = compartment(net, p, Compartment::Apical, at, sent)?;
            let net = basal.iter().zip(&apical).map(|(b, a)| activate(population.activation, *b, *a));
            net.map(|x| rectify(population.part, x)).collect()
        }
    };
    Ok(rates)
}

/// A memory: folds its rate over the context and sends the state after `M(i)`.
fn accumulate(net: &Net, p: usize, rule: Accumulate, sent: &[Sent]) -> Result<Sent, CellError> {
    let population = &net.populations[p];
    let mut state = vec![0.0; population.size()];
    let mut states = vec![state.clone()]; // states[j]: before context token j
    for j in 0..population.context_clock {
        let at = Column { i: None, j: Some(j) };
        let basal = compartment(net, p, Compartment::Basal, at, sent)?;
        let apical = compartment(net, p, Compartment::Apical, at, sent)?;
        let gate = compartment(net, p, Compartment::Gate, at, sent)?;
        let before = state.clone();
        for column in 0..population.n_microcolumns {
            let cells = column * population.n_cells..(column + 1) * population.n_cells;
            // delta: what the memory of this microcolumn already says, sum_b' S_ab' apical_ab'
            let recalled: f64 = cells.clone().map(|c| before[c] * apical[c]).sum();
            for c in cells {
                let r = activate(population.activation, basal[c], apical[c]);
                state[c] = match rule {
                    Accumulate::Hebbian { rate } => before[c] + rate * r,
                    Accumulate::Decay { g, rate } => g * before[c] + rate * r,
                    Accumulate::Delta { rate } => {
                        before[c] + rate.unwrap_or(gate[c]) * (basal[c] - recalled) * apical[c]
                    }
                    Accumulate::Gated => gate[c] * before[c] + r,
                };
            }
        }
        states.push(state.clone());
    }
    let values = (0..population.query_clock)
        .map(|i| {
            let read = match population.mask {
                Mask::Full => population.context_clock,
                Mask::Causal => i + 1,
                Mask::Strict => i,
            };
            vec![states[read].iter().map(|x| rectify(population.part, *x)).collect()]
        })
        .collect();
    Ok(Sent { has_query: true, has_context: false, values })
}

/// (sum of additive inputs) / (sum of divisive inputs) of every cell; without divisive inputs just the sum.
fn compartment(
    net: &Net,
    p: usize,
    which: Compartment,
    at: Column,
    sent: &[Sent],
) -> Result<Vec<f64>, CellError> {
    let size = net.populations[p].size();
    let mut additive = vec![0.0; size];
    let mut divisive = vec![0.0; size];
    let mut divided = false;
    for projection in net.projections.iter().filter(|s| s.to == p && s.compartment == which) {
        let source = arriving(net, projection, at, &sent[projection.from])?;
        for cell in 0..size {
            for (w, x) in projection.weights[cell].iter().zip(&source) {
                if projection.divisive {
                    divisive[cell] += w * x;
                } else {
                    additive[cell] += w * x;
                }
            }
        }
        divided |= projection.divisive;
    }
    if divided {
        for (x, y) in additive.iter_mut().zip(&divisive) {
            *x = if *x == 0.0 && *y == 0.0 { 0.0 } else { *x / y };
        }
    }
    Ok(additive)
}

/// The source's cells as the target's column sees them: broadcast, summed over context, or token-aligned.
fn arriving(net: &Net, projection: &Projection, at: Column, sent: &Sent) -> Result<Vec<f64>, CellError> {
    let source = &net.populations[projection.from];
    let fail = |reason: &str| Err(CellError::new(&projection.name, reason));
    let tokens = if sent.has_query { sent.values.len() } else { source.context_clock };
    let target = &net.populations[projection.to];
    let fits = |what: &str, clock: usize| {
        if tokens == clock {
            return Ok(());
        }
        let reason = format!("{tokens} tokens at the source, {clock} {what} tokens at the target");
        Err(CellError::new(&projection.name, reason))
    };
    match (sent.has_query, sent.has_context, at.i, at.j) {
        // nothing to choose: the same for every column of the target
        (false, false, _, _) => Ok(sent.values[0][0].clone()),
        // query to query, broadcast over the target's context
        (true, false, Some(i), _) => {
            fits("query", target.query_clock)?;
            Ok(sent.values[i][0].clone())
        }
        // query to context: token-aligned, j := i
        (true, false, None, Some(j)) => {
            fits("context", target.context_clock)?;
            Ok(sent.values[j][0].clone())
        }
        // context to context, broadcast over the target's query
        (false, true, _, Some(j)) => {
            fits("context", target.context_clock)?;
            Ok(sent.values[0][j].clone())
        }
        // column to column
        (true, true, Some(i), Some(j)) => {
            fits("query", target.query_clock)?;
            if !source.mask.sees(i, j) {
                return fail("reads a column that its source does not have");
            }
            Ok(sent.values[i][j].clone())
        }
        // context only at the source: summed over M(i)
        (_, true, Some(i), None) => {
            let mask = projection.mask.unwrap_or(source.mask);
            if sent.has_query {
                fits("query", target.query_clock)?;
            }
            if mask != Mask::Full && target.query_clock != source.context_clock {
                return fail("causal and strict need one clock");
            }
            let mut sum = vec![0.0; source.size()];
            for j in 0..source.context_clock {
                let exists = !sent.has_query || source.mask.sees(i, j);
                if !(mask.sees(i, j) && exists) {
                    continue;
                }
                let values = &sent.values[if sent.has_query { i } else { 0 }][j];
                for (total, x) in sum.iter_mut().zip(values) {
                    *total += x;
                }
            }
            Ok(sum)
        }
        (true, true, None, _) | (true, false, None, None) => fail("no projection sums over query"),
        (false, true, None, None) => fail("a sum over context needs a query index at the target"),
    }
}

fn activate(activation: Activation, basal: f64, apical: f64) -> f64 {
    let x = basal + apical;
    match activation {
        Activation::Product => basal * apical,
        Activation::Linear => x,
        Activation::Relu => x.max(0.0),
        Activation::Exp => x.exp(),
        Activation::EluPlusOne if x > 0.0 => x + 1.0,
        Activation::EluPlusOne => x.exp(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Sign if x == 0.0 => 0.0,
        Activation::Sign => x.signum(),
        Activation::Power(n) => (0..n).map(|_| x).product(),
    }
}

fn rectify(part: Option<Part>, x: f64) -> f64 {
    match part {
        None => x,
        Some(Part::Plus) => x.max(0.0),
        Some(Part::Minus) => (-x).max(0.0),
    }
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
        return fail("causal and strict need one clock".into());
    }
    for s in net.projections.iter().filter(|s| s.to == p) {
        if s.from >= p {
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
