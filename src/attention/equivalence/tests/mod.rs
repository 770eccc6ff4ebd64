//! Certificates against dense tensors, gauge copies, runs and Monte Carlo.

use super::number::{Number, Wide};
use super::*;
use crate::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Residual, Streams, forward};
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

mod aligned;
mod blame;
mod samples;

fn matrix(rows: usize, cols: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, cols, |_, _| rng.random_range(-1.0..1.0))
}

fn head(d: usize, r: usize, biases: bool, rng: &mut ChaCha8Rng) -> Head {
    let mut m = |rows, cols| matrix(rows, cols, rng);
    let on = if biases { 1.0 } else { 0.0 };
    let mut b = |rows| m(rows, 1).column(0) * on;
    let (b_q, b_k, b_v) = (b(r), b(r), b(r));
    Head {
        w_q: m(r, d),
        w_k: m(r, d),
        w_v: m(r, d),
        w_o: m(d, r),
        b_q,
        b_k,
        b_v,
        scale: 0.7,
        kernel: Kernel::Linear,
        normalisation: Normalisation::None,
        mask: Mask::Causal,
        memory: Memory::None,
        query_stream: "main".into(),
        context_stream: "main".into(),
        value_stream: "main".into(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    }
}

fn block(heads: Vec<Head>) -> Block {
    let d = heads[0].w_o.nrows();
    Block {
        relay: "HO".into(),
        d_model: d,
        clock_stream: "main".into(),
        heads,
        residual: Vec::new(),
        b_o: DVector::zeros(d),
    }
}

fn random(heads: usize, d: usize, r: usize, biases: bool, seed: u64) -> Block {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    block((0..heads).map(|_| head(d, r, biases, rng)).collect())
}

fn with(block: &Block, change: impl Fn(&mut Head)) -> Block {
    let mut out = block.clone();
    out.heads.iter_mut().for_each(change);
    out
}

fn relative(a: &Block, b: &Block) -> f64 {
    distance(a, b).expect("in scope").total.relative()
}

/// The same function in other gauges, in another order, rescaled, and with heads split by value cells.
fn disguised(a: &Block, rng: &mut ChaCha8Rng) -> Block {
    let mut out = a.clone();
    out.heads.reverse();
    for h in &mut out.heads {
        let mut invertible = |r: usize| loop {
            let g = matrix(r, r, rng);
            if let Some(inverse) = g.clone().try_inverse().filter(|i| i.amax() < 20.0) {
                return (g, inverse);
            }
        };
        let (g, inverse) = invertible(h.d_key());
        (h.w_k, h.b_k) = (&g * &h.w_k, &g * &h.b_k);
        (h.w_q, h.b_q) = (inverse.transpose() * &h.w_q, inverse.transpose() * &h.b_q);
        let (g, inverse) = invertible(h.d_value());
        (h.w_v, h.b_v, h.w_o) = (&g * &h.w_v, &g * &h.b_v, &h.w_o * &inverse);
        (h.scale, h.w_o) = (h.scale * -3.0, &h.w_o / -3.0);
    }
    let first = out.heads[0].clone();
    let keep = |from: usize, count: usize| Head {
        w_v: first.w_v.rows(from, count).into_owned(),
        b_v: first.b_v.rows(from, count).into_owned(),
        w_o: first.w_o.columns(from, count).into_owned(),
        ..first.clone()
    };
    out.heads[0] = keep(0, 1);
    out.heads.push(keep(1, first.d_value() - 1));
    out
}

/// `A B` in double-doubles, entry by entry.
fn product(a: &DMatrix<Wide>, b: &DMatrix<Wide>) -> DMatrix<Wide> {
    DMatrix::from_fn(a.nrows(), b.ncols(), |i, j| {
        (0..a.ncols()).fold(Wide::zero(), |sum, k| sum.plus(a[(i, k)].times(b[(k, j)])))
    })
}

/// `|T|^2` by its entries in numbers of kind `N`, for heads with signs; slots of key and value symmetric.
fn dense(heads: &[(f64, &Head)]) -> f64 {
    let width = heads[0].1.w_q.ncols() + 1;
    let wide = |m: &DMatrix<f64>, b: &DVector<f64>| {
        let mut out = m.clone().insert_column(m.ncols(), 0.0);
        out.set_column(m.ncols(), b);
        out.map(Wide::from_f64)
    };
    let pb: Vec<_> = heads
        .iter()
        .map(|(sign, h)| {
            let o = h.w_o.map(|x| Wide::from_f64(x).times(Wide::from_f64(sign * h.scale)));
            let p = product(&o, &wide(&h.w_v, &h.b_v));
            (p, product(&wide(&h.w_k, &h.b_k).transpose(), &wide(&h.w_q, &h.b_q)))
        })
        .collect();
    let mut sum = Wide::zero();
    for a in 0..heads[0].1.w_o.nrows() {
        for b in 0..width {
            for c in 0..width {
                for e in 0..width {
                    let entry = pb.iter().fold(Wide::zero(), |s, (p, q)| {
                        s.plus(p[(a, b)].times(q[(c, e)])).plus(p[(a, c)].times(q[(b, e)]))
                    });
                    sum = sum.plus(entry.times(entry));
                }
            }
        }
    }
    sum.to_f64() / 4.0
}

fn dense_relative(a: &Block, b: &Block) -> f64 {
    let of_a: Vec<(f64, &Head)> = a.heads.iter().map(|h| (1.0, h)).collect();
    let both: Vec<(f64, &Head)> = of_a.iter().copied().chain(b.heads.iter().map(|h| (-1.0, h))).collect();
    (dense(&both) / dense(&of_a)).sqrt()
}

#[test]
fn copies_in_other_gauges_are_equal() {
    let mut worst = 0.0f64;
    for seed in 0..20 {
        let a = random(3, 6, 2, seed % 2 == 0, seed);
        let b = disguised(&a, &mut ChaCha8Rng::seed_from_u64(seed + 100));
        let found = distance(&a, &b).expect("in scope");
        assert_eq!(found.method, Method::CertificateCompensated, "seed {seed}");
        worst = worst.max(found.total.relative());
    }
    assert!(worst < 1e-13, "{worst:e}");
    let a = random(2, 5, 2, true, 1);
    assert!(relative(&a, &a) <= 1e-15 && relative(&a, &with(&a, |h| h.memory = Memory::Hebbian)) <= 1e-15);
}

#[test]
fn random_pairs_agree_with_the_dense_tensor() {
    for seed in 0..20 {
        let (d, r) = (2 + seed as usize % 5, 1 + seed as usize % 3);
        let (a, b) = (random(2, d, r, seed % 2 == 0, seed), random(3, d, r, true, seed + 50));
        let (got, want) = (relative(&a, &b), dense_relative(&a, &b));
        assert!((got - want).abs() < 1e-13 * want, "seed {seed}: {got} {want}");
        assert_eq!(distance(&a, &b).expect("in scope").method, Method::Certificate);
    }
}

#[test]
fn a_small_change_of_one_weight_is_seen() {
    for seed in 0..10 {
        let a = random(3, 6, 2, true, seed);
        let mut b = disguised(&a, &mut ChaCha8Rng::seed_from_u64(seed));
        b.heads[1].w_q[(0, 2)] *= 1.0 + 1e-7;
        let (got, want) = (relative(&a, &b), dense_relative(&a, &b));
        assert!((got / want - 1.0).abs() < 1e-3 && want > 1e-11, "seed {seed}: {got:e} {want:e}");
    }
}

#[test]
fn key_and_value_swap_at_rank_one_only() {
    let swap = |h: &mut Head| {
        std::mem::swap(&mut h.w_k, &mut h.w_v);
        std::mem::swap(&mut h.b_k, &mut h.b_v);
    };
    let one = random(1, 6, 1, false, 3);
    assert!(relative(&one, &with(&one, swap)) < 1e-13);
    // Without the symmetry of the slots the tensors are far apart.
    let (f, g) = (&one.heads[0], &with(&one, swap).heads[0]);
    let (p, q) = (&f.w_o * &f.w_v, &g.w_o * &g.w_v);
    let (b, c) = (f.w_k.transpose() * &f.w_q, g.w_k.transpose() * &g.w_q);
    let cos = p.dot(&q) * b.dot(&c) / (p.norm() * q.norm() * b.norm() * c.norm());
    assert!((2.0 - 2.0 * cos).sqrt() > 0.5);
    let two = random(1, 6, 2, false, 3);
    assert!(relative(&two, &with(&two, swap)) > 0.1);
    // The same with values from another stream: names trade places too.
    let other = with(&one, |h| h.value_stream = "place".into());
    let swapped = with(&other, |h| {
        swap(h);
        std::mem::swap(&mut h.context_stream, &mut h.value_stream);
    });
    assert!(relative(&other, &swapped) < 1e-13);
    assert!(relative(&other, &with(&other, swap)) > 0.1);
    assert!(relative(&other, &one) > 0.5);
}

#[test]
fn masks_decays_and_clocks_are_groups() {
    let a = random(2, 4, 2, false, 5);
    for mask in [Mask::Full, Mask::Strict] {
        assert!(relative(&a, &with(&a, |h| h.mask = mask)) > 0.3, "{mask:?}");
    }
    let faded = |g: f64| with(&a, |h| h.memory = Memory::Decay(g));
    assert!(relative(&a, &faded(0.9)) > 1.0);
    assert!(relative(&a, &faded(1.0)) <= 1e-15);
    assert!(relative(&faded(0.9), &faded(0.9)) <= 1e-15);
    let mut two = a.clone();
    two.heads[0].memory = Memory::Decay(0.5);
    let found = distance(&two, &a).expect("in scope");
    assert_eq!(found.groups.len(), 2);
    let cross = with(&a, |h| {
        h.mask = Mask::Full;
        h.context_stream = "seen".into();
        h.value_stream = "seen".into();
    });
    let copy = disguised(&cross, &mut ChaCha8Rng::seed_from_u64(1));
    assert!(relative(&cross, &copy) < 1e-13);
    assert!(relative(&cross, &with(&a, |h| h.mask = Mask::Full)) > 0.5);
}

#[test]
fn causal_minus_strict_is_a_path() {
    // Values of the token itself, whatever its score: causal less strict, key and query constant.
    let mut a = random(1, 4, 4, true, 6);
    let h = &mut a.heads[0];
    h.w_k.fill(0.0);
    h.w_q.fill(0.0);
    let (score, h) = (h.b_k.dot(&h.b_q) * h.scale, h.clone());
    a.heads.push(Head { mask: Mask::Strict, scale: -h.scale, ..h.clone() });
    let mut b = a.clone();
    b.heads.clear();
    b.residual.push(Residual { stream: "main".into(), matrix: &h.w_o * &h.w_v * score });
    b.b_o = &h.w_o * &h.b_v * score;
    let found = distance(&a, &b).expect("in scope");
    assert!(found.is_within(1e-13), "{found:?}");
    b.b_o[0] += 0.1;
    assert!(!distance(&a, &b).expect("in scope").is_within(1e-3));
}

#[test]
fn one_length_can_hide_a_constant_in_the_bias() {
    let mut a = with(&random(1, 3, 1, true, 7), |h| h.mask = Mask::Full);
    let h = &mut a.heads[0];
    for w in [&mut h.w_q, &mut h.w_k, &mut h.w_v] {
        w.fill(0.0);
    }
    let each = &h.w_o * &h.b_v * (h.scale * h.b_k.dot(&h.b_q));
    let mut b = a.clone();
    b.heads.clear();
    b.b_o = &each * 5.0;
    let gap = |n: usize| {
        let x: Streams = [("main".to_owned(), DMatrix::from_element(3, n, 0.3))].into();
        (forward(&a, &x).expect("runs") - forward(&b, &x).expect("runs")).amax()
    };
    assert!(gap(5) < 1e-14 && gap(4) > 1e-3);
    let found = distance(&a, &b).expect("in scope");
    assert!(found.total.relative() > 0.5 && found.claim == Claim::AllLengths);
    // One token alone: keys and queries can trade places unseen.
    let a = random(1, 3, 2, false, 8);
    let b = with(&a, |h| std::mem::swap(&mut h.w_k, &mut h.w_q));
    let x: Streams = [("main".to_owned(), DMatrix::from_element(3, 1, 0.3))].into();
    let one = (forward(&a, &x).expect("runs") - forward(&b, &x).expect("runs")).amax();
    assert!(one < 1e-15 && relative(&a, &b) > 0.1);
}

#[test]
fn out_of_scope_names_the_head() {
    let a = random(2, 3, 1, false, 9);
    let mut b = a.clone();
    b.heads[1].kernel = Kernel::Exp;
    let error = distance(&a, &b).expect_err("softmax");
    assert_eq!(
        error.to_string(),
        "block B, head 1: its kernel is exp, so equality of matrices does not decide"
    );
    assert!(matches!(distance(&a, &random(2, 4, 1, false, 9)), Err(OutOfScope::Widths { .. })));
    assert!(matches!(distance(&with(&a, |h| h.scale = f64::NAN), &a), Err(OutOfScope::NotFinite { .. })));
    // Huge weights do not overflow on the way.
    let huge = with(&a, |h| h.w_o *= 1e200);
    assert!(relative(&huge, &huge) <= 1e-15 && (relative(&huge, &a) - 1.0).abs() < 1e-12);
}

#[test]
fn heads_find_each_other() {
    let a = random(3, 6, 2, true, 10);
    let mut b = disguised(&a, &mut ChaCha8Rng::seed_from_u64(3));
    b.heads.truncate(3);
    let found = matched_heads(&a, &b).expect("fits");
    for (x, y) in [(1, 1), (0, 2)] {
        let pair = found.iter().find(|m| m.a == x).expect("matched");
        assert!(pair.b == y && pair.same_kind && pair.cosine > 1.0 - 1e-12, "{found:?}");
        assert!((pair.qk * pair.ov - 1.0).abs() < 1e-12, "{pair:?}");
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn integers_have_an_exact_distance() {
    let whole = |block: &Block| {
        let mut out = with(block, |h| {
            for m in [&mut h.w_q, &mut h.w_k, &mut h.w_v, &mut h.w_o] {
                m.apply(|x| *x = (*x * 5.0).round());
            }
            h.scale = 0.5;
        });
        out.residual.push(Residual { stream: "main".into(), matrix: DMatrix::identity(4, 4) });
        out
    };
    let (a, b) = (whole(&random(2, 4, 2, false, 11)), whole(&random(2, 4, 2, false, 12)));
    let exact = |a: &Block, b: &Block| match exact_distance(a, b).expect("in scope") {
        ExactDistance::Exact(fraction) => fraction,
        rounded @ ExactDistance::Rounded { .. } => panic!("{rounded:?}"),
    };
    let mut swapped = a.clone();
    swapped.heads.reverse();
    assert!(exact(&a, &swapped).is_zero());
    for change in [0, 1] {
        let mut b = b.clone();
        b.residual[0].matrix[(0, 1)] = f64::from(change);
        if change == 1 {
            b.heads[0].mask = Mask::Strict;
        }
        let (got, want) =
            (exact(&a, &b).to_f64(), distance(&a, &b).expect("in scope").total.absolute.powi(2));
        assert!((got / want - 1.0).abs() < 1e-12, "{got} {want}");
    }
    let real = random(1, 4, 2, false, 13);
    assert!(matches!(exact_distance(&real, &b), Ok(ExactDistance::Rounded { .. })));
}
