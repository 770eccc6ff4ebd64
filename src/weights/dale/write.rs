//! Writes the new circuit: its projections, around the populations of `cells`.

use super::halves::{self, Recipe, Source};
use super::plan::{Part, Plan, Want, halves};
use super::{Half, Rewritten};
use crate::circuit::{Circuit, Compartment, Kind, PopulationId, Projection, ProjectionId};
use crate::spec::{CircuitSpec, Effect, GainSpec, OutputSpec, ProjectionSpec, Sign, Table, WeightsSpec};
use std::collections::{BTreeMap, BTreeSet};

/// A projection of the new circuit; weights that are a transposed tie wait for the names of all others.
pub(super) struct Made {
    name: String,
    pub(super) spec: ProjectionSpec,
    tie: Option<(Source, Option<WeightsSpec>)>,
}

/// A place that a half of a projection ends on.
struct Receiver {
    population: String,
    compartment: Compartment,
    half: Half,
    tag: String,
}

pub(super) struct Writer<'a> {
    pub(super) spec: &'a CircuitSpec,
    pub(super) circuit: &'a Circuit,
    pub(super) plan: &'a Plan,
    /// new name of each part
    pub(super) names: BTreeMap<(PopulationId, usize), String>,
    /// interneuron of a part's compartment
    pub(super) inhibitors: BTreeMap<(PopulationId, usize, Compartment), String>,
    pub(super) made: Vec<Made>,
    pub(super) projections: BTreeSet<String>,
    /// first projection that carries a half of an old projection's own matrix
    carriers: BTreeMap<(String, Half), String>,
}

/// The new circuit by plan.
pub fn write(spec: &CircuitSpec, circuit: &Circuit, plan: &Plan) -> Rewritten {
    let mut w = Writer {
        spec,
        circuit,
        plan,
        names: BTreeMap::new(),
        inhibitors: BTreeMap::new(),
        made: Vec::new(),
        projections: BTreeSet::new(),
        carriers: BTreeMap::new(),
    };
    let ids: BTreeMap<&str, PopulationId> =
        circuit.order.iter().map(|id| (circuit.population(*id).name.as_str(), *id)).collect();
    let mut top: BTreeSet<String> =
        spec.thalamus.names().chain(spec.areas.names()).map(str::to_owned).collect();
    top.insert("tonic".to_owned());
    if let Some(tonic) = ids.get("tonic") {
        w.names.insert((*tonic, 0), "tonic".to_owned());
    }
    let thalamus = w.thalamus(&ids, &mut top);
    let mut areas = w.areas(&ids);
    areas.0.extend(w.reticular(&mut top));
    w.connect();
    w.inhibit();
    w.feed_the_unfed();
    w.keep_clocks();
    let projections = w.finished();
    let (reserved, remarks) = super::remarks::carried(spec, circuit);
    let mut new = CircuitSpec {
        parameters: Table::default(),
        thalamus,
        areas,
        projections,
        output: w.output(),
        reserved,
        places: crate::spec::Places::default(),
        ..spec.clone()
    };
    new.schema = crate::spec::SCHEMA.to_owned();
    Rewritten { spec: new, remarks }
}

/// `base`, `base_2`, ...: the first that is not taken.
pub(super) fn fresh(base: String, taken: &mut BTreeSet<String>) -> String {
    let mut name = base.clone();
    let mut n = 1;
    while !taken.insert(name.clone()) {
        n += 1;
        name = format!("{base}_{n}");
    }
    name
}

