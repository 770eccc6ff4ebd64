//! Heads of a file beside a block of a circuit: what the file does not state is the circuit's.

use super::assumption::{About, Assumption, Origin};
use super::{Loaded, Verdict};
use crate::attention::{Block, Head};
use crate::diag::{Diagnostic, codes};
use std::collections::BTreeSet;

/// Heads that read the circuit's streams.
#[derive(Clone, Debug, PartialEq)]
pub struct Aligned {
    pub block: Block,
    /// what was taken from the circuit because the file does not state it, in words
    pub taken: Vec<String>,
    /// what a verdict on this block and the circuit's rests on: what was assumed of the file, and what was taken
    pub assumed: Vec<Assumption>,
}

impl Aligned {
    /// What it says that the circuit's block is `equivalent` to this one, or not.
    #[must_use]
    pub fn verdict(&self, equivalent: bool) -> Verdict {
        Verdict::of(equivalent, &self.assumed)
    }
}

/// Gives the heads of `loaded` the streams and the residual path of `circuit`, where their file does not state its own.
///
/// Stated streams of other names stand for the circuit's where either side has only one of a kind.
///
/// # Errors
/// `R004` where the circuit's heads read several streams and the file does not say which, or where widths differ.
pub fn align(loaded: &Loaded, circuit: &Block) -> Result<Aligned, Diagnostic> {
    let mut block = loaded.block.clone();
    let mut taken: Vec<String> =
        loaded.assumed.iter().filter(|a| a.origin == Origin::Circuit).map(|a| a.clause.clone()).collect();
    let mut assumed = loaded.assumed.clone();
    let cannot = |message: String, help: &str| Err(Diagnostic::error(codes::R004, "", message).help(help));
    let other = "another circuit, or another layer (--prefix) or block (--block) of the file";
    if block.d_model != circuit.d_model {
        return cannot(
            format!(
                "the output of the circuit is {} wide, that of the heads {}",
                circuit.d_model, block.d_model
            ),
            other,
        );
    }
    let roles: [Role; 3] = [
        ("queries", |h| &h.query_stream, |h| h.w_q.ncols(), |h, s| h.query_stream = s),
        ("keys", |h| &h.context_stream, |h| h.w_k.ncols(), |h, s| h.context_stream = s),
        ("values", |h| &h.value_stream, |h| h.w_v.ncols(), |h, s| h.value_stream = s),
    ];
    let mut renamed = Vec::new();
    for (what, stream, width, put) in roles {
        let (theirs, ours) = (names(&block, stream), names(circuit, stream));
        if theirs == ours || ours.is_empty() || theirs.is_empty() {
            continue;
        }
        let (Some(own), Some(old), true) =
            (ours.first(), theirs.first(), ours.len() == 1 && theirs.len() == 1)
        else {
            if loaded.stated.streams {
                continue;
            }
            let list: Vec<&str> = ours.iter().map(String::as_str).collect();
            return cannot(
                format!(
                    "the {what} of the circuit come from several streams ({}), and the file does not say which is whose",
                    list.join(", ")
                ),
                "compare with a native heads file, which states them",
            );
        };
        let wide = circuit.heads.iter().map(width).next().unwrap_or(0);
        if let Some(h) = block.heads.iter().find(|h| width(h) != wide) {
            return cannot(
                format!(
                    "{what} read {wide} numbers of stream `{own}` in the circuit, {} in the file",
                    width(h)
                ),
                other,
            );
        }
        renamed.push((old.clone(), own.clone()));
        taken.push(format!("{what} come from stream `{own}`"));
        block.heads.iter_mut().for_each(|h| put(h, own.clone()));
    }
    let clock = renamed.iter().find(|(old, _)| *old == block.clock_stream);
    if !loaded.stated.streams || clock.is_some() {
        block.clock_stream.clone_from(&circuit.clock_stream);
    }
    if loaded.stated.residual {
        for path in &mut block.residual {
            if let Some((_, own)) = renamed.iter().find(|(old, _)| *old == path.stream) {
                path.stream.clone_from(own);
            }
        }
    } else if !circuit.residual.is_empty() {
        block.residual.clone_from(&circuit.residual);
        taken.push("the residual path".to_owned());
        let words = "its direct path is that of the circuit";
        assumed.push(Assumption::new(About::Residual, Origin::Circuit, words));
    }
    let (before, after) = (joined(&loaded.block), joined(&block));
    if before != after {
        assumed.retain(|a| a.about != About::Streams);
        assumed.push(Assumption::new(About::Streams, Origin::Circuit, after));
    }
    assumed.sort();
    Ok(Aligned { block, taken, assumed })
}

/// What a head reads: a word, the stream, its width, and how to set it.
type Role = (&'static str, fn(&Head) -> &String, fn(&Head) -> usize, fn(&mut Head, String));

/// Which of queries, keys and values of the heads share a stream.
fn joined(block: &Block) -> &'static str {
    let all = |same: fn(&Head) -> bool| block.heads.iter().all(same);
    match (all(|h| h.query_stream == h.context_stream), all(|h| h.context_stream == h.value_stream)) {
        (true, true) => "queries and keys come from one stream",
        (false, true) => "queries come from one stream, keys and values from another",
        (true, false) => "values come from another stream than queries and keys",
        (false, false) => "queries, keys and values come from several streams",
    }
}

fn names(block: &Block, of: fn(&Head) -> &String) -> BTreeSet<String> {
    block.heads.iter().map(|h| of(h).clone()).collect()
}
