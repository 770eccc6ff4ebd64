//! What is assumed of a file that does not say, and what a verdict makes of it.

use super::weights::{load, options};
use pulvinar::attention::{Kernel, Mask, Normalisation};
use pulvinar::weights::{About, Attention, Loaded, Options, Origin, Verdict};

/// What was assumed, as it stands in a verdict.
pub fn clauses(loaded: &Loaded) -> Vec<&str> {
    loaded.assumed.iter().map(|a| a.clause.as_str()).collect()
}

#[test]
fn nothing_is_assumed_in_silence() {
    // A module of torch can be nothing but softmax of scores over sqrt(d_k).
    let bare = load("torch_f64", &options("", 2));
    let zero = "no key of zeros is added (add_zero_attn)";
    assert_eq!(clauses(&bare), [zero, "the mask is full", "queries and keys come from one stream"]);
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
    assert_eq!(clauses(&own), [zero]);

    let says = |list: &[String], word: &str| list.iter().any(|a| a.contains(word));
    let unbiased = load("separate_unbiased", &options("", 2));
    assert!(says(&unbiased.notes, "no key, output bias"), "{:?}", unbiased.notes);
    let all = [
        "the attention is softmax",
        "scores are not capped",
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

#[test]
fn what_is_said_is_not_assumed() {
    let said = Options {
        attention: Some(Attention::Softmax),
        mask: Some(Mask::Full),
        ..options("model.layers.0.self_attn", 2)
    };
    let rest = [
        "scores are not capped",
        "there are no rotary positions",
        "the scale is 1/sqrt(d_k)",
        "queries and keys come from one stream",
    ];
    let loaded = load("separate_unbiased", &said);
    assert_eq!(clauses(&loaded), rest);
    let sentence = Verdict::of(true, &loaded.assumed).to_string();
    let want =
        "there are no rotary positions, the scale is 1/sqrt(d_k) and queries and keys come from one stream";
    assert!(sentence.starts_with("equivalent if ") && sentence.ends_with(want), "{sentence}");
    // A causal mask by word may still have a window; one that the file holds has not.
    let causal = Options { mask: Some(Mask::Causal), scale: Some(1.0), ..said };
    let loaded = load("separate_unbiased", &causal);
    assert_eq!(loaded.assumed[1].about, About::Window);
    assert!(loaded.assumed.iter().all(|a| a.about != About::Scale && a.origin == Origin::Usual));
    let held = load("gpt2", &options("h.0.attn", 2));
    assert!(
        held.assumed.iter().all(|a| !matches!(a.about, About::Mask | About::Window)),
        "{:?}",
        held.assumed
    );
    // Attention that the file calls linear by itself passes no map; by word it might.
    let linear = load("separate_unbiased", &Options { attention: Some(Attention::Linear), ..options("", 2) });
    assert_eq!(clauses(&linear)[0], "queries and keys pass no feature map");
}

#[test]
fn verdicts_say_what_they_rest_on() {
    let some = load("torch_f64", &options("", 2)).assumed[1..].to_vec();
    let (yes, conditional, no) =
        (Verdict::of(true, &[]), Verdict::of(true, &some), Verdict::of(false, &some));
    assert_eq!([yes.to_string(), no.to_string()], ["equivalent", "NOT equivalent"]);
    assert_eq!(
        conditional.to_string(),
        "equivalent if the mask is full and queries and keys come from one stream"
    );
    let told = |v: &Verdict| (v.is_equivalent(), v.is_conditional(), v.assumed().len());
    assert_eq!(
        [told(&yes), told(&conditional), told(&no)],
        [(true, false, 0), (true, true, 2), (false, true, 2)]
    );
}
