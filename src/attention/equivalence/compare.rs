//! The verdict: certificate where there is one, else a look at the outputs.

use super::distance::{Distance, Method, distance};
use super::exact::{ExactDistance, exact_distance};
use super::matched::{HeadMatch, matched_heads};
use super::probe::{Input, Probed, gaussian_inputs, probe};
use super::scope::OutOfScope;
use super::softmax::{SoftmaxDistance, is_softmax, softmax_distance, softmax_folded, softmax_head_distance};
use crate::attention::{Block, Head};
use nalgebra::DVector;

/// How two blocks are to be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// largest relative distance that counts as equal
    pub tolerance: f64,
    /// run both on these, beside the drawn ones
    pub inputs: Vec<Input>,
    /// in exact arithmetic, where the weights are whole numbers
    pub exact: bool,
    /// seed of the drawn inputs
    pub seed: u64,
}

/// A head of each block, side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadRow {
    pub matched: HeadMatch,
    /// `|f - f'| / |f|` of the two heads by themselves; for softmax heads the larger of QK and OV, without what biases do
    /// not do; by running them where the head is neither
    pub relative: f64,
    /// of the outputs of the two heads by themselves, see [`Probed`]
    pub max_abs: f64,
    pub max_rel: f64,
    /// `max_abs` over the largest output of the whole blocks
    pub share: f64,
}

/// Everything that is known about the difference of two blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub equivalent: bool,
    /// the number that was held against the tolerance
    pub relative_distance: f64,
    pub method: Method,
    /// where all heads are linear
    pub certificate: Option<Distance>,
    pub exact: Option<ExactDistance>,
    /// why there is no certificate
    pub why_probe: Option<OutOfScope>,
    /// where all heads are softmax heads
    pub softmax: Option<SoftmaxDistance>,
    /// outputs on all inputs
    pub probed: Probed,
    /// the inputs, drawn ones last
    pub inputs: Vec<Input>,
    /// most alike first
    pub heads: Vec<HeadRow>,
}

/// Compares two blocks as functions of their streams.
///
/// Linear heads have a certificate for all inputs of all lengths. Otherwise the verdict is that of running both, and for
/// softmax heads that of QK and OV as well: both have to agree.
///
/// # Errors
/// [`OutOfScope::Widths`] and [`OutOfScope::NotFinite`]: blocks that are not functions of the same tokens.
pub fn compare(a: &Block, b: &Block, wish: &Wish) -> Result<Comparison, OutOfScope> {
    let mut inputs = wish.inputs.clone();
    inputs.extend(gaussian_inputs(a, b, wish.seed)?);
    let probed = probe(a, b, &inputs);
    let mut softmax = None;
    let mut why_probe = None;
    let certificate = match distance(a, b) {
        Ok(found) => Some(found),
        Err(OutOfScope::Head { block, head, what }) => {
            why_probe = Some(OutOfScope::Head { block, head, what });
            None
        }
        Err(e) => return Err(e),
    };
    if certificate.is_none() && a.heads.iter().chain(&b.heads).all(is_softmax) {
        softmax = Some(softmax_distance(a, b, wish.tolerance)?);
    }
    let exact = if wish.exact && certificate.is_some() { Some(exact_distance(a, b)?) } else { None };
    let (relative_distance, method) = match &certificate {
        Some(found) => (found.relative(), found.method),
        None => {
            let matrices = softmax.as_ref().map_or(0.0, SoftmaxDistance::relative);
            let outputs = if probed.one_failed { f64::INFINITY } else { probed.relative };
            let parts = if softmax.is_some() { 0.0 } else { apart(a, b, &inputs, wish.tolerance) };
            (outputs.max(matrices).max(parts), Method::Probe)
        }
    };
    let equivalent = match &exact {
        Some(ExactDistance::Exact(fraction)) => fraction.is_zero(),
        _ => relative_distance <= wish.tolerance && (certificate.is_some() || probed.ran > 0),
    };
    let heads = rows(a, b, &inputs, &probed)?;
    Ok(Comparison {
        equivalent,
        relative_distance,
        method,
        certificate,
        exact,
        why_probe,
        softmax,
        probed,
        inputs,
        heads,
    })
}

/// How far heads, residual paths and output bias are apart, each by its own size, where one of these agrees: in the sum of
/// all a small part would hide behind a large one. Heads that stand in for a path or a bias are seen in the sum only.
fn apart(a: &Block, b: &Block, inputs: &[Input], tolerance: f64) -> f64 {
    let paths = without_heads(a, b).map_or(f64::INFINITY, |d| d.relative());
    let heads = probe(&heads_of(a), &heads_of(b), inputs);
    let heads = if heads.one_failed { f64::INFINITY } else { heads.relative };
    if paths.min(heads) <= tolerance { paths.max(heads) } else { 0.0 }
}

/// Residual paths and output biases alone.
fn without_heads(a: &Block, b: &Block) -> Result<Distance, OutOfScope> {
    let bare = |block: &Block| Block { heads: Vec::new(), ..block.clone() };
    distance(&bare(a), &bare(b))
}

/// The heads alone.
fn heads_of(block: &Block) -> Block {
    Block { residual: Vec::new(), b_o: DVector::zeros(block.d_model), ..block.clone() }
}

/// Matched heads, each pair compared by itself.
fn rows(a: &Block, b: &Block, inputs: &[Input], whole: &Probed) -> Result<Vec<HeadRow>, OutOfScope> {
    // Biases that softmax does not see would spoil the match.
    let (fa, fb) = (softmax_folded(a), softmax_folded(b));
    let matched = matched_heads(&fa, &fb)?;
    let rows = matched.into_iter().map(|m| {
        let (x, y) = (alone(a, &fa.heads[m.a]), alone(b, &fb.heads[m.b]));
        let probed = probe(&x, &y, inputs);
        let (f, g) = (&x.heads[0], &y.heads[0]);
        let relative = if is_softmax(f) && is_softmax(g) {
            let [scores, values] = softmax_head_distance(f, g);
            if m.same_kind { scores.max(values) } else { probed.relative }
        } else {
            distance(&x, &y).map_or(probed.relative, |d| d.total.relative())
        };
        let share = if probed.max_abs > 0.0 { probed.max_abs / whole.size } else { 0.0 };
        HeadRow { matched: m, relative, max_abs: probed.max_abs, max_rel: probed.max_rel, share }
    });
    Ok(rows.collect())
}

/// One head without paths and output bias.
fn alone(block: &Block, head: &Head) -> Block {
    Block {
        relay: block.relay.clone(),
        d_model: block.d_model,
        clock_stream: block.clock_stream.clone(),
        heads: vec![head.clone()],
        residual: Vec::new(),
        b_o: DVector::zeros(block.d_model),
    }
}
