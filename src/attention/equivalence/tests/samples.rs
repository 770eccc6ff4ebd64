//! What the formulas say about inputs: witnesses and Gaussian tokens.

use super::*;
use crate::seed;

#[test]
fn the_witness_shows_the_gap() {
    for (claim, change) in [
        ("causal", (|_: &mut Head| ()) as fn(&mut Head)),
        ("strict", |h| h.mask = Mask::Strict),
        ("full, fading", |h| (h.mask, h.memory) = (Mask::Full, Memory::Decay(0.5))),
        ("cross", |h| {
            h.mask = Mask::Full;
            (h.context_stream, h.value_stream) = ("seen".into(), "seen".into());
        }),
    ] {
        for biases in [false, true] {
            let a = with(&random(2, 4, 2, biases, 14), change);
            let b = with(&random(2, 4, 2, biases, 15), change);
            let found = witness(&a, &b).expect("in scope");
            assert!((found.predicted / found.measured - 1.0).abs() < 1e-12, "{claim}: {found:?}");
            let rng = &mut ChaCha8Rng::seed_from_u64(2);
            // No random direction does better.
            let mut most = 0.0f64;
            for _ in 0..300 {
                let unit = |rng: &mut ChaCha8Rng| DVector::from_fn(4, |_, _| seed::normal(rng)).normalize();
                let (z, x) = (unit(rng), unit(rng));
                let of = |bl: &Block| {
                    bl.heads.iter().fold(DVector::zeros(4), |sum: DVector<f64>, h| {
                        let score = (&h.w_k * &z + &h.b_k).dot(&(&h.w_q * &x + &h.b_q)) * h.scale;
                        let fade = if let Memory::Decay(g) = h.memory { g } else { 1.0 };
                        sum + &h.w_o * (&h.w_v * &z + &h.b_v) * (score * fade)
                    })
                };
                most = most.max((of(&a) - of(&b)).norm());
            }
            assert!(found.pair >= most, "{claim}: {} < {most}", found.pair);
        }
    }
    let a = random(1, 4, 2, false, 16);
    let mut b = a.clone();
    b.residual.push(Residual { stream: "main".into(), matrix: DMatrix::identity(4, 4) });
    let found = witness(&a, &b).expect("in scope");
    assert!((found.measured - 1.0).abs() < 1e-9 && found.pair < 1e-12, "{found:?}");
}

#[test]
fn the_expected_gap_is_what_samples_give() {
    let (n, samples) = (3, 6000);
    for (claim, change) in [
        ("causal", (|_: &mut Head| ()) as fn(&mut Head)),
        ("full", |h| h.mask = Mask::Full),
        ("strict", |h| h.mask = Mask::Strict),
        ("fading", |h| h.memory = Memory::Decay(0.6)),
        ("full, fading", |h| (h.mask, h.memory) = (Mask::Full, Memory::Decay(0.6))),
        ("cross", |h| {
            h.mask = Mask::Full;
            (h.context_stream, h.value_stream) = ("seen".into(), "seen".into());
        }),
        ("values from elsewhere", |h| h.value_stream = "seen".into()),
    ] {
        for biases in [false, true] {
            let mut a = with(&random(2, 3, 2, biases, 17), change);
            let b = with(&random(1, 3, 1, biases, 18), change);
            if biases {
                a.residual.push(Residual { stream: "main".into(), matrix: DMatrix::identity(3, 3) });
                a.b_o[1] = 0.5;
            }
            let want = expected_squared_gap(&a, &b, n).expect("in scope");
            let rng = &mut seed::stream(3, claim);
            let (mut sum, mut squares) = (vec![0.0; n], vec![0.0; n]);
            for _ in 0..samples {
                let mut x = || DMatrix::from_fn(3, n, |_, _| seed::normal(rng));
                let streams: Streams = [("main".to_owned(), x()), ("seen".to_owned(), x())].into();
                let gap = forward(&a, &streams).expect("runs") - forward(&b, &streams).expect("runs");
                for (i, y) in gap.column_iter().enumerate() {
                    sum[i] += y.norm_squared();
                    squares[i] += y.norm_squared().powi(2);
                }
            }
            for i in 0..n {
                let mean = sum[i] / f64::from(samples);
                let error = ((squares[i] / f64::from(samples) - mean * mean) / f64::from(samples)).sqrt();
                let gap = (mean - want.per_token[i]).abs();
                assert!(
                    gap <= 3.0 * error + 1e-12,
                    "{claim} {biases} {i}: {mean} {} {error}",
                    want.per_token[i]
                );
            }
        }
    }
}
