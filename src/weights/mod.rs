//! Heads in files, and circuits for them.
//!
//! - [`read`]: heads of a `.safetensors` in any layout of [`Scheme`], with an account of what the file states and what
//!   was assumed.
//! - [`native`]: this program's own layout, which loses nothing of the blocks it can hold.
//! - [`import`]: heads as a circuit; [`align()`]: heads beside a block of a circuit.
//! - [`dale`]: signed circuits as plus/minus circuits.
//!
//! - [`Verdict`]: what a comparison says, with the [`Assumption`]s that it rests on.
//!
//! - [`model`]: layers of models that say by `config.json` what they are.
//!
//! Inside: `layers` knows the names of each layout and finds the layer that is meant (`unknown`: what is said where there
//! is none), `inside` refuses what a head has no place for, `masks` reads masks, `tensors` checks shapes, `numbers` reads
//! them, `heads` cuts them into heads, `said` is what a file says, `settings` decides kernel, scale and mask, from `usual` where nobody says.
//!
//! **Deliberately absent:** downloads, and any change to imported numbers that is not said.

mod align;
mod assumption;
pub mod dale;
mod heads;
pub mod import;
mod inside;
mod layers;
mod masks;
pub mod model;
pub mod native;
mod numbers;
mod record;
mod said;
mod settings;
mod tensors;
mod unknown;
mod usual;

pub use align::{Aligned, align};
pub use assumption::{About, Assumption, Origin, Verdict};
pub use import::{Imported, Style, Wiring};
pub use model::{Beyond, Part};
pub use native::{NativeBlock, is_native, read_heads, read_heads_stated, write_heads};

use crate::attention::{Block, Mask};
use crate::diag::Diagnostic;
use crate::files::{Bad, Tensors};
use model::config::Config;
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
    /// `attn.c_attn.weight [D, 3 n]`, `attn.c_proj.weight [n, D]`, or both transposed (nanoGPT)
    Gpt2,
    /// `attn.W_Q [H, D, d_k]` and so on, `attn.W_O [H, d_v, D]`
    TransformerLens,
    /// one matrix for queries, keys and values, fused as `config.json` says
    Fused,
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// The factor of scores.
    pub scale: Option<f64>,
    /// Tensors of the layer to leave out although they change what it computes, with or without its prefix; and keys of
    /// `config.json`.
    pub ignore: Vec<String>,
    /// Which layer of a model with a `config.json`, from 0.
    pub layer: Option<usize>,
    /// Which of its attention modules.
    pub part: Option<Part>,
    /// Which stage, from 0, in models whose stages differ.
    pub stage: Option<usize>,
    /// The type of models that it is to be read like, in place of `model_type`.
    pub like: Option<String>,
    /// The number of tokens, where what the layer computes depends on it.
    pub length: Option<usize>,
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
    /// What neither the file nor the options say, and a verdict rests on.
    pub assumed: Vec<Assumption>,
    /// What else is to be known of what was read, in words.
    pub notes: Vec<String>,
    /// Those of them that are about what is around the heads: streams, relay, residual.
    pub surroundings: Vec<String>,
    /// Where the options go against the file, in words.
    pub overruled: Vec<String>,
    /// The tensor that states the mask, as in GPT-2.
    pub mask_tensor: Option<String>,
    /// Tensors of the layer that nothing was made of, in the order of their names.
    pub not_read: Vec<String>,
    /// Tensors that would be refused if the options did not say to ignore them.
    pub ignored: Vec<String>,
    /// Lines of Python that record what the layer reads and writes in PyTorch; none for native files.
    pub record: Vec<String>,
    /// What the layer does beside the heads of `block`; nothing unless it was read by [`read_layer`].
    pub beyond: Beyond,
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
            Self::TransformerLens => "TransformerLens",
            Self::Fused => "fused q/k/v",
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
/// `path` is a file, a directory, or any shard or the index of a model in several files. The numbers are those of the
/// file, widened to `f64`. Grouped key and value heads are repeated for the query heads that share them; nothing else is
/// done to them. Where the file does not say, what layers of its layout usually are is taken and listed in
/// [`Loaded::assumed`]: softmax attention with scale `1/sqrt(d_k)` (linear attention with scale 1 in native files), full
/// mask (causal in GPT-2's names), queries and keys from one stream, `main`.
///
/// # Errors
/// `F001` to `F007` as for any file, and more numbers than fit; `F008` a tensor of the layer is missing; `F009` a shape,
/// a number type or metadata that does not fit; `F010` a number that is not finite; `F012` what a head cannot hold;
/// `F014` no known layout; `F015` no or several layers, blocks or heads of that name, or two output matrices; `F016` the
/// number of heads is not known or does not divide; `F018` a tensor inside the layer that is not read.
pub fn read(path: &Path, options: &Options) -> Result<Loaded, Diagnostic> {
    plain(path, read_with(path, options, settings::Hints::default())?)
}

