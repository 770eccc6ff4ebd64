//! What a circuit is, for the evaluator: cells, compartments and dense weights.

/// Which context tokens `j` a query token `i` sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    Full,
    /// `j <= i`
    Causal,
    /// `j < i`
    Strict,
    /// `|i - j| <= W`
    FullWindow(usize),
    /// `i - W < j <= i`
    CausalWindow(usize),
    /// `i - W <= j < i`
    StrictWindow(usize),
}

impl Mask {
    /// Whether query `i` sees context token `j`.
    #[must_use]
    pub fn sees(self, i: usize, j: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Causal => j <= i,
            Self::Strict => j < i,
            Self::FullWindow(w) => i.abs_diff(j) <= w,
            Self::CausalWindow(w) => j <= i && i < j + w,
            Self::StrictWindow(w) => j < i && i <= j + w,
        }
    }

    /// Whether it keeps only tokens that are near.
    #[must_use]
    pub fn has_window(self) -> bool {
        matches!(self, Self::FullWindow(_) | Self::CausalWindow(_) | Self::StrictWindow(_))
    }
}

/// A token stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamData {
    pub d_model: usize,
    /// each `d_model` wide
    pub tokens: Vec<Vec<f64>>,
}

/// The rectified half of a signal that a relay sends: `max(x, 0)` or `max(-x, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Plus,
    Minus,
}

/// Where the numbers of a population come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// tokens of a stream (an index into [`Net::streams`])
    Input { stream: usize, part: Option<Part> },
    /// the same number for ever; `tonic` is `Constant(1.0)`
    Constant(f64),
    /// compartments and an activation
    Cells,
}

/// How basal and apical make a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// basal x apical
    Product,
    /// the others are functions of basal + apical
    Linear,
    Relu,
    Exp,
    EluPlusOne,
    Sigmoid,
    Sign,
    /// of whole exponents on all inputs, of others on inputs from 0 on
    Power(f64),
    /// on inputs from 0 on
    Sqrt,
    Tanh,
    /// x sigmoid(x)
    Silu,
    /// x Phi(x), Phi the distribution function of the normal law
    Gelu,
    /// x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    GeluTanh,
    /// sin(x)
    Sine,
}

/// How a population folds its rate `r` over the context, in token order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accumulate {
    /// `S += rate r`
    Hebbian { rate: f64 },
    /// `S = g S + rate r`
    Decay { g: f64, rate: f64 },
    /// `S_ab += b (basal_ab - sum_b' S_ab' apical_ab') apical_ab`; without a rate, b is the gate compartment
    Delta { rate: Option<f64> },
    /// `S = gate S + r`
    Gated,
}

/// Cells with the same indices; cell `column * n_cells + cell` is `cell` of microcolumn `column`.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    pub name: String,
    pub n_microcolumns: usize,
    pub n_cells: usize,
    pub has_query: bool,
    /// an accumulating population has this index and not `has_query`
    pub has_context: bool,
    /// number of query tokens; also of the states that an accumulating population sends
    pub query_clock: usize,
    /// number of context tokens
    pub context_clock: usize,
    pub kind: Kind,
    /// rectifies what a relay with inputs sends
    pub part: Option<Part>,
    pub activation: Activation,
    pub accumulate: Option<Accumulate>,
    /// of its area: which columns `(i, j)` exist, and which state a memory sends
    pub mask: Mask,
}

impl Population {
    /// Cells of all microcolumns.
    #[must_use]
    pub fn size(&self) -> usize {
        self.n_microcolumns * self.n_cells
    }
}

/// What a projection lands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compartment {
    Basal,
    Apical,
    /// of accumulating populations only
    Gate,
}

/// Synapses from one population to a compartment of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    pub name: String,
    /// index into [`Net::populations`]
    pub from: usize,
    /// index into [`Net::populations`]
    pub to: usize,
    pub compartment: Compartment,
    /// `[target cell][source cell]`, gain included
    pub weights: Vec<Vec<f64>>,
    /// the compartment is divided by the sum of these inputs
    pub divisive: bool,
    /// through a delay: it may close a loop
    pub delayed: bool,
    /// of a sum over context; otherwise that of the source
    pub mask: Option<Mask>,
}

/// A whole circuit.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    pub streams: Vec<StreamData>,
    /// each after all populations that project to it without a delay
    pub populations: Vec<Population>,
    pub projections: Vec<Projection>,
}

/// What a population sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// whether the first axis of `values` is a query index; for a memory it is, although the memory itself has none
    pub has_query: bool,
    /// whether the second axis of `values` is a context index
    pub has_context: bool,
    /// `[i][j][cell]`; an index that is absent has length 1; columns that the mask forbids hold zeros
    pub values: Vec<Vec<Vec<f64>>>,
}

/// A net that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct CellError {
    /// the population or projection
    pub place: String,
    pub reason: String,
}

impl CellError {
    pub(super) fn new(place: &str, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}
