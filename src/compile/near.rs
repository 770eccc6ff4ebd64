//! Vectors that are the same but for rounding.
//!
//! In plus/minus circuits the halves of a form, and the output columns of the populations of a product, are computed
//! along different paths: the same sums in another order. Signed circuits have one path for each, and compare bits.

use super::hash::HashMap;
use std::hash::Hash;

/// Largest difference, relative to the largest entry, that counts as rounding.
const ROUNDING: f64 = 1e-12;
/// Buckets per unit of the fingerprint; rounding moves a fingerprint by far less than one.
const BUCKETS: f64 = 1e6;

/// Finds vectors by number, among those of one kind.
#[derive(Debug)]
pub struct Near<K> {
    buckets: HashMap<(K, i64), Vec<u32>>,
}

impl<K> Default for Near<K> {
    fn default() -> Self {
        Self { buckets: HashMap::default() }
    }
}

impl<K: Hash + Eq + Copy> Near<K> {
    /// The earliest vector of this kind that is nearly `v`; `at` gives the vector of a number.
    pub fn find<V: AsRef<[f64]>>(&self, kind: K, v: &[f64], at: impl Fn(u32) -> V) -> Option<u32> {
        let mark = fingerprint(v).floor();
        [mark - 1.0, mark, mark + 1.0]
            .into_iter()
            .filter_map(|bucket| self.buckets.get(&(kind, number(bucket))))
            .flatten()
            .copied()
            .filter(|n| is_near(v, at(*n).as_ref()))
            .min()
    }

    pub fn insert(&mut self, kind: K, v: &[f64], n: u32) {
        self.buckets.entry((kind, number(fingerprint(v).floor()))).or_default().push(n);
    }
}

/// The sign of the first entry that is clearly not zero.
pub fn leading_sign(v: &[f64]) -> Option<f64> {
    let clear = ROUNDING * largest(v);
    v.iter().find(|x| x.abs() > clear).map(|x| x.signum())
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, x| m.max(x.abs()))
}

fn is_near(a: &[f64], b: &[f64]) -> bool {
    let room = ROUNDING * largest(a).max(largest(b));
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= room)
}

/// A weighted mean of the entries relative to the largest, in buckets.
fn fingerprint(v: &[f64]) -> f64 {
    let top = largest(v);
    if top == 0.0 {
        return 0.0;
    }
    let mut weight = 1.0_f64;
    let mut sum = 0.0;
    for x in v {
        // Weights in (1, 2) without a pattern that a matrix would have.
        let next: f64 = weight * 1.618_033_988_749_895;
        weight = next - next.floor() + 1.0;
        sum += weight * (x / top);
    }
    #[allow(clippy::cast_precision_loss)]
    let mean = sum / v.len() as f64;
    mean * BUCKETS
}

#[allow(clippy::cast_possible_truncation)]
fn number(bucket: f64) -> i64 {
    bucket as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_overlooked_and_nothing_else() {
        let known = [vec![1.0, -2.0, 0.5], vec![1.0, -2.0, 0.5 + 1e-9]];
        let mut near: Near<u8> = Near::default();
        for (n, v) in (0..).zip(&known) {
            near.insert(0, v, n);
        }
        let at = |n: u32| known[n as usize].clone();
        let rows: &[(&str, u8, [f64; 3], Option<u32>)] = &[
            ("itself", 0, [1.0, -2.0, 0.5], Some(0)),
            ("rounded", 0, [1.0 - 2e-16, -2.0 + 4e-16, 0.5], Some(0)),
            ("a small difference is one", 0, [1.0, -2.0, 0.5 + 1e-9], Some(1)),
            ("another kind", 1, [1.0, -2.0, 0.5], None),
            ("another sign", 0, [-1.0, 2.0, -0.5], None),
        ];
        for (claim, kind, v, want) in rows {
            assert_eq!(near.find(*kind, v, at), *want, "{claim}");
        }
        assert_eq!(leading_sign(&[1e-17, -2.0]), Some(-1.0), "rounding has no sign");
    }
}
