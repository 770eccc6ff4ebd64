//! Heads in files, and circuits for them.
//!
//! - [`read`]: heads of a `.safetensors` in any layout of [`Scheme`], with an account of what the file states and what
//!   was assumed.
//! - [`native`]: this program's own layout, which loses nothing of the blocks it can hold.
//! - [`import`]: heads as a circuit; [`align()`]: heads beside a block of a circuit.
//! - [`dale`]: signed circuits as plus/minus circuits.
//!
//! Inside: `layers` knows the names of each layout and finds the layer that is meant, `tensors` checks shapes and reads
//! numbers, `heads` cuts them into heads, `settings` decides kernel, scale and mask.
//!
//! **Deliberately absent:** downloads, and any change to imported numbers that is not said.

mod align;
pub mod dale;
mod heads;
pub mod import;
mod layers;
pub mod native;
mod settings;
mod tensors;

pub use align::{Aligned, align};
pub use import::{Imported, Style, Wiring};
pub use native::{NativeBlock, is_native, read_heads, read_heads_stated, write_heads};

use crate::attention::{Block, Mask};
use crate::diag::Diagnostic;
use crate::files::safetensors;
use std::path::Path;

/// How the tensors of an attention layer are called and laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `W_Q [H, d_k, D]` and so on: see [`native`]
    Native,
    /// `in_proj_weight [3 D, D]` (or `q_proj_weight`, `k_proj_weight`, `v_proj_weight`), `out_proj.weight`
    Torch,
    /// `q_proj.weight`, `k_proj.weight`, `v_proj.weight`, `o_proj.weight` or `out_proj.weight`
    Separate,
    /// [`Scheme::Separate`] with fewer key and value heads, each shared by consecutive query heads
    Grouped,
    /// `attention.self.query.weight` and so on, `attention.output.dense.weight`
    Bert,
    /// `attn.c_attn.weight [D, 3 D]`, `attn.c_proj.weight`, both transposed
    Gpt2,
}

/// What a kernel and a normalisation are together, as far as transformers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attention {
    /// `k . q`, not divided; scale 1
    Linear,
    /// `exp(k . q)` divided by its sum; scale `1/sqrt(d_k)`
    Softmax,
}

/// What the file cannot say, or which part of it is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The layer: the beginning of its tensor names, with or without the last dot.
    pub prefix: Option<String>,
    /// Number of (query) heads.
    pub heads: Option<usize>,
    /// Heads to keep, from 0, in this order; all where absent.
    pub select: Option<Vec<usize>>,
    /// Which block of a native stack, from 1; the last where absent.
    pub block: Option<usize>,
    pub attention: Option<Attention>,
    pub mask: Option<Mask>,
}

/// Which settings the file states itself, by metadata or by its tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    pub heads: bool,
    /// kernel and normalisation
    pub attention: bool,
    pub scale: bool,
    pub mask: bool,
    pub memory: bool,
    /// names of query and context streams
    pub streams: bool,
    /// whether there is a direct path from tokens to output
    pub residual: bool,
}

/// Heads as read, and what was not in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub block: Block,
    pub scheme: Scheme,
    /// What the names of the layer's tensors begin with; empty, or with a dot at the end.
    pub prefix: String,
    /// Number of blocks in the file (1 unless it is a native stack).
    pub blocks: usize,
    /// Number of heads before selection.
    pub heads: usize,
    /// Number of key and value heads in the file; fewer than `heads` where query heads share them.
    pub shared: usize,
    /// Which heads `block` holds, from 0.
    pub selected: Vec<usize>,
    /// Number types of the tensors read, `f32` and so on, each once, sorted.
    pub dtypes: Vec<String>,
    pub stated: Stated,
    /// What neither the file nor the options say, in words.
    pub assumed: Vec<String>,
    /// Those of them that are about what is around the heads: streams, relay, residual.
    pub surroundings: Vec<String>,
    /// Where the options go against the file, in words.
    pub overruled: Vec<String>,
    /// The tensor that states the mask, as in GPT-2.
    pub mask_tensor: Option<String>,
    /// Tensors of the layer that nothing was made of.
    pub unused: Vec<String>,
}

impl Scheme {
    /// A name for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Torch => "torch MultiheadAttention",
            Self::Separate => "separate q/k/v/o",
            Self::Grouped => "grouped-query",
            Self::Bert => "BERT",
            Self::Gpt2 => "GPT-2",
        }
    }
}

impl Attention {
    /// `linear` or `softmax`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Softmax => "softmax",
        }
    }
}

/// Reads the heads of one layer.
///
/// The numbers are those of the file, widened to `f64`. Grouped key and value heads are repeated for the query heads
/// that share them; nothing else is done to them. Where the file does not say: linear attention, full mask, queries and
/// context from the stream `main` (`context` and `values` where the widths differ), no residual; all of this is listed
/// in [`Loaded::assumed`].
///
/// # Errors
/// `F001` to `F007` as for any file, and more numbers than fit; `F008` a tensor of the layer is missing; `F009` a shape,
/// a number type or metadata that does not fit; `F010` a number that is not finite; `F012` what a head cannot hold;
/// `F014` no known layout; `F015` no or several layers, blocks or heads of that name, or two output matrices; `F016` the
/// number of heads is not known or does not divide.
pub fn read(path: &Path, options: &Options) -> Result<Loaded, Diagnostic> {
    let mut file = safetensors::open(path)?;
    if is_native(&file.entries()) {
        let blocks = read_heads_stated(path)?;
        return heads::native(&file, blocks, options).map_err(|bad| bad.in_file(path));
    }
    heads::foreign(&mut file, options).map_err(|bad| bad.in_file(path))
}
