//! The interned parts that terms are made of: linear forms, scores, gates, divisors and sets of origins.
//!
//! Forms are merged only when their numbers are the same bits (up to a common sign): "merge linear forms, never
//! products". Each form remembers the projections that it came from.

use super::hash::HashMap;
use super::near::{Near, leading_sign};
use super::sets::{Set, Sets};
use super::term::{Sum, Term};
use crate::attention::FeatureMap;
use crate::circuit::ProjectionId;
use crate::vocabulary::Function;

/// Which token a form reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Query,
    Context,
}

/// `map(row . (x, 1))`, or the same of `|x|` when rectified.
#[derive(Clone, Debug)]
pub struct Form {
    pub role: Role,
    /// number of the stream in the compiler's table
    pub stream: usize,
    /// reads `|x|`: half of a plus/minus pair; must cancel in the end
    pub rectified: bool,
    pub map: FeatureMap,
    /// `[d_stream + 1]`, bias last
    pub row: Vec<f64>,
    pub origin: Origin,
    /// equal for forms of equal numbers, whatever their origin
    pub class: u32,
    /// set for the constant 1 that carries the bias of another form: see [`super::bias`]
    pub bias_of: Option<Atom>,
}

/// A set of projections, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u32);

/// A form, interned by numbers and origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(pub u32);

/// `function(gain * s + bias)` of a score s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub gain: f64,
    pub bias: f64,
    pub function: Function,
}

/// A nonlinear score of a token pair: a function of a sum of products.
#[derive(Clone, Debug)]
pub struct Score {
    /// one after another
    pub steps: Vec<Step>,
    /// coefficient, query form, context form
    pub terms: Vec<(f64, Option<Atom>, Option<Atom>)>,
    pub origin: Origin,
}

/// `constant + sum coefficient * form(x_j)`
#[derive(Clone, Debug)]
pub struct GateForm {
    pub constant: f64,
    pub terms: Vec<(f64, Atom)>,
    pub origin: Origin,
}

/// What a compartment is divided by: terms summed over the context.
#[derive(Clone, Debug)]
pub struct Divisor {
    pub terms: Vec<Term>,
    pub sum: Sum,
    /// the projection that brings it
    pub by: ProjectionId,
    pub sink: Option<Sink>,
}

/// What a divisor adds to its sum: `constant + sum coefficient * form(x_i)`.
#[derive(Clone, Debug)]
pub struct Sink {
    pub constant: f64,
    pub terms: Vec<(f64, Atom)>,
    pub origin: Origin,
}

/// All interned parts of one circuit.
#[derive(Debug, Default)]
pub struct Parts {
    pub forms: Vec<Form>,
    pub scores: Vec<Score>,
    pub gates: Vec<GateForm>,
    pub divisors: Vec<Divisor>,
    /// forms of each class
    members: Vec<Vec<Atom>>,
    /// sign of the first non-zero number of each class, as first seen
    signs: Vec<f64>,
    /// some relay sends half of a plus/minus pair: forms may differ by rounding
    pub any_rectified: bool,
    near: Near<(Role, usize, bool, FeatureMap)>,
    /// class of a form -> the constant that carries its bias
    biases: HashMap<u32, Atom>,
    /// class of a form -> the biases that it is known to have
    bias_numbers: HashMap<u32, Vec<f64>>,
    origins: Vec<Set>,
    sets: Sets,
    form_index: HashMap<(u32, Origin), Atom>,
    class_index: HashMap<FormKey, u32>,
    score_index: HashMap<Vec<u64>, u32>,
    gate_index: HashMap<Vec<u64>, u32>,
    divisor_index: HashMap<Vec<u64>, u32>,
    origin_index: HashMap<Set, Origin>,
    union_cache: HashMap<(Origin, Origin), Origin>,
    /// most unions repeat the one before
    last_union: Option<((Origin, Origin), Origin)>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FormKey {
    role: Role,
    stream: usize,
    rectified: bool,
    map: FeatureMap,
    bits: Vec<u64>,
    /// class of the form whose bias this is
    bias_of: Option<u32>,
}

impl Parts {
    pub fn new(any_rectified: bool) -> Self {
        Self { any_rectified, ..Self::default() }
    }

