//! What the comments of the file say, and the words for a head.

use super::super::model::Distance;
use super::Wiring;
use super::plan::Plan;
use crate::attention::{Head, Kernel, Mask, Normalisation};
use nalgebra::DVector;

/// Whether a bias has to be written: any number but a positive zero.
pub(super) fn is_given(b: &DVector<f64>) -> bool {
    b.iter().any(|x| x.to_bits() != 0)
}

/// No score cell is needed.
pub(super) fn is_plain(h: &Head) -> bool {
    h.kernel == Kernel::Linear && h.normalisation == Normalisation::None
}

pub(super) fn kind(h: &Head) -> &'static str {
    match (h.kernel, h.normalisation) {
        (Kernel::Exp, Normalisation::Sum) => "softmax",
        (Kernel::Exp, Normalisation::None) => "exponential",
        (Kernel::Power(_), _) => "polynomial",
        (_, Normalisation::Sum) => "normalised linear",
        _ => "linear",
    }
}

/// `, gain: ...` for a scale other than 1.
pub(super) fn gain(h: &Head, named: bool) -> String {
    #[allow(clippy::cast_precision_loss)]
    let root = 1.0 / (h.d_key() as f64).sqrt();
    if h.scale.to_bits() == 1f64.to_bits() {
        String::new()
    } else if h.scale.to_bits() == root.to_bits() {
        let d_k = if named { "$d_k".to_owned() } else { h.d_key().to_string() };
        format!(", gain: {{inv_sqrt: {d_k}}}")
    } else {
        format!(", gain: {:?}", h.scale)
    }
}

/// What is done to keys and queries before their product.
fn prepared(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(norm) = &plan.beyond.norm {
        let mean = if norm.centred { "less their mean, " } else { "" };
        lines.push(format!("normed       keys and queries, {mean}over the root of their mean square, which an interneuron holds"));
    }
    if let Some(rotary) = &plan.beyond.rotary {
        let d = plan.shared(Head::d_key);
        let some =
            if d == Some(rotary.dims) { String::new() } else { format!("the first {} of ", rotary.dims) };
        lines.push(format!(
            "turned       {some}k_j and q_i, each turned by the angle of its place: cosine and sine on apical"
        ));
        lines.push("             dendrites, the cell and its quarter turn on basal ones".to_owned());
        if let Some(n) = rotary.length {
            lines.push(format!("             (frequencies as they are for {n} tokens)"));
        }
    }
    lines
}

/// What is done to scores before they are exponentiated.
fn placed(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(cap) = plan.beyond.softcap {
        lines.push(format!("cap          {cap:?} tanh(gain k_j . q_i / {cap:?})"));
    }
    match &plan.beyond.distance {
        None => {}
        Some(Distance::Slopes(_)) => lines.push(
            "distance     slope x j; slope x i is the same for all j and cancels in the quotient".to_owned(),
        ),
        Some(_) => lines.push("distance     a number for each pair of places i, j".to_owned()),
    }
    lines
}

/// What the cells compute, as comments.
pub(super) fn equations(plan: &Plan) -> Vec<String> {
    let bias = |of: fn(&Head) -> &DVector<f64>, name: &str| {
        if plan.areas.iter().any(|a| is_given(of(a.head))) { format!(" + {name}") } else { String::new() }
    };
    let k = format!("k_j = W_K x_j{}", bias(|h| &h.b_k, "b_K"));
    let q = format!("q_i = W_Q x_i{}", bias(|h| &h.b_q, "b_Q"));
    let v = format!("v_j = W_V x_j{}", bias(|h| &h.b_v, "b_V"));
    let residual = if plan.block.residual.is_empty() { "" } else { "skip + " };
    let b_o = if is_given(&plan.block.b_o) { "b_O + " } else { "" };
    let last = format!("y_i = {residual}{b_o}sum over areas of W_O u_i");
    let over = if plan.block.heads.iter().all(|h| h.mask == Mask::Full) {
        "all j"
    } else {
        "the tokens j of its mask"
    };
    let scored = plan.areas.iter().any(|a| !is_plain(a.head));
    let mut lines = vec![format!("{k},  {q},  {v}")];
    lines.extend(prepared(plan));
    match plan.wiring {
        Wiring::KeyValueMemory => {
            lines.push(format!("superficial  M = sum of v_j k_j^T over {over}, written as the tokens come"));
            lines.push("deep         M q_i, summed over each microcolumn: u_i".to_owned());
        }
        Wiring::AttentionMask if !scored => {
            lines.push("superficial  k_j * q_i, cell by cell; A sums its cells".to_owned());
            lines.push(format!("deep         (k_j . q_i) v_j, summed over {over}: u_i"));
        }
        Wiring::AttentionMask => {
            lines.push("superficial  k_j * q_i, cell by cell; beta sums its cells".to_owned());
            let kernels: Vec<Kernel> = plan.areas.iter().map(|a| a.head.kernel).collect();
            let score = match kernels.first() {
                Some(Kernel::Exp) if kernels.iter().all(|k| *k == Kernel::Exp) => {
                    "exp(gain k_j . q_i)".to_owned()
                }
                Some(Kernel::Power(n)) if kernels.iter().all(|k| *k == Kernel::Power(*n)) => {
                    format!("(gain k_j . q_i)^{n}")
                }
                _ => "f(gain k_j . q_i), f the activation of `score`".to_owned(),
            };
            lines.extend(placed(plan));
            let score =
                if plan.beyond.softcap.is_some() { score.replace("gain k_j . q_i", "cap") } else { score };
            let score =
                if plan.beyond.distance.is_some() { score.replace(')', " + distance)") } else { score };
            lines.push(format!("score, deep  s_ij = {score};  s_ij v_j, summed over {over}"));
            if plan.areas.iter().any(|a| a.head.normalisation == Normalisation::Sum) {
                let sink = if plan.beyond.sinks.is_some() { " and a tonic sink" } else { "" };
                lines.push(format!(
                    "readout      u_i = sum of s_ij v_j / sum of s_ij{sink}: divisive inhibition by `total`"
                ));
            }
        }
    }
    lines.push(last);
    lines
}
