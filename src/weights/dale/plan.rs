//! Into which populations each one splits.

use super::Half;
use crate::circuit::{Circuit, Compartment, IndexRule, Kind, Output, Population, PopulationId, Projection};
use crate::diag::{Diagnostic, codes};
use crate::spec::{AccumulateSpec, Effect};
use crate::vocabulary::{Activation, OnPaper};
use std::collections::{BTreeMap, BTreeSet};

/// What a population of the new circuit receives in one compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// one half of what the signed compartment receives
    Half(Half),
    /// plus or minus all of it: the other half comes through an interneuron
    Net(Half),
}

/// One population of the new circuit.
#[derive(Clone, Debug)]
pub struct Part {
    /// whether its rate adds to the signal or is taken from it
    pub sign: Half,
    /// what its name ends in: nothing, `plus`, `minus`, `pp`, ...
    pub ending: &'static str,
    /// the same, shorter, for names of projections
    pub tag: &'static str,
    pub basal: Want,
    pub apical: Want,
    /// a relay that sends max(x, 0) of its half of a token, or of what it receives
    pub rectifies: bool,
}

/// The new circuit, population by population.
#[derive(Debug)]
pub struct Plan {
    pub parts: BTreeMap<PopulationId, Vec<Part>>,
    /// an output `{plus, minus}` whose relays exchange their negative halves
    pub crossed: Option<(PopulationId, PopulationId)>,
    /// halves that are added up in each compartment
    arrivals: BTreeMap<(PopulationId, Compartment), Halves>,
}

impl Plan {
    /// Whether a half of what is added up in a compartment is there.
    pub fn arrives(&self, id: PopulationId, compartment: Compartment, half: Half) -> bool {
        self.arrivals.get(&(id, compartment)).is_some_and(|there| there.contains(&half))
    }
}

type Halves = BTreeSet<Half>;

/// How a signal depends on tokens, as far as a relay can be another name of an earlier stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Linear {
    Constant,
    /// stream of the file, or relay that ends a block
    Of(bool, usize),
    No,
}

/// Splits all populations that the output depends on.
pub fn plan(circuit: &Circuit) -> Result<Plan, Diagnostic> {
    if let Some(id) = circuit.recurrent.first() {
        let p = circuit.projection(*id);
        let name = &circuit.population(p.to).name;
        return Err(refusal(&p.path, name, "it depends on itself through a delay"));
    }
    let mut planner = Planner { circuit, parts: BTreeMap::new(), linear: BTreeMap::new() };
    for id in &circuit.order {
        let parts = planner.split(*id)?;
        planner.parts.insert(*id, parts);
    }
    let crossed = planner.crossed()?;
    for id in crossed.iter().flat_map(|(plus, minus)| [plus, minus]) {
        planner.parts.insert(*id, vec![plain(Half::Plus, "", "")]);
    }
    let mut arrivals: BTreeMap<(PopulationId, Compartment), Halves> = BTreeMap::new();
    for p in circuit.projections.iter().filter(|p| p.effect == Effect::Additive) {
        arrivals.entry((p.to, p.compartment)).or_default().extend(planner.brought(p));
    }
    Ok(Plan { parts: planner.parts, crossed, arrivals })
}

/// The halves of a projection's matrix that hold anything.
pub fn halves(p: &Projection) -> Vec<Half> {
    let w = &p.synapses.weights;
    let mut found = Vec::new();
    found.extend(w.find(|x| x > 0.0).map(|_| Half::Plus));
    found.extend(w.find(|x| x < 0.0).map(|_| Half::Minus));
    found
}

fn refusal(path: &str, name: &str, why: &str) -> Diagnostic {
    Diagnostic::error(codes::N024, path, format!("`{name}` has no plus/minus form: {why}"))
        .help("see `pulvinar explain N024`; the signed circuit still compiles and runs")
}

struct Planner<'a> {
    circuit: &'a Circuit,
    parts: BTreeMap<PopulationId, Vec<Part>>,
    linear: BTreeMap<PopulationId, Linear>,
}

