//! Changes of one factor are found again, in whatever gauge.

use super::*;
use crate::attention::equivalence::{Blame, Factor, blame};

const FACTORS: [Factor; 4] = [Factor::Query, Factor::Key, Factor::Value, Factor::Output];

fn softmax(mut h: Head) -> Head {
    (h.kernel, h.normalisation) = (Kernel::Exp, Normalisation::Sum);
    h
}

/// Adds noise to a factor; its relative size.
fn perturb(h: &mut Head, factor: Factor, size: f64, keep_bias: bool, rng: &mut ChaCha8Rng) -> f64 {
    let (w, b) = match factor {
        Factor::Query => (&mut h.w_q, Some(&mut h.b_q)),
        Factor::Key => (&mut h.w_k, Some(&mut h.b_k).filter(|_| !keep_bias)),
        Factor::Value => (&mut h.w_v, Some(&mut h.b_v)),
        Factor::Output => (&mut h.w_o, None),
    };
    let noise = matrix(w.nrows(), w.ncols(), rng) * size;
    let (mut changed, mut whole) = (noise.norm_squared(), w.norm_squared());
    *w += noise;
    if let Some(b) = b {
        let noise = matrix(b.len(), 1, rng).column(0) * size;
        (changed, whole) = (changed + noise.norm_squared(), whole + b.norm_squared());
        *b += noise;
    }
    (changed / whole).sqrt()
}

/// The same function in another gauge; a linear head may move a factor between its halves.
pub(super) fn regauged(h: &Head, rng: &mut ChaCha8Rng) -> Head {
    let mut out = h.clone();
    let mut gauge = |r: usize| loop {
        let g = matrix(r, r, rng);
        if let Some(inverse) = g.clone().try_inverse().filter(|i| i.amax() < 20.0) {
            return (g, inverse);
        }
    };
    let (g, inverse) = gauge(h.d_key());
    (out.w_k, out.b_k) = (&g * &h.w_k, &g * &h.b_k);
    (out.w_q, out.b_q) = (inverse.transpose() * &h.w_q, inverse.transpose() * &h.b_q);
    let (g, inverse) = gauge(h.d_value());
    (out.w_v, out.b_v, out.w_o) = (&g * &h.w_v, &g * &h.b_v, &h.w_o * inverse);
    if h.kernel == Kernel::Linear {
        (out.scale, out.w_o) = (h.scale * -3.0, out.w_o / -3.0);
    } else {
        // One number more for all scores of a token.
        out.b_k += matrix(h.d_key(), 1, rng).column(0);
    }
    out
}

#[test]
fn the_factor_that_was_changed_is_named() {
    let rng = &mut ChaCha8Rng::seed_from_u64(20);
    for linear in [true, false] {
        for (d, r) in [(8, 1), (8, 3), (40, 6)] {
            for factor in FACTORS {
                for size in [1e-6, 1e-2, 0.5] {
                    let f = head(d, r, true, rng);
                    let f = if linear { f } else { softmax(f) };
                    let mut g = f.clone();
                    // Key biases do nothing under a softmax, and do not count.
                    if !linear {
                        g.b_k.fill(0.0);
                    }
                    let f = if linear { f } else { Head { b_k: g.b_k.clone(), ..f } };
                    let want = perturb(&mut g, factor, size, !linear, rng);
                    let found = blame(&f, &regauged(&g, rng)).expect("alike");
                    let claim = format!("linear {linear} ({d}, {r}) {factor:?} {size}: {found:?}");
                    assert_eq!(found[0].factor, factor, "{claim}");
                    assert!(found[0].residual < 1e-12, "{claim}");
                    assert!((found[0].change / want - 1.0).abs() < 0.03, "{want} {claim}");
                    assert!(found[1..].iter().all(|b| b.residual > 0.01 * size), "{claim}");
                }
            }
        }
    }
}

