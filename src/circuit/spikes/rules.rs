//! What a circuit of spikes may not say, and what its protocol and traces must fit.

use super::find::Found;
use super::{Cells, SpikePopulation};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{
    ActivationSpec, CellOptions, CircuitSpec, MatchSpec, MatchedSpec, SpikeTrainsSpec, StopSpec,
};

/// Everything that speaks of rates and tokens.
pub fn no_rates(spec: &CircuitSpec, d: &mut Diagnostics) {
    let mut refuse = |path: String, given: bool| {
        if given {
            let key = path.rsplit('.').next().unwrap_or_default();
            let what = format!("`{key}` says nothing about spikes");
            let help = "remove it; circuits of rates and circuits of spikes are separate files";
            d.push(Diagnostic::error(codes::C070, path, what).help(help));
        }
    };
    let r = &spec.reserved;
    refuse("tokens".to_owned(), !spec.tokens.streams.is_empty());
    refuse("expect".to_owned(), spec.expect.is_some());
    refuse("noise".to_owned(), r.noise.is_some());
    refuse("lesions".to_owned(), !r.lesions.is_empty());
    refuse("task".to_owned(), r.task.is_some());
    refuse("train".to_owned(), r.train.is_some());
    refuse("loss".to_owned(), r.loss.is_some());
    if let Some(s) = &r.simulation {
        refuse("simulation.integrator".to_owned(), s.integrator.is_some());
        refuse("simulation.stop".to_owned(), s.stop == Some(StopSpec::Settle));
    }
    for (name, relay) in spec.thalamus.iter().filter(|(_, r)| r.options.spikes()) {
        let path = |key: &str| format!("thalamus.{name}.{key}");
        refuse(path("per"), relay.per.is_some());
        refuse(path("tokens"), relay.tokens.is_some());
        refuse(path("part"), relay.part.is_some());
        options(&relay.options, &path, &mut refuse);
    }
    for (area_name, area) in spec.areas.iter() {
        refuse(format!("areas.{area_name}.mask"), area.mask.is_some());
        let columns = &area.microcolumns;
        refuse(format!("areas.{area_name}.microcolumns"), columns.count.is_some() || columns.per.is_some());
        for (short, p) in area.populations.iter().filter(|(_, p)| p.options.spikes()) {
            let path = |key: &str| format!("areas.{area_name}.populations.{short}.{key}");
            refuse(path("per"), p.per.is_some());
            refuse(path("activation"), p.activation != ActivationSpec::LINEAR);
            refuse(path("accumulate"), p.accumulate.is_some());
            options(&p.options, &path, &mut refuse);
        }
    }
}

fn options(o: &CellOptions, path: &impl Fn(&str) -> String, refuse: &mut impl FnMut(String, bool)) {
    refuse(path("tau"), o.tau.is_some());
    refuse(path("prospective"), o.prospective.is_some());
    refuse(path("limits"), o.limits.is_some());
    refuse(path("noise"), o.noise.is_some());
}

pub fn dt_ms(spec: &CircuitSpec) -> Option<f64> {
    spec.reserved.simulation.as_ref()?.dt.map(|t| t.ms)
}

pub fn duration_ms(spec: &CircuitSpec) -> Option<f64> {
    match spec.reserved.simulation.as_ref()?.stop {
        Some(StopSpec::Duration(t)) => Some(t.ms),
        _ => None,
    }
}

/// The protocol; its axon is looked for later, when it is known who the axons are.
pub fn protocol(spec: &CircuitSpec, found: &Found, d: &mut Diagnostics) -> Option<MatchSpec> {
    if let Some(protocol) = spec.reserved.protocol.as_ref().and_then(|p| p.match_and_control.clone()) {
        return Some(protocol);
    }
    let path = match (&spec.reserved.protocol, found.populations.first()) {
        (None, Some(p)) => p.path.clone(),
        _ => "protocol".to_owned(),
    };
    let help = "add `protocol: {match_and_control: {match: {from: 50 ms, duration: 1 s}}}`";
    let what = "the circuit does not say when keys and query fire: it has no `protocol.match_and_control`";
    d.push(Diagnostic::error(codes::S001, path, what).help(help));
    None
}

