//! Every stage of five circuits as text, compared with `snapshots/`.
//!
//! A difference fails the test and leaves a `.snap.new` beside the snapshot; with `CI` set nothing is written.
//! `INSTA_UPDATE=always cargo test --test it emit` takes the new text; read the difference before it is committed.
//!
//! Numbers have six significant digits (strengths four decimals), so that they do not depend on the processor.

use crate::binary::run;

const STAGES: [&str; 5] = ["spec", "graph", "factors", "heads", "dot"];

fn check(name: &str) {
    let file = format!("circuits/{name}.yaml");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let compare = |stage: &str, args: &[&str]| {
        let ran = run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.line);
        settings.bind(|| insta::assert_snapshot!(format!("{name}__{stage}"), ran.stdout));
    };
    for stage in STAGES {
        compare(stage, &["compile", &file, "--emit", stage]);
    }
    compare("explain", &["compile", &file, "--explain"]);
}

#[test]
fn attention_mask() {
    check("one_head_attention_mask");
}

#[test]
fn key_value_memory() {
    check("one_head_key_value_memory");
}

#[test]
fn multihead() {
    check("multihead_cortico_thalamic");
}

#[test]
fn softmax() {
    check("softmax_divisive");
}

#[test]
fn rank_two() {
    check("rank_two_lateral");
}
