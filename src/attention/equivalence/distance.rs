//! The exact functional distance of two blocks: `dist^2 = <f - f', f - f'>`, from factors.
//!
//! **Theorem.** Two blocks of linear heads agree on all inputs of all lengths if and only if the tensors
//! `T_abce = sum_h P_h[a,b] B_h[c,e]`, symmetric in `(b, c)`, agree for every decay, and the residual paths and the output
//! biases agree. Two tokens decide (one more for each further decay); one token does not: it sees `T(x, x, x)` only,
//! in which keys and queries can trade places. At one fixed length N a constant term of attention, counted N times,
//! can hide in the output bias; here lengths vary, so it cannot.
//!
//! # Source
//! Our own derivation; closest prior work arXiv 2408.17221 and 2410.10101.

use super::aligned::aligned_square;
use super::gram::{CANCELLED, Gram, Slots, form, gram, own_token};
use super::groups::{Group, Part, heads, parts};
use super::number::{Number, Wide};
use super::scope::{OutOfScope, Side, check};
use super::stack::{Stack, Term, shifted};
use crate::attention::{Block, Head, Mask};
use nalgebra::DMatrix;
use std::collections::{BTreeMap, BTreeSet};

/// How a distance was summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// in `f64`
    Certificate,
    /// because the sum in `f64` cancelled: from differences of the factors of heads that are alike, in `f64`, or where
    /// that is not enough in double-doubles throughout
    CertificateCompensated,
    /// not from the weights: by running both blocks
    Probe,
}

impl Method {
    /// `certificate`, `certificate_compensated` or `probe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::CertificateCompensated => "certificate_compensated",
            Self::Probe => "probe",
        }
    }
}

/// What a distance of zero says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// equal on all inputs of all lengths
    AllLengths,
}

/// The size of a difference beside the size of what differs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gap {
    /// `|f - f'|`
    pub absolute: f64,
    /// `|f|`
    pub norm_a: f64,
    /// `|f'|`
    pub norm_b: f64,
}

/// One part of the attention that has to agree by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDistance {
    pub group: Group,
    /// the decay per token, 1 without
    pub decay: f64,
    /// query, context and value stream of the heads
    pub streams: BTreeSet<[String; 3]>,
    /// heads of either block, counted from 0
    pub heads_a: Vec<usize>,
    pub heads_b: Vec<usize>,
    pub gap: Gap,
    /// `(sum_h |f_h|^2)^1/2` of all heads of both blocks: larger than their sums where heads cancel
    pub summands: f64,
    pub method: Method,
}

/// How far two blocks are apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    pub groups: Vec<GroupDistance>,
    /// all groups
    pub attention: Gap,
    /// per stream, in the Frobenius norm
    pub residual: BTreeMap<String, Gap>,
    pub bias: Gap,
    /// everything; where a group [`Group::Own`] holds path and bias, they count there
    pub total: Gap,
    /// a group [`Group::Own`] holds heads with biases, so that they may stand in for path and output bias
    pub mixed: bool,
    pub method: Method,
    pub claim: Claim,
}

impl Gap {
    /// `|f - f'| / |f|`; over `|f'|` where `f` is nothing, and 0 where both are.
    #[must_use]
    pub fn relative(&self) -> f64 {
        let norm = if self.norm_a > 0.0 { self.norm_a } else { self.norm_b };
        if self.absolute > 0.0 { self.absolute / norm } else { 0.0 }
    }

    fn together<'a>(gaps: impl Iterator<Item = &'a Gap>) -> Self {
        gaps.fold(Self::default(), |all, gap| Self {
            absolute: all.absolute.hypot(gap.absolute),
            norm_a: all.norm_a.hypot(gap.norm_a),
            norm_b: all.norm_b.hypot(gap.norm_b),
        })
    }

    fn of_matrices(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Self {
        // Largest number first: squares of large weights would overflow.
        let top = a.amax().max(b.amax());
        if top == 0.0 {
            return Self::default();
        }
        let norm = |m: &DMatrix<f64>| (m / top).norm() * top;
        let absolute = (a / top - b / top).norm() * top;
        Self { absolute, norm_a: norm(a), norm_b: norm(b) }
    }
}

impl GroupDistance {
    /// Of its own size; what rounding leaves of heads that cancel is measured by the heads.
    #[must_use]
    pub fn relative(&self) -> f64 {
        if self.gap.absolute <= CANCELS * self.summands && self.gap.absolute > 0.0 {
            self.gap.absolute / self.summands
        } else {
            self.gap.relative()
        }
    }
}

/// A difference smaller than this fraction of the heads it is made of is rounding.
const CANCELS: f64 = 1e-14;

impl Distance {
    /// The largest relative difference of all parts that have to agree by themselves: heads by mask and decay, residual
    /// paths by stream, output bias. Each is measured by its own size, so that none hides behind another.
    ///
    /// A group [`Group::Own`] sums all three on one token. They have different degrees in it, so they still agree one by
    /// one, unless biases of heads mix the degrees: then that group stands for path and bias.
    #[must_use]
    pub fn relative(&self) -> f64 {
        let outside = self.residual.values().chain([&self.bias]).filter(|_| !self.mixed).map(Gap::relative);
        self.groups.iter().map(GroupDistance::relative).chain(outside).fold(0.0, f64::max)
    }

