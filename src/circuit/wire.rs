//! Projections: endpoints, index rules, shapes and weights.

use super::build::{MAX_NUMBERS, Names};
use super::draw::{Draw, draw};
use super::synapses::{AxisMap, Synapses, Weights};
use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use crate::spec::{
    AccumulateSpec, ActivationSpec, Axis, CircuitSpec, Effect, ProjectionSpec, Sign, WeightsSpec,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All projections, or what stands in their way.
pub struct Wires {
    pub projections: Vec<Projection>,
    /// (population, compartment) that some projection names as its end, even a broken one
    pub reached: BTreeSet<(PopulationId, Compartment)>,
}

pub fn wires(spec: &CircuitSpec, names: &Names, folder: &Path, d: &mut Diagnostics) -> Wires {
    // The first of a repeated name, as in `Table::get`.
    let by_name = spec.projections.0.iter().rev().map(|(name, p)| (name.as_str(), p)).collect();
    let mut w = Wiring { spec, by_name, names, folder, used: 0, matrices: BTreeMap::new() };
    let mut wires = Wires { projections: Vec::new(), reached: BTreeSet::new() };
    let mut ends = Vec::new();
    for (name, p) in spec.projections.iter() {
        let path = format!("projections.{name}");
        let from = names.source(&p.from, &format!("{path}.from"), d);
        let to = names.target(&p.to, &format!("{path}.to"), d);
        wires.reached.extend(to);
        ends.push(from.zip(to));
    }
    let ids: BTreeMap<&str, usize> = {
        let mut next = 0;
        let mut ids = BTreeMap::new();
        for ((name, _), end) in spec.projections.iter().zip(&ends) {
            if end.is_some() {
                ids.insert(name, next);
                next += 1;
            }
        }
        ids
    };
    for ((name, p), end) in spec.projections.iter().zip(&ends) {
        let Some((from, (to, compartment))) = end else { continue };
        let path = format!("projections.{name}");
        let (source, target) = (&names.populations[from.population.0], &names.populations[to.0]);
        endpoint_rules(&path, p, source, from.signal, target, *compartment, d);
        let index = index_rule(spec, &path, p, source, from.signal, target, *compartment, d)
            .unwrap_or(IndexRule::Broadcast);
        let (onto, rows) = axis(p.onto, target, "onto", &path, d);
        let (pool, columns) = pool_axis(p.pool, source, &path, d);
        let weights = w.matrix(name, &mut Vec::new(), d);
        let weights = weights.unwrap_or(Weights::Constant { rows, columns, value: 0.0 });
        check_sign(&path, p, &weights, d);
        let tie = match &p.weights {
            WeightsSpec::SameAs(other) => ids.get(other.as_str()).map(|i| (i, false)),
            WeightsSpec::TransposeOf(other) => ids.get(other.as_str()).map(|i| (i, true)),
            _ => None,
        };
        wires.projections.push(Projection {
            name: name.to_owned(),
            path,
            from: from.population,
            signal: from.signal,
            to: *to,
            compartment: *compartment,
            synapses: Synapses { weights, onto, pool },
            effect: p.effect,
            index,
            sign: p.sign,
            plasticity: p.plasticity.clone(),
            delay_ms: p.delay.map(|t| t.ms),
            tied: p.tied.unwrap_or(true),
            tie: tie.map(|(i, transposed)| Tie { to: ProjectionId(*i), transposed }),
        });
    }
    wires
}

/// Which compartments may receive what.
fn endpoint_rules(
    path: &str,
    p: &ProjectionSpec,
    source: &Population,
    signal: Signal,
    target: &Population,
    compartment: Compartment,
    d: &mut Diagnostics,
) {
    if matches!(target.kind, Kind::Tonic) {
        d.push(
            Diagnostic::error(
                codes::C013,
                format!("{path}.to"),
                "`tonic` receives nothing: its value is always 1",
            )
            .help("let the projection end on a cell or a relay"),
        );
    }
    if let Kind::Relay { stream: Some(_), .. } = target.kind
        && compartment != Compartment::Third
    {
        d.push(
            Diagnostic::error(
                codes::C014,
                format!("{path}.to"),
                format!("relay `{}` carries tokens in, so it cannot receive `{}`", target.name, source.name),
            )
            .help("remove its `tokens:`, or end the projection on another relay"),
        );
    }
    if compartment == Compartment::Gate && target.accumulate.is_none() {
        d.push(
            Diagnostic::error(
                codes::C015,
                format!("{path}.to"),
                format!("`{}` accumulates nothing, so it has no gate", target.name),
            )
            .help("add `accumulate: {gated: {}}`, or end on basal or apical"),
        );
    }
    if let Some(AccumulateSpec::Hebbian { .. } | AccumulateSpec::Decay { .. }) = target.accumulate
        && compartment == Compartment::Gate
    {
        d.push(
            Diagnostic::error(
                codes::C015,
                format!("{path}.to"),
                format!("the memory rule of `{}` has no gate", target.name),
            )
            .help("only `gated` and `delta` memories have a gate"),
        );
    }
    if matches!(signal, Signal::Feedback(_)) && compartment != Compartment::Third {
        d.push(
            Diagnostic::error(codes::C016, format!("{path}.to"), "feedback may end only on `third`")
                .help(format!("write `{}.third`", target.name)),
        );
    }
    if p.effect == Effect::Divisive && matches!(compartment, Compartment::Gate | Compartment::Third) {
        d.push(
            Diagnostic::error(
                codes::C017,
                format!("{path}.effect"),
                format!("divisive inhibition acts on basal and apical, not on `{}`", compartment.name()),
            )
            .help("end on basal or apical"),
        );
    }
    if p.plasticity.is_some() && matches!(p.weights, WeightsSpec::SameAs(_) | WeightsSpec::TransposeOf(_)) {
        d.push(
            Diagnostic::error(
                codes::C018,
                format!("{path}.plasticity"),
                "tied weights follow their partner and learn nothing of their own",
            )
            .help("put the rule on the partner"),
        );
    }
}

#[allow(clippy::too_many_arguments)]
fn index_rule(
    spec: &CircuitSpec,
    path: &str,
    p: &ProjectionSpec,
    source: &Population,
    signal: Signal,
    target: &Population,
    compartment: Compartment,
    d: &mut Diagnostics,
) -> Option<IndexRule> {
    let s = if matches!(signal, Signal::Feedback(_)) { source.indices } else { source.sends() };
    let mut t = target.indices;
    let mut wrong = |message: String, help: &str| {
        d.push(Diagnostic::error(codes::C019, path, message).help(help));
        None
    };
    if compartment == Compartment::Third {
        if target.accumulate.is_some() {
            t = Indices { query: true, context: false };
        }
        if s.context && !t.context && !t.query {
            return wrong(
                "this error signal has an index that nothing can sum".to_owned(),
                "let it end on cells per query",
            );
        }
        return Some(IndexRule::Error);
    }
    let rule = if s.query && !t.query {
        if s.context {
            return wrong(
                format!(
                    "`{}` is per [query, context] and `{}` per {}: no projection sums over the query",
                    source.name,
                    target.name,
                    t.describe()
                ),
                "let the target have `query`; only `third` may sum over queries",
            );
        }
        IndexRule::Aligned
    } else if s.context && !t.context {
        if !t.query {
            return wrong(
                format!(
                    "`{}` is per {} and `{}` per {}",
                    source.name,
                    s.describe(),
                    target.name,
                    t.describe()
                ),
                "a sum over the context needs a target per query",
            );
        }
        IndexRule::SumContext(p.mask.unwrap_or(if source.is_relay() {
            spec.tokens.mask
        } else {
            source.mask
        }))
    } else {
        IndexRule::Broadcast
    };
    match rule {
        IndexRule::SumContext(mask) if s.query && mask < source.mask => {
            d.push(
                Diagnostic::error(
                    codes::C025,
                    format!("{path}.mask"),
                    format!(
                        "a {} sum needs columns that `{}` does not have: its area is {}",
                        mask.name(),
                        source.name,
                        source.mask.name()
                    ),
                )
                .help("a projection may narrow its area's mask (full > causal > strict), never widen it"),
            );
        }
        IndexRule::Broadcast if s.query && s.context && target.mask < source.mask => {
            d.push(
                Diagnostic::error(
                    codes::C025,
                    path,
                    format!(
                        "`{}` has {} columns, but its source `{}` only {}",
                        target.name,
                        target.mask.name(),
                        source.name,
                        source.mask.name()
                    ),
                )
                .help("give both areas the same mask, or the target the narrower one"),
            );
        }
        IndexRule::SumContext(_) => {}
        _ if p.mask.is_some() => {
            d.push(
                Diagnostic::error(
                    codes::C026,
                    format!("{path}.mask"),
                    format!(
                        "this projection sums over nothing, so a mask has no meaning (`{}` sends per {})",
                        source.name,
                        s.describe()
                    ),
                )
                .help(if source.accumulate.is_some() {
                    "put the mask on the memory's area"
                } else {
                    "remove it, or put it on the projection that sums the context"
                }),
            );
        }
        _ => {}
    }
    Some(rule)
}

fn axis(axis: Option<Axis>, p: &Population, key: &str, path: &str, d: &mut Diagnostics) -> (AxisMap, usize) {
    let (n, m) = (p.cells, p.microcolumns);
    if axis.is_some_and(|a| a != Axis::All) && !matches!(p.kind, Kind::Cells { .. }) {
        d.push(
            Diagnostic::error(
                codes::C027,
                format!("{path}.{key}"),
                format!("`{}` has no microcolumns", p.name),
            )
            .help(format!("remove `{key}`")),
        );
    }
    match axis {
        None | Some(Axis::All) => (AxisMap::All, n * m),
        Some(Axis::Cells) => (AxisMap::Cells { cells: n }, n),
        Some(Axis::Microcolumns) => (AxisMap::Microcolumns { cells: n }, m),
    }
}

/// `pool: cells` sums the cells of each microcolumn, so the matrix addresses microcolumns.
fn pool_axis(pool: Option<Axis>, p: &Population, path: &str, d: &mut Diagnostics) -> (AxisMap, usize) {
    let addressed = match pool {
        Some(Axis::Cells) => Some(Axis::Microcolumns),
        Some(Axis::Microcolumns) => Some(Axis::Cells),
        other => other,
    };
    axis(addressed, p, "pool", path, d)
}

fn check_sign(path: &str, p: &ProjectionSpec, weights: &Weights, d: &mut Diagnostics) {
    let Some(sign) = p.sign else { return };
    let bad = match sign {
        Sign::Excitatory => weights.find(|w| w < 0.0),
        Sign::Inhibitory => weights.find(|w| w > 0.0),
    };
    if let Some((i, j, w)) = bad {
        let word = if sign == Sign::Excitatory { "excitatory" } else { "inhibitory" };
        d.push(
            Diagnostic::error(
                codes::C028,
                format!("{path}.sign"),
                format!("declared {word}, but weight x gain is {w} at row {i}, column {j}"),
            )
            .help("use `uniform`, `plus_of` or `minus_of` weights, or `gain: -1` for inhibition"),
        );
    }
}

struct Wiring<'a> {
    spec: &'a CircuitSpec,
    by_name: BTreeMap<&'a str, &'a ProjectionSpec>,
    names: &'a Names,
    folder: &'a Path,
    used: usize,
    matrices: BTreeMap<String, Option<Weights>>,
}

