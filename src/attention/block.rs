//! The types of a compiled block.

use crate::linalg::Real;
pub use crate::vocabulary::{Function as FeatureMap, Mask};
use nalgebra::{DMatrix, DVector};
use serde::Serialize;
use std::collections::BTreeMap;

/// Token streams by name; each is `[d_model, n_tokens]`, one token per column.
pub type Streams<T = f64> = BTreeMap<String, DMatrix<T>>;

/// How query and key make a score; `s = scale * (k . q)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// `s`
    Linear,
    /// `exp(s)`
    Exp,
    /// `s^n`, n >= 2
    Power(u32),
    /// `scale * phi_k(k) . phi_q(q)`, elementwise maps of key and query cells
    Feature { key: FeatureMap, query: FeatureMap },
    /// `f_n(g_n ... f_1(g_1 s + b_1) ... + b_n)`: the chain of functions of its head
    Function,
}

/// One function of a chain of them, `f(gain s + bias)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link<T: Real = f64> {
    pub gain: T,
    pub bias: T,
    pub activation: FeatureMap,
}

/// Whether the read-out is divided by the sum of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalisation {
    None,
    Sum,
}

/// Token-dependent numbers `g(x) = constant + weights * phi(features x + bias)`, one per row.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate<T: Real = f64> {
    /// the stream that `x` comes from
    pub stream: String,
    /// `[n_rows]`
    pub constant: DVector<T>,
    /// `[n_rows, n_features]`
    pub weights: DMatrix<T>,
    /// `[n_features, d_stream]`
    pub features: DMatrix<T>,
    /// `[n_features]`
    pub bias: DVector<T>,
    /// one per feature
    pub maps: Vec<FeatureMap>,
}

/// Which side of the memory matrix `M [d_v, d_k]` a gate scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GateSide {
    /// rows: `M_t = diag(g_t) M_{t-1} + v_t k_t^T`
    Value,
    /// columns: `M_t = M_{t-1} diag(g_t) + v_t k_t^T`
    Key,
}

/// Write strength of the delta rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate<T: Real = f64> {
    Constant(T),
    /// one row per value row (or a single row for all)
    Gate(Gate<T>),
}

/// What the superficial memory does at each context token.
#[derive(Clone, Debug, PartialEq)]
pub enum Memory<T: Real = f64> {
    /// no memory: one microcolumn per token pair, summed under the mask
    None,
    /// `M_t = M_{t-1} + v_t k_t^T`
    Hebbian,
    /// `M_t = g M_{t-1} + v_t k_t^T`; full masks read the final state
    Decay(T),
    /// `M_t = M_{t-1} + b_t (v_t - M_{t-1} k_t) k_t^T`; a rate per value row scales that row's update
    Delta(Rate<T>),
    /// `M_t = diag(g_t) M_{t-1} + v_t k_t^T` (or on the columns); one gate row per value (key) row, or a single one
    Gated { side: GateSide, gate: Gate<T> },
}

/// One attention head.
#[derive(Clone, Debug, PartialEq)]
pub struct Head<T: Real = f64> {
    /// `[d_k, d_query_stream]`
    pub w_q: DMatrix<T>,
    /// `[d_k, d_context_stream]`
    pub w_k: DMatrix<T>,
    /// `[d_v, d_value_stream]`
    pub w_v: DMatrix<T>,
    /// `[d_model_out, d_v]`
    pub w_o: DMatrix<T>,
    /// `[d_k]`
    pub b_q: DVector<T>,
    /// `[d_k]`
    pub b_k: DVector<T>,
    /// `[d_v]`
    pub b_v: DVector<T>,
    pub scale: T,
    pub kernel: Kernel,
    pub normalisation: Normalisation,
    pub mask: Mask,
    pub memory: Memory<T>,
    pub query_stream: String,
    pub context_stream: String,
    /// the stream of the values; nearly always `context_stream`, and always on its clock
    pub value_stream: String,
    /// what a score becomes under [`Kernel::Function`], first link first; empty under any other kernel
    pub function: Vec<Link<T>>,
    /// one row, of a stream on the clock of the queries: what joins the sum that the read-out is divided by (the sink of
    /// Xiao et al. 2023, arXiv 2309.17453, where it is a constant)
    pub sink: Option<Gate<T>>,
    /// the cortical area that it came from (empty when unknown)
    pub area: String,
}

/// A direct path `R x^s_i` from an earlier stream to the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual<T: Real = f64> {
    pub stream: String,
    /// `[d_model_out, d_stream]`
    pub matrix: DMatrix<T>,
}

/// Heads that end on one relay.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<T: Real = f64> {
    /// the relay that ends the block; its output is the stream of that name
    pub relay: String,
    /// width of the output
    pub d_model: usize,
    /// stream whose clock the output has
    pub clock_stream: String,
    pub heads: Vec<Head<T>>,
    pub residual: Vec<Residual<T>>,
    /// `[d_model]`
    pub b_o: DVector<T>,
}

impl Kernel {
    /// `linear`, `exp`, `power`, `feature` or `function`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Exp => "exp",
            Self::Power(_) => "power",
            Self::Feature { .. } => "feature",
            Self::Function => "function",
        }
    }
}

impl Normalisation {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sum => "sum",
        }
    }
}

impl<T: Real> Memory<T> {
    /// `none`, `hebbian`, `decay`, `delta` or `gated`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hebbian => "hebbian",
            Self::Decay(_) => "decay",
            Self::Delta(_) => "delta",
            Self::Gated { .. } => "gated",
        }
    }

    /// The gate of a gated memory or of a gated write strength.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate<T>> {
        match self {
            Self::Gated { gate, .. } | Self::Delta(Rate::Gate(gate)) => Some(gate),
            Self::None | Self::Hebbian | Self::Decay(_) | Self::Delta(Rate::Constant(_)) => None,
        }
    }
}

impl<T: Real> Head<T> {
    /// Width of keys and queries.
    #[must_use]
    pub fn d_key(&self) -> usize {
        self.w_k.nrows()
    }

    /// Width of values.
    #[must_use]
    pub fn d_value(&self) -> usize {
        self.w_v.nrows()
    }
}
