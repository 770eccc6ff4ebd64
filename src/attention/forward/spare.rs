//! Long vectors that a pass has done with, for the next one: fresh memory costs as much as moving the numbers twice.

use crate::linalg::Real;
use nalgebra::DMatrix;
use std::sync::Mutex;

/// From so many numbers on a vector is worth keeping; below, the allocator keeps it as well.
const LONG: usize = 1 << 12;

/// Vectors out of use, those given back in this pass and those of the pass before; a copy starts without any.
#[derive(Debug, Default)]
pub(in crate::attention) struct Spare<T>(Mutex<[Vec<Vec<T>>; 2]>);

impl<T> Clone for Spare<T> {
    fn clone(&self) -> Self {
        Self(Mutex::default())
    }
}

impl<T: Real> Spare<T> {
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    /// Forgets the vectors that the last pass had no use for.
    pub fn next_pass(&self) {
        if let Ok(mut all) = self.0.lock() {
            let [now, before] = &mut *all;
            *before = std::mem::take(now);
        }
    }

    /// `n` numbers of any value.
    pub fn take(&self, n: usize) -> Vec<T> {
        let mut vector = if n < LONG { Vec::new() } else { self.fitting(n) };
        vector.resize(n, T::zero());
        vector
    }

    /// The shortest vector with room for `n` numbers; one with room for more than twice as many is left to others.
    fn fitting(&self, n: usize) -> Vec<T> {
        let Ok(mut all) = self.0.lock() else { return Vec::new() };
        let fits = |v: &Vec<T>| (n..=2 * n).contains(&v.capacity());
        let best = |list: &[Vec<T>]| {
            let fitting = list.iter().enumerate().filter(|(_, v)| fits(v));
            fitting.min_by_key(|(_, v)| v.capacity()).map(|(at, _)| at)
        };
        let found = all.iter_mut().find_map(|list| best(list).map(|at| list.swap_remove(at)));
        found.unwrap_or_default()
    }

    /// Keeps a vector for the next who asks.
    pub fn give(&self, vector: Vec<T>) {
        if vector.len() >= LONG
            && let Ok(mut all) = self.0.lock()
        {
            all[0].push(vector);
        }
    }

    /// A matrix of numbers of any value.
    pub fn matrix(&self, rows: usize, columns: usize) -> DMatrix<T> {
        DMatrix::from_vec(rows, columns, self.take(rows * columns))
    }

    pub fn give_matrix(&self, matrix: DMatrix<T>) {
        self.give(matrix.data.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_that_fits_is_used_again() {
        let spare = Spare::<f64>::new();
        for (number, length) in [(1.0, LONG), (2.0, 3 * LONG), (3.0, 2 * LONG)] {
            spare.give(vec![number; length]);
        }
        assert_eq!(spare.take(LONG + 1), [3.0; LONG + 1]);
        assert_eq!(spare.take(LONG + 1)[0], 0.0, "three times as long is left to others");
        assert_eq!(spare.take(3 * LONG)[0], 2.0);
        assert_eq!(spare.clone().take(LONG)[0], 0.0);
        assert_eq!(spare.take(LONG)[0], 1.0);
        spare.give(vec![5.0; LONG - 1]);
        assert_eq!(spare.take(LONG - 1)[0], 0.0, "short ones are not kept");
    }

    #[test]
    fn what_a_whole_pass_did_not_want_is_dropped() {
        let spare = Spare::<f32>::new();
        for number in [1.0, 2.0] {
            spare.give_matrix(DMatrix::from_element(LONG, 1, number));
        }
        spare.next_pass();
        let used = spare.matrix(LONG, 1);
        let number = used[0];
        assert!(number > 0.0);
        spare.give_matrix(used);
        spare.next_pass();
        assert_eq!((spare.take(LONG)[0], spare.take(LONG)[0]), (number, 0.0));
    }
}
