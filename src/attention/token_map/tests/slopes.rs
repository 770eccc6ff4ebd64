//! Derivatives: against finite differences, and where there is none.

use super::{Draw, cells, dense, function, identity, map, norm, run, softmax};
use crate::attention::gradient::backward_stack;
use crate::attention::token_map::gradient::parameters_mut;
use crate::attention::token_map::{Compartment, Response, Source};
use crate::attention::{FeatureMap, Stage, Streams, TokenMap};
use nalgebra::DMatrix;

/// Loops settle to 1e-13: over a quarter of this that is 5e-11 of a derivative.
const STEP: f64 = 1.0 / 128.0;
/// Beyond that the differences themselves say too little.
const VAGUE: f64 = 1e-5;

/// Central differences, extrapolated twice, and how far the last step moved them: their own error is smaller.
fn difference(mut f: impl FnMut(f64) -> f64) -> [f64; 2] {
    let [a, b, c] = [STEP, STEP / 2.0, STEP / 4.0].map(|h| (f(h) - f(-h)) / (2.0 * h));
    let [once, finer] = [(4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0];
    let best = (16.0 * finer - once) / 15.0;
    [best, (best - finer).abs()]
}

/// The largest distance from differences beyond their own error over all weights and tokens, and the largest such error, both
/// relative to the largest derivative.
fn off(of: &TokenMap, streams: &Streams, d_output: &DMatrix<f64>) -> [f64; 2] {
    let stages = [Stage::from(of.clone())];
    let found = backward_stack(&stages, streams, d_output).unwrap_or_else(|e| panic!("{e}"));
    let (mut worst, mut size, mut vague) = (0.0f64, 1.0f64, 0.0f64);
    let mut see = |got: f64, [want, error]: [f64; 2]| {
        worst = worst.max((got - want).abs() - error);
        vague = vague.max(error);
        size = size.max(want.abs());
    };
    let gradient = &found.maps[0];
    let mut moved = of.clone();
    for (tensor, (name, numbers)) in gradient.tensors().into_iter().enumerate() {
        assert_eq!(parameters_mut(&mut moved)[tensor].0, name);
        for (i, got) in numbers.iter().enumerate() {
            let base = parameters_mut(&mut moved)[tensor].1[i];
            let want = difference(|h| {
                parameters_mut(&mut moved)[tensor].1[i] = base + h;
                run(&moved, streams).dot(d_output)
            });
            parameters_mut(&mut moved)[tensor].1[i] = base;
            see(*got, want);
        }
    }
    for (name, d) in &found.streams {
        let mut moved = streams.clone();
        for i in 0..d.len() {
            let base = streams[name][i];
            let want = difference(|h| {
                moved.get_mut(name).expect("there")[i] = base + h;
                run(of, &moved).dot(d_output)
            });
            moved.get_mut(name).expect("there")[i] = base;
            see(d[i], want);
        }
    }
    [worst / size, vague / size]
}

#[test]
fn random_maps_agree_with_differences() {
    let mut done = 0;
    for seed in 0..120 {
        let draw = &mut Draw::new(seed);
        let of = draw.any(seed % 3 == 2);
        let streams = draw.streams(3);
        if Stage::from(of.clone()).forward(&streams).is_err() {
            continue; // a loop that grows
        }
        let d_output = draw.matrix(of.d_model(), 3);
        let [gap, vague] = off(&of, &streams, &d_output);
        // A kink within a step of a drawn token is not a derivative.
        let kinked = of
            .cells
            .iter()
            .any(|c| matches!(c.activation, Response::Function(FeatureMap::Relu | FeatureMap::EluPlusOne)));
        if kinked && vague > VAGUE {
            continue;
        }
        assert!(vague < VAGUE, "seed {seed}: differences are off by {vague:e}");
        assert!(gap < 1e-9, "seed {seed}: {gap:e}");
        done += 1;
    }
    assert!(done > 90, "{done}");
}

#[test]
fn norms_and_pools_agree_with_differences_also_far_out() {
    let draw = &mut Draw::new(1);
    let d_output = draw.matrix(4, 3);
    for shift in [0.0, 800.0, -800.0] {
        let x = draw.matrix(4, 3).map(|x| x + shift);
        // The gain moves the exponents by 800 times what it moves by: only the tokens are moved here.
        let streams: Streams = [("x".to_owned(), x)].into();
        let stages = [Stage::from(softmax(4, 1.0))];
        let found = backward_stack(&stages, &streams, &d_output).expect("the limit");
        let near = [("x".to_owned(), streams["x"].map(|x| x - shift))].into();
        let want = backward_stack(&stages, &near, &d_output).expect("runs");
        let gap = (&found.streams["x"] - &want.streams["x"]).amax();
        assert!(gap < 1e-12, "{shift}: {gap:e}");
    }
    let streams: Streams = [("x".to_owned(), draw.matrix(4, 3))].into();
    for of in [softmax(4, 1.0), norm(4)] {
        let [gap, vague] = off(&of, &streams, &d_output);
        assert!(gap < 1e-9 && vague < VAGUE, "{gap:e}, {vague:e}");
    }
}

#[test]
fn at_kinks_the_slope_is_0_and_a_singular_loop_says_so() {
    let input = || Compartment::sum(vec![identity(Source::Stream(0), 1.0)]);
    let relu = cells("relu", 1, function(FeatureMap::Relu), input(), Compartment::default());
    let zero: Streams = [("x".to_owned(), DMatrix::zeros(1, 1))].into();
    let one = DMatrix::from_element(1, 1, 1.0);
    let found = backward_stack(&[Stage::from(map(1, vec![relu], vec![0]))], &zero, &one).expect("runs");
    assert_eq!(found.streams["x"][0], 0.0);
    // 0/0 is 0, a constant.
    let ratio = Compartment { divisors: input().sums, ..input() };
    let ratio = cells("ratio", 1, function(FeatureMap::Identity), ratio, Compartment::default());
    let found = backward_stack(&[Stage::from(map(1, vec![ratio], vec![0]))], &zero, &one).expect("runs");
    assert_eq!(found.streams["x"][0], 0.0);
    // r = r + x at x = 0: any r rests.
    let mut all = input();
    all.sums.push(dense(Source::Cells(0), 1, 1, &[1.0]));
    let all = cells("still", 1, function(FeatureMap::Identity), all, Compartment::default());
    let error =
        backward_stack(&[Stage::from(map(1, vec![all], vec![0]))], &zero, &one).expect_err("singular");
    assert_eq!(
        error.to_string(),
        "map `map`: the loop of `still` has no derivative at token 0: its Jacobian is singular"
    );
}
