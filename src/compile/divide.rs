//! Normalised heads: is the divisor the sum of the head's own weights?

use super::atoms::Atom;
use super::components::Component;
use super::factor::Factors;
use super::heads::Group;
use super::rank::Rank1;
use super::reason::Reason;
use super::term::Fold;
use std::collections::BTreeMap;

impl Factors<'_> {
    /// divisor = ratio x (sum of the head's own weights), or why not.
    pub(super) fn divisor_ratio(
        &self,
        group: &Group,
        c: &Component,
        rank: &Rank1,
        id: u32,
    ) -> Result<f64, Reason> {
        let wrong = |why| Err(Reason::Divisor { why });
        let divisor = &self.parts.divisors[id as usize];
        if divisor.sum != group.sum {
            return wrong("it is summed over another mask or memory");
        }
        if divisor.sink.is_some() {
            return wrong("it depends on one token, or has a constant");
        }
        if group.sum.fold == Fold::Gated {
            return wrong("gated memories have no normalised form");
        }
        let class = |a: Option<Atom>| a.map_or(u32::MAX, |a| self.parts.get(a).class);
        let mut weights: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for t in &divisor.terms {
            if t.score.is_some() || t.memory.is_some() || t.context[1].is_some() {
                return wrong("it pools other scores");
            }
            weights.insert((class(t.context[0]), class(t.query)), t.coefficient);
        }
        let rows: Vec<usize> = (0..c.rows.len()).filter(|i| rank.beta[*i] != 0.0).collect();
        if rows.len() != weights.len() {
            return wrong("it pools other scores");
        }
        let mut ratio: Option<f64> = None;
        for i in rows {
            let Some(w) = weights.get(&(class(c.rows[i].0), class(c.rows[i].1))) else {
                return wrong("it pools other scores");
            };
            let r = w / rank.beta[i];
            match ratio {
                None => ratio = Some(r),
                Some(first) if (r - first).abs() > 1e-12 * first.abs() => {
                    return wrong("it weighs the scores differently");
                }
                Some(_) => {}
            }
        }
        match ratio {
            Some(r) if r != 0.0 => Ok(r),
            _ => wrong("it is zero"),
        }
    }
}
