//! Pruned heads: zeros where queries, keys, values or outputs were.

use crate::binary::{json_in, run_in};
use crate::import::{block, head};
use pulvinar::attention::{Head, Kernel, Normalisation};
use pulvinar::weights::write_heads;
use serde_json::json;

type Change = fn(&mut Head);

fn softmax(h: &mut Head) {
    (h.kernel, h.normalisation, h.scale) = (Kernel::Exp, Normalisation::Sum, 0.5);
}

/// What is done to head 1 of two, and what becomes of it as a linear and as a softmax head.
const CASES: &[(&str, Change, Fate, Fate)] = &[
    ("no queries", |h| (h.w_q.fill(0.0), h.b_q.fill(0.0)).0, Fate::LeftOut, Fate::Refused),
    ("no keys", |h| (h.w_k.fill(0.0), h.b_k.fill(0.0)).0, Fate::LeftOut, Fate::Refused),
    ("queries that are all bias", |h| h.w_q.fill(0.0), Fate::Kept, Fate::Kept),
    ("keys that are all bias", |h| h.w_k.fill(0.0), Fate::Kept, Fate::Kept),
    ("one query cell that is all bias", |h| h.w_q.row_mut(0).fill(0.0), Fate::Kept, Fate::Kept),
    ("one silent key cell", |h| (h.w_k.row_mut(1).fill(0.0), h.b_k[1] = 0.0).0, Fate::Kept, Fate::Kept),
    ("no values", |h| (h.w_v.fill(0.0), h.b_v.fill(0.0)).0, Fate::LeftOut, Fate::LeftOut),
    ("values that are all bias", |h| h.w_v.fill(0.0), Fate::Kept, Fate::Kept),
    ("no outputs", |h| h.w_o.fill(0.0), Fate::LeftOut, Fate::LeftOut),
    (
        "outputs of silent values only",
        |h| {
            h.w_o.column_mut(0).fill(0.0);
            h.w_v.row_mut(1).fill(0.0);
            h.b_v[1] = 0.0;
        },
        Fate::LeftOut,
        Fate::LeftOut,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    LeftOut,
    Refused,
}

#[test]
fn pruned_heads_are_kept_left_out_or_refused_and_never_lost() {
    for (claim, change, linear, divided) in CASES {
        for (fate, is_softmax) in [(*linear, false), (*divided, true)] {
            for dale in [false, true] {
                let mut heads = vec![head(2, 2, 11), head(2, 2, 12)];
                if is_softmax {
                    heads.iter_mut().for_each(softmax);
                }
                change(&mut heads[1]);
                let dir = tempfile::tempdir().expect("a folder");
                write_heads(&dir.path().join("h.safetensors"), &[block(heads)]).expect("written");
                let mut args = vec!["import", "h.safetensors", "-o", "x.yaml", "--check"];
                args.extend(dale.then_some("--dale"));
                let what = format!("{claim}, softmax {is_softmax}, dale {dale}");
                if fate == Fate::Refused {
                    let ran = run_in(dir.path(), &args);
                    assert!(ran.code == 4 && ran.stderr.contains("F012"), "{what}: {}", ran.stderr);
                    assert!(ran.stderr.contains("head 1") && ran.stderr.contains("--select"), "{what}");
                    assert!(!dir.path().join("x.yaml").exists(), "{what}");
                    continue;
                }
                let (code, object) = json_in(dir.path(), &args);
                assert_eq!(code, 0, "{what}: {object}");
                assert_eq!(object["check"]["equivalent"], true, "{what}");
                let left = if fate == Fate::LeftOut { json!([1]) } else { json!([]) };
                assert_eq!(object["left_out"], left, "{what}");
            }
        }
    }
}

#[test]
fn a_layer_of_zeros_is_no_circuit() {
    let mut heads = vec![head(2, 2, 11), head(2, 2, 12)];
    heads.iter_mut().for_each(|h| h.w_o.fill(0.0));
    let dir = tempfile::tempdir().expect("a folder");
    write_heads(&dir.path().join("h.safetensors"), &[block(heads)]).expect("written");
    let ran = run_in(dir.path(), &["import", "h.safetensors", "-o", "x.yaml"]);
    assert!(ran.code == 4 && ran.stderr.contains("all its heads are zero"), "{}", ran.stderr);
}

/// A head that is wrong altogether, behind one that is much larger: the verdict is about the whole, and says so.
#[test]
fn a_small_head_behind_a_large_one_is_named() {
    for divided in [false, true] {
        let mut heads = vec![head(2, 2, 11), head(2, 2, 12)];
        if divided {
            heads.iter_mut().for_each(softmax);
        }
        heads[0].w_o *= 1e11;
        let dir = tempfile::tempdir().expect("a folder");
        write_heads(&dir.path().join("h.safetensors"), &[block(heads.clone())]).expect("written");
        assert_eq!(run_in(dir.path(), &["import", "h.safetensors", "-o", "x.yaml"]).code, 0);
        heads[1].w_v *= -1.0;
        heads[1].b_v *= -1.0;
        write_heads(&dir.path().join("h.safetensors"), &[block(heads)]).expect("written");
        let ran = run_in(dir.path(), &["check", "x.yaml", "--against", "h.safetensors"]);
        assert_eq!(ran.code, 0, "{}", ran.stdout);
        assert!(ran.stdout.contains("but head 1 differs by 2.000 of its own size"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("split"), "{}", ran.stdout);
    }
}

/// Changed output biases are found in the circuit.
#[test]
fn the_output_bias_at_fault_is_named() {
    for divided in [false, true] {
        let mut heads = vec![head(2, 2, 11)];
        if divided {
            heads.iter_mut().for_each(softmax);
        }
        let dir = tempfile::tempdir().expect("a folder");
        let mut changed = block(heads);
        write_heads(&dir.path().join("h.safetensors"), &[changed.clone()]).expect("written");
        assert_eq!(run_in(dir.path(), &["import", "h.safetensors", "-o", "x.yaml"]).code, 0);
        changed.b_o[2] += 0.5;
        write_heads(&dir.path().join("h.safetensors"), &[changed]).expect("written");
        let ran = run_in(dir.path(), &["check", "x.yaml", "--against", "h.safetensors"]);
        assert_eq!(ran.code, 1, "{}", ran.stdout);
        let line = ran.stdout.lines().find(|l| l.contains("the output bias differs")).unwrap_or_default();
        assert!(line.contains("b_O (line "), "{}", ran.stdout);
    }
}
