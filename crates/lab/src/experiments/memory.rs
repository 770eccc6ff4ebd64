//! The memories of a circuit: one compiled stack of blocks for each relay that receives.

use super::setup::unfit;
use nalgebra::DMatrix;
use pulvinar::attention::{
    Block, ForwardError, Kernel, Mask, Memory as HeadMemory, Normalisation, Rate, Streams, forward,
};
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::diag::{Diagnostic, Diagnostics, codes, one_of};
use pulvinar::spec::{Document, OutputSpec};

/// How far QK, OV and the key map may be from the identity, entry by entry, for a law to hold.
const IDENTITY: f64 = 1e-12;

/// One memory of a circuit: what a relay answers to cues.
#[derive(Clone, Debug)]
pub struct Memory {
    /// the relay
    pub name: String,
    /// `hebbian`, `decay`, ... of the last head, or `softmax` and the like for kernels of scores
    pub kind: String,
    blocks: Vec<Block>,
    plain: Option<Plain>,
}

/// One linear head without kernel, residual path or bias, whose keys, queries and values are the tokens themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain {
    pub rule: Rule,
    /// every answer is so many times larger (of a delta memory: 1)
    pub gain: f64,
    pub mask: Mask,
}

/// A memory rule with the streams as its keys, queries and values: what a law can be about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `M += v k^T`
    Hebbian,
    /// `M = g M + v k^T`
    Decay(f64),
    /// `M += b (v - M k) k^T`
    Delta(f64),
}

/// The memories of a circuit, in the order of its relays.
///
/// # Errors
/// Mistakes in the circuit, with their places; `U006` if no relay receives anything.
pub fn memories(document: &Document) -> Result<Vec<Memory>, Diagnostics> {
    relays(document)?.iter().map(|relay| memory(document, relay)).collect()
}

/// The relays that receive.
///
/// # Errors
/// `U006` if there is none.
pub fn relays(document: &Document) -> Result<Vec<String>, Diagnostics> {
    let ends =
        |relay: &str| document.spec.projections.iter().any(|(_, p)| p.to.split('.').next() == Some(relay));
    let found: Vec<String> = document.spec.thalamus.names().filter(|r| ends(r)).map(str::to_owned).collect();
    if found.is_empty() {
        return Err(unfit("thalamus", "no relay receives anything, so nothing can be recalled")
            .help("end a projection on a relay")
            .into());
    }
    Ok(found)
}

/// The circuit with the output at a relay.
///
/// # Errors
/// Mistakes in the circuit, with their places.
pub fn wired(document: &Document, relay: &str) -> Result<Circuit, Diagnostics> {
    let mut spec = document.spec.clone();
    spec.output = OutputSpec::Relay(relay.to_owned());
    wire(&spec, &document.folder)
}

/// The memory at a relay.
///
/// # Errors
/// Mistakes in the circuit, and where it stops being attention, with their places.
pub fn memory(document: &Document, relay: &str) -> Result<Memory, Diagnostics> {
    let blocks = compile(&wired(document, relay)?)?.plain_blocks();
    Ok(Memory { name: relay.to_owned(), kind: kind(&blocks), plain: plain(&blocks), blocks })
}

/// Width of a stream that an experiment feeds.
///
/// # Errors
/// `U006` if the circuit has no such stream.
pub fn width(document: &Document, stream: &str) -> Result<usize, Diagnostics> {
    match document.spec.tokens.streams.get(stream) {
        Some(s) => Ok(s.d_model),
        None => {
            Err(unfit("tokens", format!("the experiment feeds a stream `{stream}`, which the circuit lacks"))
                .help(format!("the circuit has {}", one_of(document.spec.tokens.streams.names())))
                .into())
        }
    }
}

impl Memory {
    /// The head, where it is so plain that a law can be about this memory.
    #[must_use]
    pub fn plain(&self) -> Option<Plain> {
        self.plain
    }

