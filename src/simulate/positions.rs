//! Tokens that are functions of their number (`circuits/README.md`, Positions).

use super::inputs::MAX_NUMBERS;
use crate::circuit::Stream;
use crate::diag::{Diagnostic, codes};
use crate::memory;
use crate::spec::{Pairing, PositionKind, PositionsSpec};
use nalgebra::DMatrix;

/// Tokens `first`, `first + 1`, ... of a sequence, `[width, n]`: token 0 has number `offset`.
///
/// A token beyond `one_hot: n` is all 0; [`fit`] refuses it.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn tokens(spec: &PositionsSpec, first: usize, n: usize) -> DMatrix<f64> {
    let from = spec.offset + first;
    let number = |column: usize| (from + column) as f64;
    match &spec.kind {
        PositionKind::Index {} => DMatrix::from_fn(1, n, |_, j| number(j)),
        PositionKind::OneHot(m) => DMatrix::from_fn(*m, n, |i, j| f64::from(u8::from(i == from + j))),
        PositionKind::Rotary(r) => {
            let pair = |k: usize| match r.pairing {
                Pairing::Halves => k % (r.dims / 2),
                Pairing::Pairs => k / 2,
            };
            let frequencies: Vec<f64> = (0..r.dims).map(|k| r.frequency(pair(k))).collect();
            DMatrix::from_fn(2 * r.dims, n, |i, j| {
                let angle = frequencies[i % r.dims] * number(j);
                r.scale * if i < r.dims { angle.cos() } else { angle.sin() }
            })
        }
        PositionKind::Sinusoid { d_model, theta } => {
            let place = |i: usize| (i / 2 * 2) as f64 / *d_model as f64;
            let frequencies: Vec<f64> = (0..*d_model).map(|i| theta.powf(-place(i))).collect();
            DMatrix::from_fn(*d_model, n, |i, j| {
                let angle = frequencies[i] * number(j);
                if i.is_multiple_of(2) { angle.sin() } else { angle.cos() }
            })
        }
    }
}

/// Has the stream a token for each of `n` numbers, and `numbers` of them at once a place in memory?
///
/// # Errors
/// `C037` a token beyond `one_hot`, `C006` and `C080` more than may be held.
pub fn fit(stream: &Stream, spec: &PositionsSpec, n: usize, at_once: usize) -> Result<(), Diagnostic> {
    let path = format!("tokens.streams.{}.positions", stream.name);
    if let PositionKind::OneHot(m) = spec.kind
        && n > 0
        && spec.offset + n > m
    {
        let (last, least) = (spec.offset + n - 1, spec.offset + n);
        let what = format!(
            "token {n} of stream `{}` has number {last}, but `one_hot: {m}` ends at {}",
            stream.name,
            m - 1
        );
        return Err(Diagnostic::error(codes::C037, format!("{path}.one_hot"), what)
            .help(format!("write `one_hot: {least}` (and as many cells), or give fewer tokens")));
    }
    if at_once.checked_mul(stream.d_model).is_none_or(|n| n > MAX_NUMBERS) {
        let what = format!(
            "{at_once} positions of {} numbers each are too many; a stream may hold {MAX_NUMBERS} numbers",
            stream.d_model
        );
        return Err(
            Diagnostic::error(codes::C006, path, what).help("use fewer tokens; nothing was allocated")
        );
    }
    memory::check(codes::C080, &path, "its tokens", memory::bytes(at_once * stream.d_model, 32))
}