impl Planner<'_> {
    fn split(&mut self, id: PopulationId) -> Result<Vec<Part>, Diagnostic> {
        let p = self.circuit.population(id);
        let (basal, apical) =
            (self.arriving(id, Compartment::Basal)?, self.arriving(id, Compartment::Apical)?);
        let net: Halves = basal.union(&apical).copied().collect();
        let linear = self.linear_in(id);
        self.linear.insert(id, linear);
        match p.kind {
            Kind::Tonic | Kind::Relay { stream: Some(_), part: Some(_), .. } => {
                Ok(vec![plain(Half::Plus, "", "")])
            }
            Kind::Relay { stream: Some(_), part: None, .. } => {
                Ok(both(|half| Part { rectifies: true, ..pair(half) }))
            }
            Kind::Relay { stream: None, part, .. } => {
                let output = self.is_output(id);
                let ends_block = !output && linear == Linear::No;
                if ends_block || part.is_some() {
                    self.linear.insert(id, Linear::Of(true, id.0));
                }
                if part.is_some() {
                    return Ok(vec![net_of(Half::Plus, "", "")]);
                }
                if !net.contains(&Half::Minus) {
                    return Ok(vec![plain(Half::Plus, "", "")]);
                }
                // Both relays of a pair are there, even where one of them stays at rest.
                Ok(if ends_block {
                    both(|half| Part { rectifies: true, ..net_of(half, half.word(), half.letter()) })
                } else {
                    both(pair)
                })
            }
            Kind::Cells { .. } => self.cells(id, p, &basal, &apical, &net),
        }
    }

    fn cells(
        &self,
        id: PopulationId,
        p: &Population,
        basal: &Halves,
        apical: &Halves,
        net: &Halves,
    ) -> Result<Vec<Part>, Diagnostic> {
        let refuse = |key: &str, why: &str| Err(refusal(&format!("{}.{key}", p.path), &p.name, why));
        match p.accumulate {
            Some(AccumulateSpec::Delta { .. }) => {
                return refuse(
                    "accumulate",
                    "the delta rule subtracts what its key recalls, so its memory is signed",
                );
            }
            Some(AccumulateSpec::Gated {})
                if self.halves_at(id, Compartment::Gate, Effect::Additive).contains(&Half::Minus) =>
            {
                return refuse(
                    "accumulate",
                    "its gate may be negative, which would turn stored halves around",
                );
            }
            _ => {}
        }
        let signed = net.contains(&Half::Minus);
        match p.activation {
            Activation::Product => Ok(products(basal, apical)),
            linear if linear.is_linear() => Ok(if signed {
                Half::BOTH.into_iter().filter(|h| net.contains(h)).map(pair).collect()
            } else {
                net.iter().map(|h| plain(*h, "", "")).collect()
            }),
            Activation::Function(f) => {
                let argument = if signed { OnPaper::Any } else { OnPaper::NonNegative };
                match f.on_paper(argument) {
                    OnPaper::Any => {
                        let of = if signed { "of a signed argument is signed" } else { "is signed" };
                        refuse("activation", &format!("`{}` {of}", p.activation.name()))
                    }
                    OnPaper::NonNegative | OnPaper::Positive => Ok(vec![net_of(Half::Plus, "", "")]),
                }
            }
        }
    }

    /// Halves that arrive at a compartment; its divisors must not be negative.
    fn arriving(&self, id: PopulationId, compartment: Compartment) -> Result<Halves, Diagnostic> {
        let p = self.circuit.population(id);
        let divides = self
            .circuit
            .inputs_of(id)
            .any(|(_, q)| q.compartment == compartment && q.effect == Effect::Divisive);
        let divisor = self.halves_at(id, compartment, Effect::Divisive);
        if divides && !divisor.iter().eq([&Half::Plus]) {
            return Err(refusal(
                &p.path,
                &p.name,
                "what divides it is not a positive rate through positive weights",
            ));
        }
        Ok(self.halves_at(id, compartment, Effect::Additive))
    }

    /// Halves that arrive at a compartment, once the parts of its sources are known.
    fn halves_at(&self, id: PopulationId, compartment: Compartment, effect: Effect) -> Halves {
        let inputs = self.circuit.inputs_of(id).map(|(_, p)| p);
        inputs
            .filter(|p| p.compartment == compartment && p.effect == effect)
            .flat_map(|p| self.brought(p))
            .collect()
    }

    /// The halves that a projection brings.
    fn brought(&self, p: &Projection) -> Halves {
        let signs = || self.parts.get(&p.from).into_iter().flatten().map(|s| s.sign);
        halves(p).into_iter().flat_map(|weight| signs().map(move |sign| sign.times(weight))).collect()
    }

    fn is_output(&self, id: PopulationId) -> bool {
        match self.circuit.output {
            Output::Relay(r) => r == id,
            Output::Signed { plus, minus } => plus == id || minus == id,
        }
    }

    /// Of which stream a population is a linear map, if of one.
    fn linear_in(&self, id: PopulationId) -> Linear {
        let p = self.circuit.population(id);
        if let Kind::Relay { stream: Some(s), .. } = p.kind {
            return Linear::Of(false, s);
        }
        if p.accumulate.is_some() {
            return Linear::No;
        }
        let mut at = [Linear::Constant; 2];
        for (_, q) in self.circuit.inputs_of(id).filter(|(_, q)| q.compartment != Compartment::Third) {
            let source = self.linear.get(&q.from).copied().unwrap_or(Linear::No);
            let summed = matches!(q.index, IndexRule::SumContext(_));
            let place = &mut at[usize::from(q.compartment == Compartment::Apical)];
            *place = match (*place, source) {
                _ if summed || (q.effect == Effect::Divisive && source != Linear::Constant) => Linear::No,
                (known, new) => join(known, new),
            };
        }
        match p.activation {
            Activation::Product if at.contains(&Linear::Constant) => join(at[0], at[1]),
            Activation::Product => Linear::No,
            linear if linear.is_linear() => join(at[0], at[1]),
            _ if at == [Linear::Constant; 2] => Linear::Constant,
            _ => Linear::No,
        }
    }

    /// Whether the relays of an output pair exchange halves; then nothing may divide, rectify or read them.
    fn crossed(&self) -> Result<Option<(PopulationId, PopulationId)>, Diagnostic> {
        let Output::Signed { plus, minus } = self.circuit.output else { return Ok(None) };
        let signed = |id: PopulationId| self.parts[&id].len() > 1;
        if !signed(plus) && !signed(minus) {
            return Ok(None);
        }
        for id in [plus, minus] {
            let p = self.circuit.population(id);
            let rectifies = matches!(p.kind, Kind::Relay { part: Some(_), .. });
            let divided = self.circuit.inputs_of(id).any(|(_, q)| q.effect == Effect::Divisive);
            let read = self.circuit.order.iter().any(|n| {
                self.circuit.inputs_of(*n).any(|(_, q)| q.from == id && q.compartment != Compartment::Third)
            });
            if rectifies || divided || read {
                let why = "the relays of an output {plus, minus} with signed input must be plain, undivided and unread";
                return Err(refusal(&p.path, &p.name, why));
            }
        }
        Ok(Some((plus, minus)))
    }
}

