//! Blocks of softmax heads, compared through what does not depend on the choice of gauge.
//!
//! A softmax head acts only through `B = scale W_K^T [W_Q b_Q]` and `P = W_O W_V`: what a key bias adds is the same for all
//! keys and divides out; weights that sum to 1 carry a value bias `b_V` to the output as it is, so it folds into
//! `b_O + W_O b_V` (not under a strict mask, whose first sum is empty: there P is `W_O [W_V b_V]`). Heads of equal B have equal
//! weights, so their P are summed. A comparison head by head that ignores this gives false answers.
//!
//! Equal parts mean equal functions. That unequal ones mean unequal functions is what running both has to show
//! ([`probe`](super::probe())).
//!
//! # Source
//! Our own derivation.

use super::scope::{OutOfScope, Side, widths};
use crate::attention::{Block, Head, Kernel, Mask, Memory, Normalisation};
use crate::linalg::{Operand, gemm_into};
use nalgebra::DMatrix;

/// Heads of one weight matrix B, from either block.
#[derive(Clone, Debug, PartialEq)]
pub struct SameScores {
    /// heads of either block, counted from 0
    pub heads_a: Vec<usize>,
    pub heads_b: Vec<usize>,
    /// `|B - B'| / |B|` where the group was paired with one of the other block that is only near
    pub scores: f64,
    /// `|sum P - sum P'|`
    pub values: f64,
    /// `|sum P|` of either block
    pub norm_a: f64,
    pub norm_b: f64,
}

/// How far two softmax blocks are apart in QK, OV, residual paths and bias.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxDistance {
    pub groups: Vec<SameScores>,
    /// relative distance of all groups: unequal OV, and OV whose QK differs weighed by how much that is
    pub attention: f64,
    /// relative distance of residual paths, the largest of all streams
    pub residual: f64,
    /// `|b_O + sum W_O b_V - ...|`, relative
    pub bias: f64,
}

impl SoftmaxDistance {
    /// The largest of the three.
    #[must_use]
    pub fn relative(&self) -> f64 {
        self.attention.max(self.residual).max(self.bias)
    }
}

/// Whether a head is softmax attention.
#[must_use]
pub fn is_softmax(head: &Head) -> bool {
    head.kernel == Kernel::Exp
        && head.normalisation == Normalisation::Sum
        && head.mask.window().is_none()
        && head.sink.is_none()
        && matches!(head.memory, Memory::None | Memory::Hebbian)
}

/// The same function of softmax heads without key biases, and with value biases in the output bias.
#[must_use]
pub fn softmax_folded(block: &Block) -> Block {
    let mut out = block.clone();
    for head in out.heads.iter_mut().filter(|h| is_softmax(h)) {
        head.b_k.fill(0.0);
        if head.mask != Mask::Strict {
            out.b_o += &head.w_o * &head.b_v;
            head.b_v.fill(0.0);
        }
    }
    out
}

/// Distance of two blocks of softmax heads; groups of heads are those whose B agree to `tolerance` (relative).
///
/// Cost O(H^2 r^2 D) for all pairs of heads and O(r D^2) for the pairs that are nearly equal.
///
/// # Errors
/// [`OutOfScope`] names a head that is no softmax head, or widths that do not fit.
pub fn softmax_distance(a: &Block, b: &Block, tolerance: f64) -> Result<SoftmaxDistance, OutOfScope> {
    widths(a, b)?;
    for (block, side) in [(a, Side::A), (b, Side::B)] {
        if let Some(head) = block.heads.iter().position(|h| !is_softmax(h)) {
            return Err(OutOfScope::Head { block: side, head, what: "it is no softmax head".into() });
        }
    }
    let summands = carried(a).max(carried(b));
    let (a, b) = (softmax_folded(a), softmax_folded(b));
    let heads: Vec<(Side, usize, &Head)> = super::groups::heads(&a, &b).collect();
    let scores: Vec<Product> = heads.iter().map(|(_, _, h)| Product::scores(h)).collect();
    let sizes: Vec<f64> = scores.iter().map(Product::norm).collect();

    // Groups of equal B.
    let limit = tolerance.max(FLOOR);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, (_, _, h)) in heads.iter().enumerate() {
        let same = |j: &usize| {
            alike(h, heads[*j].2) && gap(&scores[i], &scores[*j], sizes[i], sizes[*j], limit) <= limit
        };
        match groups.iter_mut().find(|g| same(&g[0])) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    let mut found: Vec<SameScores> = groups.iter().map(|g| summed(g, &heads)).collect();
    let total = found.iter().map(|g| g.norm_a.powi(2)).sum::<f64>().sqrt();
    let total = if total > 0.0 { total } else { found.iter().map(|g| g.norm_b.powi(2)).sum::<f64>().sqrt() };
    pair_up(&mut found, &groups, &heads, &scores, &sizes);

    let squares: f64 =
        found.iter().map(|g| g.values.powi(2) + g.scores.min(1.0).powi(2) * g.norm_a * g.norm_b).sum();
    let attention = if squares > 0.0 { squares.sqrt() / total } else { 0.0 };
    let streams = a.residual.iter().chain(&b.residual).map(|p| p.stream.as_str());
    let mut streams: Vec<&str> = streams.collect();
    streams.sort_unstable();
    streams.dedup();
    let path = |block: &Block, stream: &str, width: usize| {
        let zero = DMatrix::zeros(block.d_model, width);
        block.residual.iter().filter(|p| p.stream == stream).fold(zero, |sum, p| sum + &p.matrix)
    };
    let relative = |apart: f64, size: f64| if apart > 0.0 { apart / size } else { 0.0 };
    let mut residual = 0.0f64;
    for stream in streams {
        let width =
            a.residual.iter().chain(&b.residual).find(|p| p.stream == stream).map_or(0, |p| p.matrix.ncols());
        let (x, y) = (path(&a, stream, width), path(&b, stream, width));
        residual = residual.max(relative((&x - &y).norm(), x.norm().max(y.norm())));
    }
    // A bias may cancel what values carry to it: rounding is measured by what was added up.
    let gap = (&a.b_o - &b.b_o).norm();
    let bias = if gap <= FLOOR * summands { 0.0 } else { relative(gap, a.b_o.norm().max(b.b_o.norm())) };
    Ok(SoftmaxDistance { groups: found, attention, residual, bias })
}