#[test]
fn two_changes_leave_a_residual() {
    let rng = &mut ChaCha8Rng::seed_from_u64(21);
    for (one, other) in
        [(Factor::Query, Factor::Value), (Factor::Key, Factor::Output), (Factor::Key, Factor::Query)]
    {
        let f = head(12, 3, true, rng);
        let mut g = f.clone();
        perturb(&mut g, one, 0.3, false, rng);
        let small = perturb(&mut g, other, 0.1, false, rng);
        let found = blame(&f, &regauged(&g, rng)).expect("alike");
        assert_eq!(found[0].factor, one, "{found:?}");
        assert!(found[0].residual > 0.2 * small && found[0].residual < 5.0 * small, "{small} {found:?}");
    }
}

#[test]
fn residual_and_change_are_those_of_dense_matrices() {
    let rng = &mut ChaCha8Rng::seed_from_u64(22);
    let (f, g) = (head(5, 2, false, rng), head(5, 2, false, rng));
    let found = blame(&f, &g).expect("alike");
    let of = |factor| *found.iter().find(|b| b.factor == factor).expect("all four");
    // All 5 x 5 x 5 x 5 products for changed keys: W_K* enters linearly, so columns of a matrix of least squares.
    let (p, p2) = (&f.w_o * &f.w_v, &g.w_o * &g.w_v);
    let b2 = g.w_k.transpose() * &g.w_q * g.scale;
    let tensor = |p: &DMatrix<f64>, b: &DMatrix<f64>| p.kronecker(b);
    let want = tensor(&p2, &b2);
    let columns: Vec<DVector<f64>> = (0..10)
        .map(|n| {
            let unit = DMatrix::from_fn(2, 5, |i, j| f64::from(u8::from(5 * i + j == n)));
            DVector::from_column_slice(tensor(&p, &(unit.transpose() * &f.w_q * f.scale)).as_slice())
        })
        .collect();
    let design = DMatrix::from_columns(&columns);
    let normal = design.transpose() * &design;
    let target = DVector::from_column_slice(want.as_slice());
    let solved = normal.try_inverse().expect("full rank") * (design.transpose() * &target);
    let residual = (&design * &solved - &target).norm() / target.norm();
    let key = DMatrix::from_fn(2, 5, |i, j| solved[5 * i + j]);
    let change = (key - &f.w_k).norm() / f.w_k.norm();
    let Blame { change: got, residual: left, .. } = of(Factor::Key);
    assert!((left - residual).abs() < 1e-12, "{left} {residual}");
    assert!((got / change - 1.0).abs() < 1e-10, "{got} {change}");
}

#[test]
fn the_same_head_needs_no_change() {
    let rng = &mut ChaCha8Rng::seed_from_u64(23);
    let mut f = head(6, 3, true, rng);
    // A cell that nothing reads: W_K may say of it what it likes.
    f.w_q.row_mut(1).fill(0.0);
    f.b_q[1] = 0.0;
    let mut g = f.clone();
    g.w_k.row_mut(1).fill(5.0);
    let found = blame(&f, &g).expect("alike");
    assert!(found.iter().all(|b| b.residual < 1e-14), "{found:?}");
    let key = found.iter().find(|b| b.factor == Factor::Key).expect("all four");
    assert!(key.change < 1e-14, "{found:?}");
    // Nothing at all, from and to.
    let nothing = Head { w_o: DMatrix::zeros(6, 3), ..f.clone() };
    let found = blame(&f, &nothing).expect("alike");
    let output = found.iter().find(|b| b.factor == Factor::Output).expect("all four");
    assert!(output.residual < 1e-14 && (output.change - 1.0).abs() < 1e-14, "{found:?}");
    let found = blame(&nothing, &f).expect("alike");
    assert!(found[0].factor == Factor::Output && found[0].residual < 1e-14, "{found:?}");
    assert!(blame(&f, &Head { mask: Mask::Full, ..f.clone() }).is_err());
    assert!(blame(&f, &head(7, 3, true, rng)).is_err());
    assert!(blame(&f, &Head { scale: f64::NAN, ..f.clone() }).is_err());
}
