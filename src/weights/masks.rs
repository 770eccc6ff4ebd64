//! Masks that a file holds as tensors: known by what is in them, not by their names.
//!
//! | numbers | seen |
//! |---|---|
//! | 1 and 0 | where 1 stands; or where 0 stands, if that is the causal mask and the other reading lets nobody see itself |
//! | 0 and at most -10^4 | where 0 stands: it is added to the scores |
//!
//! **Deliberately absent:** masks that are no [`Mask`], of which the error says what they are.

use crate::attention::Mask;
use crate::files::{Array, Bad, Dtype};

/// The last part of the names of tensors that may hold a mask.
const NAMES: [&str; 8] =
    ["bias", "mask", "causal_mask", "attn_mask", "attention_mask", "tril", "causal", "future_mask"];

/// Likewise of the number that stands in masked places.
const FILLINGS: [&str; 3] = ["masked_bias", "IGNORE", "mask_value"];

/// Added to a score, a number from here down leaves nothing of it.
const NOTHING: f64 = -1e4;

/// What kind of buffer a tensor of an attention module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffer {
    Mask,
    /// the number that masked scores are set to
    Filling,
    /// 0, 1, 2 ...
    PositionIds,
}

/// What a tensor may be by name and shape; its content has to say the same.
pub(super) fn buffer(stem: &str, shape: &[usize]) -> Option<Buffer> {
    // A buffer of the module itself; that of a module inside it is a bias.
    let last = stem.strip_prefix("self.").unwrap_or(stem);
    let ones = shape.iter().take_while(|&&n| n == 1).count();
    if last == "position_ids" {
        return Some(Buffer::PositionIds);
    }
    if FILLINGS.contains(&last) && shape.iter().all(|&n| n == 1) {
        return Some(Buffer::Filling);
    }
    // A bias of one output is no mask of one token.
    let square = shape.len() >= 2 && (shape.len() - ones == 2 || shape.iter().all(|&n| n == 1));
    (NAMES.contains(&last) && square).then_some(Buffer::Mask)
}

/// Whether a filling leaves nothing of the scores it replaces.
pub(super) fn is_filling(array: &Array) -> bool {
    array.data.iter().all(|x| *x <= NOTHING)
}

/// Whether position ids count the tokens.
#[allow(clippy::cast_precision_loss)]
pub(super) fn counts(array: &Array) -> bool {
    array.shape.iter().filter(|&&n| n != 1).count() <= 1
        && array.data.iter().enumerate().all(|(i, x)| x.to_bits() == (i as f64).to_bits())
}

/// The mask in a tensor; nothing where it has one token, which says nothing.
pub(super) fn mask(name: &str, array: &Array) -> Result<Option<Mask>, Bad> {
    let refuse = |what: String| {
        Err(Bad::new("F012", format!("tensor `{name}` is a mask, but {what}"))
            .help("heads have full, causal and strict masks (--mask), and --ignore leaves the tensor out"))
    };
    let &[.., n, m] = &array.shape[..] else { return refuse("not of pairs of tokens".to_owned()) };
    if n != m {
        return refuse(format!("of {n} queries and {m} keys"));
    }
    if n < 2 {
        return Ok(None);
    }
    let Some(seen) = seen(array, n) else {
        return refuse("its numbers are neither 1 and 0 nor added to scores".to_owned());
    };
    let is = |allowed: &dyn Fn(usize, usize) -> bool| {
        seen.iter().enumerate().find(|(at, seen)| **seen != allowed(at / n, at % n)).map(|(at, _)| at)
    };
    for (mask, allowed) in [
        (Mask::Full, &(|_, _| true) as &dyn Fn(usize, usize) -> bool),
        (Mask::Causal, &|i, j| j <= i),
        (Mask::Strict, &|i, j| j < i),
    ] {
        if is(allowed).is_none() {
            return Ok(Some(mask));
        }
    }
    // The last token sees a run of tokens that ends with itself.
    let width = seen[(n - 1) * n..].iter().rev().take_while(|seen| **seen).count();
    if width > 0 && is(&|i, j| j <= i && i - j < width).is_none() {
        return refuse(format!("one with a window of {width} tokens"));
    }
    let (at, nearest) = match is(&|i, j| j <= i) {
        Some(at) => (at, if seen[at] { "sees" } else { "does not see" }),
        None => (0, "sees"),
    };
    refuse(format!("not the causal one: token {} {nearest} token {}", at / n, at % n))
}

/// Which pairs see each other.
fn seen(array: &Array, n: usize) -> Option<Vec<bool>> {
    let all = |ok: fn(f64) -> bool| array.data.iter().all(|x| ok(*x));
    let diagonal = |wanted: f64| (0..n).all(|i| array.data[i * n + i].to_bits() == wanted.to_bits());
    let pairs = |ok: fn(f64) -> bool| Some(array.data.iter().map(|x| ok(*x)).collect::<Vec<bool>>());
    let float = matches!(array.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
    if float && all(|x| x == 0.0 || x <= NOTHING) {
        return pairs(|x| x == 0.0);
    }
    if !all(|x| x == 0.0 || x == 1.0) || array.data.iter().all(|x| *x == 0.0) {
        return None;
    }
    let above = array.data.iter().enumerate().all(|(at, x)| (*x == 1.0) == (at % n > at / n));
    if diagonal(0.0) && above { pairs(|x| x == 0.0) } else { pairs(|x| x == 1.0) }
}
