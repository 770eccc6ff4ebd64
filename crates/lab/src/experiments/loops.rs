//! Memory matrices by their definition, pair by pair: what an observer assumes, and what circuits are compared with.

use super::memory::Rule;
use nalgebra::DMatrix;

/// The matrix `[d_value, d_key]` that a rule stores of the columns of `keys` and `values`.
pub fn stored(rule: Rule, keys: &DMatrix<f64>, values: &DMatrix<f64>) -> DMatrix<f64> {
    let mut memory = DMatrix::<f64>::zeros(values.nrows(), keys.nrows());
    for (key, value) in keys.column_iter().zip(values.column_iter()) {
        match rule {
            Rule::Hebbian => memory += value * key.transpose(),
            Rule::Decay(g) => {
                memory *= g;
                memory += value * key.transpose();
            }
            Rule::Delta(b) => {
                let missing = (value - &memory * key) * b;
                memory += missing * key.transpose();
            }
        }
    }
    memory
}