impl Wiring<'_> {
    /// The matrix of projection `name`, gain included; ties are followed, loops of ties reported.
    fn matrix(&mut self, name: &str, chain: &mut Vec<String>, d: &mut Diagnostics) -> Option<Weights> {
        if let Some(done) = self.matrices.get(name) {
            return done.clone();
        }
        let p = *self.by_name.get(name)?;
        let path = format!("projections.{name}.weights");
        chain.push(name.to_owned());
        let result = self.build(name, p, &path, chain, d);
        chain.pop();
        let result = result.map(|w| match p.gain {
            Some(gain) => w.scaled(gain.value()),
            None => w,
        });
        self.matrices.insert(name.to_owned(), result.clone());
        result
    }

    fn build(
        &mut self,
        name: &str,
        p: &ProjectionSpec,
        path: &str,
        chain: &mut Vec<String>,
        d: &mut Diagnostics,
    ) -> Option<Weights> {
        // Mistakes in the endpoints are reported where the endpoints are read.
        let mut quiet = Diagnostics::new();
        let from = self.names.source(&p.from, "", &mut quiet)?;
        let (to, _) = self.names.target(&p.to, "", &mut quiet)?;
        let rows = axis(p.onto, &self.names.populations[to.0], "", "", &mut quiet).1;
        let columns = pool_axis(p.pool, &self.names.populations[from.population.0], "", &mut quiet).1;
        if let WeightsSpec::SameAs(other) | WeightsSpec::TransposeOf(other) = &p.weights {
            return self.tied(p, other, (rows, columns), path, chain, d);
        }
        let stored = match p.weights {
            WeightsSpec::Ones | WeightsSpec::Zeros | WeightsSpec::Identity => Some(0),
            _ => rows.checked_mul(columns),
        };
        match stored.and_then(|n| n.checked_add(self.used)) {
            Some(total) if total <= MAX_NUMBERS => self.used = total,
            _ => {
                d.push(
                    Diagnostic::error(
                        codes::C006,
                        path,
                        format!("a {rows} x {columns} matrix takes the circuit beyond {MAX_NUMBERS} weights"),
                    )
                    .help(
                        "use `onto` and `pool`, fewer cells, or `ones` and `identity`, which take no memory",
                    ),
                );
                return None;
            }
        }
        let stream = format!("projections.{name}");
        match draw(
            &p.weights,
            &Draw { seed: self.spec.seed, stream: &stream, rows, columns, path, folder: self.folder },
        ) {
            Ok(weights) => Some(weights),
            Err(e) => {
                d.push(e);
                None
            }
        }
    }

    fn tied(
        &mut self,
        p: &ProjectionSpec,
        other: &str,
        (rows, columns): (usize, usize),
        path: &str,
        chain: &mut Vec<String>,
        d: &mut Diagnostics,
    ) -> Option<Weights> {
        if !self.by_name.contains_key(other) {
            d.push(
                Diagnostic::error(codes::C022, path, format!("no projection `{other}` to tie to"))
                    .help(did_you_mean(other, self.spec.projections.names())),
            );
            return None;
        }
        if chain.iter().any(|c| c == other) {
            d.push(
                Diagnostic::error(
                    codes::C029,
                    path,
                    format!("these ties form a ring: {} -> {other}", chain.join(" -> ")),
                )
                .help("give one of them weights of its own"),
            );
            return None;
        }
        let source = self.matrix(other, chain, d)?;
        let weights =
            if matches!(p.weights, WeightsSpec::TransposeOf(_)) { source.transposed() } else { source };
        let found = (weights.rows(), weights.columns());
        if found != (rows, columns) {
            d.push(
                Diagnostic::error(codes::C023, path, format!("the matrix of `{other}` is {} x {} here, but {rows} x {columns} is needed (targets x sources)", found.0, found.1))
                    .help("tie only projections of matching shape; `transpose_of` turns it"),
            );
            return None;
        }
        Some(weights)
    }
}

