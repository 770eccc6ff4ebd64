//! Loops through delays: their rates are where cells settle, each token for itself.
//!
//! Rates start at 0 and follow `r += (1 - e^(-1/10)) (f(r) - r)`, f what the populations of the loop would send. A silent divisor
//! that belongs to the loop counts as 1 until it first speaks: without that, g = v / g never starts.

use super::net::{CellError, Compartment, Net, Sent};
use super::sweep::{Cells, Column, State, States, nothing, rates};

/// Of what the rates would be, the largest distance at which they count as settled.
const SETTLED: f64 = 1e-13;
/// The smallest size that a distance is compared with.
const LEAST: f64 = 1e-300;
const ROUNDS: usize = 10_000;

/// Populations that are computed together.
pub struct Group {
    pub members: Vec<usize>,
    pub closes_a_loop: bool,
}

/// A loop at one token.
pub struct Loop<'m> {
    pub members: &'m [usize],
    /// divisors that have said something, by population, compartment and cell
    spoken: Vec<(usize, Compartment, usize)>,
}

impl Loop<'_> {
    /// Whether the divisor of a cell says something, or has before.
    pub fn has_spoken(&mut self, p: usize, compartment: Compartment, cell: usize, divisor: f64) -> bool {
        let this = (p, compartment, cell);
        if self.spoken.contains(&this) {
            return true;
        }
        if divisor != 0.0 {
            self.spoken.push(this);
        }
        divisor != 0.0
    }
}

/// All populations, those of a loop together, each group after all that project to it.
pub fn groups(net: &Net) -> Vec<Group> {
    let n = net.populations.len();
    // reaches[a][b]: is there a path from a to b?
    let mut reaches = vec![vec![false; n]; n];
    for s in &net.projections {
        reaches[s.from][s.to] = true;
    }
    for via in 0..n {
        for a in 0..n {
            for b in 0..n {
                reaches[a][b] |= reaches[a][via] && reaches[via][b];
            }
        }
    }
    let mut done = vec![false; n];
    let mut groups = Vec::new();
    while groups.len() < n {
        let ready = |p: usize| (0..n).all(|q| done[q] || !reaches[q][p] || reaches[p][q]);
        let Some(p) = (0..n).find(|p| !done[*p] && ready(*p)) else { break };
        let members: Vec<usize> = (0..n).filter(|q| *q == p || (reaches[p][*q] && reaches[*q][p])).collect();
        groups.push(Group { closes_a_loop: reaches[p][p], members: members.clone() });
        members.into_iter().for_each(|m| done[m] = true);
    }
    groups
}

/// Settles a loop at every token.
pub fn settle(net: &Net, members: &[usize], states: &mut States) -> Result<(), CellError> {
    let first = &net.populations[members[0]];
    let (has_query, has_context) = (first.has_query, first.has_context);
    let n_tokens = if has_query { first.query_clock } else { first.context_clock };
    for m in members {
        let p = &net.populations[*m];
        let other = (p.has_query, p.has_context) != (has_query, has_context);
        if other || has_query == has_context || p.accumulate.is_some() {
            return Err(CellError::new(&p.name, "a loop lies among populations of one token index"));
        }
        let silent = nothing(p.size());
        let all = |cells: &Cells| {
            let (rows, columns) = if has_query { (n_tokens, 1) } else { (1, n_tokens) };
            let values = vec![vec![cells.values.clone(); columns]; rows];
            State {
                sent: Sent { has_query, has_context, values },
                on_paper: vec![vec![cells.on_paper.clone(); columns]; rows],
            }
        };
        states[*m] = Some(all(&silent));
    }
    for token in 0..n_tokens {
        let (i, j) = if has_query { (token, 0) } else { (0, token) };
        let at = Column { i: has_query.then_some(i), j: has_context.then_some(j) };
        let mut around = Some(Loop { members, spoken: Vec::new() });
        let mut settled = false;
        for _ in 0..ROUNDS {
            let goals: Result<Vec<Cells>, _> =
                members.iter().map(|m| rates(net, *m, at, states, &mut around)).collect();
            let goals = goals?;
            let (mut distance, mut size) = (0.0_f64, LEAST);
            let mut finite = true;
            for (m, goal) in members.iter().zip(goals) {
                let Some(state) = &mut states[*m] else { continue };
                for (r, f) in state.sent.values[i][j].iter_mut().zip(&goal.values) {
                    finite &= f.is_finite();
                    distance = distance.max((f - *r).abs());
                    size = size.max(f.abs());
                    *r += (1.0 - (-0.1_f64).exp()) * (f - *r);
                }
                state.on_paper[i][j] = goal.on_paper;
            }
            settled = finite && distance <= SETTLED * size;
            if settled || !finite {
                break;
            }
        }
        if !settled {
            for m in members {
                let Some(state) = &mut states[*m] else { continue };
                state.sent.values[i][j].fill(f64::NAN);
            }
        }
    }
    Ok(())
}
