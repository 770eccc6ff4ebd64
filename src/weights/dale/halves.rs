//! Recipes for the non-negative parts of weight matrices. The numbers stay those of the signed circuit: random forms
//! name the draw of the projection that they came from.

use super::Half;
use crate::spec::{CircuitSpec, GainSpec, ProjectionSpec, WeightsSpec};
use std::collections::BTreeMap;

/// Weights and gain of one half of a projection.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub weights: WeightsSpec,
    pub gain: Option<GainSpec>,
}

/// What a half is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Recipe(Recipe),
    /// a half of another projection's matrix, gain included, transposed and times a number
    Transposed {
        root: String,
        half: Half,
        gain: f64,
    },
}

/// The recipe of a projection after its ties.
struct Root<'a> {
    name: &'a str,
    weights: &'a WeightsSpec,
    transposed: bool,
    /// gains along the ties, that of the root last
    gains: Vec<GainSpec>,
}

/// The projections of a file by name.
pub struct Recipes<'a>(BTreeMap<&'a str, &'a ProjectionSpec>);

impl<'a> Recipes<'a> {
    pub fn new(spec: &'a CircuitSpec) -> Self {
        Self(spec.projections.iter().collect())
    }

    /// One half of what projection `name` carries. `single`: the other half is empty.
    pub fn half(&self, name: &str, half: Half, single: bool) -> Option<Source> {
        let root = self.root(name)?;
        // A recipe draws by this file's seed.
        if self.0.get(root.name).is_some_and(|p| p.drawn.is_some()) {
            return None;
        }
        let total: f64 = root.gains.iter().map(|g| g.value()).product();
        if root.transposed {
            let own = root.gains.len() - usize::from(self.0.get(root.name).is_some_and(|p| p.gain.is_some()));
            let rest: f64 = root.gains[..own].iter().map(|g| g.value()).product();
            return Some(Source::Transposed {
                root: root.name.to_owned(),
                half: half.times(Half::of(rest)),
                gain: rest.abs(),
            });
        }
        if single && is_fixed(root.weights) {
            let gain = gain_of(&root.gains, total * half.sign());
            return Some(Source::Recipe(Recipe { weights: root.weights.clone(), gain }));
        }
        let weights = Box::new(root.weights.clone());
        let draw = format!("projections.{}", root.name);
        let weights = match half.times(Half::of(total)) {
            Half::Plus => WeightsSpec::PlusOf { weights, draw },
            Half::Minus => WeightsSpec::MinusOf { weights, draw },
        };
        Some(Source::Recipe(Recipe { weights, gain: gain_of(&root.gains, total.abs()) }))
    }

    /// Follows ties to the projection that has weights of its own.
    fn root(&self, name: &str) -> Option<Root<'a>> {
        let find = |name: &str| self.0.get_key_value(name).map(|(n, p)| (*n, *p));
        let (mut name, mut p) = find(name)?;
        let (mut transposed, mut gains) = (false, Vec::new());
        loop {
            gains.extend(p.gain);
            match &p.weights {
                WeightsSpec::SameAs(next) | WeightsSpec::TransposeOf(next) => {
                    transposed ^= matches!(p.weights, WeightsSpec::TransposeOf(_));
                    // Wiring has refused rings.
                    (name, p) = find(next)?;
                }
                own => {
                    let symmetric = WeightsSpec::WORDS.iter().any(|(_, word)| word == own);
                    return Some(Root { name, weights: own, transposed: transposed && !symmetric, gains });
                }
            }
        }
    }
}

/// The same numbers whatever the projection is called.
fn is_fixed(weights: &WeightsSpec) -> bool {
    match weights {
        WeightsSpec::Ones
        | WeightsSpec::Zeros
        | WeightsSpec::Identity
        | WeightsSpec::Centre
        | WeightsSpec::Rotate(_)
        | WeightsSpec::Shaped(_)
        | WeightsSpec::Values(_)
        | WeightsSpec::File { .. }
        | WeightsSpec::PlusOf { .. }
        | WeightsSpec::MinusOf { .. } => true,
        WeightsSpec::Blocks { of, .. } => is_fixed(of),
        WeightsSpec::Kron(factors) => factors.iter().all(is_fixed),
        WeightsSpec::Normal(_)
        | WeightsSpec::Uniform { .. }
        | WeightsSpec::Rank { .. }
        | WeightsSpec::SameAs(_)
        | WeightsSpec::TransposeOf(_) => false,
    }
}

/// `total` as a gain: as written where that is the same number, left out where it is 1.
fn gain_of(gains: &[GainSpec], total: f64) -> Option<GainSpec> {
    match gains {
        [one] if one.value().to_bits() == total.to_bits() && total != 1.0 => Some(*one),
        _ => number(total),
    }
}

pub fn number(gain: f64) -> Option<GainSpec> {
    (gain != 1.0).then_some(GainSpec::Number(gain))
}