/// The same, beside a block of a circuit: attention and mask are the circuit's where neither the file nor the options
/// say.
///
/// # Errors
/// As [`read()`], and `R004` where the mask would have to be the circuit's, whose heads have several.
pub fn read_beside(path: &Path, options: &Options, circuit: &Block) -> Result<Loaded, Diagnostic> {
    plain(path, read_with(path, options, settings::Hints::of(Some(circuit)))?)
}

/// The same, with what the layer does beside its heads: see [`Loaded::beyond`].
///
/// # Errors
/// As [`read()`], but not for what [`Beyond`] has a place for.
pub fn read_layer(path: &Path, options: &Options) -> Result<Loaded, Diagnostic> {
    read_with(path, options, settings::Hints::default())
}

/// Heads that are all there is.
fn plain(path: &Path, loaded: Loaded) -> Result<Loaded, Diagnostic> {
    let names = loaded.beyond.names();
    if names.is_empty() {
        return Ok(loaded);
    }
    let what = names.join(", ");
    Err(Bad::new("F018", format!("layer `{}` has {what}: it is more than its heads", loaded.prefix.trim_end_matches('.')))
        .help("import it, and compare what the circuit computes with what the model gives: check --tokens x.npy --outputs y.npy")
        .in_file(path))
}

fn read_with(path: &Path, options: &Options, hints: settings::Hints) -> Result<Loaded, Diagnostic> {
    let mut file = Tensors::open(path)?;
    let bad = |bad: Bad| bad.in_file(path);
    if native::is_native_form(&file.entries(), &file.metadata()).map_err(bad)? {
        let blocks = native::blocks_of(&mut file).map_err(bad)?;
        return heads::native(&file, blocks, options, hints).map_err(bad);
    }
    let config = Config::beside(path)?;
    // A file that stands beside a configuration of nothing known can still be known by its names.
    let named = path.is_file() && !is_index(path) && options.like.is_none();
    let row = match model::row(config.as_ref(), options) {
        Err(refused) if named && refused.code == "F034" => None,
        row => row.map_err(|bad| bad.in_file(config.as_ref().map_or(path, |c| c.path.as_path())))?,
    };
    if let Some(row) = row {
        let entries = file.entries();
        let config = config.unwrap_or_default();
        let found = model::read(&mut file, &entries, row, &config, options).map_err(bad)?;
        return heads::take(&mut file, &entries, found, options, hints).map_err(bad);
    }
    if let Some(l) = options.layer {
        let what =
            if config.is_some() { "`config.json` says no `model_type`" } else { "there is no `config.json`" };
        return Err(bad(Bad::new("F034", format!("{what}: what layer {l} is called is not known"))
            .help("--as TYPE says what model it is, or --prefix what the names of the layer begin with")));
    }
    let mut loaded = heads::foreign(&mut file, options, hints).map_err(bad)?;
    if config.is_some() {
        loaded.notes.push("`config.json` beside the weights was not read".to_owned());
    }
    Ok(loaded)
}

/// Whether it is the index of a model in several files.
fn is_index(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".index.json")
}
