//! Memories, token by token, and the derivatives of what they send by what they read.

use super::plan::Cells;
use super::work::Numbers;
use crate::simulate::cells::memory::{Memory, Read};
use crate::spec::{AccumulateSpec, MaskSpec};

/// Number of tokens that the state sent to query `i` holds; one state for all queries under a full mask.
pub fn written(cells: &Cells<'_>, i: usize) -> usize {
    match cells.of.mask {
        MaskSpec::Full => cells.columns.count(),
        mask => mask.seen(i, cells.columns.count()).end,
    }
}

/// Which of so many queries read the state after so many tokens.
pub fn readers(cells: &Cells<'_>, after: usize, queries: usize) -> std::ops::Range<usize> {
    let tokens = cells.columns.count();
    match cells.of.mask.whole() {
        MaskSpec::Full if after == tokens => 0..queries,
        MaskSpec::Causal => after.saturating_sub(1)..after.min(queries),
        MaskSpec::Strict => after.min(queries)..(after + 1).min(queries),
        _ => 0..0,
    }
}

/// All states of a sequence, from its first token or from where the last one ended (`carry`).
pub fn fold(cells: &Cells<'_>, rule: AccumulateSpec, own: &mut Numbers, carry: bool) {
    let (n, tokens) = (cells.n, cells.columns.count());
    if carry {
        own.states.copy_within(tokens * n.., 0);
    } else {
        own.states[..n].fill(0.0);
    }
    let memory = Memory { rule, activation: cells.of.activation, cells: cells.of.cells, mask: cells.of.mask };
    let [basal, apical, gate] = &own.potential;
    let read = Read { basal, apical, gate };
    for j in 0..tokens {
        let (before, after) = own.states.split_at_mut((j + 1) * n);
        let after = &mut after[..n];
        after.copy_from_slice(&before[j * n..]);
        memory.write(read.column(j, n), after, &mut own.writes[j * n..][..n]);
    }
    for (i, sent) in own.rates.chunks_exact_mut(n).enumerate() {
        sent.copy_from_slice(&own.states[written(cells, i) * n..][..n]);
    }
}

/// From `d_rates` to the derivatives by basal, apical and gate of every token; starting states are constants.
///
/// `d_state` is room.
pub fn backward(cells: &Cells<'_>, rule: AccumulateSpec, own: &mut Numbers, d_state: &mut Vec<f64>) {
    let (n, tokens, per) = (cells.n, cells.columns.count(), cells.of.cells);
    let d = super::link::cleared(d_state, n);
    let Numbers { potential, d_potential, states, d_rates, .. } = own;
    let [d_basal, d_apical, d_gate] = d_potential;
    let [basal, apical, gate] = potential;
    for after in (0..=tokens).rev() {
        for i in readers(cells, after, cells.sends.count()) {
            d.iter_mut().zip(&d_rates[i * n..][..n]).for_each(|(d, r)| *d += r);
        }
        let Some(j) = after.checked_sub(1) else { break };
        let at = j * n..(j + 1) * n;
        let before = &states[at.clone()];
        match rule {
            AccumulateSpec::Hebbian { rate } | AccumulateSpec::Decay { rate, .. } => {
                let keep = if let AccumulateSpec::Decay { g, .. } = rule { g } else { 1.0 };
                for (c, d) in d.iter_mut().enumerate() {
                    write_back(cells, [basal, apical], [d_basal, d_apical], j * n + c, rate * *d);
                    *d *= keep;
                }
            }
            AccumulateSpec::Gated {} => {
                for (c, d) in d.iter_mut().enumerate() {
                    let k = j * n + c;
                    write_back(cells, [basal, apical], [d_basal, d_apical], k, *d);
                    d_gate[k] += *d * before[c];
                    *d *= gate[k];
                }
            }
            AccumulateSpec::Delta { rate } => {
                let (v, k) = (&basal[at.clone()], &apical[at.clone()]);
                for m in 0..n / per {
                    let column = m * per..(m + 1) * per;
                    let b = |c: usize| rate.unwrap_or_else(|| gate[j * n + c]);
                    let recalled: f64 = column.clone().map(|c| before[c] * k[c]).sum();
                    let d_recalled: f64 = -column.clone().map(|c| d[c] * b(c) * k[c]).sum::<f64>();
                    for c in column {
                        let error = v[c] - recalled;
                        d_basal[j * n + c] += d[c] * b(c) * k[c];
                        d_apical[j * n + c] += d[c] * b(c) * error + d_recalled * before[c];
                        if rate.is_none() {
                            d_gate[j * n + c] += d[c] * error * k[c];
                        }
                        d[c] += d_recalled * k[c];
                    }
                }
            }
        }
    }
}

/// Derivatives of what a cell writes by its compartments: cell and token `k`.
fn write_back(cells: &Cells<'_>, x: [&Vec<f64>; 2], d_x: [&mut Vec<f64>; 2], k: usize, d: f64) {
    let [d_basal, d_apical] = d_x;
    let [basal, apical] = x.map(|x| x.get(k).copied());
    let [by_basal, by_apical] = cells.of.activation.slopes(basal, apical);
    if let Some(x) = d_basal.get_mut(k) {
        *x += d * by_basal;
    }
    if let Some(x) = d_apical.get_mut(k) {
        *x += d * by_apical;
    }
}