impl Writer<'_> {
    pub(super) fn parts(&self, id: PopulationId) -> &[Part] {
        self.plan.parts.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Where the halves of what arrives at a compartment go.
    fn receivers(&self, id: PopulationId, compartment: Compartment, effect: Effect) -> Vec<Receiver> {
        if let Some((plus, minus)) = self.plan.crossed
            && (id == plus || id == minus)
        {
            let own = |half: Half| Half::of(if id == plus { 1.0 } else { -1.0 }).times(half);
            let receiver = |at: PopulationId, half: Half| Receiver {
                population: self.names[&(at, 0)].clone(),
                compartment,
                half: own(half),
                tag: half.letter().to_owned(),
            };
            return vec![receiver(plus, Half::Plus), receiver(minus, Half::Minus)];
        }
        let mut all = Vec::new();
        for (number, part) in self.parts(id).iter().enumerate() {
            let mut end = |population: &str, compartment: Compartment, half: Half, tag: String| {
                all.push(Receiver { population: population.to_owned(), compartment, half, tag });
            };
            let name = &self.names[&(id, number)];
            let tag = part.tag.to_owned();
            match (effect, want(part, compartment)) {
                _ if compartment == Compartment::Gate => end(name, compartment, Half::Plus, tag),
                // Each part is divided by the same, where there is something to divide.
                (Effect::Divisive, Want::Half(half)) if !self.plan.arrives(id, compartment, half) => {}
                (Effect::Divisive, _) => end(name, compartment, Half::Plus, tag),
                (_, Want::Half(half)) => end(name, compartment, half, tag),
                (_, Want::Net(half)) => {
                    end(name, compartment, half, tag);
                    if let Some(inhibitor) = self.inhibitors.get(&(id, number, compartment)) {
                        let tag =
                            if part.tag.is_empty() { "inh".to_owned() } else { format!("{}_inh", part.tag) };
                        end(inhibitor, Compartment::Basal, half.opposite(), tag);
                    }
                }
            }
        }
        all
    }

    /// All projections, in the order of the file.
    fn connect(&mut self) {
        let by_name: BTreeMap<&str, ProjectionId> = self
            .circuit
            .projections
            .iter()
            .enumerate()
            .map(|(i, p)| (p.name.as_str(), ProjectionId(i)))
            .collect();
        let (spec, circuit) = (self.spec, self.circuit);
        let recipes = halves::Recipes::new(spec);
        for (old, p) in spec.projections.iter() {
            let Some(id) = by_name.get(old) else { continue };
            let wired = circuit.projection(*id);
            if wired.compartment != Compartment::Third && self.plan.parts.contains_key(&wired.to) {
                self.split(&recipes, old, p, wired);
            }
        }
    }

    fn split(&mut self, recipes: &halves::Recipes, old: &str, p: &ProjectionSpec, wired: &Projection) {
        let mut there = halves(wired);
        let single = there.len() <= 1;
        if there.is_empty() {
            // All zero: kept in one half, so that what the cells read is still said.
            there = vec![Half::Plus];
        }
        let sources: Vec<(String, Half, &'static str)> = self
            .parts(wired.from)
            .iter()
            .enumerate()
            .map(|(n, s)| (self.names[&(wired.from, n)].clone(), s.sign, s.tag))
            .collect();
        for receiver in self.receivers(wired.to, wired.compartment, wired.effect) {
            for (from, sign, tag) in &sources {
                let weight = sign.times(receiver.half);
                if !there.contains(&weight) {
                    continue;
                }
                let Some(source) = recipes.half(old, weight, single) else { continue };
                let ends: Vec<&str> =
                    [old, &receiver.tag, *tag].into_iter().filter(|t| !t.is_empty()).collect();
                let name = fresh(ends.join("_"), &mut self.projections);
                let (weights, gain, tie) = match source {
                    Source::Recipe(Recipe { weights, gain }) => {
                        let owns = !matches!(p.weights, WeightsSpec::SameAs(_) | WeightsSpec::TransposeOf(_));
                        if owns {
                            self.carriers.entry((old.to_owned(), weight)).or_insert_with(|| name.clone());
                        }
                        (weights, gain, None)
                    }
                    tied @ Source::Transposed { .. } => {
                        let plain = wired.synapses.weights.dense().map(|x| (x * weight.sign()).max(0.0));
                        let rows = plain.row_iter().map(|r| r.iter().copied().collect()).collect();
                        (WeightsSpec::Zeros, None, Some((tied, Some(WeightsSpec::Values(rows)))))
                    }
                };
                let spec = ProjectionSpec {
                    from: from.clone(),
                    to: format!("{}.{}", receiver.population, receiver.compartment.name()),
                    weights,
                    gain,
                    sign: Some(Sign::Excitatory),
                    plasticity: None,
                    tied: None,
                    ..p.clone()
                };
                self.made.push(Made { name, spec, tie });
            }
        }
    }

    pub(super) fn add(&mut self, name: String, spec: ProjectionSpec) {
        self.made.push(Made { name, spec, tie: None });
    }

    /// The interneurons' own projections.
    fn inhibit(&mut self) {
        for ((id, number, compartment), from) in &self.inhibitors {
            let target = &self.names[&(*id, *number)];
            let base = format!("inh_{}", target.replace('.', "_"));
            let name = fresh(inhibitor_name(&base, *compartment), &mut self.projections);
            let gain = Some(GainSpec::Number(-1.0));
            let to = format!("{target}.{}", compartment.name());
            let sign = Some(Sign::Inhibitory);
            self.made.push(Made {
                name,
                spec: ProjectionSpec { sign, gain, ..simple(from, to, WeightsSpec::Identity) },
                tie: None,
            });
        }
    }

    /// Relays and functions that receive nothing (all their weights are zero) are kept by a projection of zeros.
    fn feed_the_unfed(&mut self) {
        let fed: BTreeSet<String> =
            self.made.iter().filter_map(|m| m.spec.to.rsplit_once('.')).map(|(p, _)| p.to_owned()).collect();
        for ((id, _), name) in &self.names {
            let source = matches!(
                self.circuit.population(*id).kind,
                Kind::Tonic | Kind::Relay { stream: Some(_), .. }
            );
            if source || fed.contains(name) {
                continue;
            }
            let projection = fresh(format!("rest_{}", name.replace('.', "_")), &mut self.projections);
            let spec = simple("tonic", format!("{name}.basal"), WeightsSpec::Zeros);
            self.made.push(Made { name: projection, spec, tie: None });
        }
    }

    /// The table of projections, ties to transposed matrices filled in.
    fn finished(&mut self) -> Table<ProjectionSpec> {
        let made = std::mem::take(&mut self.made);
        let mut table = Table::default();
        for Made { name, mut spec, tie } in made {
            if let Some((Source::Transposed { root, half, gain }, plain)) = tie {
                match self.carriers.get(&(root, half)) {
                    Some(carrier) => {
                        spec.weights = WeightsSpec::TransposeOf(carrier.clone());
                        spec.gain = halves::number(gain);
                    }
                    None => spec.weights = plain.unwrap_or(WeightsSpec::Zeros),
                }
            }
            table.0.push((name, spec));
        }
        table
    }

    fn output(&self) -> OutputSpec {
        let names = |id: PopulationId| -> Vec<String> {
            (0..self.parts(id).len()).map(|n| self.names[&(id, n)].clone()).collect()
        };
        match self.circuit.output {
            crate::circuit::Output::Relay(r) => match names(r).as_slice() {
                [plus, minus] => OutputSpec::Signed { plus: plus.clone(), minus: minus.clone() },
                _ => self.spec.output.clone(),
            },
            crate::circuit::Output::Signed { .. } => self.spec.output.clone(),
        }
    }
}

pub(super) fn want(part: &Part, compartment: Compartment) -> Want {
    if compartment == Compartment::Apical { part.apical } else { part.basal }
}

/// Inhibition of basal, the usual case, is not mentioned.
pub(super) fn inhibitor_name(base: &str, compartment: Compartment) -> String {
    if compartment == Compartment::Apical { format!("{base}_apical") } else { base.to_owned() }
}

pub(super) fn simple(from: &str, to: String, weights: WeightsSpec) -> ProjectionSpec {
    ProjectionSpec {
        from: from.to_owned(),
        to,
        onto: None,
        pool: None,
        weights,
        gain: None,
        sign: Some(Sign::Excitatory),
        effect: Effect::Additive,
        mask: None,
        plasticity: None,
        delay: None,
        tied: None,
        synapses: None,
        pulse: None,
        drawn: None,
    }
}