    /// Interns a form. For identity maps `k` and `-k` are one form, with the sign of the first one seen; the returned
    /// factor is 1 or -1. `None` when the form is zero.
    pub fn form(
        &mut self,
        role: Role,
        stream: usize,
        rectified: bool,
        map: FeatureMap,
        mut row: Vec<f64>,
        origin: Origin,
    ) -> Option<(f64, Atom)> {
        let first = row.iter().copied().find(|x| *x != 0.0);
        let mut sign = 1.0;
        if map == FeatureMap::Identity {
            sign = first?.signum();
            if self.any_rectified {
                sign = leading_sign(&row)?;
            }
        }
        if self.any_rectified {
            let kind = (role, stream, rectified, map);
            let unsigned: Vec<f64> = row.iter().map(|x| x * sign).collect();
            let known = |class: u32| {
                let sign = self.signs[class as usize];
                let first = self.members[class as usize][0];
                self.get(first).row.iter().map(|x| x * sign).collect::<Vec<f64>>()
            };
            match self.near.find(kind, &unsigned, known) {
                Some(class) => row = known(class).iter().map(|x| x * sign).collect(),
                None => {
                    let next = u32::try_from(self.members.len()).expect("fewer than 2^32 forms");
                    self.near.insert(kind, &unsigned, next);
                }
            }
        }
        // adding 0.0 turns -0.0 into 0.0
        let bits = row.iter().map(|x| (x * sign + 0.0).to_bits()).collect();
        let key = FormKey { role, stream, rectified, map, bits, bias_of: None };
        let next = u32::try_from(self.members.len()).expect("fewer than 2^32 forms");
        let class = *self.class_index.entry(key).or_insert(next);
        if class == next {
            self.members.push(Vec::new());
            self.signs.push(sign);
        }
        let factor = sign * self.signs[class as usize];
        if let Some(atom) = self.form_index.get(&(class, origin)) {
            return Some((factor, *atom));
        }
        row.iter_mut().for_each(|x| *x = *x * factor + 0.0);
        let atom = Atom(u32::try_from(self.forms.len()).expect("fewer than 2^32 forms"));
        self.form_index.insert((class, origin), atom);
        self.members[class as usize].push(atom);
        self.forms.push(Form { role, stream, rectified, map, row, origin, class, bias_of: None });
        Some((factor, atom))
    }

    /// The constant 1 as the bias of form `owner`: a form of the same token, all of it bias.
    pub fn bias(&mut self, owner: Atom, origin: Origin) -> Atom {
        let f = self.get(owner);
        let (role, stream, columns, owned) = (f.role, f.stream, f.row.len(), f.class);
        let mut row = vec![0.0; columns];
        row[columns - 1] = 1.0;
        let (rectified, map) = (false, FeatureMap::Identity);
        let bits = row.iter().map(|x: &f64| x.to_bits()).collect();
        let key = FormKey { role, stream, rectified, map, bits, bias_of: Some(owned) };
        let next = u32::try_from(self.members.len()).expect("fewer than 2^32 forms");
        let class = *self.class_index.entry(key).or_insert(next);
        if class == next {
            self.members.push(Vec::new());
            self.signs.push(1.0);
        }
        if let Some(atom) = self.form_index.get(&(class, origin)) {
            return *atom;
        }
        let atom = Atom(u32::try_from(self.forms.len()).expect("fewer than 2^32 forms"));
        self.form_index.insert((class, origin), atom);
        self.members[class as usize].push(atom);
        self.forms.push(Form { role, stream, rectified, map, row, origin, class, bias_of: Some(owner) });
        self.biases.entry(owned).or_insert(atom);
        atom
    }

    /// The constant that carries the bias of a form, if one was made.
    pub fn bias_for(&self, atom: Atom) -> Option<Atom> {
        self.biases.get(&self.get(atom).class).copied()
    }

    /// A bias of a form as known before, where the two differ by rounding only: equal forms have equal bits.
    pub fn known_bias(&mut self, atom: Atom, bias: f64) -> f64 {
        let known = self.bias_numbers.entry(self.forms[atom.0 as usize].class).or_default();
        match known.iter().find(|b| (b.abs() - bias.abs()).abs() <= 1e-12 * bias.abs()) {
            Some(b) => b.abs() * bias.signum(),
            None => {
                known.push(bias);
                bias
            }
        }
    }

    pub fn has_biases(&self) -> bool {
        !self.biases.is_empty()
    }

    pub fn get(&self, atom: Atom) -> &Form {
        &self.forms[atom.0 as usize]
    }