/// Populations that lack an input they need.
pub fn connected(names: &Names, wires: &Wires, d: &mut Diagnostics) {
    let ends = |effect: Effect| -> BTreeSet<(PopulationId, Compartment)> {
        wires.projections.iter().filter(|w| w.effect == effect).map(|w| (w.to, w.compartment)).collect()
    };
    let (all_additive, all_divisive) = (ends(Effect::Additive), ends(Effect::Divisive));
    for (i, p) in names.populations.iter().enumerate() {
        let has = |c: Compartment| wires.reached.contains(&(PopulationId(i), c));
        let additive = |c: Compartment| all_additive.contains(&(PopulationId(i), c));
        let divided = |c: Compartment| all_divisive.contains(&(PopulationId(i), c));
        for c in [Compartment::Basal, Compartment::Apical] {
            if divided(c) && !additive(c) {
                d.push(
                    Diagnostic::error(
                        codes::C030,
                        &p.path,
                        format!("`{}.{}` has divisive input, but nothing to divide", p.name, c.name()),
                    )
                    .help("add an additive projection to the same compartment"),
                );
            }
        }
        match p.kind {
            Kind::Cells { .. } if p.activation == ActivationSpec::Product => {
                for c in [Compartment::Basal, Compartment::Apical] {
                    if !has(c) {
                        d.push(
                            Diagnostic::error(
                                codes::C031,
                                &p.path,
                                format!(
                                    "`{}` multiplies basal and apical, but nothing ends on `{}`",
                                    p.name,
                                    c.name()
                                ),
                            )
                            .help(format!(
                                "add a projection to `{}.{}`, or use `activation: linear`",
                                p.name,
                                c.name()
                            )),
                        );
                    }
                }
            }
            Kind::Cells { .. } if !has(Compartment::Basal) && !has(Compartment::Apical) => d.push(
                Diagnostic::error(codes::C032, &p.path, format!("`{}` receives nothing", p.name))
                    .help(format!("add a projection to `{}.basal`, or remove the population", p.name)),
            ),
            _ => {}
        }
        match p.accumulate {
            Some(AccumulateSpec::Gated { .. }) if !has(Compartment::Gate) => d.push(
                Diagnostic::error(
                    codes::C033,
                    format!("{}.accumulate", p.path),
                    format!("nothing ends on `{}.gate`", p.name),
                )
                .help("a gated memory needs a projection to its gate"),
            ),
            Some(AccumulateSpec::Delta { rate: None }) if !has(Compartment::Gate) => d.push(
                Diagnostic::error(
                    codes::C033,
                    format!("{}.accumulate", p.path),
                    format!("the delta rule of `{}` has neither a rate nor a gate", p.name),
                )
                .help("write `{delta: {rate: 0.5}}`, or project to its gate"),
            ),
            Some(AccumulateSpec::Delta { rate: Some(_) }) if has(Compartment::Gate) => d.push(
                Diagnostic::error(
                    codes::C033,
                    format!("{}.accumulate", p.path),
                    format!("the delta rule of `{}` has both a rate and a gate", p.name),
                )
                .help("keep one of the two"),
            ),
            _ => {}
        }
    }
}

