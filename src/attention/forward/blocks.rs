//! Tokens in blocks of constant size, serial or on threads: the same numbers either way.

use crate::linalg::Real;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Tokens per block.
pub(in crate::attention) const BLOCK: usize = 256;

/// Calls `f(first_token, columns)` for each block of `size` columns of `rows` numbers.
pub(in crate::attention) fn chunks<T: Real>(
    data: &mut [T],
    rows: usize,
    size: usize,
    parallel: bool,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let width = size * rows;
    if width == 0 {
        return;
    }
    if parallel && data.len() > width {
        data.par_chunks_mut(width).enumerate().for_each(|(b, block)| f(b * size, block));
    } else {
        data.chunks_mut(width).enumerate().for_each(|(b, block)| f(b * size, block));
    }
}

/// The same for blocks of [`BLOCK`] columns of a matrix.
pub(in crate::attention) fn for_each_block<T: Real>(
    out: &mut DMatrix<T>,
    parallel: bool,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let rows = out.nrows();
    chunks(out.as_mut_slice(), rows, BLOCK, parallel, f);
}

/// [`chunks`] with one more number per token in `extra`.
pub(in crate::attention) fn chunks_with<T: Real>(
    data: &mut [T],
    extra: &mut [T],
    rows: usize,
    size: usize,
    parallel: bool,
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    let width = size * rows;
    if width == 0 {
        return;
    }
    if parallel && data.len() > width {
        let blocks = data.par_chunks_mut(width).zip(extra.par_chunks_mut(size));
        blocks.enumerate().for_each(|(b, (block, extra))| f(b * size, block, extra));
    } else {
        let blocks = data.chunks_mut(width).zip(extra.chunks_mut(size));
        blocks.enumerate().for_each(|(b, (block, extra))| f(b * size, block, extra));
    }
}

/// `g^0, g^1, ... g^n`, rounded once from float64 (all 1 without decay).
pub(in crate::attention) fn powers<T: Real>(g: Option<T>, n: usize) -> Vec<T> {
    let mut powers = Vec::new();
    powers_into(g, n, &mut powers);
    powers
}

/// The same in the place of what `out` holds.
pub(in crate::attention) fn powers_into<T: Real>(g: Option<T>, n: usize, out: &mut Vec<T>) {
    let g = g.map_or(1.0, Real::to_f64);
    let mut power = 1.0;
    out.clear();
    out.extend((0..=n).map(|_| {
        let now = crate::linalg::real::<T>(power);
        power *= g;
        now
    }));
}
