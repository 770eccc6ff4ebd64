//! Spike trains, neurons as cables, their synapses, and the match-and-control protocol.

use super::declare::{Kind, NOT_NEGATIVE};
use super::fields::{At, Decoder, Fields, MAX_COUNT, join, subject};
use super::node::{Node, Value, shorten};
use super::types::*;
use super::types_run::numbers;
use crate::diag::{Diagnostic, codes, did_you_mean};

/// Does a circuit speak of spikes? Then it has no tokens.
pub fn speaks_of_spikes(circuit: &Node) -> bool {
    let entries = |node: Option<&Node>| match node.map(|n| &n.value) {
        Some(Value::Map(entries)) => entries.iter().map(|(_, n)| n.clone()).collect(),
        _ => Vec::new(),
    };
    let below = |node: &Node, key: &str| entries(node.get(key).map(|(_, n)| n));
    let spikes = |node: &Node| node.get("spike_trains").is_some() || node.get("cable").is_some();
    below(circuit, "thalamus").iter().any(spikes)
        || below(circuit, "areas").iter().any(|a| below(a, "populations").iter().any(spikes))
}

impl Decoder {
    /// A number with its unit that satisfies `rule`, which `wanted` puts into words.
    pub fn measured(
        &mut self,
        at: At<'_>,
        unit: Unit,
        wanted: &str,
        rule: impl Fn(f64) -> bool,
    ) -> Option<Measured> {
        let name = subject(at.path);
        let (code, problem) = match &at.node.value {
            Value::Str(text) => match crate::units::parse(text, unit.spellings()) {
                Ok(value) if rule(value) => return Some(Measured { value, unit }),
                Ok(value) => {
                    (codes::S006, format!("{name} is {value} {}, but must be {wanted}", unit.name()))
                }
                Err(problem) => (codes::S020, format!("{name}: {problem}")),
            },
            Value::Int(_) | Value::Float(_) => {
                (codes::S020, format!("{name} is {} without a unit", at.node.describe()))
            }
            _ => return self.wrong(at, &format!("a number with its unit, such as `1 {}`", unit.name())),
        };
        let units: Vec<&str> = unit.spellings().iter().map(|(n, _)| *n).collect();
        let help = format!("write a number that is {wanted}, with its unit: {}", units.join(" or "));
        self.error(Diagnostic::error(code, at.path, problem).help(help).at(at.node.span));
        None
    }

    fn positive(&mut self, at: At<'_>, unit: Unit) -> Option<Measured> {
        self.measured(at, unit, "positive", |x| x > 0.0)
    }

    fn not_below_zero(&mut self, at: At<'_>, unit: Unit) -> Option<Measured> {
        self.measured(at, unit, "zero or positive", |x| x >= 0.0)
    }

    /// One of several forms; each is a map.
    pub(super) fn form<'a>(
        &mut self,
        at: At<'a>,
        what: &str,
        expected: &str,
        forms: &[&'static str],
    ) -> Option<(&'static str, String, &'a Node)> {
        let (key, node) = self.choice(at, expected)?;
        let path = join(at.path, &key.name);
        if let Some(name) = forms.iter().find(|f| **f == key.name) {
            return Some((name, path, node));
        }
        let message = format!("`{}` is not {what}", shorten(&key.name));
        let help = did_you_mean(&key.name, forms.iter().copied());
        self.error(Diagnostic::error(codes::S009, &path, message).help(help).at(key.span));
        None
    }
}

pub fn spike_trains(d: &mut Decoder, at: At<'_>) -> Option<SpikeTrainsSpec> {
    let expected = "`{renewal: {rate: 6 Hz, dead_time: 50 ms}}`, `{times: {trains: [[10 ms]]}}`, \
                    `{file: {path: spikes.csv}}` or `{follow: {population: A1.keys}}`";
    let forms = ["renewal", "times", "file", "follow"];
    let (form, path, node) = d.form(at, "a kind of spike trains", expected, &forms)?;
    let mut f = d.map(At { node, path: &path }, "a map")?;
    let trains = match form {
        "renewal" => {
            let rate = f.required(d, "rate", |d, at| d.positive(at, Unit::Hertz));
            let given = f.node("dead_time").is_some();
            let dead = f.optional(d, "dead_time", |d, at| d.time(at, true));
            let dead_time = if given { dead } else { Some(Time { ms: 0.0 }) };
            rate.zip(dead_time).map(|(rate, dead_time)| SpikeTrainsSpec::Renewal { rate, dead_time })
        }
        "times" => f.required(d, "trains", trains).map(|trains| SpikeTrainsSpec::Times { trains }),
        "file" => {
            let file = f.required(d, "path", Decoder::string);
            let array = f.optional(d, "array", Decoder::string);
            file.map(|path| SpikeTrainsSpec::File { path, array })
        }
        _ => f
            .required(d, "population", Decoder::string)
            .map(|population| SpikeTrainsSpec::Follow { population }),
    };
    f.finish(d);
    trains
}