    /// The rule of a plain memory that is read as it is when all is stored (mask `full`), with gain 1.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        self.plain.filter(|p| p.mask == Mask::Full && p.gain == 1.0).map(|p| p.rule)
    }

    /// The compiled blocks, the one of the relay last.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What the memory answers, `[d_value, n_cues]`, one token per column: `streams` are the tokens of the circuit.
    ///
    /// # Errors
    /// `R001` when it diverges, `R003` when the tokens do not fit the circuit.
    pub fn answer(&self, mut streams: Streams) -> Result<DMatrix<f64>, Diagnostic> {
        let mut output = DMatrix::zeros(0, 0);
        for (number, block) in self.blocks.iter().enumerate() {
            output = forward(block, &streams).map_err(|e| {
                use ForwardError::{DivisionByZero, NotFinite, OutputNotFinite, Underflow};
                let diverged = matches!(
                    e,
                    DivisionByZero { .. } | NotFinite { .. } | OutputNotFinite { .. } | Underflow { .. }
                );
                let code = if diverged { codes::R001 } else { codes::R003 };
                Diagnostic::error(code, "", format!("`{}` does not run on these tokens: {e}", self.name))
                    .help("the streams `cue` and `key` need the same width, `value` the clock of `key`")
            })?;
            if number + 1 < self.blocks.len() {
                streams.insert(block.relay.clone(), output.clone());
            }
        }
        Ok(output)
    }

    /// The degree of the score in the query, of one unnormalised head: 1 for a linear one.
    #[must_use]
    pub fn degree(&self) -> Option<u32> {
        let [block] = self.blocks.as_slice() else { return None };
        let [head] = block.heads.as_slice() else { return None };
        match (head.kernel, head.normalisation, &head.memory) {
            (Kernel::Linear, Normalisation::None, HeadMemory::None | HeadMemory::Hebbian) => Some(1),
            (Kernel::Power(n), Normalisation::None, _) => Some(n),
            _ => None,
        }
    }

    /// The inverse temperature of one softmax head whose queries and keys are the tokens themselves, as are its answers.
    #[must_use]
    pub fn beta(&self) -> Option<f64> {
        let [block] = self.blocks.as_slice() else { return None };
        let [head] = block.heads.as_slice() else { return None };
        let softmax = head.kernel == Kernel::Exp
            && head.normalisation == Normalisation::Sum
            && head.sink.is_none()
            && head.mask == Mask::Full;
        let qk = head.w_k.transpose() * &head.w_q * head.scale;
        let beta = *qk.get((0, 0))?;
        let is_plain =
            is_multiple(&qk, beta) && is_multiple(&(&head.w_o * &head.w_v), 1.0) && block.residual.is_empty();
        (softmax && is_plain && beta > 0.0).then_some(beta)
    }

    /// Stores the pairs in order and asks the cues: columns of `[d, n]` matrices.
    ///
    /// # Errors
    /// As [`Memory::answer`].
    pub fn recall(
        &self,
        cues: &DMatrix<f64>,
        keys: &DMatrix<f64>,
        values: &DMatrix<f64>,
    ) -> Result<DMatrix<f64>, Diagnostic> {
        let streams = [("cue", cues), ("key", keys), ("value", values)];
        self.answer(streams.into_iter().map(|(name, x)| (name.to_owned(), x.clone())).collect())
    }
}

fn kind(blocks: &[Block]) -> String {
    let Some(head) = blocks.last().and_then(|b| b.heads.first()) else { return "none".to_owned() };
    match (head.kernel, head.normalisation) {
        (Kernel::Exp, Normalisation::Sum) => "softmax".to_owned(),
        (Kernel::Linear, Normalisation::None) => head.memory.name().to_owned(),
        (kernel, _) => kernel.name().to_owned(),
    }
}

fn plain(blocks: &[Block]) -> Option<Plain> {
    let [block] = blocks else { return None };
    plain_block(block)
}

/// The head of a block that is nothing else.
pub fn plain_block(block: &Block) -> Option<Plain> {
    let [head] = block.heads.as_slice() else { return None };
    let still = |v: &nalgebra::DVector<f64>| v.iter().all(|x| *x == 0.0);
    let is_plain = head.kernel == Kernel::Linear
        && head.normalisation == Normalisation::None
        && block.residual.is_empty()
        && [&head.b_q, &head.b_k, &head.b_v, &block.b_o].into_iter().all(still);
    if !is_plain {
        return None;
    }
    let ov = &head.w_o * &head.w_v;
    let qk = head.w_k.transpose() * &head.w_q * head.scale;
    let mut gain = *ov.get((0, 0))? * *qk.get((0, 0))?;
    if (gain - 1.0).abs() < IDENTITY {
        gain = 1.0;
    }
    let rule = match &head.memory {
        HeadMemory::None | HeadMemory::Hebbian => Rule::Hebbian,
        HeadMemory::Decay(g) => Rule::Decay(*g),
        HeadMemory::Delta(Rate::Constant(b))
            if gain == 1.0 && is_multiple(&(head.w_k.transpose() * &head.w_k), 1.0) =>
        {
            Rule::Delta(*b)
        }
        HeadMemory::Delta(_) | HeadMemory::Gated { .. } => return None,
    };
    let is_one = is_multiple(&ov, ov[(0, 0)]) && is_multiple(&qk, qk[(0, 0)]) && gain > 0.0;
    is_one.then_some(Plain { rule, gain, mask: head.mask })
}

/// Is `m` so many times the identity?
fn is_multiple(m: &DMatrix<f64>, gain: f64) -> bool {
    let diagonal = |i, j| if i == j { gain } else { 0.0 };
    m.is_square()
        && (0..m.nrows()).all(|i| (0..m.ncols()).all(|j| (m[(i, j)] - diagonal(i, j)).abs() < IDENTITY))
}
