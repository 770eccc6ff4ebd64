//! Which blocks the certificate is about, and which of their streams share a clock.
//!
//! `f_i = sum_j g^(i-j) sum_h W_O W_V x_j (x_j^T W_K^T W_Q x_i)`: linear kernel, no division, and a memory that forgets
//! at a constant rate or not at all. Delta and gated memories, kernels and softmax have smaller gauge groups, and
//! equality of their matrices is not equality of functions; callers compare those by running them.

use crate::attention::{Block, FeatureMap, Head, Kernel, Mask, Memory, Normalisation};
use std::collections::BTreeMap;
use std::fmt;

/// One of the two blocks of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    A,
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::A { "A" } else { "B" })
    }
}

/// Why two blocks have no certificate; heads count from 0.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutOfScope {
    /// The head is no linear head; run the blocks instead.
    #[error("block {block}, head {head}: {what}, so equality of matrices does not decide")]
    Head { block: Side, head: usize, what: String },

    /// The blocks are not functions between the same spaces, or their matrices do not fit each other.
    #[error("{what}")]
    Widths { what: String },

    #[error("{what} has a number that is not finite")]
    NotFinite { what: String },
}

/// Streams joined where one must have as many tokens as the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    parent: BTreeMap<String, String>,
}

impl Clocks {
    /// What the two blocks say: queries and residual paths are on the clock of the output, values on that of the
    /// keys, and causal and strict masks need keys on the clock of the queries.
    ///
    /// Streams that nothing joins may differ in length, so they count as different clocks.
    pub fn of(a: &Block, b: &Block) -> Self {
        let mut clocks = Self::default();
        clocks.join(&a.clock_stream, &b.clock_stream);
        for block in [a, b] {
            for path in &block.residual {
                clocks.join(&path.stream, &block.clock_stream);
            }
            for head in &block.heads {
                clocks.join(&head.query_stream, &block.clock_stream);
                clocks.join(&head.value_stream, &head.context_stream);
                if let Some(sink) = &head.sink {
                    clocks.join(&sink.stream, &head.query_stream);
                }
                if let Some(gate) = head.memory.gate() {
                    clocks.join(&gate.stream, &head.context_stream);
                }
                if head.mask != Mask::Full {
                    clocks.join(&head.context_stream, &head.query_stream);
                }
            }
        }
        clocks
    }

    /// The name that stands for all streams of this clock.
    pub fn root(&self, stream: &str) -> String {
        let mut at = stream;
        while let Some(next) = self.parent.get(at) {
            at = next;
        }
        at.to_owned()
    }

    fn join(&mut self, x: &str, y: &str) {
        let (x, y) = (self.root(x), self.root(y));
        if x != y {
            self.parent.insert(x, y);
        }
    }
}

/// The decay of a head that is in scope, 1 without.
pub(super) fn decay(head: &Head) -> f64 {
    if let Memory::Decay(g) = head.memory { g } else { 1.0 }
}

/// Refuses blocks without a certificate; gives the clocks and the width of every stream.
pub(super) fn check(a: &Block, b: &Block) -> Result<(Clocks, BTreeMap<String, usize>), OutOfScope> {
    for (side, block) in [(Side::A, a), (Side::B, b)] {
        for (head, h) in block.heads.iter().enumerate() {
            let fail = |what: String| Err(OutOfScope::Head { block: side, head, what });
            let identity = Kernel::Feature { key: FeatureMap::Identity, query: FeatureMap::Identity };
            if h.kernel != Kernel::Linear && h.kernel != identity {
                return fail(format!("its kernel is {}", h.kernel.name()));
            }
            if h.normalisation != Normalisation::None {
                return fail("it divides by the sum of its scores".into());
            }
            if h.mask.window().is_some() {
                return fail(format!("its mask has a window ({})", h.mask.name()));
            }
            match h.memory {
                Memory::None | Memory::Hebbian => {}
                Memory::Decay(g) if g > 0.0 && g <= 1.0 => {}
                Memory::Decay(g) => return fail(format!("its decay {g} is not in (0, 1]")),
                _ => return fail(format!("its memory is {}", h.memory.name())),
            }
        }
    }
    Ok((Clocks::of(a, b), widths(a, b)?))
}

/// The width of every stream; every shape is checked.
pub(super) fn widths(a: &Block, b: &Block) -> Result<BTreeMap<String, usize>, OutOfScope> {
    let bad = |what: String| Err(OutOfScope::Widths { what });
    if a.d_model != b.d_model {
        return bad(format!("the outputs are {} and {} wide", a.d_model, b.d_model));
    }
    let mut widths: BTreeMap<String, usize> = BTreeMap::new();
    let mut stream = |name: &str, width: usize, who: &str| {
        let known = *widths.entry(name.to_owned()).or_insert(width);
        if known == width {
            return Ok(());
        }
        Err(OutOfScope::Widths {
            what: format!("{who} reads {width} numbers of stream `{name}`, others {known}"),
        })
    };
    for (side, block) in [(Side::A, a), (Side::B, b)] {
        let mut numbers = vec![("b_O".to_owned(), block.b_o.iter().all(|x| x.is_finite()))];
        if block.b_o.len() != block.d_model {
            return bad(format!(
                "block {side}: b_O has {} rows, the output {}",
                block.b_o.len(),
                block.d_model
            ));
        }
        for (r, path) in block.residual.iter().enumerate() {
            let who = format!("residual {r}");
            stream(&path.stream, path.matrix.ncols(), &format!("block {side}, {who}"))?;
            if path.matrix.nrows() != block.d_model {
                return bad(format!("block {side}, {who}: {} rows", path.matrix.nrows()));
            }
            numbers.push((who, path.matrix.iter().all(|x| x.is_finite())));
        }
        for (i, h) in block.heads.iter().enumerate() {
            let who = format!("block {side}, head {i}");
            stream(&h.query_stream, h.w_q.ncols(), &who)?;
            stream(&h.context_stream, h.w_k.ncols(), &who)?;
            stream(&h.value_stream, h.w_v.ncols(), &who)?;
            for gate in h.memory.gate().into_iter().chain(&h.sink) {
                stream(&gate.stream, gate.features.ncols(), &who)?;
            }
            let (d_k, d_v) = (h.w_k.nrows(), h.w_v.nrows());
            let fits = h.w_q.nrows() == d_k && h.b_q.len() == d_k && h.b_k.len() == d_k && h.b_v.len() == d_v;
            if !fits || h.w_o.shape() != (block.d_model, d_v) {
                return bad(format!("{who}: its matrices do not fit each other"));
            }
            let matrices = [&h.w_q, &h.w_k, &h.w_v, &h.w_o].into_iter().flat_map(|m| m.iter());
            let vectors = [&h.b_q, &h.b_k, &h.b_v].into_iter().flat_map(|v| v.iter());
            let finite = matrices.chain(vectors).chain([&h.scale]).all(|x| x.is_finite());
            numbers.push((format!("head {i}"), finite));
        }
        if let Some((what, _)) = numbers.into_iter().find(|(_, finite)| !finite) {
            return Err(OutOfScope::NotFinite { what: format!("block {side}, {what}") });
        }
    }
    Ok(widths)
}
