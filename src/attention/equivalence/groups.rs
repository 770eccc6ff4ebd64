//! Parts of the difference of two blocks that have to vanish one by one.
//!
//! - A full head gives `sum_j g^(N-j) T(x_j, x_j, x_i)`: lengths, and one token at a time, separate the decays and the
//!   clocks of the context, so each group has its own tensor.
//! - Causal heads give `sum_{j <= i} g^(i-j) T`, strict ones `sum_{j < i} g^(i-1-j) T`. A pair `j < i` sees `g T + T'` of the two
//!   together, `j = i` sees the causal heads of all decays at once, symmetric in all three slots and in sum with
//!   the residual path and the bias. Usually there are no strict heads beside causal ones, and if the pairs agree then
//!   so do the tokens themselves; else [`Group::Own`] is one more part, and it stands for path and bias too.
//! - Heads that read other streams share nothing, except what their biases do.

use super::scope::{Clocks, Side, decay};
use super::stack::Term;
use crate::attention::{Block, Head, Mask, Residual};
use nalgebra::{DMatrix, DVector};
use std::collections::BTreeMap;

/// What a part of the difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// heads with a full mask
    Full,
    /// causal heads
    Causal,
    /// strict heads
    Strict,
    /// causal and strict heads together on `j < i`
    Earlier,
    /// causal heads beside strict ones on `j = i`, with the residual path and the bias
    Own,
}

/// One head of either block in a group.
#[derive(Clone, Debug)]
pub(super) struct Member<'h> {
    pub side: Side,
    /// which head of its block; none for a residual path
    pub head: Option<usize>,
    pub term: Term<'h>,
}

/// The heads of a part.
#[derive(Clone, Debug)]
pub(super) struct Part<'h> {
    pub group: Group,
    pub decay: f64,
    pub members: Vec<Member<'h>>,
}

/// Decays closer than this are the same number computed in two ways.
const SAME_DECAY: f64 = 1e-14;

/// All heads of both blocks.
pub(super) fn heads<'a>(a: &'a Block, b: &'a Block) -> impl Iterator<Item = (Side, usize, &'a Head)> + Clone {
    let of = |side, block: &'a Block| block.heads.iter().enumerate().map(move |(i, h)| (side, i, h));
    of(Side::A, a).chain(of(Side::B, b))
}

/// The parts of `a - b`; the terms of `b` are not negated.
pub(super) fn parts<'h>(a: &'h Block, b: &'h Block, clocks: &Clocks) -> Vec<Part<'h>> {
    let mut decays: Vec<f64> = heads(a, b).map(|(_, _, h)| decay(h)).collect();
    decays.sort_by(f64::total_cmp);
    decays.dedup_by(|next, kept| (*next - *kept).abs() <= SAME_DECAY);
    let index = |h: &Head| decays.iter().rposition(|g| *g <= decay(h)).unwrap_or(0);

    let both = is_mixed(a, b);
    let mut groups: BTreeMap<(bool, String, usize), Vec<(Member<'h>, Mask)>> = BTreeMap::new();
    for (side, i, h) in heads(a, b) {
        let key = (h.mask != Mask::Full, clocks.root(&h.context_stream), index(h));
        let member = Member { side, head: Some(i), term: Term::of(h, 1.0) };
        groups.entry(key).or_default().push((member, h.mask));
    }
    let mut out = Vec::new();
    for ((_, _, g), members) in groups {
        let has = |mask| members.iter().any(|(_, m)| *m == mask);
        let group = match (has(Mask::Full), has(Mask::Causal), has(Mask::Strict)) {
            (true, ..) => Group::Full,
            (_, true, true) => Group::Earlier,
            (_, true, false) => Group::Causal,
            _ => Group::Strict,
        };
        let faded = members.into_iter().map(|(mut m, mask)| {
            if group == Group::Earlier && mask == Mask::Causal {
                m.term.coefficient *= decays[g];
            }
            m
        });
        for members in connected(faded.collect()) {
            out.push(Part { group, decay: decays[g], members });
        }
    }
    if both {
        let causal = heads(a, b).filter(|(_, _, h)| h.mask == Mask::Causal);
        let own = causal.map(|(side, i, h)| Member { side, head: Some(i), term: Term::of(h, 1.0) });
        let members = own.chain(paths(a, Side::A)).chain(paths(b, Side::B)).collect();
        out.push(Part { group: Group::Own, decay: 1.0, members });
    }
    out
}

/// Whether causal and strict heads meet, within a block or across.
fn is_mixed(a: &Block, b: &Block) -> bool {
    let has = |mask| heads(a, b).any(|(_, _, h)| h.mask == mask);
    has(Mask::Causal) && has(Mask::Strict)
}

/// Residual paths as heads; the first carries the bias.
fn paths(block: &Block, side: Side) -> Vec<Member<'static>> {
    path_terms(block, 1.0).into_iter().map(|term| Member { side, head: None, term }).collect()
}

/// The same as terms.
pub(super) fn path_terms(block: &Block, factor: f64) -> Vec<Term<'static>> {
    let none = DVector::zeros(block.d_model);
    let bias = Residual { stream: block.clock_stream.clone(), matrix: DMatrix::zeros(block.d_model, 0) };
    let paths = block.residual.iter().map(|p| Term::path(p, &none, factor));
    let mut terms: Vec<Term<'static>> = paths.collect();
    if let Some(first) = block.residual.first() {
        terms[0] = Term::path(first, &block.b_o, factor);
    } else {
        terms.push(Term::path(&bias, &block.b_o, factor));
    }
    terms
}

/// Members that can have something in common, in order of their first.
fn connected(members: Vec<Member<'_>>) -> Vec<Vec<Member<'_>>> {
    let mut out: Vec<Vec<Member<'_>>> = Vec::new();
    for member in members {
        let (mut joined, apart): (Vec<_>, Vec<_>) =
            out.into_iter().partition(|g| g.iter().any(|m| m.term.touches(&member.term)));
        out = apart;
        let mut all: Vec<Member<'_>> = joined.drain(..).flatten().collect();
        all.push(member);
        out.push(all);
    }
    out
}
