//! The forms of `weights` that have their numbers from their shape, beside the same matrices written out by hand.

use pulvinar::{circuit, spec};
use std::path::Path;

/// A circuit whose relays have `columns` and `rows` cells, and its projection's matrix, row by row.
fn matrix(columns: usize, rows: usize, projection: &str) -> Vec<Vec<f64>> {
    let text = format!(
        "schema: pulvinar/1\nname: forms\nseed: 3\ntokens: {{d_model: {columns}, input: {{gaussian: {{length: 4}}}}}}\n\
         thalamus:\n  X: {{pathway: core, per: [query], cells: {columns}}}\n  HO: {{pathway: core, per: [query], cells: {rows}}}\n\
         projections: {{p: {{from: X, to: HO.basal, {projection}}}}}\noutput: HO\n"
    );
    let read =
        |text: &str| spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
    let wired = |document: &spec::Document| {
        let circuit = circuit::wire(&document.spec, Path::new(".")).unwrap_or_else(|d| panic!("{d}"));
        circuit.projections[0].synapses.weights.dense()
    };
    let document = read(&text);
    let made = wired(&document);
    // The printed form is the same projection, and gives the same numbers.
    let again = read(&spec::to_yaml(&document.spec));
    assert_eq!(again.spec.projections, document.spec.projections, "{projection}");
    assert_eq!(wired(&again), made, "{projection}");
    made.row_iter().map(|row| row.iter().copied().collect()).collect()
}

/// A claim, cells of source and target, what the projection says, and its matrix.
type Case = (&'static str, usize, usize, &'static str, Vec<Vec<f64>>);

#[test]
fn forms_are_the_matrices_written_out() {
    let third = 1.0 / 3.0;
    #[rustfmt::skip]
    let cases: &[Case] = &[
        ("centre takes the mean away", 3, 3, "weights: centre", vec![
            vec![1.0 - third, -third, -third],
            vec![-third, 1.0 - third, -third],
            vec![-third, -third, 1.0 - third],
        ]),
        ("one cell has no deviation from its mean", 1, 1, "weights: centre", vec![vec![0.0]]),
        ("halves: number f turns with number f + n/2", 4, 8, "weights: {rotate: halves}", vec![
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0, 0.0],
            vec![0.0, 0.0, 1.0, 0.0],
            vec![0.0, 0.0, 0.0, 1.0],
            vec![0.0, 0.0, -1.0, 0.0],
            vec![0.0, 0.0, 0.0, -1.0],
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0, 0.0],
        ]),
        ("pairs: number 2f turns with number 2f + 1", 4, 8, "weights: {rotate: pairs}", vec![
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0, 0.0],
            vec![0.0, 0.0, 1.0, 0.0],
            vec![0.0, 0.0, 0.0, 1.0],
            vec![0.0, -1.0, 0.0, 0.0],
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 0.0, 0.0, -1.0],
            vec![0.0, 0.0, 1.0, 0.0],
        ]),
        ("two heads, each its own turn", 4, 8, "weights: {kron: [{identity: 2}, {rotate: halves}]}", vec![
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0, 0.0],
            vec![0.0, -1.0, 0.0, 0.0],
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 0.0, 1.0, 0.0],
            vec![0.0, 0.0, 0.0, 1.0],
            vec![0.0, 0.0, 0.0, -1.0],
            vec![0.0, 0.0, 1.0, 0.0],
        ]),
        ("two halves add up", 4, 2, "weights: {kron: [{ones: [1, 2]}, {identity: 2}]}", vec![
            vec![1.0, 0.0, 1.0, 0.0],
            vec![0.0, 1.0, 0.0, 1.0],
        ]),
        ("the open factor takes what is left", 4, 2, "weights: {kron: [{ones: [1, 2]}, identity]}", vec![
            vec![1.0, 0.0, 1.0, 0.0],
            vec![0.0, 1.0, 0.0, 1.0],
        ]),
        ("each number twice, on the right", 2, 4, "weights: {kron: [identity, {ones: [2, 1]}]}", vec![
            vec![1.0, 0.0],
            vec![1.0, 0.0],
            vec![0.0, 1.0],
            vec![0.0, 1.0],
        ]),
        ("a mean for each of two", 4, 4, "weights: {kron: [{identity: 2}, {centre: 2}]}, gain: {inv: 2}", vec![
            vec![0.25, -0.25, 0.0, 0.0],
            vec![-0.25, 0.25, 0.0, 0.0],
            vec![0.0, 0.0, 0.25, -0.25],
            vec![0.0, 0.0, -0.25, 0.25],
        ]),
        ("three factors, from the left", 4, 4, "weights: {kron: [{values: [[1, 2]]}, {kron: [{zeros: [1, 1]}]}, {ones: [4, 2]}]}", vec![vec![0.0; 4]; 4]),
        ("values times values", 2, 4, "weights: {kron: [{values: [[1, 2], [3, 4]]}, {values: [[1], [-1]]}]}", vec![
            vec![1.0, 2.0],
            vec![-1.0, -2.0],
            vec![3.0, 4.0],
            vec![-3.0, -4.0],
        ]),
        ("the mean by a gain", 4, 1, "weights: ones, gain: {inv: 4}", vec![vec![0.25; 4]]),
        ("a shape that says what is needed anyway", 2, 2, "weights: {identity: 2}, gain: {inv_sqrt: 4}", vec![
            vec![0.5, 0.0],
            vec![0.0, 0.5],
        ]),
        ("the halves of a form", 2, 2, "weights: {minus_of: {weights: centre, draw: K}}", vec![
            vec![0.0, 0.5],
            vec![0.5, 0.0],
        ]),
        ("blocks of turns", 4, 8, "weights: {blocks: {count: 2, of: {rotate: pairs}}}", vec![
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0, 0.0],
            vec![0.0, -1.0, 0.0, 0.0],
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.0, 0.0, 1.0, 0.0],
            vec![0.0, 0.0, 0.0, 1.0],
            vec![0.0, 0.0, 0.0, -1.0],
            vec![0.0, 0.0, 1.0, 0.0],
        ]),
    ];
    for (claim, columns, rows, projection, want) in cases {
        assert_eq!(&matrix(*columns, *rows, projection), want, "{claim}: {projection}");
    }
}

#[test]
fn a_drawn_factor_repeats_its_numbers() {
    let whole = matrix(4, 6, "weights: {kron: [{identity: 2}, {normal: {std: 1}}]}");
    assert_eq!(whole[0][..2], whole[3][2..], "the same draw for each of two");
    assert_eq!(whole[0][2..], [0.0, 0.0]);
    assert_ne!(whole[0][0], whole[1][0]);
    assert_eq!(whole, matrix(4, 6, "weights: {kron: [{identity: 2}, {normal: {std: 1}}]}"), "the same bits");
}

/// J turns by a quarter: twice is a half turn, four times nothing, and x and J x are at right angles.
#[test]
fn four_quarter_turns_are_none() {
    for pairing in ["halves", "pairs"] {
        let rows = matrix(6, 12, &format!("weights: {{rotate: {pairing}}}"));
        let turn = nalgebra::DMatrix::from_fn(6, 6, |i, j| rows[6 + i][j]);
        assert_eq!(&turn * &turn, -nalgebra::DMatrix::<f64>::identity(6, 6), "{pairing}");
        assert_eq!(turn.transpose(), -turn, "{pairing}");
    }
}
