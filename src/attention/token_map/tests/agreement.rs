//! Values: random maps, precisions, pieces, threads, closed forms.

use super::plain::plain;
use super::{Draw, norm, run, softmax};
use crate::attention::{Stage, Streams};
use nalgebra::DMatrix;

fn gap(y: &DMatrix<f64>, want: &DMatrix<f64>) -> f64 {
    assert_eq!(y.shape(), want.shape());
    (y - want).amax() / want.amax().max(1.0)
}

#[test]
fn random_maps_are_plain_loops() {
    let mut unsettled = 0;
    for seed in 0..300 {
        let draw = &mut Draw::new(seed);
        let map = draw.any(seed % 3 == 2);
        let streams = draw.streams(seed as usize % 4);
        match Stage::from(map.clone()).forward(&streams) {
            Ok(y) => {
                let off = gap(&y, &plain(&map, &streams));
                assert!(off < 1e-10, "seed {seed}: {off:e}\n{map:#?}");
            }
            Err(e) => {
                assert!(e.to_string().contains("not settled"), "seed {seed}: {e}");
                unsettled += 1;
            }
        }
    }
    assert!(unsettled < 10, "{unsettled} of 100 loops");
}

#[test]
fn single_precision_and_tokens_one_by_one_are_the_same_function() {
    for seed in 0..60 {
        let draw = &mut Draw::new(seed);
        let map = draw.any(seed % 3 == 2);
        let streams = draw.streams(5);
        let stage = Stage::from(map);
        let Ok(want) = stage.forward(&streams) else { continue };
        let narrow: Streams<f32> = streams.iter().map(|(s, x)| (s.clone(), x.map(|x| x as f32))).collect();
        let y = stage.cast::<f32>().forward(&narrow).expect("runs").map(f64::from);
        assert!(gap(&y, &want) < 2e-5, "seed {seed}: f32 {:e}", gap(&y, &want));
        let mut stream = stage.stream().expect("maps stream");
        for t in 0..5 {
            let token = streams.iter().map(|(s, x)| (s.clone(), x.columns(t, 1).into_owned())).collect();
            let mut y = DMatrix::zeros(0, 0);
            stream.push(&token, &mut y).expect("runs");
            assert!(gap(&y, &want.columns(t, 1).into_owned()) < 1e-13, "seed {seed}, token {t}");
        }
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let draw = &mut Draw::new(4);
    let (map, streams) = (Stage::from(draw.any(true)), draw.streams(60_000));
    let with = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
        pool.install(|| map.forward(&streams).expect("runs"))
    };
    assert_eq!(with(1), with(3));
}

/// `x / sqrt(mean x^2 + eps)`.
#[test]
fn recurrent_inhibition_is_the_root_mean_square() {
    let draw = &mut Draw::new(8);
    for size in [1e-3, 1.0, 1e3] {
        let x = draw.matrix(6, 9) * size;
        let mut want = x.clone();
        for mut token in want.column_iter_mut() {
            let rms = (token.norm_squared() / 6.0 + 1e-5).sqrt();
            token /= rms;
        }
        let off = gap(&run(&norm(6), &[("x".to_owned(), x)].into()), &want);
        assert!(off < 1e-12, "{size}: {off:e}");
    }
}

/// What all exponents have in common cancels, however far beyond the range.
#[test]
fn pooled_exponentials_give_the_limit() {
    let x = DMatrix::from_row_slice(3, 4, &[0.3, -1.0, 2.0, 0.0, 0.1, 0.4, -0.5, 0.0, 0.2, 0.9, 1.0, 0.0]);
    let stage = Stage::from(softmax(3, 1.0));
    let want = stage.forward(&[("x".to_owned(), x.clone())].into()).expect("runs");
    for shift in [-1e4, -720.0, 720.0, 1e4] {
        let moved = x.map(|x| x + shift);
        let y = stage.forward(&[("x".to_owned(), moved.clone())].into()).expect("a limit");
        assert!(gap(&y, &want) < 1e-11, "{shift}: {:e}", gap(&y, &want));
        let narrow = [("x".to_owned(), moved.map(|x| x as f32))].into();
        let y = stage.cast::<f32>().forward(&narrow).expect("a limit").map(f64::from);
        assert!(gap(&y, &want) < 1e-3, "{shift} in f32: {:e}", gap(&y, &want));
    }
    // One exponent far above all others takes everything.
    let x = DMatrix::from_row_slice(3, 1, &[0.0, 2000.0, -3000.0]);
    let y = stage.forward(&[("x".to_owned(), x)].into()).expect("a limit");
    assert_eq!(y.as_slice(), [0.0, 1.0, 0.0]);
}