    /// `relative() <= tolerance`.
    #[must_use]
    pub fn is_within(&self, tolerance: f64) -> bool {
        self.relative() <= tolerance
    }
}

/// Distance of `a` and `b` as functions of their streams, for all lengths.
///
/// The inner product is that of the tensors over the token `[x^1; x^2; ...; 1]` of all streams, symmetric in key and
/// value. `none` and `hebbian` are the same function. Cost O(H^2 r^2 D).
///
/// # Errors
/// [`OutOfScope`] names the head that is not linear, or the widths that do not fit.
pub fn distance(a: &Block, b: &Block) -> Result<Distance, OutOfScope> {
    let (clocks, widths) = check(a, b)?;
    let groups: Vec<GroupDistance> = parts(a, b, &clocks).iter().map(of_part).collect();
    let attention = Gap::together(groups.iter().map(|g| &g.gap));
    let mut residual = BTreeMap::new();
    for path in a.residual.iter().chain(&b.residual) {
        let sum = |block: &Block| {
            let zero = DMatrix::zeros(block.d_model, widths[&path.stream]);
            block.residual.iter().filter(|p| p.stream == path.stream).fold(zero, |sum, p| sum + &p.matrix)
        };
        residual.entry(path.stream.clone()).or_insert_with(|| Gap::of_matrices(&sum(a), &sum(b)));
    }
    let column = |block: &Block| DMatrix::from_column_slice(block.d_model, 1, block.b_o.as_slice());
    let bias = Gap::of_matrices(&column(a), &column(b));
    let own = groups.iter().any(|g| g.group == Group::Own);
    let outside = residual.values().chain([&bias]).filter(|_| !own);
    let total = Gap::together(outside.chain([&attention]));
    let method = groups.iter().map(|g| g.method).max().unwrap_or(Method::Certificate);
    let biased = |h: &Head| [&h.b_q, &h.b_k, &h.b_v].iter().any(|b| b.iter().any(|x| *x != 0.0));
    let mixed = own && heads(a, b).any(|(_, _, h)| h.mask == Mask::Causal && biased(h));
    Ok(Distance { groups, attention, residual, bias, total, mixed, method, claim: Claim::AllLengths })
}

fn of_part(part: &Part<'_>) -> GroupDistance {
    let slots = if part.group == Group::Own { Slots::Own } else { Slots::Pair };
    let terms: Vec<&Term<'_>> = part.members.iter().map(|m| &m.term).collect();
    let stack =
        if slots == Slots::Own { Stack::balanced(&own_token(&terms)) } else { Stack::balanced(&terms) };
    let weights = |of_a: f64, of_b: f64| -> Vec<f64> {
        part.members.iter().map(|m| if m.side == Side::A { of_a } else { of_b }).collect()
    };
    let (squares, summands, method) =
        squares(&stack, slots, &[weights(1.0, -1.0), weights(1.0, 0.0), weights(0.0, 1.0)]);
    let size = |square: f64| shifted(square.max(0.0).sqrt(), stack.exponent);
    let heads = |side| part.members.iter().filter(|m| m.side == side).filter_map(|m| m.head).collect();
    GroupDistance {
        group: part.group,
        decay: part.decay,
        streams: part
            .members
            .iter()
            .filter(|m| m.head.is_some())
            .map(|m| [&m.term.q, &m.term.k, &m.term.v].map(|x| x.stream.clone().into_owned()))
            .collect(),
        heads_a: heads(Side::A),
        heads_b: heads(Side::B),
        gap: Gap { absolute: size(squares[0]), norm_a: size(squares[1]), norm_b: size(squares[2]) },
        summands: size(summands),
        method,
    }
}

/// Squared norms of the difference of two blocks and of either, for these weights of the heads of a stack; and the sum of
/// those of the heads.
fn squares(stack: &Stack, slots: Slots, weights: &[Vec<f64>; 3]) -> ([f64; 3], f64, Method) {
    fn sums<N: Number>(gram: &Gram<N>, slots: Slots, weights: &[Vec<f64>; 3]) -> [(f64, f64); 3] {
        weights.each_ref().map(|w| {
            let (sum, size) = form(gram, slots, w.len(), &|i, j| w[i] * w[j]);
            (sum.to_f64(), size)
        })
    }
    let plain = gram::<f64>(stack);
    let found = sums(&plain, slots, weights);
    let (own, _) = form(&plain, slots, weights[0].len(), &|i, j| if i == j { 1.0 } else { 0.0 });
    let own = own.to_f64();
    let decided = found.map(|(sum, size)| sum >= CANCELLED * size);
    let [_, (a, _), (b, _)] = found;
    if decided == [true; 3] {
        return (found.map(|(sum, _)| sum), own, Method::Certificate);
    }
    if slots == Slots::Pair
        && decided == [false, true, true]
        && let Some(square) = aligned_square(stack, &plain, &weights[0], a.max(b).sqrt())
    {
        return ([square, a, b], own, Method::CertificateCompensated);
    }
    let wide = sums(&gram::<Wide>(stack), slots, weights);
    (wide.map(|(sum, _)| sum.max(0.0)), own, Method::CertificateCompensated)
}
