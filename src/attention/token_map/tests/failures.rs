//! What has no value says so, with the population and the token.

use super::{cells, dense, function, identity, map, norm};
use crate::attention::token_map::{Compartment, Source};
use crate::attention::{FeatureMap, ForwardError, Stage, Streams, TokenMap};
use nalgebra::DMatrix;

fn said(of: TokenMap, tokens: &[f64]) -> Result<Vec<f64>, String> {
    let n = of.inputs[0].d_stream;
    let x = DMatrix::from_column_slice(n, tokens.len() / n, tokens);
    let y = Stage::from(of).forward(&Streams::from([("x".to_owned(), x)]));
    y.map(|y| y.as_slice().to_vec()).map_err(|e| e.to_string())
}

fn ratio() -> TokenMap {
    // x_0 / relu(x_1)
    let second = Compartment::sum(vec![dense(Source::Stream(0), 1, 2, &[0.0, 1.0])]);
    let d = cells("d", 1, function(FeatureMap::Relu), second, Compartment::default());
    let sums = vec![dense(Source::Stream(0), 1, 2, &[1.0, 0.0])];
    let q = Compartment { sums, divisors: vec![identity(Source::Cells(0), 1.0)] };
    let q = cells("q", 1, function(FeatureMap::Identity), q, Compartment::default());
    map(2, vec![d, q], vec![1])
}

/// `r = gain r + x`
fn grows(gain: f64) -> TokenMap {
    let sums = vec![identity(Source::Stream(0), 1.0), identity(Source::Cells(0), gain)];
    let r = cells("r", 1, function(FeatureMap::Identity), Compartment::sum(sums), Compartment::default());
    map(1, vec![r], vec![0])
}

#[test]
fn divisions_by_nothing() {
    assert_eq!(said(ratio(), &[6.0, 2.0, 0.0, -1.0]), Ok(vec![3.0, 0.0]));
    let error = said(ratio(), &[6.0, 2.0, 1.0, -1.0]).expect_err("1/0");
    assert_eq!(error, "map `map`: `q`: token 1 divides by a sum that is zero");
}

#[test]
fn loops_that_do_not_settle() {
    let y = said(grows(-30.0), &[31.0]).expect_err("a step overshoots");
    assert!(y.starts_with("map `map`: the loop of `r` has not settled"), "{y}");
    let y = said(grows(-3.0), &[8.0]).expect("settles where plain iteration would not");
    assert!((y[0] - 2.0).abs() < 1e-12, "{y:?}");
    assert_eq!(said(norm(2), &[0.0, 0.0]), Ok(vec![0.0, 0.0]));
}

#[test]
fn numbers_that_are_none() {
    let e = Compartment::sum(vec![identity(Source::Stream(0), 1.0)]);
    let e = cells("e", 1, function(FeatureMap::Exp), e, Compartment::default());
    let error = said(map(1, vec![e], vec![0]), &[1.0, 800.0]).expect_err("beyond the range");
    assert_eq!(error, "map `map`: `e`: token 1 is not finite, or is no input of its function");
    assert!(said(norm(1), &[f64::NAN]).is_err());
}

#[test]
fn shapes_that_do_not_fit() {
    let mut of = ratio();
    of.cells[1].basal.sums[0] = identity(Source::Stream(0), 1.0);
    let error = said(of, &[1.0, 1.0]).expect_err("two numbers onto one cell");
    assert!(error.contains("basal input 0 of `q`"), "{error}");
    let mut of = ratio();
    of.output = vec![7];
    let error = Stage::from(of).forward(&Streams::new()).expect_err("no such cells");
    assert!(
        matches!(error, ForwardError::InMap { error, .. } if matches!(*error, ForwardError::BadMap { .. }))
    );
    let error = Stage::from(ratio()).forward(&Streams::new()).expect_err("no stream").to_string();
    assert!(error.contains("stream `x`"), "{error}");
}
