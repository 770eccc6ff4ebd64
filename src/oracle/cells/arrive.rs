//! What a projection brings to one column of its target, and what it does to indices.

use super::activation::OnPaper;
use super::net::{CellError, Mask, Net, Projection};
use super::sweep::{Column, State};

/// Rates of the source's cells as the target's column sees them.
pub struct Arrival {
    pub rates: Vec<f64>,
    pub on_paper: Vec<OnPaper>,
}

/// The source's cells as the target's column sees them: broadcast, summed over context, or token-aligned.
pub fn arriving(net: &Net, projection: &Projection, at: Column, state: &State) -> Result<Arrival, CellError> {
    let sent = &state.sent;
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
    let of = |i: usize, j: usize| {
        Ok(Arrival { rates: sent.values[i][j].clone(), on_paper: state.on_paper[i][j].clone() })
    };
    match (sent.has_query, sent.has_context, at.i, at.j) {
        // nothing to choose: the same for every column of the target
        (false, false, _, _) => of(0, 0),
        // query to query, broadcast over the target's context
        (true, false, Some(i), _) => {
            fits("query", target.query_clock)?;
            of(i, 0)
        }
        // query to context: token-aligned, j := i
        (true, false, None, Some(j)) => {
            fits("context", target.context_clock)?;
            of(j, 0)
        }
        // context to context, broadcast over the target's query
        (false, true, _, Some(j)) => {
            fits("context", target.context_clock)?;
            of(0, j)
        }
        // column to column
        (true, true, Some(i), Some(j)) => {
            fits("query", target.query_clock)?;
            if !source.mask.sees(i, j) {
                return fail("reads a column that its source does not have");
            }
            of(i, j)
        }
        // context only at the source: summed over M(i)
        (_, true, Some(i), None) => {
            let mask = projection.mask.unwrap_or(source.mask);
            if sent.has_query {
                fits("query", target.query_clock)?;
            }
            if mask != Mask::Full && target.query_clock != source.context_clock {
                return fail("masks other than full need one clock");
            }
            let size = source.size();
            let mut sum = Arrival { rates: vec![0.0; size], on_paper: vec![OnPaper::NotBelow; size] };
            for j in 0..source.context_clock {
                let exists = !sent.has_query || source.mask.sees(i, j);
                if !(mask.sees(i, j) && exists) {
                    continue;
                }
                let row = if sent.has_query { i } else { 0 };
                for cell in 0..size {
                    sum.rates[cell] += sent.values[row][j][cell];
                    sum.on_paper[cell] = sum.on_paper[cell].plus(state.on_paper[row][j][cell]);
                }
            }
            Ok(sum)
        }
        (true, true, None, _) | (true, false, None, None) => fail("no projection sums over query"),
        (false, true, None, None) => fail("a sum over context needs a query index at the target"),
    }
}
