//! Work on a long array in pieces of fixed size, on threads when that pays.
//!
//! The size of a piece never depends on the number of threads, and no piece reads what another writes: the bytes are
//! the same for any number of threads.

use rayon::prelude::*;

/// Numbers in a piece: small enough for the second-level cache together with its inputs.
pub const PIECE: usize = 8192;
/// Below this many operations a pass stays on its thread: starting the others costs 15 to 30 us.
const WORTH_THREADS: usize = 400_000;

/// Columns in a piece of columns of `rows` numbers.
pub fn columns_of_piece(rows: usize) -> usize {
    (PIECE / rows.max(1)).max(1)
}

/// Does a pass of this many operations pay for threads?
pub fn pays(operations: usize) -> bool {
    operations >= WORTH_THREADS
}

/// Calls `work(piece number, piece)` for all pieces of `out`.
pub fn pieces(out: &mut [f64], piece: usize, operations: usize, work: impl Fn(usize, &mut [f64]) + Sync) {
    if piece == 0 || out.is_empty() {
        return;
    }
    if pays(operations) {
        out.par_chunks_mut(piece).enumerate().for_each(|(k, chunk)| work(k, chunk));
    } else {
        out.chunks_mut(piece).enumerate().for_each(|(k, chunk)| work(k, chunk));
    }
}
