//! From terms to heads: colour the context factors key or value, then factorise.
//!
//! Writing the output as `sum_j sum_f o_f (kappa_f . x_j)(theta_f . x_i)(nu_f . x_j)`, the factors `kappa` and `nu` that
//! meet in a term get two colours, key and value (`colour`). In the matrix `C[(kappa, theta), (o, nu)]` each connected
//! component (`components`) of rank R is R heads. Of the two colourings of a component the one with fewer heads is taken.

use super::atoms::Atom;
use super::block_form::BlockForm;
use super::build_head::{Assembly, HeadForm};
use super::colour::{Oriented, colour};
use super::components::{Component, Places, Side};
use super::factor::Factors;
use super::hash::HashMap;
use super::rank::{Rank1, factorise};
use super::reason::{Fault, Reason};
use super::term::{Sum, Term};
use crate::attention::FeatureMap;

/// What all heads of a group share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub sum: Sum,
    pub divisor: Option<u32>,
    pub score: Option<u32>,
    pub memory: Option<u32>,
}

/// All heads of a block, in the order of the file.
pub fn heads(form: &BlockForm, f: &mut Factors<'_>) -> Result<Vec<HeadForm>, Fault> {
    let mut all = Vec::new();
    for (group, terms) in groups(form) {
        if group.score.is_some() {
            all.extend(Assembly { form, f, group }.score_heads(&terms)?);
        } else if group.memory.is_some() {
            all.extend(Assembly { form, f, group }.delta_heads(&terms)?);
        } else {
            for chosen in orient(form, f, &group, &terms)? {
                let mut assembly = Assembly { form, f, group };
                for (component, ranks) in &chosen.components {
                    for rank in ranks {
                        all.extend(assembly.linear_heads(component, rank, chosen.side)?);
                    }
                }
            }
        }
    }
    all.sort_by_key(|h| h.root);
    Ok(all)
}

/// Terms that may share heads, in the order of their first term.
fn groups(form: &BlockForm) -> Vec<(Group, Vec<(u32, Term)>)> {
    let mut groups: Vec<(Group, Vec<(u32, Term)>)> = Vec::new();
    let mut index: HashMap<Group, usize> = HashMap::default();
    let mut last: Option<(Group, usize)> = None;
    for (column, t) in &form.terms {
        let Some(sum) = t.sum else { continue };
        let group = Group { sum, divisor: t.divisor, score: t.score, memory: t.memory.map(|(p, _)| p) };
        let at = match last {
            Some((same, at)) if same == group => at,
            _ => *index.entry(group).or_insert_with(|| {
                groups.push((group, Vec::new()));
                groups.len() - 1
            }),
        };
        last = Some((group, at));
        groups[at].1.push((*column, *t));
    }
    groups
}

/// Terms whose keys and values are told apart, factorised.
struct Chosen {
    components: Vec<(Component, Vec<Rank1>)>,
    side: Side,
}

/// Colours context factors; each colour component with the orientation and the gate side that make fewer heads.
fn orient(
    form: &BlockForm,
    f: &Factors<'_>,
    group: &Group,
    terms: &[(u32, Term)],
) -> Result<Vec<Chosen>, Fault> {
    // Forms of equal numbers are one vertex; if that cannot be coloured (K = V), forms are told apart by origin.
    let coloured = colour(terms, |a: Atom| f.parts.get(a).class).or_else(|| colour(terms, |a: Atom| a.0));
    match coloured {
        Some(parts) => parts.into_iter().map(|part| choose(form, f, group, part, &[false, true])).collect(),
        None => {
            // Any orientation is exact, only perhaps not minimal.
            let part = terms.iter().map(|(c, t)| Oriented::of(*c, t, false)).collect();
            Ok(vec![choose(form, f, group, part, &[false])?])
        }
    }
}

/// Of two orientations and two gate sides, one whose weights are those that divide it; then the one with fewer heads;
/// then the one whose keys came first in the file.
fn choose(
    form: &BlockForm,
    f: &Factors<'_>,
    group: &Group,
    part: Vec<Oriented>,
    swaps: &[bool],
) -> Result<Chosen, Fault> {
    let nonlinear = |a: Option<Atom>| a.is_some_and(|a| f.parts.get(a).map != FeatureMap::Identity);
    let earliest = |part: &[Oriented]| {
        part.iter()
            .filter_map(|t| t.key)
            .filter_map(|a| f.parts.projections(f.parts.get(a).origin).first().copied())
            .min()
            .unwrap_or(u32::MAX)
    };
    let gated = part.iter().any(|t| t.gate.is_some());
    let sides: &[Side] = if gated { &[Side::Value, Side::Key] } else { &[Side::Value] };
    let fits = |components: &[(Component, Vec<Rank1>)]| {
        group.divisor.is_none_or(|id| {
            let fits = |c: &Component, rank| f.divisor_ratio(group, c, rank, id).is_ok();
            components.iter().all(|(c, ranks)| ranks.iter().all(|rank| fits(c, rank)))
        })
    };
    let (first, free) = (part.first().copied(), part.iter().find(|t| t.query.is_none()).copied());
    let oriented: Vec<Vec<Oriented>> = swaps
        .iter()
        .map(|swap| if *swap { part.iter().map(|t| t.swapped()).collect() } else { part.clone() })
        .filter(|part: &Vec<Oriented>| part.iter().all(|t| !nonlinear(t.value)))
        .collect();
    // Each component is one head at least: the way with the fewest is tried first, and most others need not be.
    let mut ways: Vec<(&Vec<Oriented>, Side, Places)> = Vec::new();
    for part in &oriented {
        ways.extend(sides.iter().map(|side| (part, *side, Places::of(&f.parts, part, *side))));
    }
    let mut order: Vec<(usize, _)> = ways.into_iter().enumerate().collect();
    order.sort_by_key(|(_, (_, _, places))| places.count);
    let mut best: Option<((bool, usize, u32, usize), Chosen)> = None;
    for (number, (part, side, places)) in order {
        if best.as_ref().is_some_and(|((misfit, heads, ..), _)| !misfit && places.count > *heads) {
            continue;
        }
        let components: Vec<(Component, Vec<Rank1>)> = places
            .components(part)
            .into_iter()
            .map(|component| {
                let ranks = factorise(&component.matrix()?);
                Ok((component, ranks))
            })
            .collect::<Result<_, Fault>>()?;
        let heads = components.iter().map(|(_, ranks)| ranks.len()).sum();
        let rank = (!fits(&components), heads, earliest(part), number);
        if best.as_ref().is_none_or(|(b, _)| rank < *b) {
            best = Some((rank, Chosen { components, side }));
        }
    }
    // A head needs a query, unless its divisor pools its own weights.
    if let (Some(((misfit, ..), chosen)), Some(t)) = (&best, free) {
        let divided = group.divisor.is_some() && !misfit;
        let lacks = chosen.components.iter().any(|(c, ranks)| !divided && c.lacks_query(ranks.len()));
        if lacks && group.divisor.is_none() {
            return Err(f.no_query(form, t.column, t.origin));
        }
    }
    best.map(|(_, chosen)| chosen).ok_or_else(|| match first {
        Some(t) => f.fault(form.columns[t.column as usize].root(t.origin, &f.parts), &Reason::NonlinearValue),
        None => Reason::NonlinearValue.at(&form.path, &form.relay),
    })
}

impl Rank1 {
    /// All entries of beta are the same number.
    pub fn uniform(&self) -> Option<f64> {
        let first = *self.beta.first()?;
        self.beta.iter().all(|b| *b == first).then_some(first)
    }
}