/// One list of times for each cell.
fn trains(d: &mut Decoder, at: At<'_>) -> Option<Vec<Vec<f64>>> {
    let expected = "a list of trains, one for each cell: `[[12 ms, 40 ms], []]`";
    let Value::Seq(rows) = &at.node.value else { return d.wrong(at, expected) };
    let mut trains = Vec::with_capacity(rows.len());
    let mut whole = true;
    for (number, row) in rows.iter().enumerate() {
        let path = join(at.path, &number.to_string());
        let Value::Seq(items) = &row.value else { return d.wrong(At { node: row, path: &path }, expected) };
        let mut train = Vec::with_capacity(items.len());
        for (i, node) in items.iter().enumerate() {
            let place = join(&path, &i.to_string());
            match d.time(At { node, path: &place }, true) {
                Some(t) => train.push(t.ms),
                None => whole = false,
            }
        }
        trains.push(train);
    }
    whole.then_some(trains)
}

pub fn cable(d: &mut Decoder, at: At<'_>) -> Option<CableSpec> {
    let mut f = d.map(at, "a map with `resolution`; `{}` is the reduced neuron")?;
    let resolution = f.optional(d, "resolution", |d, at| d.word(at, &ResolutionSpec::NAMES));
    let spec = CableSpec {
        resolution: resolution.unwrap_or_default(),
        shaft: f.optional(d, "shaft", Decoder::count),
        top: f.optional(d, "top", Decoder::count),
        tuft: f.optional(d, "tuft", Decoder::count),
        spines: f.optional(d, "spines", Decoder::count),
        spines_per_head: f.optional(d, "spines_per_head", Decoder::count),
        necks: f.optional(d, "necks", Decoder::boolean),
        start: f.optional(d, "start", |d, at| {
            d.measured(at, Unit::MilliVolt, "from -140 to 80 mV", |x| (-140.0..=80.0).contains(&x))
        }),
    };
    f.finish(d);
    Some(spec)
}

pub fn synapses(d: &mut Decoder, at: At<'_>) -> Option<SynapsesSpec> {
    let mut f = d.map(at, "a map with `ampa`, `nmda`, `calcium` or `potentiation`")?;
    let spec = SynapsesSpec {
        ampa: f.optional(d, "ampa", receptor),
        nmda: f.optional(d, "nmda", receptor),
        calcium: f.optional(d, "calcium", |d, at| {
            let mut f = d.map(at, "a map with `decay`")?;
            let decay = f.required(d, "decay", |d, at| d.time(at, false));
            f.finish(d);
            decay.map(|decay| CalciumSpec { decay })
        }),
        potentiation: f.optional(d, "potentiation", |d, at| {
            let mut f = d.map(at, "a map with `theta`, `gain`, `sharpness`, `decay` or `lag`")?;
            let spec = PotentiationSpec {
                theta: f.optional(d, "theta", |d, at| d.positive(at, Unit::Theta)),
                gain: f.optional(d, "gain", |d, at| NOT_NEGATIVE.read(d, at)),
                sharpness: f.optional(d, "sharpness", |d, at| NOT_NEGATIVE.read(d, at)),
                decay: f.optional(d, "decay", |d, at| d.time(at, false)),
                lag: f.optional(d, "lag", |d, at| d.time(at, false)),
            };
            f.finish(d);
            Some(spec)
        }),
    };
    f.finish(d);
    Some(spec)
}

fn receptor(d: &mut Decoder, at: At<'_>) -> Option<ReceptorSpec> {
    let mut f = d.map(at, "a map with `peak`, `rise` or `decay`")?;
    let spec = ReceptorSpec {
        peak: f.optional(d, "peak", |d, at| d.not_below_zero(at, Unit::NanoSiemens)),
        rise: f.optional(d, "rise", |d, at| d.time(at, false)),
        decay: f.optional(d, "decay", |d, at| d.time(at, false)),
    };
    f.finish(d);
    Some(spec)
}

pub fn pulse(d: &mut Decoder, at: At<'_>) -> Option<PulseSpec> {
    let mut f = d.map(at, "a map with `current` and `duration`")?;
    let current = f.required(d, "current", |d, at| d.measured(at, Unit::NanoAmpere, "a number", |_| true));
    let duration = f.required(d, "duration", |d, at| d.time(at, false));
    f.finish(d);
    Some(PulseSpec { current: current?, duration: duration? })
}

