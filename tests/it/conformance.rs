//! Every shipped circuit: compiled heads against the plain-loop oracle of the cells.

use crate::support::{load, lost_to_cancellation, oracle_output, relative, shipped};
use pulvinar::compile::compile;
use pulvinar::simulate::{inputs, run};
use std::collections::BTreeMap;

/// Both sides add the same products in another order; 1e-12 leaves a hundred times the rounding of the longest sum.
const F64: f64 = 1e-12;
/// The same in single precision.
const F32: f64 = 1e-5;

#[test]
fn compiled_circuits_are_their_cells() {
    let files = shipped();
    assert!(files.len() >= 15, "only {} circuits are shipped", files.len());
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}"));
        let tokens =
            inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
        // The oracle visits every pair of tokens cell by cell: a prefix is enough for the long ones.
        let tokens: pulvinar::attention::Streams =
            tokens.into_iter().map(|(n, x)| (n, x.columns(0, x.ncols().min(24)).into_owned())).collect();
        let want = oracle_output(&circuit, &tokens);
        assert!(want.amax() > 1e-3, "{name}: the output is next to nothing");
        let double =
            run::<f64>(&compiled.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{name}: {d}")).output;
        let error = relative(&double, &want);
        assert!(error < F64, "{name}: f64 differs from the cells by {error:e}");
        let single =
            run::<f32>(&compiled.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{name}: {d}")).output;
        let error = relative(&single.map(f64::from), &want);
        let limit = lost_to_cancellation(&name, &compiled.plain_blocks(), &tokens, &want).unwrap_or(F32);
        assert!(error < limit, "{name}: f32 differs from the cells by {error:e}");
    }
}

/// The attention-mask circuit and the key-value memory draw the same matrices by name, and are the same function.
#[test]
fn two_wirings_of_one_head_have_equal_outputs() {
    let output = |name: &str| {
        let (document, circuit) = load(&crate::support::root().join("circuits").join(name));
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}"));
        let tokens =
            inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
        run::<f64>(&compiled.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{name}: {d}")).output
    };
    let error = relative(&output("one_head_attention_mask.yaml"), &output("one_head_key_value_memory.yaml"));
    assert!(error < F64, "{error:e}");
}