/// Relays without inputs carry tokens in: which stream, and do the widths agree?
pub fn input_relays(names: &mut Names, wires: &Wires, d: &mut Diagnostics) {
    for (i, p) in names.populations.iter_mut().enumerate() {
        let Kind::Relay { stream, .. } = &mut p.kind else { continue };
        if [Compartment::Basal, Compartment::Apical]
            .iter()
            .any(|c| wires.reached.contains(&(PopulationId(i), *c)))
        {
            continue;
        }
        let chosen = match *stream {
            Some(s) => s,
            None => match names.streams.iter().position(|s| s.name == "main") {
                Some(s) => s,
                None => {
                    d.push(
                        Diagnostic::error(
                            codes::C034,
                            &p.path,
                            format!("relay `{}` receives nothing and names no stream", p.name),
                        )
                        .help(format!(
                            "add `tokens: NAME`; streams: {}",
                            crate::diag::one_of(names.streams.iter().map(|s| s.name.as_str()))
                        )),
                    );
                    continue;
                }
            },
        };
        *stream = Some(chosen);
        let s = &names.streams[chosen];
        if s.d_model != p.cells {
            d.push(
                Diagnostic::error(
                    codes::C035,
                    format!("{}.cells", p.path),
                    format!(
                        "relay `{}` has {} cells, but tokens of `{}` have {} numbers",
                        p.name, p.cells, s.name, s.d_model
                    ),
                )
                .help(format!("write `cells: {}`", s.d_model)),
            );
        }
    }
}
