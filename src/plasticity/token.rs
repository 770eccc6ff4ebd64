//! Updates at every token: the circuit laid out for one token at a time, its memories carried on.

use super::plan::Plan;
use crate::attention::Streams;
use crate::circuit::{Circuit, IndexRule, Population};
use crate::diag::{Diagnostic, codes};
use crate::spec::MaskSpec;
use nalgebra::DMatrix;

/// Lays the circuit out for single tokens.
///
/// # Errors
/// `C063` for what needs more than one token at a time: sums over the context, pairs of tokens, memories that are read
/// when all is written, streams of different lengths, and the exact gradient.
pub fn plan<'c>(circuit: &'c Circuit, sample: &Streams, gradient: bool) -> Result<Plan<'c>, Diagnostic> {
    let refuse =
        |path: &str, what: String, help: &str| Err(Diagnostic::error(codes::C063, path, what).help(help));
    if gradient {
        return refuse(
            "train.update",
            "the exact gradient of a sequence needs all of its tokens".to_owned(),
            "use a local rule with `update: token`, or `update: sequence`",
        );
    }
    let named =
        |p: &Population, what: &str| format!("`{}` {what}, so it cannot learn token by token", p.name);
    for p in &circuit.populations {
        if p.indices.query && p.indices.context {
            return refuse(
                &p.path,
                named(p, "has a column for each pair of tokens"),
                "use a key-value memory, or `update: sequence`",
            );
        }
        if p.accumulate.is_some() && p.mask == MaskSpec::Full {
            return refuse(
                &p.path,
                named(p, "is read when all tokens are written (mask: full)"),
                "use a causal or strict mask, or `update: sequence`",
            );
        }
    }
    if let Some(p) = circuit.projections.iter().find(|p| matches!(p.index, IndexRule::SumContext(_))) {
        return refuse(
            &p.path,
            format!("`{}` sums over the context, so the circuit cannot learn token by token", p.name),
            "use a key-value memory, or `update: sequence`",
        );
    }
    let mut lengths = sample.values().map(DMatrix::ncols);
    let first = lengths.next();
    if lengths.any(|n| Some(n) != first) {
        return refuse(
            "train.update",
            "the streams have different numbers of tokens, so there is no common token to learn at"
                .to_owned(),
            "use `update: sequence`",
        );
    }
    Plan::new(circuit, &one(sample))
}

/// Room for one token of every stream.
pub fn one(sample: &Streams) -> Streams {
    sample.iter().map(|(n, x)| (n.clone(), DMatrix::zeros(x.nrows(), 1))).collect()
}
