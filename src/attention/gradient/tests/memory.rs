//! Memory that a step leaves to the next never shows in a result.

use super::named;
use crate::attention::forward::tests::agreement::{MASKS, kernels, memories, supported};
use crate::attention::forward::tests::random::Draw;
use crate::attention::gradient::{Counted, Tape, squared_error, squared_error_into};
use crate::attention::{Head, Kernel, Normalisation, Workspace};
use nalgebra::DMatrix;

#[test]
fn used_memory_gives_the_same_bytes() {
    let (mut kept, mut d_output) = (Vec::new(), DMatrix::zeros(0, 0));
    let mut steps = 0;
    for kernel in [Kernel::Linear, kernels()[2], Kernel::Exp] {
        for (mask, n) in MASKS.into_iter().zip([600, 570, 500]) {
            for normalisation in [Normalisation::None, Normalisation::Sum] {
                let draw = &mut Draw::new(61, normalisation == Normalisation::Sum);
                for memory in memories(draw, 9, 10) {
                    if !supported(kernel, normalisation, &memory) {
                        continue;
                    }
                    let mut head = Head { kernel, normalisation, mask, memory, ..draw.head(9, 10) };
                    // A delta memory with long keys runs away.
                    (head.w_k, head.b_k) = (head.w_k * 0.3, head.b_k * 0.3);
                    let other = Head { kernel, mask, ..draw.head(12, 9) };
                    let blocks = [draw.block(vec![head, other])];
                    let (streams, target) = (draw.streams(n, n), draw.matrix(blocks[0].d_model, n));
                    let fresh = Tape::record(&blocks, &streams).unwrap();
                    let (want_loss, d) = squared_error(fresh.output(), &target, Counted::All).unwrap();
                    let want = fresh.backward(&d).unwrap();
                    // Twice: in what another block has left, and in its own.
                    for _ in 0..2 {
                        let tape = Tape::record_with(&blocks, &streams, kept).unwrap();
                        let counted = Counted::All;
                        let loss =
                            squared_error_into(tape.output(), &target, counted, &mut d_output).unwrap();
                        let got = tape.backward(&d_output).unwrap();
                        assert_eq!(loss, want_loss);
                        assert!(
                            named(&got.blocks[0], &got.streams) == named(&want.blocks[0], &want.streams),
                            "{kernel:?} {mask:?} {normalisation:?} {:?}",
                            blocks[0].heads[0].memory
                        );
                        kept = tape.into_workspaces_with(got);
                        steps += 1;
                    }
                }
            }
        }
    }
    assert!(steps > 50, "{steps}");
    // As many tokens as make second moments pay, in memory that those heads have left.
    let draw = &mut Draw::new(62, false);
    let head = draw.head(9, 10);
    let (blocks, streams) = ([draw.block(vec![head])], draw.streams(600, 600));
    let d = draw.matrix(blocks[0].d_model, 600);
    let want =
        Tape::record_with(&blocks, &streams, vec![Workspace::by_moments()]).unwrap().backward(&d).unwrap();
    let mut kept = vec![Workspace::by_moments()];
    for _ in 0..3 {
        let tape = Tape::record_with(&blocks, &streams, kept).unwrap();
        let got = tape.backward(&d).unwrap();
        assert!(got == want);
        kept = tape.into_workspaces_with(got);
    }
}