    /// All origins of a form's numbers among the projections `allowed`, for forms that several projections share.
    pub fn shared_origin(&mut self, atom: Atom, allowed: Origin) -> Origin {
        let members = self.members[self.get(atom).class as usize].clone();
        let mut all = self.get(atom).origin;
        for member in members {
            let origin = self.get(member).origin;
            let (most, set) = (self.origins[allowed.0 as usize], self.origins[origin.0 as usize]);
            if self.sets.union(most, set) == most {
                all = self.union(all, origin);
            }
        }
        all
    }

    /// The same form read from the other token.
    pub fn with_role(&mut self, atom: Atom, role: Role) -> (f64, Atom) {
        let f = self.get(atom).clone();
        if let Some(owner) = f.bias_of {
            let (_, moved) = self.with_role(owner, role);
            return (1.0, self.bias(moved, f.origin));
        }
        self.form(role, f.stream, f.rectified, f.map, f.row, f.origin).map_or((1.0, atom), |made| made)
    }

    pub fn origin_of(&mut self, projection: usize) -> Origin {
        let set = self.sets.single(u32::try_from(projection).expect("fewer than 2^32 projections"));
        self.origin_set(set)
    }

    fn origin_set(&mut self, set: Set) -> Origin {
        if let Some(o) = self.origin_index.get(&set) {
            return *o;
        }
        let o = Origin(u32::try_from(self.origins.len()).expect("fewer than 2^32 origins"));
        self.origins.push(set);
        self.origin_index.insert(set, o);
        o
    }

    pub fn no_origin(&mut self) -> Origin {
        self.origin_set(Set::EMPTY)
    }

    pub fn union(&mut self, a: Origin, b: Origin) -> Origin {
        if a == b {
            return a;
        }
        let key = (a.min(b), a.max(b));
        if let Some((last, o)) = self.last_union
            && last == key
        {
            return o;
        }
        if let Some(o) = self.union_cache.get(&key) {
            self.last_union = Some((key, *o));
            return *o;
        }
        let set = self.sets.union(self.origins[a.0 as usize], self.origins[b.0 as usize]);
        let o = self.origin_set(set);
        self.union_cache.insert(key, o);
        self.last_union = Some((key, o));
        o
    }

    /// Projection numbers of a set, ascending.
    pub fn projections(&self, origin: Origin) -> Vec<u32> {
        self.sets.list(self.origins[origin.0 as usize])
    }

    fn class(&self, atom: Option<Atom>) -> u64 {
        atom.map_or(u64::MAX, |a| u64::from(self.get(a).class))
    }

    pub fn score(&mut self, score: Score) -> u32 {
        let mut key: Vec<u64> = vec![score.steps.len() as u64];
        for step in &score.steps {
            key.extend([step.gain.to_bits(), step.bias.to_bits()]);
            key.extend(step.function.name().bytes().map(u64::from));
        }
        for (c, q, k) in &score.terms {
            key.extend([c.to_bits(), self.class(*q), self.class(*k)]);
        }
        let next = u32::try_from(self.scores.len()).expect("fewer than 2^32 scores");
        let id = *self.score_index.entry(key).or_insert(next);
        if id == next {
            self.scores.push(score);
        }
        id
    }

    pub fn gate(&mut self, gate: GateForm) -> u32 {
        let mut key = vec![gate.constant.to_bits()];
        for (c, a) in &gate.terms {
            key.extend([c.to_bits(), self.class(Some(*a))]);
        }
        let next = u32::try_from(self.gates.len()).expect("fewer than 2^32 gates");
        let id = *self.gate_index.entry(key).or_insert(next);
        if id == next {
            self.gates.push(gate);
        }
        id
    }

    pub fn divisor(&mut self, divisor: Divisor) -> u32 {
        let mut key = divisor.sum.key();
        for t in &divisor.terms {
            key.push(t.coefficient.to_bits());
            key.push(self.class(t.query));
            key.extend(t.context.map(|a| self.class(a)));
            key.push(t.score.map_or(u64::MAX, u64::from));
        }
        if let Some(sink) = &divisor.sink {
            key.push(sink.constant.to_bits());
            for (c, a) in &sink.terms {
                key.extend([c.to_bits(), self.class(Some(*a))]);
            }
        }
        let next = u32::try_from(self.divisors.len()).expect("fewer than 2^32 divisors");
        let id = *self.divisor_index.entry(key).or_insert(next);
        if id == next {
            self.divisors.push(divisor);
        }
        id
    }
}
