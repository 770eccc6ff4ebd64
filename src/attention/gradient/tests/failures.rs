//! What goes wrong, and what it says; and the squared error.

use super::gradient;
use crate::attention::forward::tests::random::Draw;
use crate::attention::gradient::{Counted, Tape, backward, squared_error};
use crate::attention::{Block, Head, Kernel, Memory, Rate};
use nalgebra::DMatrix;

#[test]
fn errors_name_the_place() {
    let draw = &mut Draw::new(2, true);
    let block = {
        let heads = vec![draw.head(3, 2), draw.head(3, 2)];
        draw.block(heads)
    };
    let streams = draw.streams(8, 8);
    let d = DMatrix::from_element(6, 8, 1.0);
    let said =
        |block: &Block, d: &DMatrix<f64>| backward(block, &streams, d).expect_err("must fail").to_string();

    assert_eq!(
        said(&block, &DMatrix::zeros(6, 7)),
        "dL/d output is (6, 7), which does not fit the output (6, 8)"
    );
    let mut nan = d.clone();
    nan[(2, 3)] = f64::NAN;
    assert_eq!(said(&block, &nan), "the derivative by head 0: W_Q is not finite");
    let mut wrong = block.clone();
    wrong.heads[1].context_stream = "c".into();
    assert_eq!(said(&wrong, &d), "head 1: the context reads stream `c`, which is not among [\"a\", \"b\"]");
    let mut wrong = block.clone();
    wrong.heads[1] =
        Head { memory: Memory::Delta(Rate::Constant(1.0)), kernel: Kernel::Exp, ..draw.head(3, 2) };
    assert_eq!(
        said(&wrong, &d),
        "head 1: a delta memory stores keys, so the exp kernel of scores does not fit it"
    );
    // Finite output, finite dL/dY, and yet too large a derivative.
    assert_eq!(said(&block, &(&d * 1e308)), "the derivative by head 0: W_Q is not finite");
}

#[test]
fn stacks_name_the_block() {
    let draw = &mut Draw::new(3, true);
    let head = draw.head(2, 2);
    let block = draw.block(vec![head]);
    let streams = draw.streams(4, 4);
    let said = |blocks: &[_]| match Tape::record(blocks, &streams) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    };
    assert_eq!(said(&[]), "there is no block to run");
    let mut second = block.clone();
    assert_eq!(said(&[block.clone(), second.clone()]), "");
    second.heads[0].query_stream = "z".into();
    assert_eq!(
        said(&[block.clone(), second.clone()]),
        "block `HO`: head 0: the query reads stream `z`, which is not among [\"HO\", \"a\", \"b\"]"
    );
    let twice = [block.clone(), block.clone(), block.clone()];
    assert_eq!(said(&twice), "block `HO` would replace the stream of that name");
}

#[test]
fn no_token_and_no_head_are_fine() {
    let draw = &mut Draw::new(4, true);
    let heads = vec![draw.head(3, 2)];
    let block = draw.block(heads);
    let (found, _) = gradient(&block, &draw.streams(0, 0), draw);
    assert!(found.block.tensors().iter().all(|(_, d)| d.iter().all(|d| *d == 0.0)));
    let empty = draw.block(Vec::new());
    let streams = draw.streams(3, 5);
    let (found, d) = gradient(&empty, &streams, draw);
    assert!((found.block.b_o.clone() - d.column_sum()).amax() < 1e-15);
    assert_eq!(found.streams["b"], DMatrix::zeros(7, 5), "nobody reads it");
}

#[test]
fn the_squared_error_counts_what_it_should() {
    let y = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let t = DMatrix::from_row_slice(2, 3, &[1.0, 0.0, 0.0, 0.0, 0.0, 4.0]);
    let (loss, d) = squared_error(&y, &t, Counted::All).unwrap();
    assert_eq!((loss, &d), (0.5 * (4.0 + 9.0 + 16.0 + 25.0 + 4.0), &(&y - &t)));
    let (loss, d) = squared_error(&y, &t, Counted::Last).unwrap();
    assert_eq!((loss, d), (6.5, DMatrix::from_row_slice(2, 3, &[0.0, 0.0, 3.0, 0.0, 0.0, 2.0])));
    let (loss, d) = squared_error(&y, &t, Counted::Marked(&[true, false, true])).unwrap();
    assert_eq!((loss, d.column(1).amax()), (8.0 + 6.5, 0.0));
    let error = squared_error(&y, &t, Counted::Marked(&[true])).unwrap_err().to_string();
    assert_eq!(error, "the row of marks is (1, 1), which does not fit the output (2, 3)");
    let error = squared_error(&y, &DMatrix::zeros(2, 2), Counted::All).unwrap_err().to_string();
    assert_eq!(error, "the target is (2, 2), which does not fit the output (2, 3)");
    let none = DMatrix::<f64>::zeros(2, 0);
    assert_eq!(squared_error(&none, &none, Counted::Last).unwrap().0, 0.0);
}