/// `|b_O| + sum |W_O b_V|`, what a folded output bias is the sum of.
fn carried(block: &Block) -> f64 {
    let values = block.heads.iter().filter(|h| h.mask != Mask::Strict).map(|h| (&h.w_o * &h.b_v).norm());
    block.b_o.norm() + values.sum::<f64>()
}

/// Relative distances of two softmax heads, `|B - B'| / |B|` and `|P - P'| / |P|`; biases as in [`softmax_distance`].
#[must_use]
pub fn softmax_head_distance(f: &Head, g: &Head) -> [f64; 2] {
    let fold = |h: &Head| {
        let mut h = h.clone();
        h.b_k.fill(0.0);
        if h.mask != Mask::Strict {
            h.b_v.fill(0.0);
        }
        h
    };
    let (f, g) = (fold(f), fold(g));
    [Product::scores, Product::values].map(|of| {
        let (x, y) = (of(&f), of(&g));
        if x.shape() != y.shape() {
            return 1.0;
        }
        let (n, m) = (x.norm(), y.norm());
        let size = if n > 0.0 { n } else { m };
        if size > 0.0 { difference(&[(&x, 1.0), (&y, -1.0)]) / size } else { 0.0 }
    })
}

/// Rounding of a difference of products.
const FLOOR: f64 = 1e-13;

/// Heads that can have the same weights if their B agree.
fn alike(f: &Head, g: &Head) -> bool {
    f.mask == g.mask && f.query_stream == g.query_stream && f.context_stream == g.context_stream
}

/// What the heads of a group do with their common weights.
fn summed(group: &[usize], heads: &[(Side, usize, &Head)]) -> SameScores {
    let of =
        |side: Side| group.iter().filter(|i| heads[**i].0 == side).map(|i| heads[*i].1).collect::<Vec<_>>();
    let (mut apart, mut norms) = (0.0f64, [0.0f64; 2]);
    // Values of another stream are other values.
    let mut streams: Vec<&str> = group.iter().map(|i| heads[*i].2.value_stream.as_str()).collect();
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        let members: Vec<(Side, Product)> = group
            .iter()
            .filter(|i| heads[**i].2.value_stream == stream)
            .map(|i| (heads[*i].0, Product::values(heads[*i].2)))
            .collect();
        let signed = |of_a: f64, of_b: f64| {
            let terms: Vec<(&Product, f64)> = members
                .iter()
                .map(|(side, p)| (p, if *side == Side::A { of_a } else { of_b }))
                .filter(|(_, sign)| *sign != 0.0)
                .collect();
            difference(&terms)
        };
        apart = apart.hypot(signed(1.0, -1.0));
        norms = [norms[0].hypot(signed(1.0, 0.0)), norms[1].hypot(signed(0.0, 1.0))];
    }
    SameScores {
        heads_a: of(Side::A),
        heads_b: of(Side::B),
        scores: 0.0,
        values: apart,
        norm_a: norms[0],
        norm_b: norms[1],
    }
}