fn join(a: Linear, b: Linear) -> Linear {
    match (a, b) {
        (Linear::Constant, x) | (x, Linear::Constant) => x,
        (x, y) if x == y => x,
        _ => Linear::No,
    }
}

fn plain(sign: Half, ending: &'static str, tag: &'static str) -> Part {
    let want = Want::Half(sign);
    Part { sign, ending, tag, basal: want, apical: want, rectifies: false }
}

/// Half of a linear signal.
fn pair(half: Half) -> Part {
    plain(half, half.word(), half.letter())
}

/// A population whose rate is never negative, whatever it receives.
fn net_of(half: Half, ending: &'static str, tag: &'static str) -> Part {
    Part { basal: Want::Net(half), apical: Want::Net(half), ..plain(half, ending, tag) }
}

fn both(part: impl Fn(Half) -> Part) -> Vec<Part> {
    Half::BOTH.into_iter().map(part).collect()
}

/// One population for each pair of signs, named by apical and basal sign; by the sign of the product if that tells.
fn products(basal: &Halves, apical: &Halves) -> Vec<Part> {
    use Half::{Minus, Plus};
    let order = [(Plus, Plus, "pp"), (Minus, Minus, "mm"), (Plus, Minus, "pm"), (Minus, Plus, "mp")];
    let there: Vec<_> =
        order.into_iter().filter(|(a, b, _)| apical.contains(a) && basal.contains(b)).collect();
    let many = there.len();
    there
        .into_iter()
        .map(|(a, b, name)| {
            let sign = a.times(b);
            let (ending, tag) = match (many, sign) {
                (4, _) => (name, name),
                (1, Plus) => ("", ""),
                _ => (sign.word(), sign.letter()),
            };
            Part { basal: Want::Half(b), apical: Want::Half(a), ..plain(sign, ending, tag) }
        })
        .collect()
}
