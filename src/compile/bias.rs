//! Biases in plus/minus circuits.
//!
//! A signed form k with bias b arrives as two halves: `(|k| + k) / 2 + b+` in one population, `(|k| - k) / 2 + b-` in
//! another. Neither knows the other's bias, so each keeps its own as a constant that is marked as the bias of k. In a
//! difference of halves `|k|` cancels and the mark stands beside its form with coefficient `b+ - b- = b`; only then
//! the two become one form, k + b.

use super::atoms::{Atom, Origin, Parts};
use super::hash::HashMap;
use super::term::{Term, TermKey};
use super::value::Linear;
use crate::attention::FeatureMap;
use nalgebra::DVector;

/// Largest relative misfit of a product of biases that is taken for rounding.
const ROUNDING: f64 = 1e-12;

/// Adds each cell's constant to its list, as the bias of the cell's first signed form.
///
/// `of` is what the cells read: one whose weights are all zero still takes its constant from there.
pub fn attach(
    lists: &mut [Vec<Term>],
    constant: &DVector<f64>,
    origin: Origin,
    of: Option<&Linear>,
    parts: &mut Parts,
) {
    for (list, b) in lists.iter_mut().zip(constant.iter()) {
        if *b == 0.0 {
            continue;
        }
        let owner = list
            .iter()
            .filter_map(|t| t.query.or(t.context[0]))
            .filter(|a| !parts.get(*a).rectified)
            .min_by_key(|a| (parts.get(*a).role, parts.get(*a).stream));
        list.push(match owner {
            None => match of.and_then(|l| {
                let mut row = vec![0.0; l.rows.ncols()];
                row.push(1.0);
                parts.form(l.role, l.stream, false, FeatureMap::Identity, row, origin)
            }) {
                Some((sign, atom)) => {
                    let mut term = Term::of_form(*b * sign, atom, parts);
                    term.origin = origin;
                    term
                }
                None => Term::constant(*b, origin),
            },
            Some(owner) => {
                parts.known_bias(owner, *b);
                let atom = parts.bias(owner, origin);
                Term::of_form(*b, atom, parts)
            }
        });
    }
}

/// Biases join their forms, term by term: `C (k + b)(q + c)` stands in the list as `C kq`, `C b 1q`, `C c k1`, `C bc 11`.
///
/// Where the coefficients are not such products, or halves are still apart, everything stays as it is, which is exact.
pub fn absorb(list: Vec<(u32, Term)>, parts: &mut Parts) -> Vec<(u32, Term)> {
    let rectified = |(_, t): &(u32, Term)| atoms(t).iter().flatten().any(|a| parts.get(*a).rectified);
    if !parts.has_biases() || list.iter().any(rectified) {
        return list;
    }
    let index: HashMap<(u32, TermKey), usize> =
        list.iter().enumerate().map(|(i, (column, t))| ((*column, t.key(parts)), i)).collect();
    let mut gone = vec![false; list.len()];
    let mut out = list.clone();
    for (i, (column, t)) in list.iter().enumerate() {
        if gone[i] || atoms(t).iter().flatten().any(|a| parts.get(*a).bias_of.is_some()) {
            continue;
        }
        let Some((made, used)) = completed(*column, t, &list, &index, &gone, parts) else { continue };
        out[i].1 = made;
        used.into_iter().for_each(|u| gone[u] = true);
    }
    out.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(t, _)| t).collect()
}

/// The term with biases in its forms, and the places of the terms that this takes up.
fn completed(
    column: u32,
    t: &Term,
    list: &[(u32, Term)],
    index: &HashMap<(u32, TermKey), usize>,
    gone: &[bool],
    parts: &mut Parts,
) -> Option<(Term, Vec<usize>)> {
    let slots = atoms(t);
    let marks = slots
        .map(|a| a.filter(|a| parts.get(*a).map == FeatureMap::Identity).and_then(|a| parts.bias_for(a)));
    let open: Vec<usize> = (0..3).filter(|s| marks[*s].is_some()).collect();
    let class = |a: Option<Atom>| a.map(|a| parts.get(a).class);
    if open.is_empty() || (slots[1].is_some() && class(slots[1]) == class(slots[2])) {
        return None;
    }
    // All ways to put the constant in the place of a form.
    let mut found = vec![(0.0, None); 1 << open.len()];
    for (subset, place) in found.iter_mut().enumerate().skip(1) {
        let mut variant = *t;
        for (_, slot) in open.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1) {
            set(&mut variant, *slot, marks[*slot]);
        }
        if let Some(at) = index.get(&(column, variant.key(parts))).filter(|at| !gone[**at]) {
            *place = (list[*at].1.coefficient, Some(*at));
        }
    }
    let ratios: Vec<f64> = (0..open.len()).map(|bit| found[1 << bit].0 / t.coefficient).collect();
    if ratios.iter().all(|r| *r == 0.0) {
        return None;
    }
    for (subset, (actual, _)) in found.iter().enumerate().skip(1) {
        let product =
            (0..open.len()).filter(|bit| subset >> bit & 1 == 1).map(|bit| ratios[bit]).product::<f64>();
        let predicted = t.coefficient * product;
        if (predicted - actual).abs() > ROUNDING * predicted.abs().max(actual.abs()) {
            return None;
        }
    }
    let used: Vec<usize> = found.iter().filter_map(|(_, at)| *at).collect();
    let mut made = *t;
    for at in &used {
        made.origin = parts.union(made.origin, list[*at].1.origin);
    }
    for (bit, slot) in open.iter().enumerate().filter(|(bit, _)| ratios[*bit] != 0.0) {
        let (Some(form), Some(mark)) = (slots[*slot], marks[*slot]) else { continue };
        let (a, b) = (parts.shared_origin(form, made.origin), parts.shared_origin(mark, made.origin));
        let origin = parts.union(a, b);
        let f = parts.get(form).clone();
        let mut row = f.row;
        if let Some(last) = row.last_mut() {
            *last += parts.known_bias(form, ratios[bit]);
        }
        let (sign, atom) = parts.form(f.role, f.stream, false, f.map, row, origin)?;
        made.coefficient *= sign;
        set(&mut made, *slot, Some(atom));
    }
    Some((made, used))
}

/// Query, first and second context form.
fn atoms(t: &Term) -> [Option<Atom>; 3] {
    [t.query, t.context[0], t.context[1]]
}

fn set(t: &mut Term, slot: usize, atom: Option<Atom>) {
    match slot {
        0 => t.query = atom,
        n => t.context[n - 1] = atom,
    }
}