/// Joins a group of one block that found no partner with the nearest such group of the other block.
fn pair_up(
    found: &mut Vec<SameScores>,
    groups: &[Vec<usize>],
    heads: &[(Side, usize, &Head)],
    scores: &[Product],
    sizes: &[f64],
) {
    let alone = |g: &SameScores, a: bool| if a { g.heads_b.is_empty() } else { g.heads_a.is_empty() };
    let mut near: Vec<(f64, usize, usize)> = Vec::new();
    for (x, _) in found.iter().enumerate().filter(|(_, g)| alone(g, true)) {
        for (y, _) in found.iter().enumerate().filter(|(_, g)| alone(g, false)) {
            let (i, j) = (groups[x][0], groups[y][0]);
            if alike(heads[i].2, heads[j].2) {
                near.push((gap(&scores[i], &scores[j], sizes[i], sizes[j], 1.0), x, y));
            }
        }
    }
    near.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)).then(x.2.cmp(&y.2)));
    let mut gone = vec![false; found.len()];
    let mut taken = vec![false; found.len()];
    for (gap, x, y) in near {
        if gap >= 1.0 || taken[x] || taken[y] {
            continue;
        }
        (taken[x], taken[y], gone[y]) = (true, true, true);
        let all: Vec<usize> = groups[x].iter().chain(&groups[y]).copied().collect();
        found[x] = SameScores { scores: gap, ..summed(&all, heads) };
    }
    let mut at = 0;
    found.retain(|_| {
        at += 1;
        !gone[at - 1]
    });
}

/// `|B - B'|` over the larger of the two; exact only below `limit` or where the plain sum does not cancel.
fn gap(x: &Product, y: &Product, n: f64, m: f64, limit: f64) -> f64 {
    let size = n.max(m);
    if size == 0.0 {
        return 0.0;
    }
    if x.shape() != y.shape() {
        return 1.0;
    }
    let plain = (n * n + m * m - 2.0 * x.inner(y)).max(0.0).sqrt() / size;
    // The plain sum of squares has a floor of about 1e-8.
    if plain > 1e-6 && plain > limit { plain } else { difference(&[(x, 1.0), (y, -1.0)]) / size }
}

/// `c L^T R`, kept as factors.
struct Product {
    /// `[r, rows]`
    left: DMatrix<f64>,
    /// `[r, columns]`
    right: DMatrix<f64>,
}

impl Product {
    /// `B = scale W_K^T [W_Q b_Q]`
    fn scores(h: &Head) -> Self {
        let mut right = h.w_q.clone().insert_column(h.w_q.ncols(), 0.0);
        right.set_column(h.w_q.ncols(), &h.b_q);
        Self { left: &h.w_k * h.scale, right }
    }

    /// `P = W_O [W_V b_V]`
    fn values(h: &Head) -> Self {
        let mut right = h.w_v.clone().insert_column(h.w_v.ncols(), 0.0);
        right.set_column(h.w_v.ncols(), &h.b_v);
        Self { left: h.w_o.transpose(), right }
    }

    fn shape(&self) -> (usize, usize) {
        (self.left.ncols(), self.right.ncols())
    }

    fn norm(&self) -> f64 {
        self.inner(self).max(0.0).sqrt()
    }

    /// Frobenius inner product, O(r^2 D).
    fn inner(&self, other: &Self) -> f64 {
        let outer = |x: &DMatrix<f64>, y: &DMatrix<f64>| {
            let mut out = DMatrix::zeros(x.nrows(), y.nrows());
            crate::linalg::gemm(&mut out, 1.0, x, false, y, true, 0.0);
            out
        };
        outer(&self.left, &other.left).dot(&outer(&self.right, &other.right))
    }
}

/// Rows of a product that are written out at a time.
const ROWS: usize = 64;

/// `|sum of sign L^T R|`, row block by row block: no cancellation but that of the numbers themselves.
fn difference(terms: &[(&Product, f64)]) -> f64 {
    let Some((first, _)) = terms.first() else { return 0.0 };
    let (rows, columns) = first.shape();
    let mut norm = 0.0f64;
    let mut block = vec![0.0; ROWS * columns];
    for start in (0..rows).step_by(ROWS) {
        let n = ROWS.min(rows - start);
        let out = &mut block[..n * columns];
        out.fill(0.0);
        for (p, sign) in terms {
            let left = Operand::columns(&p.left, start, n).t();
            gemm_into(out, *sign, left, Operand::of(&p.right), 1.0);
        }
        let largest = out.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        if largest > 0.0 {
            let sum: f64 = out.iter().map(|x| (x / largest).powi(2)).sum();
            norm = norm.hypot(largest * sum.sqrt());
        }
    }
    norm
}
