//! `pulvinar check FILE --against HEADS`: is this circuit the same function as these heads? And `--outputs`: does it
//! compute what another program gave?

mod blame;
mod gradients;
mod input;
mod json;
mod outputs;
mod text;
mod why;

use super::args::Check;
use super::load;
use super::report::{Failure, Outcome, Reporter, diagnostics_json, exit_code};
use pulvinar::attention::equivalence::{Comparison, OutOfScope, Probed, Wish, compare, probe};
use pulvinar::attention::{Block, Kernel};
use pulvinar::circuit::Circuit;
use pulvinar::compile::{Compiled, CompiledBlock};
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::spec::Document;
use pulvinar::weights::{self, Aligned, Attention, Loaded, Options, Verdict, align};
use serde_json::{Map, Value};
use std::path::Path;

pub(super) use text::unread;

/// Everything that a report says.
struct Checked<'a> {
    args: &'a Check,
    against: &'a Path,
    document: &'a Document,
    circuit: &'a Circuit,
    /// the block of the circuit, and which of how many it is
    block: &'a CompiledBlock,
    number: (usize, usize),
    loaded: &'a Loaded,
    aligned: &'a Aligned,
    verdict: &'a Verdict,
    comparison: &'a Comparison,
    /// the softmax heads of the same weights, beside the linear function that was compared
    softmax: Option<&'a SoftmaxGap>,
}

/// How far softmax heads are from linear heads of the same weights.
struct SoftmaxGap {
    probed: Probed,
    tokens: String,
}

pub fn run(args: &Check, out: &Reporter) -> Outcome {
    if args.outputs.is_some() {
        return outputs::run(args, out);
    }
    let Some(against) = &args.against else { return gradients::run(args, out) };
    let Answer { yes, text, object } = match answer(args, against, out) {
        // Functions of other widths or streams differ.
        Err(failure) if out.json && is_incomparable(&failure) => {
            let mut rest = Map::new();
            rest.insert("equivalent".to_owned(), Value::Bool(false));
            rest.insert("diagnostics".to_owned(), diagnostics_json(&failure.diagnostics));
            out.object("check", false, rest);
            return Ok(exit_code(&failure.diagnostics));
        }
        other => other?,
    };
    if out.json {
        out.object("check", yes, object);
    } else {
        out.result(&text);
    }
    Ok(u8::from(!yes))
}

/// The verdict in both forms; the one that is not asked for is empty.
pub(super) struct Answer {
    /// equivalent, and with --strict under no condition
    pub yes: bool,
    pub text: String,
    pub object: Map<String, Value>,
}

/// Compares a circuit with the heads of a file.
pub(super) fn answer(args: &Check, against: &Path, out: &Reporter) -> Result<Answer, Failure> {
    let model = load::model(&args.file, &args.reading)?;
    let (document, circuit, compiled) = (model.document(), model.circuit()?, model.heads()?);
    let index = block_index(args, &compiled)?;
    let block = &compiled.blocks[index];
    let loaded = read(args, against, &compiled, index)?;
    let aligned = align(&loaded, &block.block)?;
    if !loaded.stated.memory
        && let Some(h) = block.block.heads.iter().find(|h| !matches!(h.memory.name(), "none" | "hebbian"))
    {
        out.note(&format!("the file states no memory; the circuit has one of kind `{}`", h.memory.name()));
    }
    let inputs = input::given(args, &model, index, out)?;
    let wish = Wish { tolerance: args.tolerance(), inputs, exact: args.exact, seed: document.spec.seed };
    let comparison = compare(&block.block, &aligned.block, &wish).map_err(|e| incomparable(&e))?;
    if args.exact && comparison.certificate.is_none() {
        out.note("--exact was ignored: only unnormalised linear heads have a certificate, and these are compared on tokens");
    }
    let verdict = aligned.verdict(comparison.equivalent);
    let softmax = softmax_gap(args, against, &loaded, &block.block, &aligned.block, &comparison)?;
    let checked = Checked {
        args,
        against,
        document,
        circuit: &circuit,
        block,
        number: (index + 1, compiled.blocks.len()),
        loaded: &loaded,
        aligned: &aligned,
        verdict: &verdict,
        comparison: &comparison,
        softmax: softmax.as_ref(),
    };
    Ok(Answer {
        yes: verdict.is_equivalent() && !(args.layer.strict && verdict.is_conditional()),
        text: if out.json { String::new() } else { text::report(&checked) },
        object: if out.json { json::object(&checked) } else { Map::new() },
    })
}

/// `--block` counts the blocks of the circuit and of the file; the one with a single block has no choice.
fn block_index(args: &Check, compiled: &Compiled) -> Result<usize, Diagnostic> {
    let n = compiled.blocks.len();
    match args.layer.block {
        None => Ok(n - 1),
        Some(b) if (1..=n).contains(&b) => Ok(b - 1),
        Some(_) if n == 1 => Ok(0),
        Some(b) => {
            Err(Diagnostic::error(codes::U005, "", format!("the circuit has {n} blocks, --block says {b}"))
                .help("blocks are counted from 1; without --block the last is taken"))
        }
    }
}

/// The heads, with attention and mask of the circuit where neither the file nor the command line says.
fn read(args: &Check, against: &Path, compiled: &Compiled, index: usize) -> Result<Loaded, Diagnostic> {
    let mut options = args.layer.options();
    let circuit = &compiled.blocks[index].block;
    // A file of one block is not asked for the circuit's second one.
    match weights::read_beside(against, &options, circuit) {
        Err(e) if e.code == codes::F015 && options.block.is_some() && compiled.blocks.len() > 1 => {
            options.block = None;
            match weights::read_beside(against, &options, circuit) {
                Ok(loaded) if loaded.blocks == 1 => Ok(loaded),
                _ => Err(e),
            }
        }
        other => other,
    }
}

/// Whether the answer is no because there is nothing to compare.
fn is_incomparable(failure: &Failure) -> bool {
    let list = &failure.diagnostics.0;
    !list.is_empty() && list.iter().all(|d| d.code == codes::R004)
}

fn incomparable(e: &OutOfScope) -> Diagnostic {
    Diagnostic::error(codes::R004, "", format!("the circuit and the heads cannot be compared: {e}"))
        .help("A is the circuit, B the file; `--prefix` and `--block` choose another layer or block")
}

/// Weights of a transformer, compared as linear heads: what softmax would do with them, on the given tokens.
fn softmax_gap(
    args: &Check,
    against: &Path,
    loaded: &Loaded,
    circuit: &Block,
    linear: &Block,
    comparison: &Comparison,
) -> Result<Option<SoftmaxGap>, Diagnostic> {
    let says_linear = loaded.stated.attention && loaded.overruled.is_empty();
    let is_linear = linear.heads.iter().all(|h| h.kernel == Kernel::Linear);
    if says_linear || !is_linear || linear.heads.is_empty() {
        return Ok(None);
    }
    let options = Options {
        attention: Some(Attention::Softmax),
        mask: linear.heads.first().map(|h| h.mask),
        ..args.layer.options()
    };
    // Memories of the file cannot be read as softmax: then there is nothing to say.
    let Ok(soft) = weights::read(against, &options) else { return Ok(None) };
    let soft = align(&soft, circuit)?;
    let given = comparison.inputs.first();
    let probed = probe(&soft.block, linear, given.map(std::slice::from_ref).unwrap_or_default());
    Ok(given.filter(|_| probed.ran > 0).map(|g| SoftmaxGap { tokens: g.name.clone(), probed }))
}
