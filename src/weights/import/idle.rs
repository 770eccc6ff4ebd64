//! Heads that compute nothing, and heads that attend to all tokens alike.
//!
//! A pruned head often has zeros where its queries or values were. A circuit cannot hold a sum over the context that
//! no query takes part in, and cells that are always silent would say nothing.

use crate::attention::{Block, Head, Kernel};
use crate::files::Bad;
use nalgebra::{DMatrix, DVector};

/// The block without heads that are zero whatever the tokens; the numbers that stay, and those that go.
pub(super) fn without_idle(block: &Block, numbers: &[usize]) -> Result<(Block, Vec<usize>, Vec<usize>), Bad> {
    let (mut heads, mut kept, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (head, number) in block.heads.iter().zip(numbers) {
        let scored = has_cells(&head.w_k, &head.b_k, &head.w_q, &head.b_q);
        let spoken = !head.w_o.is_empty() && speaks(head);
        if !spoken || (!scored && head.kernel != Kernel::Exp) {
            gone.push(*number);
            continue;
        }
        if !scored {
            return Err(Bad::new(
                "F012",
                "its queries or keys are all zero: it attends to all tokens alike, and a circuit's score needs a query",
            )
            .within(&format!("head {number}"))
            .help("leave it out with --select"));
        }
        heads.push(head.clone());
        kept.push(*number);
    }
    if heads.is_empty() && !gone.is_empty() {
        return Err(Bad::new("F012", "all its heads are zero: there is nothing to make a circuit of")
            .help("choose other heads with --select, or another layer with --prefix"));
    }
    Ok((Block { heads, ..block.clone() }, kept, gone))
}

/// Whether some cell has both a key and a query.
fn has_cells(w_k: &DMatrix<f64>, b_k: &DVector<f64>, w_q: &DMatrix<f64>, b_q: &DVector<f64>) -> bool {
    (0..w_k.nrows()).any(|cell| given(w_k, b_k, cell) && given(w_q, b_q, cell))
}

/// Whether some value cell has both an input and an output.
fn speaks(head: &Head) -> bool {
    (0..head.d_value())
        .any(|cell| given(&head.w_v, &head.b_v, cell) && head.w_o.column(cell).iter().any(|x| *x != 0.0))
}

fn given(w: &DMatrix<f64>, b: &DVector<f64>, row: usize) -> bool {
    b[row] != 0.0 || w.row(row).iter().any(|x| *x != 0.0)
}
