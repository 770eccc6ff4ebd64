//! Flags of the verbs that read transformer heads.

use super::Reading;
use clap::{ArgGroup, Args, ValueEnum};
use pulvinar::weights::{Attention, Options, Wiring};
use std::path::PathBuf;

/// Largest relative distance that counts as equal, unless asked for.
const TOLERANCE: f64 = 1e-9;

/// The same for outputs that another program gave, mostly in single precision.
const OUTPUTS: f64 = 1e-5;

/// Which heads of a weights file, and what it cannot say.
#[derive(Clone, Debug, Args)]
pub struct Layer {
    /// The layer: what the names of its tensors begin with
    #[arg(long)]
    pub prefix: Option<String>,
    /// Number of heads, where the file does not say
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub heads: Option<u32>,
    /// Heads to take, from 0
    #[arg(long, value_name = "0,3", value_delimiter = ',')]
    pub select: Option<Vec<usize>>,
    /// Block of a stack, from 1 (default: the last)
    #[arg(long, value_name = "B")]
    pub block: Option<usize>,
    /// Linear or softmax, where the file does not say
    #[arg(long, value_enum)]
    pub attention: Option<Kind>,
    /// Mask, where the file does not say
    #[arg(long, value_enum)]
    pub mask: Option<Mask>,
    /// Factor of scores, where the file does not say (default: 1/sqrt(d_k) for softmax, 1 for linear)
    #[arg(long, value_name = "X", value_parser = finite, allow_negative_numbers = true)]
    pub scale: Option<f64>,
    /// Leave out a tensor that a head has no place for: the responsibility is yours (repeatable)
    #[arg(long, value_name = "TENSOR")]
    pub ignore: Vec<String>,
    /// Layer of a model with a `config.json`, from 0
    #[arg(long, value_name = "L")]
    pub layer: Option<usize>,
    /// Which attention of a model of encoder and decoder
    #[arg(long, value_enum)]
    pub part: Option<Part>,
    /// Stage of a model whose stages differ, from 0
    #[arg(long, value_name = "S")]
    pub stage: Option<usize>,
    /// Read the model like one of this type, whatever its `config.json` says: the responsibility is yours
    #[arg(long = "as", value_name = "TYPE")]
    pub like: Option<String>,
    /// Number of tokens, where rotary frequencies or tables depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub length: Option<u32>,
    /// Exit 1 where the answer is yes only under conditions that the file does not state
    #[arg(long)]
    pub strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Linear,
    Softmax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mask {
    Full,
    Causal,
    Strict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// on the tokens of the only stack, or of the encoder
    Encoder,
    /// on the tokens of the decoder
    Decoder,
    /// of the decoder on the tokens of the encoder
    Cross,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Circuit {
    /// one microcolumn for each pair of tokens
    AttentionMask,
    /// one memory for each head (linear attention only)
    KeyValueMemory,
}

impl Import {
    /// The check of what was written, with the tolerance that `check` has by itself.
    pub fn as_check(&self) -> Check {
        Check {
            file: self.output.clone(),
            reading: Reading::default(),
            against: Some(self.model.clone()),
            gradients: false,
            outputs: None,
            layer: self.layer.clone(),
            tolerance: None,
            tokens: Vec::new(),
            exact: false,
        }
    }
}

impl From<Kind> for Attention {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Linear => Self::Linear,
            Kind::Softmax => Self::Softmax,
        }
    }
}

impl From<Mask> for pulvinar::attention::Mask {
    fn from(mask: Mask) -> Self {
        match mask {
            Mask::Full => Self::Full,
            Mask::Causal => Self::Causal,
            Mask::Strict => Self::Strict,
        }
    }
}

impl From<Part> for pulvinar::weights::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Encoder => Self::Encoder,
            Part::Decoder => Self::Decoder,
            Part::Cross => Self::Cross,
        }
    }
}

impl From<Circuit> for Wiring {
    fn from(circuit: Circuit) -> Self {
        match circuit {
            Circuit::AttentionMask => Self::AttentionMask,
            Circuit::KeyValueMemory => Self::KeyValueMemory,
        }
    }
}

impl Layer {
    pub fn options(&self) -> Options {
        Options {
            prefix: self.prefix.clone(),
            heads: self.heads.map(|h| h as usize),
            select: self.select.clone(),
            block: self.block,
            attention: self.attention.map(Into::into),
            mask: self.mask.map(Into::into),
            scale: self.scale,
            ignore: self.ignore.clone(),
            layer: self.layer,
            part: self.part.map(Into::into),
            stage: self.stage,
            like: self.like.clone(),
            length: self.length.map(|n| n as usize),
        }
    }
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("with").required(true).args(["against", "gradients", "outputs"])))]
pub struct Check {
    /// Circuit file
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Heads to compare with: a .safetensors file, a directory, or a shard or the index of several files
    #[arg(long, value_name = "HEADS.safetensors")]
    pub against: Option<PathBuf>,
    /// Compare the exact gradient with finite differences, and learning rules with the gradient
    #[arg(long)]
    pub gradients: bool,
    /// Compare the circuit's output on --tokens with what another program gave: [n, d] or [batch, n, d]
    #[arg(long, value_name = "FILE", requires = "tokens", conflicts_with_all = [
        "prefix", "heads", "select", "block", "attention", "mask", "scale", "ignore", "layer", "part", "stage", "like",
        "length", "exact",
    ])]
    pub outputs: Option<PathBuf>,
    #[command(flatten)]
    pub layer: Layer,
    /// Largest relative distance that counts as equal (default: 1e-9; with --outputs 1e-5 of the largest output)
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// Tokens to run both on, one row each: .npy, .npz, .csv or .safetensors
    #[arg(long, value_name = "[NAME=]FILE")]
    pub tokens: Vec<String>,
    /// Compare whole-numbered weights in exact arithmetic
    #[arg(long)]
    pub exact: bool,
}

impl Check {
    /// The tolerance, or the default of what is compared.
    pub fn tolerance(&self) -> f64 {
        self.tolerance.unwrap_or(if self.outputs.is_some() { OUTPUTS } else { TOLERANCE })
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        _ => Err("a finite number is needed, for example 0.125".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => Err("a number from 0 up is needed, for example 1e-9".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct Import {
    /// A model: a directory with `config.json` and weights, a .safetensors file, or any shard or the index of several
    pub model: PathBuf,
    /// Circuit file to write; the weights go beside it, to FILE.weights.safetensors
    #[arg(short, long, value_name = "FILE.yaml")]
    pub output: PathBuf,
    #[command(flatten)]
    pub layer: Layer,
    /// How heads are wired (default: as memories where the file says that they are)
    #[arg(long, value_enum)]
    pub circuit: Option<Circuit>,
    /// Write plus and minus cells: no negative rate, no weight of two signs
    #[arg(long)]
    pub dale: bool,
    /// Compile what was written and check that it is the same function as the heads
    #[arg(long)]
    pub check: bool,
    /// Replace an existing file that `import` did not write
    #[arg(long)]
    pub force: bool,
}