/// Traces of the neuron, in windows that are not empty.
pub fn traces(spec: &CircuitSpec, found: &Found, neuron: Option<usize>, d: &mut Diagnostics) {
    for (number, trace) in spec.reserved.traces.iter().enumerate() {
        let path = format!("record.{number}");
        let whose = found.named(&trace.population, &format!("{path}.population"), d);
        if let (Some(p), Some(_)) = (whose.filter(|p| Some(*p) != neuron), neuron) {
            let what = format!("`{}` has trains, but no potentials or calcium", found.populations[p].name);
            let help = "record the population with `cable`; all trains are written in any case";
            d.push(Diagnostic::error(codes::C053, format!("{path}.population"), what).help(help));
        }
        if let (Some(from), Some(until)) = (trace.from, trace.until)
            && from.ms >= until.ms
        {
            let what = format!("a trace from {} ms until {} ms is empty", from.ms, until.ms);
            let help = "let `until` come after `from`";
            d.push(Diagnostic::error(codes::C074, format!("{path}.until"), what).help(help));
        }
        if trace.axons.as_ref().is_some_and(Vec::is_empty) {
            let help = "name axons from 0, or leave the key out for all";
            let what = "a trace of no axons";
            d.push(Diagnostic::error(codes::C053, format!("{path}.axons"), what).help(help));
        }
    }
}

/// Axons that are named exist.
pub fn axons(spec: &CircuitSpec, protocol: &MatchSpec, keys: &SpikePopulation, d: &mut Diagnostics) {
    let mut check = |path: String, axon: usize| {
        if axon >= keys.cells {
            let what = format!("no axon {axon}: `{}` has {}", keys.name, keys.cells);
            let help = format!("axons are counted from 0, to {}", keys.cells - 1);
            d.push(Diagnostic::error(codes::C077, path, what).help(help));
        }
    };
    if let MatchedSpec::Axon(axon) = protocol.matched {
        check("protocol.match_and_control.matched".to_owned(), axon);
    }
    for (number, trace) in spec.reserved.traces.iter().enumerate() {
        for (i, axon) in trace.axons.iter().flatten().enumerate() {
            check(format!("record.{number}.axons.{i}"), *axon);
        }
    }
}

/// Trains are possible, and there are as many as cells.
pub fn trains(found: &Found, (keys, query): (usize, usize), matched: MatchedSpec, d: &mut Diagnostics) {
    for (number, p) in found.populations.iter().enumerate() {
        let Cells::Fire(trains) = &p.does else { continue };
        let path = |key: &str| format!("{}.spike_trains.{key}", p.path);
        match trains {
            SpikeTrainsSpec::Renewal { rate, dead_time } if rate.value * dead_time.ms >= 1000.0 => {
                let most = 1000.0 / dead_time.ms;
                let what = format!(
                    "{} Hz cannot be reached with a dead time of {} ms: the most is below {most:.4} Hz",
                    rate.value, dead_time.ms
                );
                let help = "lower the rate or shorten the dead time";
                d.push(Diagnostic::error(codes::C073, path("renewal.rate"), what).help(help));
            }
            SpikeTrainsSpec::Times { trains } => times(p, trains, &path("times.trains"), d),
            SpikeTrainsSpec::Follow { population } => {
                let place = path("follow.population");
                let Some(followed) = found.named(population, &place, d) else { continue };
                let wrong = if number != query {
                    Some("only the query follows: the matched axon does what `matched` says")
                } else if followed != keys {
                    Some("the query can follow only the population that ends on the spines")
                } else if matched == MatchedSpec::None {
                    Some("the query follows the matched axon, but `matched` is nobody")
                } else {
                    None
                };
                if let Some(what) = wrong {
                    let help = "let the query follow the keys, or give it `renewal`, `times` or a `file`";
                    d.push(Diagnostic::error(codes::C073, place, what).help(help));
                }
            }
            SpikeTrainsSpec::Renewal { .. } | SpikeTrainsSpec::File { .. } => {}
        }
    }
}

fn times(p: &SpikePopulation, trains: &[Vec<f64>], path: &str, d: &mut Diagnostics) {
    if trains.len() != p.cells {
        let what = format!("{} trains for the {} cells of `{}`", trains.len(), p.cells, p.name);
        let help = "give one train for each cell; a silent one has an empty list";
        d.push(Diagnostic::error(codes::C073, path, what).help(help));
    }
    for (cell, train) in trains.iter().enumerate() {
        if let Some(i) = train.windows(2).position(|w| w[0] > w[1]) {
            let what = format!("train {cell} does not rise: {} ms, then {} ms", train[i], train[i + 1]);
            let place = format!("{path}.{cell}.{}", i + 1);
            d.push(Diagnostic::error(codes::C073, place, what).help("sort each train"));
        }
    }
}
