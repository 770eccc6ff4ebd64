//! Differences of aligned heads against double-doubles and dense tensors.

use super::blame::regauged;
use super::*;
use crate::attention::equivalence::aligned::aligned_square;
use crate::attention::equivalence::gram::{Slots, form, gram};
use crate::attention::equivalence::stack::{Stack, Term};

/// `|a - b| / |a|` by differences of aligned heads, if that decides, and by double-doubles.
fn both(a: &Block, b: &Block) -> (Option<f64>, f64) {
    let terms: Vec<Term<'_>> = a.heads.iter().chain(&b.heads).map(|h| Term::of(h, 1.0)).collect();
    let sign = |h: usize| if h < a.heads.len() { 1.0 } else { -1.0 };
    let signs: Vec<f64> = (0..terms.len()).map(sign).collect();
    let (stack, n) = (Stack::balanced(&terms), terms.len());
    let wide = gram::<Wide>(&stack);
    let square = |w: &[f64]| form(&wide, Slots::Pair, n, &|i, j| w[i] * w[j]).0.to_f64().max(0.0);
    let of_a: Vec<f64> = signs.iter().map(|s| s.max(0.0)).collect();
    let norm = square(&of_a).sqrt();
    let aligned = aligned_square(&stack, &gram::<f64>(&stack), &signs, norm);
    (aligned.map(|square| square.sqrt() / norm), square(&signs).sqrt() / norm)
}

/// Other gauges, backwards.
fn copy(a: &Block, rng: &mut ChaCha8Rng) -> Block {
    let mut out = with(a, |_| ());
    out.heads = a.heads.iter().rev().map(|h| regauged(h, rng)).collect();
    out
}

#[test]
fn copies_are_equal() {
    for seed in 0..20 {
        let a = random(4, 12, 3, seed % 2 == 0, seed);
        let b = copy(&a, &mut ChaCha8Rng::seed_from_u64(seed + 100));
        let (aligned, wide) = both(&a, &b);
        assert!(aligned.is_some_and(|d| d < 1e-13), "seed {seed}: {aligned:?} {wide:e}");
        let found = distance(&a, &b).expect("in scope");
        assert!(found.total.relative() < 1e-13 && found.method == Method::CertificateCompensated);
    }
}

#[test]
fn small_changes_have_the_same_size_by_three_routes() {
    for seed in 0..10 {
        for size in [1e-8, 1e-5] {
            let a = random(3, 6, 2, true, seed);
            let mut b = copy(&a, &mut ChaCha8Rng::seed_from_u64(seed));
            b.heads[1].w_q[(0, 2)] *= 1.0 + size;
            b.heads[2].w_v[(1, 3)] += size;
            let ((aligned, wide), dense) = (both(&a, &b), dense_relative(&a, &b));
            let close = |x: f64| (x / dense - 1.0).abs() < 1e-4;
            assert!(close(wide) && aligned.is_some_and(close), "{seed}: {aligned:?} {wide:e} {dense:e}");
        }
    }
}

#[test]
fn heads_without_a_partner_do_not_decide() {
    let a = random(3, 6, 2, true, 1);
    let split = disguised(&a, &mut ChaCha8Rng::seed_from_u64(1));
    let (aligned, wide) = both(&a, &split);
    assert!(aligned.is_none() && wide < 1e-13, "{aligned:?} {wide:e}");
}