/// One item of `record` in a circuit of spikes.
pub fn trace(d: &mut Decoder, at: At<'_>) -> Option<SpikeTraceSpec> {
    let mut f = d.map(at, "a map with `population`, `compartment` and `variable`")?;
    let population = f.required(d, "population", Decoder::string);
    let compartment = f.required(d, "compartment", |d, at| d.word(at, &SpikeCompartment::NAMES));
    let given = f.node("variable").is_some();
    let variable = f.optional(d, "variable", |d, at| d.word(at, &SpikeVariable::NAMES));
    let axons = f.optional(d, "axons", numbers);
    let from = f.optional(d, "from", |d, at| d.time(at, true));
    let until = f.optional(d, "until", |d, at| d.time(at, false));
    let every = f.optional(d, "every", Decoder::count).unwrap_or(1);
    f.finish(d);
    let variable = if given { variable? } else { SpikeVariable::Potential };
    if compartment == Some(SpikeCompartment::Soma) {
        let wrong = if variable != SpikeVariable::Potential {
            Some(("variable", format!("the soma has no {}", variable.name())))
        } else {
            axons.as_ref().map(|_| ("axons", "the soma belongs to no axon".to_owned()))
        };
        if let Some((key, what)) = wrong {
            let help = "record the soma's potential, or `compartment: spines`";
            d.error(Diagnostic::error(codes::S019, join(at.path, key), what).help(help));
            return None;
        }
    }
    Some(SpikeTraceSpec {
        population: population?,
        compartment: compartment?,
        variable,
        axons,
        from,
        until,
        every,
    })
}

pub fn fidelity(d: &mut Decoder, at: At<'_>) -> Option<FidelitySpec> {
    const WORDS: [(&str, FidelitySpec); 2] = [
        ("cable", FidelitySpec::Cable),
        ("event", FidelitySpec::Event(EventSpec { jump: None, power: None, noise: None })),
    ];
    if !matches!(at.node.value, Value::Map(_)) {
        return d.word(at, &WORDS);
    }
    let expected = "`cable`, `event` or `{event: {noise: 0.1}}`";
    let (_, path, node) = d.form(at, "a fidelity with parameters", expected, &["event"])?;
    let mut f = d.map(At { node, path: &path }, "a map with `jump`, `power` or `noise`")?;
    let spec = EventSpec {
        jump: f.optional(d, "jump", |d, at| d.positive(at, Unit::MilliMolar)),
        power: f.optional(d, "power", |d, at| d.number_where(at, "positive", |x| x > 0.0)),
        noise: f.optional(d, "noise", |d, at| NOT_NEGATIVE.read(d, at)),
    };
    f.finish(d);
    Some(FidelitySpec::Event(spec))
}

pub fn match_and_control(d: &mut Decoder, at: At<'_>) -> Option<MatchSpec> {
    let mut f = d.map(at, "a map with `match`, and maybe `control`")?;
    let phase = f.required(d, "match", |d, at| {
        let mut f = d.map(at, "a map with `from` and `duration`")?;
        let from = f.required(d, "from", |d, at| d.time(at, true));
        let duration = f.required(d, "duration", |d, at| d.time(at, false));
        f.finish(d);
        Some(MatchPhaseSpec { from: from?, duration: duration? })
    });
    let control_given = f.node("control").is_some();
    let control = f.optional(d, "control", |d, at| {
        let mut f = d.map(at, "a map with `pause` and `duration`")?;
        let pause = f.required(d, "pause", |d, at| d.time(at, true));
        let duration = f.required(d, "duration", |d, at| d.time(at, false));
        f.finish(d);
        Some(ControlPhaseSpec { pause: pause?, duration: duration? })
    });
    let trials = f.optional(d, "trials", Decoder::count).unwrap_or(1);
    let matched = f.optional(d, "matched", matched).unwrap_or_default();
    let lead = time_or(d, &mut f, "lead", 7.0);
    let jitter = time_or(d, &mut f, "jitter", 0.0);
    let delay_runs = f.optional(d, "delay_runs", Decoder::count).unwrap_or(10);
    f.finish(d);
    if control_given && control.is_none() {
        return None;
    }
    Some(MatchSpec { phase: phase?, control, trials, matched, lead, jitter, delay_runs })
}

fn time_or(d: &mut Decoder, f: &mut Fields<'_>, name: &'static str, otherwise: f64) -> Time {
    f.optional(d, name, |d, at| d.time(at, true)).unwrap_or(Time { ms: otherwise })
}

fn matched(d: &mut Decoder, at: At<'_>) -> Option<MatchedSpec> {
    match at.node.value {
        Value::Int(i) if (0..MAX_COUNT).contains(&i) => usize::try_from(i).ok().map(MatchedSpec::Axon),
        Value::Str(_) => d.word(at, &[("in_turn", MatchedSpec::InTurn), ("nobody", MatchedSpec::None)]),
        _ => d.wrong(at, "the number of an axon from 0, `in_turn` or `nobody`"),
    }
}
