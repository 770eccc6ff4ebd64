//! What is assumed of a file that does not say, and what a verdict makes of it.

use super::weights::{load, options};
use pulvinar::attention::{Kernel, Mask, Normalisation};
use pulvinar::weights::{Attention, Loaded, Options};

/// What was assumed, as it stands in a verdict.
pub fn clauses(loaded: &Loaded) -> Vec<&str> {
    loaded.assumed.iter().map(|a| a.clause.as_str()).collect()
}

#[test]
fn nothing_is_assumed_in_silence() {
    // A module of torch can be nothing but softmax of scores over sqrt(d_k).
    let bare = load("torch_f64", &options("", 2));
    assert_eq!(clauses(&bare), ["the mask is full", "queries and keys come from one stream"]);
    assert!(bare.notes.iter().any(|n| n.contains("no residual")), "{:?}", bare.notes);
    let stated = bare.stated;
    assert!(!stated.heads && !stated.attention && !stated.mask && !stated.residual && !stated.scale);
    let head = &bare.block.heads[0];
    assert_eq!((head.kernel, head.normalisation, head.mask), (Kernel::Exp, Normalisation::Sum, Mask::Full));
    assert_eq!(head.scale.to_bits(), 0.5f64.to_bits());
    let scaled = load("torch_f64", &Options { scale: Some(3.0), ..options("", 2) });
    assert_eq!(scaled.block.heads[1].scale.to_bits(), 3f64.to_bits());
    // Its name says that this one attends to its own tokens.
    let own = load("torch_encoder", &Options { mask: Some(Mask::Full), ..options("layers.1", 2) });
    assert_eq!(clauses(&own), [""; 0]);

    let says = |list: &[String], word: &str| list.iter().any(|a| a.contains(word));
    let unbiased = load("separate_unbiased", &options("", 2));
    assert!(says(&unbiased.notes, "no key, output bias"), "{:?}", unbiased.notes);
    let all = [
        "the attention is softmax",
        "the mask is full",
        "there are no rotary positions",
        "the scale is 1/sqrt(d_k)",
        "queries and keys come from one stream",
    ];
    assert_eq!(clauses(&unbiased), all);
    assert!(unbiased.not_read.is_empty(), "{:?}", unbiased.not_read);
    assert!(says(
        &load("torch_widths", &options("", 2)).notes,
        "keys from `context` (6), values from `values` (3)"
    ));

    // A mask that the file holds as a tensor, and metadata.
    let gpt2 = load("gpt2", &options("h.0.attn.", 2));
    assert!(gpt2.stated.mask && gpt2.block.heads[1].mask == Mask::Causal);
    let meta = load("metadata", &Options::default());
    assert!(meta.stated.heads && meta.stated.attention && meta.stated.mask && !meta.stated.scale);
    let head = &meta.block.heads[1];
    assert_eq!((head.kernel, head.normalisation, head.mask), (Kernel::Exp, Normalisation::Sum, Mask::Causal));
    assert_eq!(head.scale.to_bits(), 0.5f64.to_bits());
    let against = Options {
        attention: Some(Attention::Linear),
        mask: Some(Mask::Full),
        heads: Some(4),
        ..Options::default()
    };
    assert_eq!(load("metadata", &against).overruled.len(), 3);
}
