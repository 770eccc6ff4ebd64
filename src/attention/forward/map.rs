//! The attention matrix of one head, for looking at.

use super::decay_of;
use super::error::ForwardError;
use super::inputs::Reader;
use super::sink::join;
use super::tiles::{Scoring, age, seen};
use crate::attention::{Block, Memory, Normalisation, Streams};
use crate::linalg::{Real, count, gemm, real};
use nalgebra::DMatrix;

/// Weight of every context token for every query token, `[n_query, n_context]`, such that
/// `u_i = sum_j a_ij v_j`: kernel, scale, decay, mask and normalisation included.
///
/// This is the one place where the whole matrix exists; [`super::forward`] never forms it.
///
/// # Errors
/// As [`super::forward`]; [`ForwardError::Unsupported`] for delta and gated memories, which are not a weight per
/// pair of tokens; [`ForwardError::NoSuchHead`].
pub fn attention_map<T: Real>(
    block: &Block<T>,
    head_index: usize,
    streams: &Streams<T>,
) -> Result<DMatrix<T>, ForwardError> {
    let Some(head) = block.heads.get(head_index) else {
        return Err(ForwardError::NoSuchHead { head: head_index, heads: block.heads.len() });
    };
    if matches!(head.memory, Memory::Delta(_) | Memory::Gated { .. }) {
        let what = format!("a {} memory has no attention map", head.memory.name());
        return Err(ForwardError::Unsupported { head: head_index, what });
    }
    let reader = Reader { head, index: head_index, streams };
    reader.check()?;
    let [queries, keys] = reader.queries_and_keys();
    let n = keys.ncols();
    let how = Scoring::of(head);
    let sink = reader.sink();
    let g = decay_of(head).map_or(1.0, Real::to_f64);
    let mut map = DMatrix::zeros(queries.ncols(), n);
    gemm(&mut map, T::one(), &queries, true, &keys, false, T::zero());
    for (i, mut row) in map.row_iter_mut().enumerate() {
        let visible = seen(head.mask, i, n);
        for j in visible..n {
            row[j] = T::zero();
        }
        let mut row = row.columns_mut(0, visible);
        let fade = |j: usize| count(age(head.mask, i, j, n));
        let mut top = T::zero();
        if how.softmax && visible > 0 {
            for j in 0..visible {
                row[j] = how.weight(row[j]) + real::<T>(fade(j) * g.ln());
            }
            top = row.iter().fold(row[0], |m, s| if *s > m { *s } else { m });
            row.apply(|s| *s = (*s - top).exp());
        } else {
            for j in 0..visible {
                row[j] = how.weight(row[j]) * real(g.powf(fade(j)));
            }
        }
        let mut sum = row.iter().fold(T::zero(), |sum, a| sum + *a);
        if let Some((sink, features)) = &sink {
            // One value, 1, on top of the sum: what happens to it happens to the weights.
            let mut token = [T::one(), sum];
            join(sink, features.column(i).as_slice(), how.softmax, &mut token, &mut top);
            row *= token[0];
            sum = token[1];
        }
        if head.normalisation == Normalisation::Sum {
            if sum.is_zero() && row.iter().any(|a| !a.is_zero()) {
                return Err(ForwardError::DivisionByZero { head: head_index, token: i });
            }
            if !sum.is_zero() {
                row /= sum;
            }
        }
        if row.iter().any(|a| !a.is_finite()) {
            return Err(ForwardError::NotFinite { head: head_index, token: i });
        }
    }
    Ok(map)
}
